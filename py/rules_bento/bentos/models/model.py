"""Creates entries for BentoML's model store: `model.yaml`, and the manifest of a model's files.

Model cards come from other people. A card that can't be read has no license, and never fails a build.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from rules_bento.base.dataclasses_lite import asdict, dataclass, field, fields
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.formats.times import newest, parse_time
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping
from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest, content_version

if TYPE_CHECKING:
    import datetime as dt

MODEL_YAML = "model.yaml"


@dataclass(frozen=True)
class ModelDescription:
    """The metadata of a model. Actions exchange the metadata as JSON."""

    tag: str  # name:version
    module: str  # BentoML's framework module; empty for a generic model
    creation_time: str  # ISO 8601
    blake3: str  # BLAKE3 of the files, without version and creation time, hexadecimal
    size: int  # bytes of all files
    labels: dict[str, str] = field(default_factory=dict)
    hugging_face: str = ""  # organization/name@commit of a model from the Hugging Face Hub
    origin: str = ""  # URL without credentials and query, or oci://REPOSITORY@DIGEST
    license: str = ""  # as in the model card: an SPDX expression or another name
    weights: dict[str, int] = field(default_factory=dict)  # bytes of tensors in safetensors files, by type

    def dumps(self) -> str:
        """Return the description as JSON that `loads` accepts."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    def published(self) -> dict[str, Any]:
        """Return the fields for the config of an artifact, which doesn't depend on the origin."""
        return {key: value for key, value in asdict(self).items() if key not in _LOCAL}

    @property
    def creation_moment(self) -> dt.datetime:
        """The creation time as a datetime. Raises BentoError for an invalid time."""
        try:
            return parse_time(self.creation_time)
        except ValueError:
            problem = f"expected a time such as 2026-01-31T12:00:00+00:00, got {self.creation_time!r}"
            raise BentoError(problem, place=f"{self.tag}: creation_time", remedy="Save the model again.") from None

    @staticmethod
    def loads(text: str) -> ModelDescription:
        """Parse JSON that `dumps` returned. Raises BentoError for invalid JSON."""
        from rules_bento.base.formats.json import read_json

        return ModelDescription.from_fields(read_json(text, "the description of a model", constants=True))

    @staticmethod
    def from_fields(document: Any) -> ModelDescription:
        """Convert a parsed JSON value to a description. Raises BentoError for an invalid value."""
        remedy = "Build the model again."
        schema.validate(document, _FIELDS, "the description of a model", remedy)
        if unknown := document.keys() - {item.name for item in fields(ModelDescription)}:
            problem = f"the description of a model has unknown fields: {', '.join(sorted(unknown))}"
            raise BentoError(problem, remedy=remedy)
        return ModelDescription(**document)


_LOCAL = frozenset({"license", "origin", "weights"})
_FIELDS = {
    "tag": str,
    "module": str,
    "creation_time": str,
    "blake3": str,
    "size": int,
    "labels?": {...: str},
    "hugging_face?": str,
    "origin?": str,
    "license?": str,
    "weights?": {...: int},
}


@dataclass(frozen=True)
class BundledModel:
    """A model that a Bento includes, with an optional alias."""

    description: ModelDescription
    alias: str = ""
    is_latest: bool = False  # `NAME:latest` is this model in the store

    @property
    def tag(self) -> Tag:
        """The tag of the model."""
        return Tag.parse(self.description.tag, "models")

    def entry(self, alias: str = "") -> dict[str, Any]:
        """Return the model's entry in bento.yaml. If `alias` isn't empty, the entry includes `alias`."""
        description = self.description
        entry = {"tag": description.tag, "module": description.module, "creation_time": description.creation_time}
        return entry | ({"alias": alias} if alias else {})


def newest_model(models: Iterable[BundledModel]) -> BundledModel | None:
    """Return the latest version in the store, otherwise the newest model. If times are equal, the last model wins."""
    models = [*models]
    latest = next((model for model in models if model.is_latest), None)
    return latest or newest(models, lambda model: model.description.creation_moment)


HUB_CACHE = "huggingface/hub"  # in the home directory of images: a cache of the library huggingface_hub


def hub_cache(bento: str, model: ModelDescription) -> Iterator[tuple[str, str, bytes]]:
    """Yield path, link target, and contents of files that let huggingface_hub find `model` of the Bento in `bento`."""
    if model.hugging_face:
        repository, _, revision = model.hugging_face.partition("@")
        home, _, name = bento.rpartition("/")
        directory = f"{HUB_CACHE}/models--{repository.replace('/', '--')}"
        target = f"{'../' * (directory.count('/') + 2)}{name}/models/{model.tag.replace(':', '/')}"
        yield f"{home}/{directory}/refs/main", "", revision.encode()
        yield f"{home}/{directory}/snapshots/{revision}", target, b""


