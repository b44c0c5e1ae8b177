"""Defines transitions to the target platform and Python version of a Bento, which don't depend on the build machine."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("@platforms//host:constraints.bzl", "HOST_CONSTRAINTS")
load(":python_version.bzl", "PYTHON_INPUTS", "PYTHON_OUTPUTS", "set_python", "version_of_rules_python")
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

# Inputs of transitions with `shared_name`.
PLATFORM_INPUTS = [_DEFAULT, _HOST_PLATFORM]

def _is_host(settings, name):
    """Returns whether the detected host platform has the constraints of a platform of this module."""
    is_detected = str(settings[_HOST_PLATFORM]).endswith(_DETECTED)
    return is_detected and sorted(HOST_CONSTRAINTS) == PLATFORM_CONSTRAINTS.get(name)

def shared_name(settings, platform):
    """Returns the label of a platform, or of the equal platform for which Bazel builds the same targets alone.

    Otherwise, code would be built twice, for two names of one platform.
    """
    name = settings[_DEFAULT]
    is_default = platform == Label("//toolchains/platforms:" + name)
    return str(settings[_HOST_PLATFORM] if is_default and _is_host(settings, name) else platform)

def _platforms(settings, attr):
    """Returns the value of `--platforms` for a Bento.

    The attribute `platform` takes precedence over `--platforms`, which the command line or an image index can set. If
    neither is set, the function returns the platform in `//rules:platform`, because a Bento must not depend on the
    machine. Bazel sets `--platforms` to `--host_platform` by default. Only the detected host platform depends on the
    machine, so an explicit `--host_platform` has the same effect as `--platforms`.
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

    # As in `shared_name`, if targets without the attribute have the same platform.
    return settings[_PLATFORMS] if is_implicit and _is_host(settings, name) else [
        Label("//toolchains/platforms:" + name),
    ]

def installed_version(settings, attr):
    """Returns the version of rules_python (`X.Y`) for images of a Bento with packages of `pip.parse`, otherwise "".

    Only such a Bento has both packages and a requirements file. Its packages then have one configuration, whether or
    not the Bento sets `python_version`. Other Bentos keep the default of their package hub.
    """
    labels = getattr(attr, "requirements", []) if settings[_WHEELS] == "files" else []
    files = [label for label in labels if label.name.endswith(".txt")]
    return version_of_rules_python(settings) if files and len(files) < len(labels) else ""

def _target_cfg_impl(settings, attr):
    # A configuration with modules keeps the platform of the machine that runs the modules, because tests run there.
    is_kept = settings[_WHEELS] in ("import", "modules") or not hasattr(attr, "platform")
    version = attr.python_version if hasattr(attr, "python_version") and not hasattr(attr, "_is_image") else ""
    version = version or installed_version(settings, attr)
    return {_PLATFORMS: settings[_PLATFORMS] if is_kept else _platforms(settings, attr)} | set_python(settings, version)

# Transition of Bentos, and of rules that build from or test a Bento. Uses the attributes `platform` and
# `python_version`. Images of one base share its configuration, so the Python version applies only to their packages.
target_cfg = transition(
    implementation = _target_cfg_impl,
    inputs = [_PLATFORMS, _WHEELS] + PLATFORM_INPUTS + PYTHON_INPUTS,
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
