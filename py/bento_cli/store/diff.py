"""Compares the files, descriptors, and models of two entries or archives."""

from __future__ import annotations

from rules_bento.base.archives import unpack
from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, BinaryIO, Mapping
from rules_bento.bentos.assembly import bento_yaml
from rules_bento.bentos.assembly.kinds import BENTO, MODEL, Kind
from rules_bento.bentos.sources.tree_manifest import TreeEntry as File
from rules_bento.images.reports import bento_report
from rules_bento.images.reports.report_changes import changed_packages

from bento_cli.store import import_session
from bento_cli.store.entry_contents import own_files

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.unpack import Form

    from bento_cli.store.entry_store import Entry

_MODELS = "models/"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: the files by path, and the descriptor. The files don't include a Bento's models."""

    name: str
    kind: Kind
    files: Mapping[str, File]
    description: bento_yaml.Description


@dataclass(frozen=True)
class Difference:
    """The differences: files, descriptor fields (by dotted name), models (by tag), and packages (as in reports)."""

    added: tuple[File, ...] = ()
    removed: tuple[File, ...] = ()
    changed: tuple[tuple[File, File], ...] = ()
    fields: tuple[tuple[str, Any, Any], ...] = field(default=())  # None on a side without the field
    models_added: tuple[str, ...] = ()
    models_removed: tuple[str, ...] = ()
    packages: tuple[dict[str, Any], ...] = ()  # that `image.python_requirements` lists

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.fields, self.models_added, self.models_removed))


def of_entry(entry: Entry) -> Side:
    """Return an entry in the store as one side of a comparison."""
    return Side(str(entry.tag), entry.kind, {file.path: file for file in own_files(entry, {})}, entry.description)


def of_archive(source: Path | BinaryIO, form: Form) -> Side:
    """Return an archive as one side of a comparison, without storing it. Raises BentoError for an invalid archive."""
    path = unpack.source_name(source)
    files: dict[str, File] = {}
    texts: dict[str, bytes] = {}
    for item, contents in unpack.read(source, form):
        if item.path in (BENTO.descriptor, MODEL.descriptor):
            bento_yaml.check_size(item.size, f"{path}: {item.path}")
            texts[item.path] = b"".join(contents)
            contents = iter((texts[item.path],))
        if item.kind == "link":
            files[item.path] = File.of_link(item.path, item.link)
        elif item.kind == "file":
            mode = 0o755 if item.executable else 0o644
            files[item.path] = File(item.path, item.size, mode, import_session.digest(contents))
    kind = BENTO if BENTO.descriptor in texts else MODEL
    if kind.descriptor not in texts:
        remedy = "Specify an archive of a Bento or model."
        raise BentoError(f"{path} contains no {BENTO.descriptor} or {MODEL.descriptor}", remedy=remedy)
    if kind is BENTO:
        files = {name: file for name, file in files.items() if not name.startswith(_MODELS)}
    description = bento_yaml.parse(kind, texts[kind.descriptor], f"{path}: {kind.descriptor}")
    return Side(path, kind, files, description)


def compare(one: Side, other: Side) -> Difference:
    """Return the differences between `one` (before) and `other` (after)."""
    before, after = one.files, other.files
    both = sorted(before.keys() & after.keys())
    fields = _flat(one.description.document), _flat(other.description.document)
    values = [(key, fields[0].get(key), fields[1].get(key)) for key in dict.fromkeys((*fields[0], *fields[1]))]
    models = [[model.tag for model in side.description.models] for side in (one, other)]
    return Difference(
        added=tuple(after[path] for path in sorted(after.keys() - before.keys())),
        removed=tuple(before[path] for path in sorted(before.keys() - after.keys())),
        changed=tuple((before[path], after[path]) for path in both if before[path] != after[path]),
        fields=tuple(value for value in values if value[1] != value[2]),
        models_added=tuple(tag for tag in models[1] if tag not in models[0]),
        models_removed=tuple(tag for tag in models[0] if tag not in models[1]),
        packages=tuple(changed_packages(_packages(one), _packages(other))),
    )


def _packages(side: Side) -> list[dict[str, str]]:
    text = (side.description.document.get("image") or {}).get("python_requirements") or ""
    return bento_report.packages(str(text), side.description.python_version)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a document by dotted name. Empty lists and mappings are leaves."""
    if isinstance(value, dict) and value:
        pairs = [(f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        pairs = [(f"{prefix}[{number}]", item) for number, item in enumerate(value)]
    else:
        return {prefix: value}
    return {name: leaf for key, item in pairs for name, leaf in _flat(item, key).items()}
