"""Validates strings of tags, and locks of Debian packages, before other code uses them.

Both are untrusted data. Their strings become parts of repository names, files, labels, and command lines. BUILD files
quote strings, so this file rejects only what those places can't contain. base/formats/shapes.py of py/rules_bento has
the complete grammars, and tests/formats/test_shapes.py verifies that this file accepts every string that has them. The
helper validates locks of Python packages."""

load(":build_text.bzl", "without_secrets")

_HEX = "0123456789abcdef"
_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_ALNUM = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

def _is_of(text, characters):
    """Returns whether a string isn't empty, and contains only characters in `characters`.

    It must not begin with a hyphen.
    """
    return bool(text) and text[0] != "-" and not text.strip(characters)

def _is_deb(text):
    parts = text.split("/")
    is_path = not [part for part in parts if part in [".", ".."] or not _is_of(part, _ALNUM + "._~:[]@%+=,-")]
    return is_path and text.endswith(".deb") and parts[-1] != ".deb"

def _is_model_file(text):
    segments = text.split("/")
    return not [part for part in segments if part in ["", ".", ".."]] and not [
        at
        for at in range(len(text))
        if text[at] < " " or text[at] in "\\\177"
    ]

def _is_repository(text):
    parts = text.split("/")
    return len(parts) < 3 and not [
        part
        for part in parts
        if not _is_of(part, _ALNUM + "._-") or part[0] == "." or ".." in part
    ]

# Kind of a string to its maximum length, its check, and its name in error messages.
_KINDS = {
    "Debian file": (1024, _is_deb, "a relative path of a .deb file"),
    "Debian name": (
        128,
        lambda text: _is_of(text, _LOWER + "+.-") and text[0] in _LOWER,
        "the name of a Debian package",
    ),
    "Debian version": (128, lambda text: _is_of(text, _ALNUM + "._!+-~:"), "the version of a Debian package"),
    "architecture": (32, lambda text: _is_of(text, _LOWER + "-"), "an architecture of Debian"),
    "archive": (32, lambda text: text in ["debian", "debian-security"], "debian or debian-security"),
    "commit": (
        64,
        lambda text: len(text) in [40, 64] and _is_of(text, _HEX),
        "a commit of 40 or 64 hexadecimal digits",
    ),
    "image": (512, lambda text: _is_of(text, _ALNUM + "._:/[]-") and text[0] != ".", "registry/repository of an image"),
    "model file": (1024, _is_model_file, "a relative path without '..'"),
    "repository": (200, _is_repository, "a repository of the Hugging Face Hub"),
    "sha256": (64, lambda text: len(text) == 64 and _is_of(text, _HEX), "a SHA-256 of 64 hexadecimal digits"),
}

# Fields of a package in a lock of Debian packages, to the kinds of their strings. Keys with `?` are optional.
_DEB = {
    "architecture?": "architecture",
    "archive": "archive",
    "dependencies": ["Debian name"],
    "filename": "Debian file",
    "name": "Debian name",
    "sha256": "sha256",
    "version": "Debian version",
}

def matches(kind, text):
    """Returns whether a string has the shape of `kind`, a key of `_KINDS`."""
    limit, verify, _ = _KINDS[kind]
    return len(text) <= limit and verify(text)

def _shown(text):
    """Returns a string for error messages, shortened and without secrets in URLs."""
    text = without_secrets(text)
    text = text.partition("?")[0] if "://" in text else text
    return repr(text if len(text) <= 100 else text[:100] + "...")

def _type_problem(value, expected):
    return "has the wrong type: {}".format(type(value)) if type(value) != type(expected) else None

def _string_problem(value, kind):
    """Returns the error of a value that should be a string of a kind, or None."""
    problem = _type_problem(value, "")
    return problem or (None if matches(kind, value) else "{} isn't {}".format(_shown(value), _KINDS[kind][2]))

def _package_problem(package, where):
    """Returns the error of a package in a lock of Debian packages, or None."""
    if type(package) != "dict":
        return "{}: {}".format(where, _type_problem(package, {}))
    name = package.get("name")
    if type(name) == "string":
        where = name if matches("Debian name", name) else _shown(name)
    for key, kind in _DEB.items():
        field = key.removesuffix("?")
        if field not in package:
            if field == key:
                return "{}: {} is missing".format(where, field)
            continue
        value = package[field]
        problem = _type_problem(value, kind)
        for string in [] if problem else value if type(kind) == "list" else [value]:
            problem = problem or _string_problem(string, kind[0] if type(kind) == "list" else kind)
        if problem:
            return "{}: {}: {}".format(where, field, problem)
    return None

def deb_lock_problem(lock):
    """Returns an error with the package and the field of the first invalid value in a Debian lock, or None."""
    packages = lock.get("packages")
    if type(packages) != "dict":
        return "packages " + _type_problem(packages, {})
    for architecture, entries in packages.items():
        problem = _string_problem(architecture, "architecture") or _type_problem(entries, [])
        if problem:
            return "packages: " + problem
        for number, package in enumerate(entries):
            problem = _package_problem(package, "packages.{}[{}]".format(architecture, number))
            if problem:
                return problem
    return None
