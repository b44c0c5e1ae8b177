"""Headers of the tar in an image layer: with owners, which the tar in a `.bento` has not (`tarstream`).

POSIX.1-2001 "pax interchange format": a ustar header, whose prefix field takes the folders of a long name, and an
extended header before it only for what ustar cannot say. Names are as image builders write them, without `./`, and
folders end with a slash. Owners are numbers; their names are the image's affair.
"""

from __future__ import annotations

from functools import lru_cache

from rules_bento.archives.tarstream import RECORD

REGULAR, LINK, FOLDER = b"0", b"2", b"5"
_EXTENDED = b"x"
_MOST_NAME, _MOST_PREFIX = 100, 155
_MOST_NUMBER, _MOST_SIZE = 8**7 - 1, 8**11 - 1
_MAGIC = b"ustar\x0000"
_ZEROS = bytes(RECORD)


def header(path: str, kind: bytes, mode: int, uid: int, gid: int, mtime: int, size: int = 0, link: str = "") -> bytes:
    """The header records of a member: one, or three and more with an extended header.

    `mode` are permission bits, `mtime` is in seconds since 1970, `size` in bytes; none is negative. `link` is the
    target of a symbolic link.
    """
    extended: list[tuple[str, str]] = []
    name = path if kind != FOLDER else f"{path}/"
    prefix, last = _split(name)
    if not last:
        extended.append(("path", name))
        last = name.encode("ascii", "replace")[:_MOST_NAME]
    target = link.encode()
    if len(target) > _MOST_NAME or not link.isascii():
        extended.append(("linkpath", link))
        target = link.encode("ascii", "replace")[:_MOST_NAME]
    if size > _MOST_SIZE:
        extended.append(("size", str(size)))
        size = 0
    for keyword, number in (("uid", uid), ("gid", gid)):
        if number > _MOST_NUMBER:
            extended.append((keyword, str(number)))
    owner = _owner(mode, min(uid, _MOST_NUMBER), min(gid, _MOST_NUMBER))
    plain = _ustar(last, owner, size, mtime, kind, target, prefix)
    return _extended(extended) + plain if extended else plain


def padding(size: int) -> bytes:
    """What fills the last record of contents."""
    return _ZEROS[: -size % RECORD]


def _split(name: str) -> tuple[bytes, bytes]:
    """Prefix and name, which a slash joins; no name if it does not fit."""
    if not name.isascii():
        return b"", b""
    encoded = name.encode()
    if len(encoded) <= _MOST_NAME:
        return b"", encoded
    # The slash must leave at most `_MOST_NAME` bytes behind it, and at least one.
    at = encoded.find(b"/", len(encoded) - _MOST_NAME - 1, -1)
    return (encoded[:at], encoded[at + 1 :]) if 0 < at <= _MOST_PREFIX else (b"", b"")


@lru_cache(maxsize=64)
def _owner(mode: int, uid: int, gid: int) -> bytes:
    return b"%07o\0%07o\0%07o\0" % (mode & 0o7777, uid, gid)


def _ustar(name: bytes, owner: bytes, size: int, mtime: int, kind: bytes, link: bytes, prefix: bytes) -> bytes:
    before = b"%b%b%b%011o\0%011o\0" % (name, _ZEROS[len(name) : _MOST_NAME], owner, size, mtime)
    after = b"%b%b%b%b" % (kind, link, _ZEROS[len(link) : _MOST_NAME], _MAGIC)
    checksum = sum(before) + sum(after) + sum(prefix) + 8 * 0x20  # it counts itself as spaces
    record = b"%b%06o\0 %b" % (before, checksum, after)
    if prefix:
        record += _ZEROS[: 345 - len(record)] + prefix
    return record + _ZEROS[len(record) :]


def _extended(values: list[tuple[str, str]]) -> bytes:
    """Records of length, keyword and value, where the length counts its own digits."""
    data = b""
    for keyword, value in values:
        record = f" {keyword}={value}\n".encode()
        length = len(record) + len(str(len(record)))
        length = len(record) + len(str(length))  # its digits may have become one more
        data += b"%d%b" % (length, record)
    plain = _ustar(b"././@PaxHeader", _owner(0o644, 0, 0), len(data), 0, _EXTENDED, b"", b"")
    return plain + data + padding(len(data))
