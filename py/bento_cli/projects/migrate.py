"""Moves a BentoML project to Bazel: writes BUILD and MODULE lines, and tells what they cannot carry over.

`migrate` reads a folder and its bentofile and gives texts; it writes nothing, and imports nothing of the project.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path, PurePosixPath

from rules_bento import service as services
from rules_bento.build_options import bentofile as bentofiles
from rules_bento.build_options.options import BuildOptions
from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.models import model_store
from rules_bento.models.model_loads import find_model_loads
from rules_bento.service.remediation import IMPORT, way
from rules_bento.sources import snapshot
from rules_bento.typing_lite import Any

from bento_cli.projects import migrate_packages
from bento_cli.projects.from_directory import ExtraOptions as ExtraOptions
from bento_cli.projects.from_directory import build_bentofile, default_store, project_files, selected
from bento_cli.projects.starlark import StarlarkCode, call
from bento_cli.projects.workspace import EXTENSION, Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.build_options.project import ProjectFiles
    from rules_bento.service import Model, Service, ServiceInfo

    from bento_cli.projects.migrate_packages import Packages

# Of a workspace: no part of a Bento, and what a walk along the links of Bazel's would never end in.
_BAZEL_FILES = (".bazelignore", ".bazelrc", ".bazelversion", "MODULE.bazel", "MODULE.bazel.lock")
_PACKAGE_FILES = ("BUILD", "BUILD.bazel")
_BAZEL_LINKS = ("bazel-bin", "bazel-out", "bazel-testlogs")
_IGNORED_DIRECTORIES = (".git", ".venv", "node_modules", "venv")
# Parts of messages of the trial build that a note says in other words already; such messages are not repeated.
_ALREADY_REPORTED = ("needs the model", "uv_lock()", "State it in the source", " moves, and a build asks")
_MIN_DATA_BYTES = 10_000_000  # bytes of a file that is packed apart from the sources


@dataclass(frozen=True)
class Migration:
    """Holds what a migration writes: the texts of files, and notes."""

    module: str  # lines of MODULE.bazel
    build: str  # BUILD.bazel of the project's folder
    requirements: str  # what to lock, where the project has no lock; empty otherwise
    constraints: str  # what limits the versions of that; empty for nothing
    ignore: str  # lines of .bazelignore: what Bazel must not walk, for a project that is a workspace; empty otherwise
    notes: tuple[str, ...]  # what is not carried over or left to do, and why
    names: tuple[str, str]  # of the files of requirements and constraints

    def text(self) -> str:
        """Return all texts, for a terminal."""
        parts = [
            ("MODULE.bazel", self.module),
            (".bazelignore", self.ignore),
            ("BUILD.bazel", self.build),
            (self.names[0], self.requirements),
            (self.names[1], self.constraints),
        ]
        shown = [f"# {name}\n{text}" for name, text in parts if text]
        notes = "".join(f"# - {note}\n" for note in self.notes)
        return "\n".join([*shown, f"# Left to do, and not carried over:\n{notes}" if notes else ""]).rstrip("\n") + "\n"


@dataclass(frozen=True)
class _Project:
    """Holds what was read of a project."""

    folder: Path
    package: str  # of the folder, in the workspace
    bentofile: str | None  # its path in the folder
    options: BuildOptions
    info: ServiceInfo
    files: ProjectFiles
    kept: tuple[str, ...]  # paths in the folder of what BentoML would take
    data: tuple[str, ...]  # of these, files that are large
    packages: tuple[str, ...]  # paths in the folder of files that make packages of Bazel
    store: Path
    model_loads: list[list[str]]  # of models by frameworks, as `model_loads` finds them

    def label(self, file: str) -> str:
        """Return a file of the folder as MODULE.bazel names it."""
        return f"//{self.package}:{file}"


def migrate(
    folder: str | Path,
    package: str = "",
    *,
    bentofile: str | None = None,
    store: str | Path | None = None,
    workspace: Workspace | None = None,
    hub: str | None = None,
) -> Migration:
    """Turn the project in a folder, which is the package `package` of the workspace, into rules.

    `bentofile` is the file's path in the folder; without it, bentofile.yaml, else pyproject.toml is read. `store` is
    BentoML's model store, of which descriptions are read. `hub` is the name of the packages' hub: one that `workspace`
    has, or a new one; without it, a name that is free. Raises BentoError for a project that cannot be read at all.
    """
    project = _read(Path(folder), package, bentofile, Path(store) if store else default_store())
    packages = migrate_packages.read(project.options, project.info, project.files)
    package_hub = _hub(project, packages, workspace or Workspace(), hub)
    models, model_notes = _models(project)
    notes = [*_lock_notes(project, packages, package_hub), *packages.notes, *model_notes, *_unknown_notes(project)]
    notes += [*_package_notes(project), *_option_notes(project), *_trial_build_notes(project)]
    locks = not (packages.is_locked or package_hub.is_declared)
    return Migration(
        _module_file(project, packages, package_hub),
        _build_file(project, packages, models, package_hub),
        "".join(f"{line}\n" for line in packages.stated) if locks else "",
        "".join(f"{line}\n" for line in packages.constraints) if locks else "",
        _ignore_file(project),
        tuple(notes),
        packages.files,
    )


def _read(folder: Path, package: str, bentofile: str | None, store: Path) -> _Project:
    path = folder / bentofile if bentofile else bentofiles.find(folder)
    options = BuildOptions()
    if path is not None:
        options = bentofiles.read(path, path.name, src_exists=(path.parent / "src").is_dir())
    declared = list(snapshot.walk(str(folder)))
    selection = selected(declared, options)
    sources = {file.path: file for file in selection.kept if file.link is None}
    seen: dict[str, bytes] = {}  # files that were read, by path
    tree = services.SourceTree(sources, lambda name: seen.setdefault(name, snapshot.content(sources[name])))
    info = services.read_service(options.service or "service", tree, options.args)
    name = path.relative_to(folder).as_posix() if path is not None else None
    files = project_files(declared, folder)
    kept_sources = {file.source for file in sources.values()}
    kept_files = [file for file in declared if file.source in kept_sources]
    data = tuple(file.path for file in kept_files if Path(file.source).stat().st_size >= _MIN_DATA_BYTES)
    paths = tuple(file.path for file in kept_files)
    packages = tuple(sorted(file.path for file in declared if PurePosixPath(file.path).name in _PACKAGE_FILES))
    return _Project(
        folder, package.strip("/"), name, options, info, files, paths, data, packages, store, find_model_loads(seen)
    )


# Packages


@dataclass(frozen=True)
class _PackageHub:
    """Describes the hub that a project takes its packages from."""

    name: str
    is_declared: bool  # whether the workspace declares it
    workspace: Workspace


def _hub(project: _Project, packages: Packages, workspace: Workspace, requested: str | None) -> _PackageHub:
    """Return the hub of that name, or of the project's lock, or a new one."""
    matching = [name for name, lock in workspace.hubs.items() if lock == project.label(packages.lock)]
    name = requested or (matching[0] if matching else workspace.free_name(project.package))
    if name in workspace.names and name not in workspace.hubs:
        raise BentoError(f"--hub: {name!r} is another repository of the workspace. Choose another name.")
    return _PackageHub(name, name in workspace.hubs, workspace)


