"""Reads the file of an upload, in any order and as often as need be."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.transports import hashes

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK = 1 << 20


class Source:
    """Reads the bytes to be sent, from any offset, as often as need be; for several threads."""

    def __init__(self, file: BinaryIO) -> None:
        file.flush()
        self._file = file.fileno()
        self.size = os.fstat(self._file).st_size

    def read(self, at: int, size: int) -> bytes:
        """Return the bytes from `at` on, so many unless the end comes before."""
        data = os.pread(self._file, size, at)
        while len(data) < min(size, self.size - at):
            data += os.pread(self._file, size - len(data), at + len(data))
        return data

    def pieces(self, at: int = 0, size: int = _BLOCK, end: int | None = None) -> Iterator[bytes]:
        """Yield all bytes from `at` up to `end`, `size` at once."""
        stop = self.size if end is None else end
        while at < stop:
            yield self.read(at, min(size, stop - at))
            at += size

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the file in hexadecimal."""
        return self.digest("sha256")

    @cached_property
    def blake3(self) -> str:
        """Return the BLAKE3 of the file in hexadecimal: the fastest digest, for what no server compares."""
        from blake3 import blake3

        digester = blake3()
        for piece in self.pieces():
            digester.update(piece)
        return digester.hexdigest()

    def digest(self, name: str) -> str:
        """Return the digest by a name that `hashes.new` knows, hexadecimal."""
        digester = hashes.new(name)
        for piece in self.pieces():
            digester.update(piece)
        return digester.hexdigest()

    def digests(self, *names: str) -> dict[str, str]:
        """Return several digests by their names, each on a processor of its own."""
        with ThreadPoolExecutor(len(names)) as threads:
            return dict(zip(names, threads.map(self.digest, names), strict=True))


class Slice:
    """Sends some of a source's bytes, as the body of a request."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source = source
        self.start = start
        self.end = end

    @property
    def size(self) -> int:
        """Return how many bytes there are."""
        return self.end - self.start

    def write_to(self, connection: socket.socket) -> None:
        """Write all of them."""
        for piece in self._source.pieces(self.start, end=self.end):
            connection.sendall(piece)
