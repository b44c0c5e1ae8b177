"""Validates locks before other code uses them.

A lock is untrusted data. Its strings become parts of repository names, files, labels, and command lines. BUILD files
quote strings, so this file rejects only what those places can't contain. base/formats/shapes.py of py/rules_bento has
the complete grammars, and tests/formats/test_shapes.py verifies that this file accepts every string that has them."""

load(":build_text.bzl", "without_secrets")

_DIGITS = "0123456789"
_HEX = "0123456789abcdef"
_LOWER = "abcdefghijklmnopqrstuvwxyz" + _DIGITS
_ALNUM = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VERSION = _ALNUM + "._!+-"
_ADDRESS = _ALNUM + "._~:/[]@%+=,-"
_URL = _ADDRESS + "?#!$&'()*;"
_PRINTABLE = _URL + " \"<>\\^`{|}"

def _is_of(text, characters):
    """Returns whether a string isn't empty, and contains only characters in `characters`.

    It must not begin with a hyphen.
    """
    return bool(text) and text[0] != "-" and not text.strip(characters)

def _is_name(text):
    return not [part for part in text.split("-") if not _is_of(part, _LOWER)]

def _is_file(text):
    return text.endswith((".whl", ".zip", ".tar.gz")) and _is_of(
        text.replace("%2B", "").replace("%2b", ""),
        _VERSION + "~",
    ) and text[0] in _ALNUM

def _is_url(text, characters):
    scheme, _, rest = text.partition("://")
    authority = rest.partition("/")[0]
    return scheme in ["http", "https"] and _is_of(rest, characters) and _is_of(authority, _ADDRESS.replace("@", ""))

def _is_git(text):
    """Returns whether a string is a git address without credentials.

    Its host and path must not be flags for git or ssh.
    """
    scheme, is_url, rest = text.partition("://")
    if not _is_of(text, _ADDRESS) or "@-" in text or (is_url and not _is_of(rest, _ADDRESS)):
        return False
    if is_url:
        return scheme in ["file", "ssh"] or _is_url(text, _ADDRESS)
    user, at, path = text.partition("@")
    return at and ":" in path and not [bad for bad in (":-", "::", "/") if bad in text.partition("/")[0] or bad in user]

def _is_path(text):
    return not [part for part in text.split("/") if part in [".", ".."] or not _is_of(part, _ADDRESS)]

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
    "Debian file": (
        1024,
        lambda text: text.endswith(".deb") and _is_path(text) and len(text.rpartition("/")[2]) > 4,
        "a relative path of a .deb file",
    ),
    "Debian name": (
        128,
        lambda text: _is_of(text, _LOWER + "+.-") and text[0] in _LOWER,
        "the name of a Debian package",
    ),
    "Debian version": (128, lambda text: _is_of(text, _VERSION + "~:"), "the version of a Debian package"),
    "architecture": (32, lambda text: _is_of(text, _LOWER + "-"), "an architecture of Debian"),
    "archive": (32, lambda text: text in ["debian", "debian-security"], "debian or debian-security"),
    "commit": (
        64,
        lambda text: len(text) in [40, 64] and _is_of(text, _HEX),
        "a commit of 40 or 64 hexadecimal digits",
    ),
    "extra": (128, lambda text: _is_of(text, _ALNUM + "._-"), "the name of an extra"),
    "file": (255, _is_file, "the file name of a wheel or of a source archive"),
    "git": (4096, _is_git, "an https://, ssh://, file:// or git@host: address"),
    "image": (512, lambda text: _is_of(text, _ALNUM + "._:/[]-") and text[0] != ".", "registry/repository of an image"),
    "index": (8, lambda text: _is_of(text, _DIGITS), "the number of an index"),
    "marker": (16384, lambda text: not text or _is_of(text, _PRINTABLE), "an environment marker (PEP 508)"),
    "model file": (1024, _is_model_file, "a relative path without '..'"),
    "name": (128, _is_name, "a normalized package name (PEP 503)"),
    "page": (4096, lambda text: _is_url(text, _ADDRESS), "an http:// or https:// address without a query"),
    "path": (1024, _is_path, "a relative path without '..'"),
    "range": (1024, lambda text: not text or _is_of(text, _VERSION + "<>=~*, "), "a range of Python versions"),
    "repository": (200, _is_repository, "a repository of the Hugging Face Hub"),
    "sha256": (64, lambda text: len(text) == 64 and _is_of(text, _HEX), "a SHA-256 of 64 hexadecimal digits"),
    "url": (4096, lambda text: _is_url(text, _URL), "an http:// or https:// address"),
    "version": (128, lambda text: _is_of(text, _VERSION), "a version (PEP 440)"),
}

