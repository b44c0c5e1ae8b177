"""Packs store entries as artifacts for registries.

The config and model blobs of a Bento are identical to the blobs that `bento_push` creates. The blobs of other files can
differ, because only `bento_push` can identify generated files.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from rules_bento.base.archives import compressors, tarstream, xz
from rules_bento.base.archives.archive import write_part
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Sequence
from rules_bento.bentos.assembly.kinds import BENTO
from rules_bento.images.artifacts import artifact
from rules_bento.images.artifacts.artifact import DescribedBento, Part

from bento_cli.store import import_manifests
from bento_cli.store.entry_contents import EntryContents
from bento_cli.store.home import Home, staged_directory

if TYPE_CHECKING:
    from rules_bento.base.archives.tarstream import Member
    from rules_bento.bentos.models.model import ModelDescription
    from rules_bento.images.registry.blob_sources import Pushable

    from bento_cli.store.entry_store import Entry

_SOURCES = "src/"
_MODELS = "models/"


class EntryArtifact:
    """The artifact of an entry, including the models of a Bento.

    Caches manifests, so that a push to several registries reads each manifest only once. Reads an entry's files only if
    the store has no manifest of the entry. Raises BentoError for an invalid descriptor or manifest.
    """

    def __init__(self, home: Home, entry: Entry, models: Sequence[Entry]) -> None:
        self.home = home
        self.entry = entry
        self.models = models
        self.noted = import_manifests.ManifestCache(home)
        self._contents_of: dict[Path, EntryContents] = {}

    @cached_property
    def bento(self) -> DescribedBento:
        """The description of the Bento, for the artifact's config."""
        document = self.entry.description.declared
        _refuse_bytes(document, str(self.entry.path / BENTO.descriptor))
        described = tuple(self._contents(model).describe() for model in self.models)
        return artifact.DescribedBento(document, self._contents(self.entry).digest(described), described)

    @cached_property
    def model(self) -> ModelDescription:
        """The description of the model, for the artifact's config."""
        return self._contents(self.entry).describe()

    def config(self) -> bytes:
        """Return the config of the artifact, as JSON."""
        if self.entry.kind is BENTO:
            return artifact.bento_config(self.bento)
        return artifact.model_config(self.model)

    @contextmanager
    def packed(self, parts: dict[Path, Part] | None = None) -> Iterator[Pushable]:
        """Yield the artifact. Removes the temporary files of the artifact when the `with` block ends.

        `parts` contains the parts of models that artifacts have in common, by the directory of the model.
        """
        with staged_directory(self.home) as directory:
            yield self._pack(directory, {} if parts is None else parts)

    def _pack(self, directory: Path, shared: dict[Path, Part]) -> Pushable:
        if self.entry.kind is not BENTO:
            return artifact.pack_model(self.model, self._model_part(self.entry, directory))
        members = [member for member in self._members(self.entry) if not member.path.startswith(_MODELS)]
        own = [member for member in members if not member.path.startswith(_SOURCES)]
        own.sort(key=lambda member: member.path != BENTO.descriptor)  # first, so that a reader recognizes the entry
        sources = [member for member in members if member.path.startswith(_SOURCES)]
        parts = [_part(own, directory / "metadata"), _part(sources, directory / "sources")]  # writes: own, constants
        for model in self.models:
            if model.path not in shared:
                shared[model.path] = self._model_part(model, directory)
        models = [shared[model.path] for model in self.models]
        return artifact.pack_described(self.bento, parts, [*zip(self.bento.models, models, strict=True)])

    def _contents(self, entry: Entry) -> EntryContents:
        if entry.path not in self._contents_of:
            self._contents_of[entry.path] = EntryContents.of_entry(entry, self.noted)
        return self._contents_of[entry.path]

    def _members(self, entry: Entry, prefix: str = "") -> list[Member]:
        """Return the files, links, and empty directories of an entry, sorted by path, with the modes of the digest."""
        from bento_cli.store.export import walk

        modes = {prefix + file.path: file.mode for file in self._contents(entry).manifest.entries}
        members = [member._replace(mode=modes.get(member.path, member.mode)) for member in walk(entry.path, prefix)]
        parents = {member.path.rpartition("/")[0] for member in members}
        kept = [member for member in members if not (member.is_directory and member.path in parents)]
        return sorted(kept, key=lambda member: member.path)

    def _model_part(self, model: Entry, directory: Path) -> Part:
        from rules_bento.bentos.models.weights import check_weights

        prefix = f"{_MODELS}{model.tag.name}/{model.tag.version}/"
        members = self._members(model, prefix)
        files = {member.path.removeprefix(prefix): str(member.source or "") for member in members}
        check_weights(files, str(model.tag))
        return _part(members, directory / f"{model.tag.name}-{model.tag.version}.model")  # writes: own, checked tags


def _refuse_bytes(value: object, where: str) -> None:
    """Raise BentoError if a document contains bytes, which JSON doesn't support. The message begins with `where`."""
    if isinstance(value, bytes):
        remedy = "Replace the value with a string."
        raise BentoError("`!!binary` values can't be stored in a registry", place=where, remedy=remedy)
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_bytes(key, f"{where}: a key")
            _refuse_bytes(item, f"{where}: {key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_bytes(item, f"{where}[{number}]")


def _part(members: Sequence[Member], path: Path) -> Part:
    """Return the members as one part. If `fits` is false, writes the part to `path`. Otherwise, streams the part."""
    if fits(members):
        source = StreamedPart(members)
        return Part(source, *source.measure())
    write_part(path, members)  # writes: own, of the caller
    return Part.from_file(path)


LARGE = 64 << 20
"""The minimum size in bytes of a generated part. Smaller parts are written, because they might be needed twice."""


def fits(members: Sequence[Member]) -> bool:
    """Return whether the members form a large part whose largest file is incompressible. Such parts are streamed."""
    files = [member for member in members if member.source is not None]
    if sum(member.size for member in files) < LARGE:
        return False
    largest = max(files, key=lambda member: member.size)
    with Path(str(largest.source)).open("rb") as file:
        return not compressors.compressible(file.read(xz.BLOCK))


class StreamedPart:
    """A part that is generated for each request. The bytes are equal to the output of `write_part`."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    def measure(self) -> tuple[str, int]:
        """Return the digest and size of the part. Generates all bytes, but doesn't store the bytes."""
        digest = hashlib.sha256()
        size = 0
        for piece in self._pieces():
            digest.update(piece)
            size += len(piece)
        return digest.hexdigest(), size

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the part's bytes from `start` to `end`. Generates, but doesn't yield, the bytes before `start`.

        Raises BentoError if a file changed during the push, so that the part is smaller.
        """
        at = 0
        for piece in self._pieces():
            wanted = memoryview(piece)[max(0, start - at) : max(0, end - at)]
            at += len(piece)
            yield wanted
            if at >= end:
                return
        raise BentoError("A file in the store changed during the push", remedy="Run the push again.")

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the generated bytes don't match the digest and size."""
        if self.measure() != (digest.removeprefix("sha256:"), size):
            raise BentoError("A file in the store changed during the push", remedy="Run the push again.")

    def _pieces(self) -> Iterator[bytes]:
        return xz.stream(tarstream.stream(self._members))
