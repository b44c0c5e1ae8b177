"""Writes a report as an HTML page: one file that makes no request, and adapts to the screen and color scheme."""

from __future__ import annotations

import re

from rules_bento.base.display import format_size, printable
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator

if TYPE_CHECKING:
    from collections.abc import Collection


VERSION = "0.1.0"
_UNSTAMPED = "1980-01-01"  # the date of builds that set no creation time
_KINDS = {
    "wheel": "Python package",
    "deb": "system package",
    "model": "model",
    "bento": "sources",
    "other": "other files",
}
_MAX_LISTED = 10
_SMALL = 100 << 20  # bytes of an image that downloads in seconds


def page(report: dict[str, Any], before: dict[str, Any] | None = None, date: str | None = None) -> str:
    """Return a report of a Bento or an image as an HTML page. With the report `before`, shows also what changed.

    `date` is the creation time of the build's outputs. Escapes all text, and allows only the page's own script.
    """
    import base64
    import hashlib
    import pkgutil

    from jinja2 import Environment, StrictUndefined

    source = (pkgutil.get_data(__package__, "page.html.j2") or b"").decode()
    allowed = {}
    for tag in ("style", "script"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", source, re.DOTALL)
        allowed[tag] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'"
    policy += "".join(f"; {tag}-src 'sha256-{digest}'" for tag, digest in allowed.items())
    environment = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined, finalize=_finalize)
    environment.filters |= {"size": format_size, "signed": _signed}
    stamp = [date] if date and not date.startswith(_UNSTAMPED) else []
    title = str(report.get("tag") or report["target"])
    name, _, version = title.rpartition(":") if "tag" in report else (title, "", "")
    lines = [report[key] for key in ("target", "digest") if report.get(key) and report[key] != title]
    groups = list(_groups(report))
    sizes = [package["size"] for package in report["packages"] if "size" in package]
    return environment.from_string(source).render(
        policy=policy,
        title=title,
        name=name or title,
        version=version,
        is_image="layers" in report,
        lines=lines,
        figures=list(_figures(report)),
        report={**report, "models": [{**model, "details": list(_details(model))} for model in report["models"]]},
        changes=compare(before, report) if before else None,
        groups=groups,
        legend=[(kind, label) for kind, label in _KINDS.items() if kind in _kinds(groups)],
        checks=list(_checks(report)),
        with_sizes=bool(sizes),
        largest=max(sizes, default=0),
        footer=" · ".join([f"rules_bento {VERSION}", *stamp]),
    )


def _finalize(value: object) -> object:
    """Escape control characters, which could reorder the text. Escaped HTML (`Markup`) is a subclass of str."""
    return printable(value) if type(value) is str else value


def _signed(size: int) -> str:
    return f"{'+' if size > 0 else ''}{format_size(size)}"


def _kinds(groups: list[dict[str, Any]]) -> set[str]:
    return {leaf["kind"] for group in groups for leaf in group["leaves"]} or {"other"}


