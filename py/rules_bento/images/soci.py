"""Creates SOCI indexes, which let soci-snapshotter start containers before it has fetched the complete layers.

A SOCI index (version 2) is a manifest whose layers are the zTOCs of an image's layers (`layers.ztoc`). An annotation of
the image's manifest contains the digest of the SOCI index, and an OCI index lists both manifests, so that copies of the
image include the SOCI index. If a layer has no zTOC, the snapshotter fetches the complete layer before it starts a
container.
"""

from __future__ import annotations

import json

from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import MANIFEST, Layer, digest_of, to_bytes
from rules_bento.base.typing_lite import Any, Sequence
from rules_bento.images.layers import ztoc
from rules_bento.images.oci_image import descriptor

ARTIFACT_TYPE = "application/vnd.amazon.soci.index.v2+json"
# Annotations: of an image's manifest; of the SOCI index in an OCI index.
INDEX_DIGEST, IMAGE_DIGEST = "com.amazon.soci.index-digest", "com.amazon.soci.image-manifest-digest"
MIN_LAYER = 10 << 20  # bytes of a layer with a zTOC, as in soci: fetching a smaller layer is as fast
_ZTOC = "application/octet-stream"
_LAYER_DIGEST, _LAYER_TYPE = "com.amazon.soci.image-layer-digest", "com.amazon.soci.image-layer-mediaType"
_SPAN_SIZE = "com.amazon.soci.span-size"
_CONFIG = b"{}"


def describe(layer: Layer, made: bytes) -> dict[str, Any]:
    """Return the descriptor of a layer's zTOC `made`, which is empty if the layer has none."""
    annotations = {_LAYER_DIGEST: layer.digest, _LAYER_TYPE: layer.media_type, _SPAN_SIZE: str(ztoc.SPAN)}
    return descriptor(_ZTOC, made) | {"annotations": annotations}


def index_entry(manifest: bytes, image: bytes, platform: dict[str, str]) -> dict[str, Any]:
    """Return an OCI index entry for the SOCI index `manifest`. `image` is the manifest of the image."""
    entry = descriptor(MANIFEST, manifest) | {"artifactType": ARTIFACT_TYPE}
    return entry | {"annotations": {IMAGE_DIGEST: digest_of(image)}, "platform": platform}


def dumps(contents: Sequence[bytes]) -> str:
    """Format `contents`, the result of `make_index`, as a JSON list. The list doesn't include the zTOCs."""
    return json.dumps([content.decode() for content in contents]) + "\n"


def loads(text: bytes) -> list[bytes]:
    """Parse a JSON list from `dumps`."""
    return [content.encode() for content in json.loads(text)]


def make_index(ztocs: Sequence[dict[str, Any]]) -> list[bytes]:
    """Return the blobs of an image's SOCI index: the index manifest and the config.

    `ztocs` contains the results of `describe`, starting with the lowest layer. Raises BentoError if no layer has a
    zTOC.
    """
    listed = [entry for entry in ztocs if entry["size"]]
    if not listed:
        problem = f"no layer in a supported format has a size of at least {MIN_LAYER >> 20} MiB"
        raise BentoError(problem, place="soci", remedy="Remove soci.")
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(ARTIFACT_TYPE, _CONFIG),
        "layers": listed,
        "annotations": {"com.amazon.soci.build-tool-identifier": ztoc.TOOL},
    }
    return [to_bytes(manifest), _CONFIG]
