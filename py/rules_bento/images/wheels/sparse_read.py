"""Random access to a few ranges of a large file of a wheel; data between the ranges is inflated and discarded."""

from __future__ import annotations

import mmap
import os

from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rules_bento.archives.zipread import Chunk
    from rules_bento.images.wheels.elf import Fetch

_HEAD = 1 << 20  # bytes at the beginning that are always kept, because most names of libraries are there
_TURNS = 4  # after this number of reads, more than a linker makes, the rest of the file is kept


class SparseFile:
    """Maps a sparse temporary file of the same size, with fetched ranges at their offsets. A context manager."""

    def __init__(self, file: BinaryIO, size: int, read: Callable[[], Iterator[Chunk]]) -> None:
        """Create an empty temporary file; each call of `read` starts to read the contents from the beginning."""
        self._size = size
        self._read = read
        self._chunks: Iterator[Chunk] | None = None
        self._at = 0  # offset of the next chunk
        self._turns = -1
        self._kept: list[tuple[int, int]] = []  # ranges that don't touch each other
        self._file = file.fileno()
        os.truncate(self._file, size)
        self.data = mmap.mmap(self._file, size, access=mmap.ACCESS_READ)

    def __enter__(self) -> SparseFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.data.close()

    def fetch(self, start: int, end: int) -> None:
        """Fetch these bytes into `data`, as far as the file has them."""
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
        """Yield the contents from the beginning, and keep ranges that a probe fetches while they pass.

        Must be called before anything is fetched.
        """
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
        """Return the range that a probe misses; None if it is before an offset that already passed."""

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
        """Write bytes at their offset, and merge the range with ranges that it touches."""
        data = data[: self._size - start]
        os.pwrite(self._file, data, start)
        end = start + len(data)
        for first, last in self._kept:
            if first <= end and start <= last:
                start, end = min(start, first), max(end, last)
        self._kept = [both for both in self._kept if both[0] < start or both[1] > end] + [(start, end)]


class _MissingError(Exception):
    """Reports the range of missing bytes."""
