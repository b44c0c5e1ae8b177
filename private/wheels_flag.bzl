"""Defines transitions of the flag `//rules:wheels`, which selects the files that packages in package hubs provide.

A Bento only declares packages, but a test requires the modules of the packages, and an image requires the wheels.
Bazel fetches all packages in the attributes of a configured target, so each use has a separate configuration.
docs/contributing/navigation.md has the configurations of an image. Values of the flag:

- `auto`: packages provide modules to targets with the packages in `deps`.
- `metadata`: a Bento only declares packages. Tools of actions get modules (see //toolchains/platforms:wheels).
- `import`: same as `metadata`, but BentoML provides modules.
- `modules`: packages also provide modules to Bentos.
- `files`: packages provide wheels, instead of modules, to images and the helper."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load(":deferred.bzl", "DEFERRED", "RESET")
load(
    ":python_version.bzl",
    "PYTHON_INPUTS",
    "PYTHON_OUTPUTS",
    "PYTHON_VERSION_FLAG",
    "RULES_PYTHON",
    "is_tool",
    "reset_python",
    "set_python",
)

_FLAG = "//rules:wheels"
_HOST_PLATFORM = "//command_line_option:host_platform"
_PLATFORMS = "//command_line_option:platforms"

def needs_packages(mode, *, on_host = False):
    """Returns attributes of rules whose attributes have the transition `packages_cfg` or `bento_packages_cfg`.

    Args:
      mode: what the rule requires of packages, a value of `//rules:wheels`.
      on_host: whether the rule requires packages for the host platform.
    """
    return {
        "_on_host": attr.bool(default = on_host),
        "_packages": attr.string(default = mode),
    }

def _declared(settings, attr):
    """Returns the value of `//rules:wheels` for attributes whose packages are only declared."""
    imported = getattr(attr, "service_metadata", "static") == "import"
    if settings[_FLAG] == "auto" or (imported and settings[_FLAG] == "metadata"):
        return "import" if imported else "metadata"
    return settings[_FLAG]

# Transition of attributes whose packages are only declared. BentoML provides modules if the rule's attribute
# `service_metadata` is `import`.
metadata_cfg = transition(
    implementation = lambda settings, attr: {_FLAG: _declared(settings, attr)},
    inputs = [_FLAG],
    outputs = [_FLAG],
)

def _locked_wheel_impl(settings, _attr):
    shared = {_PLATFORMS: str(settings[_HOST_PLATFORM])} | reset_python(settings)
    return RESET | (shared if settings[_FLAG] == "files" else {key: settings[key] for key in shared})

# Transition of a locked wheel. The file is for one platform and one Python version, whatever the configuration. All
# images then share its layers and its bytecode.
locked_wheel_cfg = transition(
    implementation = _locked_wheel_impl,
    inputs = [_FLAG, _HOST_PLATFORM, _PLATFORMS] + PYTHON_INPUTS,
    outputs = [DEFERRED, _PLATFORMS] + PYTHON_OUTPUTS,
)

def _required(settings, attr):
    """Returns the value of `//rules:wheels` for attributes whose packages are required.

    `import_requirements` are required by an import.
    """
    if hasattr(attr, "_packages"):
        return attr._packages
    mode = _declared(settings, attr)
    return "modules" if mode == "import" else mode

def _platform(settings, attr):
    return str(settings[_HOST_PLATFORM]) if getattr(attr, "_on_host", False) else settings[_PLATFORMS]

# Transition of attributes and rules with `needs_packages`, and of the attribute `import_requirements`.
packages_cfg = transition(
    implementation = lambda settings, attr: RESET | {
        _FLAG: _required(settings, attr),
        _PLATFORMS: _platform(settings, attr),
    },
    inputs = [_FLAG, _HOST_PLATFORM, _PLATFORMS],
    outputs = [DEFERRED, _FLAG, _PLATFORMS],
)

def _bento_packages_impl(settings, attr):
    # The libraries of a program are like the attributes of a Bento. In the version of its packages.
    metadata = {
        _FLAG: settings[_FLAG] if hasattr(attr, "bento") else _declared(settings, attr),
        _PLATFORMS: settings[_PLATFORMS],
    } | set_python(settings, attr.python_version if hasattr(attr, "python_version") else "")
    return {
        "metadata": metadata,
        "packages": metadata | {_FLAG: attr._packages, _PLATFORMS: _platform(settings, attr)},
    }

# Split transition of the Bento or program attribute of rules with `needs_packages`. `metadata` is the common
# configuration of the Bento. In the configuration `packages`, rules read only the requirements, so that the actions of
# a Bento don't run twice.
bento_packages_cfg = transition(
    implementation = _bento_packages_impl,
    inputs = [_FLAG, _HOST_PLATFORM, _PLATFORMS] + PYTHON_INPUTS,
    outputs = [_FLAG, _PLATFORMS] + PYTHON_OUTPUTS,
)

# Attributes of rules with `common_cfg`, or with such attributes: for the host platform; and there in the Python version
# of the configuration.
ON_HOST = {"_on_host": attr.bool(default = True)}
KEEPS_PYTHON = ON_HOST | {"_keeps_python": attr.bool(default = True)}

def _common_impl(settings, attr):
    if hasattr(attr, "_keeps_python"):
        python = set_python(settings, "")
    elif hasattr(attr, "python_version"):
        python = {PYTHON_VERSION_FLAG: "", RULES_PYTHON: set_python(settings, attr.python_version)[RULES_PYTHON]}
    else:
        python = reset_python(settings)
    return RESET | {_FLAG: "auto", _PLATFORMS: _platform(settings, attr)} | python

# Transition of targets that are the same for all modes of packages: generated input files, which keep the version of
# rules_python, with which their generators run; an interpreter of rules_python, in the version of its attribute; the
# helper and its third-party packages; and programs for `bazel run`, on the host platform. They share the configuration
# of tools. Each further configuration with toolchains has more than 200 targets, because Bazel analyzes all registered
# toolchains in it.
common_cfg = transition(
    implementation = _common_impl,
    inputs = [_HOST_PLATFORM, _PLATFORMS] + PYTHON_INPUTS,
    outputs = [DEFERRED, _FLAG, _PLATFORMS] + PYTHON_OUTPUTS,
)

def _bento_wheels_impl(ctx):
    # Tools that generate a library require the modules of their packages, even if the library only declares packages.
    value = ctx.attr.wheels[BuildSettingInfo].value
    return config_common.FeatureFlagInfo(value = "tool" if is_tool(ctx) and value != "files" else value)

# Provides the value of `//rules:wheels`, for `config_setting`. Tools of actions inherit the value of their users, but
# packages provide modules to tools (`tool`).
bento_wheels = rule(
    implementation = _bento_wheels_impl,
    attrs = {
        "wheels": attr.label(mandatory = True, providers = [BuildSettingInfo]),
    },
)
