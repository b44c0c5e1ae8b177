"""Parses and creates descriptors and manifests, and verifies digests (OCI image specification 1.1)."""

from __future__ import annotations

import hashlib
import json
import re

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_json
from rules_bento.base.formats.oci import CONFIG as CONFIG
from rules_bento.base.formats.oci import INDEX as INDEX
from rules_bento.base.formats.oci import MANIFEST as MANIFEST
from rules_bento.base.formats.oci import TAR_LAYER as TAR_LAYER
from rules_bento.base.formats.oci import digest_of as digest_of
from rules_bento.base.formats.oci import to_bytes as to_bytes
from rules_bento.base.formats.schema import validate, without_nulls
from rules_bento.base.net import limits
from rules_bento.base.typing_lite import Any, Callable, Iterable, Iterator, Mapping

EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

# Media types in the Accept header of requests for a manifest.
MANIFESTS = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
INDEXES = (INDEX, DOCKER_INDEX)

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
# Foreign layers: not in the registry, but at `urls` of the descriptor.
_FOREIGN = re.compile(r"application/vnd\.(docker\.image\.rootfs\.foreign|oci\.image\.layer\.nondistributable)\.")

_REPORT = "Report the error to the artifact's publisher."
_PLATFORM = {"os?": str, "architecture?": str, "variant?": str, "os.version?": str}
_COMMON = {"mediaType?": str, "artifactType?": str, "annotations?": {...: str}}
_DESCRIPTOR_SHAPE = _COMMON | {"digest": str, "size": int, "platform?": _PLATFORM}
_MANIFEST_SHAPE = _COMMON | {"manifests?": list, "layers?": list}
_FIELDS = "annotations architecture artifactType config data digest layers manifests mediaType os os.features"
_FIELDS += " os.version platform schemaVersion size subject urls variant"
_FOLDED = {name.casefold(): name for name in _FIELDS.split()}


def tar_layer_type(start: bytes) -> str:
    """Return the media type of a layer that begins with the bytes `start`."""
    compressions = ((b"\x1f\x8b", "+gzip"), (b"\x28\xb5\x2f\xfd", "+zstd"))
    return TAR_LAYER + next((suffix for magic, suffix in compressions if start.startswith(magic)), "")


def is_digest(text: str) -> bool:
    """Return whether a string is a SHA-256 or SHA-512 digest."""
    return _DIGEST.fullmatch(text) is not None


def new_hash(digest: str) -> Any:
    """Return a new hash object for the algorithm of `digest`."""
    return hashlib.new(digest.partition(":")[0])


def verify(content: bytes, digest: str, origin: str) -> bytes:
    """Return `content` if it matches `digest`. Otherwise, raises BentoError. The message begins with `origin`."""
    digester = new_hash(digest)
    digester.update(content)
    if digester.hexdigest() != digest.partition(":")[2]:
        problem = f"the content doesn't match the digest {digest}"
        raise BentoError(problem, place=origin, remedy="Fetch or build the artifact again.")
    return content


@dataclass(frozen=True)
class Descriptor:
    """The media type, digest, and size in bytes of a blob or manifest, with optional fields.

    >>> Descriptor.from_content(b"{}", CONFIG).size
    2
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    platform: Mapping[str, Any] = field(default_factory=dict)  # os, architecture, and optionally variant

    @staticmethod
    def from_content(content: bytes, media_type: str, **others: Any) -> Descriptor:
        """Return the descriptor of `content`. `others` sets optional fields."""
        return Descriptor(media_type, digest_of(content), len(content), **others)

    @staticmethod
    def from_json(item: Any, origin: str) -> Descriptor:
        """Parse a descriptor. Raises BentoError for an invalid descriptor. The message begins with `origin`."""
        item = without_nulls(item)
        refused = f"{origin}: {json.dumps(item)[:200]} isn't a valid descriptor"
        validate(item, _DESCRIPTOR_SHAPE, refused, _REPORT)
        for fields in (item, item.get("platform", {})):
            _check_names(fields, origin)
        if not is_digest(item["digest"]) or not 0 <= item["size"] <= limits.BODY:
            raise BentoError(refused, remedy=_REPORT)
        names = ("annotations", "artifactType", "platform")
        further = [item.get(name, default) for name, default in zip(names, ({}, "", {}), strict=True)]
        return Descriptor(item.get("mediaType", ""), item["digest"], item["size"], *further)

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object, with keys in the order of the specification."""
        item: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            item["annotations"] = dict(self.annotations)
        if self.artifact_type:
            item["artifactType"] = self.artifact_type
        if self.platform:
            item["platform"] = dict(self.platform)
        return item


