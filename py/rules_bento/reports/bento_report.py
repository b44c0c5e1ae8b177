"""Reports the contents of a Bento: files, packages, models, and APIs."""

from __future__ import annotations

import re

from rules_bento.models.weights import parameters
from rules_bento.packages.requirements import logical_lines
from rules_bento.reports.page import Section, Table, document
from rules_bento.reports.page import size as format_size
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator

if TYPE_CHECKING:
    from rules_bento.models.model import ModelDescription
    from rules_bento.sources.manifest import TreeManifest

# Suffixes of files that can contain pickles, which run code when they are loaded.
_PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*])?\s*==\s*([^\s;,\\]+)")
_NAMED = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(.*)")


def packages(requirements: str) -> list[dict[str, str]]:
    """Return the name, and the version or version specifier, of each package in a requirements file."""
    rows = []
    for line in logical_lines(requirements):
        text = line.text.partition(" --hash")[0].partition(";")[0].rstrip()
        match = _PINNED.match(text) or _NAMED.match(text)
        if match:  # otherwise an option, a comment, or the hashes of the previous line
            rows.append({"name": match[1], "version": match[2]})
    return sorted(rows, key=lambda package: package["name"].lower())


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
        "pickles": [file.path for file in files.entries if file.path.endswith(_PICKLES)],
        "files": [{"path": file.path, "size": file.size} for file in files.entries],
    }


def files(manifest: TreeManifest) -> list[dict[str, Any]]:
    """Return one report entry for each file. The field `content` is the digest of a file or the target of a link."""
    return [
        {"path": file.path, "size": file.size, "content": file.blake3 or f"-> {file.link}"} for file in manifest.entries
    ]


def page(report: dict[str, Any], date: str | None = None) -> str:
    """Return a report as an HTML page. The report must include the fields that the subcommand `report` adds."""
    files, models = report["files"], report["models"]
    summary = [
        report["target"],
        report["digest"],
        f"{_count(len(files), 'file')} of {format_size(sum(file['size'] for file in files))}, "
        f"{_count(len(models), 'model')} of {format_size(sum(model['size'] for model in models))}, "
        f"{_count(len(report['packages']), 'package')}; {format_size(report['archive_size'])} as an archive.",
    ]
    return document(report["tag"], summary, _sections(report), documentation="docs/ci.md", date=date)


def _sections(report: dict[str, Any]) -> Iterator[Section]:
    for service in report["services"]:
        title = f"Service {service['name']}, {_count(len(service['apis']), 'API')}"
        rows = [(api["route"], api["name"], api["what"]) for api in service["apis"]]
        rows += [(path, "", "mounted") for path in service["mounts"]]
        doc = [service["doc"]] if service["doc"] else []
        yield Section(title, [*doc, Table(("Route", "Name", "Types"), rows, "text")], "open")
    for model in report["models"]:
        details = [model["module"] or "a generic model", *(f"{key}: {value}" for key, value in model["labels"].items())]
        title = f"Model {model['tag']}, {format_size(model['size'])}"
        yield Section(title, [", ".join(details), *_weights(model), _files(model["files"])])
    packages = [(package["name"], package["version"]) for package in report["packages"]]
    yield Section(_count(len(packages), "package"), [Table(("Name", "Version"), packages, "text")])
    total = format_size(sum(file["size"] for file in report["files"]))
    yield Section(f"{_count(len(report['files']), 'file')}, {total}", [_files(report["files"])])


def _weights(model: dict[str, Any]) -> Iterator[str]:
    """Yield the weights by type, and the files whose loading can run code."""
    counts = [(entry["dtype"], entry["parameters"], format_size(entry["size"])) for entry in model["weights"]]
    if counts:
        yield "; ".join(f"{dtype}{_parameters(count)}, {size}" for dtype, count, size in counts)
    if pickles := model["pickles"]:
        yield f"{_count(len(pickles), 'file')} in formats that can run code when they are loaded: {', '.join(pickles)}"


def _parameters(count: int | None) -> str:
    """Format a number of parameters, such as ` 7.2 B parameters`."""
    if count is None:
        return ""
    for unit, divisor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= divisor:
            return f" {count / divisor:.1f} {unit} parameters"
    return f" {_count(count, 'parameter')}"


def _files(files: list[dict[str, Any]]) -> Table:
    return Table(("Path", "Size"), [(file["path"], format_size(file["size"])) for file in files])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
