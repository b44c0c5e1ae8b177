"""Reads the dynamic linking information of 64-bit little-endian ELF libraries and programs.

Sources: System V ABI, chapters 4 and 5, and Linux Standard Base for symbol versions.
"""

from __future__ import annotations

import mmap
import os
import re
import struct

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.base.archives.zipread import Chunk

    Fetch = Callable[[int, int], None]
    GpuCode = Callable[[int, int], tuple[str, ...]]

MAGIC = b"\x7fELF"
_CLASS_64_LITTLE = b"\x02\x01"
_MACHINES = {62: "amd64", 183: "arm64"}
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<I20xQQ24x")  # place of the name, offset, size
_GPU_CODE = b".nv_fatbin\0"
_ENTRY = struct.Struct("<QQ")
_NEED = struct.Struct("<HHIII")
_VERSION = struct.Struct("<IHHII")
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NULL, _NEEDED, _STRINGS, _STRINGS_SIZE, _SONAME, _RPATH, _RUNPATH = 0, 1, 5, 10, 14, 15, 29
_VERSIONS, _VERSIONS_COUNT = 0x6FFFFFFE, 0x6FFFFFFF
# Real libraries have a few hundred of each; larger numbers indicate damage.
_MOST = 1 << 14  # entries of the dynamic table, of all version tables together, and modules
_LONGEST = 4096  # bytes of a name
_MOST_TEXT = 4 << 20  # bytes of all names and search paths, which can refer to the same bytes
_LONGEST_SEARCH = 1 << 20  # bytes of all directories of a search path: TensorFlow's linker names 18 of them 668 times
_MODULE = re.compile(rb"PyInit_([A-Za-z0-9_]{1,200})(?=\0)")
_LONGEST_MODULE = len("PyInit_") + 200 + 1
_PIECE = 1 << 20  # bytes that are searched for modules in one step: TensorFlow has 84 MB of names


class Elf(NamedTuple):
    """The linking information of a dynamically linked file."""

    machine: str  # as named in Go; `ELF machine <number>` for others
    soname: str  # empty if there is none
    needed: tuple[str, ...]  # required libraries
    versions: tuple[str, ...]  # versions of symbols of other libraries, such as GLIBC_2.28
    search: tuple[str, ...] = ()  # directories in which the linker searches libraries, from RUNPATH or RPATH
    modules: tuple[str, ...] = ()  # Python modules that the file can be imported as, by their init functions
    is_program: bool = False  # the file names its dynamic linker, so it is a program
    gpu_code: tuple[str, ...] = ()  # architectures, such as sm_90a for machine code, and compute_90 for PTX


def read_elf(
    data: bytes | mmap.mmap, fetch: Fetch | None = None, gpu_code: GpuCode = lambda _start, _end: ()
) -> Elf | None:
    """Return a file's linking information, or None if the file isn't a dynamically linked 64-bit ELF file.

    If `fetch` is set, calls `fetch` with the start and end of each range of bytes before reading the range. `gpu_code`
    returns the architectures of the GPU code in a range of bytes that was fetched.
    """
    fetch = fetch or (lambda _begin, _end: None)
    fetch(0, _HEADER.size)
    if data[:4] != MAGIC or data[4:6] != _CLASS_64_LITTLE or len(data) < _HEADER.size:
        return None
    try:
        return _Reader(data, fetch).read(gpu_code)
    except (struct.error, ValueError, OverflowError):  # the second for an offset after the end of the file
        return None