def _figures(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "layers" in report:
        yield "In a registry", format_size(sum(layer["size"] for layer in report["layers"]))
        yield "Unpacked", format_size(_unpacked(report))
        yield "Layers", str(len(report["layers"]))
    else:
        if "archive_size" in report:
            yield "Archive", format_size(report["archive_size"])
        yield "Files", f"{len(report['files']):,}"
        yield "Size of files", format_size(sum(file["size"] for file in report["files"]))
    if report["models"]:
        yield "Models", format_size(sum(model["size"] for model in report["models"]))
    yield "Packages", str(len(report["packages"]))
    yield "APIs", str(sum(len(service["apis"]) for service in report["services"]))


def _groups(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the groups of the treemap: layers with packages, or models and directories with files."""
    for number, layer in enumerate(report.get("layers", ()), 1):
        leaves = [{**each, "version": each["version"]} for each in layer["packages"]]
        yield {"name": f"{number}. {layer['name']}", "stored": layer["size"], "leaves": leaves}
    if "layers" in report:
        return
    for model in report["models"]:
        files = model["files"] or [{"path": model["tag"], "size": model["size"]}]
        yield _file_group(f"models/{model['tag']}", files, "model")
    directories: dict[str, list[dict[str, Any]]] = {}
    for file in report["files"]:
        directories.setdefault(file["path"].partition("/")[0] if "/" in file["path"] else "Bento", []).append(file)
    for name, files in directories.items():
        yield _file_group(name, files, "bento" if name == "src" else "other")


def _file_group(name: str, files: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    leaves = [{"name": file["path"], "version": "", "size": file["size"], "kind": kind} for file in files]
    leaves.sort(key=lambda leaf: (-leaf["size"], leaf["name"]))
    return {"name": name, "stored": sum(file["size"] for file in files), "leaves": leaves}


def _details(model: dict[str, Any]) -> Iterator[str]:
    """Yield the labels of a model, and its weights by type."""
    yield from (f"{key}: {value}" for key, value in model["labels"].items())
    if weights := model["weights"]:
        listed = ((each["dtype"], _parameters(each["parameters"]), format_size(each["size"])) for each in weights)
        yield "; ".join(f"{dtype}{count}, {size}" for dtype, count, size in listed)


def _parameters(count: int | None) -> str:
    """Format a number of parameters, such as ` 7.2 B parameters`."""
    if count is None:
        return ""
    for unit, divisor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= divisor:
            return f" {count / divisor:.1f} {unit} parameters"
    return f" {count} parameter{'' if count == 1 else 's'}"


def _checks(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the state (the CSS class) and the text of each check."""
    if not any(service["apis"] for service in report["services"]):
        yield "info", "The Bento has no description of its APIs. To write it, build the Bento with --apis."
    if "layers" in report:
        yield from _image_checks(report)
        return
    loose = [each["name"] for each in report["packages"] if not re.fullmatch(r"[^<>=~!@*\s]+", each["version"])]
    if loose:
        yield "warn", f"{_some(loose, 'package')} without a version, so two images of the Bento can differ."
    elif report["packages"]:
        yield "ok", "The Bento specifies the version of each package."
    if "locked" in report and not report["locked"]:
        yield "warn", "The packages aren't locked by hashes. To lock them, run bento lock, and build the Bento again."
    if pickles := [f"{model['tag']}: {path}" for model in report["models"] for path in model["pickles"]]:
        yield "warn", f"{_some(pickles, 'file')} in formats that can run code when they are loaded."
    elif any(model["files"] for model in report["models"]):
        yield "ok", "The models contain no file in a format that can run code when it is loaded."
    if "secrets" in report:
        found = report["secrets"]
        yield ("warn", f"Possible secrets: {'; '.join(found[:_MAX_LISTED])}") if found else ("ok", "No secrets found.")


def _image_checks(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if user := report.get("user"):
        is_root = user.partition(":")[0] in ("0", "root")
        yield "warn" if is_root else "ok", f"The container runs as user {user}{', which is root' * is_root}."
    if (replaced := report["replaced"])["size"]:
        size = format_size(replaced["size"])
        yield "info", f"Later layers replace files of {size} (number of files: {replaced['files']})."
    else:
        yield "ok", "No layer replaces a file of another layer."
    if wrong := report.get("record_mismatches"):
        text = "accepted by their hashes, as configured in bento.pypi"
        yield "warn", f"Wheels with an invalid RECORD, {text}: {', '.join(wrong)}."
    if excluded := report.get("excluded"):
        saved = format_size(sum(one["size"] for one in excluded))
        names = ", ".join(f"{one['name']} ({format_size(one['size'])})" for one in excluded)
        yield "ok", f"Excluded from packages by bento.pypi: {saved}, from {names}."
    if startup := _startup(report):
        yield "info", f"Code that runs at each start of Python: {', '.join(startup)}."
    if not report["lists_system"]:
        yield "info", "No package list of dpkg or apk is in the layers, so the system packages aren't known."
    if bytecode := report["bytecode"]:
        yield (
            "warn",
            f"Packages with bytecode of their wheels, which can differ from the sources: {', '.join(bytecode)}.",
        )
    if report["gpu_code"]:
        listed = "; ".join(f"{name} ({code})" for name, code in report["gpu_code"].items())
        yield "info", f"Packages with code for GPUs, and compute capabilities: {listed}."
    yield "info", _lazy_pulling(report)


def _lazy_pulling(report: dict[str, Any]) -> str:
    """Return whether lazy pulling would help. This depends on how much of the image a service reads at startup."""
    stored, unpacked = sum(layer["size"] for layer in report["layers"]), _unpacked(report)
    each = [package for layer in report["layers"] for package in layer["packages"]]
    share = 100 * sum(one["size"] for one in each if one["kind"] == "model") // max(unpacked, 1)
    if share >= 50:
        return (
            f"Lazy pulling hardly helps: models are {share} % of the files, and a service reads its models completely "
            "at startup. Mount the models instead of copying them into the image."
        )
    if stored < _SMALL:
        return f"Lazy pulling hardly helps, because the image is small ({format_size(stored)} to pull)."
    return (
        f"Lazy pulling can help: packages and the system are {100 - share} % of the files, and a service reads only a "
        "part of them at startup. To list the files that it reads, run a bento_startup_test."
    )


def _unpacked(report: dict[str, Any]) -> int:
    return sum(package["size"] for layer in report["layers"] for package in layer["packages"])


def _some(names: Collection[str], noun: str) -> str:
    shown = ", ".join(list(names)[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'} ({shown})"


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
    listed = ", ".join(each for each in _startup(after) if each not in _startup(before))
    return f"New code that runs at each start of Python: {listed}. Read these files." if listed else ""


def _startup(report: dict[str, Any]) -> list[str]:
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
