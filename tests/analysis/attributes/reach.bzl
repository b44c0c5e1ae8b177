"""Defines reach_test, which compares the places that the values of attributes reach with `reached.bzl`.

The places are flags of actions and programs (`model --alias`), and fields of providers (`BentoModelInfo.alias`). Each target in BUILD.bazel sets
attributes to values that occur in no other attribute, so an attribute that a rule ignores reaches no place.
"""

load("//tests/analysis:descriptions.bzl", "PROVIDERS", "report")
load(":reached.bzl", "REACHED", "TARGETS")

# Attributes that all rules have, and attributes that Bazel adds.
_COMMON = [
    "applicable_licenses",
    "args",
    "aspect_hints",
    "compatible_with",
    "deprecation",
    "env_inherit_from_test",
    "exec_compatible_with",
    "exec_group_compatible_with",
    "exec_properties",
    "expect_failure",
    "features",
    "flaky",
    "generator_function",
    "generator_location",
    "generator_name",
    "local",
    "name",
    "output_licenses",
    "package_metadata",
    "restricted_to",
    "shard_count",
    "size",
    "tags",
    "target_compatible_with",
    "testonly",
    "timeout",
    "to_json",
    "to_proto",
    "toolchains",
    "transitive_configs",
    "visibility",
]

# Attributes whose values aren't in the arguments, and the flags that they add. The default of a boolean attribute is the flag of its name.
_FLAGS = {"stamp": "--status"}

_AttributesInfo = provider(
    doc = "The actions and the attributes of a target.",
    fields = {
        "actions": "list[Action]",
        "attributes": "dict[str, value] - all attributes that only this rule has",
        "kind": "str - name of the rule",
    },
)

def _attributes_impl(target, ctx):
    names = [name for name in dir(ctx.rule.attr) if not name.startswith("_") and name not in _COMMON]
    return [_AttributesInfo(
        actions = target.actions,
        attributes = {name: getattr(ctx.rule.attr, name) for name in names},
        kind = ctx.rule.kind,
    )]

_attributes = aspect(implementation = _attributes_impl, doc = "Finds the attributes of a target.")

def _scalars(value):
    """Returns the strings, numbers, and targets in the value of an attribute."""
    if type(value) in ("list", "tuple"):
        return [scalar for each in value for scalar in ([each] if type(each) not in ("list", "tuple") else each)]
    if type(value) == "dict":
        return [scalar for key, each in value.items() for scalar in [key] + (each if type(each) == "list" else [each])]
    return [value]

def _words(value):
    """Returns the strings that represent the value of an attribute in arguments. The files of a target have its name and a suffix."""
    words = []
    for scalar in _scalars(value):
        if type(scalar) == "Target":
            words += [file.basename for file in scalar[DefaultInfo].files.to_list()] + [scalar.label.name + "."]
        elif type(scalar) != "bool":
            words.append(str(scalar))
    return words

def _places_in_arguments(words):
    """Returns a dict of place to text for the arguments of a subcommand of the helper."""
    start = [number for number, word in enumerate(words) if word.rstrip("'").endswith("helper.zip")][0] + 1
    for _ in range(len(words)):
        if words[start].strip("'") != "--packages":
            break
        start += 2
    name, texts, flag = words[start].strip("'"), {}, ""
    for word in words[start + 1:]:
        flag = word.strip("'") if word.strip("'").startswith("--") else flag
        place = "{} {}".format(name, flag)
        texts[place] = texts.get(place, "") + " " + word
    return texts

def _places_of_action(action):
    if action.content == None:
        return _places_in_arguments(action.argv)
    if action.content.startswith("#!"):
        return _places_in_arguments(action.content.rpartition("exec ")[2].rpartition(" -- \"$@\"")[0].split(" "))
    return {"file": action.content}

def _text(value):
    """Returns the value of a provider's field as a string."""
    return str(value.to_list() if type(value) == "depset" else value)

def _places(target):
    """Returns a dict of place to text."""
    texts = {}
    for action in target[_AttributesInfo].actions:
        if action.mnemonic == "FileWrite" or action.mnemonic.startswith("Bento"):
            for place, text in _places_of_action(action).items():
                texts[place] = texts.get(place, "") + " " + text
    for name, provider in PROVIDERS.items():
        if provider in target and name != "PyInfo":
            info = target[provider]
            texts |= {"{}.{}".format(name, field): _text(getattr(info, field)) for field in dir(info) if field not in ("to_json", "to_proto")}
    return texts

