"""Parses `bento.yaml` and `model.yaml`, with the same results as BentoML 1.4.40, and computes the identity of a Bento.

`bentoml list` fails for the whole store if BentoML can't load one entry, so the store accepts only entries that BentoML
can load. The tables in this module describe the fields that BentoML's classes require. Tests compare the tables with
BentoML. The tables also define the keys in the output of `bentoml get`, and their order.
"""

from __future__ import annotations

import datetime as dt
import os
import re

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import MAX_BYTES
from rules_bento.base.formats.times import parse_time
from rules_bento.base.tag import Tag, check_version, check_word
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable
from rules_bento.bentos.assembly.descriptor_values import (
    REQUIRED,
    any_value,
    items,
    mapping,
    optional,
    record,
    to_bool,
    to_str,
    to_time,
    typed,
)
from rules_bento.bentos.assembly.kinds import BENTO, Kind
from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest, open_source

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.assembly.descriptor_values import Conversion
    from rules_bento.bentos.models.model import ModelDescription

_STAGES = ("all", "build", "runtime")


@dataclass(frozen=True)
class ModelReference:
    """A reference to a model that a Bento needs."""

    tag: str
    registry: str  # `bentoml`, or `huggingface` for a model that is fetched when the Bento is served
    alias: str


@dataclass(frozen=True)
class Description:
    """The contents of a descriptor (bento.yaml or model.yaml)."""

    tag: Tag
    creation_time: dt.datetime  # without a time zone if the descriptor has none
    document: dict[str, Any]  # as `bentoml get` prints it
    declared: dict[str, Any]  # as written in the descriptor
    notes: tuple[str, ...]  # warnings

    @property
    def module(self) -> str:
        """The module of a model's framework, such as `bentoml.sklearn`, or "" if the descriptor contains no module."""
        return str(self.document.get("module", ""))

    @property
    def python_version(self) -> str:
        """The version of Python (`X.Y`) for which a Bento installs packages, or "" if it isn't specified."""
        image = self.document.get("image" if self.document.get("spec") == 2 else "docker", {})
        match = re.match(r"3\.[0-9]{1,3}(?![0-9])", str(image.get("python_version")))
        return match[0] if match else ""

    @property
    def models(self) -> tuple[ModelReference, ...]:
        """All models of a Bento and its services, without duplicates."""
        entries = list(self.document.get("models", ()))
        for service in self.document.get("services", ()):
            entries += service["models"]
        by_tag = {entry["tag"]: entry for entry in entries}
        return tuple(
            ModelReference(tag, entry.get("registry", "bentoml"), entry.get("alias") or "")
            for tag, entry in by_tag.items()
        )


def parse(kind: Kind, data: bytes, where: str) -> Description:
    """Parse a descriptor. Raises BentoError if BentoML can't load the descriptor. The message begins with `where`."""
    declared = _load(data, where)
    notes: list[str] = []
    name = _word(declared, "name", check_word, where, notes)
    version = _word(declared, "version", check_version, where, notes)
    try:
        filled: dict[str, Any] = _bento(declared) if kind is BENTO else _model(declared)
    except BentoError as error:
        raise error.at(where) from None
    created = parse_time(filled["creation_time"])
    if created.tzinfo is None:
        notes.append(
            f"{where}: creation_time has no time zone. `bentoml list` fails if other entries of the store have one."
        )
    ordered: dict[str, Any] = {}
    for key, value in filled.items():
        ordered[key] = value
        if key == "service":  # a Bento's comes before its name
            ordered |= {"name": name, "version": version}
    if kind is not BENTO:
        ordered = {"name": name, "version": version} | ordered
    return Description(Tag(name, version), created, ordered, declared, tuple(notes))


def read(kind: Kind, path: Path) -> bytes:
    """Return the content of a descriptor. Raises BentoError if the file doesn't exist or is too large."""
    try:
        with open_source(str(path)) as file:
            check_size(os.fstat(file.fileno()).st_size, str(path))
            return file.read(MAX_BYTES)
    except OSError as error:
        problem = f"invalid {kind.noun}: cannot read {kind.descriptor} ({error.strerror})"
        raise BentoError(problem, place=str(path.parent), remedy="Remove this directory from the store.") from None


def of_directory(kind: Kind, directory: Path) -> Description:
    """Parse the descriptor of the entry in `directory`. Raises BentoError if BentoML can't load the descriptor."""
    path = directory / kind.descriptor
    return parse(kind, read(kind, path), str(path))


