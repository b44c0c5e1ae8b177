"""Keeps layers of packages in a repository of a registry, so that other machines need no packages to build an image.

A note is an artifact with a layer. Its tag is the layer's key, which contains the digests of the wheels. Its config is
compressed JSON: the layer's diff ID and sizes, and what checks and SBOMs need of its wheels. Anyone who can write the
repository determines the contents of images, as for a base image. A note is data: an invalid note is ignored, and no
value of it is a path or a program of this machine.
"""

from __future__ import annotations

import json
import zlib
from functools import partial

from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import Layer
from rules_bento.base.formats.schema import validate
from rules_bento.base.net import limits
from rules_bento.base.net.transfers import parallel_map
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.images.artifacts import artifact
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry.blob_sources import BlobSource, RemoteSource
from rules_bento.images.registry.descriptor import Descriptor, is_digest
from rules_bento.images.registry.pull_from_registry import download
from rules_bento.images.registry.push_to_registry import push_all
from rules_bento.images.registry.reference import Reference
from rules_bento.images.wheels.declared_license import DeclaredLicense
from rules_bento.images.wheels.elf import Elf
from rules_bento.images.wheels.libraries import Libraries, Linked

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.net.transfers import Progress
    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.plan import PlannedLayer
    from rules_bento.images.registry.client import Registries, Repository

NOTE = "application/vnd.rules-bento.layer-note.v1"
_CONFIG = "application/vnd.rules-bento.layer-note.config.v1+json+zlib"
_MAX_TEXT = 16 << 20  # bytes of the JSON of a note
_GROWTH, _SMALL = 4, 16 << 20  # a layer has at most this many times the bytes of its wheels, and these bytes
_SHAPE = {"key": str, "digest": str, "size": int, "diff_id": str, "uncompressed_size": int, "packages": [str]}
_REMEDY = "Build the layer again."
_ELF = Elf("", "", ("",), ("",), ("",), ("",), False, ("",))
# Has an item of each type.
_EXAMPLE = Libraries(
    *("", "", (Linked("", _ELF),), frozenset(("",)), (("", ""),), frozenset(("",)), {"": ""}, frozenset(("",))),
    DeclaredLicense("", "", ("",)),
)


class LayerNote(NamedTuple):
    """A layer that a repository contains, and the properties of its wheels."""

    layer: Layer
    packages: tuple[Libraries, ...]
    repository: Repository | None = None  # None for a note that isn't read from a registry

    @property
    def blob(self) -> Descriptor:
        """The layer's descriptor."""
        return Descriptor(self.layer.media_type, self.layer.digest, self.layer.size)

    @property
    def source(self) -> RemoteSource:
        """The layer's blob in the registry."""
        assert self.repository
        return RemoteSource(self.repository, self.layer.digest)

    def download(self, path: Path, counter: Progress) -> None:
        """Download the layer's blob, and verify its digest."""
        assert self.repository
        counter.begin(f"Downloading {self.layer.name}", self.layer.size)
        download(self.repository, self.blob, path, counter)

    def dumps(self, key: str) -> bytes:
        """Return the config of the note of a layer with this key."""
        fields: dict[str, Any] = {name: getattr(self.layer, name) for name in [*_SHAPE][1:-1]}
        text = json.dumps({"key": key, **fields, "packages": [package.dumps() for package in self.packages]})
        return zlib.compress(text.encode(), 9)

    @staticmethod
    def loads(content: bytes, planned: PlannedLayer, compression: Compression) -> LayerNote:
        """Parse the config of the note of a layer that this machine plans. Raises BentoError for any other content."""
        origin = f"the note of {planned.name}"
        try:
            reader = zlib.decompressobj()
            text = reader.decompress(content, _MAX_TEXT)
            complete = reader.eof and not reader.unused_data
        except zlib.error:
            complete = False
        if not complete:
            raise BentoError(f"expected compressed JSON of at most {_MAX_TEXT} bytes", place=origin, remedy=_REMEDY)
        fields = read_object(text, origin)
        validate(fields, _SHAPE, origin, _REMEDY)
        packages = tuple(_read_package(text, origin) for text in fields["packages"])
        layer = Layer(
            MEDIA_TYPES[compression],
            *(fields["digest"], fields["size"], fields["diff_id"], None, fields["uncompressed_size"], planned.name),
        )
        most = _GROWTH * sum(wheel.size for wheel in planned.wheels) + _SMALL
        for problem, found, expected in (
            ("key", fields["key"], planned.shared_key(compression)),
            ("digests", [is_digest(text) and text[:7] for text in (layer.digest, layer.diff_id)], ["sha256:"] * 2),
            ("sizes", 0 < layer.size <= most and 0 < fields["uncompressed_size"] <= limits.BODY, True),
            ("wheels", [each.wheel for each in packages], [wheel.name for wheel in planned.wheels]),
            ("packages", [each.distribution for each in packages], [wheel.distribution for wheel in planned.wheels]),
        ):
            if found != expected:
                raise BentoError(f"wrong {problem}", place=origin, remedy=_REMEDY)
        return LayerNote(layer, packages)


