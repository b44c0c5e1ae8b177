"""Entries of BentoML's model store: `model.yaml` and the files of a model."""

from __future__ import annotations

import json

from rules_bento.dataclasses_lite import asdict, dataclass, field
from rules_bento.errors import BentoError
from rules_bento.sources.manifest import Entry, Manifest, content_version
from rules_bento.tag import Tag
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL_YAML = "model.yaml"


@dataclass(frozen=True)
class ModelDescription:
    """Describes a model for the Bentos that have it. It travels between actions as JSON."""

    tag: str  # name:version
    module: str  # BentoML's framework module; empty for a generic model
    creation_time: str  # ISO 8601
    blake3: str  # identity of the tree, hexadecimal, without version and creation time
    size: int  # bytes of all files
    labels: dict[str, str] = field(default_factory=dict)

    def dumps(self) -> str:
        """Return the text of the JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def loads(text: str) -> ModelDescription:
        """Read what `dumps` gave. Raises BentoError for anything else."""
        from rules_bento.formats.json import read_json

        return ModelDescription.from_fields(read_json(text, "the description of a model", constants=True))

    @staticmethod
    def from_fields(fields: Any) -> ModelDescription:
        """Read a description from a JSON value. Raises BentoError for any other value."""
        if not isinstance(fields, dict) or fields.keys() - _TYPES.keys() or _TYPES.keys() - fields.keys() - {"labels"}:
            raise BentoError(f"the description of a model has other fields than {', '.join(_TYPES)}. Push it again.")
        for name, value in fields.items():
            if type(value) is not _TYPES[name]:
                raise BentoError(f"the description of a model has {value!r:.60} as {name}. Push it again.")
        if not all(isinstance(label, str) for label in fields.get("labels", {}).values()):
            raise BentoError("the description of a model has a label that is no text. Push it again.")
        return ModelDescription(**fields)


_TYPES = {"tag": str, "module": str, "creation_time": str, "blake3": str, "size": int, "labels": dict}


@dataclass(frozen=True)
class BundledModel:
    """Holds a model that a Bento bundles, under its own name and perhaps an alias."""

    description: ModelDescription
    alias: str = ""

    @property
    def tag(self) -> Tag:
        """Return the tag of name and version."""
        return Tag.parse(self.description.tag, "models")

    def entry(self, alias: str = "") -> dict[str, Any]:
        """Return the entry of bento.yaml."""
        description = self.description
        entry = {"tag": description.tag, "module": description.module, "creation_time": description.creation_time}
        return entry | ({"alias": alias} if alias else {})


def latest_versions(models: Iterable[ModelDescription]) -> dict[str, str]:
    """Return the version that `models/<name>/latest` points to, by name.

    The newest, among equally old ones the last.
    """
    newest: dict[str, tuple[str, str]] = {}
    for model in models:
        tag = Tag.parse(model.tag, "models")
        newest[tag.name] = max(newest.get(tag.name, ("", "")), (model.creation_time, tag.version))
    return {name: newest[name][1] for name in sorted(newest)}


@dataclass(frozen=True)
class ModelEntry:
    """Holds a model of the store, except for the bytes of its files."""

    description: ModelDescription
    model_yaml: bytes
    manifest: Manifest  # of all files, model.yaml among them


def make_entry(tag: Tag, fields: dict[str, Any], creation_time: str, files: Manifest) -> ModelEntry:
    """Make the entry of `files`, with the `model.yaml` that BentoML 1.4 writes (api_version v1).

    `fields` are module, labels, options, metadata, context, signatures and api_version. Without a version, the tag gets
    the digest of the content, which is that of the files and of `fields`. Raises BentoError where there is no file, or
    a `model.yaml` among them.
    """
    from rules_bento.formats.yaml_writer import dump_yaml

    if any(entry.path == MODEL_YAML for entry in files.entries):
        raise BentoError(f"srcs: {MODEL_YAML} is written by the rule. Leave it out; its values are attributes.")
    if not files.entries:
        raise BentoError("srcs: a model needs at least one file.")
    identity = content_identity(tag.name, fields, files)
    tag = Tag(tag.name, tag.version or content_version(identity))
    text = dump_yaml({"name": tag.name, "version": tag.version, **fields, "creation_time": creation_time})
    manifest = Manifest.of([*files.entries, Entry.of_bytes(MODEL_YAML, text)])
    description = ModelDescription(
        tag=str(tag),
        module=fields["module"],
        creation_time=creation_time,
        blake3=identity.hex(),
        size=sum(entry.size for entry in manifest.entries),
        labels=read_labels(fields),
    )
    return ModelEntry(description, text, manifest)


def content_identity(name: str, fields: dict[str, Any], files: Manifest) -> bytes:
    """Return the digest of a model's content, whatever its version and creation time; `fields` and `files` as above."""
    from rules_bento.formats.yaml_writer import dump_yaml

    return Manifest.of([*files.entries, Entry.of_bytes(MODEL_YAML, dump_yaml({"name": name, **fields}))]).identity()


def read_labels(fields: dict[str, Any]) -> dict[str, str]:
    """Return the labels that a `model.yaml` has."""
    return {str(key): str(value) for key, value in (fields["labels"] or {}).items()}
