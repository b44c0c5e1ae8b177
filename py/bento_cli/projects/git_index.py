"""Reads the paths of the files that Git tracks from its index (gitformat-index(5)), without Git."""

from __future__ import annotations

import os
import struct
from itertools import islice

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING
from rules_bento.bentos.sources.tree_manifest import open_source

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 128 << 20  # of an index, and of all of its paths: version 4 compresses them
_MAX_PATH = 4096
_SHARED = "sharedindex."
_OF_NAMES = (20, 32)  # bytes of the names of objects: SHA-1 and SHA-256
_REMEDY = "To write the index again, remove the file, and run `git reset`."
_STATUS, _LONG, _EXTENDED = 40, 0xFFF, 0x4000  # bytes of a status; flags: the largest length of a path, more flags


def tracked_paths(index: Path) -> set[str]:
    """Return the paths that Git tracks, relative to the repository. They are as in commits, whatever `core.ignorecase`.

    A repository without an index tracks nothing. Raises BentoError for an index that can't be read.
    """
    return set(map(os.fsdecode, _read(index))) - {""}  # an entry that changes one of the shared part has no path


def _read(index: Path) -> list[bytes]:
    """Return the paths of the entries of an index, in their order."""
    try:
        with open_source(str(index)) as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        if not index.name.startswith(_SHARED):
            return []
        content = b""
    except OSError as error:
        raise BentoError(f"cannot read the index of Git: {error.strerror}", place=str(index), remedy=_REMEDY) from None
    for length in _OF_NAMES if len(content) <= _MAX_BYTES else ():
        try:
            paths, end = _paths(content, length)
            shared, at = _shared_part(content, end, length)
            if shared and not index.name.startswith(_SHARED):
                others = _read(index.with_name(_SHARED + shared))
                removed = _bits(content, at, len(others))
                paths += [path for number, path in enumerate(others) if number not in removed]
        except (struct.error, ValueError, IndexError):
            continue
        return paths
    raise BentoError("the index of Git is damaged, or isn't supported", place=str(index), remedy=_REMEDY)


def _paths(content: bytes, length: int) -> tuple[list[bytes], int]:
    """Return the paths of an index, and where its extensions begin. `length` is of the names of objects.

    Raises struct.error, ValueError, or IndexError for an index that isn't valid.
    """
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError(version)
    found, path, at, left = list[bytes](), b"", 12, _MAX_BYTES
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
        found.append(path)
        at = end + 1 if version == 4 else end + 8 - (end - start) % 8
    return found, at


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a number, as of deltas in packs, and where it ends."""
    number = content[at] & 0x7F
    while content[at] & 0x80 and number < _MAX_BYTES:
        at += 1
        number = (number + 1) << 7 | content[at] & 0x7F
    return number, at + 1


def _shared_part(content: bytes, at: int, length: int) -> tuple[str, int]:
    """Return the name of the shared part of a split index, or "", and where the bits of its removed entries are."""
    while at < len(content) - length:
        name, size = struct.unpack_from(">4sI", content, at)
        at += 8
        if name == b"link":
            found = content[at : at + length]
            return found.hex() if any(found) else "", at + length if size > length else 0
        at += size
    return "", 0


def _bits(content: bytes, at: int, limit: int) -> set[int]:
    """Return the numbers below `limit` of the bits that are set in a compressed bitmap (EWAH), if `at` isn't 0.

    Its words of 64 bits are markers, each of which has a bit, how often 64 such bits follow, and, in its highest 31
    bits, the number of plain words after it.
    """
    found, place = set[int](), 0
    words = iter(struct.unpack_from(f">{struct.unpack_from('>I', content, at + 4)[0]}Q", content, at + 8) if at else ())
    for marker in words:
        end = place + 64 * (marker >> 1 & 0xFFFFFFFF)
        found.update(range(place, min(end, limit)) if marker & 1 else ())
        place = end
        for word in islice(words, marker >> 33):
            found.update(place + bit for bit in range(64) if word >> bit & 1)
            place += 64
    return found
