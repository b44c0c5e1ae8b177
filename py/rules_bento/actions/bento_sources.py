"""Subcommands that select and pack the sources and data of a Bento, and analyze its service."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from rules_bento.actions import secret_scan
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import asdict, dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import JsonObject, LayerRequest, Pairs, Request, Strings, Triples
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.packages.requirement_syntax import WHEELS, requirement_name
from rules_bento.bentos.sources import snapshot as selections
from rules_bento.bentos.sources.tree_manifest import TreeManifest

if TYPE_CHECKING:
    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.build_options.project import ProjectFiles
    from rules_bento.bentos.service import ServiceInfo
    from rules_bento.bentos.sources.snapshot import DeclaredFile, Selection


class SelectionRequest(Request):
    """Arguments of each subcommand that selects among declared files."""

    bentofile: Pairs  # path, name in messages
    build_ctx: str
    data: Triples  # path to read, Bazel short path, label
    dependency: Triples  # path to read, Bazel short path, label of the library
    exclude: Strings
    import_root: Strings  # import roots of libraries, with the repository's name, in the order of Python's path
    include: Strings
    options: JsonObject | None = None  # JSON in the form of a bentofile: options that name files
    service: str | None = None
    source: Triples  # path to read, Bazel short path, label
    vendored: Triples  # a wheel that the Bento includes: path to read, Bazel short path, label


# Installed packages of a py_library are requirements, never sources.
_INSTALLED = "/site-packages/"


@dataclass(frozen=True)
class Plan:
    """The service, the options, and the patterns that select a Bento's sources from the declared files.

    `options` is None if the target has no options and no bentofile.
    """

    service: str | None
    include: Sequence[str]
    exclude: Sequence[str]
    src_exists: bool = False
    options: BuildOptions | None = None

    @property
    def effective_options(self) -> BuildOptions:
        """The options of the target, or the default options if the target sets no options."""
        from rules_bento.bentos.build_options.options import BuildOptions

        return self.options or BuildOptions()

    @property
    def src_layout(self) -> bool:
        """Whether paths in the Bento omit a leading `src/`."""
        return self.options is not None and bool(self.options.python.is_src_layout)


class _DataPartRequest(SelectionRequest, secret_scan.SecretsRequest):
    manifest: Path
    part: Path


def data_part(request: _DataPartRequest) -> None:
    """Pack the `data` files as a separate archive part, so that source changes don't repack the data."""
    from rules_bento.base.archives.archive import write_part

    kept = kept_data(request)
    manifest = selections.digest(kept)
    secret_scan.check_files(request, kept)
    write_part(request.part, selections.members(kept, manifest))
    request.manifest.write_text(manifest.to_json(), "utf-8")


def kept_data(request: SelectionRequest) -> list[DeclaredFile]:
    """Return the `data` files that the Bento includes."""
    declared = declared_files(request)
    data = {source for source, _, _ in request.data}
    return [file for file in select(declared, read_plan(request, declared)).kept if file.source in data]


def declared_files(request: SelectionRequest) -> list[DeclaredFile]:
    """Return the declared files of a target, with their paths in the Bento. Omits files in site-packages."""
    declared = []
    for files, attribute in ((request.source, "srcs"), (request.data, "data")):
        for source, short_path, label in files:
            if _INSTALLED not in short_path:
                path = selections.place(short_path, build_ctx=request.build_ctx, attribute=attribute, label=label)
                declared.append(selections.DeclaredFile(path, source, f"{attribute} {label}"))
    if request.dependency:
        from rules_bento.bentos.sources.library_paths import declare_libraries
        from rules_bento.bentos.sources.unresolved_links import follow

        libraries = selections.expand(follow([file for file in request.dependency if _INSTALLED not in file[1]]))
        declared += declare_libraries(list(libraries), request.build_ctx)
    return declared + [
        selections.DeclaredFile(
            f"{WHEELS}/{short_path.rpartition('/')[2]}", source, f"requirements {label}", filtered=False
        )
        for source, short_path, label in request.vendored
    ]


