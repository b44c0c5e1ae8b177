"""Defines media types, annotations, and layers of the OCI image specification 1.1. Computes digests, writes JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.own_files import digest_path
from rules_bento.base.typing_lite import Any, Mapping

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"
SBOM_TYPES = {"cyclonedx": "application/vnd.cyclonedx+json", "spdx": "application/spdx+json"}

ANNOTATION = "org.opencontainers.image."  # prefix of the specification's annotations
REFERENCE = f"{ANNOTATION}ref.name"  # the annotation that names an image in the index of a layout
CONTAINERD_NAME = "io.containerd.image.name"  # the annotation from which containerd's store gets the name of an image
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'  # the file `oci-layout` of a layout
HISTORY = "rules_bento: "  # before the name of a layer in the history of an image


class Layer(NamedTuple):
    """A layer that exists: what an image contains about it."""

    media_type: str
    digest: str  # sha256:<hex> of the blob
    size: int  # bytes of the blob
    diff_id: str  # sha256:<hex> of the tar
    annotations: dict[str, str] | None = None  # annotations of the descriptor in a manifest
    uncompressed_size: int | None = None  # bytes of the tar, unless the layer is of a base
    name: str = ""  # its contents, for the image's history
    python: str = ""  # X.Y.Z, the version of the interpreter that compiled bytecode in the layer

    @staticmethod
    def loads(text: str) -> Layer:
        """Parse the JSON object that `dumps` returned."""
        fields = json.loads(text)
        return Layer(**{field: fields[field] for field in Layer._fields if field in fields})

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return {name: value for name, value in self._asdict().items() if name not in ("annotations", "python") or value}

    def dumps(self) -> str:
        """Return the description of the layer, a file that is read instead of the layer."""
        return json.dumps(self.to_json(), indent=1) + "\n"

    @property
    def descriptor(self) -> dict[str, Any]:
        """The layer's descriptor for the image manifest."""
        document = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return document | {"annotations": self.annotations} if self.annotations else document


def digest_of(content: bytes) -> str:
    """Return the digest of `content`: `sha256:` followed by 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob_path(digest: str) -> str:
    """Return the path of a blob in a layout. Raises BentoError for an invalid digest."""
    return str(digest_path(Path("blobs", "sha512" if digest.startswith("sha512:") else "sha256"), digest))


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """Serialize `document` as UTF-8 JSON without whitespace. Preserves the order of keys."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
