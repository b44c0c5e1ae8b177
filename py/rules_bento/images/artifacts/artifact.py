"""Builds and parses OCI artifacts of Bentos and models, in the format that docs/registries.md defines.

The blobs of a Bento are the parts of its `.bento` archive, including the parts of its models. Because a registry keeps
existing blobs, a push of a new version sends only changed parts. The artifact's config contains bento.yaml.
"""

from __future__ import annotations

import json

from rules_bento.base.archives import sha256_of
from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError, problem_of
from rules_bento.base.formats.json import read_json
from rules_bento.base.formats.oci import ANNOTATION
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.bentos.models.model import ModelDescription
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import BlobSource, BytesSource, FileSource, Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest

if TYPE_CHECKING:
    from pathlib import Path


BENTO = "application/vnd.rules-bento.bento.v1"
BENTO_CONFIG = "application/vnd.rules-bento.bento.config.v1+json"
BENTO_PART = "application/vnd.rules-bento.bento.part.v1.tar+xz"
MODEL = "application/vnd.rules-bento.model.v1"
MODEL_CONFIG = "application/vnd.rules-bento.model.config.v1+json"
MODEL_PART = "application/vnd.rules-bento.model.part.v1.tar+xz"

MODEL_ANNOTATION = "rules-bento.model"  # annotation of a layer: the tag of the model
_PART_NAMES = ("metadata", "sources", "data")


class Part(NamedTuple):
    """A part of an archive, with its digest and size."""

    source: BlobSource
    sha256: str  # hexadecimal
    size: int

    @classmethod
    def from_file(cls, path: Path) -> Part:
        """Return the part in a file. Raises BentoError if the file can't be read."""
        try:
            return cls(FileSource(path), sha256_of(path), path.stat().st_size)
        except OSError as error:
            problem = f"cannot read the file: {error.strerror}"
            raise BentoError(problem, place=str(path), remedy="Build the artifact again.") from None

    def layer(self, media_type: str, title: str, **annotations: str) -> tuple[Descriptor, BlobSource]:
        """Return the part as a layer of an artifact."""
        annotated = {f"{ANNOTATION}title": title, **annotations}
        return Descriptor(media_type, f"sha256:{self.sha256}", self.size, annotated), self.source


ModelPart = tuple[ModelDescription, Part]


@dataclass(frozen=True)
class DescribedBento:
    """The description of a Bento in the config of its artifact."""

    bento: Mapping[str, Any]  # bento.yaml
    digest: str  # `blake3:<hex>` of the content; empty if unknown
    models: tuple[ModelDescription, ...]

    @property
    def tag(self) -> Tag:
        """The tag of the Bento, `name:version`."""
        return Tag(str(self.bento["name"]), str(self.bento["version"]))


def pack_bento(bento_yaml: bytes, digest: str, parts: Sequence[Part], models: Sequence[ModelPart]) -> Pushable:
    """Build the artifact of a Bento from archive parts. Raises BentoError for an invalid bento.yaml."""
    from rules_bento.base.formats.yaml import read_mapping

    document = read_mapping(bento_yaml, "bento.yaml")
    content = DescribedBento(document, digest, tuple(model for model, _ in models))
    return pack_described(content, parts, models)


def pack_described(content: DescribedBento, parts: Sequence[Part], models: Sequence[ModelPart]) -> Pushable:
    """Build the artifact of a Bento from its own parts and its models."""
    names = _PART_NAMES[: len(parts)]
    layers = [part.layer(BENTO_PART, f"{name}.tar.xz") for part, name in zip(parts, names, strict=True)]
    layers += [_model_layer(*model) for model in models]
    created = str(content.bento.get("creation_time", ""))
    return pack(BENTO, BENTO_CONFIG, bento_config(content), layers, _annotations(content.tag, created))


def pack_model(description: ModelDescription, part: Part) -> Pushable:
    """Build the artifact of a model. If a Bento includes the model, the Bento's artifact contains the same layer."""
    annotations = _annotations(Tag.parse(description.tag, "model"), description.creation_time)
    return pack(MODEL, MODEL_CONFIG, model_config(description), [_model_layer(description, part)], annotations)


def bento_config(content: DescribedBento) -> bytes:
    """Return the config of a Bento's artifact as JSON. Equal content results in equal bytes."""
    models = [description.published() for description in content.models]
    return _json({"bento": content.bento, "digest": content.digest, "models": models})


