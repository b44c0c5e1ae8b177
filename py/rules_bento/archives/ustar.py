"""Builds the header records of a tar, for archives (`tarstream`) and image layers.

The format is the POSIX.1-2001 "pax interchange format". The callers choose names, owners, and long values. The
modification time of all members is 1970, so the same inputs have the same bytes.
"""

from __future__ import annotations

from functools import lru_cache

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = 512
"""The unit of a tar in bytes: headers and contents begin at multiples of it."""

REGULAR, LINK, FOLDER = b"0", b"2", b"5"
MAX_NAME = 100
"""The maximum bytes of a name, and of a link's target, without an extended header."""

MAX_SIZE = 8**11 - 1
"""The maximum bytes of a file without an extended header."""

_EXTENDED = b"x"
_MAGIC = b"ustar\x0000"
_ZEROS = bytes(RECORD)
_NO_TIME = b"0" * 11


@lru_cache(maxsize=64)
def owner(mode: int, uid: int, gid: int) -> bytes:
    """Return the fields of mode and owner. Each number has at most seven octal digits."""
    return b"%07o\0%07o\0%07o\0" % (mode & 0o7777, uid, gid)


def record(name: bytes, owned: bytes, size: int, kind: bytes, link: bytes, prefix: bytes = b"") -> bytes:
    """Return a header. `name` and `link` have at most `MAX_NAME` bytes, `prefix` 155; `owned` comes from `owner`."""
    before = b"%b%b%b%011o\0%b\0" % (name, _ZEROS[len(name) : MAX_NAME], owned, size, _NO_TIME)
    after = b"%b%b%b%b" % (kind, link, _ZEROS[len(link) : MAX_NAME], _MAGIC)
    checksum = sum(before) + sum(after) + sum(prefix) + 8 * 0x20  # the checksum itself counts as spaces
    header = b"%b%06o\0 %b" % (before, checksum, after)
    if prefix:
        header += _ZEROS[: 345 - len(header)] + prefix
    return header + _ZEROS[len(header) :]


def extended(values: Mapping[str, str], mode: int) -> bytes:
    """Return an extended header with lines of `length keyword=value`, where the length includes its own digits.

    Values that aren't UTF-8 are written as their original bytes, and marked as binary.
    """
    data = b"" if all(map(is_utf8, values.values())) else b"21 hdrcharset=BINARY\n"
    for keyword, value in values.items():
        line = f" {keyword}={value}\n".encode("utf-8", "surrogateescape")
        length = len(line) + len(str(len(line)))
        length = len(line) + len(str(length))  # the length can get another digit
        data += b"%d%b" % (length, line)
    return record(b"././@PaxHeader", owner(mode, 0, 0), len(data), _EXTENDED, b"") + data + padding(len(data))


def padding(size: int) -> bytes:
    """Return the zeros that fill the last record of contents."""
    return _ZEROS[: -size % RECORD]


def is_utf8(text: str) -> bool:
    """Return whether a string can be encoded as UTF-8, that is, has no unpaired surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
