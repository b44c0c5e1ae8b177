"""The rules of rules_bento."""

load("//rules:bento_model.bzl", _bento_model = "bento_model")
load("//rules:bento_package.bzl", _bento_package = "bento_package")
load("//rules:bento_test.bzl", _bento_test = "bento_test")
load("//rules/providers:bento.bzl", _BentoInfo = "BentoInfo")
load("//rules/providers:model.bzl", _BentoModelInfo = "BentoModelInfo")
load("//rules/providers:requirement.bzl", _BentoRequirementInfo = "BentoRequirementInfo")

bento_model = _bento_model
bento_package = _bento_package
bento_test = _bento_test

BentoInfo = _BentoInfo
BentoModelInfo = _BentoModelInfo
BentoRequirementInfo = _BentoRequirementInfo
