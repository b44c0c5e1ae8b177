"""Stores the manifest of each imported entry outside of the entry.

Each manifest is one file. BentoML ignores these files: if BentoML deletes an entry, the manifest remains. If BentoML
then builds another entry with the same tag, the manifest still belongs to the deleted entry. `read` ignores such a
manifest. The manifest belongs to a deleted entry if the existing entry's descriptor doesn't match the manifest, and no
file of the existing entry has the modification time of an imported file (`shared_contents.digest_time`).
"""

from __future__ import annotations

from contextlib import suppress

from rules_bento.base.errors import BentoError
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator
from rules_bento.bentos.assembly import bento_yaml
from rules_bento.bentos.sources.tree_manifest import TreeManifest

from bento_cli.store import durable
from bento_cli.store.shared_contents import digest_time

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.assembly.kinds import Kind

    from bento_cli.store.home import Home


def write(home: Home, kind: Kind, tag: Tag, manifest: TreeManifest) -> None:  # writes: own, `Tag` checks the names
    """Write the manifest of an entry."""
    path = _path(home, kind, tag)
    durable.write(home, path, manifest.to_json().encode())


def read(home: Home, kind: Kind, tag: Tag, directory: Path) -> TreeManifest | None:
    """Return an entry's manifest, or None if the entry has none. Raises BentoError for an invalid manifest."""
    path = _path(home, kind, tag)
    try:
        manifest = TreeManifest.from_json(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, BentoError) as error:
        reason = getattr(error, "strerror", None) or "invalid format"
        remedy = f"To use the {kind.noun} without verification, remove the manifest."
        raise BentoError(f"cannot read the manifest of {tag}: {reason}", place=str(path), remedy=remedy) from None
    return manifest if _is_of(manifest, kind, directory) else None


class ManifestCache:
    """Cache of the manifests of entries in a store."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: dict[Path, TreeManifest | None] = {}

    def of(self, kind: Kind, tag: Tag, directory: Path) -> TreeManifest | None:
        """Return an entry's manifest, or None if the entry has none. Raises BentoError for an invalid manifest."""
        if directory not in self._known:
            self._known[directory] = read(self._home, kind, tag, directory)
        return self._known[directory]

    def digests(self, kind: Kind, directory: Path) -> dict[str, str]:
        """Return the BLAKE3 digests of an entry's files by path. Without a manifest, returns an empty dict."""
        manifest = self.of(kind, Tag(directory.parent.name, directory.name), directory)
        return {file.path: file.blake3 for file in manifest.entries if file.blake3} if manifest else {}


def _is_of(manifest: TreeManifest, kind: Kind, directory: Path) -> bool:
    from blake3 import blake3

    files = {entry.path: entry.blake3 for entry in manifest.entries if entry.blake3 is not None}
    for path in sorted(files, key=lambda path: path != kind.descriptor):
        with suppress(OSError):
            if (directory / path).lstat().st_mtime_ns == digest_time(files[path]):
                return True
    with suppress(BentoError):  # the entry might be a copy with other modification times
        return blake3(bento_yaml.read(kind, directory / kind.descriptor)).hexdigest() == files.get(kind.descriptor)
    return False


def remove(home: Home, kind: Kind, tag: Tag) -> None:  # writes: own, `Tag` checks the names
    """Remove the manifest of an entry."""
    path = _path(home, kind, tag)
    path.unlink(missing_ok=True)
    with suppress(OSError):  # the directory contains manifests of other versions
        path.parent.rmdir()


def tags(home: Home, kind: Kind) -> Iterator[Tag]:
    """Yield the tags of all manifests, including manifests of deleted entries."""
    for path in home.records(kind).glob("*/*"):
        yield Tag(path.parent.name, path.name)


def _path(home: Home, kind: Kind, tag: Tag) -> Path:
    return home.records(kind) / tag.name / tag.version
