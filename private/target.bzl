"""Defines transitions to the target platform and Python version of a Bento, which don't depend on the build machine."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("@platforms//host:constraints.bzl", "HOST_CONSTRAINTS")
load(":python_version.bzl", "PYTHON_INPUTS", "PYTHON_OUTPUTS", "set_python")
load(":versions.bzl", "PLATFORMS", "PLATFORM_CONSTRAINTS")

_DEFAULT = "//rules:platform"
_HOST_PLATFORM = "//command_line_option:host_platform"
_PLATFORMS = "//command_line_option:platforms"
_WHEELS = "//rules:wheels"

# Suffixes of the label of the detected host platform. The name of the platform's repository depends on the Bazel
# version.
_DETECTED = (
    "platforms//host:host",
    "platforms//host",
    "local_config_platform//:host",
    "bazel_tools//tools:host_platform",
)

def _platforms(settings, attr):
    """Returns the value of `--platforms` for a Bento.

    The attribute `platform` takes precedence over `--platforms`, which the command line or an image index can set. If
    neither is set, the
    function returns the platform in `//rules:platform`, because a Bento must not depend on the machine. Bazel sets
    `--platforms` to
    `--host_platform` by default. Only the detected host platform depends on the machine, so an explicit
    `--host_platform` has the same effect
    as `--platforms`.
    """
    requested = [str(platform) for platform in settings[_PLATFORMS]]
    host = str(settings[_HOST_PLATFORM])
    is_implicit = host.endswith(_DETECTED) and (not requested or requested == [host])
    if not attr.platform and not is_implicit:
        return settings[_PLATFORMS]
    name = attr.platform or settings[_DEFAULT]
    if name not in PLATFORM_CONSTRAINTS:
        fail(
            "--@rules_bento{}: invalid platform \"{}\". Valid values: {}.".format(_DEFAULT, name, ", ".join(PLATFORMS)),
        )

    # If the detected host platform has the same constraints, keep it. Otherwise, code would be built twice, for two
    # names of one platform.
    return settings[_PLATFORMS] if is_implicit and sorted(HOST_CONSTRAINTS) == PLATFORM_CONSTRAINTS[name] else [
        Label("//toolchains/platforms:" + name),
    ]

def _target_cfg_impl(settings, attr):
    # A configuration with modules keeps the platform of the machine that runs the modules, because tests run there.
    is_kept = settings[_WHEELS] in ("import", "modules") or not hasattr(attr, "platform")
    version = attr.python_version if hasattr(attr, "python_version") and not hasattr(attr, "_is_image") else ""
    return {_PLATFORMS: settings[_PLATFORMS] if is_kept else _platforms(settings, attr)} | set_python(settings, version)

# Transition of Bentos, and of rules that build from or test a Bento. Uses the attributes `platform` and
# `python_version`. Images of one base share its configuration, so the Python version applies only to their packages.
target_cfg = transition(
    implementation = _target_cfg_impl,
    inputs = [_DEFAULT, _HOST_PLATFORM, _PLATFORMS, _WHEELS] + PYTHON_INPUTS,
    outputs = [_PLATFORMS] + PYTHON_OUTPUTS,
)

# Attribute of rules whose configuration images share.
IS_IMAGE = {"_is_image": attr.bool(default = True)}

def _attributes(names):
    return {
        "platform": attr.string(
            doc = "Target platform. Default: `--platforms`, if this flag or `--host_platform` is set; otherwise " +
                  "`--@rules_bento//rules:platform`.",
            values = [""] + names,
        ),
        "_platform": attr.label(default = "//rules:target_platform", providers = [BuildSettingInfo]),
    }

# Attributes of rules with this transition.
PLATFORM = _attributes(PLATFORMS)

# Attributes of image rules. Containers run Linux.
IMAGE_PLATFORM = _attributes([name for name in PLATFORMS if name.startswith("linux_")]) | IS_IMAGE

def platform_name(ctx):
    """Returns the target platform as `<os>_<architecture>`, or an empty string if package hubs don't support it."""
    return ctx.attr._platform[BuildSettingInfo].value
