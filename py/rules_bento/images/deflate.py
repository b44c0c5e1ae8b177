"""Deflate streams of tar headers and of RECORD, made here, and streams of others joined to one.

Libraries differ in what they make of the same bytes, between versions, forks and processors. What a gzip layer
of wheels holds beside the wheels' own streams are tar headers, padding, and lists with one line for each file.
They are short and of one kind, so a fixed code and few sorts of matches do as well as zlib: runs of zeros, what a
header shares with the header before it, and what a line shares with the line before it. So the bytes are the same
on every machine, and it takes no longer than setting zlib up for each header.

The format is RFC 1951: blocks with fixed codes (3.2.6), lengths and distances (3.2.5), stored blocks (3.2.4). A
stream of whole blocks ends, here, with an empty stored block, as after a flush of zlib: it fills up the last byte,
and what follows may be the next stream.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Bits = tuple[int, int]
"""A piece of a stream: a number whose bits, the lowest first, are those of the stream, and how many they are."""

END = b"\x03\x00"
"""A last block without anything in it: what ends a stream that is at a whole byte."""

RECORD = 512
"""Bytes of a tar record."""

WINDOW = 1 << 15
"""Bytes that a match may reach back."""

_FIXED = 0b010, 3  # the header of a block: not the last one, fixed codes
_EMPTY = b"\0\0\xff\xff"  # what follows the three zero bits of a stored block's header, from the next byte on
_END_OF_BLOCK, _HEADER = 7, 3  # so many zero bits
_LONGEST, _SHORTEST = 258, 3
_LONGEST_LINE = 1 << 10

_ZEROS = re.compile(rb"\0\0\0\0+")
_HASH = b",sha256="  # in every line of RECORD


def records(padding: int, data: bytes, before: bytes = b"", distance: int = 0) -> bytes:
    """Blocks that hold `padding` zeros and then records of tar.

    `before` is a record like them, which the stream holds already: it begins `distance` bytes before the padding
    does. Without it, or too far away, runs of zeros are matched and nothing else.
    """
    value, width = _FIXED
    if padding:
        bits, more = _run(padding) if padding > _SHORTEST else _literals(bytes(padding))
        value |= bits << width
        width += more
    distance += padding
    for at in range(0, len(data), RECORD):
        record = data[at : at + RECORD]
        bits, more = _like(record, before, distance) if before and distance <= WINDOW else _alone(record)
        value |= bits << width
        width += more
        before, distance = record, RECORD
    return _whole(value, width)


def joinable(packed: bytes) -> Iterator[bytes]:
    """What a stream might be like if others could follow it: guesses, the best one first; none if it cannot.

    A stream of one block has the bit that says so as its first. Without it, the zeros that fill up the last byte
    begin a stored block, if they are three; else a byte more is needed. Which it is only inflating tells.
    """
    if packed and packed[0] & 1:
        opened = bytes((packed[0] ^ 1,)) + packed[1:]
        guesses = [opened + _EMPTY, opened + b"\0" + _EMPTY]
        yield from guesses if packed[-1] < 0x20 else reversed(guesses)


def lines(data: bytes) -> bytes:
    """A block of lines of text each of which begins like the one before it, as sorted paths do."""
    pieces = []
    value, width = _FIXED
    before = b""
    for line in _lines(data):
        for bits, more in _line(line, before):
            value |= bits << width
            width += more
        whole = width >> 3
        pieces.append((value & ((1 << 8 * whole) - 1)).to_bytes(whole, "little"))
        value >>= 8 * whole
        width &= 7
        before = line
    return b"".join((*pieces, _whole(value, width)))


def _lines(data: bytes) -> Iterator[bytes]:
    """Lines, in parts if they are long: numbers of many digits are slow."""
    for line in data.splitlines(keepends=True):
        for at in range(0, len(line), _LONGEST_LINE):
            yield line[at : at + _LONGEST_LINE]


def _whole(value: int, width: int) -> bytes:
    """End the block, and fill up the last byte."""
    return value.to_bytes((width + _END_OF_BLOCK + _HEADER + 7) // 8, "little") + _EMPTY


def _alone(record: bytes) -> Bits:
    value = width = at = 0
    for run in _ZEROS.finditer(record):
        begin, end = run.span()
        for bits, more in (_literals(record[at:begin]), _run(end - begin)):
            value |= bits << width
            width += more
        at = end
    bits, more = _literals(record[at:])
    return value | bits << width, width + more


def _like(record: bytes, before: bytes, distance: int) -> Bits:
    """A record as what is the same in the one before it, and what is not."""
    value = width = at = 0
    back, back_width = _distance(distance)
    for same in _ZEROS.finditer(_different(record, before)):
        begin, end = same.span()
        bits, more = _literals(record[at:begin])
        value |= bits << width
        width += more
        while begin < end:
            length = _step(end - begin)
            bits, more = _LENGTHS[length]
            value |= (bits | back << more) << width
            width += more + back_width
            begin += length
        at = end
    bits, more = _literals(record[at:])
    return value | bits << width, width + more


def _different(one: bytes, other: bytes) -> bytes:
    """Zeros where both are the same."""
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(len(one), "little")


def _step(length: int) -> int:
    """The length of the next match, so that none is left that is too short."""
    return length if length <= _LONGEST else min(_LONGEST, length - _SHORTEST)


def _line(line: bytes, before: bytes) -> list[Bits]:
    same = min(_common(line, before), _LONGEST)
    if same < _SHORTEST:
        same = 0
    parts = [_match(same, len(before))] if same else []
    here, there = line.find(_HASH, same), before.find(_HASH)
    if here < 0 or there < 0:
        return [*parts, _literals(line[same:])]
    hashed = _match(len(_HASH), here + len(before) - there)
    return [*parts, _literals(line[same:here]), hashed, _literals(line[here + len(_HASH) :])]


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    length = min(len(one), len(other))
    different = int.from_bytes(one[:length], "little") ^ int.from_bytes(other[:length], "little")
    return ((different & -different).bit_length() - 1) >> 3 if different else length


def _reversed(value: int, width: int) -> int:
    """Codes begin with their highest bit, everything else in a stream with the lowest."""
    return int(f"{value:0{width}b}"[::-1], 2)


_EIGHT = bytes(_reversed(0x30 + byte, 8) if byte < 144 else 0 for byte in range(256))
_NINE = {byte: _reversed(0x190 + byte - 144, 9) for byte in range(144, 256)}


def _literals(data: bytes) -> Bits:
    if data.isascii():
        return int.from_bytes(data.translate(_EIGHT), "little"), 8 * len(data)
    value = width = 0
    for byte in data:
        bits, more = (_EIGHT[byte], 8) if byte < 144 else (_NINE[byte], 9)
        value |= bits << width
        width += more
    return value, width


@lru_cache(maxsize=RECORD)
def _run(length: int) -> Bits:
    """Zeros: one, and matches of it with itself."""
    value, width = _literals(b"\0")
    length -= 1
    while length:
        bits, more = _match(_step(length), 1)
        value |= bits << width
        width += more
        length -= _step(length)
    return value, width


def _match(length: int, distance: int) -> Bits:
    value, width = _LENGTHS[length]
    bits, more = _distance(distance)
    return value | bits << width, width + more


@lru_cache(maxsize=1 << 12)
def _distance(distance: int) -> Bits:
    """Two codes for each number of extra bits, from two on."""
    extra = max(0, (distance - 1).bit_length() - 2)
    symbol = 2 * extra + (distance - 1 >> extra)
    rest = (distance - 1) & ((1 << extra) - 1)
    return _reversed(symbol, 5) | rest << 5, 5 + extra


def _lengths() -> list[Bits]:
    """The bits of each length: a code for a range, and extra bits for the place in it."""
    found = [(0, 0)] * _SHORTEST
    for symbol in range(257, 285):
        extra = max(0, (symbol - 261) // 4)
        width = 7 if symbol < 280 else 8
        code = _reversed(symbol - 256 if symbol < 280 else 0xC0 + symbol - 280, width)
        found += [(code | place << width, width + extra) for place in range(1 << extra)]
    return [*found[:_LONGEST], (_reversed(0xC5, 8), 8)]


_LENGTHS = _lengths()
