"""Reads the paths of the files that Git tracks from its index (gitformat-index(5)), without Git."""

from __future__ import annotations

import os
import struct

from rules_bento.base.typing_lite import TYPE_CHECKING
from rules_bento.bentos.sources.tree_manifest import open_source

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 128 << 20  # of an index, and of all of its paths: version 4 compresses them
_MAX_PATH = 4096
_SHARED = "sharedindex."
_OF_NAMES = (20, 32)  # bytes of the names of objects: SHA-1 and SHA-256
_STATUS, _LONG, _EXTENDED = 40, 0xFFF, 0x4000  # bytes of a status; flags: the largest length of a path, more flags


def tracked_paths(index: Path) -> set[str] | None:
    """Return the paths that Git tracks, relative to the repository, or None without an index that this can read.

    If the index is split, returns also paths in the shared part that the other part removes.
    """
    try:
        with open_source(str(index)) as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    for length in _OF_NAMES if len(content) <= _MAX_BYTES else ():
        try:
            paths, end = _paths(content, length)
            shared = _shared_part(content, end, length)
        except (struct.error, ValueError, IndexError):
            continue
        has_other = shared and not index.name.startswith(_SHARED)
        others = (has_other and tracked_paths(index.with_name(_SHARED + shared))) or set()
        return others.union(map(os.fsdecode, paths))
    return None


def _paths(content: bytes, length: int) -> tuple[set[bytes], int]:
    """Return the paths of an index, and where its extensions begin. `length` is of the names of objects.

    Raises struct.error, ValueError, or IndexError for an index that isn't valid.
    """
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError(version)
    found, path, at, left = set(), b"", 12, _MAX_BYTES
    for _ in range(count):
        start, at = at, at + _STATUS + length + 2
        [flags] = struct.unpack_from(">H", content, at - 2)
        at += 2 * bool(flags & _EXTENDED)
        kept = 0
        if version == 4:
            removed, at = _number(content, at)
            kept = len(path) - removed
        end = content.index(b"\0", at)
        if kept < 0 or end - at > _MAX_PATH:
            raise ValueError(at)
        path = path[:kept] + content[at:end]
        left -= len(path)
        if left < 0 or len(path) > _MAX_PATH or flags & _LONG != min(len(path), _LONG):
            raise ValueError(path)
        found.add(path)
        at = end + 1 if version == 4 else end + 8 - (end - start) % 8
    return found - {b""}, at  # an entry that changes one of the shared part has no path


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a number, as of deltas in packs, and where it ends."""
    number = content[at] & 0x7F
    while content[at] & 0x80 and number < _MAX_BYTES:
        at += 1
        number = (number + 1) << 7 | content[at] & 0x7F
    return number, at + 1


def _shared_part(content: bytes, at: int, length: int) -> str:
    """Return the name of the shared part of a split index, or ""."""
    while at < len(content) - length:
        name, size = struct.unpack_from(">4sI", content, at)
        if name == b"link":
            found = content[at + 8 : at + 8 + length]
            return found.hex() if any(found) else ""
        at += 8 + size
    return ""