def check_size(size: int, where: str) -> None:
    """Raise BentoError if `size` (in bytes) is too large for a descriptor. The message begins with `where`."""
    if size > MAX_BYTES:
        remedy = "Restore the file that BentoML wrote."
        raise BentoError(f"the file has {size} bytes, but the limit is {MAX_BYTES}", place=where, remedy=remedy)


def _load(data: bytes, where: str) -> dict[str, Any]:
    from rules_bento.base.formats.yaml import read_yaml

    document = read_yaml(data, where, binary=True)  # metadata of models may be bytes
    if not isinstance(document, dict):
        raise BentoError("expected a YAML mapping", place=where, remedy="Restore the file that BentoML wrote.")
    return document


def _word(document: dict[str, Any], key: str, check: Callable[[str, str], str], where: str, notes: list[str]) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        problem = "is missing" if value is None else f"is {value!r}, not a string"
        raise BentoError(f"{key} {problem}", place=where, remedy=f"Set {key} to a string in quotes.")
    if value != value.lower():
        notes.append(f"{where}: {key} {value!r} is converted to {value.lower()!r}, as BentoML does.")
    return check(value.lower(), f"{where}: the {key}")


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat()


def _tag(value: Any, where: str) -> str:
    name, colon, version = typed(str)(value, where).lower().partition(":")
    check_word(name, f"{where}: the name of the model")
    return f"{name}:{check_word(version, f'{where}: the version of the model')}" if colon else name


def _model_reference(value: Any, where: str) -> dict[str, Any]:
    reference: dict[str, Any] = _MODEL_REFERENCE(value, where)
    for key, default in (("alias", None), ("registry", "bentoml"), ("metadata", None)):
        if reference[key] == default:
            del reference[key]
    return reference


def _dependency(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"service": value}
    return {key: item for key, item in _DEPENDENCY(value, where).items() if item is not None}


def _stage(value: Any, where: str) -> str:
    if value not in _STAGES:
        raise BentoError(f"invalid stage {value!r}", place=where, remedy=f"Valid values: {', '.join(_STAGES)}.")
    return str(value)


_MODEL_REFERENCE = record(
    {
        "tag": (_tag, REQUIRED),
        "module": (optional(to_str), None),
        "creation_time": (to_time, _now),
        "alias": (optional(to_str), None),
        "registry": (to_str, "bentoml"),
        "metadata": (optional(mapping()), None),
    }
)
_DEPENDENCY = record(dict.fromkeys(("service", "deployment", "cluster", "url"), (any_value, None)), closed=True)
_SERVICE = record(
    {
        "name": (to_str, REQUIRED),
        "service": (to_str, REQUIRED),
        "models": (items(_model_reference), list),
        "dependencies": (items(_dependency), list),
        "config": (mapping(), dict),
    }
)
_ENV = record({"name": (to_str, REQUIRED), "value": (to_str, ""), "stage": (_stage, "all")})
_COMMON: dict[str, tuple[Conversion, Any]] = {
    "service": (to_str, REQUIRED),
    "bentoml_version": (to_str, ""),
    "creation_time": (to_time, _now),
    "labels": (mapping(to_str), dict),
    "models": (items(_model_reference), list),
    "entry_service": (to_str, ""),
    "services": (items(_SERVICE), list),
    "envs": (items(_ENV), list),
    "schema": (mapping(), dict),
    "args": (mapping(), dict),
}
_IMAGE = record(
    {
        "base_image": (to_str, ""),
        "python_version": (to_str, ""),
        "commands": (items(to_str), list),
        "python_requirements": (to_str, ""),
        "post_commands": (items(to_str), list),
        "build_include": (items(to_str), list),
    }
)


def _bento(declared: dict[str, Any]) -> Any:
    """Convert a bento.yaml according to its `spec`. Raises BentoError if a value has the wrong type."""
    document = dict(declared)  # older forms of the document are converted
    models = declared.get("models")
    if isinstance(models, list) and models and isinstance(models[0], str):
        document["models"] = [
            {"tag": tag, "module": "unknown", "creation_time": dt.datetime.fromordinal(1)} for tag in models
        ]
    # Also read in the second format of bento.yaml, in which runners have no meaning.
    document["runners"] = items(mapping())(declared.get("runners", []), "runners")
    for runner in document["runners"]:
        if "runner_type" in runner:
            runner["runnable_type"] = runner.pop("runner_type")
    if declared.get("spec", 1) == 2:
        document["spec"] = 2  # also for 2.0
        return record(_COMMON | {"spec": (any_value, 2), "image": (_IMAGE, lambda: _IMAGE({}, ""))})(document, "")
    from rules_bento.bentos.assembly import spec1_options

    document["spec"] = 1  # also for any other value
    lists = {"runners": (items(_RUNNER), list), "apis": (items(_API), list)}
    return record(_COMMON | {"spec": (any_value, 1)} | lists | spec1_options.FIELDS)(document, "")


