"""Reads an image from an OCI layout. Each blob has the digest and size that its descriptor states, or isn't used."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bento_proof.model import InvalidError, UnableError, canonical, inside, parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_MAX_DOCUMENT, _MAX_LISTED, _PIECE = 1 << 26, 1000, 1 << 18
_LAZY = "application/vnd.amazon.soci.index.v2+json"  # an artifact in an index that no program can run
_INDEX = {"schemaVersion", "mediaType", "manifests", "annotations"}  # fields, and those of its entries
_ENTRY = {"mediaType", "digest", "size", "platform", "annotations", "artifactType"}
_ATTACHED = {"schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Descriptor(NamedTuple):
    """A descriptor, and the object that has it."""

    media_type: str
    digest: str
    size: int
    document: dict[str, Any]

    @classmethod
    def read(cls, value: Any, name: str) -> "Descriptor":
        """Check a descriptor. Raises InvalidError."""
        match value:
            case {"mediaType": str(kind), "digest": str(digest), "size": int(size)}:
                if _DIGEST.fullmatch(digest) and type(size) is int and 0 <= size < 1 << 50:
                    return cls(kind, digest, size, value)
        raise InvalidError(f"{name}: isn't a valid descriptor: {canonical(value)[:200]}")


class Image(NamedTuple):
    """An image for one platform."""

    layout: "Layout"
    entry: Descriptor
    listing: str  # the digest of the index that lists it, or its own
    manifest: dict[str, Any]
    config: dict[str, Any]
    layers: list[Descriptor]
    diff_ids: list[str]

    @property
    def platform(self) -> str:
        return f"{self.config.get('os')}/{self.config.get('architecture')}"

    @property
    def labels(self) -> dict[str, Any]:
        return dict(inside(self.config.get("config"), "Labels"))

    def attached(self) -> Iterator[tuple[Descriptor, bytes]]:
        """Yield what is attached to the image or its index, as its descriptor, and a content of any size."""
        for data, manifest in self.layout.referrers({self.entry.digest, self.listing}):
            if others := manifest.keys() - _ATTACHED:  # such as `Layers`, which some programs read
                yield Descriptor(f"manifest with {min(others)!r}", "", len(data), {}), data
            for value in (manifest.get("config"), *inside(manifest, "layers", list)):
                each = Descriptor.read(value, "attached")
                if each.media_type != "application/vnd.oci.empty.v1+json":
                    yield each, b"".join(self.layout.pieces(each._replace(size=_MAX_DOCUMENT), exact=False))


class Layout:
    """An OCI layout on this machine: `oci:DIR`, or `oci:DIR@DIGEST`."""

    def __init__(self, name: str) -> None:
        self.name = name
        path, _, self._digest = name.removeprefix("oci:").partition("@sha256:")
        self._path = Path(path)

    def images(self, platform: str = "") -> Iterator[Image]:
        """Yield the images of all platforms, or of one in an index that is trusted."""
        try:
            document = parse((self._path / "index.json").read_bytes(), "index.json")
        except OSError as error:
            raise UnableError(f"{self.name}: {error.strerror}. Specify oci:DIR. `skopeo copy` writes it.") from None
        roots = [Descriptor.read(each, "index.json") for each in inside(document, "manifests", list)]
        for root in (each for each in roots if not self._digest or each.digest == f"sha256:{self._digest}"):
            document = self.read(root, "manifest" if root.media_type == MANIFEST else "index")
            if "manifests" not in document or "layers" in document:
                yield from self._image(root, document, root.digest)
                continue
            entries = document["manifests"]
            if not isinstance(entries, list) or len(entries) > _MAX_LISTED:
                raise InvalidError("index: isn't a list of images")
            for entry in (Descriptor.read(value, "index") for value in entries):
                if others := (document.keys() - _INDEX) | (entry.document.keys() - _ENTRY) if not platform else ():
                    raise InvalidError(f"index: has the unknown field {min(others)!r}")
                stated = inside(entry.document, "platform")
                own = {key: stated.get(key) for key in ("os", "architecture")}
                if platform and "/".join(map(str, own.values())) != platform:
                    continue
                for image in self._image(entry, self.read(entry, "manifest"), root.digest):
                    if (own if platform else stated) != {key: image.config.get(key) for key in own}:
                        raise InvalidError(f"the index has an image for {image.platform} as {stated}")
                    yield image

    def _image(self, entry: Descriptor, manifest: dict[str, Any], listing: str) -> Iterator[Image]:
        if not isinstance(manifest.get("layers"), list) or "manifests" in manifest:
            raise InvalidError("manifest: isn't of an image, such as another index")
        described = Descriptor.read(manifest.get("config"), "config")
        config = self.read(described, "config")
        if described.media_type == _LAZY and not config and listing != entry.digest:
            return
        layers, rootfs = [Descriptor.read(each, "layer") for each in manifest["layers"]], inside(config, "rootfs")
        found = inside(rootfs, "diff_ids", list)
        if rootfs != {"type": "layers", "diff_ids": found} or len(found) != len(layers):
            raise InvalidError("rootfs: its layers aren't the layers of the manifest")
        yield Image(self, entry, listing, manifest, config, layers, [str(each) for each in found])

    def referrers(self, digests: set[str]) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Yield manifests that refer to manifests, or that a registry can read so."""
        for path in sorted((self._path / "blobs/sha256").iterdir()):
            pieces = self.pieces(Descriptor("", f"sha256:{path.name}", path.lstat().st_size, {}), exact=False)
            data = next(pieces, b"")
            if data.lstrip()[:1] not in (b"", b"{") or path.lstat().st_size > _MAX_DOCUMENT:
                continue  # such as a layer
            data = b"".join((data, *pieces)).lstrip()
            try:
                fields = json.loads(data.decode(), object_pairs_hook=list)
            except (ValueError, RecursionError):  # no registry accepts it as a manifest
                continue
            named = str([value for key, value in fields if key.casefold() == "subject"])
            if any(each in named for each in digests):
                yield data, parse(data, "attached")

    def read(self, entry: Descriptor, name: str) -> dict[str, Any]:
        """Return a document. Raises InvalidError."""
        if entry.size > _MAX_DOCUMENT:
            raise InvalidError(f"{name}: has {entry.size} bytes, which is too large")
        document = parse(b"".join(self.pieces(entry)), name)
        if document.get("mediaType", entry.media_type) != entry.media_type:
            raise InvalidError(f"{name}: is a {document['mediaType']!r}, but described as a {entry.media_type!r}")
        return document

    def pieces(self, entry: Descriptor, *, exact: bool = True) -> Iterator[bytes]:
        """Yield a blob. Raises InvalidError at the end if it has another digest, or another size if that is `exact`."""
        whole, size, path = hashlib.sha256(), 0, self._path / "blobs" / entry.digest.replace(":", "/")
        try:  # and not what a link in the layout leads to
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise InvalidError(f"missing blob {entry.digest} ({error.strerror})") from None
        with os.fdopen(file, "rb", buffering=0) as blob:
            while size <= entry.size and (piece := blob.read(_PIECE)):
                whole.update(piece)
                size += len(piece)
                yield piece
        if f"sha256:{whole.hexdigest()}" != entry.digest or (exact and size != entry.size):
            raise InvalidError(f"{entry.digest}: the content doesn't match the digest, or the size {entry.size}")
