"""The digests that servers state: those of `hashlib`, and Dropbox's own."""

from __future__ import annotations

import hashlib

from rules_bento.typing_lite import Protocol

DROPBOX = "dropbox's content_hash"
_BLOCK = 4 << 20


class Hash(Protocol):
    """Declares the methods of `hashlib`'s objects that are used."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def new(name: str) -> Hash:
    """Return a digest in the making, by its name."""
    return _Dropbox() if name == DROPBOX else hashlib.new(name, usedforsecurity=False)


def of(name: str, data: bytes) -> str:
    """Return the digest of some bytes, hexadecimal."""
    made = new(name)
    made.update(data)
    return made.hexdigest()


class _Dropbox:
    """Computes SHA-256 over the SHA-256 of each block of 4 MiB."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._room = _BLOCK

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            taken, view = view[: self._room], view[self._room :]
            self._block.update(taken)
            self._room -= len(taken)
            if not self._room:
                self._whole.update(self._block.digest())
                self._block = hashlib.sha256()
                self._room = _BLOCK

    def hexdigest(self) -> str:
        whole = self._whole.copy()
        if self._room < _BLOCK:
            whole.update(self._block.digest())
        return whole.hexdigest()
