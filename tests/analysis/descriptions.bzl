"""What targets are, as far as analysis tells: one test describes many, and another holds what is refused.

Each assertion by itself would be a test target, which takes a second to start.
"""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoApiInfo", "BentoBaseInfo", "BentoDebInfo", "BentoDebLayerInfo", "BentoEnvironmentInfo", "BentoImageIndexInfo", "BentoImageInfo", "BentoInfo", "BentoLayerInfo", "BentoModelInfo", "BentoOptionsInfo", "BentoRequirementInfo", "BentoWheelInfo", "BentoWheelModulesInfo")

# Name to provider, of all that targets are asked for.
PROVIDERS = {
    "BentoApiInfo": BentoApiInfo,
    "BentoBaseInfo": BentoBaseInfo,
    "BentoDebInfo": BentoDebInfo,
    "BentoDebLayerInfo": BentoDebLayerInfo,
    "BentoEnvironmentInfo": BentoEnvironmentInfo,
    "BentoImageIndexInfo": BentoImageIndexInfo,
    "BentoImageInfo": BentoImageInfo,
    "BentoInfo": BentoInfo,
    "BentoLayerInfo": BentoLayerInfo,
    "BentoModelInfo": BentoModelInfo,
    "BentoOptionsInfo": BentoOptionsInfo,
    "BentoRequirementInfo": BentoRequirementInfo,
    "BentoWheelInfo": BentoWheelInfo,
    "BentoWheelModulesInfo": BentoWheelModulesInfo,
    "PyInfo": PyInfo,
    "RunEnvironmentInfo": RunEnvironmentInfo,
}
_TOOLS = ["command.zip", "helper.zip", "python3", "uv"]

_ActionsInfo = provider(doc = "What a target does.", fields = {"actions": "list[Action]", "kind": "str - its rule"})

# Files of `rules` that have no rule.
_NO_RULES = ["bento_service"]

def _actions_impl(target, ctx):
    return [_ActionsInfo(actions = target.actions, kind = ctx.rule.kind)]

_actions = aspect(implementation = _actions_impl, doc = "Tells what a target does.")

def _is_own(file):
    """Whether a file is no part of the helper, of its packages or of its interpreter."""
    path = file.path
    return not (file.basename in _TOOLS or file.basename.endswith(".params") or "/site-packages/" in path or "/helper_packages/" in path or "/cpython/" in path or "python_3_" in path or path.endswith(".site-packages"))

def _names(files):
    """The names of the own files, each once; of many alike, how many there are."""
    names = sorted({file.basename: True for file in files if _is_own(file)})
    counted = []
    for suffix in [".whl", ".deb", ".part.zstd.json", ".part.zstd", ".layer.zstd.json", ".layer.zstd", ".libraries.json", ".locked.json"]:
        many = [name for name in names if name.endswith(suffix)]
        if len(many) > 3:
            names = [name for name in names if name not in many]
            counted.append("*{}".format(suffix))
    locked = [name for name in names if name.startswith("locked-")]
    if len(locked) > 3:
        names = [name for name in names if name not in locked]
        counted.append("locked-*.json")
    blobs = [name for name in names if len(name) == 64]
    if len(blobs) > 3:
        names = [name for name in names if name not in blobs]
        counted.append("sha256/*")
    return sorted(names + counted)

def _imports_bentoml(files):
    """Whether the Bento's own packages are among files: those are fetched for it."""
    return any(["/_bentoml_sdk/" in file.path for file in files])

def _groups(target):
    if OutputGroupInfo not in target:
        return {}
    info = target[OutputGroupInfo]
    groups = {group: getattr(info, group).to_list() for group in dir(info) if type(getattr(info, group)) == "depset" and group != "_hidden_top_level_INTERNAL_"}

    # Bazel adds the validations of all that a target depends on.
    own = [file for file in groups.pop("_validation", []) if file.owner == target.label]
    return {group: _names(files) for group, files in groups.items()} | ({"_validation": _names(own)} if own else {})

def _action(action):
    inputs = action.inputs.to_list()
    return _present({
        "imports_bentoml": _imports_bentoml(inputs),
        "of": _names(inputs),
        "to": _names(action.outputs.to_list()),
    })

def _present(description):
    """Without what is not there."""
    return {key: value for key, value in description.items() if value}

def describe(target):
    """What a target is.

    Args:
      target: a Target, with the aspect.

    Returns:
      A dict that holds texts, lists and dicts alone, and nothing that is empty.
    """
    runfiles = target[DefaultInfo].default_runfiles.files.to_list()
    bento = target[BentoInfo] if BentoInfo in target else None
    return _present({
        "actions": {
            "{} {}".format(action.mnemonic, sorted([file.basename for file in action.outputs.to_list()])[0]): _action(action)
            for action in target[_ActionsInfo].actions
            if action.mnemonic.startswith("Bento")
        },
        "executable": bool(target[DefaultInfo].files_to_run.executable),
        "files": _names(target[DefaultInfo].files.to_list()),
        "for": "{} {}".format(bento.platform, bento.python_version) if bento else "",
        "groups": _groups(target),
        "options": target[BentoOptionsInfo].options if BentoOptionsInfo in target else {},
        "providers": sorted([name for name, provider in PROVIDERS.items() if provider in target]),
        "runfiles": _names(runfiles),
        "runfiles_import_bentoml": _imports_bentoml(runfiles),
    })

def _check_action(label, action):
    """What holds for all actions of the helper."""
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

def described_test_of(expected):
    """A test of what targets are.

    Args:
      expected: dict from a label, as the target's user writes it, to what `describe` returns.

    Returns:
      A rule; `targets` are the targets, and what they are called in `expected`.
    """

    def implementation(ctx):
        problems = []
        for target, name in ctx.attr.targets.items():
            problems += _differences(name, expected.get(name, {}), describe(target))
            for action in target[_ActionsInfo].actions:
                problems += _check_action(name, action) if action.mnemonic.startswith("Bento") else []
        missing = [name for name in expected if name not in ctx.attr.targets.values()]
        kinds = [target[_ActionsInfo].kind for target in ctx.attr.targets]
        rules = [file.basename.removesuffix(".bzl") for file in ctx.files._rules if file.basename.startswith("bento_")]
        missing += [name for name in rules if name not in kinds + _NO_RULES]
        return report(ctx, problems + ["{}: nobody looks at it".format(name) for name in missing])

    return rule(
        implementation = implementation,
        doc = "Fails where targets are not what is expected of them.",
        attrs = {
            "targets": attr.label_keyed_string_dict(aspects = [_actions], mandatory = True),
            "_rules": attr.label(default = "//rules:starlark"),
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
