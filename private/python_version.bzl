"""Defines the Python version that selects the packages of package hubs."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")

def _bento_python_version_impl(ctx):
    own = ctx.attr.own[BuildSettingInfo].value
    mode = ctx.attr.wheels[BuildSettingInfo].value
    is_tool = mode in ("import", "metadata") and not ctx.attr.stated

    # rules_python has a default version, so its flag doesn't show whether a target or the command line set the version. Bentos and images don't use
    # its flag, because their Python is the package hub's.
    version = ctx.attr.rules_python[BuildSettingInfo].value if is_tool or (mode == "auto" and not own) else own
    return config_common.FeatureFlagInfo(value = ".".join(version.split(".")[:2]))

bento_python_version = rule(
    implementation = _bento_python_version_impl,
    doc = "Provides the Python version (`X.Y`) of a configuration's packages, for `config_setting`. An empty string selects the default of the package hub.",
    attrs = {
        "own": attr.label(doc = "The version that Bentos and images set.", mandatory = True, providers = [BuildSettingInfo]),
        "rules_python": attr.label(doc = "The version with which targets of rules_python run, such as `py_test`.", mandatory = True, providers = [BuildSettingInfo]),
        "stated": attr.bool(doc = "Whether a Bento declares the packages. False for packages of tools.", mandatory = True),
        "wheels": attr.label(doc = "The files that packages provide.", mandatory = True, providers = [BuildSettingInfo]),
    },
)
