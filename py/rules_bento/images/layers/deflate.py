"""Encodes tar headers as deflate streams that can be joined with other streams.

Libraries compress the same bytes differently, depending on the version, the fork, and the processor. The encoder in
this module writes the same bytes on every machine. In layers of wheels, the encoder compresses tar headers and padding.
Because this data is short and repetitive, fixed codes and a few kinds of matches compress the data as well as zlib
does. Encoding a header is as fast as initializing zlib. A match repeats zero bytes, digits `0`, or bytes of the
previous header.

The format is RFC 1951, with fixed codes (3.2.6) and stored blocks (3.2.4). Empty blocks, such as the stored block that
zlib writes for a flush, fill the last byte of a stream. Therefore, another stream can follow.

Invariant: each stream begins and ends at a byte boundary, and no block is marked as the last block. A match refers only
to bytes in the same stream, or in the argument `before` of `records`. Therefore, concatenated streams with a final
`DEFLATE_END` inflate to the concatenated contents.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rules_bento.base.archives.zipread import EMPTY_STORED
from rules_bento.base.typing_lite import Sequence

Bits = tuple[int, int]  # a piece of a stream: a number with the bits of the stream, the lowest first, and their count
MIN_MATCH, MAX_MATCH = 3, 258  # minimum and maximum bytes of a match
WINDOW = 1 << 15  # maximum distance of a match, in bytes
_LENGTHS, _DISTANCES = 29, 30  # numbers of symbols; the symbols for lengths follow the bytes and the end of a block
_END = 256
_FIXED = "010"  # the header: not the last block, and fixed codes


class FixedCodes:
    """The fixed Huffman codes (RFC 1951, 3.2.6)."""

    def __init__(self) -> None:
        symbols = _canonical([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8)
        self.bytes = symbols[:_END]
        self.lengths = _lengths(symbols[_END + 1 :])
        self._distances = _canonical([5] * _DISTANCES)

    def match(self, length: int, distance: int) -> str:
        """Return the bits of a match: the repetition of `length` bytes that begin `distance` bytes earlier."""
        return self.lengths[length] + self.distance(distance)

    @lru_cache(maxsize=1 << 12)  # noqa: B019  # the only object is never freed
    def distance(self, distance: int) -> str:
        """Return the bits of a distance: a symbol, followed by its extra bits (RFC 1951, 3.2.5)."""
        extra = max(0, (distance - 1).bit_length() - 2)
        symbol = 2 * extra + (distance - 1 >> extra)
        return self._distances[symbol] + _number((distance - 1) & ((1 << extra) - 1), extra)


def bits(text: str) -> Bits:
    """Convert a string of bits, lowest bit first, to a number. Returns the number and its width in bits."""
    return int(text[::-1] or "0", 2), len(text)


def _number(value: int, width: int) -> str:
    """Return a number as a string of `width` bits, least significant bit first. The number must fit in `width` bits."""
    return f"{value:0{width}b}"[::-1] if width else ""


def _canonical(widths: Sequence[int]) -> list[str]:
    """Return the canonical codes (RFC 1951, 3.2.2) of symbols, given the width of each code in bits."""
    codes = [""] * len(widths)
    code = width = 0
    for symbol in sorted(range(len(widths)), key=widths.__getitem__):
        code <<= widths[symbol] - width
        width = widths[symbol]
        codes[symbol] = f"{code:0{width}b}"
        code += 1
    return codes


def _lengths(symbols: Sequence[str]) -> list[str]:
    """Return the encoding of each match length: a Huffman code, followed by its extra bits (RFC 1951, 3.2.5)."""
    codes = [""] * MIN_MATCH
    for number, symbol in enumerate(symbols[: _LENGTHS - 1]):
        extra = max(0, (number - 4) // 4)
        codes += [symbol + _number(place, extra) for place in range(1 << extra)]
    return [*codes[:MAX_MATCH], symbols[_LENGTHS - 1]]


RECORD = 512  # bytes of a tar record
_END_OF_BLOCK, _HEADER = 7, 3  # the number of zero bits

_SAME = re.compile(rb"\0{4,}")
_ZEROS = re.compile(rb"\0{4,}|0{4,}")  # an unused field; a number

_CODE = FixedCodes()
_BLOCK = bits(_FIXED)
_EIGHT = bytes(bits(code)[0] if len(code) == 8 else 0 for code in _CODE.bytes)  # ASCII, and a few more


def records(padding: int, data: bytes, before: bytes = b"", distance: int = 0) -> bytes:
    """Return deflate blocks that contain `padding` zeros, followed by the tar records in `data`.

    Each record can refer to the previous record in the stream. For the first record in `data`, the previous record is
    `before`, which begins `distance` bytes before the padding. If `before` is empty or more than 32 KiB away, the first
    record doesn't refer to a previous record.
    """
    value, width = _BLOCK
    if padding:
        block, more = _padding(padding)
        value |= block << width
        width += more
    distance += padding
    for at in range(0, len(data), RECORD):
        record = data[at : at + RECORD]
        block, more = _record(record, before, distance)
        value |= block << width
        width += more
        before, distance = record, RECORD
    return _whole(value, width + _END_OF_BLOCK)


def _whole(value: int, width: int) -> bytes:
    """Convert bits to bytes. Empty blocks, either fixed or stored, fill the last byte."""
    missing = -width % 8
    if missing % 2:
        return value.to_bytes((width + _HEADER + 7) // 8, "little") + EMPTY_STORED
    for _ in range(missing // 2):
        value |= _BLOCK[0] << width
        width += _BLOCK[1] + _END_OF_BLOCK
    return value.to_bytes(width // 8, "little")


@lru_cache(maxsize=RECORD)
def _padding(size: int) -> Bits:
    return _record(bytes(size), b"", 0)


def _record(record: bytes, before: bytes, distance: int) -> Bits:
    """Encode a tar record as literals and matches. Matches repeat bytes of the previous record, or zeros."""
    if before and distance <= WINDOW:
        runs, first = _SAME.finditer(_different(record, before)), 0
    else:
        runs, first, distance = _ZEROS.finditer(record), 1, 1
    value = width = at = 0
    codes = record.translate(_EIGHT) if record.isascii() else b""
    for run in runs:
        begin, end = run.span()
        begin += first  # a run matches itself, except for its first byte
        if begin > at:
            block, more = _literals(record[at:begin], codes[at:begin])
            value |= block << width
            width += more
        block, more = _matches(end - begin, distance)
        value |= block << width
        width += more
        at = end
    if at < len(record):
        block, more = _literals(record[at:], codes[at:])
        value |= block << width
        width += more
    return value, width


def _different(one: bytes, other: bytes) -> bytes:
    """Return the XOR of two records. A zero in the result indicates equal bytes."""
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(len(one), "little")


def _literals(data: bytes, codes: bytes) -> Bits:
    """Encode `data` as literals. If `codes` isn't empty, `codes` contains the eight-bit code of each byte in `data`."""
    if codes:
        return int.from_bytes(codes, "little"), 8 * len(codes)
    return bits("".join(map(_CODE.bytes.__getitem__, data)))


@lru_cache(maxsize=1 << 12)
def _matches(length: int, distance: int) -> Bits:
    """Encode a repetition as one or more matches: `length` bytes that begin `distance` bytes earlier."""
    text = ""
    while length:
        # The rest after a match must not be shorter than the shortest match.
        step = length if length <= MAX_MATCH else min(MAX_MATCH, length - MIN_MATCH)
        text += _CODE.match(step, distance)
        length -= step
    return bits(text)
