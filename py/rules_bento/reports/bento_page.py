"""The report of a Bento as a page."""

from __future__ import annotations

from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.reports import page as pages
from rules_bento.reports.page import Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_KINDS = {"bento": "sources", "other": "environment", "model": "model"}


def page(report: dict[str, Any]) -> str:
    """Return the HTML of a report (`bento_report`, and what the verb `report` adds)."""
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


def _tree(report: dict[str, Any]) -> Node:
    own = _folder("", "bento", [(file["path"], file["size"]) for file in report["files"]])
    models = [
        _folder(model["tag"], "model", [(file["path"], file["size"]) for file in model["files"]])
        for model in report["models"]
    ]
    nodes = [*own.children, *models]
    return Node(report["tag"], "layer", sum(node.size for node in nodes), nodes)


def _folder(label: str, kind: str, files: Sequence[tuple[str, int]]) -> Node:
    """Return a folder with the files of these paths in it."""
    inside: dict[str, list[tuple[str, int]]] = {}
    for path, size in files:
        name, _, rest = path.partition("/")
        inside.setdefault(name, []).append((rest, size))
    children = []
    for name, below in inside.items():
        # At a Bento's top all but the sources is made.
        own = "other" if not label and kind == "bento" and name != "src" else kind
        if below[0][0]:
            children.append(_folder(f"{name}/", own, below))
        else:
            children.append(Node(name, own, below[0][1]))
    return Node(label, kind, sum(size for _, size in files), children)


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
    known = pages.paragraph(f"Against {report['against']['tag']} ({report['against']['digest']}).")
    if not report["changes"]:
        return known + pages.paragraph("All is the same.")
    rows = [
        (
            change["kind"],
            change["name"],
            _became(change),
            pages.difference(change["change"]) if change["change"] else "",
        )
        for change in report["changes"]
    ]
    return known + pages.table(("", "name", "what", "size"), rows)


def _became(change: dict[str, Any]) -> str:
    """Return what people want to know: of a file not its digest."""
    if change["kind"] == "file":
        return "new" if change["before"] is None else "gone" if change["after"] is None else "changed"
    return pages.versions(change["before"], change["after"])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