def read_plan(request: SelectionRequest, declared: Sequence[DeclaredFile]) -> Plan:
    """Return the plan that the attributes and bentofile of a target specify. Attributes take precedence."""
    service, include, exclude = request.service, request.include, request.exclude
    if request.options is None and not request.bentofile:
        return Plan(service, include or ("*",), exclude)
    from rules_bento.bentos.build_options.bentofile import read_target

    own = {"service": service, "include": list(include) or None, "exclude": list(exclude) or None}
    attributes = (request.options or {}) | {key: value for key, value in own.items() if value is not None}
    src_exists = any(file.in_context and file.path.startswith("src/") for file in declared)
    options = read_target(attributes, request.bentofile, src_exists=src_exists)
    kept = ("*",) if options.include is None else options.include
    return Plan(options.service, kept, options.exclude or (), src_exists, options)


def select(declared: Sequence[DeclaredFile], plan: Plan) -> Selection:
    """Select files with the patterns in `plan`. Raises BentoError for an invalid path, pattern, or link."""
    return selections.select(declared, plan.include, plan.exclude, src_layout=plan.src_layout)


_README = "README.md"
_OUTPUT_ROOT = "bazel-out/"


class _SnapshotRequest(SelectionRequest, secret_scan.SecretsRequest):
    bento_args: JsonObject | None = None
    manifest: Path
    packed_data: str = ""  # manifest of the files that `data` packs
    part: Path
    service_info: Path
    output_packages: bool = False  # output also the requirements of bentofile and image, which a lock must include
    skip_service: bool = False  # the service is imported by another action
    unused: Path
    used: Strings  # files that the next subcommands read


def snapshot(request: _SnapshotRequest) -> None:
    """Select and pack the sources of a Bento, and analyze its service.

    Writes the manifest, the archive part, the service metadata, and the list of unused inputs.
    """
    from base64 import b64encode

    from rules_bento.base.archives.archive import write_part
    from rules_bento.bentos.service import to_json

    declared = declared_files(request)
    plan = read_plan(request, declared)
    selection = select(declared, plan)
    _report_unmatched_patterns(request.target, selection, plan)
    if plan.service is not None:
        _require_module(plan.service, selection)
    if not selection.kept:
        remedy = "Change the patterns."
        raise BentoError("include, exclude: the patterns select no file in srcs, data, or deps", remedy=remedy)
    selections.check_followed(selection.kept)
    kept: Sequence[DeclaredFile] = selection.kept
    if request.dependency:
        from rules_bento.bentos.sources.library_paths import ImportPath, add_loaders, importable

        paths = [selections.runfiles_path(path) for _, path, _ in request.dependency if _INSTALLED not in path]
        libraries = ImportPath(request.import_root, (path.partition("/")[0] for path in paths), request.build_ctx)
        found, sources = importable(kept, libraries)
        kept = add_loaders(found, sources, libraries, _service_name(plan, sources))
    else:
        sources = selections.readable(kept)
    info, more = _analyze(request, plan, selection, sources)
    path = request.packed_data
    entries = TreeManifest.from_json(Path(path).read_text("utf-8"), path).entries if path else ()
    apart = {entry.path: entry for entry in entries}
    packed = [file for file in kept if file.path not in apart]
    manifest = TreeManifest.of([*selections.digest(packed).entries, *apart.values()])
    secret_scan.check_files(request, packed)
    readme = next((file for file in declared if file.path == _README and file.in_context), None)
    selections.check_followed([readme] if readme else [])
    named = _named_files(info, plan, declared)
    selections.check_followed(file for file in declared if file.path in named)  # patterns can have dropped them
    service_info: dict[str, Any] = {
        "readme": b64encode(selections.content(readme)).decode() if readme else None,
        "service": to_json(info),
        **({"files": {path: b64encode(content).decode() for path, content in named.items()}} if named else {}),
        **more,
    }
    options = plan.effective_options
    if own := _own_packages(options, declared, sources):
        service_info["own_packages"] = own
    if request.output_packages:
        is_open = plan.options is not None or info.image is not None
        service_info["packages"] = requested_packages(info, options, _project_files(declared), own) if is_open else []
    write_part(request.part, selections.members(packed, manifest))
    request.manifest.write_text(manifest.to_json(), "utf-8")
    request.service_info.write_text(json.dumps(service_info, ensure_ascii=False, indent=1) + "\n", "utf-8")
    used = [path for path, _ in request.bentofile] + [*request.used]
    used += [file.source for file in declared if file.path in named or file is readme]
    request.unused.write_text(_unused_inputs(selection, used), "utf-8", "surrogateescape")


