"""Writes unfinished trees where no listing looks, to be renamed into the store."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.sources.manifest import Entry, Manifest
from rules_bento.store import pool

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rules_bento.archives.unpack import Contents, Item

_SMALL = 1 << 20  # bytes up to which a file is hashed before it is written, and perhaps need not be


class Tree:
    """Writes a tree item by item, each of which is safe below a folder and unique."""

    def __init__(self, folder: Path, shared: pool.Pool) -> None:
        """Make the folder; its parent must be there."""
        self.folder = folder
        self.size = 0
        self._pool = shared
        self._entries: list[Entry] = []
        self._written: list[Path] = []
        folder.mkdir(mode=0o700, parents=True)  # as BentoML's
        self._folders = {""}

    def add(self, item: Item, contents: Contents, *, private: bool = False) -> None:
        """Write the item. What is `private` shares nothing with other trees. Raises BentoError where that fails."""
        target = self.folder / item.path
        try:
            self._make_folder(item.path if item.kind == "folder" else item.path.rpartition("/")[0])
            if item.kind == "link":
                target.symlink_to(item.link)
                self._entries.append(Entry.of_link(item.path, item.link))
            elif item.kind == "file":
                digest = self._file(item, contents, target, private=private)
                mode = 0o755 if item.executable else 0o644
                self._entries.append(Entry(item.path, item.size, mode, digest))
                self.size += item.size
        except OSError as error:
            raise BentoError(f"{item.path}: cannot be written to {target}: {error.strerror or error}.") from error

    def manifest(self) -> Manifest:
        """Return the manifest of the tree."""
        return Manifest.of(self._entries)

    @property
    def written(self) -> list[Path]:
        """Return the files that are new to the disk, so that they have to be flushed."""
        return self._written

    def _file(self, item: Item, contents: Contents, target: Path, *, private: bool) -> str:
        new = True
        if private:
            digest = pool.write(target, contents, executable=item.executable)
        elif item.size <= _SMALL:
            digest, new = self._pool.put(b"".join(contents), target, executable=item.executable)
        else:
            digest, new = self._pool.add(contents, item.size, target, executable=item.executable)
        if new:
            self._written.append(target)
        return digest

    def _make_folder(self, path: str) -> None:
        if path in self._folders:
            return
        self._make_folder(path.rpartition("/")[0])
        (self.folder / path).mkdir(mode=0o755)
        self._folders.add(path)


def digest(contents: Iterable[bytes | memoryview]) -> str:
    """Return the digest of a content that is not kept."""
    from blake3 import blake3

    hasher = blake3()
    for piece in contents:
        hasher.update(piece)
    return hasher.hexdigest()
