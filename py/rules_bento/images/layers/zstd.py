"""Zstd of a layer: frames by libzstd, or such as hold what does not compress as it is.

RFC 8878: a frame is a header and blocks of at most 128 KiB, and a raw block is three bytes before its contents. Such a
frame costs 24 bytes in a MiB and the time of a copy, here and where the layer is unpacked.
"""

from __future__ import annotations

import struct

from rules_bento.archives import xz
from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LEVEL = 3
_LEVEL_ALONE = 6
_LEVEL_TABLE = 9
_ALONE = 512 << 10  # bytes
_MAGIC = 0xFD2FB528
_SINGLE_SEGMENT_OF_4_BYTES = 0xA0  # one segment, whose size stands in the header, in four bytes; no checksum
_BLOCK = 128 << 10


def stored(data: bytes) -> bytes:
    """Return a frame of raw blocks; `data` may have up to 8 MiB, the window that every decoder has."""
    view = memoryview(data)
    pieces: list[bytes | memoryview] = [struct.pack("<LBL", _MAGIC, _SINGLE_SEGMENT_OF_4_BYTES, len(data))]
    for start in range(0, len(data), _BLOCK) or (0,):
        block = view[start : start + _BLOCK]
        is_last = start + _BLOCK >= len(data)
        pieces += [(len(block) << 3 | is_last).to_bytes(3, "little"), block]
    return b"".join(pieces)


def frames(*, storing: bool, alone: bool = False) -> Callable[[bytes], bytes]:
    """Return a function that makes a frame of some MiB; with `storing`, a sample decides whether they are compressed.

    With `alone`, frames are of files, of which few bytes have little to refer to: a higher level makes up for that.
    """
    import zstandard

    # One at a time may use a compressor, and making one costs as much as a small frame.
    idle: dict[int, list[zstandard.ZstdCompressor]] = {_LEVEL: [], _LEVEL_ALONE: []}

    def frame(data: bytes) -> bytes:
        if storing and not xz.compressible(data):
            return stored(data)
        level = _LEVEL_ALONE if alone and len(data) < _ALONE else _LEVEL
        compressor = (
            idle[level].pop()
            if idle[level]
            else zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True)
        )
        packed = compressor.compress(data)
        idle[level].append(compressor)
        return packed

    return frame


def table(data: bytes) -> bytes:
    """Return a frame of a table, of which a layer has one or two."""
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL_TABLE, write_checksum=False).compress(data)
