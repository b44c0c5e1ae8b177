"""Validates the shapes of strings in locks before other code uses them.

A lock is untrusted data. Its strings become parts of repository names, files, labels, command lines, and inputs of other programs.
py/rules_bento/packages/lock_shapes.py contains the same table, and tests/locks/test_lock_shapes.py compares the tables."""

load(":build_text.bzl", "without_secrets")

_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LOWER = _LETTERS + _DIGITS
_ALNUM = _LOWER + _LETTERS.upper()
_HEX = "0123456789abcdef"
_PRINTABLE = _ALNUM + " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_GIT_PATH = _ALNUM + "._~@%+=,/-"
_URL_PATH = _ALNUM + "._~:/?#[]@!$&'()*+,;=%-"
_SEGMENT = _ALNUM + "._@%+=,:~-"
_MAX_MARKER_DEPTH = 32
OPERATORS = ["===", "==", "!=", "~=", "<=", ">=", "<", ">"]

# Words that can precede a number in a version, longest first.
_PRE = ["preview", "alpha", "beta", "pre", "rc", "a", "b", "c"]
_POST = ["post", "rev", "r"]
_DEV = ["dev"]

_VARIABLES = [
    "extra",
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "python_version",
    "sys_platform",
]

# Grammar of markers: the expected kind to a dict of the kind of a token to the kind that is expected next.
_GRAMMAR = {"end": {")": "end", "joint": "term"}, "operator": {"operator": "value"}, "term": {"(": "term", "operand": "operator"}, "value": {"operand": "end"}}

def _is_of(text, characters):
    """Returns whether a string isn't empty and contains only characters in `characters`."""
    return bool(text) and not text.strip(characters)

def _is_name(text):
    return not [part for part in text.split("-") if not _is_of(part, _LOWER)]

def _is_extra(text):
    return _is_of(text, _ALNUM + "._-") and _is_of(text[0] + text[-1], _ALNUM)

def _without_part(text, words):
    """Returns a string without a leading word in `words` and its number, such as `rc1`, `.post2`, or `.dev3`; unchanged without such a word."""
    bare = text[1:] if text[:1] in ["-", "_", "."] else text
    for word in words:
        if bare.startswith(word):
            rest = bare[len(word):]
            number = rest[1:] if rest[:1] in ["-", "_", "."] else rest
            return number.lstrip(_DIGITS)
    return text

def _is_version(text):
    public, plus, local = text.lower().removeprefix("v").partition("+")
    if plus and [part for part in local.replace("-", ".").replace("_", ".").split(".") if not _is_of(part, _LOWER)]:
        return False
    epoch, bang, public = public.rpartition("!")
    if bang and not _is_of(epoch, _DIGITS):
        return False
    release = public[:len(public) - len(public.lstrip(_DIGITS + "."))]
    rest = public[len(release):]
    if rest and release.endswith("."):
        release, rest = release[:-1], "." + rest
    rest = _without_part(rest, _PRE)
    implicit = rest[1:].lstrip(_DIGITS) if rest[:1] == "-" else rest
    rest = implicit if len(implicit) < len(rest) - 1 else _without_part(rest, _POST)
    return not _without_part(rest, _DEV) and not [part for part in release.split(".") if not _is_of(part, _DIGITS)]

def _is_clause(text):
    operators = [operator for operator in OPERATORS if text.startswith(operator)]
    if not operators:
        return False
    version = text.removeprefix(operators[0]).lstrip(" ")
    series = version.removesuffix(".*")
    bare = series.lower().removeprefix("v").rpartition("!")[2]
    release = bare[:len(bare) - len(bare.lstrip(_DIGITS + "."))]
    if series != version and operators[0] != "===" and (operators[0] not in ["==", "!="] or release != bare):
        return False
    if operators[0] == "~=" and "." not in release.rstrip("."):
        return False
    return _is_version(series) and ("+" not in version or operators[0] in ["===", "==", "!="])

def _is_range(text):
    return not text or (text == text.strip(" ") and not [clause for clause in text.split(",") if not _is_clause(clause.strip(" "))])

def _is_file(text):
    bare = text.replace("%2B", "+").replace("%2b", "+")
    return text.endswith((".whl", ".zip", ".tar.gz")) and _is_of(bare, _ALNUM + "._!+~-") and text[0] in _ALNUM

def _is_host(text):
    if text.startswith("[") and text.endswith("]"):
        return _is_of(text[1:-1], "0123456789abcdefABCDEF:.")
    return _is_extra(text)

def _is_authority(text):
    host, colon, port = text.rpartition(":")
    if colon and not text.endswith("]"):
        return _is_of(port, _DIGITS) and _is_host(host)
    return _is_host(text)

def _is_user(text):
    return _is_of(text, _ALNUM + "._-") and text[0] in _ALNUM

def _is_url(text):
    scheme, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    return scheme in ["http", "https"] and _is_authority(authority) and _is_of(slash + path + "/", _URL_PATH)

def _is_page(text):
    return _is_url(text) and _is_of(text.partition("://")[2].partition("/")[2] + "/", _GIT_PATH)

def _is_git(text):
    scheme, is_address, rest = text.partition("://")
    if not is_address:
        user, _, rest = text.partition("@")
        host, colon, path = rest.partition(":")
        is_path = bool(colon) and not path.startswith("-") and _is_of(path + "/", _GIT_PATH)
        return is_path and _is_user(user) and _is_extra(host)
    if scheme == "file":
        return rest.startswith("/") and _is_of(rest, _GIT_PATH)
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and (scheme != "ssh" or not _is_user(user)):
        return False
    return scheme in ["http", "https", "ssh"] and _is_authority(host) and _is_of(slash + path + "/", _GIT_PATH)

