"""Splits deflate streams at block boundaries into chunks that can be inflated separately.

A block (RFC 1951, 3.2.3) can begin at any bit. The position is known only after the previous block is inflated. `_Walk`
marks each block as the last block, so that inflating stops in the last byte of the block. `_Walk` then tests at which
bits of this byte the next block can begin. If the test doesn't find exactly one position, the remaining chunks contain
only inflated contents. Callers verify the contents, because a block at a wrong position has wrong contents.

A block can refer to the previous 32 KiB of contents. For the second chunk and the following chunks, the blocks with the
first 32 KiB of contents are compressed again, and the other blocks are copied. Empty blocks precede the copied blocks,
so that each copied block begins at the same bit of a byte as in the original stream.

Invariant: the stream in a chunk begins and ends at a byte boundary. The concatenated streams inflate to the contents.
"""

from __future__ import annotations

import zlib
from itertools import chain

from rules_bento.archives import xz
from rules_bento.archives.zipread import Chunk, fast_zlib
from rules_bento.typing_lite import Any, Callable, Iterator

_WINDOW = 32 << 10
_READ = 32 << 10  # bytes of a stream to read at a time: about one block
_BEGIN = 12  # bytes that contain the beginning of a block, from the last byte of the previous block on
_SAMPLE = 400  # bytes of a possible block to inflate, including its codes
_LONG_SAMPLE = 8000  # the same for fixed codes, with which most bits can be inflated for a while
_LEVEL = 6
# The allowed number of small blocks, and their bytes: each block costs the same time to walk.
_MAX_SMALL_BLOCKS, _SMALL_BLOCK = 100, 512
_STORED, _FIXED, _DYNAMIC = range(3)  # kinds of blocks
_EMPTY = b"\0\0\xff\xff"  # a stored block without contents: the bytes after the three bits of its header
_COMPLETE = 1 << 7  # the sum for the lengths of a complete code

# Empty blocks, as value and width: with fixed codes, and with their own codes.
_EMPTY_FIXED = 0b010, 10
_EMPTY_DYNAMIC = 0x46AFF810000000000081E104, 95


def cut(
    pieces: Iterator[bytes], size: int, inflated: Callable[[Iterator[bytes], Any], Iterator[Chunk]]
) -> Iterator[Chunk]:
    """Inflate a deflate stream, and split its contents into chunks of at most `size` bytes.

    If the rest of the stream can't be split at block boundaries, calls `inflated` with the rest and a decompressor. In
    this case, the field `packed` of the remaining chunks is empty.
    """
    walk = _Walk(pieces, size)
    try:
        yield walk.cut(copied=(0, 0))
        while not walk.is_over:
            yield walk.cut(copied=None)
    except _UnknownError:
        rest = (chunk.data for chunk in inflated(*walk.rest()))
        yield from (Chunk(data, b"") for data in xz.split(rest, size))


class _UnknownError(Exception):
    """Raised if the rest of a stream can't be split at block boundaries."""