def model_config(description: ModelDescription) -> bytes:
    """Return the config of a model's artifact as JSON."""
    return _json(description.published())


def attach(subject: Descriptor, artifact_type: str, file: Path) -> Pushable:
    """Return an artifact that refers to the manifest `subject` and contains one file, such as an SBOM.

    `artifact_type` is a media type. The artifact and the file both get this type.
    """
    layer = Part.from_file(file).layer(artifact_type, file.name)
    return pack(artifact_type, oci.EMPTY, b"{}", [layer], {}, subject)


def refer(subject: Descriptor, blob: Descriptor, content: bytes, annotations: Mapping[str, str]) -> Pushable:
    """Return an artifact that refers to the manifest `subject` and contains one blob.

    `blob` is the descriptor of `content`. The artifact type is the media type of `blob`.
    """
    return pack(blob.media_type, oci.EMPTY, b"{}", [(blob, BytesSource(content))], annotations, subject)


def read_described(manifest: Manifest, config: bytes, origin: str) -> DescribedBento:
    """Return the description in a Bento's artifact. Raises BentoError for other artifacts and invalid configs."""
    if manifest.is_index or manifest.config.media_type != BENTO_CONFIG:
        kind = manifest.descriptor.artifact_type or manifest.descriptor.media_type
        problem = f"expected a Bento, got {kind}"
        raise BentoError(problem, place=origin, remedy="To pull an image, use a container engine.")
    try:
        document = read_json(config, "the config", constants=True)  # arguments might contain NaN and Infinity
        models = tuple(ModelDescription.from_fields(item) for item in document["models"])
        content = DescribedBento({**document["bento"]}, document["digest"], models)
        if not all(isinstance(text, str) for text in (content.digest, content.bento["name"], content.bento["version"])):
            raise TypeError("digest, name, and version must be strings")
        _check_whole(str(content.tag), *(model.tag for model in models))
    except (BentoError, TypeError, KeyError) as error:
        problem = f"cannot read the config of the Bento: {problem_of(error)}"
        raise BentoError(problem, place=origin, remedy="Push the Bento again.") from None
    return content


def read_model(manifest: Manifest, config: bytes, origin: str) -> ModelDescription:
    """Return the description in a model's artifact. Raises BentoError for other artifacts and invalid configs."""
    if manifest.is_index or manifest.config.media_type != MODEL_CONFIG or len(manifest.layers()) != 1:
        raise BentoError("the artifact isn't a model", place=origin, remedy="Specify a reference to a model.")
    try:
        description = ModelDescription.loads(config.decode())
        _check_whole(description.tag)
    except (BentoError, UnicodeDecodeError) as error:
        problem = f"cannot read the config of the model: {problem_of(error)}"
        raise BentoError(problem, place=origin, remedy="Push the model again.") from None
    return description


def _check_whole(*tags: str) -> None:
    if incomplete := [tag for tag in tags if not Tag.parse(tag, "tag").version]:
        raise BentoError(f"the tag {incomplete[0]!r} has no version")


def pack(
    artifact_type: str,
    config_type: str,
    config: bytes,
    layers: Sequence[tuple[Descriptor, BlobSource]],
    annotations: Mapping[str, str],
    subject: Descriptor | None = None,
) -> Pushable:
    """Return an artifact with the given config and layers. For an image, `artifact_type` is empty."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        **({"artifactType": artifact_type} if artifact_type else {}),
        "config": Descriptor.from_content(config, config_type).to_json(),
        "layers": [layer.to_json() for layer, _ in layers],
    }
    if subject:
        document["subject"] = Descriptor(subject.media_type, subject.digest, subject.size).to_json()
    if annotations:
        document["annotations"] = dict(annotations)
    sources: dict[str, BlobSource] = {layer.digest: source for layer, source in layers}
    sources[oci.digest_of(config)] = BytesSource(config)
    return Pushable(Manifest.read(oci.to_bytes(document), oci.MANIFEST, artifact_type), (), sources)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode()


def _model_layer(model: ModelDescription, part: Part) -> tuple[Descriptor, BlobSource]:
    title = f"models/{model.tag.replace(':', '/')}.tar.xz"
    return part.layer(MODEL_PART, title, **{MODEL_ANNOTATION: model.tag})


def _annotations(tag: Tag, created: str) -> dict[str, str]:
    standard = {f"{ANNOTATION}created": created, f"{ANNOTATION}title": tag.name, f"{ANNOTATION}version": tag.version}
    return {key: value for key, value in standard.items() if value}
