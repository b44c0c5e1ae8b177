"""Selects, places and digests the sources of a Bento, reads its service, and packs both for what follows."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from rules_bento import service as services
from rules_bento import snapshot
from rules_bento.archives.archive import write_part
from rules_bento.archives.tarstream import Member
from rules_bento.errors import BentoError
from rules_bento.locks.requirements import WHEELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.actions.arguments import Arguments
    from rules_bento.build_options.options import BuildOptions
    from rules_bento.build_options.project import ProjectFiles
    from rules_bento.manifest import Manifest
    from rules_bento.service import ServiceInfo
    from rules_bento.snapshot import Declared, Selection

FLAGS = {
    "--bentofile": 2,  # path, name in messages
    "--build-ctx": 1,
    "--data": 3,  # path to read, Bazel short path, label
    "--dependency": 3,  # path to read, Bazel short path, label
    "--exclude": 1,
    "--image": 2,  # path of the image's JSON, label in messages
    "--import-root": 1,
    "--include": 1,
    "--manifest": 1,
    "--options": 1,  # JSON in the form of a bentofile: those that name files
    "--part": 1,
    "--service": 1,
    "--service-info": 1,
    "--source": 3,  # path to read, Bazel short path, label
    "--stated": 1,
    "--target": 1,
    "--unused": 1,
    "--vendored": 3,  # a wheel that the Bento carries: path to read, Bazel short path, label
}

_README = "README.md"
_OUTPUT_ROOT = "bazel-out/"
# Installed packages that a py_library brings along: they are requirements, never sources.
_INSTALLED = "/site-packages/"


@dataclass(frozen=True)
class _Plan:
    """What decides about the sources. Options are read, and their modules imported, only where there are some."""

    service: str | None
    include: list[str]
    exclude: list[str]
    src_exists: bool = False
    options: BuildOptions | None = None

    @property
    def src_layout(self) -> bool:
        return self.options is not None and bool(self.options.python.is_src_layout)


def run(arguments: Arguments) -> None:
    """Write manifest, archive part, service facts and the list of inputs without influence."""
    declared = _declared(arguments)
    plan = _plan(arguments, declared)
    selection = snapshot.select(declared, plan.include, plan.exclude, src_layout=plan.src_layout)
    if plan.service is not None:
        _require_module(plan.service, selection)
    if not selection.kept:
        raise BentoError("no file is left: include and exclude drop all of srcs, data and deps. Change these patterns.")
    snapshot.check_followed(selection.kept)
    info = _service(plan, {file.path: file.source for file in selection.kept if file.link is None})
    manifest = snapshot.digest(selection.kept)
    readme = next((file for file in declared if file.path == _README), None)
    named = _named_files(info, plan, declared)
    facts = {
        "readme": _text(readme) if readme else None,
        "service": services.to_json(info),
        **({"files": {path: b64encode(content).decode() for path, content in named.items()}} if named else {}),
        **({"src_exists": True} if plan.src_exists else {}),
    }
    if arguments.optional("--stated"):
        Path(arguments.one("--stated")).write_text(_stated(arguments, info, plan, declared), "utf-8")
    write_part(Path(arguments.one("--part")), _members(selection, manifest))
    Path(arguments.one("--manifest")).write_text(manifest.to_json(), "utf-8")
    Path(arguments.one("--service-info")).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", "utf-8")
    used = [path for path, _ in arguments.records("--bentofile")]
    used += [file.source for file in declared if file.path in named or file is readme]
    Path(arguments.one("--unused")).write_text(_unused(selection, used), "utf-8", "surrogateescape")


def _plan(arguments: Arguments, declared: Sequence[Declared]) -> _Plan:
    """Attributes, and what they leave open from the bentofile."""
    service = arguments.one("--service") if arguments.records("--service") else None
    include, exclude = arguments.many("--include"), arguments.many("--exclude")
    if not arguments.records("--options") and not arguments.records("--bentofile"):
        return _Plan(service, include or ["*"], exclude)
    from rules_bento.build_options.target_options import read

    attributes = json.loads(arguments.optional("--options", "{}"))
    given = {"service": service, "include": include or None, "exclude": exclude or None}
    attributes |= {key: value for key, value in given.items() if value is not None}
    src_exists = any(file.filtered and file.path.startswith("src/") for file in declared)
    options = read(attributes, arguments.records("--bentofile"), src_exists=src_exists)
    kept = ["*"] if options.include is None else list(options.include)
    return _Plan(options.service, kept, list(options.exclude or ()), src_exists, options)


def _service(plan: _Plan, sources: dict[str, str]) -> ServiceInfo:
    service = plan.service
    if service is None:
        from rules_bento.build_options.options import BuildOptions
        from rules_bento.build_options.target_options import service_of

        service = service_of(plan.options or BuildOptions(), sources)
    return services.read_service(service, services.SourceTree(sources, lambda path: Path(sources[path]).read_bytes()))


def _project(declared: Sequence[Declared]) -> ProjectFiles:
    from rules_bento.build_options.project import ProjectFiles

    return ProjectFiles({file.path: file.source for file in declared if file.filtered})


def _named_files(info: ServiceInfo, plan: _Plan, declared: Sequence[Declared]) -> dict[str, bytes]:
    """The files that options and the service's image name: what follows sees no other source."""
    if plan.options is None and info.image is None and not (info.description or "").startswith("file:"):
        return {}
    from rules_bento.build_options.named_files import named_files
    from rules_bento.build_options.options import BuildOptions

    return named_files(info, plan.options or BuildOptions(), _project(declared))


def _stated(arguments: Arguments, info: ServiceInfo, plan: _Plan, declared: Sequence[Declared]) -> str:
    """The packages that options and image ask for, as JSON."""
    if plan.options is None and info.image is None and not arguments.records("--image"):
        return "[]\n"
    from rules_bento import image as images
    from rules_bento.build_options.options import BuildOptions
    from rules_bento.locks.stated_packages import dumps, stated_packages

    image = images.Image()
    for path, label in arguments.records("--image"):
        image = images.from_json(Path(path).read_text("utf-8"), label)
    if not arguments.records("--image") and info.image is not None:
        image = images.from_service(info.image, f"{info.path}: the image of the service")
    return dumps(stated_packages(plan.options or BuildOptions(), image, _project(declared)))


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
    return declared + [
        snapshot.Declared(f"{WHEELS}/{short_path.rpartition('/')[2]}", source, f"requirements {label}", filtered=False)
        for source, short_path, label in arguments.records("--vendored")
    ]


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


def _unused(selection: Selection, also: Sequence[str]) -> str:
    """The inputs whose content changed nothing, so that a change of theirs reruns nothing.

    `also` are used beside those that are kept. Names under the output folder are left out: path mapping may have
    changed them.
    """
    used = {file.source for file in selection.kept} | set(also)
    unused = {
        file.source
        for file in selection.dropped
        if file.source not in used
        and not file.source.startswith(_OUTPUT_ROOT)
        and file.path.rpartition("/")[2] != snapshot.IGNORE_FILE
    }
    return "".join(f"{source}\n" for source in sorted(unused))
