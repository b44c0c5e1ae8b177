"""Attributes of several rules, and arguments that they pass to the helper in the same form."""

load(":providers.bzl", "BentoFlagInfo")

# Creation time of Bentos, models, and images: a flag, so that no output depends on the clock.
CREATION_TIME = {"_creation_time": attr.label(default = "//rules:creation_time", providers = [BentoFlagInfo])}

def creation_time(ctx):
    """Returns the value of the flag, an ISO 8601 time, for a rule with the attributes of `CREATION_TIME`."""
    return ctx.attr._creation_time[BentoFlagInfo].value

def label_string(label):
    """Returns a label as users write it: `//package:name` in the main repository."""
    text = str(label)
    return text.removeprefix("@@") if text.startswith("@@//") else text

def directory_path(label, directory):
    """Returns a directory of the label's repository in the form of short paths, with `../<repository>` for other repositories."""
    repository = label.workspace_root.replace("external/", "../", 1)
    return "/".join([part for part in [repository, directory] if part])

def in_package(label, name):
    """Returns a path in a target's package, relative to the root of its repository."""
    return "/".join([part for part in [label.package, name] if part])

def workspace_path(file):
    """Returns the path of a source or output from the root of the workspace, without `..`."""
    return "external/" + file.short_path.removeprefix("../") if file.short_path.startswith("../") else file.short_path

def describe_file(file):
    """Returns the arguments for a file: path, short path, and owner."""
    return [file.path, file.short_path, label_string(file.owner)]

def describe_source(file):
    """Returns the arguments for a file in the rule's own `srcs`."""
    return ["--source"] + describe_file(file)

def describe_data(file):
    """Returns the arguments for a file in the rule's own `data`."""
    return ["--data"] + describe_file(file)

def describe_vendored(file):
    """Returns the arguments for a wheel that the Bento includes."""
    return ["--vendored"] + describe_file(file)

def describe_dependency(file):
    """Returns the arguments for a file of a library."""
    return ["--dependency"] + describe_file(file)

def json_string(text):
    """Encodes a string as one line of the arguments, for flags with JSON strings."""
    return json.encode(text)

def add_strings(args, flag, texts):
    """Adds each string to the arguments as a JSON string after the flag."""
    args.add_all([json_string(text) for text in texts], before_each = flag)

def add_pairs(args, flag, pairs):
    """Adds each entry of a dict of strings to the arguments as two JSON strings after the flag, in the dict's order."""
    for key, value in pairs.items():
        args.add_all([flag, json_string(key), json_string(value)])

def add_wheels(args, wheels):
    """Adds the flags of wheels to the arguments.

    Args:
      args: Args to add the flags to.
      wheels: list of BentoWheelInfo.

    Returns:
      The Files of wheels without a locked hash, which the action hashes.
    """
    built = []
    for wheel in wheels:
        name = [wheel.distribution, wheel.version]
        if wheel.sha256:
            args.add_all(["--wheel"] + name + [wheel.sha256])
        else:
            args.add_all(["--built-wheel"] + name + [wheel.file])
            built.append(wheel.file)
    return built

def minor_version(version):
    """Returns `X.Y` of the version `X.Y.Z` or `X.Y`."""
    return ".".join(version.split(".")[:2])

def check_interpreter(ctx, python, requirements):
    """Rejects packages (BentoRequirementInfo) for another Python version than the interpreter's (BentoPythonInfo), which their modules might not support."""
    for info in requirements:
        if info.python_version and minor_version(info.python_version) != minor_version(python.version):
            fail(("{target}: {package} is locked for Python {theirs}, but the target uses Python {own}. " +
                  "Set bento.pypi(python_version = \"{own}\"), bento_tools.python(version = \"{theirs}\"), or bento_tools.python(interpreter = \"...\") in MODULE.bazel.").format(
                own = minor_version(python.version),
                package = info.distribution,
                target = label_string(ctx.label),
                theirs = minor_version(info.python_version),
            ))

_BY_FLAG = -1

# Attributes of rules that insert values of the workspace status.
STAMP = {
    "stamp": attr.int(
        default = _BY_FLAG,
        doc = "Whether to insert values of the workspace status: `1` (always), `0` (never), or `-1` (default: only in builds with `--stamp`).",
        values = [_BY_FLAG, 0, 1],
    ),
    "_stamp": attr.label(default = "//rules:stamp", providers = [BentoFlagInfo]),
}

# Keys of stable-status.txt: Bazel runs an action again when one of them changes, and not for keys of volatile-status.txt.
_STABLE = ["{STABLE_", "{BUILD_EMBED_LABEL}", "{BUILD_HOST}", "{BUILD_USER}"]

def is_stamped(ctx):
    """Returns whether a target with the attributes of `STAMP` is stamped in this build."""
    return bool(ctx.attr._stamp[BentoFlagInfo].value) if ctx.attr.stamp == _BY_FLAG else bool(ctx.attr.stamp)

def status_files(ctx, texts):
    """Returns the list of workspace status files with the keys in `texts`; empty if the target isn't stamped, or `texts` has no keys."""
    if not is_stamped(ctx) or not [text for text in texts if "{" in text]:
        return []
    return ([ctx.info_file] if [key for key in _STABLE for text in texts if key in text] else []) + [ctx.version_file]
