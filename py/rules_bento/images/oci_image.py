"""Assembles OCI images (image specification 1.1).

An image consists of a config, a manifest with the descriptors of the layers, and the layers. Assembly doesn't read the
layers, so large layers don't make assembly slower.
"""

from __future__ import annotations

from types import MappingProxyType

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import ANNOTATION, CONFIG, HISTORY, INDEX, MANIFEST, Layer, digest_of, to_bytes
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.images.validation.remedies import Remedies

if TYPE_CHECKING:
    from rules_bento.base.tag import Tag

# Older runtimes reject more layers (overlayfs accepts one page of options for its lower directories).
MAX_LAYERS = 127


class ImageConfig(NamedTuple):
    """The platform, container settings, labels, and annotations of an image."""

    architecture: str  # as named in Go
    os: str
    created: str  # RFC 3339
    labels: dict[str, str]
    annotations: dict[str, str]
    env: Mapping[str, str] = MappingProxyType({})
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    user: str = ""
    working_dir: str = ""
    ports: Sequence[str] = ()  # <number>/<protocol>


class OciImage(NamedTuple):
    """The config and the manifest of an image, as JSON."""

    config: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        """The digest of the manifest, which identifies the image."""
        return digest_of(self.manifest)


def standard_annotations(created: str, tags: Sequence[Tag]) -> dict[str, str]:
    """Return standard OCI annotations for an image or artifact that contains models with the tags `tags`."""
    annotations = {f"{ANNOTATION}created": created, f"{ANNOTATION}title": ", ".join(tag.name for tag in tags)}
    return annotations | ({f"{ANNOTATION}version": tags[0].version} if len(tags) == 1 else {})


def data_config(created: str, annotations: dict[str, str], base: Mapping[str, Any]) -> ImageConfig:
    """Return a config without an entry point. `base` provides the architecture (default: amd64) and the environment."""
    standard = {key: value for key, value in annotations.items() if key.startswith(ANNOTATION)}
    architecture, env = base.get("architecture", "amd64"), base.get("env", {})
    return ImageConfig(architecture, "linux", created, labels=standard, annotations=annotations, env=env)


def check_layers(layers: Sequence[Layer], remedy: str = Remedies.fewer_layers) -> None:
    """Raise BentoError if an image has more layers than runtimes support."""
    if len(layers) > MAX_LAYERS:
        problem = f"the image has {len(layers)} layers, but container runtimes support at most {MAX_LAYERS}"
        raise BentoError(problem, remedy=remedy)


def make_image(layers: list[Layer], settings: ImageConfig) -> OciImage:
    """Return the config and the manifest of an image that consists of `layers`, lowest first."""
    config = to_bytes(
        {
            "created": settings.created,
            "architecture": settings.architecture,
            "os": settings.os,
            "config": _without_empty(
                {
                    "User": settings.user,
                    "ExposedPorts": {port: {} for port in settings.ports},
                    "Env": [f"{name}={value}" for name, value in settings.env.items()],
                    "Entrypoint": settings.entrypoint,
                    "Cmd": settings.cmd,
                    "WorkingDir": settings.working_dir,
                    "Labels": settings.labels,
                    "StopSignal": "SIGTERM" if settings.entrypoint else "",
                }
            ),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": settings.created, "created_by": f"{HISTORY}{layer.name}"} for layer in layers],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [layer.descriptor for layer in layers],
    }
    return OciImage(config, to_bytes(_without_empty(manifest | {"annotations": settings.annotations})))


def layer_names(history: object, number: int) -> list[str]:
    """Return how the history in the config of an image describes each of `number` layers."""
    steps = [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []
    names = [str(step.get("created_by", "")) for step in steps if not step.get("empty_layer")]
    if len(names) != number:
        return ["layer"] * number
    return [name.removeprefix(HISTORY)[:200] or "layer" for name in names]


def make_index(
    images: list[tuple[bytes, dict[str, str]]], annotations: dict[str, str], others: Sequence[dict[str, Any]] = ()
) -> bytes:
    """Return an OCI index of manifests, each with its platform (`os`, `architecture`, and optionally `variant`).

    `others` contains additional descriptors.
    """
    manifests = [descriptor(MANIFEST, manifest) | {"platform": platform} for manifest, platform in images]
    manifests += others
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    return to_bytes(_without_empty(index | {"annotations": annotations}))


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    """Return the OCI descriptor of `content`."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value not in ("", (), [], {})}


_MODELPACK = "application/vnd.cncf.model"
_MODELPACK_ARTIFACT = f"{_MODELPACK}.manifest.v1+json"
_MODELPACK_CONFIG = f"{_MODELPACK}.config.v1+json"
_FILEPATH = "org.cncf.model.filepath"
_WEIGHTS = (".bin", ".ckpt", ".gguf", ".h5", ".onnx", ".pt", ".pth", ".safetensors")
_FORMATS = ("gguf", "safetensors", "onnx")
_DOCUMENTS = ("license", "notice", "readme")


def modelpack_layer(path: str, digest: str, size: int) -> Layer:
    """Return the layer that consists of the model's file at `path`."""
    name = path.rpartition("/")[2].lower()
    kind = "weight.config"
    if name.endswith(_WEIGHTS):
        kind = "weight"
    elif name.startswith(_DOCUMENTS) or name.endswith(".md"):
        kind = "doc"
    elif name.endswith(".py"):
        kind = "code"
    return Layer(f"{_MODELPACK}.{kind}.v1.raw", digest, size, digest, {_FILEPATH: path}, size, path)


def make_modelpack(tag: Tag, created: str, layers: Sequence[Layer], annotations: dict[str, str]) -> OciImage:
    """Return the config and manifest of the artifact of `modelpack_layer`s. The config repeats annotations."""
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
        "artifactType": _MODELPACK_ARTIFACT,
        "config": descriptor(_MODELPACK_CONFIG, config),
        "layers": [layer.descriptor for layer in layers],
        "annotations": annotations,
    }
    return OciImage(config, to_bytes(manifest))