def _analyze(
    request: _SnapshotRequest, plan: Plan, selection: Selection, sources: dict[str, DeclaredFile]
) -> tuple[ServiceInfo, dict[str, Any]]:
    """Return the metadata of the service, and what else the subcommand `package` gets from the sources, as JSON.

    If the service is imported by another action, the metadata has only the name.
    """
    from rules_bento.bentos import service as services
    from rules_bento.bentos.models.model_loads import find_model_loads
    from rules_bento.bentos.service import loaded_modules

    layout = {"src_exists": True} if plan.src_exists else {}
    seen: dict[str, bytes] = {}  # files that the analysis read, by path
    tree = services.SourceTree(sources, lambda path: seen.setdefault(path, selections.content(sources[path])))
    service, dropped = _service_name(plan, sources), [file.path for file in selection.dropped]
    if request.skip_service:
        _check_hidden(sources)
        info = services.ServiceInfo(service, path="", kind="new", bento_name=None, entry_service=None)
    else:
        arguments = (plan.options.args if plan.options else {}) | (request.bento_args or {})
        info = services.read_service(service, tree, arguments)
    excluded = [path for path in dropped if path.endswith(".py")]
    survey = loaded_modules.survey(info.service, tree, request.build_ctx.rpartition("/")[2], excluded)
    more = {**layout, **({"survey": survey} if any(survey) else {})}
    if request.skip_service:
        return info, more | {"dropped": dropped}  # for notes
    return info, more | ({"loads": loads} if (loads := find_model_loads(seen)) else {})


def _own_packages(
    options: BuildOptions, declared: Sequence[DeclaredFile], sources: dict[str, DeclaredFile]
) -> list[str]:
    """Return the packages that the options require, and that libraries provide."""
    if not (options.python.packages or options.python.requirements_txt):
        return []
    from rules_bento.bentos.assembly.declared_packages import importable_names

    paths = [path for path, file in sources.items() if file.origin.startswith(f"{selections.DEPENDENCIES} ")]
    return sorted(importable_names(paths).intersection(_option_names(options, declared))) if paths else []


def _check_hidden(sources: dict[str, DeclaredFile]) -> None:
    """Raise BentoError if a source imports a library's module whose name BentoML takes for a package of its own.

    In a test, the import finds the library's module. Without an import of the service, the analysis reports this.
    """
    from rules_bento.bentos.service.loaded_names import LOADED

    libraries = [item for item in sources.items() if item[1].origin.startswith(f"{selections.DEPENDENCIES} ")]
    tops = {path.partition("/")[0].removesuffix(".py"): file for path, file in libraries if path.endswith(".py")}
    own = LOADED.intersection(tops).difference(sys.stdlib_module_names)
    imported = (
        re.compile(rb"(?m)^[ \t]*(?:import|from)[ \t]+(" + "|".join(sorted(own)).encode() + rb")\b") if own else None
    )
    for path, file in sources.items() if imported else ():
        if imported and path.endswith(".py") and (match := imported.search(selections.content(file))):
            name = match[1].decode()
            problem = f"{path} imports {name}, but BentoML loads another module with this name before {tops[name]}"
            raise BentoError(problem, remedy=f"Rename the module {name}.")


