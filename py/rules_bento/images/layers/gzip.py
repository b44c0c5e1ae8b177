"""Compresses layers with gzip, and reuses existing deflate streams if possible.

A gzip file (RFC 1952) consists of members. Each member contains a deflate stream, the CRC-32, and the size of the
contents. Joinable streams of a wheel (`deflate.joinable`) share one member. New blocks between these streams contain
the tar headers. A stream that isn't joinable is the last stream in its member.
"""

from __future__ import annotations

import struct

from rules_bento.archives import xz
from rules_bento.archives.zipread import fast_zlib
from rules_bento.images.layers import deflate
from rules_bento.typing_lite import Iterable, Iterator

# Kinds of contents: the lines of RECORD; contents without a stream, or no contents; contents with part of a deflate
# stream; all contents of a file, with a joinable stream.
RECORD_TEXT, RAW, REUSED, REUSED_WHOLE = range(4)
# Bytes of a tar: a file's padding and records; the kind of the next contents, the contents, and their deflate stream.
Piece = tuple[bytes, int, bytes, bytes]
_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate, no flags, no time, unknown system
_LEVEL = 6
_BLOCK = 0xFFFF  # maximum bytes of a stored block


def compress(data: bytes) -> bytes:
    """Return `data` as a gzip member. Stores incompressible data, and compresses other data with zlib."""
    trailer = struct.pack("<2L", fast_zlib().crc32(data), len(data))
    if not xz.compressible(data):
        return b"".join((_HEAD, *_stored(data), trailer))
    import zlib

    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join((_HEAD, compressor.compress(data), compressor.flush(), trailer))


def _stored(data: bytes) -> Iterator[bytes | memoryview]:
    """Yield `data` as stored blocks (RFC 1951, 3.2.4), each preceded by a header with its size."""
    view = memoryview(data)
    for start in range(0, len(data), _BLOCK):
        block = view[start : start + _BLOCK]
        size = len(block)
        yield struct.pack("<BHH", start + size == len(data), size, size ^ _BLOCK)
        yield block


def reuse(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Yield gzip members for the pieces of a wheel's tar. Compresses only the contents of `RAW` pieces with zlib."""
    member = _GzipMember()
    is_ending = False
    for records, kind, data, packed in pieces:
        if is_ending and (records or kind != REUSED):  # the stream of a file has ended
            yield member.close()
            is_ending = False
        if records:
            yield member.records(records)
        if kind >= REUSED:
            yield member.add(data, packed)
            is_ending = kind == REUSED
        elif data and kind == RECORD_TEXT:
            yield member.add(data, deflate.lines(data))
        elif data:
            yield member.end()
            yield compress(data)
    yield member.close() if is_ending else member.end()


class _GzipMember:
    def __init__(self) -> None:
        self._crc32 = fast_zlib().crc32
        self._crc = 0
        self._size = 0
        self._before = b""  # the last tar record
        self._before_at = 0

    def add(self, data: bytes, packed: bytes) -> bytes:
        """Add `data` to the member. `packed` contains the deflate blocks of `data`.

        Returns the bytes to write: `packed`, preceded by the member's header if the member was empty.
        """
        head = b"" if self._size else _HEAD
        self._crc = self._crc32(data, self._crc)
        self._size += len(data)
        return head + packed if head else packed

    def records(self, data: bytes) -> bytes:
        """Compress and add `data`, which contains padding and tar records. Returns the bytes to write."""
        padding = len(data) % deflate.RECORD
        packed = deflate.records(padding, data[padding:], self._before, self._size - self._before_at)
        packed = self.add(data, packed)
        self._before = data[-deflate.RECORD :]
        self._before_at = self._size - deflate.RECORD
        return packed

    def end(self) -> bytes:
        """End the deflate stream and the member. Returns the last bytes, or b"" if the member is empty."""
        return deflate.END + self.close() if self._size else b""

    def close(self) -> bytes:
        """Return the trailer of the member, and begin a new member. The deflate stream must be complete."""
        trailer = struct.pack("<2L", self._crc, self._size & 0xFFFFFFFF)
        self._crc = self._size = self._before_at = 0
        self._before = b""
        return trailer
