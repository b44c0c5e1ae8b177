"""The rules of rules_bento."""

load("//rules:bento_api.bzl", _bento_api = "bento_api")
load("//rules:bento_api_test.bzl", _bento_api_test = "bento_api_test")
load("//rules:bento_base.bzl", _bento_base = "bento_base")
load("//rules:bento_deb_layer.bzl", _bento_deb_layer = "bento_deb_layer")
load("//rules:bento_debs.bzl", _bento_debs = "bento_debs")
load("//rules:bento_debs_test.bzl", _bento_debs_test = "bento_debs_test")
load("//rules:bento_environment.bzl", _bento_environment = "bento_environment")
load("//rules:bento_image.bzl", _bento_image = "bento_image")
load("//rules:bento_image_index.bzl", _bento_image_index = "bento_image_index")
load("//rules:bento_load.bzl", _bento_load = "bento_load")
load("//rules:bento_model.bzl", _bento_model = "bento_model")
load("//rules:bento_model_import.bzl", _bento_model_import = "bento_model_import")
load("//rules:bento_package.bzl", _bento_package = "bento_package")
load("//rules:bento_push.bzl", _bento_push = "bento_push")
load("//rules:bento_requirements.bzl", _bento_requirements = "bento_requirements")
load("//rules:bento_requirements_test.bzl", _bento_requirements_test = "bento_requirements_test")
load("//rules:bento_test.bzl", _bento_test = "bento_test")
load("//rules:bento_wheel.bzl", _bento_wheel = "bento_wheel")
load("//rules/private:image_steps.bzl", _image = "image")
load("//rules/private:option_groups.bzl", _conda_options = "conda_options", _docker_options = "docker_options", _python_options = "python_options")
load("//rules/providers:api.bzl", _BentoApiInfo = "BentoApiInfo")
load("//rules/providers:base.bzl", _BentoBaseInfo = "BentoBaseInfo")
load("//rules/providers:bento.bzl", _BentoInfo = "BentoInfo")
load("//rules/providers:environment.bzl", _BentoEnvironmentInfo = "BentoEnvironmentInfo")
load("//rules/providers:image.bzl", _BentoImageInfo = "BentoImageInfo")
load("//rules/providers:image_index.bzl", _BentoImageIndexInfo = "BentoImageIndexInfo")
load("//rules/providers:layer.bzl", _BentoLayerInfo = "BentoLayerInfo")
load("//rules/providers:model.bzl", _BentoModelInfo = "BentoModelInfo")
load("//rules/providers:requirement.bzl", _BentoRequirementInfo = "BentoRequirementInfo")

bento_api = _bento_api
bento_api_test = _bento_api_test
bento_base = _bento_base
bento_deb_layer = _bento_deb_layer
bento_debs = _bento_debs
bento_debs_test = _bento_debs_test
bento_environment = _bento_environment
bento_image = _bento_image
bento_image_index = _bento_image_index
bento_load = _bento_load
bento_model = _bento_model
bento_model_import = _bento_model_import
bento_package = _bento_package
bento_push = _bento_push
bento_requirements = _bento_requirements
bento_requirements_test = _bento_requirements_test
bento_test = _bento_test
bento_wheel = _bento_wheel

conda_options = _conda_options
docker_options = _docker_options
image = _image
python_options = _python_options

BentoApiInfo = _BentoApiInfo
BentoBaseInfo = _BentoBaseInfo
BentoEnvironmentInfo = _BentoEnvironmentInfo
BentoImageInfo = _BentoImageInfo
BentoImageIndexInfo = _BentoImageIndexInfo
BentoInfo = _BentoInfo
BentoLayerInfo = _BentoLayerInfo
BentoModelInfo = _BentoModelInfo
BentoRequirementInfo = _BentoRequirementInfo
