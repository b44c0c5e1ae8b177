"""Defines the Python version of a configuration, which selects packages of package hubs and the runtime of tests and
imports."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load(":attributes.bzl", "minor_version")
load(":versions.bzl", "PYTHON_VERSION", "PYTHON_VERSIONS")

PYTHON_VERSION_FLAG = "//rules:python_version"
RULES_PYTHON = "@rules_python//python/config_settings:python_version"
_AVAILABLE = "//toolchains/platforms:rules_python_versions"

# Inputs and outputs of transitions that set the Python version.
PYTHON_INPUTS = [_AVAILABLE, PYTHON_VERSION_FLAG, RULES_PYTHON]
PYTHON_OUTPUTS = [PYTHON_VERSION_FLAG, RULES_PYTHON]

def set_python(settings, version):
    """Returns the values of `PYTHON_OUTPUTS` for a Python version (`X.Y`): of this module, and of rules_python.

    An empty version changes nothing.
    """
    current = settings[RULES_PYTHON]
    if not version:
        return {PYTHON_VERSION_FLAG: settings[PYTHON_VERSION_FLAG], RULES_PYTHON: current}

    # rules_python rejects versions that it doesn't have.
    is_kept = minor_version(current) == version or version not in settings[_AVAILABLE]
    return {PYTHON_VERSION_FLAG: version, RULES_PYTHON: current if is_kept else version}

def version_of_rules_python(settings):
    """Returns the version (`X.Y`) of a configuration's rules_python, or "" if it isn't one of its interpreters."""
    version = minor_version(settings[RULES_PYTHON])
    return version if version in settings[_AVAILABLE] else ""

def reset_python(settings):
    """Returns the values of `PYTHON_OUTPUTS` for targets that are the same in all configurations.

    These targets don't use the version of rules_python.
    """
    return {PYTHON_VERSION_FLAG: "", RULES_PYTHON: (settings[_AVAILABLE] + [settings[RULES_PYTHON]])[0]}

# Attribute of rules that test or use a Bento, with the transition `target_cfg`.
OF_BENTO = {
    "python_version": attr.string(
        doc = "Python version (`X.Y`) of the target and the Bento, if the Bento sets `python_version`. Default: " +
              "the version of rules_python.",
    ),
}

def rules_python_interpreters(labels):
    """Returns a dict of version (`X.Y`, 3.10 or later) to interpreter, the default version first.

    `labels` is INTERPRETER_LABELS of rules_python.
    """
    interpreters = {}
    for name, label in labels.items():
        numbers = name.removeprefix("python_").removesuffix("_host").split("_")
        version = ".".join(numbers)
        if len(numbers) == 2 and version in PYTHON_VERSIONS:
            interpreters[version] = label
    return {
        version: interpreters[version]
        for version in [PYTHON_VERSION] + reversed(PYTHON_VERSIONS)
        if version in interpreters
    }

def is_tool(ctx):
    """Returns whether the configuration is of tools.

    Only the name of the output directory shows this, as in other rule sets.
    """

    # The name begins with the platform, whose name can contain "-exec".
    return "-{}-exec".format(ctx.var["COMPILATION_MODE"]) in ctx.bin_dir.path.split("/")[1]

def _declares_only(ctx):
    return ctx.attr.wheels[BuildSettingInfo].value in ("import", "metadata")

def _bento_python_version_impl(ctx):
    own = ctx.attr.own[BuildSettingInfo].value
    mode = ctx.attr.wheels[BuildSettingInfo].value

    # rules_python has a default version, so its flag doesn't show whether a target or the command line set the version.
    # Bentos and images don't use its flag, because their Python is the package hub's.
    of_tool = is_tool(ctx) and _declares_only(ctx)
    version = ctx.attr.rules_python[BuildSettingInfo].value if of_tool or (mode == "auto" and not own) else own
    return config_common.FeatureFlagInfo(value = ".".join(version.split(".")[:2]))

# Provides the Python version (`X.Y`) of a configuration's packages, for `config_setting`; empty for the default of the
# package hub. Bentos and images set `own`. Targets of rules_python, such as `py_test`, run with `rules_python`.
bento_python_version = rule(
    implementation = _bento_python_version_impl,
    attrs = {
        "own": attr.label(mandatory = True, providers = [BuildSettingInfo]),
        "rules_python": attr.label(mandatory = True, providers = [BuildSettingInfo]),
        "wheels": attr.label(mandatory = True, providers = [BuildSettingInfo]),
    },
)
