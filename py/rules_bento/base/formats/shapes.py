"""Validates the syntax of strings in locks.

A lock is untrusted input: the strings become file names, labels, arguments, and input of other programs.
Bazel reads locks of Debian packages without this module: private/repositories/lock_shapes.bzl rejects strings that
could harm there. tests/formats/test_shapes.py verifies that it accepts every string that this module accepts.
"""

from __future__ import annotations

import re
from functools import cache

from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.typing_lite import Any, Iterator

MAX_MARKER = 16384  # maximum number of characters in a marker
MAX_MARKER_DEPTH = 32  # maximum nesting depth of parentheses in a marker
_NAMED_HOST = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
_HOST = rf"({_NAMED_HOST}|\[[0-9A-Fa-f:.]+\])"
_USER = r"[A-Za-z0-9][A-Za-z0-9._-]*@"
_GIT_PATH = r"[A-Za-z0-9._~@%+=,/-]*"
_URL_PATH = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*"
_SEGMENT = r"(?!\.{1,2}(/|\Z)|-)[A-Za-z0-9._@%+=,:~-]+"
_FILE_SEGMENT = r"(?!\.{1,2}(/|\Z))[^/\\\x00-\x1f\x7f]+"
_REPOSITORY = r"(?![^/]*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]*"
_PRINTED = r"[^\\\x00-\x1f\x7f\ud800-\udfff]*"
_PLACE = rf"(?![A-Za-z][A-Za-z0-9+.-]*://){_PRINTED}"
_RELEASE_NAME = r"[A-Za-z0-9][A-Za-z0-9._]*-[A-Za-z0-9._!+]+"
_TAGS = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*"
_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?")