def _is_in(word, text):
    """Returns whether a text contains a word. A word of letters and digits must not be a part of another word, such as a file name."""
    if [char for char in word.elems() if not _is_in_word(char)] or word.endswith("."):
        return word in text
    return word in "".join([char if _is_in_word(char) else " " for char in text.elems()]).split(" ")

def _is_in_word(char):
    return char.isalnum() or char in "._-"

def _reached(name, value, places):
    """Returns the sorted places that the value of an attribute reaches."""
    flag = _FLAGS.get(name, "--" + name.replace("_", "-")) if type(value) == "bool" or name in _FLAGS else None
    if flag:
        return sorted([place for place, text in places.items() if place.partition(" ")[2] == flag or _is_in(name, text)])
    words = [word for word in _words(value) if word]
    return sorted([place for place, text in places.items() if [word for word in words if _is_in(word, text)]])

def _all_reached(targets):
    """Returns a dict of `rule.attribute` to a string of places."""
    reached = {}
    for target in targets:
        info, places = target[_AttributesInfo], _places(target)
        for name, value in info.attributes.items():
            key = "{}.{}".format(info.kind, name)
            reached[key] = reached.get(key, []) + (_reached(name, value, places) if value else [])
    return {key: ", ".join(sorted({place: True for place in reached[key]})) for key in sorted(reached)}

def _generated(ctx, reached):
    """Returns the content of `reached.bzl`."""
    command = "bazel build --output_groups=reached {}".format(str(ctx.label).removeprefix("@@"))
    lines = ['"""The targets, and the places that their attributes reach: generated by `{}`."""'.format(command), "", "TARGETS = ["]
    lines += ["    {},".format(json.encode(name)) for name in ctx.attr.names] + ["]", "", "REACHED = {"]
    return "\n".join(lines + ["    {}: {},".format(json.encode(key), json.encode(value)) for key, value in reached.items()] + ["}", ""])

def _reach_test_impl(ctx):
    found = _all_reached(ctx.attr._targets)
    output = ctx.actions.declare_file(ctx.label.name + ".bzl")
    ctx.actions.write(output, _generated(ctx, found))
    problems = ["TARGETS is {}, expected {}".format(TARGETS, ctx.attr.names)] if ctx.attr.names != TARGETS else []
    problems += [
        "{}: reaches {}, expected {}".format(key, repr(found.get(key)), repr(REACHED.get(key)))
        for key in found | REACHED
        if found.get(key) != REACHED.get(key)
    ]
    problems += ["{}: reaches nothing. Fix the rule, or add the reason to unreached.".format(key) for key, places in found.items() if not places and key not in ctx.attr.unreached]
    problems += ["{}: is in unreached, but reaches {}".format(key, found.get(key)) for key in ctx.attr.unreached if found.get(key) or key not in found]
    return report(ctx, problems) + [OutputGroupInfo(reached = depset([output]))]

_reach_test = rule(
    implementation = _reach_test_impl,
    doc = "Tests the places that attributes reach. The output group `reached` has a new `reached.bzl`: read its differences before you copy it.",
    attrs = {
        "names": attr.string_list(doc = "Names of the targets in this package."),
        "unreached": attr.string_dict(doc = "Attribute, `rule.attribute`, to the reason why no argument contains its value."),
        # A private attribute, because Bazel runs the validations of the targets in other attributes.
        "_targets": attr.label_list(aspects = [_attributes], default = ["//tests/analysis/attributes:" + name for name in TARGETS]),
    },
    test = True,
)

def reach_test(name, unreached):
    """Declares the test for all targets of our rules that this package declares above.

    Args:
      name: name of the test.
      unreached: attribute to the reason why no argument contains its value.
    """
    _reach_test(
        name = name,
        names = sorted([rule["name"] for rule in native.existing_rules().values() if rule["kind"].startswith("bento_") or rule["kind"] == "python_image"]),
        unreached = unreached,
    )
