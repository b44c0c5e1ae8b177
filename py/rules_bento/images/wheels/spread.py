"""A large file of a wheel, of which a few places are read: what lies between them is inflated, and not kept."""

from __future__ import annotations

import mmap
import os

from rules_bento.hints import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rules_bento.archives.zipread import Chunk
    from rules_bento.images.wheels.elf import Fetch

_HEAD = 1 << 20  # bytes at the begin that are kept as they come: most names of libraries are there
_TURNS = 4  # after so many, which no linker is the reason of, all that is left is kept


class Spread:
    """Maps a file of the same size, in which what was fetched is in its place. To be used in a `with`."""

    def __init__(self, file: BinaryIO, size: int, read: Callable[[], Iterator[Chunk]]) -> None:
        """Begin with nothing in an empty, temporary file; `read` begins to read the contents, each time anew."""
        self._size = size
        self._read = read
        self._chunks: Iterator[Chunk] | None = None
        self._at = 0  # where the next chunk begins
        self._turns = -1
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

    def passing(self, chunks: Iterable[Chunk], probe: Callable[[mmap.mmap, Fetch], object]) -> Iterator[Chunk]:
        """Yield the contents, from their begin, and keep of them what a probe fetches that does not lie behind.

        To be called before anything is fetched.
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
        """Return what a probe lacks; nothing if that lies before a place."""

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
        """Write bytes to their place, and note the range as one with those that it touches."""
        data = data[: self._size - start]
        os.pwrite(self._file, data, start)
        end = start + len(data)
        for first, last in self._kept:
            if first <= end and start <= last:
                start, end = min(start, first), max(end, last)
        self._kept = [both for both in self._kept if both[0] < start or both[1] > end] + [(start, end)]


class _MissingError(Exception):
    """Reports the begin and end of what is not there."""
