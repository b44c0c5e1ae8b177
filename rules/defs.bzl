"""Defines the public rules and macros of rules_bento. Another rule is in startup.bzl, and the public
providers are in providers.bzl."""

load("//rules:bento_base.bzl", _bento_base = "bento_base")
load("//rules:bento_debs.bzl", _bento_debs = "bento_debs")
load("//rules:bento_image.bzl", _bento_image = "bento_image")
load("//rules:bento_image_index.bzl", _bento_image_index = "bento_image_index")
load("//rules:bento_layout_base.bzl", _bento_layout_base = "bento_layout_base")
load("//rules:bento_load.bzl", _bento_load = "bento_load")
load("//rules:bento_model.bzl", _bento_model = "bento_model")
load("//rules:bento_model_image.bzl", _bento_model_image = "bento_model_image")
load("//rules:bento_package.bzl", _bento_package = "bento_package")
load("//rules:bento_push.bzl", _bento_push = "bento_push")
load("//rules:bento_push_all.bzl", _bento_push_all = "bento_push_all")
load("//rules:bento_requirements.bzl", _bento_requirements = "bento_requirements")
load("//rules:bento_service.bzl", _bento_service = "bento_service")
load("//rules:bento_test.bzl", _bento_test = "bento_test")
load("//rules:bento_venv.bzl", _bento_venv = "bento_venv")
load("//rules:bento_wheel.bzl", _bento_wheel = "bento_wheel")
load("//rules:python_image.bzl", _python_image = "python_image")

bento_base = _bento_base
bento_debs = _bento_debs
bento_image = _bento_image
bento_image_index = _bento_image_index
bento_layout_base = _bento_layout_base
bento_load = _bento_load
bento_model = _bento_model
bento_model_image = _bento_model_image
bento_package = _bento_package
bento_push = _bento_push
bento_push_all = _bento_push_all
bento_requirements = _bento_requirements
bento_service = _bento_service
bento_test = _bento_test
bento_venv = _bento_venv
bento_wheel = _bento_wheel
python_image = _python_image
