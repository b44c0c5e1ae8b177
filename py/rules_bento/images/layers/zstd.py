"""Compresses layers with libzstd. Writes incompressible data as frames of raw blocks, without libzstd.

In RFC 8878, a frame consists of a header and blocks of at most 128 KiB. A raw block consists of a 3-byte header and the
uncompressed data. Therefore, a frame of raw blocks adds 24 bytes per MiB. Writing or unpacking such a frame is as fast
as copying the data.
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_left

from rules_bento.archives import xz
from rules_bento.typing_lite import Callable, Mapping

_LEVEL = 3
_LEVEL_TABLE = 1

# Parameters for a frame of a single file, up to a number of bytes: the parameters that saved most for
# their time among those tried for this class (docs/contributing/adr). Larger frames use `_LARGE`.
_DFAST, _GREEDY = 2, 3  # strategies of libzstd
_ALONE: tuple[tuple[int, dict[str, int]], ...] = (
    (4 << 10, {"compression_level": 3}),
    (16 << 10, {"compression_level": 4}),
    (1 << 20, {"strategy": _GREEDY, "min_match": 5, "hash_log": 17, "chain_log": 16, "search_log": 5}),
)
_LARGE = {"strategy": _DFAST, "min_match": 5, "hash_log": 18, "chain_log": 17, "search_log": 1}
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


def frames(*, storing: bool, alone: bool = False) -> Callable[[bytes], bytes]:
    """Return a function that compresses data as one frame.

    If `storing` is true, the function returns `stored(data)` for incompressible data. If `alone` is true, the function
    uses compression parameters that are suitable for a single file.
    """
    import zstandard

    def made(parameters: Mapping[str, int]) -> zstandard.ZstdCompressor:
        fields = zstandard.ZstdCompressionParameters(write_checksum=False, write_content_size=True, **parameters)
        return zstandard.ZstdCompressor(compression_params=fields)

    classes = (*_ALONE, (sys.maxsize, _LARGE)) if alone else ((sys.maxsize, {"compression_level": _LEVEL}),)
    bounds = [bound for bound, _ in classes]
    # Only one thread can use a compressor at a time, and creating one costs as much as a small frame.
    idle: list[list[zstandard.ZstdCompressor]] = [[] for _ in classes]

    def frame(data: bytes) -> bytes:
        if storing and not xz.compressible(data):
            return stored(data)
        number = bisect_left(bounds, len(data))
        waiting = idle[number]
        try:
            compressor = waiting.pop()
        except IndexError:
            compressor = made(classes[number][1])
        packed = compressor.compress(data)
        waiting.append(compressor)
        return packed

    return frame


def table(data: bytes) -> bytes:
    """Compress a table of contents or a tar-split as one frame."""
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL_TABLE, write_checksum=False).compress(data)


def library_version() -> str:
    """Return the versions of zstandard and libzstd, on which the bytes of layers depend."""
    import zstandard

    return f"{zstandard.__version__} {zstandard.ZSTD_VERSION}"
