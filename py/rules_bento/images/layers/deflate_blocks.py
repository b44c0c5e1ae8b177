"""Deflate streams of others, cut where their blocks meet, so that each piece can be inflated alone.

A block (RFC 1951, 3.2.3) begins at any bit, and only the end of the block before it says where. With the bit set that
marks a last block, inflating ends with it: the byte is known then, and the bit is told by what a block begins with. So
a stream is walked block by block, and what comes out is held against the contents, which are known. Where it cannot be
told, contents come without a stream.

What a block refers to lies at most 32 KiB before it. Of a piece that begins within a stream, the first blocks are
compressed anew, until they hold that much, and the others are copied; empty blocks between them bring these to the bits
of a byte at which they have been, so that nothing is shifted.

The invariant: each piece begins and ends at a whole byte and refers to nothing before it, and the pieces inflate to
the contents, one after the other.
"""

from __future__ import annotations

import zlib
from itertools import chain

from rules_bento.archives import xz
from rules_bento.archives.zipread import fast_zlib
from rules_bento.hints import TYPE_CHECKING
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_WINDOW = 32 << 10
_READ = 32 << 10  # bytes of a stream at once: about what a block has
_BEGIN = 12  # bytes that have what a block begins with, from the last byte of the one before it
_SAMPLE = 400  # bytes of what may be a block, codes of its own among them
_LEVEL = 6
_FEW, _LEAST = 100, 512  # blocks that may be smaller than so many bytes; walking costs as much for each
_STORED, _FIXED, _DYNAMIC = range(3)  # kinds of blocks
_EMPTY = b"\0\0\xff\xff"  # of a stored block without contents, what follows the three bits of its header
_COMPLETE = 1 << 7  # what the lengths of a complete code come to

# Blocks without contents, as value and width: with fixed codes, and with codes of their own.
_OF_FIXED = 0b010, 10
_OF_OWN = 0x46AFF810000000000081E104, 95


class Cut(NamedTuple):
    """Holds a piece of contents, and the blocks that hold it, which can be inflated alone."""

    data: bytes
    stream: bytes  # empty where there is none
    is_open: bool  # whether blocks may follow the stream, at a byte; else its last one is marked


def cut(pieces: Iterator[tuple[bytes, bytes]], size: int) -> Iterator[Cut]:
    """Cut a deflate stream into pieces of at most so many bytes of contents.

    `pieces` are contents and parts of the stream, in which contents may come later than in these.
    """
    walk = _Walk(pieces, size)
    try:
        yield walk.cut(copied=(0, 0))
        while not walk.is_over:
            yield walk.cut(copied=None)
    except _UnknownError:
        yield from (Cut(data, b"", is_open=False) for data in xz.cut(walk.rest(), size))


class _UnknownError(Exception):
    """Reports that a block's begin cannot be found, or that blocks hold too much or too little."""


class _Block(NamedTuple):
    length: int  # of its contents
    end: int  # bit at which the next one begins, or at which the stream is over


