"""Selects, places and digests the sources of a Bento, reads its service, and packs both for what follows."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento import service as services
from rules_bento import snapshot
from rules_bento.archive import write_part
from rules_bento.errors import BentoError
from rules_bento.tarstream import Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments
    from rules_bento.manifest import Manifest
    from rules_bento.snapshot import Declared, Selection

FLAGS = {
    "--build-ctx": 1,
    "--data": 3,  # path to read, Bazel short path, label
    "--dependency": 3,  # path to read, Bazel short path, label
    "--exclude": 1,
    "--import-root": 1,
    "--include": 1,
    "--manifest": 1,
    "--part": 1,
    "--service": 1,
    "--service-info": 1,
    "--source": 3,  # path to read, Bazel short path, label
    "--target": 1,
    "--unused": 1,
}

_README = "README.md"
_OUTPUT_ROOT = "bazel-out/"
# Installed packages that a py_library brings along: they are requirements, never sources.
_INSTALLED = "/site-packages/"


def run(arguments: Arguments) -> None:
    """Write manifest, archive part, service facts and the list of inputs without influence."""
    declared = _declared(arguments)
    selection = snapshot.select(declared, arguments.many("--include"), arguments.many("--exclude"))
    service = arguments.one("--service")
    _require_module(service, selection)
    if not selection.kept:
        raise BentoError("no file is left: include and exclude drop all of srcs, data and deps. Change these patterns.")
    snapshot.check_followed(selection.kept)
    sources = {file.path: file.source for file in selection.kept if file.link is None}
    info = services.read_service(service, services.SourceTree(sources, lambda path: Path(sources[path]).read_bytes()))
    manifest = snapshot.digest(selection.kept)
    readme = next((file for file in declared if file.path == _README), None)
    facts = {
        "readme": _text(readme) if readme else None,
        "service": services.to_json(info),
    }
    write_part(Path(arguments.one("--part")), _members(selection, manifest))
    Path(arguments.one("--manifest")).write_text(manifest.to_json(), "utf-8")
    Path(arguments.one("--service-info")).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", "utf-8")
    Path(arguments.one("--unused")).write_text(_unused(selection, readme), "utf-8", "surrogateescape")


def _declared(arguments: Arguments) -> list[Declared]:
    build_ctx = arguments.one("--build-ctx")
    roots = arguments.many("--import-root")
    declared = []
    for flag, attribute in (("--source", "srcs"), ("--data", "data"), ("--dependency", snapshot.DEPENDENCIES)):
        for source, short_path, label in arguments.records(flag):
            if _INSTALLED in short_path:
                continue
            place = snapshot.place(
                short_path, build_ctx=build_ctx, import_roots=roots, attribute=attribute, label=label
            )
            declared.append(snapshot.Declared(place.path, source, f"{attribute} {label}", filtered=place.filtered))
    return declared


def _text(file: Declared) -> str:
    try:
        return Path(file.source).read_text("utf-8")
    except UnicodeDecodeError:
        raise BentoError(
            f"{file.path} (from {file.origin}) is not UTF-8 text. Save it as UTF-8, or set description."
        ) from None


def _require_module(service: str, selection: Selection) -> None:
    """Refuse a selection that drops the service's module, and say which pattern did."""
    module = service.partition(":")[0]
    path = module if module.endswith(".py") else module.replace(".", "/")
    candidates = [path] if module.endswith(".py") else [f"{path}.py", f"{path}/__init__.py"]
    if any(file.path in candidates for file in selection.dropped):
        snapshot.require_kept(selection, candidates, what=f"service {service!r}")


def _members(selection: Selection, manifest: Manifest) -> list[Member]:
    modes = {entry.path: entry for entry in manifest.entries}
    return [
        Member.symlink(f"src/{file.path}", file.link)
        if file.link is not None
        else Member.file(f"src/{file.path}", file.source, size=modes[file.path].size, mode=modes[file.path].mode)
        for file in selection.kept
    ]


def _unused(selection: Selection, readme: Declared | None) -> str:
    """The inputs whose content changed nothing, so that a change of theirs reruns nothing.

    Names under the output folder are left out: path mapping may have changed them.
    """
    used = {file.source for file in selection.kept} | ({readme.source} if readme else set())
    unused = {
        file.source
        for file in selection.dropped
        if file.source not in used
        and not file.source.startswith(_OUTPUT_ROOT)
        and file.path.rpartition("/")[2] != snapshot.IGNORE_FILE
    }
    return "".join(f"{source}\n" for source in sorted(unused))
