"""Builds CNCF ModelPack artifacts of models. The artifacts share their layers with images."""

from __future__ import annotations

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.formats.oci import ANNOTATION, MANIFEST, TAR_LAYER, to_bytes
from rules_bento.images.oci_image import Layer, OciImage, descriptor
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules_bento.tag import Tag

_MODEL = "application/vnd.cncf.model"
_ARTIFACT = f"{_MODEL}.manifest.v1+json"
_CONFIG = f"{_MODEL}.config.v1+json"
_FILEPATH = "org.cncf.model.filepath"


class ModelLayer(NamedTuple):
    """A layer with a model's files. The layer contains no links, because tools that unpack artifacts reject links."""

    layer: Layer
    directory: str  # of the model's files in the layer


def make_artifact(tag: Tag, created: str, part: ModelLayer, annotations: dict[str, str]) -> OciImage:
    """Return the config and manifest of a model's artifact. The config repeats standard OCI annotations."""
    standard = {key.removeprefix(ANNOTATION): value for key, value in annotations.items() if key.startswith(ANNOTATION)}
    described: dict[str, Any] = {"createdAt": created, "name": tag.name, "version": tag.version}
    further = {"title": "title", "description": "description", "vendor": "vendor", "revision": "revision"}
    further |= {"source": "sourceURL", "documentation": "docURL"}
    described |= {further[key]: value for key, value in standard.items() if key in further}
    described |= {key: [standard[key]] for key in ("authors", "licenses") if key in standard}
    config = to_bytes(
        {"descriptor": described, "config": {}, "modelfs": {"type": "layers", "diffIds": [part.layer.diff_id]}}
    )
    layer = part.layer.descriptor | {"annotations": (part.layer.annotations or {}) | {_FILEPATH: part.directory}}
    layer["mediaType"] = part.layer.media_type.replace(TAR_LAYER, f"{_MODEL}.weight.v1.tar")
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": _ARTIFACT,
        "config": descriptor(_CONFIG, config),
        "layers": [layer],
        "annotations": annotations,
    }
    return OciImage(config, to_bytes(manifest))
