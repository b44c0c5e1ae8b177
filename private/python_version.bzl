"""Defines build settings that depend on whether a target is a tool of an action, and the Python version that selects the packages of package hubs."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")

def _is_tool(ctx):
    """Returns whether the configuration is of tools. Only the name of the output directory shows this, as in other rule sets."""
    return "-exec" in ctx.bin_dir.path.split("/")[1]

def _declares_only(ctx):
    return ctx.attr.wheels[BuildSettingInfo].value in ("import", "metadata")

def _bento_wheels_impl(ctx):
    # Tools that generate a library require the files of their packages, even if the library only declares packages.
    return config_common.FeatureFlagInfo(value = "auto" if _is_tool(ctx) and _declares_only(ctx) else ctx.attr.wheels[BuildSettingInfo].value)

bento_wheels = rule(
    implementation = _bento_wheels_impl,
    doc = "Provides the value of `//rules:wheels`, for `config_setting`. Tools of actions inherit the value of their users, but packages provide modules to tools.",
    attrs = {"wheels": attr.label(doc = "The files that packages provide.", mandatory = True, providers = [BuildSettingInfo])},
)

def _bento_python_version_impl(ctx):
    own = ctx.attr.own[BuildSettingInfo].value
    mode = ctx.attr.wheels[BuildSettingInfo].value

    # rules_python has a default version, so its flag doesn't show whether a target or the command line set the version. Bentos and images don't use
    # its flag, because their Python is the package hub's.
    of_tool = _is_tool(ctx) and _declares_only(ctx)
    version = ctx.attr.rules_python[BuildSettingInfo].value if of_tool or (mode == "auto" and not own) else own
    return config_common.FeatureFlagInfo(value = ".".join(version.split(".")[:2]))

bento_python_version = rule(
    implementation = _bento_python_version_impl,
    doc = "Provides the Python version (`X.Y`) of a configuration's packages, for `config_setting`. An empty string selects the default of the package hub.",
    attrs = {
        "own": attr.label(doc = "The version that Bentos and images set.", mandatory = True, providers = [BuildSettingInfo]),
        "rules_python": attr.label(doc = "The version with which targets of rules_python run, such as `py_test`.", mandatory = True, providers = [BuildSettingInfo]),
        "wheels": attr.label(doc = "The files that packages provide.", mandatory = True, providers = [BuildSettingInfo]),
    },
)
