"""Reads YAML, JSON, and TOML from untrusted sources, and enforces limits.

A reader returns plain Python values, or raises `FormatError` with the file and, if known, the line. The time and memory
for reading are proportional to the size of the input. docs/security.md lists the limits and the restrictions.
"""

from __future__ import annotations

from rules_bento.base.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

MAX_BYTES = 16 << 20  # maximum size of a file in UTF-8
MAX_DEPTH = 100  # maximum nesting of lists and mappings, so that recursion over a value is safe
MAX_VALUES = 500_000  # maximum number of values of JSON and YAML: lists, mappings, their items, and keys
MAX_NUMBER = 250  # maximum characters of a number, so that floats and Python's conversions don't overflow


class FormatError(BentoError):
    """Raised for a file that is invalid or exceeds the limits."""


def decode_text(data: bytes | str, origin: str, most: int = MAX_BYTES) -> str:
    """Return `data` as text without a byte order mark. Raises FormatError for invalid UTF-8 or oversized data."""
    if len(data) > most:
        raise _too_large(origin, most)
    try:
        text = (data.encode() if isinstance(data, str) else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise FormatError("the file isn't UTF-8", place=f"{origin}:{line}", remedy="Save the file as UTF-8.") from None
    except UnicodeEncodeError as error:
        line = error.object.count("\n", 0, error.start) + 1
        problem = "the text contains an unpaired surrogate (\\ud800 to \\udfff)"
        remedy = "Replace the surrogate with the intended character."
        raise FormatError(problem, place=f"{origin}:{line}", remedy=remedy) from None
    if text.startswith("\ufeff"):
        raise FormatError("the file has two byte order marks", place=f"{origin}:1", remedy="Remove one of them.")
    return text


def read_file(path: str | PathLike[str] | int, origin: str = "") -> bytes:
    """Return the content of a file. Raises OSError if reading fails, or FormatError if the file is too large.

    `path` can be a descriptor, which is closed.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - starts of actions do without pathlib
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large(origin or str(path))
    return data


def split_lines(text: str) -> list[str]:
    """Split `text` at LF, CRLF, and CR.

    `str.splitlines` also splits at other characters, such as form feed and U+2028, at which no format ends a line.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def _too_large(origin: str, most: int = MAX_BYTES) -> FormatError:
    return FormatError(f"the file exceeds the limit of {most >> 20} MiB", place=origin, remedy="Reduce the file size.")
