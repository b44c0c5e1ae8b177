"""Keeps layers of packages in a repository of a registry, so that other machines need no packages to build an image.

A note is an artifact with a layer. Its tag is the layer's key, which contains the digests of the wheels. Its config is
compressed JSON: the layer's diff ID and sizes, and what checks and SBOMs need of its wheels. Anyone who can write the
repository determines the contents of images, as for a base image. A note is data: an invalid note is ignored, and no
value of it is a path or a program of this machine.
"""

from __future__ import annotations

import json
from functools import partial

from rules_bento.base.archives.compressors import DEFLATED, GZIP, zlib_ng
from rules_bento.base.archives.streams import decode
from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field, replace
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
from rules_bento.images.registry.blob_sources import BlobSource, BytesSource, RemoteSource
from rules_bento.images.registry.descriptor import Descriptor, digest_of, is_digest
from rules_bento.images.registry.pull_from_registry import download
from rules_bento.images.registry.push_to_registry import push_all
from rules_bento.images.registry.reference import Reference
from rules_bento.images.signing import cosign
from rules_bento.images.wheels.declared_license import DeclaredLicense
from rules_bento.images.wheels.elf import Elf
from rules_bento.images.wheels.libraries import Libraries, Linked

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.net.transfers import Progress
    from rules_bento.images.artifacts.signatures import Signing
    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.plan import PlannedLayer
    from rules_bento.images.registry.client import Registries, Repository
    from rules_bento.images.registry.descriptor import Manifest
    from rules_bento.images.signing.keys import PublicKey

NOTE = "application/vnd.rules-bento.layer-note.v1"
_CONFIG = "application/vnd.rules-bento.layer-note.config.v1+json+gzip"
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
    source: BlobSource

    @property
    def repositories(self) -> list[str]:
        """The repository from which the note was read, if any."""
        return [str(self.source.repository)] if isinstance(self.source, RemoteSource) else []

    @property
    def blob(self) -> Descriptor:
        """The layer's descriptor."""
        return Descriptor(self.layer.media_type, self.layer.digest, self.layer.size)

    def download(self, path: Path, counter: Progress) -> None:
        """Download the layer's blob, and verify its digest."""
        assert isinstance(self.source, RemoteSource)
        counter.begin(f"Downloading {self.layer.name}", self.layer.size)
        download(self.source.repository, self.blob, path, counter)

    def dumps(self, key: str) -> bytes:
        """Return the config of the note of a layer with this key."""
        fields: dict[str, Any] = {name: getattr(self.layer, name) for name in [*_SHAPE][1:-1]}
        text = json.dumps({"key": key, **fields, "packages": [package.dumps() for package in self.packages]})
        compressor = zlib_ng().compressobj(9, DEFLATED, GZIP)
        return bytes(compressor.compress(text.encode()) + compressor.flush())

    @staticmethod
    def loads(content: bytes, planned: PlannedLayer, compression: Compression, repository: Repository) -> LayerNote:
        """Parse the config of the note of a layer that this machine plans. Raises BentoError for any other content."""
        origin = f"the note of {planned.name}"
        text = bytearray()
        try:
            for piece in decode([content], "gz", _MAX_TEXT, origin):
                text += piece
                if len(text) > _MAX_TEXT:
                    raise EOFError
        except (BentoError, EOFError):  # the advice of `decode` is for archives
            problem = f"expected JSON of at most {_MAX_TEXT} bytes, compressed with gzip"
            raise BentoError(problem, place=origin, remedy=_REMEDY) from None
        fields = read_object(bytes(text), origin)
        validate(fields, _SHAPE, origin, _REMEDY)
        packages = tuple(_read_package(text, origin) for text in fields["packages"])
        layer = Layer(
            MEDIA_TYPES[compression],
            *(fields["digest"], fields["size"], fields["diff_id"], None, fields["uncompressed_size"]),
            *(planned.name, planned.python),
        )
        own = () if planned.python else planned.wheels  # bytecode is in a layer next to the wheels
        most = _GROWTH * sum(wheel.size for wheel in planned.wheels) + _SMALL
        for problem, found, expected in (
            ("key", fields["key"], planned.shared_key(compression)),
            ("digests", [is_digest(text) and text[:7] for text in (layer.digest, layer.diff_id)], ["sha256:"] * 2),
            ("sizes", 0 < layer.size <= most and 0 < fields["uncompressed_size"] <= limits.BODY, True),
            ("wheels", [each.wheel for each in packages], [wheel.name for wheel in own]),
            ("packages", [each.distribution for each in packages], [wheel.distribution for wheel in own]),
        ):
            if found != expected:
                raise BentoError(f"wrong {problem}", place=origin, remedy=_REMEDY)
        return LayerNote(layer, packages, RemoteSource(repository, layer.digest))


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


