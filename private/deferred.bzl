"""Defines edges that only the analysis follows, so that `bazel query` fetches no repositories for other platforms.

`bazel query` follows all branches of a `select`, but only the default of a label setting. A `deferred` target has the
label of its dependency as a string, and its transition sets the label setting to this label. The rules of dependencies
reset the setting, so a dependency has the same configuration for all its users."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoWheelInfo", "BentoWheelModulesInfo")
load(":providers.bzl", "BentoCompilersInfo", "BentoRequirementFilesInfo")

_SETTING = "//toolchains/platforms:deferred"

# Output and value of a transition that resets the label setting. Each rule of targets that `deferred` names has such a
# transition, except for files.
DEFERRED = _SETTING
RESET = {_SETTING: Label("//toolchains/platforms:no_target")}

def _deferred_cfg_impl(_settings, attr):
    label = getattr(attr, "label", "")
    return {_SETTING: Label(label)} if label else RESET

# Transition of the attribute `target` of rules with the attribute `label`, and of rules of their targets that need no
# other transition.
deferred_cfg = transition(implementation = _deferred_cfg_impl, inputs = [], outputs = [_SETTING])

# Attributes of rules that have a deferred edge: the canonical label of the other target, or an empty string; and the
# label setting, which targets don't set.
DEFERRED_EDGE = {
    "label": attr.string(),
    "target": attr.label(allow_files = True, cfg = deferred_cfg, default = _SETTING),
}

def deferred_target(ctx):
    """Returns the target at the end of a deferred edge.

    It has no providers of this module if `label` is empty.
    """
    return ctx.attr.target[0]

_PROVIDERS = [
    BentoCompilersInfo,
    BentoRequirementFilesInfo,
    BentoWheelInfo,
    BentoWheelModulesInfo,
    PyInfo,
    platform_common.ToolchainInfo,
]

def _forwarded(target):
    return [
        target[provider]
        for provider in _PROVIDERS
        if provider in target
    ] + [DefaultInfo(files = target[DefaultInfo].files)]

# Provides the wheel, modules, toolchain, interpreters, or files of another target.
_deferred = rule(
    implementation = lambda ctx: _forwarded(deferred_target(ctx)),
    attrs = DEFERRED_EDGE,
)

# Provides another target, in one configuration for all deferred edges. Bazel evaluates each `select` of a rule with a
# transition also in the configuration of its user. Rules with `select` are therefore `target`.
end_of_deferred = rule(
    implementation = lambda ctx: _forwarded(ctx.attr.target),
    cfg = deferred_cfg,
    attrs = {"target": attr.label(mandatory = True)},
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
