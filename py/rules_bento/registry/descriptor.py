"""Descriptors, digests and media types (OCI image specification 1.1, `descriptor.md`, `media-types.md`)."""

from __future__ import annotations

import hashlib
import json
import re

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_json
from rules_bento.formats.oci import CONFIG as CONFIG
from rules_bento.formats.oci import INDEX as INDEX
from rules_bento.formats.oci import MANIFEST as MANIFEST
from rules_bento.formats.oci import TAR_LAYER as TAR_LAYER
from rules_bento.formats.oci import digest_of as digest_of
from rules_bento.formats.oci import to_bytes as to_bytes
from rules_bento.net import limits
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

MANIFESTS = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
"""What is asked for where a manifest is wanted."""

INDEXES = (INDEX, DOCKER_INDEX)

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
# Layers that registries do not hold: their bytes are at `urls` of the descriptor.
_FOREIGN = re.compile(r"application/vnd\.(docker\.image\.rootfs\.foreign|oci\.image\.layer\.nondistributable)\.")


def is_digest(text: str) -> bool:
    """Return whether it is a digest that can be verified here: SHA-256 or SHA-512."""
    return _DIGEST.fullmatch(text) is not None


def new_hash(digest: str) -> Any:
    """Return a hash object of the digest's algorithm."""
    return hashlib.new(digest.partition(":")[0])


def verify(content: bytes, digest: str, origin: str) -> bytes:
    """Return the content, which must have the digest. Raises BentoError, naming `origin`."""
    digester = new_hash(digest)
    digester.update(content)
    if digester.hexdigest() != digest.partition(":")[2]:
        raise BentoError(f"{origin}: what came does not have the digest {digest}. Nothing of it was kept.")
    return content


@dataclass(frozen=True)
class Descriptor:
    """Names a blob or manifest by its digest and size (bytes), and tells its type."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    platform: Mapping[str, Any] = field(default_factory=dict)  # os, architecture, perhaps variant

    @staticmethod
    def of(content: bytes, media_type: str, **others: Any) -> Descriptor:
        """Return the descriptor of content that is at hand."""
        return Descriptor(media_type, digest_of(content), len(content), **others)

    @staticmethod
    def from_json(item: Any, origin: str) -> Descriptor:
        """Read the JSON object. Raises BentoError, naming `origin`, for what is no descriptor."""
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("digest"), str)
            or not is_digest(item["digest"])
            or type(item.get("size")) is not int
            or not 0 <= item["size"] <= limits.BODY
        ):
            raise BentoError(f"{origin}: {json.dumps(item)[:200]} is no descriptor with media type, digest and size.")
        return Descriptor(
            _text(item, "mediaType", origin),
            item["digest"],
            item["size"],
            _texts(item, "annotations", origin),
            _text(item, "artifactType", origin),
            _platform(item, origin),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, in the specification's order."""
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
    """Holds a manifest of an image, artifact or index, read and verified."""

    content: bytes
    descriptor: Descriptor
    document: Mapping[str, Any]

    @staticmethod
    def read(content: bytes, media_type: str, origin: str) -> Manifest:
        """Read a manifest; its own `mediaType`, where it has one, must be `media_type` if that is given.

        Raises BentoError, naming `origin`, for what is none.
        """
        document = read_json(content, origin)
        if not isinstance(document, dict) or ("manifests" in document and "layers" in document):
            raise BentoError(f"{origin}: not the JSON object of a manifest or of an index.")
        stated = _text(document, "mediaType", origin)
        if stated and media_type and stated != media_type:
            raise BentoError(f"{origin}: says that it is {stated}, but was declared as {media_type}.")
        kind = stated or media_type or (INDEX if "manifests" in document else MANIFEST)
        if kind not in MANIFESTS:
            raise BentoError(f"{origin}: is {kind!r}, which is not a manifest or an index of the OCI's or docker's v2.")
        if ({"layers", "config"} if kind in INDEXES else {"manifests"}) & document.keys():
            raise BentoError(f"{origin}: is {kind}, but has the fields of the other kind. Its makers must fix it.")
        for key in ("manifests", "layers"):
            if not isinstance(document.get(key) or [], list):
                raise BentoError(f"{origin}: its {key} are no list of descriptors.")
        artifact_type, annotations = _text(document, "artifactType", origin), _texts(document, "annotations", origin)
        own = Descriptor.of(content, kind, artifact_type=artifact_type, annotations=annotations)
        manifest = Manifest(content, own, document)
        for _ in (*manifest.blobs(), *manifest.children()):  # each is read, so each is checked
            pass
        return manifest

    @property
    def is_index(self) -> bool:
        """Return whether it lists manifests, and not blobs."""
        return self.descriptor.media_type in INDEXES

    @property
    def config(self) -> Descriptor:
        """Return the config's descriptor. Raises BentoError for an index."""
        return Descriptor.from_json(self.document.get("config"), self.descriptor.digest)

    @property
    def subject(self) -> Descriptor | None:
        """Return the descriptor of the manifest that this one refers to; None if it refers to none."""
        item = self.document.get("subject")
        return Descriptor.from_json(item, self.descriptor.digest) if item else None

    def layers(self) -> list[Descriptor]:
        """Return the layers, lowest first; an index has none. Raises BentoError for a list that is none."""
        return self._descriptors("layers")

    def blobs(self) -> Iterator[Descriptor]:
        """Yield the config and the layers that a registry has to hold."""
        if not self.is_index:
            yield self.config
            yield from (layer for layer in self.layers() if not _FOREIGN.match(layer.media_type))

    def children(self) -> list[Descriptor]:
        """Return the manifests of an index. Raises BentoError for a list that is none."""
        if not self.is_index:
            return []
        return self._descriptors("manifests")

    def _descriptors(self, key: str) -> list[Descriptor]:
        items = self.document.get(key) or []
        if not isinstance(items, list):
            raise BentoError(f"{self.descriptor.digest}: its {key} are no list.")
        return [Descriptor.from_json(item, self.descriptor.digest) for item in items]


