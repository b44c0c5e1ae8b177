"""Builds CNCF ModelPack artifacts of models (model-spec v1): each file is a layer, without an archive."""

from __future__ import annotations

from rules_bento.formats.oci import ANNOTATION, MANIFEST, to_bytes
from rules_bento.images.oci_image import Layer, OciImage, descriptor
from rules_bento.typing_lite import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    from rules_bento.tag import Tag

_MODEL = "application/vnd.cncf.model"
_ARTIFACT = f"{_MODEL}.manifest.v1+json"
_CONFIG = f"{_MODEL}.config.v1+json"
_FILEPATH = "org.cncf.model.filepath"
_WEIGHTS = (".bin", ".ckpt", ".gguf", ".h5", ".onnx", ".pt", ".pth", ".safetensors")
_FORMATS = ("gguf", "safetensors", "onnx")
_DOCUMENTS = ("license", "notice", "readme")


def file_layer(path: str, digest: str, size: int) -> Layer:
    """Return the layer that consists of the model's file at `path`."""
    name = path.rpartition("/")[2].lower()
    kind = "weight.config"
    if name.endswith(_WEIGHTS):
        kind = "weight"
    elif name.startswith(_DOCUMENTS) or name.endswith(".md"):
        kind = "doc"
    elif name.endswith(".py"):
        kind = "code"
    return Layer(f"{_MODEL}.{kind}.v1.raw", digest, size, digest, path, {_FILEPATH: path})


def make_artifact(tag: Tag, created: str, layers: Sequence[Layer], annotations: dict[str, str]) -> OciImage:
    """Return the config and manifest of the artifact of `file_layer`s. The config repeats standard OCI annotations."""
    standard = {key.removeprefix(ANNOTATION): value for key, value in annotations.items() if key.startswith(ANNOTATION)}
    described: dict[str, Any] = {"createdAt": created, "name": tag.name, "version": tag.version}
    further = {"title": "title", "description": "description", "vendor": "vendor", "revision": "revision"}
    further |= {"source": "sourceURL", "documentation": "docURL"}
    described |= {further[key]: value for key, value in standard.items() if key in further}
    described |= {key: [standard[key]] for key in ("authors", "licenses") if key in standard}
    formats = [each for each in _FORMATS if any(layer.name.lower().endswith(f".{each}") for layer in layers)]
    files = {"type": "layers", "diffIds": [layer.diff_id for layer in layers]}
    config = to_bytes({"descriptor": described, "config": {"format": formats[0]} if formats else {}, "modelfs": files})
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": _ARTIFACT,
        "config": descriptor(_CONFIG, config),
        "layers": [layer.descriptor for layer in layers],
        "annotations": annotations,
    }
    return OciImage(config, to_bytes(manifest))
