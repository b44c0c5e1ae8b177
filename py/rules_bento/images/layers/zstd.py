"""Compresses layers with libzstd. Writes incompressible data as frames of raw blocks, without libzstd.

In RFC 8878, a frame consists of a header and blocks of at most 128 KiB. A raw block consists of a 3-byte header and the
uncompressed data. Therefore, a frame of raw blocks adds 24 bytes per MiB. Writing or unpacking such a frame is as fast
as copying the data.
"""

from __future__ import annotations

import struct

from rules_bento.base.archives import compressors
from rules_bento.base.typing_lite import Any, Callable

_LEVEL = 3
_MAGIC = 0xFD2FB528
_SINGLE_SEGMENT_OF_4_BYTES = 0xA0  # one segment, whose size is in the header, in four bytes; no checksum
_BLOCK = 128 << 10


def stored(data: bytes) -> bytes:
    """Return `data` as a frame of raw blocks. The limit is 8 MiB, the window size that all decoders support."""
    view = memoryview(data)
    pieces: list[bytes | memoryview] = [struct.pack("<LBL", _MAGIC, _SINGLE_SEGMENT_OF_4_BYTES, len(data))]
    for start in range(0, len(data), _BLOCK) or (0,):
        block = view[start : start + _BLOCK]
        is_last = start + _BLOCK >= len(data)
        pieces += [(len(block) << 3 | is_last).to_bytes(3, "little"), block]
    return b"".join(pieces)


def frames(*, storing: bool) -> Callable[[bytes], bytes]:
    """Return a function that compresses data as one frame.

    If `storing` is true, the function returns `stored(data)` for incompressible data.
    """
    zstandard = compressors.zstd()
    parameters = zstandard.ZstdCompressionParameters(
        compression_level=_LEVEL, write_checksum=False, write_content_size=True
    )
    # Only one thread can use a compressor at a time, and creating one costs as much as a small frame.
    idle: list[Any] = []

    def frame(data: bytes) -> bytes:
        if storing and not compressors.compressible(data):
            return stored(data)
        try:
            compressor = idle.pop()
        except IndexError:
            compressor = zstandard.ZstdCompressor(compression_params=parameters)
        packed: bytes = compressor.compress(data)
        idle.append(compressor)
        return packed

    return frame
