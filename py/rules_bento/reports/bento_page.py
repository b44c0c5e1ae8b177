"""The HTML page of a Bento's report."""

from __future__ import annotations

from rules_bento.reports import page as pages
from rules_bento.reports.page import MapNode
from rules_bento.typing_lite import Any, Iterator, Sequence

_KINDS = {"bento": "sources", "other": "environment", "model": "model"}


def page(report: dict[str, Any]) -> str:
    """Return the HTML of a report (`bento_report`, with the fields that the subcommand `report` adds)."""
    tree = _tree(report)
    files, models = report["files"], report["models"]
    summary = [
        report["target"],
        report["digest"],
        f"{_count(len(files), 'file')} of {pages.size(sum(file['size'] for file in files))}, "
        f"{_count(len(models), 'model')} of {pages.size(sum(model['size'] for model in models))}, "
        f"{_count(len(report['packages']), 'package')}; {pages.size(report['archive_size'])} as an archive.",
    ]
    return pages.document(report["tag"], summary, _KINDS, tree, _sections(report))


def _tree(report: dict[str, Any]) -> MapNode:
    own = _directory_node("", "bento", [(file["path"], file["size"]) for file in report["files"]])
    models = [
        _directory_node(model["tag"], "model", [(file["path"], file["size"]) for file in model["files"]])
        for model in report["models"]
    ]
    nodes = [*own.children, *models]
    return MapNode(report["tag"], "layer", sum(node.size for node in nodes), nodes)


def _directory_node(label: str, kind: str, files: Sequence[tuple[str, int]]) -> MapNode:
    """Return a node with the files of these paths."""
    inside: dict[str, list[tuple[str, int]]] = {}
    for path, size in files:
        name, _, rest = path.partition("/")
        inside.setdefault(name, []).append((rest, size))
    children = []
    for name, below in inside.items():
        # At the top of a Bento, everything except the sources is generated.
        own = "other" if not label and kind == "bento" and name != "src" else kind
        if below[0][0]:
            children.append(_directory_node(f"{name}/", own, below))
        else:
            children.append(MapNode(name, own, below[0][1]))
    return MapNode(label, kind, sum(size for _, size in files), children)


def _sections(report: dict[str, Any]) -> Iterator[str]:
    if "changes" in report:
        yield pages.heading("Changes", _changes(report))
    for service in report["services"]:
        title = f"Service {service['name']}, {_count(len(service['apis']), 'API')}"
        yield pages.section(title, _service(service), is_open=True)
    for model in report["models"]:
        yield pages.section(f"Model {model['tag']}, {pages.size(model['size'])}", _model(model))
    packages = [(package["name"], package["version"]) for package in report["packages"]]
    yield pages.section(_count(len(packages), "package"), pages.table(("name", "version"), packages, last="text"))
    files = report["files"]
    rows = [(file["path"], pages.size(file["size"])) for file in files]
    total = pages.size(sum(file["size"] for file in files))
    yield pages.section(f"{_count(len(files), 'file')}, {total}", pages.table(("path", "size"), rows))


def _service(service: dict[str, Any]) -> str:
    rows = [(api["route"], api["name"], api["what"]) for api in service["apis"]]
    rows += [(path, "", "mounted") for path in service["mounts"]]
    doc = pages.paragraph(service["doc"]) if service["doc"] else ""
    return doc + pages.table(("route", "name", ""), rows, last="text")


def _model(model: dict[str, Any]) -> str:
    facts = [model["module"] or "a generic model", *(f"{key}: {value}" for key, value in model["labels"].items())]
    rows = [(file["path"], pages.size(file["size"])) for file in model["files"]]
    return pages.paragraph(", ".join(facts)) + pages.table(("path", "size"), rows)


def _changes(report: dict[str, Any]) -> str:
    known = pages.paragraph(f"Compared with {report['against']['tag']} ({report['against']['digest']}).")
    if not report["changes"]:
        return known + pages.paragraph("All is the same.")
    rows = [
        (
            change["kind"],
            change["name"],
            _change_of(change),
            pages.difference(change["change"]) if change["change"] else "",
        )
        for change in report["changes"]
    ]
    return known + pages.table(("", "name", "what", "size"), rows)


def _change_of(change: dict[str, Any]) -> str:
    """Return what changed; for a file, without its digests."""
    if change["kind"] == "file":
        return "new" if change["before"] is None else "gone" if change["after"] is None else "changed"
    return pages.versions(change["before"], change["after"])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
