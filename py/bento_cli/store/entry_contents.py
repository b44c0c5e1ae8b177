"""Compares entries that have the same tag, because a tag identifies content.

All commands that add entries to the store use `find_same`. Two entries are the same if they have the same digest. The
digest doesn't depend on creation times, and BentoML doesn't preserve the modes of files, so modes aren't compared.
"""

from __future__ import annotations

from contextlib import suppress

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Sequence
from rules_bento.bentos.assembly.bento_yaml import content_identity
from rules_bento.bentos.assembly.kinds import BENTO, Kind
from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest

from bento_cli.store import import_manifests
from bento_cli.store.entry_store import Entry, EntryStore

if TYPE_CHECKING:
    from rules_bento.base.tag import Tag
    from rules_bento.bentos.models.model import ModelDescription

    from bento_cli.store.home import Home

_MODE = 0o644


class Known(NamedTuple):
    """An entry that the store already contains. `state` identifies the directory that was compared."""

    kind: Kind
    tag: Tag
    state: tuple[int, ...]

    @staticmethod
    def of(entry: Entry) -> Known:
        """Return an entry of the store. Raises OSError if the entry was deleted."""
        # Nothing changes a descriptor's ctime: descriptors have no other hard links.
        descriptor = (entry.path / entry.kind.descriptor).stat()
        state = entry.path.stat().st_ino, descriptor.st_ino, descriptor.st_ctime_ns
        return Known(entry.kind, entry.tag, state)

    def is_current(self, home: Home) -> bool:
        """Return whether the entry has been neither deleted nor replaced since it was compared."""
        with suppress(BentoError, OSError):
            return Known.of(EntryStore(home, self.kind).get(str(self.tag))) == self
        return False


@dataclass(frozen=True)
class EntryContents:
    """The contents of an entry: the parsed descriptor, and the manifest of all files except for a Bento's models."""

    kind: Kind
    tag: Tag
    declared: dict[str, Any]
    manifest: TreeManifest

    @staticmethod
    def of_entry(entry: Entry, noted: import_manifests.ManifestCache) -> EntryContents:
        """Return the contents of an entry. Reads the files only if the store has no manifest of the entry.

        Raises BentoError for an invalid entry.
        """
        manifest = noted.of(entry.kind, entry.tag, entry.path)
        return EntryContents(entry.kind, entry.tag, entry.description.declared, manifest or _read(entry))

    def describe(self) -> ModelDescription:
        """Return the description of a model."""
        from rules_bento.bentos.models import model_store

        return model_store.describe(self.declared, self.tag, self.manifest)

    def digest(self, models: Sequence[ModelDescription] = ()) -> str:
        """Return the digest in the description of a model, or the digest of a Bento with the given models."""
        if self.kind is not BENTO:
            return self.describe().blake3
        files = [file for file in self.manifest.entries if file.path != BENTO.descriptor]
        return f"blake3:{content_identity(self.declared, files, models).hex()}"

    def is_same(self, other: EntryContents) -> bool:
        """Return whether another entry with the same tag has the same contents, apart from a Bento's models."""
        return self._without_modes().digest() == other._without_modes().digest()

    def _without_modes(self) -> EntryContents:
        files = (file if file.link is not None else replace(file, mode=_MODE) for file in self.manifest.entries)
        return replace(self, manifest=TreeManifest(tuple(files)))


def find_same(
    home: Home, kind: Kind, tag: Tag, is_same: Callable[[EntryContents], bool], conflict: BentoError | None = None
) -> Known | None:
    """Return the stored entry with this tag if `is_same` returns True for its contents, otherwise None.

    If `conflict` is set and the store contains an entry with other contents, raises `conflict`.
    """
    if not EntryStore(home, kind).has(tag):
        return None
    with suppress(BentoError, OSError):  # an invalid entry has other contents
        entry = EntryStore(home, kind).get(str(tag))
        known = Known.of(entry)
        if is_same(EntryContents.of_entry(entry, import_manifests.ManifestCache(home))):
            return known
    if conflict:
        raise conflict
    return None


def other_entry(where: str, kind: Kind, tag: Tag, remedy: str) -> BentoError:
    """Return the error for an entry that has other contents in the store."""
    return BentoError(f"the store contains another {kind.noun} {tag}", place=where, remedy=remedy)


def own_files(entry: Entry, known: Mapping[str, str]) -> Iterator[TreeEntry]:
    """Yield the files of an entry without a Bento's models. `known` contains digests, so these files aren't read."""
    from bento_cli.store.export import own_members
    from bento_cli.store.verification import digest_of

    for member in own_members(entry):
        if member.link is not None:
            yield TreeEntry.of_link(member.path, member.link)
        elif member.source is not None:
            digest = known.get(member.path) or digest_of(entry.path / member.path, member.size)
            yield TreeEntry(member.path, member.size, member.mode, digest)


def _read(entry: Entry) -> TreeManifest:
    """Return the manifest of an entry without modes of the file system, because BentoML doesn't preserve them."""
    from bento_cli.store.export import own_members

    files = []
    for member in own_members(entry):
        if member.link is not None:
            files.append(TreeEntry.of_link(member.path, member.link))
        elif member.source is not None:
            files.append(TreeEntry.of_file(member.path, member.source, str(entry.path)))
    return TreeManifest.of(files)
