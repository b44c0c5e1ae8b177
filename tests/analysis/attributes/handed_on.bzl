"""What rules hand on of their attributes: the words of actions and programs, and the fields of providers.

`described_test` holds which files there are; here an attribute that is forgotten, or step_inputs on by another flag, fails.
"""

load("//tests/analysis:descriptions.bzl", "PROVIDERS", "report")

# Those that no attribute fills but by files.
_OF_FILES = ["BentoDebInfo", "BentoWheelModulesInfo", "PyInfo"]

# Fields that name the value of a provider where it is in another one.
_NAMING = ["description", "config", "distribution", "blob", "file"]

# Attributes that all rules have, and what Bazel adds.
_COMMON = [
    "applicable_licenses",
    "aspect_hints",
    "compatible_with",
    "deprecation",
    "exec_compatible_with",
    "exec_group_compatible_with",
    "exec_properties",
    "expect_failure",
    "features",
    "generator_function",
    "generator_location",
    "generator_name",
    "name",
    "package_metadata",
    "restricted_to",
    "tags",
    "target_compatible_with",
    "testonly",
    "to_json",
    "to_proto",
    "toolchains",
    "transitive_configs",
    "visibility",
    # Of tests.
    "args",
    "env_inherit_from_test",
    "flaky",
    "local",
    "shard_count",
    "size",
    "timeout",
]

_HandedInfo = provider(
    doc = "What a target does, and which of its attributes are set.",
    fields = {
        "actions": "list[Action]",
        "kind": "str - its rule",
        "set": "list[str] - names of attributes with a value that is not empty",
        "unset": "list[str] - names of the others",
    },
)

def _actions_impl(target, ctx):
    names = [name for name in dir(ctx.rule.attr) if not name.startswith("_") and name not in _COMMON]
    return [_HandedInfo(
        actions = target.actions,
        kind = ctx.rule.kind,
        set = [name for name in names if getattr(ctx.rule.attr, name)],
        unset = [name for name in names if not getattr(ctx.rule.attr, name)],
    )]

_actions = aspect(implementation = _actions_impl, doc = "Tells what a target does.")

_HERE = "tests/analysis/attributes"

# Of the toolchain, which may have them anywhere.
_TOOLS = ["python3", "uv"]

def _short(word):
    """A word without the package of the targets here, and without what depends on configuration and toolchain."""
    path = word.rpartition("/")
    if path[2] in _TOOLS:
        return path[2]
    head, out, rest = word.partition("bazel-out/")
    short = head + rest.partition("/bin/")[2] if out else word
    return short.replace("//" + _HERE + ":", ":").replace(_HERE + "/", "")

def _by_flag(words):
    """Words as texts that begin with a flag each."""
    texts = []
    for word in words:
        if word.startswith("--") or not texts:
            texts.append(word)
        else:
            texts[-1] += " " + word
    return texts

def _after_packages(words):
    """Words behind the helper and the folders of its packages: the verb, and what it is told."""
    at = [number for number, word in enumerate(words) if word.endswith("helper.zip")]
    rest = words[at[0] + 1:]
    skipped = 0
    for number in range(0, len(rest), 2):
        if rest[number] != "--packages":
            break
        skipped = number + 2
    return rest[skipped:]

def _program(content):
    """The words that a launcher starts the helper with, without what quotes them."""
    command = content.rpartition("exec ")[2].rpartition(" -- \"$@\"")[0]
    return _by_flag([_short(word) for word in _after_packages(command.replace("'", "").split(" "))])

def _words(action, workspace):
    """What an action does: the words of a verb, or the text that it writes."""
    if action.content == None:
        return _by_flag([_short(word) for word in _after_packages(action.argv)])
    content = action.content.replace(workspace + "/", "")
    if content.startswith("#!"):
        return _program(content)
    text = json.decode(_short(content))
    text.pop("platform", None)  # that of the machine which runs it
    return text

def _named(value):
    """A value in a word: a file by its name, a provider by the field that tells it from others."""
    if type(value) == "File":
        return value.basename
    if type(value) in ("string", "int", "bool", "NoneType"):
        return value
    for field in _NAMING:
        if getattr(value, field, None):
            named = getattr(value, field)
            return named.basename if type(named) == "File" else named
    return str(value)

def _field(value):
    if type(value) == "depset":
        return [_named(each) for each in value.to_list()]
    if type(value) in ("list", "tuple"):
        return [_named(each) for each in value]
    if type(value) == "dict":
        return {key: [_named(each) for each in inner] if type(inner) in ("list", "tuple") else inner if type(inner) == "dict" else _named(inner) for key, inner in value.items()}
    return _named(value)

def _values(info):
    return {name: _field(getattr(info, name)) for name in dir(info) if name not in ("to_json", "to_proto")}

def _handed_on(ctx, target):
    """What a target hands on: of each action with words its output, of each provider its name."""
    described = {name: _values(target[provider]) for name, provider in PROVIDERS.items() if provider in target and name not in _OF_FILES}
    for action in target[_HandedInfo].actions:
        if action.mnemonic == "FileWrite" or action.mnemonic.startswith("Bento"):
            described[sorted([file.basename for file in action.outputs.to_list()])[0]] = _words(action, ctx.workspace_name)
    return described

def _unset(targets):
    """Attributes that no target of a rule sets."""
    names = {}
    for info in targets:
        names.setdefault(info.kind, {}).update({name: True for name in info.unset})
    for info in targets:
        for name in info.set:
            names[info.kind].pop(name, None)
    return ["{}.{}".format(kind, name) for kind, unset in names.items() for name in unset]

def handed_on_test_of(expected, set_elsewhere):
    """A test of what targets hand on.

    Args:
      expected: dict from the name of a target to a dict: by the first output of an action its words, by the
        name of a provider its fields. What is not in it is not looked at.
      set_elsewhere: attributes, `rule.attribute`, that no target here sets.

    Returns:
      A rule.
    """

    def implementation(ctx):
        problems, found = [], {}
        for target, name in ctx.attr._targets.items():
            described = _handed_on(ctx, target)
            found[name] = described
            for key, value in expected[name].items():
                if described.get(key) != value:
                    problems.append("{}: {} is\n{}\nand was expected to be\n{}".format(name, key, json.encode_indent(described.get(key)), json.encode_indent(value)))
        unset = _unset([target[_HandedInfo] for target in ctx.attr._targets])
        problems += ["{}: no target here sets it".format(name) for name in unset if name not in set_elsewhere]
        problems += ["{}: a target here sets it, or it is gone".format(name) for name in set_elsewhere if name not in unset]
        everything = ctx.actions.declare_file(ctx.label.name + ".json")
        ctx.actions.write(everything, json.encode_indent(found))
        return report(ctx, problems) + [OutputGroupInfo(found = depset([everything]))]

    return rule(
        implementation = implementation,
        doc = "Fails where targets hand on something else than is expected of them, or an attribute of their rules is set by none. The output group `found` has all that they hand on.",
        attrs = {
            # A private attribute, for Bazel would run the validations of others, and with them half of their actions.
            "_targets": attr.label_keyed_string_dict(
                aspects = [_actions],
                default = {Label("//tests/analysis/attributes:" + name): name for name in expected},
            ),
        },
        test = True,
    )