def _report_unmatched_patterns(target: str, selection: Selection, plan: Plan) -> None:
    """Warn about patterns that match no declared file."""
    if selection.idle:
        from rules_bento.bentos.build_options.bentofile import unmatched_patterns

        for note in unmatched_patterns(selection, plan.effective_options, "srcs, data, or deps"):
            sys.stderr.write(f"{target}: {note}\n")


def _service_name(plan: Plan, sources: dict[str, DeclaredFile]) -> str:
    """Return the import string of the service from the target, otherwise from the bentofile, otherwise `service`."""
    if plan.service is not None:
        return plan.service
    from rules_bento.bentos.build_options.bentofile import find_service

    return find_service(plan.effective_options, sources)


def _project_files(declared: Sequence[DeclaredFile]) -> ProjectFiles:
    from rules_bento.bentos.build_options.project import ProjectFiles

    return ProjectFiles({file.path: file.source for file in declared if file.in_context})


def _named_files(info: ServiceInfo, plan: Plan, declared: Sequence[DeclaredFile]) -> dict[str, bytes]:
    """Return the contents, by path, of the files to which the options and the image refer."""
    if plan.options is None and info.image is None and not (info.description or "").startswith("file:"):
        return {}
    from rules_bento.bentos.assembly.named_files import named_files

    return named_files(info, plan.effective_options, _project_files(declared))


def requested_packages(
    info: ServiceInfo, options: BuildOptions, project: ProjectFiles, own: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the packages that the options or the image require, as JSON. Omits `own`, packages of the sources."""
    from rules_bento.bentos.assembly import image_steps as images
    from rules_bento.bentos.assembly.declared_packages import declared_packages

    found = declared_packages(options, images.from_service(info) or images.ImageDefinition(), project)
    return [asdict(packages.without(own)) for packages in found]


def _option_names(options: BuildOptions, declared: Sequence[DeclaredFile]) -> set[str]:
    """Return the names of the packages that the options require."""
    from rules_bento.bentos.assembly.declared_packages import declared_packages
    from rules_bento.bentos.assembly.image_steps import ImageDefinition

    found = declared_packages(options, ImageDefinition(), _project_files(declared))
    return {requirement_name(text) for packages in found for text in packages.requirements}


def _require_module(service: str, selection: Selection) -> None:
    """Raise BentoError if a pattern excluded the module of the service. The message names the pattern."""
    module = service.partition(":")[0]
    path = module if module.endswith(".py") else module.replace(".", "/")
    candidates = [path] if module.endswith(".py") else [f"{path}.py", f"{path}/__init__.py"]
    if selection.find_dropped(candidates):
        selections.require_kept(selection, candidates, what=f"service {service!r}")


def _unused_inputs(selection: Selection, also: Sequence[str]) -> str:
    """Return the paths of unused inputs, one per line. Bazel doesn't rerun the action if only these inputs change.

    `also` lists other inputs that the action used. Omits `.bentoignore` files, because the action reads them. Omits
    generated files, because path mapping can change their names.
    """
    used = {file.source for file in selection.kept} | set(also)
    unused = {
        file.source
        for file in selection.dropped
        if file.source not in used
        and not file.source.startswith(_OUTPUT_ROOT)
        and file.path.rpartition("/")[2] != selections.IGNORE_FILE
    }
    return "".join(f"{source}\n" for source in sorted(unused))


class _DataLayerRequest(SelectionRequest, LayerRequest):
    directory: str  # of the Bento, in the image
    user: str


def data_layer(request: _DataLayerRequest) -> None:
    """Write a layer with the `data` files of a Bento."""
    from rules_bento.images.layers import description

    owner = description.owner(request.user)
    directory = request.directory.strip("/")
    kept = kept_data(request)
    entries = [description.home_directory(directory, owner)]
    for file, entry in zip(kept, selections.digest(kept).entries, strict=True):
        path = f"{directory}/src/{file.path}"
        entries.append(Member.file(path, file.source, mode=entry.mode, size=entry.size, **owner))
    description.write_files(request, entries, "data")
