"""Reports the contents of a Bento: files, packages, models, and APIs."""

from __future__ import annotations

import re

from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Mapping
from rules_bento.bentos.models.weights import parameters
from rules_bento.bentos.packages.requirement_syntax import logical_lines, without_hashes

if TYPE_CHECKING:
    from rules_bento.bentos.models.model import ModelDescription
    from rules_bento.bentos.sources.tree_manifest import TreeManifest

# Suffixes of files that can contain pickles, which run code when they are loaded.
_PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


def packages(requirements: str, python_version: str = "") -> list[dict[str, str]]:
    """Return the name, and the version or version specifier, of each package in a requirements file.

    With `python_version`, returns only the packages that a Bento for this version installs.
    """
    rows = []
    for logical in logical_lines(requirements):
        line = logical._replace(text=without_hashes(logical.text))
        if line.text and not line.flag and line.is_installed(python_version):
            name, version = line.package
            specifier = re.sub(r"^[-.\w]+\s*(\[[^]]*])?\s*", "", line.text.partition(";")[0]).rstrip()
            rows.append({"name": name, "version": version or specifier})
    return sorted(rows, key=lambda package: package["name"])


def services(service_info: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the report entries for services, including APIs and mounts. `service_info` is the service metadata."""
    if service_info["kind"] == "legacy":
        apis = [_api(api) for api in service_info["apis"]]
        return [
            {"name": service_info["bento_name"] or service_info["service"], "doc": None, "apis": apis, "mounts": []}
        ]
    return [
        {
            "name": service["name"] or service["class_name"],
            "doc": service["doc"],
            "apis": [_api(api) for api in service["apis"]],
            "mounts": service["mounts"],
        }
        for service in service_info["services"]
    ]


def described_services(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the report entries for the service that the `schema` of a bento.yaml describes, if there is one."""
    schema = document.get("schema")
    routes = schema.get("routes") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(routes, list):
        return []
    apis = []
    for route in filter(lambda route: isinstance(route, dict), routes):
        types = [_type(route.get("input")), _type(route.get("output"))]
        what = [*(["batched"] if route.get("batchable") is True else []), " → ".join(types)]
        apis.append({"name": str(route.get("name")), "route": str(route.get("route")), "what": ", ".join(what)})
    return [{"name": str(schema.get("name")), "doc": None, "apis": apis, "mounts": []}]


def _type(schema: object) -> str:
    """Return the type in a JSON schema: the fields of an object with their types, or the name of the type."""
    if not isinstance(schema, dict):
        return "any"
    fields = schema.get("properties")
    if isinstance(fields, dict) and fields:
        return ", ".join(f"{name}: {_short_type(field)}" for name, field in fields.items())
    return _short_type(schema)


def _short_type(schema: object) -> str:
    kind = schema.get("format") or schema.get("type") if isinstance(schema, dict) else None
    return kind if isinstance(kind, str) else "any"


def _api(api: dict[str, Any]) -> dict[str, str]:
    flags = {"is_task": "task", "is_stream": "stream", "batchable": "batched"}
    types = [api[key] for key in ("input_type", "output_type") if api[key]]
    what = [word for flag, word in flags.items() if api[flag]] + ([" → ".join(types)] if types else [])
    return {"name": api["name"], "route": api["route"], "what": ", ".join(what)}


def model(description: ModelDescription, files: TreeManifest) -> dict[str, Any]:
    """Return the report entry for a model: its metadata and its files."""
    return {
        "tag": description.tag,
        "module": description.module,
        "labels": description.labels,
        "size": description.size,
        "blake3": description.blake3,
        "weights": [
            {"dtype": dtype, "parameters": parameters(dtype, size), "size": size}
            for dtype, size in sorted(description.weights.items(), key=lambda item: -item[1])
        ],
        "pickles": pickles(file.path for file in files.entries),
        "files": [{"path": file.path, "size": file.size} for file in files.entries],
    }


def pickles(paths: Iterable[str]) -> list[str]:
    """Return the files that can contain pickles."""
    return [path for path in paths if path.endswith(_PICKLES)]


def files(manifest: TreeManifest) -> list[dict[str, Any]]:
    """Return one report entry for each file. The field `content` is the digest of a file or the target of a link."""
    return [
        {"path": file.path, "size": file.size, "content": file.blake3 or f"-> {file.link}"} for file in manifest.entries
    ]
