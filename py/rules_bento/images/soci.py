"""Creates SOCI indexes, with which soci-snapshotter starts containers before it has fetched the complete layers.

A SOCI index (version 2) is a manifest whose layers are the zTOCs of an image's layers (`layers.ztoc`). An annotation of
the image's manifest contains the digest of the SOCI index, and an OCI index lists both manifests, so that copies of the
image include the SOCI index. The snapshotter fetches layers without a zTOC completely.
"""

from __future__ import annotations

import json

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats.oci import MANIFEST, digest_of, to_bytes
from rules_bento.images.layers import ztoc
from rules_bento.images.oci_image import descriptor
from rules_bento.typing_lite import TYPE_CHECKING, Any, Collection, Sequence

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.oci_image import Layer

ARTIFACT_TYPE = "application/vnd.amazon.soci.index.v2+json"
# Annotations: of an image's manifest; of the SOCI index in an OCI index.
INDEX_DIGEST, IMAGE_DIGEST = "com.amazon.soci.index-digest", "com.amazon.soci.image-manifest-digest"
MIN_LAYER = 10 << 20  # bytes of a layer with a zTOC, as in soci: fetching a smaller layer is as fast
_ZTOC = "application/octet-stream"
_PREFETCH = "application/vnd.amazon.soci.prefetch.v1+json"
_LAYER_DIGEST, _LAYER_TYPE = "com.amazon.soci.image-layer-digest", "com.amazon.soci.image-layer-mediaType"
_SPAN_SIZE = "com.amazon.soci.span-size"
_CONFIG = b"{}"


class Ztoc(NamedTuple):
    """Describes the zTOC of a layer."""

    digest: str
    size: int  # 0 without a zTOC

    @staticmethod
    def loads(text: str) -> Ztoc:
        """Read the description of a zTOC, which is a JSON object."""
        return Ztoc(**json.loads(text))

    @staticmethod
    def of(content: bytes) -> Ztoc:
        """Return the description of a zTOC."""
        return Ztoc(digest_of(content), len(content))

    def dumps(self) -> str:
        """Return the JSON object that `loads` reads."""
        return json.dumps({"digest": self.digest, "size": self.size}) + "\n"


class SociIndex(NamedTuple):
    """Holds the manifest of a SOCI index, and its small blobs. The zTOCs are separate files."""

    manifest: bytes
    blobs: list[bytes]

    @staticmethod
    def loads(data: bytes) -> SociIndex:
        """Read a SOCI index from JSON."""
        fields = json.loads(data)
        return SociIndex(fields["manifest"].encode(), [blob.encode() for blob in fields["blobs"]])

    def dumps(self) -> str:
        """Return the JSON object that `loads` reads."""
        return json.dumps({"manifest": self.manifest.decode(), "blobs": [blob.decode() for blob in self.blobs]}) + "\n"

    @property
    def prefetched(self) -> bool:
        """Whether the snapshotter fetches files before a container starts."""
        return len(self.blobs) > 1

    def entry(self, image: bytes, platform: dict[str, str]) -> dict[str, Any]:
        """Return the entry for an OCI index. `image` is the manifest of the image."""
        entry = descriptor(MANIFEST, self.manifest) | {"artifactType": ARTIFACT_TYPE}
        return entry | {"annotations": {IMAGE_DIGEST: digest_of(image)}, "platform": platform}


def make_index(layers: Sequence[tuple[Layer, Ztoc]], files: Collection[str], ztocs: Sequence[Path]) -> SociIndex:
    """Return the SOCI index of an image. The first layer is the lowest.

    `files` are the files of a startup trace, which the snapshotter fetches before a container starts. If there are any,
    `ztocs` contains the zTOC of each layer.
    """
    listed = [_describe(layer, found) for layer, found in layers if found.size]
    if not listed:
        raise BentoError(f"soci: no layer has a supported format and at least {MIN_LAYER >> 20} MiB. Remove soci.")
    blobs, wanted = [_CONFIG], set(files)
    prefetched = []
    for (layer, found), path in reversed(list(zip(layers, ztocs, strict=False))):
        spans = _wanted_spans(ztoc.read(path.read_bytes()), wanted) if found.size else []
        if spans:
            ranges = [{"start_span": first, "end_span": last} for first, last in spans]
            blobs.append(to_bytes({"version": "1.0", "prefetch_spans": ranges}))
            prefetched.append(descriptor(_PREFETCH, blobs[-1]) | {"annotations": {_LAYER_DIGEST: layer.digest}})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(ARTIFACT_TYPE, _CONFIG),
        "layers": listed + prefetched,
        "annotations": {"com.amazon.soci.build-tool-identifier": ztoc.TOOL},
    }
    return SociIndex(to_bytes(manifest), blobs)


def _describe(layer: Layer, found: Ztoc) -> dict[str, Any]:
    annotations = {_LAYER_DIGEST: layer.digest, _LAYER_TYPE: layer.media_type, _SPAN_SIZE: str(ztoc.SPAN)}
    return {"mediaType": _ZTOC, "digest": found.digest, "size": found.size, "annotations": annotations}


def _wanted_spans(index: ztoc.Index, wanted: set[str]) -> list[tuple[int, int]]:
    """Return the ranges of spans that contain the files, without overlaps. Removes the found files from `wanted`.

    Omits files that are larger than a span, because startup reads only some pages of a large library.
    """
    from bisect import bisect_right

    spans: set[int] = set()
    for name in wanted & index.files.keys():
        wanted.remove(name)
        begin, size = index.files[name]
        if 0 < size <= ztoc.SPAN:
            spans.update(range(bisect_right(index.spans, begin) - 1, bisect_right(index.spans, begin + size - 1)))
    firsts = sorted(spans - {span + 1 for span in spans})
    lasts = sorted(spans - {span - 1 for span in spans})
    return list(zip(firsts, lasts, strict=True))