def _lock_notes(project: _Project, packages: Packages, hub: _PackageHub) -> list[str]:
    """Return what to do for a lock."""
    if hub.is_declared:
        return [f"Packages: they have to be in the lock of @{hub.name}: {', '.join(packages.stated)}."]
    if packages.is_locked:
        return []
    files = " and ".join(packages.files[: 2 if packages.constraints else 1])
    return [
        f"Packages: the project has no lock. Save {files} from above in {project.package or 'the root'}, and run "
        f"`bazel run //{project.package}:requirements.update`."
    ]


# Models


def _models(project: _Project) -> tuple[list[str], list[str]]:
    """Return a bento_model for each model that the project names, and what to do about its files."""
    tags = [choice.tag for choice in project.options.models or ()]
    aliases = {choice.tag: choice.alias for choice in project.options.models or () if choice.alias}
    references = [*project.info.models, *(model for service in project.info.services for model in service.models)]
    named = [model for model in references if model.tag and not (model.alias and model.tag in aliases.values())]
    tags += [model.tag.lower() for model in named]
    targets: dict[str, str] = {}
    notes = []
    for tag in (tag.lower() for tag in tags):
        name = tag.partition(":")[0]
        if name not in targets:
            stored = model_store.find_newest(project.store, tag)
            is_entry = stored is not None or project.files.has(f"models/{name}/model.yaml")
            matching_loads = [load for load in project.model_loads if load[0].lower().partition(":")[0] == name]
            matching_loads += [load for load in project.model_loads if load[0] == aliases.get(tag)]
            modules = {f"bentoml.{framework}" for _, framework, *_ in matching_loads}
            module = min(modules) if len(modules) == 1 else None
            targets[name] = _model_target(tag, aliases.get(tag), module, is_entry=is_entry)
            notes += _model_notes(tag, stored, module, is_entry=is_entry)
    notes += [
        _huggingface_note(project, service, model) for service in project.info.services for model in service.models
    ]
    filters = [choice for choice in project.options.models or () if choice.filter]
    notes += [f"Models: the filter {choice.filter!r} chooses among the labels of bento_models." for choice in filters]
    return list(targets.values()), [note for note in notes if note]


