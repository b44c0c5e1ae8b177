"""Reads what the dynamic linker needs of a shared library or program: ELF, 64 bits, little-endian.

System V ABI, chapters 4 and 5; symbol versions as in the Linux Standard Base.
"""

from __future__ import annotations

import re
import struct

from rules_bento.hints import TYPE_CHECKING
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap

    Fetch = Callable[[int, int], None]

MAGIC = b"\x7fELF"
_CLASS_64_LITTLE = b"\x02\x01"
_MACHINES = {62: "amd64", 183: "arm64"}
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<QQ")
_NEED = struct.Struct("<HHIII")
_VERSION = struct.Struct("<IHHII")
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NULL, _NEEDED, _STRINGS, _STRINGS_SIZE, _SONAME, _RPATH, _RUNPATH = 0, 1, 5, 10, 14, 15, 29
_VERSIONS, _VERSIONS_COUNT = 0x6FFFFFFE, 0x6FFFFFFF
# Real libraries have some hundreds of each; more is damage.
_MOST = 1 << 14  # entries of the dynamic table, and of all tables of versions together
_LONGEST = 4096  # bytes of a name
_LONGEST_SEARCH = 1 << 20  # bytes of all folders of a search: TensorFlow's linker names 18 of them 668 times
_MODULE = re.compile(rb"PyInit_([A-Za-z0-9_]{1,200})(?=\0)")
_LONGEST_MODULE = len("PyInit_") + 200 + 1
_PIECE = 1 << 20  # bytes that are searched for modules at once: TensorFlow has 84 MB of names


class Elf(NamedTuple):
    """Describes a file that is linked when it is loaded."""

    machine: str  # as Go names it; `ELF machine <number>` for others
    soname: str  # empty for none
    needed: tuple[str, ...]  # libraries
    versions: tuple[str, ...]  # of symbols of other libraries, such as GLIBC_2.28
    search: tuple[str, ...] = ()  # folders where its libraries are looked for, as RUNPATH or RPATH has them
    modules: tuple[str, ...] = ()  # of Python that it can be imported as, by names of their functions
    is_program: bool = False  # it names the linker that starts it


def read_elf(data: bytes | mmap, fetch: Fetch | None = None) -> Elf | None:
    """Read a file; nothing if it is no ELF file, one for other machines than 64-bit ones, not linked, or damaged.

    What `fetch` is not called for, with begin and end, need not be in `data`. Both may lie beyond the end of the file.
    """
    fetch = fetch or (lambda _begin, _end: None)
    fetch(0, _HEADER.size)
    if data[:4] != MAGIC or data[4:6] != _CLASS_64_LITTLE or len(data) < _HEADER.size:
        return None
    try:
        return _read(data, fetch)
    except (struct.error, ValueError, OverflowError):  # the latter for a place beyond all files
        return None


def _read(data: bytes | mmap, fetch: Fetch) -> Elf | None:
    _, _, machine, _, _, segments_at, _, _, _, size, count, *_ = _HEADER.unpack_from(data)
    if size != _SEGMENT.size:
        return None
    fetch(segments_at, segments_at + count * size)
    segments = [_SEGMENT.unpack_from(data, segments_at + number * size) for number in range(count)]
    dynamic = [(at, length) for kind, _, at, _, _, length, *_ in segments if kind == _DYNAMIC]
    if not dynamic:
        return None
    loads: list[tuple[int, int, int]] = [
        (address, at, length) for kind, _, at, address, _, length, *_ in segments if kind == _LOAD
    ]

    def place(address: int) -> int:
        """Return where the byte of an address is in the file."""
        return next(at + address - start for start, at, length in loads if start <= address < start + length)

    values: dict[int, list[int]] = {}
    at, length = dynamic[0]
    table = range(at, at + min(length, _MOST * _ENTRY.size), _ENTRY.size)
    fetch(at, table.stop + _ENTRY.size)
    for offset in table:
        tag, value = _ENTRY.unpack_from(data, offset)
        if tag == _NULL:
            break
        values.setdefault(tag, []).append(value)
    try:
        strings = place(values[_STRINGS][0])
        end = strings + values[_STRINGS_SIZE][0]
        fetch(strings, end)
        names = [_text(data, strings + value, end) for value in values.get(_NEEDED, ())]
        modules = sorted(_modules(data, strings, end))
        search = [
            folder
            for value in values.get(_RUNPATH, values.get(_RPATH, []))
            for folder in _text(data, strings + value, end, _LONGEST_SEARCH).split(":")
        ]
        soname = _text(data, strings + values[_SONAME][0], end) if _SONAME in values else ""
        versions: set[str] = set()
        if _VERSIONS in values:
            offsets = _versions(data, fetch, place(values[_VERSIONS][0]), values[_VERSIONS_COUNT][0])
            versions = {_text(data, strings + offset, end) for offset in offsets}
    except (KeyError, StopIteration):
        return None
    return Elf(
        _MACHINES.get(machine, f"ELF machine {machine}"),
        soname,
        tuple(names),
        tuple(sorted(versions)),
        tuple(dict.fromkeys(filter(None, search))),
        tuple(modules),
        any(kind == _INTERPRETER for kind, *_ in segments),
    )


def _versions(data: bytes | mmap, fetch: Fetch, at: int, count: int) -> list[int]:
    """Return where, among the strings, the names of the needed versions are."""
    offsets: list[int] = []
    for _ in range(min(count, _MOST)):
        fetch(at, at + _NEED.size)
        _, versions, _, first, following = _NEED.unpack_from(data, at)
        version_at = at + first
        for _ in range(versions):
            fetch(version_at, version_at + _VERSION.size)
            *_, name, step = _VERSION.unpack_from(data, version_at)
            offsets.append(name)
            version_at += step
        if len(offsets) > _MOST:
            raise ValueError
        at += following
    return offsets


def _modules(data: bytes | mmap, start: int, end: int) -> set[str]:
    """Return the modules that functions among the strings are for; what has been searched of a file leaves memory."""
    from mmap import MADV_DONTNEED

    modules: set[str] = set()
    end = min(end, len(data))
    while start < end:
        following = start + _PIECE
        for match in _MODULE.finditer(data, start, min(following + _LONGEST_MODULE, end)):
            modules.add(match[1].decode())
            following = max(following, match.end())
        start = following
        if not isinstance(data, bytes):
            data.madvise(MADV_DONTNEED)
    return modules


def _text(data: bytes | mmap, start: int, end: int, longest: int = _LONGEST) -> str:
    stop = data.find(b"\0", start, min(end, start + longest))
    if stop < 0:
        raise ValueError
    return data[start:stop].decode("utf-8", "replace")
