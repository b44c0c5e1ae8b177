"""A large file of a wheel, of which a few places are read: what lies between them is inflated, and not kept."""

from __future__ import annotations

import mmap
import os

from rules_bento.hints import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rules_bento.archives.zipread import Chunk

_HEAD = 1 << 20  # bytes at the begin that are kept as they come: most names of libraries are there
_TURNS = 4  # after so many, which no linker is the reason of, all that is left is kept


class Spread:
    """Maps a file of the same size, in which what was fetched is in its place. To be used in a `with`."""

    def __init__(self, file: BinaryIO, size: int, read: Callable[[], Iterator[Chunk]]) -> None:
        """Begin with nothing in an empty, temporary file; `read` begins to read the contents, each time anew."""
        self._size = size
        self._read = read
        self._chunks = read()
        self._at = 0  # where the next chunk begins
        self._turns = 0
        self._kept: list[tuple[int, int]] = []  # ranges, none of which touch
        self._file = file.fileno()
        os.truncate(self._file, size)
        self.data = mmap.mmap(self._file, size, access=mmap.ACCESS_READ)

    def __enter__(self) -> Spread:
        return self

    def __exit__(self, *_: object) -> None:
        self.data.close()

    def fetch(self, start: int, end: int) -> None:
        """See that these bytes, as far as the file has them, are in `data`."""
        end = min(end, self._size)
        if start >= end or any(first <= start and end <= last for first, last in self._kept):
            return
        if start < self._at:
            self._turns += 1
            self._at, self._chunks = 0, self._read()
        if self._turns >= _TURNS:
            start, end = self._at, self._size
        while self._at < end and (chunk := next(self._chunks, None)):
            following = self._at + len(chunk.data)
            if following > start or self._at < _HEAD:
                os.pwrite(self._file, memoryview(chunk.data)[: self._size - self._at], self._at)
                self._keep(self._at, following)
            self._at = following

    def _keep(self, start: int, end: int) -> None:
        """Note a range, as one with those that it touches."""
        for first, last in self._kept:
            if first <= end and start <= last:
                start, end = min(start, first), max(end, last)
        self._kept = [both for both in self._kept if both[0] < start or both[1] > end] + [(start, end)]
