"""Records of a tar's headers, for both who write one: archives (`tarstream`) and layers of images.

POSIX.1-2001 "pax interchange format". What a header says of names, owners and long values is their matter.
Members have no time: 1970 stands in all of them, so that the same inputs are the same bytes.
"""

from __future__ import annotations

from functools import lru_cache

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = 512
"""Tar's unit in bytes: headers and contents begin at multiples of it."""

REGULAR, LINK, FOLDER = b"0", b"2", b"5"
MAX_NAME = 100
"""Bytes of a name, and of a link's target, without an extended header."""

MAX_SIZE = 8**11 - 1
"""Bytes of a file, likewise."""

_EXTENDED = b"x"
_MAGIC = b"ustar\x0000"
_ZEROS = bytes(RECORD)
_NO_TIME = b"0" * 11


@lru_cache(maxsize=64)
def owner(mode: int, uid: int, gid: int) -> bytes:
    """Return the fields of permission bits and owner, none of which has more than seven octal digits."""
    return b"%07o\0%07o\0%07o\0" % (mode & 0o7777, uid, gid)


def record(name: bytes, owned: bytes, size: int, kind: bytes, link: bytes, prefix: bytes = b"") -> bytes:
    """Return a header: `name` and `link` have `MOST_NAME` bytes at most, and `prefix` 155; `owned` is of `owner`."""
    before = b"%b%b%b%011o\0%b\0" % (name, _ZEROS[len(name) : MAX_NAME], owned, size, _NO_TIME)
    after = b"%b%b%b%b" % (kind, link, _ZEROS[len(link) : MAX_NAME], _MAGIC)
    checksum = sum(before) + sum(after) + sum(prefix) + 8 * 0x20  # it counts itself as spaces
    header = b"%b%06o\0 %b" % (before, checksum, after)
    if prefix:
        header += _ZEROS[: 345 - len(header)] + prefix
    return header + _ZEROS[len(header) :]


def extended(values: Mapping[str, str], mode: int) -> bytes:
    """Return an extended header of records `length keyword=value`, where the length counts its own digits.

    Values that are not UTF-8 are written as the bytes that they were, and said to be.
    """
    data = b"" if all(map(is_utf8, values.values())) else b"21 hdrcharset=BINARY\n"
    for keyword, value in values.items():
        line = f" {keyword}={value}\n".encode("utf-8", "surrogateescape")
        length = len(line) + len(str(len(line)))
        length = len(line) + len(str(length))  # its digits may have become one more
        data += b"%d%b" % (length, line)
    return record(b"././@PaxHeader", owner(mode, 0, 0), len(data), _EXTENDED, b"") + data + padding(len(data))


def padding(size: int) -> bytes:
    """Return the zeros that fill the last record of contents."""
    return _ZEROS[: -size % RECORD]


def is_utf8(text: str) -> bool:
    """Return whether a text can be written as UTF-8: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
