r"""Parses HTTP response headers in linear time. Treats invalid values as missing instead of raising errors.

Accepts only numbers of 1 to 18 ASCII digits: `str.isdigit` and `\d` also match other digits, and `int` raises an error
for thousands of digits.
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import Iterator

_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_TARGET = re.compile(r"[\s,]*<([^<>]*)>")
_PARAMETER = re.compile(r'\s*;\s*([\w!#$&+^`|~.*-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+)))?')
_WORD = re.compile(r'[\s,="]*([^\s,="]+)')
_VALUE = re.compile(r'\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class ContentRange(NamedTuple):
    """The byte range of a partial response. `last` is inclusive. `size` is the total size, or None for `*`."""

    first: int
    last: int
    size: int | None


def parse_nonnegative_int(text: str | None) -> int | None:
    """Return the integer in a header value, or None if the value isn't a number of at most 18 digits."""
    value = (text or "").strip()
    return int(value) if _NUMBER.fullmatch(value) else None


def content_range(text: str | None) -> ContentRange | None:
    """Parse a `Content-Range` header in bytes (RFC 9110, section 14.4). Returns None for an invalid value or unit."""
    match = _RANGE.fullmatch((text or "").strip())
    if not match:
        return None
    first, last = int(match[1]), int(match[2])
    size = None if match[3] == "*" else int(match[3])
    return ContentRange(first, last, size) if first <= last and (size is None or last < size) else None


def next_link(text: str | None) -> str | None:
    """Return the target of the first `rel=next` link in a `Link` header (RFC 8288), or None if no such link exists."""
    at, value = 0, text or ""
    while target := _TARGET.match(value, at):
        at = target.end()
        while parameter := _PARAMETER.match(value, at):
            at = parameter.end()
            relations = (parameter[2] or parameter[3] or "").lower().split()
            if parameter[1].lower() == "rel" and "next" in relations:
                return target[1]
    return None


def challenges(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each challenge of `WWW-Authenticate`: scheme and parameters. Schemes and parameter names are lowercase."""
    scheme, parameters, at = "", dict[str, str](), 0
    while word := _WORD.match(text, at):
        at = word.end()
        value = _VALUE.match(text, at)
        if value:
            at = value.end()
            quoted = re.sub(r"\\(.)", r"\1", value[1]) if value[1] is not None else value[2]
            parameters.setdefault(word[1].lower(), quoted)
        elif re.match(r'\s*=\s*"', text[at : at + 16]):
            break
        else:
            if scheme:
                yield scheme, parameters
            scheme, parameters = word[1].lower(), {}
    if scheme:
        yield scheme, parameters