def _model_target(tag: str, alias: str | None, module: str | None, *, is_entry: bool) -> str:
    """Return the rule of a model: an entry of a store as it is, or files to which a description is made."""
    name = tag.partition(":")[0]
    files = f'"models/{name}/**"'
    if is_entry:
        entry = {
            "name": name,
            "srcs": StarlarkCode(f"glob([{files}])"),
            "alias": alias,
            "strip_prefix": f"models/{name}",
        }
        return call("bento_model_import", entry)
    attributes = {
        "name": name,
        # bento_model writes model.yaml itself, so that of the store's entry is left out.
        "srcs": StarlarkCode(f'glob(\n        [{files}],\n        exclude = ["models/{name}/model.yaml"],\n    )'),
        "alias": alias,
        "module": module,
        "strip_prefix": f"models/{name}",
        "tag": tag.removesuffix(":latest"),
    }
    return call("bento_model", attributes)


def _model_notes(tag: str, stored: dict[str, Any] | None, module: str | None, *, is_entry: bool) -> list[str]:
    name = tag.partition(":")[0]
    if stored:
        tagged = f"{stored['name']}:{stored['version']}"
        return [
            f'Models: {tag} is {tagged} in the store. Copy its entry: cp -r "$(bentoml models get {tagged} -o path)" '
            f"models/{name}"
        ]
    if is_entry:
        return []
    return [
        f"Models: {tag} is not in the store. Put its files into models/{name}/, or let a rule make them; its "
        f"{'' if module else 'module, '}signatures and labels are not known here, so set these attributes of the "
        f"bento_model, or copy an entry of a store and make the rule a bento_model_import."
    ]


def _huggingface_note(project: _Project, service: Service, model: Model) -> str:
    """Return what to do about a snapshot whose revision moves; nothing about one that is a commit."""
    source = model.huggingface
    if source is None or re.fullmatch("[0-9a-f]{40}", source.revision):
        return ""
    arguments = source.model_id + ("" if source.revision == "main" else f"@{source.revision}")
    arguments += f" --endpoint {shlex.quote(source.endpoint)}" if source.endpoint else ""
    for flag, patterns in (("include", source.include), ("exclude", source.exclude)):
        arguments += "".join(f" --{flag} {shlex.quote(pattern)}" for pattern in patterns or ())
    line = getattr(_assignment(project, service, model.attribute), "lineno", service.line)
    return (
        f"Models: {service.path}:{line}: {service.class_name}.{model.attribute} follows {source.revision!r} of "
        f"{source.model_id}, which moves. `bento models pin {arguments}` asks the hub, and prints the commit to write "
        f"there as `revision`, and the bento.model tag that bundles the files instead."
    )


