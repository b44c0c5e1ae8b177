"""Builds CNCF ModelPack artifacts of models. The artifacts share their layers with images."""

from __future__ import annotations

from rules_bento.formats.oci import ANNOTATION, MANIFEST, TAR_LAYER, to_bytes
from rules_bento.images.oci_image import Layer, OciImage, descriptor
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules_bento.tag import Tag

_MODEL = "application/vnd.cncf.model"
_ARTIFACT = f"{_MODEL}.manifest.v1+json"
_CONFIG = f"{_MODEL}.config.v1+json"
_FILEPATH = "org.cncf.model.filepath"


def make_artifact(tag: Tag, created: str, layer: Layer, directory: str, annotations: dict[str, str]) -> OciImage:
    """Return the config and manifest of a model's artifact. The config repeats standard OCI annotations.

    `directory` contains the model's files in the layer. The layer must not contain links, which tools that unpack
    artifacts reject.
    """
    standard = {key.removeprefix(ANNOTATION): value for key, value in annotations.items() if key.startswith(ANNOTATION)}
    described: dict[str, Any] = {"createdAt": created, "name": tag.name, "version": tag.version}
    further = {"title": "title", "description": "description", "vendor": "vendor", "revision": "revision"}
    further |= {"source": "sourceURL", "documentation": "docURL"}
    described |= {further[key]: value for key, value in standard.items() if key in further}
    described |= {key: [standard[key]] for key in ("authors", "licenses") if key in standard}
    config = to_bytes(
        {"descriptor": described, "config": {}, "modelfs": {"type": "layers", "diffIds": [layer.diff_id]}}
    )
    blob = layer.descriptor | {"annotations": (layer.annotations or {}) | {_FILEPATH: directory}}
    blob["mediaType"] = layer.media_type.replace(TAR_LAYER, f"{_MODEL}.weight.v1.tar")
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": _ARTIFACT,
        "config": descriptor(_CONFIG, config),
        "layers": [blob],
        "annotations": annotations,
    }
    return OciImage(config, to_bytes(manifest))
