"""Writes the tar headers in image layers. Unlike headers in a `.bento` (`tarstream`), these headers contain owners.

The format is the "pax interchange format" of POSIX.1-2001. The prefix field of a ustar header contains the directories
of a long name. Values that don't fit into the ustar header are in an extended header before the ustar header. As in
other image builders, names don't begin with `./`, and names of directories end with a slash. Owners are numeric IDs;
the image defines the corresponding user and group names.
"""

from __future__ import annotations

from rules_bento.base.archives import tarstream
from rules_bento.base.archives.tarstream import DIRECTORY, LINK, MAX_NAME, REGULAR, padding

__all__ = ["DIRECTORY", "LINK", "REGULAR", "header", "padding"]

_MOST_PREFIX = 155


def header(path: str, kind: bytes, mode: int, uid: int, gid: int, size: int = 0, link: str = "") -> bytes:
    """Return the tar header of a member. Includes an extended header if a value doesn't fit into the ustar header."""
    name = path if kind != DIRECTORY else f"{path}/"
    return tarstream.header_of(name, _split(name), kind, mode, uid, gid, size, link, 0o644)


def _split(name: str) -> tuple[bytes, bytes]:
    """Split a path into the header fields `prefix` and `name`. Both are empty for a long or non-ASCII path."""
    if not name.isascii():
        return b"", b""
    encoded = name.encode()
    if len(encoded) <= MAX_NAME:
        return b"", encoded
    # The slash must leave 1 to `MOST_NAME` bytes after it.
    at = encoded.find(b"/", len(encoded) - MAX_NAME - 1, -1)
    return (encoded[:at], encoded[at + 1 :]) if 0 < at <= _MOST_PREFIX else (b"", b"")
