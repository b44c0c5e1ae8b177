"""Reads an image from an OCI layout. Each blob has the digest and size that its descriptor states, or isn't used."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bento_proof.model import InvalidError, UnableError, canonical, inside, parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_MAX_DOCUMENT, _MAX_REFERRER, _MAX_LISTED, _PIECE = 1 << 26, 1 << 22, 1000, 1 << 18
_LAZY = "application/vnd.amazon.soci.index.v2+json"  # an artifact in an index that no program can run
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
        for manifest in self.layout.referrers({self.entry.digest, self.listing}):
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
            entries = document.get("manifests", [])
            if not isinstance(entries, list) or len(entries) > _MAX_LISTED:
                raise InvalidError("index: isn't a list of images")
            for value in entries:
                entry, stated = Descriptor.read(value, "index"), inside(value, "platform")
                stated = {key: stated.get(key) for key in ("os", "architecture")}
                if platform and "/".join(map(str, stated.values())) != platform:
                    continue
                for image in self._image(entry, self.read(entry, "manifest"), root.digest):
                    if stated != {key: image.config.get(key) for key in stated}:
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
        match rootfs:
            case {"type": "layers", "diff_ids": list(found)} if len(rootfs) == 2 and len(found) == len(layers):
                yield Image(self, entry, listing, manifest, config, layers, [str(each) for each in found])
            case _:
                raise InvalidError("rootfs: its layers aren't the layers of the manifest")

    def referrers(self, digests: set[str]) -> Iterator[dict[str, Any]]:
        """Yield manifests of the layout that refer to manifests."""
        for path in sorted((self._path / "blobs/sha256").iterdir()):
            entry = Descriptor("", f"sha256:{path.name}", path.lstat().st_size, {})
            data = b"".join(self.pieces(entry, exact=False)) if entry.size <= _MAX_REFERRER else b""
            if data.startswith(b"{") and b'"subject"' in data:
                document = parse(data, "attached")
                if inside(document, "subject").get("digest") in digests:
                    yield document

    def read(self, entry: Descriptor, name: str) -> dict[str, Any]:
        """Return a document. Raises InvalidError."""
        if entry.size > _MAX_DOCUMENT:
            raise InvalidError(f"{name}: has {entry.size} bytes, which is too large")
        return parse(b"".join(self.pieces(entry)), name)

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
