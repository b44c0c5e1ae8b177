"""Writes trees in the staging directory, from which complete trees are renamed into the store."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.sources.manifest import TreeEntry, TreeManifest
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.store import pool

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rules_bento.archives.unpack import Contents, SafeMember

_SMALL = 1 << 20  # bytes; smaller files are hashed before they are written, because the pool might have them


class Tree:
    """Writes a tree item by item. The paths of items are unique and inside of the tree."""

    def __init__(self, folder: Path, shared: pool.Pool) -> None:
        """Create the directory `folder`; its parent must exist."""
        self.folder = folder
        self.size = 0
        self._pool = shared
        self._entries: list[TreeEntry] = []
        self._written: list[Path] = []
        folder.mkdir(mode=0o700, parents=True)  # as BentoML's
        self._folders = {""}

    def add(self, item: SafeMember, contents: Contents, *, private: bool = False) -> None:
        """Write an item; a `private` item isn't shared with other trees. Raises BentoError if it cannot be written."""
        target = self.folder / item.path
        try:
            self._make_folder(item.path if item.kind == "folder" else item.path.rpartition("/")[0])
            if item.kind == "link":
                target.symlink_to(item.link)
                self._entries.append(TreeEntry.of_link(item.path, item.link))
            elif item.kind == "file":
                digest = self._file(item, contents, target, private=private)
                mode = 0o755 if item.executable else 0o644
                self._entries.append(TreeEntry(item.path, item.size, mode, digest))
                self.size += item.size
        except OSError as error:
            reason = error.strerror or error
            raise BentoError(f"{item.path}: cannot write to {target}: {reason}. Free space, or rename it.") from error

    def manifest(self) -> TreeManifest:
        """Create the manifest of the tree."""
        return TreeManifest.of(self._entries)

    @property
    def written(self) -> list[Path]:
        """The new files, which must be flushed to the disk."""
        return self._written

    def _file(self, item: SafeMember, contents: Contents, target: Path, *, private: bool) -> str:
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
    """Compute the digest of a content without storing it."""
    from blake3 import blake3

    hasher = blake3()
    for piece in contents:
        hasher.update(piece)
    return hasher.hexdigest()
