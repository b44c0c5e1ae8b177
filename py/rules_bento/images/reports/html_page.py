"""Writes a report as an HTML page: one file that makes no request, and adapts to the screen and color scheme."""

from __future__ import annotations

import re

from rules_bento.base.display import format_size, printable
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator
from rules_bento.images.reports.report_changes import compare, startup_code

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
    if startup := startup_code(report):
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
