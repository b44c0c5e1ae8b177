"""Defines media types and annotations of the OCI image specification 1.1, computes digests, and serializes JSON."""

from __future__ import annotations

import hashlib
import json

from rules_bento.typing_lite import Any, Mapping

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"
SBOM_TYPES = {"cyclonedx": "application/vnd.cyclonedx+json", "spdx": "application/spdx+json"}

ANNOTATION = "org.opencontainers.image."  # prefix of the specification's annotations
REFERENCE = f"{ANNOTATION}ref.name"  # the annotation that names an image in the index of a layout
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'  # the file `oci-layout` of a layout


def digest_of(content: bytes) -> str:
    """Return the digest of `content`: `sha256:` followed by 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob_path(digest: str) -> str:
    """Return the path of a blob in a layout."""
    return "blobs/" + digest.replace(":", "/", 1)


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """Serialize `document` as UTF-8 JSON without whitespace. Preserves the order of keys."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