# BUILD and MODULE


def _package_notes(project: _Project) -> list[str]:
    """Return what to do about folders that are packages of Bazel already: no glob goes into them."""
    notes = []
    for path in project.packages:
        folder = path.rpartition("/")[0]
        inside = [file for file in project.kept if file.startswith(f"{folder}/") and file != path] if folder else []
        if not folder:
            notes.append(f"{path}: it is there. Write the lines from above into it.")
        elif inside:
            notes.append(
                f"Sources: {path} makes {folder}/ a package of its own, of which glob takes nothing: {inside[0]} would "
                f"not be in the Bento. Name its files in srcs by a filegroup there, or remove {path}."
            )
    return notes


def _excluded_files(project: _Project) -> list[str]:
    return ["BUILD.bazel"] if project.package else ["BUILD.bazel", *_BAZEL_FILES]


def _ignore_file(project: _Project) -> str:
    """Return the `.bazelignore` of a project that is the root of the workspace; empty for any other."""
    if project.package:
        return ""
    folders = [*_BAZEL_LINKS, f"bazel-{project.folder.resolve().name}"]
    folders += [name for name in _IGNORED_DIRECTORIES if (project.folder / name).is_dir()]
    return "".join(f"{name}\n" for name in folders)


def _build_file(project: _Project, packages: Packages, models: Sequence[str], hub: _PackageHub) -> str:
    update = [] if packages.is_locked or hub.is_declared else _update(packages)
    excluded = [*_excluded_files(project), *(_lock_files(packages) if update else [])]
    rules = sorted({re.match(r"\w+", rule)[0] for rule in [*models, *update]} | {"bento_package"})  # type: ignore[index]
    load = f'load("@rules_bento//rules:defs.bzl", {", ".join(f"{chr(34)}{rule}{chr(34)}" for rule in rules)})\n'
    names = [match[1] for model in models if (match := re.search(r'name = "(.+)"', model))]
    data = sorted(path for path in project.data if not path.startswith(tuple(f"models/{name}/" for name in names)))
    python = project.options.docker.python_version
    bento = project.options.name or project.info.bento_name or "bento"
    attributes: dict[str, Any] = {
        "name": re.sub(r"\W", "_", bento) + "_bento",
        "srcs": _sources(sorted([*excluded, *data, *(f"models/{name}/**" for name in names)])),
        "bentofile": project.bentofile,
        "data": data,
        "models": [f":{name}" for name in names],
        "python_version": python,
        "requirements": [f"@{hub.name}//{target}" for target in packages.targets],
        "service": project.info.service,
    }
    return "\n\n".join([load.rstrip("\n"), *models, call("bento_package", attributes), *update]) + "\n"


def _assignment(project: _Project, service: Service, attribute: str) -> ast.stmt | None:
    """Return the statement of a service's class that gives it an attribute."""
    if not project.files.has(service.path):  # it is in `src/`, or comes from elsewhere
        return None
    for node in ast.walk(ast.parse(project.files.read(service.path, "service"))):
        if isinstance(node, ast.ClassDef) and node.name == service.class_name:
            for line in node.body:
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                if isinstance(target, ast.Name) and target.id == attribute:
                    return line
    return None


def _lock_files(packages: Packages) -> list[str]:
    """Return the files that locking adds to the project, and that no Bento has."""
    return [packages.files[0], *packages.files[1 : 1 + bool(packages.constraints)], packages.lock]


