"""Assembles OCI images (image specification 1.1).

An image consists of a config, a manifest with the descriptors of the layers, and the layers. Assembly doesn't read the
layers, so large layers don't make assembly slower.
"""

from __future__ import annotations

import json
from types import MappingProxyType

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats.oci import ANNOTATION, CONFIG, INDEX, MANIFEST, digest_of, to_bytes
from rules_bento.images.remedies import Remedies
from rules_bento.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.tag import Tag

# Older runtimes reject more layers (overlayfs accepts one page of options for its lower directories).
MAX_LAYERS = 127


class Layer(NamedTuple):
    """A layer of an image."""

    media_type: str
    digest: str  # sha256:<hex> of the blob
    size: int  # bytes of the blob
    diff_id: str  # sha256:<hex> of the tar
    name: str  # its contents, for the image's history
    annotations: dict[str, str] | None = None  # annotations of the descriptor in a manifest

    @staticmethod
    def loads(text: str) -> Layer:
        """Parse a layer description, which is a JSON object."""
        fields = json.loads(text)
        return Layer(**{field: fields[field] for field in Layer._fields if field in fields})

    @property
    def descriptor(self) -> dict[str, Any]:
        """The layer's descriptor for the image manifest."""
        document = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return document | {"annotations": self.annotations} if self.annotations else document


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
        raise BentoError(
            f"the image has {len(layers)} layers, but container runtimes support at most {MAX_LAYERS}. {remedy}"
        )


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
            "history": [{"created": settings.created, "created_by": f"rules_bento: {layer.name}"} for layer in layers],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [layer.descriptor for layer in layers],
    }
    return OciImage(config, to_bytes(_without_empty(manifest | {"annotations": settings.annotations})))


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
