"""Models of BentoML's own store, as Bentos bundle them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rules_bento import references, snapshot
from rules_bento.errors import BentoError
from rules_bento.model import MODEL_YAML, ModelDescription, ModelEntry, make_entry
from rules_bento.references import BundledModel
from rules_bento.tag import Tag
from rules_bento.tarstream import Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.options import BuildOptions
    from rules_bento.service import ServiceInfo

_KEYS = ("module", "labels", "options", "metadata", "context", "signatures", "api_version")


@dataclass(frozen=True)
class StoredModel:
    """A model of the store with its files."""

    entry: ModelEntry
    sources: dict[str, str]  # where to read each file but model.yaml
    labels: dict[str, str] = field(default_factory=dict)

    def bundled(self) -> BundledModel:
        """What a Bento needs to know of it."""
        return BundledModel(self.entry.description, labels=self.labels)

    def members(self) -> list[Member]:
        """The files, at their places in an archive."""
        root = "models/" + self.entry.description.tag.replace(":", "/")
        found = []
        for file in self.entry.manifest.entries:
            path = f"{root}/{file.path}"
            if file.path == MODEL_YAML:
                found.append(Member.inline(path, self.entry.model_yaml))
            elif file.link is not None:
                found.append(Member.symlink(path, file.link))
            else:
                found.append(Member.file(path, self.sources[file.path], size=file.size, mode=file.mode))
        return found


def referenced(info: ServiceInfo, options: BuildOptions, store: Path) -> list[StoredModel]:
    """The models that a service and its options name, each version once. Raises BentoError for one that is missing."""
    names = {reference.tag.partition(":")[0] for service in info.services for reference in service.models}
    names |= {reference.tag.partition(":")[0] for reference in info.models}
    names |= {choice.tag.lower().partition(":")[0] for choice in options.models or ()}
    aliases = {choice.alias: choice.tag for choice in options.models or () if choice.alias}
    candidates = [model for name in sorted(names - aliases.keys() - {""}) for model in _versions(store, name)]
    bundled = [_with_alias(model, aliases) for model in candidates]
    wanted = [entry["tag"] for entry in references.chosen_models(options.models or (), bundled, options.at("models"))]
    for service in info.services:
        wanted += [entry["tag"] for entry in references.service_models(service, bundled)]
    wanted += [entry["tag"] for entry in references.legacy_models(info, bundled)[0]]
    return [_read(store, tag) for tag in dict.fromkeys(wanted)]


def newest(store: Path, tag: str) -> dict[str, Any] | None:
    """`model.yaml` of the newest model that a tag means; None where there is none."""
    name, _, version = tag.lower().removesuffix(":latest").partition(":")
    found = [_model_yaml(store / model.description.tag.replace(":", "/")) for model in _versions(store, name)]
    found = [fields for fields in found if str(fields["version"]).startswith(version)]
    return max(found, key=_time) if found else None


def _with_alias(model: BundledModel, aliases: dict[str, str]) -> BundledModel:
    """A candidate under the alias that options give it, by which a source may name it."""
    for alias, tag in aliases.items():
        name, _, version = tag.lower().removesuffix(":latest").partition(":")
        if model.tag.name == name and model.tag.version.startswith(version):
            return BundledModel(model.description, alias, model.labels)
    return model


def _versions(store: Path, name: str) -> list[BundledModel]:
    """All versions of a model, without a look at their files."""
    folder = store / name
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / MODEL_YAML).is_file():
            fields = _model_yaml(path)
            description = ModelDescription(f"{name}:{path.name}", fields["module"], _time(fields), "", 0)
            found.append(BundledModel(description, labels=_labels(fields)))
    return found


def _read(store: Path, tag: str) -> StoredModel:
    folder = store / tag.replace(":", "/")
    fields = _model_yaml(folder)
    files = [
        snapshot.Declared(file.path, file.source, file.origin, file.link, filtered=False)
        for file in snapshot.walk(str(folder))
        if file.path != MODEL_YAML
    ]
    manifest = snapshot.digest(files)
    entry = make_entry(Tag.parse(tag, "models"), {key: fields[key] for key in _KEYS}, _time(fields), manifest)
    return StoredModel(entry, {file.path: file.source for file in files}, _labels(fields))


def _model_yaml(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / MODEL_YAML
    try:
        fields = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BentoError(f"{path} cannot be read: {' '.join(str(error).split())}. Save the model again.") from None
    if not isinstance(fields, dict):
        raise BentoError(f"{path} is no description of a model. Save the model again.")
    fields.setdefault("signatures", {})
    missing = [key for key in (*_KEYS, "creation_time") if key not in fields]
    if missing:
        raise BentoError(f"{path} has no {', '.join(missing)}. Save the model again.")
    return fields


def _labels(fields: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in (fields["labels"] or {}).items()}


def _time(fields: dict[str, Any]) -> str:
    value = fields["creation_time"]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
