"""Parses package versions into sort keys that follow the version order of each ecosystem."""

from __future__ import annotations

import re

from rules_bento.typing_lite import Any

PYPI = "PyPI"
DEBIAN = "Debian"

_DEBIAN_VERSION = re.compile(r"(?:([0-9]{1,9}):)?([0-9A-Za-z][0-9A-Za-z.+~-]*?)(?:-([0-9A-Za-z.+~]+))?(?<!-)")
_PART = re.compile(r"([^0-9]*)([0-9]*)")
_END = ((0,), 0)


def parse(text: str, ecosystem: str) -> Any:
    """Return a sort key for a version in an OSV ecosystem, such as `PyPI` or `Debian:13`.

    The key excludes the local part of a PyPI version. Raises ValueError for an invalid version.
    """
    if ecosystem != PYPI:
        return parse_debian(text)
    from packaging.version import Version

    return Version(Version(text).public)


def parse_debian(text: str) -> tuple[object, ...]:
    """Return a sort key that orders versions like dpkg (deb-version(7)). Raises ValueError for an invalid version."""
    match = _DEBIAN_VERSION.fullmatch(text)
    if not match:
        raise ValueError(text)
    return int(match[1] or "0"), _debian_key(match[2]), _debian_key(match[3] or "")


def _debian_key(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Return a sort key for a part of a Debian version. The order is `~`, end of part, letters, other characters."""
    parts = (match for match in _PART.finditer(text or "0") if match[0])
    return (*(((*map(_order, part[1]), 0), int(part[2] or "0")) for part in parts), _END)


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) + (0 if character.isalpha() else 256)
