"""Creates the documents that describe a Bento or model to BentoCloud or Yatai, in the format of BentoML's client."""

from __future__ import annotations

import datetime as dt

from rules_bento.base.formats.times import parse_time
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.sources.tree_manifest import TreeManifest

from bento_cli.store.entry_contents import own_files

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.bento_yaml import Description, ModelReference

    from bento_cli.store.entry_store import Entry
    from bento_cli.store.import_manifests import ManifestCache

DIGEST_LABEL = "rules-bento/blake3"
"""The label that a push adds to an entry: the digest of its files, which a pull verifies."""

_TIME = "%Y-%m-%d %H:%M:%S.%f"
_README = "README.md"
_MOST_README = 3 << 20  # bytes; BentoML sends no larger value


def bento(entry: Entry, description: Description, models: Sequence[Entry], digest: str, *, new: bool) -> dict[str, Any]:
    """Return the document that creates a Bento (if `new` is set) or updates an existing Bento."""
    descriptor = description.document
    document: dict[str, Any] = {"description": _readme(entry)}
    if new:
        document |= {"version": entry.tag.version, "build_at": time(entry.creation_time)}
    runners = [_runner(runner) for runner in descriptor.get("runners", ())]
    manifest = {
        "service": descriptor["service"],
        "bentoml_version": descriptor["bentoml_version"],
        "size_bytes": entry.size() + sum(model.size() for model in models),
        "entry_service": descriptor["entry_service"],
        "name": entry.tag.name,
        "apis": {},
        "models": [model.tag for model in description.models],
        "runners": runners if descriptor["spec"] == 1 else [],
        "services": [_service(service) for service in descriptor["services"]],
        "envs": descriptor["envs"],
        "schema": descriptor["schema"],
        "version": entry.tag.version,
        "dev": False,
        "image": descriptor.get("image"),
        "spec": descriptor["spec"],
    }
    return document | {"manifest": manifest, "labels": _labels(descriptor["labels"], digest)}


def model(entry: Entry, digest: str) -> dict[str, Any]:
    """Return the request body for creating a model."""
    document = entry.description.document
    context = document["context"]
    return {
        "description": "",
        "version": entry.tag.version,
        "manifest": {
            "module": document["module"],
            "api_version": document["api_version"],
            "bentoml_version": context["bentoml_version"],
            "size_bytes": entry.size(),
            "metadata": _timed(document["metadata"]),
            "context": context,
            "options": document["options"],
        },
        "build_at": time(entry.creation_time),
        "labels": _labels(document["labels"], digest),
    }


def huggingface(reference: ModelReference, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the document that registers a model on Hugging Face Hub."""
    metadata = {"registry": "huggingface", **(entry.get("metadata") or {})}
    framework = {"framework_name": "huggingface", "framework_versions": {}, "bentoml_version": "", "python_version": ""}
    return {
        "description": "",
        "version": reference.tag.partition(":")[2],
        "manifest": {
            "module": "",
            "api_version": "v1",
            "bentoml_version": "",
            "size_bytes": 0,  # only the Hub has this value
            "metadata": metadata,
            "context": framework,
            "options": {},
        },
        "build_at": _text(entry["creation_time"]),
        "labels": [],
    }


def digest_of(noted: ManifestCache, entry: Entry) -> str:
    """Return the digest of an entry's files as a label value: 52 lowercase letters and digits."""
    return label_of(TreeManifest.of(own_files(entry, noted.digests(entry.kind, entry.path))))


def label_of(manifest: TreeManifest) -> str:
    """Return the digest of a manifest as a label value: 52 lowercase letters and digits."""
    from base64 import b32encode

    return b32encode(manifest.identity()).decode().rstrip("=").lower()


def time(moment: dt.datetime) -> str:
    """Format a time for the protocol, without a time zone."""
    return moment.strftime(_TIME)


def _text(value: Any) -> str:
    """Format a descriptor's time for the protocol. The time is a string or a datetime."""
    return time(value if isinstance(value, dt.datetime) else parse_time(str(value)))


def _readme(entry: Entry) -> str:
    path = entry.path / _README
    if not path.is_file() or path.stat().st_size > _MOST_README:
        return ""
    return path.read_text("utf-8", "replace")


def _labels(labels: dict[str, str], digest: str) -> list[dict[str, str]]:
    merged = {**labels, DIGEST_LABEL: digest}
    return [{"key": key, "value": value} for key, value in merged.items()]


def _service(service: dict[str, Any]) -> dict[str, Any]:
    models = [{**entry, "creation_time": _text(entry["creation_time"])} for entry in service["models"]]
    return {**service, "models": models}


def _runner(runner: dict[str, Any]) -> dict[str, Any]:
    resources = runner["resource_config"]
    if resources:
        keys = {"cpu": "cpu", "nvidia_gpu": "nvidia.com/gpu", "custom_resources": "custom_resources"}
        resources = {key: resources.get(name) for key, name in keys.items()}
    return {
        "name": runner["name"],
        "runnable_type": runner["runnable_type"],
        "models": runner["models"],
        "resource_config": resources or None,
    }


def _timed(value: Any) -> Any:
    """Format all times in a value for the protocol, recursively."""
    if isinstance(value, dict):
        return {key: _timed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_timed(item) for item in value]
    return time(value) if isinstance(value, dt.datetime) else value
