"""Finds what changed from one report of a Bento or an image to another."""

from __future__ import annotations

from rules_bento.base.display import format_size
from rules_bento.base.typing_lite import Any, Iterable

_Row = tuple[str, "int | None", str]  # the version to show, the size if it is known, and the content


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what changed from one report to another: a list for each kind, and a sentence about layers to pull."""
    return {
        "since": before.get("tag") or before["target"],
        "pull": _pull(before["layers"], after["layers"]) if "layers" in before and "layers" in after else "",
        "startup": new_startup(before, after),
        "packages": changed_packages(before["packages"], after["packages"]),
        "models": _changes(*(_models(report["models"]) for report in (before, after))),
        "apis": _changes(*(_apis(report["services"]) for report in (before, after))),
        "files": _changes(*(_files(report.get("files", ())) for report in (before, after))),
    }


def new_startup(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return a note about code that runs at each start of Python, and is not in the earlier report; or ""."""
    listed = ", ".join(each for each in startup_code(after) if each not in startup_code(before))
    return f"New code that runs at each start of Python: {listed}. Read these files." if listed else ""


def startup_code(report: dict[str, Any]) -> list[str]:
    """Return the files of an image with code that runs at each start of Python, and their packages."""
    return [f"{each['path'].rpartition('-packages/')[2]} of {each['name']}" for each in report.get("startup", ())]


def changed_packages(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the packages that were added, removed, or changed from one report's packages to another's."""
    return _changes(_packages(before), _packages(after))


def _changes(before: dict[str, _Row], after: dict[str, _Row]) -> list[dict[str, Any]]:
    """Return the entries that were added, removed, or changed. `size` is the difference in bytes, if it is known."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old and new and old[2] == new[2]:
            continue
        sizes = [row[1] for row in (old, new) if row]
        found.append(
            {
                "change": "changed" if old and new else "added" if new else "removed",
                "name": name,
                "before": old[0] if old else "",
                "after": new[0] if new else "",
                "size": None if None in sizes else ((new and new[1]) or 0) - ((old and old[1]) or 0),
            }
        )
    return sorted(found, key=lambda each: (-abs(each["size"] or 0), each["name"]))


def _packages(packages: Iterable[dict[str, Any]]) -> dict[str, _Row]:
    return {each["name"]: (each["version"], each.get("size"), each["version"]) for each in packages}


def _models(models: Iterable[dict[str, Any]]) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    for each in models:
        name, _, version = each["tag"].partition(":")
        versions, size, _ = rows.get(name, ("", 0, ""))
        versions = f"{versions}, {version}".removeprefix(", ")
        rows[name] = versions, (size or 0) + each["size"], versions
    return rows


def _apis(services: Iterable[dict[str, Any]]) -> dict[str, _Row]:
    return {
        f"{service['name']} {api['route']}": (api["what"], None, api["what"])
        for service in services
        for api in service["apis"]
    }


def _files(files: Iterable[dict[str, Any]]) -> dict[str, _Row]:
    return {each["path"]: ("", each["size"], each["content"]) for each in files}


def _pull(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> str:
    present = {layer["digest"] for layer in before}
    new = [layer for layer in after if layer["digest"] not in present]
    total = format_size(sum(layer["size"] for layer in after))
    size = format_size(sum(layer["size"] for layer in new))
    return f"A host with the other image pulls {len(new)} of {len(after)} layers: {size} of {total}."
