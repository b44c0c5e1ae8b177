"""Defines edges that only the analysis follows, so that `bazel query` fetches no repositories for other platforms.

`bazel query` follows all branches of a `select`, but only the default of a label setting. A `deferred` target has the label of its dependency as a
string, and its transition sets the label setting to this label. The rules of dependencies reset the setting, so a dependency has the same
configuration for all its users."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoWheelInfo", "BentoWheelModulesInfo")
load(":providers.bzl", "BentoCompilersInfo")

_SETTING = "//toolchains/platforms:deferred"

# Output and value of a transition that resets the label setting. Each rule of targets that `deferred` names has such a transition, except for files.
DEFERRED = _SETTING
RESET = {_SETTING: Label("//toolchains/platforms:no_target")}

# Transition of rules that need no other transition.
deferred_target_cfg = transition(implementation = lambda _settings, _attr: RESET, inputs = [], outputs = [DEFERRED])

_deferred_cfg = transition(implementation = lambda _settings, attr: {_SETTING: Label(attr.label)}, inputs = [], outputs = [_SETTING])

_PROVIDERS = [BentoCompilersInfo, BentoWheelInfo, BentoWheelModulesInfo, PyInfo, platform_common.ToolchainInfo]

def _deferred_impl(ctx):
    target = ctx.attr.target[0]
    return [target[provider] for provider in _PROVIDERS if provider in target] + [DefaultInfo(files = target[DefaultInfo].files)]

_deferred = rule(
    implementation = _deferred_impl,
    doc = "Provides the wheel, modules, toolchain, interpreters, or files of another target.",
    attrs = {
        "label": attr.string(doc = "Canonical label of the other target.", mandatory = True),
        "target": attr.label(allow_files = True, cfg = _deferred_cfg, default = _SETTING, doc = "The label setting. Never set."),
    },
)

def deferred(name, labels, no_match_error = "", **kwargs):
    """Declares a target that depends on one of several labels, which `bazel query` doesn't follow.

    Args:
      name: name of the target.
      labels: dict of condition to label, as in `select`.
      no_match_error: error message if no condition is true.
      **kwargs: common attributes.
    """
    canonical = {condition: str(native.package_relative_label(label)) for condition, label in labels.items()}
    _deferred(name = name, label = select(canonical, no_match_error = no_match_error), **kwargs)