class _Reader:
    """Reads the parts of a file. Calls `fetch` before it reads a range of bytes."""

    def __init__(self, data: bytes | mmap.mmap, fetch: Fetch) -> None:
        self._data, self._fetch = data, fetch
        self._left = _MOST_TEXT

    def read(self, gpu_code: GpuCode) -> Elf | None:
        """Return the linking information, or None. Raises an error of `read_elf` for a damaged file."""
        _, _, machine, _, _, at, sections_at, _, _, size, count, *sections = _HEADER.unpack_from(self._data)
        if size != _SEGMENT.size:
            return None
        self._fetch(at, at + count * size)
        segments = [_SEGMENT.unpack_from(self._data, at + number * size) for number in range(count)]
        dynamic = [(at, length) for kind, _, at, _, _, length, *_ in segments if kind == _DYNAMIC]
        if not dynamic:
            return None
        values = self._dynamic_values(*dynamic[0])
        code = self._gpu_code_section(sections_at, *sections)
        loads = [(address, at, length) for kind, _, at, address, _, length, *_ in segments if kind == _LOAD]
        try:
            linked = self._read_strings(values, loads)
        except (KeyError, StopIteration):
            return None
        is_program = any(kind == _INTERPRETER for kind, *_ in segments)
        return linked._replace(
            machine=_MACHINES.get(machine, f"ELF machine {machine}"), is_program=is_program, gpu_code=gpu_code(*code)
        )

    def _dynamic_values(self, at: int, length: int) -> dict[int, list[int]]:
        """Return the values in the dynamic table, by tag."""
        values: dict[int, list[int]] = {}
        table = range(at, at + min(length, _MOST * _ENTRY.size), _ENTRY.size)
        self._fetch(at, table.stop + _ENTRY.size)
        for offset in table:
            tag, value = _ENTRY.unpack_from(self._data, offset)
            if tag == _NULL:
                break
            values.setdefault(tag, []).append(value)
        return values

    def _read_strings(self, values: dict[int, list[int]], loads: list[tuple[int, int, int]]) -> Elf:
        """Return what the dynamic table names in the string table. Raises KeyError or StopIteration without a table."""

        def place(address: int) -> int:
            """Return the file offset of a virtual address."""
            return next(at + address - start for start, at, length in loads if start <= address < start + length)

        start = place(values[_STRINGS][0])
        strings = start, start + values[_STRINGS_SIZE][0]
        self._fetch(*strings)
        needed = [self._text(value, strings) for value in values.get(_NEEDED, ())]
        modules = sorted(_modules(self._data, *strings))
        search = [
            directory
            for value in values.get(_RUNPATH, values.get(_RPATH, []))
            for directory in self._text(value, strings, _LONGEST_SEARCH).split(":")
        ]
        soname = self._text(values[_SONAME][0], strings) if _SONAME in values else ""
        versions: set[str] = set()
        if _VERSIONS in values:
            offsets = self._versions(place(values[_VERSIONS][0]), values[_VERSIONS_COUNT][0])
            versions = {self._text(offset, strings) for offset in set(offsets)}
        directories = tuple(dict.fromkeys(filter(None, search)))
        return Elf("", soname, tuple(needed), tuple(sorted(versions)), directories, tuple(modules))

    def _text(self, value: int, strings: tuple[int, int], longest: int = _LONGEST) -> str:
        """Return the string at an offset of the string table."""
        start, end = strings[0] + value, strings[1]
        stop = self._data.find(b"\0", start, min(end, start + longest))
        if stop < 0:
            raise ValueError
        text = self._data[start:stop].decode("utf-8", "replace")
        self._left -= len(text)
        if self._left < 0:
            raise ValueError
        return text

    def _gpu_code_section(self, at: int, size: int, count: int, names: int) -> tuple[int, int]:
        """Return the start and the end of the section with GPU code, after reading the file up to its end."""
        if size != _SECTION.size or names >= count:
            return 0, 0
        self._fetch(at, at + count * size)
        try:
            sections = [_SECTION.unpack_from(self._data, at + number * size) for number in range(count)]
        except struct.error:  # the linker doesn't read sections, so they can be missing
            return 0, 0
        _, strings, length = sections[names]
        self._fetch(strings, strings + length)
        for name, start, length in sections:
            if self._data[strings + name : strings + name + len(_GPU_CODE)] == _GPU_CODE:
                if start + length > at:  # otherwise, it was read on the way to the table of sections
                    self._fetch(start + length - 1, start + length)
                return start, start + length
        return 0, 0

    def _versions(self, at: int, count: int) -> list[int]:
        offsets: list[int] = []
        for _ in range(min(count, _MOST)):
            self._fetch(at, at + _NEED.size)
            _, versions, _, first, following = _NEED.unpack_from(self._data, at)
            version_at = at + first
            for _ in range(versions):
                self._fetch(version_at, version_at + _VERSION.size)
                *_, name, step = _VERSION.unpack_from(self._data, version_at)
                offsets.append(name)
                version_at += step
            if len(offsets) > _MOST:
                raise ValueError
            at += following
        return offsets


