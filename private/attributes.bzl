"""Defines attributes that several rules share, and functions for labels, paths, times, stamping, and arguments of the
helper."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")

_DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
_DIGITS = "0123456789"

def normalize_time(text):
    """Returns an RFC 3339 time with the time zone as `+HH:MM` or `-HH:MM`, or None for an invalid time.

    Rejects the years 1 and 9999, whose times can be out of range in another time zone.
    """
    text = text.removesuffix("Z") + "+00:00" if text.endswith("Z") else text
    form = "".join(["0" if char in _DIGITS else char for char in text.elems()])
    fraction = form.removeprefix("0000-00-00T00:00:00")[:-6]
    if form not in ["0000-00-00T00:00:00{}{}00:00".format(fraction, sign) for sign in "+-".elems()]:
        return None
    if fraction not in ["", ".000", ".000000"]:
        return None
    year, month, day, hour, minute, second = [
        int(text[at:end])
        for at, end in [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)]
    ]
    if year not in range(2, 9999) or month not in range(1, 13) or day not in range(1, _DAYS[month - 1] + 1):
        return None
    if (month, day) == (2, 29) and (year % 4 or (not year % 100 and year % 400)):
        return None
    if max(hour, int(text[-5:-3])) > 23 or max(minute, second, int(text[-2:])) > 59:
        return None
    return text

# Creation time of Bentos, models, and images. The value comes from a flag, so that outputs don't depend on the clock.
CREATION_TIME = {"_creation_time": attr.label(default = "//rules:creation_time", providers = [BuildSettingInfo])}

def creation_time(ctx):
    """Returns the creation time, in ISO 8601, of outputs of a rule with the attributes `CREATION_TIME`."""
    value = ctx.attr._creation_time[BuildSettingInfo].value
    return normalize_time(value) or fail(
        ("--@rules_bento//rules:creation_time: invalid time \"{}\". Use a time with a time zone, such as " +
         "2026-01-31T12:00:00+00:00.").format(value),
    )

def label_string(label):
    """Returns a label in the format that users write: `//package:name` in the main repository."""
    text = str(label)
    return text.removeprefix("@@") if text.startswith("@@//") else text

def directory_path(label, directory):
    """Returns the short path of a directory in the repository of a label.

    It begins with `../<repository>` outside of the main repository.
    """
    repository = label.workspace_root.replace("external/", "../", 1)
    return "/".join([part for part in [repository, directory] if part])

def path_in_package(ctx, attribute):
    """Returns the path of a file in the source tree from an attribute with a path in the package.

    Fails for labels and absolute paths.
    """
    path = getattr(ctx.attr, attribute)
    if not path or path[0] in "/@" or ":" in path:
        fail(
            ("{}: {} must be a path relative to this package, got \"{}\". To write a file in another package, " +
             "declare the target there.").format(label_string(ctx.label), attribute, path),
        )
    return "/".join([part for part in [ctx.label.package, path] if part])

def describe_file(file):
    """Returns the arguments that describe a File: its path, its short path, and the label of its owner."""
    return [file.path, file.short_path, label_string(file.owner)]

def describe_source(file):
    """Returns the arguments that describe a File in the attribute `srcs`."""
    return ["--source"] + describe_file(file)

def describe_data(file):
    """Returns the arguments that describe a File in the attribute `data`."""
    return ["--data"] + describe_file(file)

def describe_vendored(file):
    """Returns the arguments that describe a wheel in the Bento."""
    return ["--vendored"] + describe_file(file)

def describe_dependency(file):
    """Returns the arguments that describe a File of a library in `deps`."""
    return ["--dependency"] + describe_file(file)

def json_strings(texts):
    """Returns strings as JSON, each a single line in a params file."""
    return [json.encode(text) for text in texts]

def json_pairs(pairs):
    """Returns a list of the entries of a dict, in order: tuples of JSON strings, key and value."""
    return [(json.encode(key), json.encode(value)) for key, value in pairs.items()]

def wheel_flags(wheels):
    """Returns the flags for a list of BentoWheelInfo. The action hashes wheels without a locked hash."""
    return {
        "--wheel": [(wheel.distribution, wheel.version, wheel.sha256) for wheel in wheels if wheel.sha256],
        "--built-wheel": [(wheel.distribution, wheel.version, wheel.file) for wheel in wheels if not wheel.sha256],
    }

def minor_version(version):
    """Returns the first two numbers, `X.Y`, of a version `X.Y.Z` or `X.Y`."""
    return ".".join(version.split(".")[:2])

def check_interpreter(ctx, python, requirements):
    """Fails if a package is locked for another Python version than the interpreter's (BentoPythonInfo)."""
    for info in requirements:
        if info.python_version and minor_version(info.python_version) != minor_version(python.version):
            theirs = minor_version(info.python_version)
            remedy = "Set python_version = \"{}\" on the target."
            if ctx.attr.python_version == theirs:
                remedy = ("Add bento_tools.python(version = \"{}\") to MODULE.bazel, and is_default = True to the " +
                          "tag of another version.")
            fail("{target}: {package} is locked for Python {theirs}, but the target uses Python {own}. {remedy}".format(
                own = minor_version(python.version),
                remedy = remedy.format(theirs),
                package = info.distribution,
                target = label_string(ctx.label),
                theirs = theirs,
            ))

