"""Compresses layers with gzip, and reuses existing deflate streams if possible.

A gzip file (RFC 1952) consists of members. Each member contains a deflate stream, the CRC-32, and the size of the
contents. Joinable streams of a wheel (`zipread.joinable`) share one member. New blocks between these streams contain
the tar headers. A stream that isn't joinable is the last stream in its member.

Readers of streams, such as `tarfile` of Python, read only the first member of a file. `OneMember` is for them.
"""

from __future__ import annotations

import struct

from rules_bento.base.archives.compressors import DEFLATED, LEVEL, RAW, compressible, zlib_ng
from rules_bento.base.archives.zipread import DEFLATE_END, fast_zlib
from rules_bento.base.typing_lite import Iterator
from rules_bento.images.layers import deflate
from rules_bento.images.layers.forms import Blocks, LayerForm, TarFile

_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate, no flags, no time, unknown system
_LEVEL_OF_WHEELS = 7  # of the little that has no stream; another level would change layers that all images share
_BLOCK = 0xFFFF  # maximum bytes of a stored block


def compress(data: bytes, level: int = LEVEL) -> bytes:
    """Return `data` as a gzip member. Stores incompressible data, and compresses other data with zlib-ng."""
    trailer = struct.pack("<2L", fast_zlib().crc32(data), len(data))
    return b"".join((_HEAD, *_deflated(data, level, is_last=True), trailer))


def _blocks(data: bytes) -> bytes:
    """Return `data` as deflate blocks that other blocks can follow. Stores incompressible data."""
    return b"".join(_deflated(data, LEVEL, is_last=False))


def _deflated(data: bytes, level: int, *, is_last: bool) -> Iterator[bytes | memoryview]:
    if compressible(data):
        yield _compress(data, level, is_last=is_last)
        return
    # Stored blocks (RFC 1951, 3.2.4), each preceded by a header with its size.
    view = memoryview(data)
    for start in range(0, len(data), _BLOCK):
        block = view[start : start + _BLOCK]
        size = len(block)
        yield struct.pack("<BHH", is_last and start + size == len(data), size, size ^ _BLOCK)
        yield block


def _compress(data: bytes, level: int, *, is_last: bool) -> bytes:
    module = zlib_ng()
    compressor = module.compressobj(level, DEFLATED, RAW)
    packed: bytes = compressor.compress(data) + compressor.flush(module.Z_FINISH if is_last else module.Z_FULL_FLUSH)
    return packed


class OneMember(Blocks):
    """Compresses blocks of the tar in threads, as one gzip member."""

    def __init__(self, size: int, threads: int | None) -> None:
        """Compress blocks of `size` bytes. If `threads` is None, uses up to 8 CPUs."""
        super().__init__(_blocks, size, threads)
        self._crc = self._size = 0

    def finish(self) -> Iterator[bytes]:
        """Yield the remaining blocks, and the end of the member."""
        yield from super().finish()
        yield DEFLATE_END + struct.pack("<2L", self._crc, self._size & 0xFFFFFFFF)

    def _encoded(self, block: bytes) -> Iterator[bytes]:
        if not self._size:
            yield _HEAD
        self._crc = fast_zlib().crc32(block, self._crc)
        self._size += len(block)
        yield from super()._encoded(block)


class ReusingGzip(LayerForm):
    """Encodes a layer with the files of a wheel. Compresses only contents without a deflate stream."""

    reuses_streams = True

    def __init__(self) -> None:
        self._crc32 = fast_zlib().crc32
        self._crc = 0
        self._size = 0
        self._before = b""  # the last tar record
        self._before_at = 0
        self._is_ending = False  # whether the last stream isn't joinable

    def add(self, file: TarFile) -> Iterator[bytes]:
        """Yield the next gzip members, except for the end of the last member."""
        if self._is_ending:
            yield self._close()
        if file.records:
            yield self._records(file.records)
        for data, packed, joined in file.chunks:
            if packed is not None:
                yield self._blocks(data, packed)
                self._is_ending = not joined
            elif data:
                yield self._end()
                yield compress(data, _LEVEL_OF_WHEELS)
        if file.text:
            yield self._blocks(file.text, _compress(file.text, _LEVEL_OF_WHEELS, is_last=False))

    def finish(self) -> Iterator[bytes]:
        """Yield the end of the last member."""
        yield self._close() if self._is_ending else self._end()

    def _end(self) -> bytes:
        """End the deflate stream and the member. Returns the last bytes, or b"" if the member is empty."""
        return DEFLATE_END + self._close() if self._size else b""

    def _close(self) -> bytes:
        """Return the trailer of the member, and begin a new member. The deflate stream must be complete."""
        trailer = struct.pack("<2L", self._crc, self._size & 0xFFFFFFFF)
        self._crc = self._size = self._before_at = 0
        self._before = b""
        self._is_ending = False
        return trailer

    def _blocks(self, data: bytes, packed: bytes) -> bytes:
        """Add `data` to the member. `packed` contains the deflate blocks of `data`.

        Returns the bytes to write: `packed`, preceded by the member's header if the member was empty.
        """
        head = b"" if self._size else _HEAD
        self._crc = self._crc32(data, self._crc)
        self._size += len(data)
        return head + packed if head else packed

    def _records(self, data: bytes) -> bytes:
        """Compress and add `data`, which contains padding and tar records. Returns the bytes to write."""
        padding = len(data) % deflate.RECORD
        packed = deflate.records(padding, data[padding:], self._before, self._size - self._before_at)
        packed = self._blocks(data, packed)
        self._before = data[-deflate.RECORD :]
        self._before_at = self._size - deflate.RECORD
        return packed