def _modules(data: bytes | mmap.mmap, start: int, end: int) -> set[str]:
    """Return the names of modules from the `PyInit_<module>` strings in the string table. Frees the mapped pages."""
    modules: set[str] = set()
    end = min(end, len(data))
    while start < end:
        following = start + _PIECE
        for match in _MODULE.finditer(data, start, min(following + _LONGEST_MODULE, end)):
            modules.add(match[1].decode())
            if len(modules) > _MOST:
                raise ValueError
            following = max(following, match.end())
        start = following
        if not isinstance(data, bytes):
            data.madvise(mmap.MADV_DONTNEED)
    return modules


_HEAD = 1 << 20  # bytes at the beginning that are always kept, because most names of libraries are there
_TURNS = 4  # after this number of reads, more than a linker makes, the rest of the file is kept


class SparseFile:
    """Context manager that maps a sparse copy of a file into memory. `fetch` and `tee` add ranges to the copy."""

    def __init__(self, size: int, read: Callable[[], Iterator[Chunk]]) -> None:
        """Create a file of `size` bytes without a name. Each call to `read` must yield the complete contents."""
        import tempfile

        self._size = size
        self._read = read
        self._chunks: Iterator[Chunk] | None = None
        self._at = 0  # offset of the next chunk
        self._turns = -1
        self._kept: list[tuple[int, int]] = []  # ranges that don't touch each other
        self._temporary = tempfile.TemporaryFile()  # noqa: SIM115 - open until the end of the context
        self._temporary.truncate(size)
        self._file = self._temporary.fileno()
        self.data = mmap.mmap(self._file, size, access=mmap.ACCESS_READ)

    def __enter__(self) -> SparseFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.data.close()
        self._temporary.close()

    def fetch(self, start: int, end: int) -> None:
        """Read the bytes from `start` to `end` into `data`. If the file ends before `end`, reads the rest."""
        end = min(end, self._size)
        if self._has(start, end):
            return
        if self._chunks is None or start < self._at:
            self._turns += 1
            self._at, self._chunks = 0, self._read()
        if self._turns >= _TURNS:
            start, end = self._at, self._size
        while self._at < end and (chunk := next(self._chunks, None)):
            following = self._at + len(chunk.data)
            if following > start or self._at < _HEAD:
                self._keep(chunk.data, self._at)
            self._at = following

    def tee(self, chunks: Iterable[Chunk], probe: Callable[[mmap.mmap, Fetch], object]) -> Iterator[Chunk]:
        """Yield the chunks unchanged, and store the ranges that `probe` requests. Call `tee` before `fetch`."""
        at = 0
        wanted: tuple[int, int] | None = (0, 1)
        for chunk in chunks:
            following = at + len(chunk.data)
            if wanted and (following > wanted[0] or at < _HEAD):
                self._keep(chunk.data, at)
                while wanted and self._has(*wanted):
                    wanted = self._missing(probe, following)
            at = following
            yield chunk

    def _missing(self, probe: Callable[[mmap.mmap, Fetch], object], at: int) -> tuple[int, int] | None:
        """Return the next range that `probe` needs. Returns None if all ranges that `probe` needs are stored.

        Also returns None if bytes of the range before `at`, the current offset of `tee`, aren't stored.
        """

        def ask(start: int, end: int) -> None:
            end = min(end, self._size)
            if not self._has(start, end):
                raise _MissingError(start, end)

        try:
            probe(self.data, ask)
        except _MissingError as missing:
            start, end = missing.args
            return (start, end) if start >= at or self._has(start, at) else None
        return None

    def _has(self, start: int, end: int) -> bool:
        return start >= end or any(first <= start and end <= last for first, last in self._kept)

    def _keep(self, data: bytes, start: int) -> None:
        """Store `data` at offset `start`, and merge the stored range with adjacent ranges."""
        data = data[: self._size - start]
        os.pwrite(self._file, data, start)
        end = start + len(data)
        for first, last in self._kept:
            if first <= end and start <= last:
                start, end = min(start, first), max(end, last)
        self._kept = [both for both in self._kept if both[0] < start or both[1] > end] + [(start, end)]


class _MissingError(Exception):
    """Raised if a range of bytes isn't stored yet. The arguments are the start and the end of the range."""