# By kind: maximum length, pattern, and description.
_KINDS = {
    kind: (limit, pattern, description)
    for kind, limit, pattern, description in (
        ("name", 128, r"[a-z0-9]+(-[a-z0-9]+)*", "a normalized package name (PEP 503)"),
        ("extra", 128, r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", "the name of an extra"),
        (
            "file",
            255,
            r"[A-Za-z0-9]([A-Za-z0-9._!+~-]|%2[Bb])*\.(whl|zip|tar\.gz)",
            "the file name of a wheel or of a source archive",
        ),
        ("index", 8, r"[0-9]+", "the number of an index"),
        ("sha256", 64, r"[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits"),
        ("commit", 64, r"[0-9a-f]{40}|[0-9a-f]{64}", "a commit of 40 or 64 hexadecimal digits"),
        ("page", 4096, rf"https?://{_HOST}(:[0-9]+)?(/{_GIT_PATH})?", "an http:// or https:// address without a query"),
        ("url", 4096, rf"https?://{_HOST}(:[0-9]+)?(/{_URL_PATH})?", "an http:// or https:// address"),
        (
            "git",
            4096,
            rf"(https?://|ssh://({_USER})?){_HOST}(:[0-9]+)?(/{_GIT_PATH})?|{_USER}{_NAMED_HOST}:(?!-|//){_GIT_PATH}"
            rf"|file:///{_GIT_PATH}",
            "an https://, ssh://, file:// or git@host: address",
        ),
        ("path", 1024, rf"{_SEGMENT}(/{_SEGMENT})*", "a relative path without '..'"),
        ("platform", 64, r"(linux|darwin)_[a-z0-9_]+", "a platform, such as linux_amd64"),
        ("line", 65536, r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*", "a line of text"),
        ("Debian name", 128, r"[a-z0-9][a-z0-9+.-]+", "the name of a Debian package"),
        ("Debian version", 128, r"([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*", "the version of a Debian package"),
        ("Debian file", 1024, rf"({_SEGMENT}/)*{_SEGMENT}\.deb", "a relative path of a .deb file"),
        ("architecture", 32, r"[a-z0-9][a-z0-9-]*", "an architecture of Debian"),
        ("Debian request", 256, r"[a-z0-9][a-z0-9+.-]+(=([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~*-]*)?", "NAME[=VERSION]"),
        ("archive", 32, r"debian(-security)?|ubuntu", "debian, debian-security, or ubuntu"),
        ("date", 16, r"[0-9]{8}T[0-9]{6}Z", "a date such as 20260131T201530Z"),
        ("image", 512, r"[A-Za-z0-9[][A-Za-z0-9._:/\[\]-]*", "registry/repository of an image"),
        ("model file", 1024, rf"{_FILE_SEGMENT}(/{_FILE_SEGMENT})*", "a relative path without '..'"),
        ("repository", 200, rf"{_REPOSITORY}(/{_REPOSITORY})?", "a repository of the Hugging Face Hub"),
        # Strings of uv.lock, which uv accepts in more forms.
        ("wheel", 255, rf"{_RELEASE_NAME}(-[A-Za-z0-9._]+)?-{_TAGS}-{_TAGS}-{_TAGS}\.whl", "the file name of a wheel"),
        ("file name", 255, r"(?!\.{1,2}\Z)[^/\\\x00-\x1f\x7f\ud800-\udfff]+", "a file name"),
        ("hash", 256, r"sha256:[0-9a-f]{64}|(md5|sha384|sha512|blake2b):[0-9a-f]+", "a hash, such as sha256:DIGITS"),
        ("address", 4096, rf"[Hh][Tt][Tt][Pp][Ss]?://{_PRINTED}", "an http:// or https:// address"),
        ("place", 4096, _PLACE, "a path of a file or directory"),
        ("registry", 4096, rf"https?://{_PRINTED}|{_PLACE}", "an http:// or https:// address, or a path"),
        ("git source", 4096, rf"(https?|ssh|file)://{_PRINTED}#[0-9a-f]{{40}}", "an address with a commit"),
    )
}

_EDGE = {"name": "name", "version?": "version", "index?": "index", "extras?": ["extra"], "marker?": "marker"}
_SOURCE = {"git?": "git", "commit?": "commit", "subdirectory?": "path", "url?": "url"}
# The lock format of rules_bento (see lock.py).
LOCK = {
    "requires_python": "range",
    "inputs?": {
        "requirements?": ["line"],
        "constraints?": ["line"],
        "overrides?": ["line"],
        "platforms?": ["platform"],
        "settings?": ["line"],
        "indexes?": "line",
    },
    "roots": [_EDGE],
    "packages": [
        {
            "name": "name",
            "version": "version",
            "index?": "index",
            "page?": "page",
            "dependencies?": [_EDGE],
            "extras?": ("extra", [_EDGE]),
            "files": ("file", "sha256"),
            "source?": _SOURCE,
            "rejected_files?": ["file"],
            "unlocked?": bool,
        }
    ],
}
# A lock of Debian packages (see images/debian/apt.py).
DEB_LOCK = {
    "inputs": {
        "suites?": ["line"],
        "architectures?": ["architecture"],
        "packages?": ["Debian request"],
        "exclude?": ["Debian name"],
    },
    "snapshot?": "date",
    "packages": (
        "architecture",
        [
            {
                "name": "Debian name",
                "version": "Debian version",
                "architecture?": "architecture",
                "archive": "archive",
                "filename": "Debian file",
                "sha256": "sha256",
                "size?": int,
                "dependencies": ["Debian name"],
                "replaces?": "Debian version",
            }
        ],
    ),
}


def check(lock: Any, shape: Any, origin: str, remedy: str) -> None:
    """Raise BentoError for the first value that doesn't match `shape`. The message names the package and the field."""
    schema.validate(lock, shape, origin, remedy)
    for place, kind, value in _strings(lock, shape, "", origin):
        require(kind, value, place, remedy)


def require(kind: str, value: str, place: str, remedy: str) -> None:
    """Raise BentoError if `value` doesn't have the syntax of `kind`. The message begins with `place`."""
    if not matches(kind, value):
        description = _GRAMMARS[kind][2] if kind in _GRAMMARS else _KINDS[kind][2]
        raise BentoError(f"{_redacted(value)} isn't {description}", place=place, remedy=remedy)


def matches(kind: str, value: str) -> bool:
    """Return whether a string has the syntax of `kind`, such as `version`."""
    if kind in _GRAMMARS:
        limit, accepts, _ = _GRAMMARS[kind]
        return len(value) <= limit and value.isascii() and value.isprintable() and accepts(value)
    return len(value) <= _KINDS[kind][0] and _pattern(kind).fullmatch(value) is not None


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    return re.compile(_KINDS[kind][1])  # when it is needed, because most programs need few


def _is_version(text: str) -> bool:
    if _RELEASE.fullmatch(text):
        return True
    from packaging.version import InvalidVersion, Version

    try:
        return " " not in text and bool(Version(text))
    except InvalidVersion:
        return False


def _is_range(text: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        clauses = list(SpecifierSet(text))
    except InvalidSpecifier:
        return False
    is_exact = text == text.strip(" ") and (not text or all(clause.strip(" ") for clause in text.split(",")))
    return is_exact and all(_is_version(clause.version.removesuffix(".*")) for clause in clauses)


def _is_marker(text: str) -> bool:
    from packaging.markers import InvalidMarker, Marker

    bare, depth = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text), 0
    for character in bare:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth > MAX_MARKER_DEPTH:
            return False
    # Variables that `packaging` supports, and uv doesn't write.
    if re.search(r"\.|\b(extras|dependency_groups|python_implementation)\b", bare):
        return False
    try:
        return not text or bool(Marker(text))
    except InvalidMarker:
        return False


# By kind: maximum length, function, and description.
_GRAMMARS = {
    "version": (128, _is_version, "a version (PEP 440)"),
    "range": (1024, _is_range, "a range of Python versions"),
    "marker": (MAX_MARKER, _is_marker, "an environment marker (PEP 508)"),
}


def _strings(value: Any, shape: Any, where: str, origin: str) -> Iterator[tuple[str, str, str]]:
    """For each string in `value`, yield its location for messages, its kind (such as `sha256`), and the string."""
    if isinstance(shape, str):
        yield f"{origin}: {where}", shape, value
    elif isinstance(shape, list):
        for number, item in enumerate(value):
            place, inner = f"{where}[{number}]", origin
            if isinstance(shape[0], dict) and "name" in shape[0] and shape[0] is not _EDGE:
                name = item["name"]
                place, inner = "", f"{origin}: {name if matches('line', name) else _redacted(name)}"
            yield from _strings(item, shape[0], place, inner)
    elif isinstance(shape, tuple):
        for name, item in value.items():
            yield f"{origin}: {where}", shape[0], name
            yield from _strings(item, shape[1], f"{where}.{name}", origin)
    elif isinstance(shape, dict):
        dot = f"{where}." if where else ""
        if shape is _SOURCE and value.keys() not in _SOURCES:
            keys = ", ".join(map(_redacted, value)) or "none"
            problem = f"expected the keys url, or git and commit, got {keys}"
            remedy = "Restore the committed lock, or update the lock."
            raise BentoError(problem, place=f"{origin}: {where}", remedy=remedy)
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if name in value:
                yield from _strings(value[name], inner, dot + name, origin)


_SOURCES = ({"url"}, {"git", "commit"}, {"git", "commit", "subdirectory"})


def _redacted(text: str) -> str:
    """Shorten `text` for a message. Removes credentials and queries from URLs."""
    shown = without_credentials(text)
    shown = shown.partition("?")[0] if "://" in shown else shown
    return ascii(shown if len(shown) <= 100 else f"{shown[:100]}...")