# Shapes of locks. A dict lists the allowed keys; keys with `?` are optional. A pair describes a dict: the shape of its
# keys, and of its values.
_EDGE = {"extras?": ["extra"], "index?": "index", "marker?": "marker", "name": "name", "version?": "version"}
_SOURCE = {"commit?": "commit", "git?": "git", "subdirectory?": "path", "url?": "url"}
_SOURCES = [["url"], ["commit", "git"], ["commit", "git", "subdirectory"]]

LOCK = {
    "packages": [{
        "dependencies?": [_EDGE],
        "extras?": ("extra", [_EDGE]),
        "files": ("file", "sha256"),
        "index?": "index",
        "name": "name",
        "page?": "page",
        "rejected_files?": ["file"],
        "source?": _SOURCE,
        "unlocked?": True,
        "version": "version",
    }],
    "requires_python": "range",
    "roots": [_EDGE],
}

DEB_LOCK = {
    "packages": ("architecture", [{
        "architecture?": "architecture",
        "archive": "archive",
        "dependencies": ["Debian name"],
        "filename": "Debian file",
        "name": "Debian name",
        "sha256": "sha256",
        "size?": 0,
        "version": "Debian version",
    }]),
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

def _children(value, shape, package, where):
    """Returns a list of tuples for the items of a list or dict: value, shape, name of the package, and location."""
    if type(shape) == "list":
        children = []
        for number, item in enumerate(value):
            is_package = type(shape[0]) == "dict" and shape[0] != _EDGE and type(item) == "dict" and type(
                item.get("name"),
            ) == "string"
            children.append(
                (item, shape[0]) + ((item["name"], "") if is_package else (package, "{}[{}]".format(where, number))),
            )
        return children
    dot = where + "." if where else ""
    if type(shape) == "tuple":
        keys = [(key, shape[0], package, where) for key in value]
        return keys + [(item, shape[1], package, dot + key) for key, item in value.items()]
    named = {key.removesuffix("?"): inner for key, inner in shape.items()}
    return [(value[key], inner, package, dot + key) for key, inner in named.items() if key in value]

def _problem_of(value, shape):
    """Returns the error of a value, or None. Doesn't validate the items of a list or dict."""
    if type(value) != ("dict" if type(shape) == "tuple" else type(shape)):
        return "has the wrong type: {}".format(type(value))
    if type(shape) == "string" and not matches(shape, value):
        return "{} isn't {}".format(_shown(value), _KINDS[shape][2])
    if type(shape) == "dict":
        missing = [key for key in shape if not key.endswith("?") and key not in value]
        if missing:
            return "{} is missing".format(missing[0])
        if shape == _SOURCE and sorted(value) not in _SOURCES:
            return "has {}".format(", ".join([_shown(key) for key in sorted(value)]) or "nothing")
    return None

def shape_problem(value, shape):
    """Returns an error with the package and the field of the first invalid value, or None.

    A valid value has its shape in `LOCK` or `DEB_LOCK`.
    """
    queue = [(value, shape, "", "")]

    # Starlark has no `while`. Each iteration processes one value.
    for _ in range(10000000):
        if not queue:
            return None
        item, its, package, where = queue.pop()
        problem = _problem_of(item, its)
        if problem:
            who = package if matches("name", package) or matches(
                "Debian name",
                package,
            ) else _shown(package) if package else ""
            return ": ".join([part for part in (who, where, problem) if part])
        if type(its) in ["dict", "list", "tuple"]:
            queue += reversed(_children(item, its, package, where))
    return "the lock has too many values"
