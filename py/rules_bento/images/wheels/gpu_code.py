"""Lists the GPU architectures for which a library contains code, while another function reads the library.

CUDA's compiler writes code into containers in the section `.nv_fatbin`. NVIDIA documents only the first header of a
container (`fatbinary_section.h`); the other fields are as cuobjdump shows them. Code for an architecture is machine
code (`sm_90`) or PTX (`compute_90`), which the driver compiles. Only headers are read: payloads can be compressed.
"""

from __future__ import annotations

import struct

from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.base.archives.zipread import Chunk

_BEGIN = struct.pack("<IHH", 0xBA55ED50, 1, 16)  # magic number, version, size of this header
_CONTAINER = struct.Struct("<8xQ")  # `_BEGIN`, size of the entries
_ENTRY = struct.Struct("<HxxIQ12xI8xQ16x")  # kind, size of the header, size of the contents, architecture, flags
_TABLE = struct.Struct("<I4x")  # number of entries whose contents are compressed together; their headers follow
_PTX = 1
_KINDS = {_PTX: "compute", 2: "sm"}
_JOINED = 256  # the kind of an entry with a table
_ARCHITECTURE_ONLY, _FAMILY_ONLY = 1 << 20, 1 << 21  # flags; machine code is always for one family
_ALIGNED = 8
_LONGEST_HEADER = 1 << 16
_NEWEST = 999  # architectures have two or three digits
_MOST = 1 << 18  # headers and entries; libtorch_cuda.so and libcublasLt.so need less than a tenth


class GpuCodeScanner:
    """Collects the architectures of all containers in a file. Uses little memory, and stops after `_MOST` steps."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}  # offsets of containers, by architecture
        self._data = b""  # bytes from `_at`
        self._at = 0
        self._next = 0  # offset of the next header, or where to search for a container
        self._start = self._end = 0  # of the current container
        self._steps = 0

    def watch(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield the chunks of the file unchanged. If the file is read again, scans only bytes that weren't scanned."""
        at = 0
        for chunk in chunks:
            scanned = self._at + len(self._data)
            at += len(chunk.data)
            if at > scanned and self._steps < _MOST:
                self._data += chunk.data[len(chunk.data) - at + scanned :]
                while self._steps < _MOST and self._step():
                    self._steps += 1
                unneeded = min(max(self._next - self._at, 0), len(self._data))
                self._data = self._data[unneeded:]
                self._at += unneeded
            yield chunk

    def within(self, start: int, end: int) -> tuple[str, ...]:
        """Return the sorted architectures of the containers between two offsets; none after too many steps."""
        found = self._found.items() if self._steps < _MOST else ()
        return tuple(sorted((name for name, places in found if any(start <= at < end for at in places)), key=_order))

    def _step(self) -> bool:
        """Read the next header. Returns False if the header isn't complete."""
        at = self._next - self._at
        if self._next < self._end:
            return at + _ENTRY.size <= len(self._data) and self._entry(at)
        place = self._data.find(_BEGIN, max(at, 0)) if at < len(self._data) else -1
        if place < 0:
            self._next = max(self._next, self._at + len(self._data) - len(_BEGIN) + 1)
            return False
        self._next = self._at + place
        if self._next % _ALIGNED:
            self._next += 1
        elif place + _CONTAINER.size > len(self._data):
            return False
        else:
            self._start, self._next = self._next, self._next + _CONTAINER.size
            self._end = self._next + _CONTAINER.unpack_from(self._data, place)[0]
        return True

    def _entry(self, at: int) -> bool:
        kind, header, contents, architecture, flags = _ENTRY.unpack_from(self._data, at)
        if header < _ENTRY.size or self._next + header + contents > self._end:
            self._next = self._end  # the rest of the container is damaged
            return True
        if kind == _JOINED and _ENTRY.size + _TABLE.size <= header <= _LONGEST_HEADER:
            if at + header > len(self._data):
                return False
            [count] = _TABLE.unpack_from(self._data, at + _ENTRY.size)
            first = at + _ENTRY.size + _TABLE.size
            for place in range(first, at + header - _ENTRY.size + 1, _ENTRY.size)[:count]:
                of_kind, _, _, of_architecture, of_flags = _ENTRY.unpack_from(self._data, place)
                self._add(of_kind, of_architecture, of_flags)
        self._add(kind, architecture, flags)
        self._next += header + contents
        return True

    def _add(self, kind: int, architecture: int, flags: int) -> None:
        self._steps += 1
        if kind in _KINDS and architecture <= _NEWEST:
            suffix = "a" if flags & _ARCHITECTURE_ONLY else "f" if flags & _FAMILY_ONLY and kind == _PTX else ""
            self._found.setdefault(f"{_KINDS[kind]}_{architecture}{suffix}", []).append(self._start)


def _order(name: str) -> tuple[bool, int, str]:
    kind, _, architecture = name.partition("_")
    return kind != "sm", int(architecture.rstrip("af")), architecture
