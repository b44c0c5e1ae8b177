"""Writes FlatBuffers.

A table begins with the distance to its vtable, which contains the offset of each field in the table. A reference is the
distance to a later position. Therefore, a buffer is written from the end. Objects begin at multiples of 8 bytes.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from rules_bento.typing_lite import Sequence


class Writer:
    """Builds a FlatBuffer. Objects are added from last to first, and positions count bytes from the end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._known: dict[bytes, int] = {}  # strings and vtables, which several objects share

    def add(self, data: bytes) -> int:
        """Add an object. Returns its position."""
        self._parts.append(data + bytes(-len(data) % 8))
        self._size += len(self._parts[-1])
        return self._size

    def _share(self, data: bytes) -> int:
        if data not in self._known:
            self._known[data] = self.add(data)
        return self._known[data]

    def string(self, text: str) -> int:
        """Add a string unless the buffer already contains the string. Returns the position of the string."""
        encoded = text.encode("utf-8", "surrogateescape")
        return self._share(struct.pack("<I", len(encoded)) + encoded + b"\0")

    def references(self, positions: Sequence[int]) -> int:
        """Add a vector of references to the objects at `positions`. Returns the position of the vector."""
        first = self._size + (4 * len(positions) + 11 & -8) - 4
        distances = (first - 4 * number - position for number, position in enumerate(positions))
        return self.add(struct.pack(f"<{len(positions) + 1}I", len(positions), *distances))

    def table(self, forms: str, *values: int | str) -> int:
        """Add a table, and return its position. For each value, `forms` has a `struct` code, or `r` for a reference."""
        numbers = [self.string(value) if isinstance(value, str) else value for value in values]
        offsets, size, vtable = _layout(forms)
        table, place = bytearray(size), self._share(vtable)
        begin = self._size + size
        struct.pack_into("<i", table, 0, place - begin)
        for form, offset, number in zip(forms, offsets, numbers, strict=True):
            value = begin - offset - number if form == "r" else number
            struct.pack_into("<q" if form == "q" else "<I", table, offset, value)
        return self.add(bytes(table))

    def close(self, root: int) -> bytes:
        """Finish the buffer, with the table at position `root` as the root table. Returns the buffer."""
        self.add(struct.pack("<I", self._size + 8 - root))
        return b"".join(reversed(self._parts))


@lru_cache(maxsize=8)
def _layout(forms: str) -> tuple[list[int], int, bytes]:
    """Return the field offsets, the size, and the vtable of a table whose fields have the types in `forms`."""
    offsets, end = [], 4
    for form in forms:
        size = 8 if form == "q" else 4
        end += -end % size
        offsets.append(end)
        end += size
    return offsets, end + -end % 8, struct.pack(f"<{len(forms) + 2}H", 2 * len(forms) + 4, end, *offsets)
