"""Parses Python code of other people, except for code that Python needs quadratic time for."""

from __future__ import annotations

import re
import sys

from rules_bento.base.typing_lite import Any

LOADER_FUNCTION = "_load_for_rules_bento"
"""The function in a loader of a library's module (see `library_paths`). It does what Python does."""
_SMALL, _MAX_WORK = 1 << 15, 10**9  # bytes that are fast in any case, and steps in about a second


def parse(source: bytes | str, path: str = "<unknown>", mode: str = "exec") -> Any:
    """Return the result of `ast.parse`, without warnings. Also raises SyntaxError if this Python needs too long."""
    import ast
    import warnings

    data = source if isinstance(source, bytes) else source.encode(errors="replace")
    if reason := slowness(data, has_slow_strings=sys.version_info < (3, 12)):
        raise SyntaxError(reason, (path, None, None, None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `"\d"` is a matter between the author and Python, not of this build.
        return ast.parse(source, path, mode)


def slowness(source: bytes, *, has_slow_strings: bool) -> str:
    """Return why Python needs too long to parse code, or an empty string. The machine doesn't matter.

    The codec punycode is quadratic, and so are f-strings before Python 3.12. Other codecs could hide f-strings.
    """
    if len(source) < _SMALL:
        return ""
    head = b" ".join(re.split(rb"\r\n?|\n", source, maxsplit=2)[:2]).lower().translate(None, b" \t-_.")
    if re.search(rb"coding[:=](punycode|idna|utf7|u7|unicode|rawunicode|hz)", head):
        return "the encoding isn't supported for large files"
    if has_slow_strings and source.count(b"{") * len(source) > _MAX_WORK:
        is_long = re.search(rb"[fF][rR]?(\"\"\"|''')|\\[\r\n]", source)
        pieces = [source] if is_long else re.split(rb"[\r\n]", source)
        if sum(piece.count(b"{") * len(piece) for piece in pieces) > _MAX_WORK:
            return "the f-strings have too many expressions"
    return ""
