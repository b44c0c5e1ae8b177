"""Determines the target platform and Python version of a Bento, independent of the build machine."""

load("@platforms//host:constraints.bzl", "HOST_CONSTRAINTS")
load(":providers.bzl", "BentoFlagInfo")

_DEFAULT = "//rules:platform"
_HOST_PLATFORM = "//command_line_option:host_platform"
_PLATFORMS = "//command_line_option:platforms"
_PYTHON_VERSION = "//rules:python_version"
_WHEELS = "//rules:wheels"

# Platform name in package hubs and wheel tags, to its platform() and constraints.
_KNOWN = {
    "linux_aarch64": ("//toolchains/platforms:linux_arm64", ["@platforms//cpu:aarch64", "@platforms//os:linux"]),
    "linux_x86_64": ("//toolchains/platforms:linux_amd64", ["@platforms//cpu:x86_64", "@platforms//os:linux"]),
    "macos_arm64": ("//toolchains/platforms:darwin_arm64", ["@platforms//cpu:aarch64", "@platforms//os:osx"]),
    "macos_x86_64": ("//toolchains/platforms:darwin_amd64", ["@platforms//cpu:x86_64", "@platforms//os:osx"]),
}

# Suffixes of the label of the detected host platform, whose repository has another name in each Bazel version.
_DETECTED = ("platforms//host:host", "platforms//host", "local_config_platform//:host", "bazel_tools//tools:host_platform")

PLATFORM_NAMES = sorted(_KNOWN)

def _platforms(settings, attr):
    """Returns the platforms of a configuration for a Bento.

    An explicit `--platforms`, or the platform of an image index, takes precedence. Otherwise Bazel's platforms are the host's, which a
    Bento must not depend on.
    """
    requested = [str(platform) for platform in settings[_PLATFORMS]]
    is_implicit = not requested or requested == [str(settings[_HOST_PLATFORM])]
    if not attr.platform and not is_implicit:
        return settings[_PLATFORMS]
    name = attr.platform or settings[_DEFAULT]
    if name not in _KNOWN:
        fail("--{}: invalid platform \"{}\". Use one of: {}.".format(_DEFAULT, name, ", ".join(PLATFORM_NAMES)))
    label, constraints = _KNOWN[name]

    # A detected host of the same kind is kept, so that code isn't built twice for two names of one platform. (The constraints of an
    # explicit --host_platform are unknown to a transition.)
    is_detected = is_implicit and str(settings[_HOST_PLATFORM]).endswith(_DETECTED)
    return settings[_PLATFORMS] if is_detected and sorted(HOST_CONSTRAINTS) == constraints else [Label(label)]

def _bento_cfg_impl(settings, attr):
    version = attr.python_version or settings[_PYTHON_VERSION]

    # Modules are for the machine that runs them: a test of a Bento runs on it, independent of the image's platform.
    platforms = settings[_PLATFORMS] if settings[_WHEELS] in ("import", "modules") else _platforms(settings, attr)
    return {_PLATFORMS: platforms, _PYTHON_VERSION: version}

# For bento_package, by its attributes `platform` and `python_version`.
bento_cfg = transition(
    implementation = _bento_cfg_impl,
    inputs = [_DEFAULT, _HOST_PLATFORM, _PLATFORMS, _PYTHON_VERSION, _WHEELS],
    outputs = [_PLATFORMS, _PYTHON_VERSION],
)

# For targets that are built from a Bento for its platform, by the attribute `platform`.
image_cfg = transition(
    implementation = lambda settings, attr: {_PLATFORMS: _platforms(settings, attr)},
    inputs = [_DEFAULT, _HOST_PLATFORM, _PLATFORMS],
    outputs = [_PLATFORMS],
)

def _attributes(names):
    return {
        "platform": attr.string(
            doc = "Target platform: {}. Default: the platform of `--platforms`, or else of `--@rules_bento//rules:platform`; never the build machine's.".format(
                ", ".join(["`{}`".format(name) for name in names]),
            ),
            values = [""] + names,
        ),
        "_platform": attr.label(default = "//rules:target_platform", providers = [BentoFlagInfo]),
    }

# For rules with one of these transitions.
PLATFORM = _attributes(PLATFORM_NAMES)

# Containers run Linux.
IMAGE_PLATFORM = _attributes([name for name in PLATFORM_NAMES if name.startswith("linux_")])

def platform_name(ctx):
    """Returns the target platform, `<os>_<machine>`, or an empty string for a platform that no package hub supports."""
    return ctx.attr._platform[BentoFlagInfo].value
