"""Finds modules that only extend `__path__`: `__init__.py` of namespace packages that pkgutil or pkg_resources join.

Packages that share a namespace can spell this module differently, such as dbt-core and dbt-postgres.
"""

from __future__ import annotations

import re

MAX_SIZE = 1 << 12
"""The maximum size in bytes of a module that `extension` accepts."""
_CODEC = re.compile(r"coding[:=](?![ \t]*utf-?8(?![-\w.]))", re.I)
_BLANK = r"(?:[ \t]*(?:#[^\n]*)?\n)*"
# A docstring, and a __future__ statement that changes nothing here. Without escapes, which could be invalid.
_HEAD = re.compile(
    _BLANK + r"""(?:[rRuU]?(?:"{3}(?:[^\\"]|"(?!""))*"{3}|'{3}(?:[^\\']|'(?!''))*'{3}|"[^\\"\n]*"|'[^\\'\n]*')"""
    r"[ \t]*(?=[#\n]))?" + _BLANK + r"(?:from __future__ import (?:absolute_import|annotations)[ \t]*(?=[#\n]))?"
)
_PKGUTIL = (
    r"""(?:\n__path__=__import__\((?:'pkgutil'|"pkgutil")\)\.|\nimport pkgutil\n__path__=pkgutil\.|"""
    r"\nfrom pkgutil import extend_path\n__path__=)extend_path\(__path__,__name__\)"
)
_PKG_RESOURCES = (
    r"""(?:\n__import__\((?:'pkg_resources'|"pkg_resources")\)\.|\nimport pkg_resources\npkg_resources\.|"""
    r"\nfrom pkg_resources import declare_namespace\n)declare_namespace\(__name__\)"
)
_EITHER = rf"\ntry:{_PKG_RESOURCES}\nexcept (?:ImportError|ModuleNotFoundError):{_PKGUTIL}"
_EITHER = re.sub(r"\\n(?!try|except)", r"\\n\\t", _EITHER)  # the lines of a block are indented
_EXTENSIONS = {"pkgutil": _PKGUTIL, "pkg_resources": _PKG_RESOURCES, "pkg_resources-or-pkgutil": _EITHER}


def extension(source: bytes) -> str:
    """Return what extends `__path__` in a module that does only this, as pkgutil-style namespace packages do, or "".

    Modules with one result have one effect: they have the same statements, in any spelling. Compares text, because
    `ast` depends on the version of Python, and accepts escapes, codecs, and depths that another version rejects.
    """
    if len(source) > MAX_SIZE or b"__name__)" not in source.replace(b" ", b""):  # almost all modules
        return ""
    text = source.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n") + "\n"
    if {"\0", "\ufffd"} & {*text} or _CODEC.search("\n".join(text.split("\n")[:2])):
        return ""
    head = _HEAD.match(text)
    lines = [line.partition("#")[0].rstrip(" \t") for line in text[head.end() if head else 0 :].split("\n")]
    if len({line[: -len(line.lstrip(" \t"))] for line in lines if line.startswith((" ", "\t"))}) > 1:
        return ""  # indented in two ways
    spaced = (re.sub(r"^[ \t]+", "\t", line) for line in lines if line)
    code = "".join("\n" + re.sub(r" *([=(),.:]) *", r"\1", line) for line in spaced)
    return next((name for name, pattern in _EXTENSIONS.items() if re.fullmatch(pattern, code)), "")