def _update(packages: Packages) -> list[str]:
    """Return the targets that write the lock and test whether it is stale."""
    update_attributes = {
        "name": "requirements.update",
        "srcs": [packages.files[0]],
        "constraints": [packages.files[1]] if packages.constraints else [],
        "lock": packages.lock,
        "platforms": [migrate_packages.PLATFORM],
        "requires_python": packages.requires_python,
        **packages.indexes,
    }
    test_attributes = {"name": "requirements_test", "lock": packages.lock, "update": ":requirements.update"}
    return [call("bento_requirements", update_attributes), call("bento_requirements_test", test_attributes)]


def _module_file(project: _Project, packages: Packages, hub: _PackageHub) -> str:
    """Return the lines to add to MODULE.bazel."""
    workspace, extension = hub.workspace, hub.workspace.extension or "bento"
    lines = [] if workspace.has_rules else ['bazel_dep(name = "rules_bento", version = "0.1.0")\n']
    if not workspace.extension and not hub.is_declared:
        lines.append(f'{extension} = use_extension("{EXTENSION}", "bento")')
    if not hub.is_declared:
        tag = {
            "name": hub.name,
            "lock": project.label(packages.lock),
            "platforms": [migrate_packages.PLATFORM],
            "python_version": packages.python_version,
            **packages.indexes,
        }
        lines += [call(f"{extension}.pypi", tag), f'use_repo({extension}, "{hub.name}")']
    return "".join(f"{line}\n" for line in lines)


def _sources(excluded: Sequence[str]) -> StarlarkCode:
    """Return all files of the package but those."""
    listed = "".join(f'            "{pattern}",\n' for pattern in excluded)
    if len(excluded) == 1:
        return StarlarkCode(f'glob(\n        ["**"],\n        exclude = ["{excluded[0]}"],\n    )')
    return StarlarkCode(f'glob(\n        ["**"],\n        exclude = [\n{listed}        ],\n    )')


# Notes on what migrating cannot decide


def _unknown_notes(project: _Project) -> list[str]:
    notes = []
    for unknown in project.info.unknowns:
        text = way(unknown, "attributes")
        if text or unknown.required:
            remedy = f"Declare {text}." if text else "State it in the source."
            notes.append(f"Service: {unknown.path}:{unknown.line}: {unknown.what}. {remedy}")
    return [*notes, f"Service: Or {IMPORT}."] if notes else []


def _option_notes(project: _Project) -> list[str]:
    """Return notes on options that the rules treat differently from BentoML's build."""
    options, python = project.options, project.options.python
    notes = []
    if python.lock_packages is not False:
        notes.append("python.lock_packages: the Bento is locked by the hub, not by a resolver at each build.")
    if python.index_url or python.extra_index_url or python.find_links:
        notes.append(
            "python.index_url and its like say where an image build gets packages. Where Bazel gets them, attributes "
            "of bento.pypi and bento_requirements say, or your uv is configured to."
        )
    if "--no-deps" in (python.pip_args or "").split():
        notes.append(
            "python.pip_args: a hub cannot follow --no-deps. Where packages limit one another wrongly, correct the "
            "limits in a file of `overrides` of bento_requirements, and remove --no-deps."
        )
    if options.service is None:
        notes.append(f"service: BentoML finds it; the rule is told {project.info.service!r}.")
    outside = [path for path in (options.include or ()) if path.startswith("../")]
    notes += [f"include: {path!r} is outside of the package. Name a py_library in deps." for path in outside]
    return notes


def _trial_build_notes(project: _Project) -> list[str]:
    """Return the refusal of a build of the project as it is, if there is one.

    BentoML would leave out in silence what is refused, or fail.
    """
    path = project.folder / project.bentofile if project.bentofile else None
    try:
        build_bentofile(path, build_ctx=project.folder, extra=ExtraOptions(store=project.store))
    except BentoError as error:
        message = " ".join(str(error).replace(f"{project.folder}/", "").split())
        if any(part in message for part in _ALREADY_REPORTED):
            return []  # said above, by what to do about it
        return [f"Not carried over: {message}"]
    return []
