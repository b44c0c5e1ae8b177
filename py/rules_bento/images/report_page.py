"""The HTML page of an image's layer report."""

from __future__ import annotations

from rules_bento.reports import page as pages
from rules_bento.reports.page import MapNode
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {
    "wheel": "Python package",
    "deb": "Debian package",
    "model": "model",
    "bento": "sources",
    "other": "other files",
}


def page(report: dict[str, Any]) -> str:
    """Return the HTML of a report (`layer_report`)."""
    layers = report["layers"]
    stored = sum(layer["size"] for layer in layers)
    unpacked = sum(package["size"] for layer in layers for package in layer["packages"])
    return pages.document(
        report["target"],
        [f"{len(layers)} layers, {pages.size(stored)} in a registry, {pages.size(unpacked)} unpacked."],
        _KINDS,
        _tree(report),
        _sections(report),
    )


def _tree(report: dict[str, Any]) -> MapNode:
    layers = [_layer_node(layer) for layer in report["layers"]]
    return MapNode(report["target"], "layer", sum(layer.size for layer in layers), layers)


def _layer_node(layer: dict[str, Any]) -> MapNode:
    packages = [_package_node(package) for package in layer["packages"]]
    if len(packages) == 1:
        return packages[0]
    size = sum(package.size for package in packages) if packages else layer["size"]
    return MapNode(layer["name"], "layer", size, packages)


def _package_node(package: dict[str, Any]) -> MapNode:
    kind = package["kind"]
    files = [MapNode("/".join(file["path"].split("/")[-2:]), kind, file["size"]) for file in package["largest"]]
    rest = package["size"] - sum(file.size for file in files)
    if rest:
        files.append(MapNode(f"{package['files'] - len(files)} other files", kind, rest))
    return MapNode(f"{package['name']} {package['version']}".strip(), kind, package["size"], files)


def _sections(report: dict[str, Any]) -> Iterator[str]:
    if "changes" in report:
        yield pages.heading("Changes", _changes(report["changes"]))
    if wrong := report.get("record_mismatches"):
        text = f"Accepted by their hashes, as configured in bento.pypi: {', '.join(wrong)}."
        yield pages.heading("Wheels with an invalid RECORD", pages.paragraph(text))
    if excluded := report.get("excluded"):
        rows = [(one["name"], one["version"], str(one["files"]), pages.size(one["size"])) for one in excluded]
        saved = pages.size(sum(one["size"] for one in excluded))
        title = f"Excluded from packages by bento.pypi: {saved}"
        yield pages.heading(title, pages.table(("name", "version", "files", "unpacked"), rows))
    for number, layer in enumerate(report["layers"], 1):
        rows = [
            (_KINDS[package["kind"]], package["name"], package["version"], pages.size(package["size"]))
            for package in layer["packages"]
        ]
        body = pages.table(("", "name", "version", "unpacked"), rows)
        title = f"{number}. {layer['name']}, {pages.size(layer['size'])} in a registry"
        yield pages.section(title, body if rows else pages.paragraph("This layer was not fetched."))


def _changes(changes: list[dict[str, Any]]) -> str:
    if not changes:
        return pages.paragraph("Both images have the same packages.")
    rows = [
        (
            _KINDS[change["kind"]],
            change["name"],
            pages.versions(change["before"], change["after"]),
            pages.difference(change["change"]),
        )
        for change in changes
    ]
    return pages.table(("", "name", "version", "unpacked"), rows)
