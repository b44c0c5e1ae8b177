"""The providers that other rules may take and give: `load("@rules_bento//rules:providers.bzl", ...)`."""

load("//rules/providers:api.bzl", _BentoApiInfo = "BentoApiInfo")
load("//rules/providers:base.bzl", _BentoBaseInfo = "BentoBaseInfo")
load("//rules/providers:bento.bzl", _BentoInfo = "BentoInfo")
load("//rules/providers:deb.bzl", _BentoDebInfo = "BentoDebInfo")
load("//rules/providers:deb_layer.bzl", _BentoDebLayerInfo = "BentoDebLayerInfo")
load("//rules/providers:environment.bzl", _BentoEnvironmentInfo = "BentoEnvironmentInfo")
load("//rules/providers:image.bzl", _BentoImageInfo = "BentoImageInfo")
load("//rules/providers:image_index.bzl", _BentoImageIndexInfo = "BentoImageIndexInfo")
load("//rules/providers:layer.bzl", _BentoLayerInfo = "BentoLayerInfo")
load("//rules/providers:model.bzl", _BentoModelInfo = "BentoModelInfo")
load("//rules/providers:options.bzl", _BentoOptionsInfo = "BentoOptionsInfo")
load("//rules/providers:requirement.bzl", _BentoRequirementInfo = "BentoRequirementInfo")
load("//rules/providers:wheel.bzl", _BentoWheelInfo = "BentoWheelInfo")
load("//rules/providers:wheel_modules.bzl", _BentoWheelModulesInfo = "BentoWheelModulesInfo")

BentoApiInfo = _BentoApiInfo
BentoBaseInfo = _BentoBaseInfo
BentoDebInfo = _BentoDebInfo
BentoDebLayerInfo = _BentoDebLayerInfo
BentoEnvironmentInfo = _BentoEnvironmentInfo
BentoImageIndexInfo = _BentoImageIndexInfo
BentoImageInfo = _BentoImageInfo
BentoInfo = _BentoInfo
BentoLayerInfo = _BentoLayerInfo
BentoModelInfo = _BentoModelInfo
BentoOptionsInfo = _BentoOptionsInfo
BentoRequirementInfo = _BentoRequirementInfo
BentoWheelInfo = _BentoWheelInfo
BentoWheelModulesInfo = _BentoWheelModulesInfo
