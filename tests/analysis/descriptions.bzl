"""What targets are, as far as analysis tells: one test describes many, and another holds what is refused.

Each assertion by itself would be a test target, which takes a second to start.
"""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoBaseInfo", "BentoDebInfo", "BentoImageIndexInfo", "BentoImageInfo", "BentoInfo", "BentoLayerInfo", "BentoModelInfo", "BentoRequirementInfo", "BentoWheelInfo", "BentoWheelModulesInfo")
load(":expected.bzl", "EXPECTED")

# Name to provider, of all that targets are asked for.
PROVIDERS = {
    "BentoBaseInfo": BentoBaseInfo,
    "BentoDebInfo": BentoDebInfo,
    "BentoImageIndexInfo": BentoImageIndexInfo,
    "BentoImageInfo": BentoImageInfo,
    "BentoInfo": BentoInfo,
    "BentoLayerInfo": BentoLayerInfo,
    "BentoModelInfo": BentoModelInfo,
    "BentoRequirementInfo": BentoRequirementInfo,
    "BentoWheelInfo": BentoWheelInfo,
    "BentoWheelModulesInfo": BentoWheelModulesInfo,
    "PyInfo": PyInfo,
    "RunEnvironmentInfo": RunEnvironmentInfo,
}

_ActionsInfo = provider(doc = "What a target does.", fields = {"actions": "list[Action]", "kind": "str - its rule"})

# Files of `rules` with macros.
_NO_RULES = ["bento_debs", "bento_requirements", "bento_service"]

def _actions_impl(target, ctx):
    return [_ActionsInfo(actions = target.actions, kind = ctx.rule.kind)]

_actions = aspect(implementation = _actions_impl, doc = "Tells what a target does.")

def _names(files):
    """Returns the sorted names of files, each once, except for modules of unpacked wheels."""
    return sorted({file.basename: True for file in files if ".site-packages/" not in file.path})

def _groups(target):
    if OutputGroupInfo not in target:
        return {}
    info = target[OutputGroupInfo]
    groups = {group: getattr(info, group).to_list() for group in dir(info) if type(getattr(info, group)) == "depset" and group != "_hidden_top_level_INTERNAL_"}

    # Bazel adds the validations of all that a target depends on.
    own = [file for file in groups.pop("_validation", []) if file.owner == target.label]
    return {group: _names(files) for group, files in groups.items()} | ({"_validation": _names(own)} if own else {})

def _present(description):
    """Without what is not there."""
    return {key: value for key, value in description.items() if value}

def _describe(target):
    """Returns a dict with the outputs and providers of a target, without empty values."""
    bento = target[BentoInfo] if BentoInfo in target else None
    return _present({
        "executable": bool(target[DefaultInfo].files_to_run.executable),
        "files": _names(target[DefaultInfo].files.to_list()),
        "for": "{} {}".format(bento.platform, bento.python_version) if bento else "",
        "groups": _groups(target),
        "providers": sorted([name for name, provider in PROVIDERS.items() if provider in target]),
    })

# Actions that read descriptions of layers, but not the layers: they must not wait for the content of a layer.
_NO_LAYERS = ["BentoBuildDefinition", "BentoImage", "BentoImageIndex", "BentoModelImage", "BentoSbom", "BentoSizeCheck", "BentoSystemCheck"]

def _check_action(label, action):
    """Returns problems of an action: properties that all actions of the helper have."""
    if action.mnemonic in _NO_LAYERS:
        layers = [file.basename for file in action.inputs.to_list() if ".layer." in file.basename and file.extension in ("gzip", "zstd")]
        if layers:
            return ["{}: {} reads the layers {}".format(label, action.mnemonic, layers)]
    flags = action.argv[1:6] if action.argv else []
    problems = [] if flags == ["-I", "-S", "-B", "-X", "utf8"] else ["{}: {} is started with {}".format(label, action.mnemonic, flags)]
    return problems + ([] if not dict(action.env) else ["{}: {} has the variables {}".format(label, action.mnemonic, action.env)])

def _differences(label, expected, found):
    return [
        "{}: {} is\n{}\nand was expected to be\n{}".format(label, key, json.encode_indent(found.get(key)), json.encode_indent(expected.get(key)))
        for key in expected | found
        if found.get(key) != expected.get(key)
    ]

def report(ctx, problems):
    """A test that fails with all that is wrong.

    Args:
      ctx: context of a test rule.
      problems: list of texts.

    Returns:
      A list of providers.
    """
    text = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(text, "\n".join(problems) + "\n")
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(executable, "#!/bin/sh\ncat {}\nexit {}\n".format(text.short_path, 1 if problems else 0), is_executable = True)
    return [DefaultInfo(executable = executable, runfiles = ctx.runfiles([text]))]

def _described_test_impl(ctx):
    problems, found = [], {}
    for target, name in ctx.attr._targets.items():
        found[name] = _describe(target)
        problems += _differences(name, EXPECTED[name], found[name])
        for action in target[_ActionsInfo].actions:
            problems += _check_action(name, action) if action.mnemonic.startswith("Bento") else []
    kinds = [target[_ActionsInfo].kind for target in ctx.attr._targets]
    rules = [file.basename.removesuffix(".bzl") for file in ctx.files._rules if file.basename.startswith("bento_")]
    missing = [name for name in rules if name not in kinds + _NO_RULES]
    output = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(output, json.encode_indent(found, indent = "    "))
    return report(ctx, problems + ["{}: no target describes it".format(name) for name in missing]) + [OutputGroupInfo(found = depset([output]))]

described_test = rule(
    implementation = _described_test_impl,
    doc = "Compares the outputs and providers of targets with `expected.bzl`, and tests what must hold for each action. The output group `found` has all descriptions.",
    attrs = {
        "_rules": attr.label(default = "//rules:starlark"),
        # A private attribute, because Bazel runs the validations of the targets in other attributes.
        "_targets": attr.label_keyed_string_dict(
            aspects = [_actions],
            default = {Label("//tests/analysis" + name if name.startswith(":") else name): name for name in EXPECTED},
        ),
    },
    test = True,
)

def _failing_impl(_settings, _attr):
    return {"//command_line_option:allow_analysis_failures": True}

_failing = transition(implementation = _failing_impl, inputs = [], outputs = ["//command_line_option:allow_analysis_failures"])

def _refused_impl(ctx):
    problems = []
    for target, messages in ctx.attr.targets.items():
        said = "\n".join([cause.message for cause in target[AnalysisFailureInfo].causes.to_list()]) if AnalysisFailureInfo in target else ""
        for message in messages.split("\n"):
            if message not in said:
                problems.append("{}: expected \"{}\", but it says:\n{}".format(target.label, message, said or "nothing, for it is taken"))
    return report(ctx, problems)

refusals_test = rule(
    implementation = _refused_impl,
    doc = "Fails where a target is not refused, or is with other words than expected.",
    attrs = {"targets": attr.label_keyed_string_dict(cfg = _failing, doc = "Target to parts of what is said, one to a line.", mandatory = True)},
    test = True,
)
