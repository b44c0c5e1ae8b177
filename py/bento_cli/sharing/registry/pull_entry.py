"""Pulls Bentos and models from a registry into the store. Pulls are atomic, and skip existing content.

Large blobs are unpacked while they are downloaded, so that a model is written once. Other blobs are downloaded in
parallel, and stay in the store's `.rules_bento` directory until the entry is imported, so that another run can resume
an interrupted pull.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from itertools import chain

from rules_bento.base.archives import xz
from rules_bento.base.archives.tarstream import END
from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.display import format_size
from rules_bento.base.net import transfers
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Collection, Iterable, Sequence, cast
from rules_bento.bentos.assembly.kinds import BENTO, MODEL, Kind
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry.blob_sources import ResumedSource, verified_pieces
from rules_bento.images.registry.pull_from_registry import download

from bento_cli.sharing.registry.packing import LARGE
from bento_cli.store.entry_contents import EntryContents, Known, find_same, other_entry
from bento_cli.store.entry_store import EntryStore
from bento_cli.store.home import Home, forget_downloads, staging_lock
from bento_cli.store.import_session import (
    PULL,
    REPLACE_MODEL,
    Imported,
    ImportSession,
    Options,
    StagedImport,
    import_session,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.unpack import Advance
    from rules_bento.base.net.transfers import Progress
    from rules_bento.bentos.models.model import ModelDescription
    from rules_bento.images.registry.client import Registries, Repository
    from rules_bento.images.registry.descriptor import Descriptor, Manifest
    from rules_bento.images.registry.reference import Reference

    Pieces = Iterable[bytes | memoryview]

_ATTEMPTS = 3  # attempts to open a blob that another process removes after its pull


@dataclass(frozen=True)
class Pulled(Imported):
    """The result of a pull."""

    reference: Reference  # the reference by digest


def pull(
    home: Home, kind: Kind, reference: Reference, registries: Registries, counter: Progress, options: Options = PULL
) -> Pulled:
    """Pull the entry at `reference` into the store, including the models of a Bento.

    Keeps existing entries with the same content. Replaces other entries, if the option is set, after all downloads.
    Raises RegistryError if the registry returns an error, and BentoError if the content is invalid or differs from an
    existing entry.
    """
    repository = registries.repository(reference)
    manifest = repository.get_manifest(reference.target)
    artifact = PulledArtifact.read(kind, manifest, repository.read_blob(manifest.config), str(reference))
    by_digest = reference.with_digest(manifest.descriptor.digest)
    stored = artifact.compare(home, options)
    if stored.main and not stored.missing:
        forget_downloads(home, map(_name, manifest.layers()))
        entry = EntryStore(home, kind).get(str(artifact.tag))
        return Pulled(entry, (), (), new=False, notes=(), reference=by_digest)
    with staging_lock(home):
        with ExitStack() as stack:
            layers = artifact.layers(stored.missing)
            blobs = _fetch(repository, [each for each in layers if each.size < LARGE], home.downloads, counter, stack)
            with import_session(home, options) as session:
                counter.begin(f"Unpacking {artifact.tag}", sum(layer.size for layer in layers))
                parts = [_pieces(repository, layer, blobs.get(layer.digest), counter) for layer in layers]
                draft = artifact.stage(session, parts)
                [done] = session.commit([draft], stored.models)
        forget_downloads(home, map(_name, manifest.layers()))
    present = tuple(each.tag for each in stored.models)
    return Pulled(done.entry, done.models, present, new=done.new, notes=done.notes, reference=by_digest)


def _pieces(repository: Repository, layer: Descriptor, blob: BinaryIO | None, counter: Progress) -> Pieces:
    """Yield a layer from its file or, without one, from the registry, and verify it at the end."""
    source, problem = ResumedSource(repository, layer.digest), f"{repository}: the content doesn't match {layer.digest}"
    remote = verified_pieces(source, layer.digest, layer.size, f"{problem}. Report the error to the server's operator.")
    for piece in iter(partial(blob.read, xz.BLOCK), b"") if blob else remote:
        counter.advance(len(piece))
        yield piece


class StoredParts(NamedTuple):
    """The parts of an artifact that the store contains, and the tags of the models that it lacks."""

    main: Known | None  # the entry
    models: list[Known]
    missing: set[str]


@dataclass(frozen=True)
class PulledArtifact:
    """The artifact of an entry in a registry or a layout."""

    kind: Kind
    manifest: Manifest
    origin: str  # for messages
    tag: Tag
    digest: str
    models: Sequence[ModelDescription]  # of a Bento

    @classmethod
    def read(cls, kind: Kind, manifest: Manifest, config: bytes, origin: str) -> PulledArtifact:
        """Read the config of an artifact. Raises BentoError if the config or the kind is invalid."""
        if kind is BENTO:
            described = artifact.read_described(manifest, config, origin)
            return cls(kind, manifest, origin, described.tag, described.digest, described.models)
        model = artifact.read_model(manifest, config, origin)
        return cls(kind, manifest, origin, Tag.parse(model.tag, origin), model.blake3, ())

    def compare(self, home: Home, options: Options) -> StoredParts:
        """Compare the artifact with the store. Raises BentoError for another entry, unless the option replaces it."""
        known = []
        for model in self.models if options.models else ():
            tag = Tag.parse(model.tag, "models")
            conflict = None if options.replace else other_entry(self.origin, MODEL, tag, REPLACE_MODEL)
            known.append(find_same(home, MODEL, tag, partial(_has_digest, model.blake3), conflict))
        stored = [each for each in known if each]
        missing = {model.tag for model in self.models} - {str(each.tag) for each in stored} if options.models else set()
        main = None
        if not options.replace:
            conflict = other_entry(self.origin, self.kind, self.tag, "To replace it, add --force.")
            main = find_same(home, self.kind, self.tag, lambda each: each.digest(self.models) == self.digest, conflict)
        return StoredParts(main, stored, missing)

    def layers(self, models: Collection[str]) -> list[Descriptor]:
        """Return the layers of the entry, and of the models with these tags."""

        def is_wanted(layer: Descriptor) -> bool:
            model = layer.annotations.get(artifact.MODEL_ANNOTATION)
            return self.kind is MODEL or model is None or model in models

        return [layer for layer in self.manifest.layers() if is_wanted(layer)]

    def stage(self, session: ImportSession, parts: Sequence[Pieces], progress: Advance | None = None) -> StagedImport:
        """Stage the entry from the contents of its layers."""
        below = f"models/{self.tag.name}/{self.tag.version}/" if self.kind is MODEL else ""
        joined = cast("BinaryIO", _Joined(parts, self.origin))  # which is read to its end, and thereby verified
        return session.stage(self.kind, joined, "xz", progress, below=below, tag=self.tag)


def _has_digest(digest: str, stored: EntryContents) -> bool:
    return stored.digest() == digest


def _name(layer: Descriptor) -> str:
    """Return the file name of a downloaded layer."""
    return layer.digest.replace(":", "-")


def _fetch(
    repository: Repository, layers: Sequence[Descriptor], directory: Path, counter: Progress, stack: ExitStack
) -> dict[str, BinaryIO]:
    """Download layers to `directory`. Returns an open file for each digest. `stack` closes the files."""

    def one(layer: Descriptor) -> BinaryIO:
        path = directory / _name(layer)
        for attempt in range(_ATTEMPTS):
            try:
                download(repository, layer, path, counter)
                return path.open("rb")
            except FileNotFoundError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    distinct = {layer.digest: layer for layer in layers}
    total = sum(layer.size for layer in distinct.values())
    counter.expect_all(sum(layer.size for layer in distinct.values() if not (directory / _name(layer)).exists()))
    try:
        files = transfers.parallel_map(one, distinct.values())
    except KeyboardInterrupt:
        kept = sum(path.stat().st_size for layer in distinct.values() for path in directory.glob(f"*{_name(layer)}*"))
        message = f"interrupted. {format_size(kept)} of {format_size(total)} are kept, and the next pull resumes."
        raise KeyboardInterrupt(message) from None
    for file in files:
        stack.enter_context(file)
    return dict(zip(distinct, files, strict=True))


class _Joined:
    """File-like object with the content of a complete xz archive: the parts of the archive, and a tar end marker."""

    def __init__(self, parts: Sequence[Pieces], name: str) -> None:
        self.name = name
        self._pieces = chain(*parts, (b"".join(map(bytes, xz.stream([END], threads=1))),))

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, or no bytes at the end. Ignores `size`."""
        return bytes(next(self._pieces, b""))
