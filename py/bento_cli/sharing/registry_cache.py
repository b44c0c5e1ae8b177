"""Keeps layers of packages in a repository of a registry, so that other machines need no packages to build an image.

A note is an artifact with a layer. Its tag is the layer's key, which contains the digests of the wheels. Its config is
compressed JSON: the layer's diff ID and sizes, and what checks and SBOMs need of its wheels. The note of a base has no
layer, but what builds read in the base's layers. Anyone who can write the repository determines the contents of images,
as for a base. A note is data: an invalid note is ignored, and no value of it is a path or a program of this machine.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import partial
from hashlib import sha256

from rules_bento.base.archives.compressors import DEFLATED, GZIP, zlib_ng
from rules_bento.base.archives.streams import decode
from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import Layer
from rules_bento.base.formats.schema import validate
from rules_bento.base.net import limits
from rules_bento.base.net.transfers import parallel_map
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping, Sequence, TypeVar
from rules_bento.images.artifacts import artifact
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.plan import FORMAT
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry.blob_sources import BlobSource, BytesSource, RemoteSource
from rules_bento.images.registry.descriptor import EMPTY, Descriptor, digest_of, is_digest
from rules_bento.images.registry.pull_from_registry import download
from rules_bento.images.registry.push_to_registry import push_all
from rules_bento.images.registry.reference import Reference
from rules_bento.images.signing import cosign
from rules_bento.images.system_packages import InstalledPackage, SystemFiles
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
    from rules_bento.images.signing.keyless import Identity
    from rules_bento.images.signing.keys import PublicKey

NOTE = "application/vnd.rules-bento.layer-note.v1"
_CONFIG = "application/vnd.rules-bento.layer-note.config.v1+json+gzip"
_MAX_TEXT = 16 << 20  # bytes of the JSON of a note
_GROWTH, _SMALL = 4, 16 << 20  # a layer has at most this many times the bytes of its wheels, and these bytes
_SHAPE = {"digest": str, "size": int, "diff_id": str, "uncompressed_size": int, "packages": [str]}
_BASE_SHAPE = {"python": str, "version": str, "release": str, "system": str, "libraries": [str], "uncompiled": int}
_PYTHON = re.compile(r"(?:/[!-.0-~]+)*/bin/python3 (3\.[0-9]{1,3}) (?:\1\.[0-9]{1,3})?")  # path, version, release
_REMEDY = "Build the image again with --cache-to."
_ELF = Elf("", "", ("",), ("",), ("",), ("",), False, ("",))
# Has an item of each type.
_EXAMPLE = Libraries(
    *("", "", (Linked("", _ELF),), frozenset(("",)), (("", ""),), frozenset(("",)), {"": ""}, frozenset(("",))),
    DeclaredLicense("", "", ("",)),
)
_SYSTEMS = (SystemFiles(("",), None), SystemFiles(("",), (InstalledPackage("", "", "", (("", ""),)),)))
_Value = TypeVar("_Value")


class CachedLayer(NamedTuple):
    """What a note has: a layer that a repository contains, and the properties of its wheels."""

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

    @property
    def fields(self) -> dict[str, Any]:
        """What the config contains, without the key."""
        fields = {name: getattr(self.layer, name) for name in [*_SHAPE][:-1]}
        return fields | {"packages": [package.dumps() for package in self.packages]}

    @staticmethod
    def loads(planned: PlannedLayer, compression: Compression, content: bytes, repository: Repository) -> CachedLayer:
        """Parse the config of the note of a layer that this machine plans. Raises BentoError for any other content."""
        origin = f"the note of {planned.name}"
        fields = _unpack(content, planned.shared_key(compression), _SHAPE, origin)
        packages = tuple(_read(Libraries.loads, text, [_EXAMPLE], origin) for text in fields["packages"])
        layer = Layer(
            MEDIA_TYPES[compression],
            *(fields["digest"], fields["size"], fields["diff_id"], None, fields["uncompressed_size"]),
            *(planned.name, planned.python),
        )
        own = () if planned.python else planned.wheels  # bytecode is in a layer next to the wheels
        most = _GROWTH * (planned.size + sum(wheel.size for wheel in planned.wheels)) + _SMALL
        for problem, found, expected in (
            ("digests", [is_digest(text) and text[:7] for text in (layer.digest, layer.diff_id)], ["sha256:"] * 2),
            ("sizes", 0 < layer.size <= most and 0 < fields["uncompressed_size"] <= limits.BODY, True),
            ("wheels", [each.wheel for each in packages], [wheel.name for wheel in own]),
            ("packages", [each.distribution for each in packages], [wheel.distribution for wheel in own]),
        ):
            if found != expected:
                raise BentoError(f"wrong {problem}", place=origin, remedy=_REMEDY)
        return CachedLayer(layer, packages, RemoteSource(repository, layer.digest))


class CachedBase(NamedTuple):
    """What a build needs of a base image whose layers it doesn't read, and the repositories with this note."""

    fields: dict[str, Any]
    repositories: Sequence[str] = ()
    blob: Descriptor = Descriptor.from_content(b"{}", EMPTY)
    source: BlobSource = BytesSource(b"{}")

    @staticmethod
    def loads(key: str, content: bytes, repository: Repository) -> CachedBase:
        """Parse the config of the note of a base. Raises BentoError for any other content."""
        origin = "the note of the base"
        fields = _unpack(content, key, _BASE_SHAPE, origin)
        _read(SystemFiles.loads, fields["system"], _SYSTEMS, origin)
        if not _PYTHON.fullmatch(" ".join(fields[name] for name in ("python", "version", "release"))):
            raise BentoError("wrong interpreter", place=origin, remedy=_REMEDY)
        return CachedBase({name: fields[name] for name in _BASE_SHAPE}, [str(repository)])


