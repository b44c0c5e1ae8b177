"""Reads models from BentoML's store, and from archives that contain a single model."""

from __future__ import annotations

from pathlib import Path

from rules_bento.base.archives import unpack
from rules_bento.base.archives.tarstream import Member, check_links
from rules_bento.base.dataclasses_lite import dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.tag import Tag, read_latest
from rules_bento.base.tree_walk import is_generated
from rules_bento.base.typing_lite import Any, Collection, Mapping, Sequence
from rules_bento.bentos.models.model import (
    MODEL_YAML,
    BundledModel,
    ModelDescription,
    ModelEntry,
    content_identity,
    make_entry,
    newest_model,
    read_labels,
)
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.tree_manifest import TreeManifest

_KEYS = ("module", "labels", "options", "metadata", "context", "signatures", "api_version")


@dataclass(frozen=True)
class StoredModel:
    """A model in a store or an archive, with the paths of its files."""

    entry: ModelEntry
    sources: dict[str, str]  # locations of the files except model.yaml; empty for links
    alias: str = ""  # in the Bento's options

    def bundled(self) -> BundledModel:
        """Return the model as a BundledModel, for inclusion in a Bento."""
        return BundledModel(self.entry.description, self.alias)

    def members(self) -> list[Member]:
        """Return the files with their paths in a Bento archive."""
        return self.members_in(f"models/{self.entry.description.tag.replace(':', '/')}/")

    def members_in(self, directory: str, *, excluded: Collection[str] = (), uid: int = 0, gid: int = 0) -> list[Member]:
        """Return the files that aren't in `excluded`. `directory` is a prefix for the paths, with a trailing slash."""
        members = []
        for file in self.entry.manifest.entries:
            path = directory + file.path
            if file.path == MODEL_YAML:
                members.append(Member.inline(path, self.entry.model_yaml, mode=file.mode, uid=uid, gid=gid))
            elif file.link is not None:
                members.append(Member.symlink(path, file.link, uid=uid, gid=gid))
            elif file.path not in excluded:
                source = self.sources[file.path]
                members.append(Member.file(path, source, size=file.size, mode=file.mode, uid=uid, gid=gid))
        return members


def list_versions(store: Path, name: str) -> list[BundledModel]:
    """Return all versions of a model, without sizes and digests. Raises BentoError for an invalid `model.yaml`.

    The latest version is the version in the file `latest`, as in BentoML. If this file is missing or wrong, the latest
    version is the newest version, or the first of several.
    """
    directory = store / name
    models = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if (path / MODEL_YAML).is_file():
            fields = _model_yaml(path / MODEL_YAML)
            known = (f"{name}:{path.name}", fields["module"], _creation_time(fields))
            models.append(BundledModel(ModelDescription(*known, "", 0, read_labels(fields))))
    pointer = read_latest(directory)
    latest = next((model for model in models if model.tag.version == pointer), None) or newest_model(reversed(models))
    return [replace(model, is_latest=model is latest) for model in models]


def read(store: Path, tag: str) -> StoredModel:
    """Read the model with the tag `name:version` from the store. Raises BentoError for invalid files."""
    directory = store / tag.replace(":", "/")
    return from_files(list(snapshot.walk_entry(str(directory))), str(directory), Tag.parse(tag, "models"))


def from_files(files: Sequence[snapshot.DeclaredFile], origin: str, tag: Tag | None = None) -> StoredModel:
    """Read a model from `files`. `tag` replaces the tag in model.yaml. Raises BentoError for invalid files."""
    descriptor = next((file for file in files if file.path == MODEL_YAML), None)
    if descriptor is None:
        problem = f"{MODEL_YAML} is missing"
        raise BentoError(problem, place=origin, remedy="Specify a model's directory in the BentoML store.")
    fields = _model_yaml(Path(descriptor.source))
    tag = tag or Tag.parse(f"{fields['name']}:{fields['version']}", f"{origin}: {MODEL_YAML}")
    others = [file for file in files if file is not descriptor and not is_generated(file.path)]
    check_links({file.path: file.link for file in others if file.link is not None}, origin)
    entry = make_entry(
        tag, {key: fields[key] for key in _KEYS}, _creation_time(fields), snapshot.digest(others, is_model=True)
    )
    return StoredModel(entry, {file.path: file.source for file in others})


def describe(model_yaml: Mapping[str, Any], tag: Tag, files: TreeManifest) -> ModelDescription:
    """Return the metadata of a stored model, given its parsed `model.yaml` and all of its files."""
    fields = {"signatures": {}, **model_yaml}
    chosen = {key: fields[key] for key in _KEYS}
    others = TreeManifest(tuple(entry for entry in files.entries if entry.path != MODEL_YAML))
    return ModelDescription(
        tag=str(tag),
        module=str(fields["module"]),
        creation_time=_creation_time(fields),
        blake3=content_identity(tag.name, chosen, others).hex(),
        size=sum(entry.size for entry in files.entries),
        labels=read_labels(fields),
    )


def _model_yaml(path: Path) -> dict[str, Any]:
    from rules_bento.base.formats.yaml import read_yaml

    try:
        fields = read_yaml(read_file(path), str(path), binary=True)  # metadata can contain bytes
    except OSError as error:
        problem = f"cannot read the file: {error.strerror}"
        raise BentoError(problem, place=str(path), remedy="Save the model again.") from None
    if not isinstance(fields, dict):
        raise BentoError("expected a mapping", place=str(path), remedy="Save the model again.")
    fields.setdefault("signatures", {})
    missing = [key for key in ("name", "version", *_KEYS, "creation_time") if key not in fields]
    if missing:
        raise BentoError(f"missing keys: {', '.join(missing)}", place=str(path), remedy="Save the model again.")
    if not isinstance(fields["labels"] or {}, dict):
        raise BentoError("labels: expected a mapping", place=str(path), remedy="Save the model again.")
    return fields


def _creation_time(fields: dict[str, Any]) -> str:
    value = fields["creation_time"]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def unpack_model(archive: Path, name: str, directory: Path) -> list[snapshot.DeclaredFile]:
    """Unpack an archive into `directory`, and return the files. The extension of `name` determines the format.

    Removes the prefix `models/NAME/VERSION` from the returned paths. Also accepts `.part` files from a registry, which
    have no end marker. Raises BentoError for an invalid archive or an archive with several models.
    """
    from rules_bento.base.archives.archive import join

    if name.endswith(".part"):
        directory.mkdir(parents=True)  # writes: own, of the caller
        archive_with_end, directory = directory / "whole", directory / "files"
        join(archive_with_end, [archive])  # writes: own, of the caller
        archive, name = archive_with_end, name.removesuffix(".part")
    unpack.extract(archive, unpack.form_from_name(name), directory)  # writes: own, of the caller
    files = list(snapshot.walk_entry(str(directory)))
    parts = files[0].path.split("/") if files else []
    prefix = "/".join(parts[:3]) + "/" if parts[:1] == ["models"] and len(parts) > 3 else ""
    if not all(file.path.startswith(prefix) for file in files):
        raise BentoError("the archive must contain a single model", place=name, remedy="Export each model separately.")
    return [
        replace(file, path=file.path.removeprefix(prefix), source=file.source * (file.link is None), origin=name)
        for file in files
    ]