def descend(entries: Iterable[Descriptor], read: Callable[[Descriptor], Manifest]) -> list[Manifest]:
    """Return the manifests that entries of an index stand for, and all below: each once, before those that list it.

    Raises BentoError for more than `limits.MANIFESTS`, or indexes in more than `limits.NESTING` others.
    """
    manifests: dict[str, Manifest] = {}

    def visit(entry: Descriptor, depth: int) -> None:
        if entry.digest in manifests:
            return
        if len(manifests) >= limits.MANIFESTS or depth > limits.NESTING:
            raise BentoError(
                f"{entry.digest}: is one of more than {limits.MANIFESTS} manifests, or in more than {limits.NESTING} "
                f"indexes. Refused; name one of the images by its digest."
            )
        child = read(entry)
        for below in child.children():
            visit(below, depth + 1)
        manifests[entry.digest] = child

    for entry in entries:
        visit(entry, 1)
    return list(manifests.values())


def _text(item: Mapping[str, Any], key: str, origin: str) -> str:
    """Return a text that may be missing or null. Raises BentoError for another value."""
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise BentoError(f"{origin}: its {key} is {json.dumps(value)[:60]}, where a text belongs.")
    return value or ""


def _texts(item: Mapping[str, Any], key: str, origin: str) -> Mapping[str, str]:
    """Return texts by name, which may be missing or null. Raises BentoError for another value."""
    value = item.get(key)
    if value is not None and not (isinstance(value, dict) and all(isinstance(text, str) for text in value.values())):
        raise BentoError(f"{origin}: its {key} are {json.dumps(value)[:60]}, where texts by name belong.")
    return value or {}


def _platform(item: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """Return the platform, which may be missing or null. Raises BentoError for what is none."""
    value = item.get("platform")
    if value is not None and not isinstance(value, dict):
        raise BentoError(f"{origin}: its platform is {json.dumps(value)[:60]}, where os and architecture belong.")
    for key in ("os", "architecture", "variant", "os.version"):
        _text(value or {}, key, f"{origin}: platform")
    return value or {}
