"""The codes of deflate's blocks (RFC 1951, 3.2): the bits for a byte, for a match, for the end of a block.

Bits are strings here, "0" and "1" in the order of the stream; `bits` and `packed` convert them.
"""

from __future__ import annotations

from functools import lru_cache

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Bits = tuple[int, int]
"""A piece of a stream: a number with the bits of the stream, the lowest first, and their count."""

Runs = tuple[tuple[int, int], ...]
"""Widths of codes: the number of consecutive symbols with a width, and the width."""

MIN_MATCH, MAX_MATCH = 3, 258
"""Maximum bytes of a match."""

WINDOW = 1 << 15
"""Maximum distance of a match, in bytes."""

_LENGTHS, _DISTANCES = 29, 30  # numbers of symbols; the symbols for lengths follow the bytes and the end of a block
_END = 256
_FIXED, _DYNAMIC = "010", "001"  # headers: not the last block, and the kind of its codes
_IN_HEADER = tuple(
    4 if 0 < symbol <= 16 else 0 for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
)
_AGAIN, _MAX_AGAIN = 16, 6  # symbol of a header: the previous length, 3 to 6 times

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class HuffmanCodes:
    """Holds the codes of a kind of block."""

    def __init__(self, header: str, symbols: Sequence[str], distances: Sequence[str]) -> None:
        self.header = header
        self.bytes = symbols[:_END]
        self.end = symbols[_END]
        self.lengths = _lengths(symbols[_END + 1 :])
        self._distances = distances

    @classmethod
    def fixed(cls) -> HuffmanCodes:
        """Return the fixed codes (3.2.6)."""
        return cls(_FIXED, _canonical([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8), _canonical([5] * _DISTANCES))

    @classmethod
    def dynamic(cls, symbols: Runs, distances: Runs) -> HuffmanCodes:
        """Return dynamic codes from runs of equal widths (3.2.7): of bytes, the end, and lengths; of distances."""
        widths = [[width for count, width in runs for _ in range(count)] for runs in (symbols, distances)]
        counts = ((len(widths[0]) - _END - 1, 5), (len(widths[1]) - 1, 5), (len(_IN_HEADER) - 4, 4))
        header = "".join(_number(*number) for number in (*counts, *((width, 3) for width in _IN_HEADER)))
        header = _DYNAMIC + header + _encode_runs((*symbols, *distances))
        return cls(header, *map(_canonical, widths))

    def match(self, length: int, distance: int) -> str:
        """Return the bits of a match: repeat `length` bytes from `distance` bytes before."""
        return self.lengths[length] + self.distance(distance)

    @lru_cache(maxsize=1 << 12)  # noqa: B019  # there are two of them, and they stay
    def distance(self, distance: int) -> str:
        """Return the bits of a distance: from 5 on, each number of extra bits has two symbols (RFC 1951, 3.2.5)."""
        extra = max(0, (distance - 1).bit_length() - 2)
        symbol = 2 * extra + (distance - 1 >> extra)
        return self._distances[symbol] + _number((distance - 1) & ((1 << extra) - 1), extra)


def bits(text: str) -> Bits:
    """Convert bits, written in the order of the stream, to a number and their count."""
    return int(text[::-1] or "0", 2), len(text)


def packed(text: str) -> bytes:
    """Pack bits into bytes; zeros fill up the last byte."""
    size = (len(text) + 7) // 8
    return int(text.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big").translate(_MIRRORED)


def _number(value: int, width: int) -> str:
    """Write a number with its lowest bit first; Huffman codes have their highest bit first."""
    return f"{value:0{width}b}"[::-1] if width else ""


def _canonical(widths: Sequence[int]) -> list[str]:
    """Return the canonical codes of these widths: shorter ones first, then by symbol (3.2.2)."""
    codes = [""] * len(widths)
    code = width = 0
    for symbol in sorted(range(len(widths)), key=widths.__getitem__):
        code <<= widths[symbol] - width
        width = widths[symbol]
        codes[symbol] = f"{code:0{width}b}"
        code += 1
    return codes


def _encode_runs(runs: Runs) -> str:
    """Encode runs of widths as the header of a dynamic block does."""
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
    """Return the bits of each length: a code for a range, and extra bits for the position in it."""
    codes = [""] * MIN_MATCH
    for number, symbol in enumerate(symbols[: _LENGTHS - 1]):
        extra = max(0, (number - 4) // 4)
        codes += [symbol + _number(place, extra) for place in range(1 << extra)]
    return [*codes[:MAX_MATCH], symbols[_LENGTHS - 1]]