def _is_path(text):
    segments = text.split("/")
    return not [part for part in segments if part in [".", ".."] or part.startswith("-") or not _is_of(part, _SEGMENT)]

def _is_model_file(text):
    segments = text.split("/")
    return not [part for part in segments if part in ["", ".", ".."]] and not [at for at in range(len(text)) if text[at] < " " or text[at] in "\\\177"]

def _is_repository(text):
    parts = text.split("/")
    return len(parts) < 3 and not [part for part in parts if not _is_of(part, _ALNUM + "._-") or part[0] in ".-" or ".." in part]

def _is_debian_version(text):
    epoch, colon, version = text.rpartition(":")
    return (not colon or _is_of(epoch, _DIGITS)) and _is_of(version, _ALNUM + ".+~-") and version[0] in _ALNUM

def next_token(text):
    """Returns the first token of a marker.

    Args:
      text: the part of a marker that isn't parsed yet.

    Returns:
      The kind of the token (`(`, `)`, `operand`, `operator`, or `joint`) and its length; (None, 0) for an invalid token.
    """
    first = text[0]
    if first in "()":
        return first, 1
    if first in "'\"":
        end = text.find(first, 1)
        return ("operand", end + 1) if end > 0 else (None, 0)
    for operator in OPERATORS:
        if text.startswith(operator):
            return "operator", len(operator)
    word = text[:len(text) - len(text.lstrip(_ALNUM + "_"))]
    if word == "not":
        between = text[3:].lstrip(" ")
        is_whole = between.startswith("in") and between != text[3:] and not _is_of(between[2:3], _ALNUM + "_")
        return ("operator", len(text) - len(between) + 2) if is_whole else (None, 0)
    kind = "operand" if word in _VARIABLES else {"and": "joint", "in": "operator", "or": "joint"}.get(word)
    return kind, len(word)

def _is_marker(text):
    if not text:
        return True  # no marker
    if not _is_of(text, _PRINTABLE):
        return False
    depth, expected, at = 0, "term", 0
    for _ in range(len(text)):
        at = len(text) - len(text[at:].lstrip(" "))
        if at == len(text):
            break
        kind, length = next_token(text[at:])
        if kind not in _GRAMMAR[expected]:
            return False
        depth += {"(": 1, ")": -1}.get(kind, 0)
        if depth < 0 or depth > _MAX_MARKER_DEPTH:
            return False
        expected = _GRAMMAR[expected][kind]
        at += length
    return expected == "end" and not depth

# Kind of a string to its maximum length, its check, and its name in error messages.
_KINDS = {
    "Debian file": (1024, lambda text: text.endswith(".deb") and _is_path(text) and len(text.rpartition("/")[2]) > 4, "a relative path of a .deb file"),
    "Debian name": (128, lambda text: len(text) > 1 and _is_of(text, _LOWER + "+.-") and text[0] in _LOWER, "the name of a Debian package"),
    "Debian version": (128, _is_debian_version, "the version of a Debian package"),
    "architecture": (32, lambda text: _is_of(text, _LOWER + "-") and text[0] in _LOWER, "an architecture of Debian"),
    "archive": (32, lambda text: text in ["debian", "debian-security"], "debian or debian-security"),
    "commit": (64, lambda text: len(text) in [40, 64] and _is_of(text, _HEX), "a commit of 40 or 64 hexadecimal digits"),
    "extra": (128, _is_extra, "the name of an extra"),
    "file": (255, _is_file, "the file name of a wheel or of a source archive"),
    "git": (4096, _is_git, "an https://, ssh://, file:// or git@host: address"),
    "image": (512, lambda text: _is_of(text, _ALNUM + "._:/[]-") and text[0] in _ALNUM + "[", "registry/repository of an image"),
    "index": (8, lambda text: _is_of(text, _DIGITS), "the number of an index"),
    "marker": (16384, _is_marker, "an environment marker (PEP 508)"),
    "model file": (1024, _is_model_file, "a relative path without '..'"),
    "name": (128, _is_name, "a normalized package name (PEP 503)"),
    "page": (4096, _is_page, "an http:// or https:// address without a query"),
    "path": (1024, _is_path, "a relative path without '..'"),
    "range": (1024, _is_range, "a range of Python versions"),
    "repository": (200, _is_repository, "a repository of the Hugging Face Hub"),
    "sha256": (64, lambda text: len(text) == 64 and _is_of(text, _HEX), "a SHA-256 of 64 hexadecimal digits"),
    "url": (4096, _is_url, "an http:// or https:// address"),
    "version": (128, _is_version, "a version (PEP 440)"),
}

# Shapes of locks. A dict lists the allowed keys; keys with `?` are optional. A pair describes a dict: the shape of its keys, and of its values.
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
            is_package = type(shape[0]) == "dict" and shape[0] != _EDGE and type(item) == "dict" and type(item.get("name")) == "string"
            children.append((item, shape[0]) + ((item["name"], "") if is_package else (package, "{}[{}]".format(where, number))))
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
    """Returns the error for the first value of a lock that has an invalid shape.

    Args:
      value: the decoded lock.
      shape: `LOCK` or `DEB_LOCK`.

    Returns:
      An error that contains the package and the field, or None.
    """
    queue = [(value, shape, "", "")]

    # Starlark has no `while`. Each iteration processes one value.
    for _ in range(10000000):
        if not queue:
            return None
        item, its, package, where = queue.pop()
        problem = _problem_of(item, its)
        if problem:
            who = package if matches("name", package) or matches("Debian name", package) else _shown(package) if package else ""
            return ": ".join([part for part in (who, where, problem) if part])
        if type(its) in ["dict", "list", "tuple"]:
            queue += reversed(_children(item, its, package, where))
    return "the lock has too many values"
