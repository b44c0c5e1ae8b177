"""Encodes tar headers and RECORD as deflate streams, and converts streams so that they can be joined.

Libraries compress the same bytes differently, depending on the version, the fork, and the processor. The encoder in
this module writes the same bytes on every machine. In layers of wheels, the encoder compresses the data for which no
deflate stream exists: tar headers, padding, and lists with one line per file. Because this data is short and
repetitive, fixed codes and a few kinds of matches compress the data as well as zlib does. Encoding a header is as fast
as initializing zlib. A match repeats zero bytes, digits `0`, or bytes of the previous header or line.

The format is RFC 1951, with fixed codes (3.2.6), dynamic codes for RECORD (3.2.7), and stored blocks (3.2.4). Empty
blocks, such as the stored block that zlib writes for a flush, fill the last byte of a stream. Therefore, another stream
can follow.

Invariant: each stream begins and ends at a byte boundary, and no block is marked as the last block. A match refers only
to bytes in the same stream, or in the argument `before` of `records`. Therefore, concatenated streams with a final
`END` inflate to the concatenated contents.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rules_bento.typing_lite import Iterator, Sequence

Bits = tuple[int, int]  # a piece of a stream: a number with the bits of the stream, the lowest first, and their count
Runs = tuple[tuple[int, int], ...]  # widths of codes: the number of consecutive symbols with a width, and the width
MIN_MATCH, MAX_MATCH = 3, 258  # minimum and maximum bytes of a match
WINDOW = 1 << 15  # maximum distance of a match, in bytes
_LENGTHS, _DISTANCES = 29, 30  # numbers of symbols; the symbols for lengths follow the bytes and the end of a block
_END = 256
_FIXED, _DYNAMIC = "010", "001"  # headers: not the last block, and the kind of its codes
_IN_HEADER = tuple(
    4 if 0 < symbol <= 16 else 0 for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
)
_AGAIN, _MAX_AGAIN = 16, 6  # symbol of a header: the previous length, 3 to 6 times

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class HuffmanCodes:
    """Huffman codes for one kind of block."""

    def __init__(self, header: str, symbols: Sequence[str], distances: Sequence[str]) -> None:
        self.header = header
        self.bytes = symbols[:_END]
        self.end = symbols[_END]
        self.lengths = _lengths(symbols[_END + 1 :])
        self._distances = distances

    @classmethod
    def fixed(cls) -> HuffmanCodes:
        """Return the fixed Huffman codes (RFC 1951, 3.2.6)."""
        return cls(_FIXED, _canonical([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8), _canonical([5] * _DISTANCES))

    @classmethod
    def dynamic(cls, symbols: Runs, distances: Runs) -> HuffmanCodes:
        """Return dynamic Huffman codes (RFC 1951, 3.2.7) with the given code widths.

        `symbols` contains the widths of the codes for bytes, the end of a block, and lengths. `distances` contains the
        widths of the codes for distances.
        """
        widths = [[width for count, width in runs for _ in range(count)] for runs in (symbols, distances)]
        counts = ((len(widths[0]) - _END - 1, 5), (len(widths[1]) - 1, 5), (len(_IN_HEADER) - 4, 4))
        header = "".join(_number(*number) for number in (*counts, *((width, 3) for width in _IN_HEADER)))
        header = _DYNAMIC + header + _encode_runs((*symbols, *distances))
        return cls(header, *map(_canonical, widths))

    def match(self, length: int, distance: int) -> str:
        """Return the bits of a match: the repetition of `length` bytes that begin `distance` bytes earlier."""
        return self.lengths[length] + self.distance(distance)

    @lru_cache(maxsize=1 << 12)  # noqa: B019  # the only two objects are never freed
    def distance(self, distance: int) -> str:
        """Return the bits of a distance: a symbol, followed by its extra bits (RFC 1951, 3.2.5)."""
        extra = max(0, (distance - 1).bit_length() - 2)
        symbol = 2 * extra + (distance - 1 >> extra)
        return self._distances[symbol] + _number((distance - 1) & ((1 << extra) - 1), extra)


def bits(text: str) -> Bits:
    """Convert a string of bits, lowest bit first, to a number. Returns the number and its width in bits."""
    return int(text[::-1] or "0", 2), len(text)


def packed(text: str) -> bytes:
    """Pack a string of bits into bytes, with zero bits at the end of the last byte."""
    size = (len(text) + 7) // 8
    return int(text.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big").translate(_MIRRORED)


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


def _encode_runs(runs: Runs) -> str:
    codes = _canonical([4] * _AGAIN)  # of 1 to 16
    text = ""
    for count, width in runs:
        text += codes[width - 1]
        left = count - 1
        while left >= MIN_MATCH:
            again = min(left, _MAX_AGAIN)
            text += codes[_AGAIN - 1] + _number(again - MIN_MATCH, 2)
            left -= again
        text += codes[width - 1] * left
    return text


def _lengths(symbols: Sequence[str]) -> list[str]:
    """Return the encoding of each match length: a Huffman code, followed by its extra bits (RFC 1951, 3.2.5)."""
    codes = [""] * MIN_MATCH
    for number, symbol in enumerate(symbols[: _LENGTHS - 1]):
        extra = max(0, (number - 4) // 4)
        codes += [symbol + _number(place, extra) for place in range(1 << extra)]
    return [*codes[:MAX_MATCH], symbols[_LENGTHS - 1]]


END = b"\x03\x00"  # an empty last block, which ends a stream that is at a whole byte
RECORD = 512  # bytes of a tar record
_EMPTY = b"\0\0\xff\xff"  # a stored block without contents: the bytes after the three zero bits of its header
_END_OF_BLOCK, _HEADER = 7, 3  # the number of zero bits
_LINES_AT_ONCE = 1 << 10  # lines
_MIN_DYNAMIC = 1 << 10  # bytes of lines that are not worth a header with codes

_SAME = re.compile(rb"\0{4,}")
_ZEROS = re.compile(rb"\0{4,}|0{4,}")  # an unused field; a number
_HASH = b",sha256="  # in every line of RECORD

_CODE = HuffmanCodes.fixed()
# Huffman codes for a typical RECORD: base64, lower case, digits, commas, and `,sha256=` have short ones.
_RECORD_SYMBOLS = (
    (10, 13), (1, 6), (33, 13), (1, 6), (1, 7), (1, 8), (1, 9), (10, 6), (7, 13), (11, 7), (15, 6), (4, 13), (1, 6),
    (1, 13), (26, 6), (134, 13), (5, 11), (1, 8), (2, 11), (1, 7), (8, 9), (1, 13), (11, 12),
)  # fmt: skip
_RECORD_DISTANCES = ((12, 7), (1, 1), (1, 2), (12, 7), (4, 6))  # mostly the previous line: 65 to 128 bytes
_BLOCK = bits(_CODE.header)
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


def joinable(stream: bytes) -> Iterator[bytes]:
    """Yield two candidates for a copy of `stream` that can be followed by another stream.

    If `stream` has more than one block, yields nothing. A candidate consists of the block of `stream`, without the mark
    for the last block, and an empty stored block. The header of the empty block needs an additional byte in one of the
    candidates. Only one candidate is correct. To find the correct candidate, the caller must inflate the candidates.
    """
    if stream and stream[0] & 1:
        first, rest = bytes((stream[0] ^ 1,)), stream[1:]
        for more in (b"", b"\0") if stream[-1] < 0x20 else (b"\0", b""):
            yield b"".join((first, rest, more, _EMPTY))


def lines(data: bytes) -> bytes:
    """Encode sorted lines as a deflate block. Matches refer only to the previous line."""
    code = _record_code() if len(data) > _MIN_DYNAMIC else _CODE
    pieces = []
    text = [code.header]
    before = b""
    for number, line in enumerate(data.splitlines(keepends=True)):
        _line(code, line, before, text)
        before = line
        if number % _LINES_AT_ONCE == 0:
            waiting = "".join(text)
            whole = len(waiting) & -8
            pieces.append(packed(waiting[:whole]))
            text = [waiting[whole:]]
    return b"".join((*pieces, packed("".join((*text, code.end, "0" * _HEADER))), _EMPTY))


@lru_cache(maxsize=1)
def _record_code() -> HuffmanCodes:
    return HuffmanCodes.dynamic(_RECORD_SYMBOLS, _RECORD_DISTANCES)


def _line(code: HuffmanCodes, line: bytes, before: bytes, text: list[str]) -> None:
    """Encode `line`, and append the bits to `text`. Uses at most two matches with the previous line `before`."""
    byte = code.bytes.__getitem__
    begin = min(_common(line, before), MAX_MATCH)
    if begin >= MIN_MATCH and len(before) <= WINDOW:
        text.append(code.match(begin, len(before)))
    else:
        begin = 0
    here, there = line.find(_HASH, begin), before.find(_HASH)
    distance = here + len(before) - there
    if here >= 0 and there >= 0 and distance <= WINDOW:
        same = len(_HASH)
        while here > begin and there and line[here - 1] == before[there - 1]:  # the ends of file names are similar
            here, there, same = here - 1, there - 1, same + 1
        text.extend(map(byte, line[begin:here]))
        text.append(code.match(min(same, MAX_MATCH), distance))
        begin = here + min(same, MAX_MATCH)
    text.extend(map(byte, line[begin:]))


def _common(one: bytes, other: bytes) -> int:
    length = min(len(one), len(other))
    different = int.from_bytes(one[:length], "little") ^ int.from_bytes(other[:length], "little")
    return ((different & -different).bit_length() - 1) >> 3 if different else length


def _whole(value: int, width: int) -> bytes:
    """Convert bits to bytes. Empty blocks, either fixed or stored, fill the last byte."""
    missing = -width % 8
    if missing % 2:
        return value.to_bytes((width + _HEADER + 7) // 8, "little") + _EMPTY
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
