"""Reads the file to upload, and computes the digests that servers verify, including Dropbox's content hash."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Iterator, Protocol

if TYPE_CHECKING:
    import socket

_BLOCK = 1 << 20


class Source:
    """The file to upload. Several threads can read the file in parallel, at any offset."""

    def __init__(self, file: BinaryIO) -> None:
        file.flush()
        self._file = file.fileno()
        self.size = os.fstat(self._file).st_size

    def read(self, at: int, size: int) -> bytes:
        """Return `size` bytes from offset `at`, or fewer at the end of the file."""
        data = os.pread(self._file, size, at)
        while len(data) < min(size, self.size - at):
            data += os.pread(self._file, size - len(data), at + len(data))
        return data

    def pieces(self, at: int = 0, size: int = _BLOCK, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `at` to `end` (default: the end of the file) in pieces of at most `size` bytes."""
        stop = self.size if end is None else end
        while at < stop:
            yield self.read(at, min(size, stop - at))
            at += size

    @cached_property
    def sha256(self) -> str:
        """The hexadecimal SHA-256 digest of the file."""
        return self.digest("sha256")

    @cached_property
    def blake3(self) -> str:
        """The hexadecimal BLAKE3 digest of the file, for local comparisons. BLAKE3 is faster than SHA-256."""
        from blake3 import blake3

        digester = blake3()
        for piece in self.pieces():
            digester.update(piece)
        return digester.hexdigest()

    def digest(self, name: str) -> str:
        """Return the hexadecimal digest of the file. `name` is an algorithm that `new_hash` supports."""
        digester = new_hash(name)
        for piece in self.pieces():
            digester.update(piece)
        return digester.hexdigest()

    def digests(self, *names: str) -> dict[str, str]:
        """Return the hexadecimal digests of the file by algorithm name. Computes the digests in parallel."""
        with ThreadPoolExecutor(len(names)) as threads:
            return dict(zip(names, threads.map(self.digest, names), strict=True))


class Slice:
    """Request body that contains a range of a source."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source = source
        self.start = start
        self.end = end

    @property
    def size(self) -> int:
        """The number of bytes in the range."""
        return self.end - self.start

    def write_to(self, connection: socket.socket) -> None:
        """Write the range to a connection."""
        for piece in self._source.pieces(self.start, end=self.end):
            connection.sendall(piece)


DROPBOX = "dropbox's content_hash"
_DROPBOX_BLOCK = 4 << 20


class Hash(Protocol):
    """Interface of hash objects, as in `hashlib`."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def new_hash(name: str) -> Hash:
    """Return a new hash object for an algorithm of `hashlib` or for Dropbox's content hash."""
    return _Dropbox() if name == DROPBOX else hashlib.new(name, usedforsecurity=False)


def hash_of(name: str, data: bytes) -> str:
    """Return the hexadecimal digest of `data` with the algorithm `name`."""
    made = new_hash(name)
    made.update(data)
    return made.hexdigest()


class _Dropbox:
    """Dropbox's content hash: the SHA-256 of the concatenated SHA-256 digests of all 4 MiB blocks."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._room = _DROPBOX_BLOCK

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            taken, view = view[: self._room], view[self._room :]
            self._block.update(taken)
            self._room -= len(taken)
            if not self._room:
                self._whole.update(self._block.digest())
                self._block = hashlib.sha256()
                self._room = _DROPBOX_BLOCK

    def hexdigest(self) -> str:
        whole = self._whole.copy()
        if self._room < _DROPBOX_BLOCK:
            whole.update(self._block.digest())
        return whole.hexdigest()
