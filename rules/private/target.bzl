"""Decides what a Bento is built for: a platform and a Python of its own, not those of the building machine."""

load("@platforms//host:constraints.bzl", "HOST_CONSTRAINTS")
load(":providers.bzl", "BentoFlagInfo")

_DEFAULT = "//rules:platform"
_HOST_PLATFORM = "//command_line_option:host_platform"
_PLATFORMS = "//command_line_option:platforms"
_PYTHON_VERSION = "//rules:python_version"
_WHEELS = "//rules:wheels"

# Name of a platform in hubs (which is its name in tags of wheels) to its platform() and its constraints.
_KNOWN = {
    "linux_aarch64": ("//toolchains/platforms:linux_arm64", ["@platforms//cpu:aarch64", "@platforms//os:linux"]),
    "linux_x86_64": ("//toolchains/platforms:linux_amd64", ["@platforms//cpu:x86_64", "@platforms//os:linux"]),
    "macos_arm64": ("//toolchains/platforms:darwin_arm64", ["@platforms//cpu:aarch64", "@platforms//os:osx"]),
    "macos_x86_64": ("//toolchains/platforms:darwin_amd64", ["@platforms//cpu:x86_64", "@platforms//os:osx"]),
}

# How the label of the platform ends that Bazel detects as the host; its repository has another name in each version of Bazel.
_DETECTED = ("platforms//host:host", "platforms//host", "local_config_platform//:host", "bazel_tools//tools:host_platform")

PLATFORM_NAMES = sorted(_KNOWN)

def _platforms(settings, attr):
    """Returns the platforms of a configuration for a Bento.

    Those of `--platforms` hold where somebody set it, be it an image index. Where nobody did, Bazel's are the host's,
    which a Bento must not depend on.
    """
    given = [str(platform) for platform in settings[_PLATFORMS]]
    is_implicit = not given or given == [str(settings[_HOST_PLATFORM])]
    if not attr.platform and not is_implicit:
        return settings[_PLATFORMS]
    name = attr.platform or settings[_DEFAULT]
    if name not in _KNOWN:
        fail("--{} is \"{}\", but platforms are {}".format(_DEFAULT, name, ", ".join(PLATFORM_NAMES)))
    label, constraints = _KNOWN[name]

    # A host of the same kind stays itself, so that code is not built twice for two names of one platform. (Of one that
    # was given by --host_platform it is not known here what it is.)
    is_detected = is_implicit and str(settings[_HOST_PLATFORM]).endswith(_DETECTED)
    return settings[_PLATFORMS] if is_detected and sorted(HOST_CONSTRAINTS) == constraints else [Label(label)]

def _bento_cfg_impl(settings, attr):
    version = attr.python_version or settings[_PYTHON_VERSION]

    # Modules are for the machine that runs them: a test of a Bento runs here, whatever its image is for.
    platforms = settings[_PLATFORMS] if settings[_WHEELS] == "modules" else _platforms(settings, attr)
    return {_PLATFORMS: platforms, _PYTHON_VERSION: version}

# For bento_package, by its attributes `platform` and `python_version`.
bento_cfg = transition(
    implementation = _bento_cfg_impl,
    inputs = [_DEFAULT, _HOST_PLATFORM, _PLATFORMS, _PYTHON_VERSION, _WHEELS],
    outputs = [_PLATFORMS, _PYTHON_VERSION],
)

# For what is made of a Bento for its platform, by the attribute `platform`.
image_cfg = transition(
    implementation = lambda settings, attr: {_PLATFORMS: _platforms(settings, attr)},
    inputs = [_DEFAULT, _HOST_PLATFORM, _PLATFORMS],
    outputs = [_PLATFORMS],
)

def _attributes(names):
    return {
        "platform": attr.string(
            doc = "What it is for: {}. Default: that of `--platforms`, else of `--@rules_bento//rules:platform`; never the machine that builds it.".format(
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
    """Names the platform that a target is built for.

    Args:
      ctx: context of a rule with the attributes of `PLATFORM` or `IMAGE_PLATFORM`.

    Returns:
      `<os>_<machine>`; empty for one that no hub knows.
    """
    return ctx.attr._platform[BentoFlagInfo].value