def dumps(key: str, cached: CachedLayer | CachedBase) -> bytes:
    """Return the config of a note with this key."""
    compressor = zlib_ng().compressobj(9, DEFLATED, GZIP)
    return bytes(compressor.compress(json.dumps({"key": key, **cached.fields}).encode()) + compressor.flush())


def _unpack(content: bytes, key: str, shape: dict[str, Any], origin: str) -> dict[str, Any]:
    """Return the fields of a note with a key. Raises BentoError for another key, and fields of other types."""
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
    validate(fields, {"key": str, **shape}, origin, _REMEDY)
    if fields["key"] != key:
        raise BentoError("wrong key", place=origin, remedy=_REMEDY)
    return fields


def _read(loads: Callable[[str], _Value], text: str, examples: Sequence[_Value], origin: str) -> _Value:
    """Parse a string of a note. Raises BentoError unless the value has the types of one of the examples."""
    read_object(text, origin)  # limits the memory for the next line
    with suppress(AttributeError, KeyError, RecursionError, TypeError, ValueError):
        value = loads(text)
        if any(_conforms(value, example) for example in examples):
            return value
    raise BentoError("invalid properties", place=origin, remedy=_REMEDY)


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
    bases: dict[str, CachedBase] = field(default_factory=dict)  # by key

    def read(self, layers: Sequence[PlannedLayer], compression: Compression) -> dict[str, CachedLayer]:
        """Return the layers with a note, by key. Ignores invalid notes, and notes whose layer the repository lost."""
        wanted = {layer.shared_key(compression): partial(CachedLayer.loads, layer, compression) for layer in layers}
        found = parallel_map(lambda key: self._find(key, wanted[key]), wanted if self.sources else ())
        return {key: cached for key, cached in zip(wanted, found, strict=False) if cached}

    def base(self, digest: str, read: Callable[[], dict[str, Any]], *, is_read: bool) -> dict[str, Any]:
        """Return what a build needs of a base: from a note, or from `read`, which reads the layers, if `is_read`."""
        key = sha256(json.dumps([FORMAT, "base", digest]).encode()).hexdigest()
        cached = None if is_read else self._find(key, partial(CachedBase.loads, key))
        self.bases[key] = cached or CachedBase(read())
        return self.bases[key].fields

    def _find(self, key: str, loads: Callable[[bytes, Repository], Any]) -> Any:
        for name in (name for name in self.sources if name not in self.failed):
            repository, manifest = self.registries.repository(Reference.from_url(name)), None
            try:
                manifest = repository.get_manifest(key)
                if self.key:
                    _read_bundle(repository, manifest, manifest.config.digest, self.key)
                cached = loads(repository.read_blob(manifest.config), repository)
                if repository.has_blob(cached.blob.digest, cached.blob.size, repository.pull_scope):
                    return cached
            except BentoError as error:
                if manifest or not (isinstance(error, RegistryError) and error.status == 404):  # it isn't missing
                    self.failed |= set() if manifest else {name}
                    self.problems.setdefault(name, f"--cache-from {name}: {error}")
        return None

    def write(self, cached: Mapping[str, CachedLayer], mounts: Sequence[str], signing: Signing | None) -> None:
        """Write the notes of layers, by key, with the layers, which the repositories `mounts` might contain."""

        def prepare(key: str) -> tuple[bytes, list[Reference], bytes]:
            content, bundle = dumps(key, every[key]), b""
            references = map(Reference.from_url, self.targets)
            targets = [each.with_tag(key) for each in references if each.name not in every[key].repositories]
            for repository in map(self.registries.repository, targets):
                with suppress(BentoError):  # it has no signature of this signer
                    if signing:
                        found = repository.get_manifest(key)
                        bundle = _read_bundle(repository, found, digest_of(content), signing.public)
            return content, targets, bundle

        every: dict[str, CachedLayer | CachedBase] = {**cached, **self.bases}
        if signing and not self.key:  # otherwise, a signature would vouch for notes that only others have seen
            every = {key: each for key, each in every.items() if not each.repositories}
        pushes = []
        for each, (content, targets, bundle) in zip(every.values(), parallel_map(prepare, every), strict=True):
            layers = [(each.blob, each.source)]
            if signing and targets:
                statement = cosign.make_statement(targets[0].name, digest_of(content), NOTE, {})
                bundle = bundle or cosign.bundle_statement(statement, signing)
                layers.append((Descriptor.from_content(bundle, cosign.BUNDLE), BytesSource(bundle)))
            package = artifact.pack(NOTE, _CONFIG, content, layers, {})
            pushes.append((replace(package, mounts={each.blob.digest: [*each.repositories, *mounts]}), targets))
        push_all(pushes, self.registries, self.counter, check_blobs=True)


def _read_bundle(repository: Repository, manifest: Manifest, digest: str, key: PublicKey | Identity) -> bytes:
    """Return the signature of a note. Raises BentoError unless the key signed the config with a digest."""
    bundles = [layer for layer in manifest.layers() if layer.media_type == cosign.BUNDLE]
    if not bundles:
        raise BentoError("a note isn't signed", remedy="Push with --cache-to and --sign-key.")
    bundle = repository.read_blob(bundles[0])
    if cosign.read_statement(cosign.bundled_statement(bundle, key), digest)[1] != NOTE:
        raise BentoError("the signature is of another kind", remedy=_REMEDY)
    return bundle
