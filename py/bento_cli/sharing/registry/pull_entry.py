"""Pulls Bentos and models from a registry into the store. Pulls are atomic, and skip existing content.

Downloaded blobs stay in the store's `.rules_bento` directory until the entry is imported, so that another run can
resume an interrupted pull.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from rules_bento.archives import xz
from rules_bento.archives.tarstream import END
from rules_bento.artifacts import artifact
from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.dataclasses_lite import dataclass, replace
from rules_bento.net import transfers
from rules_bento.registry.pulling import download
from rules_bento.tag import Tag
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Iterator, Sequence, cast

from bento_cli.store.entry_contents import find_same, other_entry
from bento_cli.store.entry_store import EntryStore
from bento_cli.store.home import forget_downloads, staging_lock
from bento_cli.store.import_session import REPLACE_MODEL, Imported, Options, import_session

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bento.kinds import Kind
    from rules_bento.models.model import ModelDescription
    from rules_bento.net.transfers import Progress
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Descriptor, Manifest
    from rules_bento.registry.reference import Reference

    from bento_cli.store.entry_contents import EntryContents, Known
    from bento_cli.store.home import Home

_ATTEMPTS = 3  # attempts to open a blob that another process removes after its pull


@dataclass(frozen=True)
class Pulled(Imported):
    """The result of a pull."""

    reference: Reference  # the reference by digest


def pull(
    home: Home,
    kind: Kind,
    reference: Reference,
    registries: Registries,
    counter: Progress,
    options: Options | None = None,
    *,
    force: bool = False,
) -> Pulled:
    """Pull the entry at `reference` into the store, including the models of a Bento.

    Keeps existing entries with the same content. If `force` is true, replaces the existing entry, and models with
    other content, after all downloads. Raises RegistryError if the registry returns an error, and BentoError if the
    content is invalid or differs from an existing entry.
    """
    options = replace(options or Options(), replace=force)
    repository = registries.repository(reference)
    manifest = repository.get_manifest(reference.target)
    tag, digest, models = _read_config(repository, manifest, kind, str(reference))
    by_digest = reference.with_digest(manifest.descriptor.digest)
    known = _known_models(home, models, str(reference), force=force) if options.models else []
    missing = {model.tag for model in models} - {str(each.tag) for each in known} if options.models else set()
    conflict = other_entry(str(reference), kind, tag, "To replace it, add --force.")
    same = None if force else find_same(home, kind, tag, lambda stored: stored.digest(models) == digest, conflict)
    if same and not missing:
        forget_downloads(home, map(_name, manifest.layers()))
        entry = EntryStore(home, kind).get(str(tag))
        return Pulled(entry, (), (), new=False, notes=(), reference=by_digest)
    layers = [layer for layer in manifest.layers() if _wanted(layer, kind, missing)]
    with staging_lock(home):
        with ExitStack() as stack:
            blobs = _fetch(repository, layers, home.downloads, counter, stack)
            done = _import(home, kind, tag, blobs, options, str(reference), known)
        forget_downloads(home, map(_name, manifest.layers()))
    present = tuple(each.tag for each in known)
    return Pulled(done.entry, done.models, present, new=done.new, notes=done.notes, reference=by_digest)


def _read_config(
    repository: Repository, manifest: Manifest, kind: Kind, origin: str
) -> tuple[Tag, str, Sequence[ModelDescription]]:
    """Read an artifact's config. Returns the tag and the digest, and descriptions of a Bento's models."""
    if kind is BENTO:
        described = artifact.read_described(manifest, repository.read_blob(manifest.config), origin)
        return described.tag, described.digest, described.models
    description = artifact.read_model(manifest, repository.read_blob(manifest.config), origin)
    return Tag.parse(description.tag, origin), description.blake3, ()


def _known_models(home: Home, models: Sequence[ModelDescription], origin: str, *, force: bool) -> list[Known]:
    """Return the models that the store contains. Unless `force` is true, raises BentoError for models that differ."""
    known = []
    for model in models:
        tag = Tag.parse(model.tag, "models")
        conflict = None if force else other_entry(origin, MODEL, tag, REPLACE_MODEL)
        known.append(find_same(home, MODEL, tag, partial(_has_digest, model.blake3), conflict))
    return [each for each in known if each]


def _has_digest(digest: str, stored: EntryContents) -> bool:
    return stored.digest() == digest


def _wanted(layer: Descriptor, kind: Kind, missing: set[str]) -> bool:
    model = layer.annotations.get(artifact.MODEL_ANNOTATION)
    return kind is MODEL or model is None or model in missing


def _name(layer: Descriptor) -> str:
    """Return the file name of a downloaded layer."""
    return layer.digest.replace(":", "-")


def _fetch(
    repository: Repository, layers: Sequence[Descriptor], directory: Path, counter: Progress, stack: ExitStack
) -> list[BinaryIO]:
    """Download layers to `directory`. Returns an open file for each layer, in order. `stack` closes the files."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def one(layer: Descriptor) -> BinaryIO:
        path = directory / _name(layer)
        for attempt in range(_ATTEMPTS):
            try:
                download(repository, layer, path, counter)
                return path.open("rb")
            except FileNotFoundError:
                if attempt == _ATTEMPTS - 1:
                    raise
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        raise AssertionError

    files = transfers.parallel_map(one, {layer.digest: layer for layer in layers}.values())
    by_digest = dict(zip({layer.digest: layer for layer in layers}, files, strict=True))
    for file in files:
        stack.enter_context(file)
    return [by_digest[layer.digest] for layer in layers]


def _import(
    home: Home,
    kind: Kind,
    tag: Tag,
    blobs: Sequence[BinaryIO],
    options: Options,
    origin: str,
    known: Sequence[Known],
) -> Imported:
    with import_session(home, options, keep_same=True) as session:
        below = f"models/{tag.name}/{tag.version}/" if kind is MODEL else ""
        draft = session.stage(kind, cast("BinaryIO", _Joined(blobs, origin)), "xz", below=below, tag=tag)
        return session.commit([draft], known)[0]


class _Joined:
    """File-like object with the content of a complete xz archive: the parts of the archive, and a tar end marker."""

    def __init__(self, parts: Sequence[BinaryIO], name: str) -> None:
        self.name = name
        self._pieces = self._read(parts)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, or no bytes at the end. Ignores `size`."""
        return next(self._pieces, b"")

    @staticmethod
    def _read(parts: Sequence[BinaryIO]) -> Iterator[bytes]:
        for part in parts:
            while piece := part.read(xz.BLOCK):
                yield piece
        yield b"".join(bytes(piece) for piece in xz.stream([END], threads=1))