@dataclass(frozen=True)
class Manifest:
    """A validated image manifest, artifact manifest, or index.

    >>> Manifest.read(b'{"schemaVersion": 2, "manifests": []}', "", "index.json").is_index
    True
    """

    content: bytes
    descriptor: Descriptor
    document: Mapping[str, Any]

    @staticmethod
    def read(content: bytes, media_type: str, origin: str) -> Manifest:
        """Parse a manifest or index. Raises BentoError for invalid content or a media type other than `media_type`."""
        document = without_nulls(read_json(content, origin))
        if not isinstance(document, dict) or ("manifests" in document and "layers" in document):
            problem = "expected an image manifest or index"
            raise BentoError(problem, place=origin, remedy="Check the image reference or path.")
        validate(document, _MANIFEST_SHAPE, origin, _REPORT)
        _check_names(document, origin)
        declared = document.get("mediaType", "")
        if declared and media_type and declared != media_type:
            problem = f"mediaType is {declared}, but the descriptor has {media_type}"
            raise BentoError(problem, place=origin, remedy=_REPORT)
        kind = declared or media_type or (INDEX if "manifests" in document else MANIFEST)
        if kind not in MANIFESTS:
            problem = f"unsupported media type {kind!r}"
            raise BentoError(problem, place=origin, remedy="Use an OCI or Docker v2 manifest or index.")
        if ({"layers", "config"} if kind in INDEXES else {"manifests"}) & document.keys():
            problem = f"the {kind} document has the fields of both a manifest and an index"
            raise BentoError(problem, place=origin, remedy=_REPORT)
        artifact_type, annotations = document.get("artifactType", ""), document.get("annotations", {})
        own = Descriptor.from_content(content, kind, artifact_type=artifact_type, annotations=annotations)
        manifest = Manifest(content, own, document)
        for _ in (*manifest.blobs(), *manifest.children()):  # reading validates each descriptor
            pass
        return manifest

    @property
    def is_index(self) -> bool:
        """Whether the manifest is an index."""
        return self.descriptor.media_type in INDEXES

    @property
    def config(self) -> Descriptor:
        """The descriptor of the config. Raises BentoError for an index."""
        return Descriptor.from_json(self.document.get("config"), self.descriptor.digest)

    @property
    def subject(self) -> Descriptor | None:
        """The descriptor of the subject, or None if the manifest has no subject."""
        item = self.document.get("subject")
        return Descriptor.from_json(item, self.descriptor.digest) if item else None

    def layers(self) -> list[Descriptor]:
        """Return the descriptors of the layers, lowest first, or an empty list for an index."""
        return self._descriptors("layers")

    def blobs(self) -> Iterator[Descriptor]:
        """Yield the descriptors of the config and the layers. Skips foreign layers. Yields nothing for an index."""
        if not self.is_index:
            yield self.config
            yield from (layer for layer in self.layers() if not _FOREIGN.match(layer.media_type))

    def children(self) -> list[Descriptor]:
        """Return the entries of an index, or an empty list for an image. Raises BentoError for an invalid entry."""
        return self._descriptors("manifests") if self.is_index else []

    def _descriptors(self, key: str) -> list[Descriptor]:
        return [Descriptor.from_json(item, self.descriptor.digest) for item in self.document.get(key, ())]


def _check_names(fields: Iterable[str], origin: str) -> None:
    """Raise BentoError if a field differs only in case from a known field, because Go's JSON decoder ignores case."""
    for name in fields:
        if _FOLDED.get(name.casefold(), name) != name:
            problem = f"invalid field name {name!r:.100}, expected {_FOLDED[name.casefold()]}"
            raise BentoError(problem, place=origin, remedy=_REPORT)


def collect_manifests(entries: Iterable[Descriptor], read: Callable[[Descriptor], Manifest]) -> list[Manifest]:
    """Read the manifests of `entries` and nested indexes, children first. Raises BentoError for too many manifests."""
    manifests: dict[str, Manifest] = {}

    def visit(entry: Descriptor, depth: int) -> None:
        if entry.digest in manifests:
            return
        if len(manifests) >= limits.MANIFESTS or depth > limits.NESTING:
            problem = f"the index exceeds {limits.MANIFESTS} manifests or {limits.NESTING} levels of nested indexes"
            raise BentoError(problem, place=entry.digest, remedy="Specify the digest of one image.")
        child = read(entry)
        for below in child.children():
            visit(below, depth + 1)
        manifests[entry.digest] = child

    for entry in entries:
        visit(entry, 1)
    return list(manifests.values())