_RUNNER = record(
    {
        "name": (to_str, REQUIRED),
        "runnable_type": (to_str, REQUIRED),
        "embedded": (to_bool, False),
        "models": (items(to_str), list),
        "resource_config": (optional(mapping()), None),
    }
)
_API = record({"name": (to_str, REQUIRED), "input_type": (to_str, REQUIRED), "output_type": (to_str, REQUIRED)})


def _batch_dimensions(value: Any, where: str) -> list[int]:
    try:
        input_dimension, output_dimension = value
        return [int(input_dimension), int(output_dimension)]
    except (TypeError, ValueError):
        remedy = "Write [INPUT, OUTPUT]."
        raise BentoError(f"expected two integers, got {value!r}", place=where, remedy=remedy) from None


def _signature(value: Any, where: str) -> dict[str, Any]:
    signature: dict[str, Any] = _SIGNATURE(value, where)
    if not signature["batchable"]:
        del signature["batch_dim"]
    return {key: item for key, item in signature.items() if item is not None}


def _metadata(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {str(key): _metadata(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_metadata(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if value is None:
        raise BentoError("BentoML doesn't allow null in metadata", place=where, remedy="Remove the key.")
    return value


_SIGNATURE = record(
    {
        "batchable": (to_bool, False),
        "batch_dim": (_batch_dimensions, lambda: [0, 0]),
        "input_spec": (any_value, None),
        "output_spec": (any_value, None),
    }
)
_CONTEXT = record(
    {
        "framework_name": (to_str, REQUIRED),
        "framework_versions": (mapping(to_str), REQUIRED),
        "bentoml_version": (to_str, ""),
        "python_version": (to_str, ""),
    }
)
_MODEL = record(
    {
        "module": (to_str, REQUIRED),
        "labels": (mapping(to_str), REQUIRED),
        "options": (mapping(), REQUIRED),
        "metadata": (lambda value, where: _metadata(mapping()(value, where), where), REQUIRED),
        "context": (_CONTEXT, REQUIRED),
        "signatures": (mapping(_signature), dict),
        "api_version": (to_str, REQUIRED),
        "creation_time": (to_time, REQUIRED),
    }
)


def _model(declared: dict[str, Any]) -> Any:
    """Convert the values of a model.yaml. Raises BentoError if a value has the wrong type."""
    context = declared.get("context")
    if isinstance(context, dict) and "pip_dependencies" in context:  # an older form
        declared = declared | {"context": context | {"framework_versions": {}}}
    return _MODEL(declared, "")


def content_identity(
    document: dict[str, Any], entries: Iterable[TreeEntry], models: Iterable[ModelDescription]
) -> bytes:
    """Return the BLAKE3 digest of a Bento's files, models, and bento.yaml.

    `document` is the parsed bento.yaml. The digest excludes the Bento's name, version, and creation times. `entries`
    lists the Bento's files, without bento.yaml and the files of models.
    """
    from rules_bento.base.formats.yaml_writer import dump_yaml

    timeless = {key: value for key, value in document.items() if key not in ("name", "version", "creation_time")}
    timeless["models"] = [_without_time(entry) for entry in document.get("models") or ()]
    timeless["services"] = [
        service | {"models": [_without_time(entry) for entry in service.get("models") or ()]}
        for service in document.get("services") or ()
    ]
    unique = {model.tag: model for model in models}
    tree = [*entries, TreeEntry.of_bytes("bento.yaml", dump_yaml(timeless))]
    tree += [
        TreeEntry("models/" + tag.replace(":", "/"), model.size, 0o644, model.blake3) for tag, model in unique.items()
    ]
    return TreeManifest.of(tree).identity()


def _without_time(entry: dict[str, Any] | str) -> dict[str, Any] | str:
    """Return the entry of a model without its time. In an older form of bento.yaml, an entry is only a tag."""
    return entry if isinstance(entry, str) else {key: value for key, value in entry.items() if key != "creation_time"}