_BY_FLAG = -1

# Attributes of rules that insert values of the workspace status into outputs.
STAMP = {
    "stamp": attr.int(
        default = _BY_FLAG,
        doc = "Whether to insert values of the workspace status: always (`1`), never (`0`), or with `--stamp` (`-1`).",
        values = [_BY_FLAG, 0, 1],
    ),
    "_stamp": attr.label(default = "//rules:stamp", providers = [BuildSettingInfo]),
}

# Keys in stable-status.txt. If the value of a key in stable-status.txt changes, Bazel runs actions again. Changes in
# volatile-status.txt have no effect.
_STABLE = ["{STABLE_", "{BUILD_EMBED_LABEL}", "{BUILD_HOST}", "{BUILD_USER}"]

def is_stamped(ctx):
    """Returns whether a target is stamped. The rule requires `_stamp` of `STAMP`."""
    stamp = getattr(ctx.attr, "stamp", _BY_FLAG)
    return ctx.attr._stamp[BuildSettingInfo].value if stamp == _BY_FLAG else bool(stamp)

def _has_key(text):
    """Returns whether a string contains a key of the workspace status: `{NAME}`, in capital letters."""
    pieces = [piece.partition("}") for piece in text.split("{")[1:]]
    return bool([
        key
        for key, end, _ in pieces
        if key and end and not key.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")
    ])

STAMPED_VALUES = ("Stamped builds replace `{KEY}`, such as `{STABLE_GIT_COMMIT}`, by a value of the workspace " +
                  "status; other builds omit such entries.")

def split_stamped(values):
    """Returns two dicts: the entries of `values` without keys of the workspace status, and the entries with keys."""
    stamped = {name: value for name, value in values.items() if _has_key(value)}
    return {name: value for name, value in values.items() if name not in stamped}, stamped

def status_files(ctx, texts):
    """Returns the workspace status files that define the keys in `texts`.

    Empty if the target isn't stamped or `texts` has no keys.
    """
    if not is_stamped(ctx) or not texts:
        return []
    return ([ctx.info_file] if [key for key in _STABLE for text in texts if key in text] else []) + [ctx.version_file]

def stamped_flags(ctx, pairs):
    """Returns the flags for `pairs`, a dict of flag to dict. The rule requires `_stamp` of `STAMP`.

    In stamped builds, entries with keys of the workspace status have the flag `--stamped-FLAG`. Others omit them.
    """
    split = {flag: split_stamped(values) for flag, values in pairs.items()}
    flags = {flag: json_pairs(fixed) for flag, (fixed, _) in split.items()}
    if is_stamped(ctx):
        flags |= {"--stamped-" + flag.removeprefix("--"): json_pairs(stamped) for flag, (_, stamped) in split.items()}
    return flags | {"--status": status_files(ctx, [text for _, stamped in split.values() for text in stamped.values()])}
