"""Finds the version of Python that a project's syntax requires."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEWEST = sys.version_info.minor


def is_valid(text: bytes, minor: int = _NEWEST) -> bool:
    """Return whether Python 3.`minor` can parse a file. Doesn't detect all newer syntax."""
    try:
        ast.parse(text, feature_version=(3, minor))
    except (SyntaxError, ValueError):
        return False
    return not (minor < 12 <= _NEWEST and _has_new_strings(text))


def min_minor(texts: Iterable[bytes]) -> int:
    """Return the lowest minor version of Python, from 3.7 on, that can parse all (valid) files."""
    found: list[int] = [next(minor for minor in range(7, _NEWEST + 1) if is_valid(text, minor)) for text in texts]
    return max([7, *found])


def _has_new_strings(text: bytes) -> bool:
    """Return whether an f-string has a backslash or its own quotes in a replacement field, as PEP 701 allows."""
    quotes: list[str] = []  # of the open f-strings
    for token in tokenize.tokenize(io.BytesIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_END":
            quotes.pop()
        elif kind != "FSTRING_MIDDLE" and quotes and re.search("|".join([r"\\", *quotes]), token.string):
            return True
        if kind == "FSTRING_START":
            quotes.append(token.string.lstrip("bBfFrRuU"))
    return False