def _read_package(text: str, origin: str) -> Libraries:
    read_object(text, origin)  # limits the memory for the next line
    try:
        package = Libraries.loads(text)
        known = _conforms(package, _EXAMPLE)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        known = False
    if not known:
        raise BentoError("invalid properties of a wheel", place=origin, remedy=_REMEDY)
    return package


def _conforms(value: Any, example: Any) -> bool:
    """Return whether a value has the type of an example, and its items the types of the example's items."""
    if type(value) is not type(example):
        return False
    if isinstance(value, dict):
        return _conforms((*value, *value.values()), (*example,))
    if isinstance(value, (tuple, frozenset)) and len(example) == 1:
        [item] = example
        return all(_conforms(each, item) for each in value)
    if isinstance(value, tuple):
        return len(value) == len(example) and all(map(_conforms, value, example))
    return True


class RegistryCache:
    """Reads notes from the repositories `sources`, and writes notes to the repositories `targets`."""

    def __init__(
        self, sources: Sequence[str], targets: Sequence[str], registries: Registries, counter: Progress
    ) -> None:
        self._sources = [registries.repository(Reference.from_url(name)) for name in sources]
        self._targets = [Reference.from_url(name) for name in targets]
        self._registries = registries
        self._counter = counter
        self._failed: set[str] = set()  # repositories that aren't requested again
        self.problems: dict[str, str] = {}  # the first problem of each repository

    def read(self, layers: Sequence[PlannedLayer], compression: Compression) -> dict[str, LayerNote]:
        """Return the notes of layers, by key. Ignores invalid notes, and notes whose layer the repository lost."""
        found = parallel_map(partial(self._find, compression=compression), layers if self._sources else ())
        notes = zip(layers, found, strict=False)
        return {layer.shared_key(compression): note for layer, note in notes if note}

    def _find(self, layer: PlannedLayer, compression: Compression) -> LayerNote | None:
        for repository in self._sources:
            name, content = str(repository), b""
            try:
                if name not in self._failed and (content := _read(repository, layer.shared_key(compression))):
                    note = LayerNote.loads(content, layer, compression)
                    if repository.has_blob(note.layer.digest, note.layer.size, repository.pull_scope):
                        return note._replace(repository=repository)
            except BentoError as error:
                self._failed |= set() if content else {name}
                self.problems.setdefault(name, f"--cache-from {name}: {error}")
        return None

    def write(self, notes: Mapping[str, tuple[LayerNote, BlobSource]], repositories: Sequence[str]) -> None:
        """Write notes by key, with their layers, which `repositories` of the same registry might contain."""
        pushes = []
        for key, (note, source) in notes.items():
            own = [str(note.repository)] if note.repository else []
            package = artifact.pack(NOTE, _CONFIG, note.dumps(key), [(note.blob, source)], {})
            targets = [target.with_tag(key) for target in self._targets if target.name not in own]
            pushes.append((replace(package, mounts={note.layer.digest: [*own, *repositories]}), targets))
        push_all(pushes, self._registries, self._counter, check_blobs=True)


def _read(repository: Repository, key: str) -> bytes:
    """Return the config of the note with a key, or nothing if the repository has no note with this key."""
    try:
        return repository.read_blob(repository.get_manifest(key).config)
    except RegistryError as error:
        if error.status == 404:
            return b""
        raise