def latest_versions(models: Iterable[ModelDescription]) -> dict[str, str]:
    """Return a dict that maps each model name to its newest version, by creation time and then by version string."""
    names: dict[str, list[ModelDescription]] = {}
    for model in sorted(models, key=lambda model: model.tag):
        names.setdefault(Tag.parse(model.tag, "models").name, []).append(model)
    latest = {name: newest(versions, lambda model: model.creation_moment) for name, versions in names.items()}
    return {name: Tag.parse(model.tag, "models").version for name, model in sorted(latest.items()) if model}


@dataclass(frozen=True)
class ModelEntry:
    """A model in the store, without the contents of its files."""

    description: ModelDescription
    model_yaml: bytes
    manifest: TreeManifest  # of all files, including model.yaml


def make_entry(tag: Tag, fields: dict[str, Any], creation_time: str, files: TreeManifest) -> ModelEntry:
    """Return a model entry with the `model.yaml` that BentoML 1.4 writes (api_version v1).

    `fields` contains the module, labels, options, metadata, context, signatures, and api_version. If `tag` has no
    version, the version is a digest of the name, `files`, and `fields`. Raises BentoError if `files` is empty or
    contains `model.yaml`.
    """
    from rules_bento.base.formats.yaml_writer import dump_yaml

    if any(entry.path == MODEL_YAML for entry in files.entries):
        problem = f"bento_model generates {MODEL_YAML}"
        raise BentoError(problem, place="srcs", remedy="Exclude the file, and set its values with attributes.")
    if not files.entries:
        raise BentoError("a model must contain at least one file", place="srcs", remedy="Add a file.")
    identity = content_identity(tag.name, fields, files)
    tag = Tag(tag.name, tag.version or content_version(identity))
    text = dump_yaml({"name": tag.name, "version": tag.version, **fields, "creation_time": creation_time})
    manifest = TreeManifest.of([*files.entries, TreeEntry.of_bytes(MODEL_YAML, text)])
    description = ModelDescription(
        tag=str(tag),
        module=fields["module"],
        creation_time=creation_time,
        blake3=identity.hex(),
        size=sum(entry.size for entry in manifest.entries),
        labels=read_labels(fields),
    )
    return ModelEntry(description, text, manifest)


def content_identity(name: str, fields: dict[str, Any], files: TreeManifest) -> bytes:
    """Return the digest of a model's name, files, and `fields` (see `make_entry`)."""
    from rules_bento.base.formats.yaml_writer import dump_yaml

    descriptor = TreeEntry.of_bytes(MODEL_YAML, dump_yaml({"name": name, **fields}))
    return TreeManifest.of([*files.entries, descriptor]).identity()


def read_labels(fields: dict[str, Any]) -> dict[str, str]:
    """Return the labels in the fields of a `model.yaml`, with keys and values as strings."""
    return {str(key): str(value) for key, value in (fields["labels"] or {}).items()}


_CARD = "README.md"
_MAX_CARD = 1 << 17  # bytes to read; the YAML of known cards has less than 64 KiB
_MAX_LICENSE = 100  # characters of a name
_METADATA = re.compile(rb"(?:\xef\xbb\xbf)?\s*---[\r\n]+(.*?)[\r\n]+---(?:[\r\n]|$)", re.DOTALL)


def read_license(files: Mapping[str, str]) -> str:
    """Return the license in the model card (the YAML between lines of `---`), such as `apache-2.0`, or "".

    `files` maps paths in the model to paths to read. The Hub's license `other` is replaced by `license_name`.
    """
    from rules_bento.base.formats.yaml import read_mapping

    if not files.get(_CARD):
        return ""
    with Path(files[_CARD]).open("rb") as file:
        match = _METADATA.match(file.read(_MAX_CARD))
    try:
        metadata = read_mapping(match[1], _CARD) if match else {}
    except BentoError:
        return ""
    declared = metadata.get("license")
    if declared == "other":
        declared = metadata.get("license_name") or declared
    names = declared if isinstance(declared, list) else [declared]
    text = ", ".join(" ".join(name.split()) for name in names if isinstance(name, str))
    return text if text.isprintable() and len(text) <= _MAX_LICENSE else ""