class _Walk:
    """Splits a deflate stream into chunks. `at` is a bit offset in `_stream`, and `held` a byte offset in `_data`."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self.is_over = False
        self._pieces = pieces
        self._max_size = size
        self._stream, self._data = bytearray(), bytearray()  # both begin at the next chunk
        self._before = b""  # the previous contents, as far as blocks refer to them
        self._at = 0  # bit of the stream

    def cut(self, copied: tuple[int, int] | None) -> Chunk:
        """Return the next chunk. Recompresses the first blocks of the chunk, and copies the other blocks.

        `copied` contains the bit offset of the first copied block in `_stream`, and the byte offset of the block's
        contents in `_data`. If `copied` is None, copies the blocks that begin after 32 KiB of contents.
        """
        at, held, count = self._at, 0, 0
        while True:
            if copied is None and held >= _WINDOW:
                copied = at, held
            is_last = self._is_last(at)
            length, end = self._inflated(at, held)
            count += 1
            if count > _MAX_SMALL_BLOCKS + held // _SMALL_BLOCK:
                raise _UnknownError
            if held + length > self._max_size:
                if not held:
                    raise _UnknownError
                break
            at, held = end, held + length
            if is_last:
                self._end(at >> 3)
                break
        with memoryview(self._data) as whole:
            data = bytes(whole[:held])
        if copied and copied[0] == at:
            copied = None  # this is the block that didn't fit
        lead = copied[1] if copied else held
        stream = _compressed(data[:lead]) if lead else b""
        if copied:
            stream += self._copied(copied[0], at)
        blocks = Chunk(data, stream, joined=not (self.is_over and copied))
        self._drop(at, held)
        return blocks

    def rest(self) -> tuple[Iterator[bytes], Any]:
        """Return the stream that begins with the next chunk, and a decompressor for this stream."""
        begin = moved(self._at, self._stream[0]) if self._stream else b""
        return chain((begin + self._stream[1:],), self._pieces), _inflater(self._before)

    def _end(self, end: int) -> None:
        self._fill(end + 1)
        if len(self._stream) > end:
            raise _UnknownError  # it was not the last block
        self.is_over = True

    def _drop(self, at: int, held: int) -> None:
        self._before = self._window(held)
        del self._stream[: at >> 3]
        self._data.clear()
        self._at = at & 7

    def _window(self, held: int) -> bytes:
        if held >= _WINDOW:
            return bytes(self._data[held - _WINDOW : held])
        return self._before[-(_WINDOW - held) :] + bytes(self._data[:held])

    def _fill(self, end: int) -> None:
        while len(self._stream) < end:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._stream += piece

    def _is_last(self, at: int) -> bool:
        self._fill((at >> 3) + _READ)
        if at >> 3 >= len(self._stream):
            raise _UnknownError
        return bool(self._stream[at >> 3] >> (at & 7) & 1)

    def _inflated(self, at: int, held: int) -> tuple[int, int]:
        """Inflate the block at `at`. Returns the length of its contents, and the bit offset at which the block ends."""
        byte, bit = at >> 3, at & 7
        inflater = _inflater(self._window(held))
        end = min(byte + _READ, len(self._stream))
        packed = moved(bit, self._stream[byte] | 1 << bit) + bytes(self._stream[byte + 1 : end])
        length = 0
        while not inflater.eof:
            try:
                data = inflater.decompress(packed, self._max_size + 1 - length)
            except fast_zlib().error:
                raise _UnknownError from None
            self._data += data
            length += len(data)
            self._fill(end + _READ)
            packed = bytes(self._stream[end : end + _READ])
            end += 0 if inflater.eof else len(packed)
            if length > self._max_size or not (packed or inflater.eof):
                raise _UnknownError
        end -= len(inflater.unused_data)
        kind = int.from_bytes(self._stream[byte : byte + 2], "little") >> bit + 1 & 3
        is_whole = kind == _STORED or self._is_last(at)
        return length, end * 8 if is_whole else self._begin(end, held + length)

    def _begin(self, end: int, held: int) -> int:
        """Return the bit offset of the next block. The last byte of the previous block is at offset `end - 1`."""
        self._fill(end + _BEGIN)
        value = int.from_bytes(self._stream[end - 1 : end + _BEGIN], "little")
        fixed = [bit for bit in range(1, 9) if value >> bit >> 1 & 3 == _FIXED]
        for likely, sample in ((self._likely(value, end - 1), _SAMPLE), (fixed, _LONG_SAMPLE)):
            begins = [bit for bit in likely if self._opens(end - 1, bit, held, sample)]
            if len(begins) == 1:
                return 8 * (end - 1) + begins[0]
        raise _UnknownError

    def _likely(self, value: int, byte: int) -> list[int]:
        """Return the bit positions in `value` at which a stored or dynamic block might begin.

        `value` contains the stream from byte `byte` on. Returns only the last position of the same stored block.
        """
        bits: dict[int, int] = {}
        for bit in range(1, 9):
            header = value >> bit
            skipped = -(bit + 3) % 8
            if not may_begin(header, skipped):
                continue
            key = bit
            if header >> 1 & 3 == _STORED:
                key = -(bit + 3 + skipped) // 8
                end = byte - key + 4 + (header >> 3 + skipped & 0xFFFF)
                self._fill(end + 1)
                if header & 1 != (len(self._stream) <= end):
                    continue
            bits[key] = bit
        return list(bits.values())

    def _opens(self, byte: int, bit: int, held: int, sample: int) -> bool:
        """Return whether the next `sample` bytes can be inflated, starting at bit `bit` of byte `byte`."""
        byte, bit = byte + bit // 8, bit % 8
        self._fill(byte + sample)
        packed = moved(bit, self._stream[byte]) + self._stream[byte + 1 : byte + sample]
        try:
            zlib.decompressobj(-15, zdict=self._window(held)).decompress(packed, sample)
        except zlib.error:
            return False
        return True

    def _copied(self, at: int, end: int) -> bytes:
        """Return the blocks between two bit offsets. If more blocks follow, an empty block fills the last byte."""
        byte, bit = at >> 3, at & 7
        first = moved(bit, self._stream[byte])
        if self.is_over:
            return first + self._stream[byte + 1 : end >> 3]
        used = end & 7
        last = bytes((self._stream[end >> 3] & (1 << used) - 1,)) if used else b""
        header = b"" if 0 < used <= 5 else b"\0"  # bits of the header that don't fit into the last byte
        return first + self._stream[byte + 1 : end >> 3] + last + header + _EMPTY


def may_begin(value: int, padding: int) -> bool:
    """Return whether a stored or dynamic block can begin with `value`.

    In a stored block, `padding` unused bits follow the header.
    """
    kind = value >> 1 & 3
    if kind == _STORED:
        length = value >> 3 + padding
        return (length ^ length >> 16) & 0xFFFF == 0xFFFF
    if kind != _DYNAMIC or value >> 3 & 31 > 29 or value >> 8 & 31 > 29:
        return False
    lengths = [value >> shift & 7 for shift in range(17, 17 + 3 * ((value >> 13 & 15) + 4), 3)]
    return sum(_COMPLETE >> length for length in lengths if length) == _COMPLETE


def moved(bit: int, byte: int) -> bytes:
    """Return bytes that replace `byte` at the start of a stream, with empty blocks instead of the bits before `bit`."""
    value, width = _EMPTY_DYNAMIC if bit & 1 else (0, 0)
    while width % 8 != bit:
        value |= _EMPTY_FIXED[0] << width
        width += _EMPTY_FIXED[1]
    value |= byte >> bit << width
    return value.to_bytes(width // 8 + 1, "little")


def _compressed(data: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _inflater(window: bytes) -> Any:
    module = fast_zlib()
    return module.decompressobj(-15, zdict=window) if window else module.decompressobj(-15)
