"""Reports the contents of a Bento: files, packages, models, and APIs, and changes from another build of it."""

from __future__ import annotations

import re

from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator

if TYPE_CHECKING:
    from rules_bento.models.model import ModelDescription
    from rules_bento.sources.manifest import TreeManifest

_ORDER = ("API", "model", "package", "file")
_NOTHING: tuple[str | None, int] = (None, 0)
_PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*])?\s*==\s*([^\s;,\\]+)")
_NAMED = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(.*)")


def packages(requirements: str) -> list[dict[str, str]]:
    """Return name and version of each package of a requirements file, or the complete condition of an unpinned one."""
    rows = []
    for line in requirements.splitlines():
        text = line.partition(" #")[0].partition(";")[0].rstrip("\\ ")
        match = _PINNED.match(text) or _NAMED.match(text)
        if match:  # otherwise an option, a comment, or the hashes of the previous line
            rows.append({"name": match[1], "version": match[2]})
    return sorted(rows, key=lambda package: package["name"].lower())


def services(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the services of the service metadata, with their APIs and mounted applications."""
    if facts["kind"] == "legacy":
        apis = [_api(api) for api in facts["apis"]]
        return [{"name": facts["bento_name"] or facts["service"], "doc": None, "apis": apis, "mounts": []}]
    return [
        {
            "name": service["name"] or service["class_name"],
            "doc": service["doc"],
            "apis": [_api(api) for api in service["apis"]],
            "mounts": [mount["path"] for mount in service["mounts"]],
        }
        for service in facts["services"]
    ]


def _api(api: dict[str, Any]) -> dict[str, str]:
    flags = {"is_task": "task", "is_stream": "stream", "batchable": "batched"}
    types = [api[key] for key in ("input_type", "output_type") if api[key]]
    what = [word for flag, word in flags.items() if api[flag]] + ([" → ".join(types)] if types else [])
    return {"name": api["name"], "route": api["route"], "what": ", ".join(what)}


def model(description: ModelDescription, files: TreeManifest) -> dict[str, Any]:
    """Return a model with its files."""
    return {
        "tag": description.tag,
        "module": description.module,
        "labels": description.labels,
        "size": description.size,
        "blake3": description.blake3,
        "files": [{"path": file.path, "size": file.size} for file in files.entries],
    }


def files(manifest: TreeManifest) -> list[dict[str, Any]]:
    """Return all files of the Bento itself; a link has its target in place of a digest."""
    return [
        {"path": file.path, "size": file.size, "content": file.blake3 or f"-> {file.link}"} for file in manifest.entries
    ]


def changes(new: dict[str, Any], old: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the differences: `kind`, `name`, `before` and `after`, `change` in bytes.

    Before and after are versions of models and packages, the kind of an API, or the beginning of a file's digest; None
    for an added or a removed item. APIs come first; within a kind, the largest difference comes first.
    """
    before, after = dict(_compared_items(old)), dict(_compared_items(new))
    rows = []
    for key in before.keys() | after.keys():
        one, other = before.get(key, _NOTHING), after.get(key, _NOTHING)
        if one != other:
            rows.append(
                {"kind": key[0], "name": key[1], "before": one[0], "after": other[0], "change": other[1] - one[1]}
            )
    return sorted(rows, key=lambda change: (_ORDER.index(change["kind"]), -abs(change["change"]), change["name"]))


def _compared_items(report: dict[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[str, int]]]:
    """Yield the compared items: kind and name, a description, and bytes."""
    for service in report["services"]:
        for api in service["apis"]:
            yield ("API", f"{service['name']} {api['route']}"), (api["what"] or "plain", 0)
        for path in service["mounts"]:
            yield ("API", f"{service['name']} {path}"), ("mounted", 0)
    for name in dict.fromkeys(model["tag"].partition(":")[0] for model in report["models"]):
        same = [model for model in report["models"] if model["tag"].startswith(f"{name}:")]
        versions = ", ".join(sorted(model["tag"].partition(":")[2] for model in same))
        yield ("model", name), (versions, sum(model["size"] for model in same))
    for package in report["packages"]:
        yield ("package", package["name"]), (package["version"], 0)
    for file in report["files"]:
        yield ("file", file["path"]), (file["content"][:12], file["size"])