class _Walk:
    """Walks along a deflate stream and its contents, from the byte at which a piece begins."""

    def __init__(self, pieces: Iterator[tuple[bytes, bytes]], size: int) -> None:
        self.is_over = False
        self._pieces = pieces
        self._most = size
        self._stream, self._data = bytearray(), bytearray()
        self._before = b""  # the contents before these, so far as blocks refer to them
        self._at = 0  # bit of the stream

    def cut(self, copied: tuple[int, int] | None) -> Cut:
        """Take as many blocks as a piece may hold; `copied` is the bit and the offset at which copying begins."""
        at, held, count = self._at, 0, 0
        while True:
            if copied is None and held >= _WINDOW:
                copied = at, held
            is_last = self._is_last(at)
            block = self._inflated(at, held)
            count += 1
            if count > _FEW + held // _LEAST:
                raise _UnknownError
            if held + block.length > self._most:
                if not held:
                    raise _UnknownError
                break
            at, held = block.end, held + block.length
            if is_last:
                self._end(at >> 3, held)
                break
        with memoryview(self._data) as known:
            data = bytes(known[:held])
        if copied and copied[0] == at:
            copied = None  # for it is the block that did not fit
        lead = copied[1] if copied else held
        stream = _compressed(data[:lead]) if lead else b""
        if copied:
            stream += self._copied(copied[0], at)
        blocks = Cut(data, stream, is_open=not (self.is_over and copied))
        self._drop(at, held)
        return blocks

    def rest(self) -> Iterator[bytes]:
        """Return the contents that no cut has taken."""
        return chain((bytes(self._data),), (data for data, _ in self._pieces))

    def _end(self, end: int, held: int) -> None:
        self._fill(end + 1, held + 1)
        if len(self._stream) > end or len(self._data) > held:
            raise _UnknownError  # it was not the last block
        self.is_over = True

    def _drop(self, at: int, held: int) -> None:
        self._before = self._window(held)
        del self._stream[: at >> 3], self._data[:held]
        self._at = at & 7

    def _window(self, held: int) -> bytes:
        if held >= _WINDOW:
            return bytes(self._data[held - _WINDOW : held])
        return self._before[-(_WINDOW - held) :] + bytes(self._data[:held])

    def _fill(self, end: int, data_end: int = 0) -> None:
        """Read until there are so many bytes of the stream and of the contents, or none are left."""
        while len(self._stream) < end or len(self._data) < data_end:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._data += piece[0]
            self._stream += piece[1]

    def _is_last(self, at: int) -> bool:
        self._fill((at >> 3) + _READ)
        if at >> 3 >= len(self._stream):
            raise _UnknownError
        return bool(self._stream[at >> 3] >> (at & 7) & 1)

    def _inflated(self, at: int, held: int) -> _Block:
        """Inflate the block at a bit, and check its contents against the expected ones."""
        byte, bit = at >> 3, at & 7
        module = fast_zlib()
        window = self._window(held)
        inflater = module.decompressobj(-15, zdict=window) if window else module.decompressobj(-15)
        end = min(byte + _READ, len(self._stream))
        packed = _moved(bit, self._stream[byte] | 1 << bit) + bytes(self._stream[byte + 1 : end])
        length = 0
        while not inflater.eof:
            try:
                data = inflater.decompress(packed, self._most + 1 - length)
            except module.error:
                raise _UnknownError from None
            self._fill(0, held + length + len(data))
            if self._data[held + length : held + length + len(data)] != data:
                raise _UnknownError
            length += len(data)
            self._fill(end + _READ)
            packed = bytes(self._stream[end : end + _READ])
            end += 0 if inflater.eof else len(packed)
            if length > self._most or not (packed or inflater.eof):
                raise _UnknownError
        end -= len(inflater.unused_data)
        is_whole = (
            self._is_last(at) or int.from_bytes(self._stream[byte : byte + 2], "little") >> bit + 1 & 3 == _STORED
        )
        return _Block(length, end * 8 if is_whole else self._begin(end, held + length))

    def _begin(self, end: int, held: int) -> int:
        """Return the bit at which a block begins, if the block before it ends in the last byte before `end`."""
        self._fill(end + _BEGIN)
        value = int.from_bytes(self._stream[end - 1 : end + _BEGIN], "little")
        fixed = [bit for bit in range(1, 9) if value >> bit >> 1 & 3 == _FIXED]
        for likely in (self._likely(value, end - 1), fixed):
            begins = [bit for bit in likely if self._opens(end - 1, bit, held)]
            if len(begins) == 1:
                return 8 * (end - 1) + begins[0]
        raise _UnknownError

    def _likely(self, value: int, byte: int) -> list[int]:
        """Return the bits at which a stored or dynamic block may begin; of those for one stored block, the last.

        Zeros before the length of a stored block are its header, or fill up its byte: which, makes no difference. A one
        is the mark of the last block or belongs to the block before, which the length of the stream tells.
        """
        bits: dict[int, int] = {}
        for bit in range(1, 9):
            header = value >> bit
            skipped = -(bit + 3) % 8
            if not _may_begin(header, skipped):
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

    def _opens(self, byte: int, bit: int, held: int) -> bool:
        """Return whether the data inflated from a possible block are the contents that follow."""
        byte, bit = byte + bit // 8, bit % 8
        packed = _moved(bit, self._stream[byte]) + self._stream[byte + 1 : byte + _SAMPLE]
        try:
            data = zlib.decompressobj(-15, zdict=self._window(held)).decompress(packed, _SAMPLE)
        except zlib.error:
            return False
        self._fill(0, held + len(data))
        return self._data[held : held + len(data)] == data

    def _copied(self, at: int, end: int) -> bytes:
        """Copy the blocks between two bits, and end at a byte with an empty one; or copy all, if the stream is over."""
        byte, bit = at >> 3, at & 7
        first = _moved(bit, self._stream[byte])
        if self.is_over:
            return first + self._stream[byte + 1 : end >> 3]
        used = end & 7
        last = bytes((self._stream[end >> 3] & (1 << used) - 1,)) if used else b""
        header = b"" if 0 < used <= 5 else b"\0"  # bits of it that do not fit into the last byte
        return first + self._stream[byte + 1 : end >> 3] + last + header + _EMPTY


def _may_begin(value: int, padding: int) -> bool:
    """Return whether a block that can be recognized begins with these bits: a stored or a dynamic one.

    `padding` is what fills up the byte behind its header.
    """
    kind = value >> 1 & 3
    if kind == _STORED:
        length = value >> 3 + padding
        return (length ^ length >> 16) & 0xFFFF == 0xFFFF
    if kind != _DYNAMIC or value >> 3 & 31 > 29 or value >> 8 & 31 > 29:
        return False
    lengths = [value >> shift & 7 for shift in range(17, 17 + 3 * ((value >> 13 & 15) + 4), 3)]
    return sum(_COMPLETE >> length for length in lengths if length) == _COMPLETE


def _moved(bit: int, byte: int) -> bytes:
    """Return empty blocks up to a bit of their last byte, whose remaining bits are those of `byte`."""
    value, width = _OF_OWN if bit & 1 else (0, 0)
    while width % 8 != bit:
        value |= _OF_FIXED[0] << width
        width += _OF_FIXED[1]
    value |= byte >> bit << width
    return value.to_bytes(width // 8 + 1, "little")


def _compressed(data: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