@dataclass
class RegistryCache:
    """Reads notes from the repositories `sources`, and writes notes to the repositories `targets`."""

    sources: Sequence[str]
    targets: Sequence[str]
    registries: Registries
    counter: Progress
    key: PublicKey | None = None  # of the only signer whose notes are read; None: any note
    problems: dict[str, str] = field(default_factory=dict)  # the first problem of each repository
    failed: set[str] = field(default_factory=set)  # repositories that aren't requested again

    def read(self, layers: Sequence[PlannedLayer], compression: Compression) -> dict[str, LayerNote]:
        """Return the notes of layers, by key. Ignores invalid notes, and notes whose layer the repository lost."""
        found = parallel_map(partial(self._find, compression=compression), layers if self.sources else ())
        notes = zip(layers, found, strict=False)
        return {layer.shared_key(compression): note for layer, note in notes if note}

    def _find(self, layer: PlannedLayer, compression: Compression) -> LayerNote | None:
        for name in self.sources:
            repository, manifest = self.registries.repository(Reference.from_url(name)), None
            try:
                manifest = _get(repository, layer.shared_key(compression)) if name not in self.failed else None
                if manifest:
                    note = LayerNote.loads(self._read(repository, manifest), layer, compression, repository)
                    if repository.has_blob(note.layer.digest, note.layer.size, repository.pull_scope):
                        return note
            except BentoError as error:
                self.failed |= set() if manifest else {name}
                self.problems.setdefault(name, f"--cache-from {name}: {error}")
        return None

    def _read(self, repository: Repository, manifest: Manifest) -> bytes:
        if self.key:
            bundles = [layer for layer in manifest.layers() if layer.media_type == cosign.BUNDLE]
            if not bundles:
                raise BentoError("a note isn't signed", remedy="Push with --cache-to and --sign-key.")
            statement = cosign.bundled_statement(repository.read_blob(bundles[0]), self.key)
            if cosign.read_statement(statement, manifest.config.digest)[1] != NOTE:
                raise BentoError("the signature is of another kind", remedy=_REMEDY)
        return repository.read_blob(manifest.config)

    def write(self, notes: Mapping[str, LayerNote], mounts: Sequence[str], signing: Signing | None) -> None:
        """Write notes by key, with their layers, which the repositories `mounts` might contain."""
        pushes = []
        for key, note in notes.items():
            content, layers = note.dumps(key), [(note.blob, note.source)]
            repositories = map(Reference.from_url, self.targets)
            targets = [target.with_tag(key) for target in repositories if target.name not in note.repositories]
            if signing and targets:
                statement = cosign.make_statement(targets[0].name, digest_of(content), NOTE, {})
                bundle = cosign.bundle_statement(statement, signing)
                layers.append((Descriptor.from_content(bundle, cosign.BUNDLE), BytesSource(bundle)))
            package = artifact.pack(NOTE, _CONFIG, content, layers, {})
            pushes.append((replace(package, mounts={note.layer.digest: [*note.repositories, *mounts]}), targets))
        push_all(pushes, self.registries, self.counter, check_blobs=True)


def _get(repository: Repository, key: str) -> Manifest | None:
    """Return the manifest of the note with a key, or None if the repository has no note with this key."""
    try:
        return repository.get_manifest(key)
    except RegistryError as error:
        if error.status == 404:
            return None
        raise
