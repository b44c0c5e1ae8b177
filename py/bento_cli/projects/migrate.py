"""Migrates BentoML projects to Bazel: generates a BUILD file, lines for MODULE.bazel, and notes for the user.

`migrate` doesn't change files or import the project's code. `write` adds the result to the workspace.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path, PurePosixPath

from rules_bento import service as services
from rules_bento.archives.atomic import replace_file
from rules_bento.bento.kinds import MODEL
from rules_bento.build_options import bentofile as bentofiles
from rules_bento.build_options.options import BuildOptions
from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.models import model_store
from rules_bento.models.model_loads import find_calls, find_model_loads
from rules_bento.service.modules import own_nodes
from rules_bento.service.overrides import way
from rules_bento.sources import snapshot
from rules_bento.typing_lite import TYPE_CHECKING, Any, Sequence

from bento_cli.projects import import_packages, migrate_packages, python_syntax
from bento_cli.projects.from_directory import PYTHON_VERSION, ExtraOptions, build_bentofile, project_files, selected
from bento_cli.projects.starlark import StarlarkCode, call, load, merge_build_files
from bento_cli.projects.workspace import EXTENSION, Workspace
from bento_cli.store.home import Home

if TYPE_CHECKING:
    from rules_bento.build_options.project import ProjectFiles
    from rules_bento.service import Model, Service, ServiceInfo

    from bento_cli.projects.migrate_packages import Packages

# Files of a workspace: Bentos don't include them, and Bazel's symlinks would make a walk endless.
_BAZEL_FILES = (".bazelignore", ".bazelrc", ".bazelversion", "MODULE.bazel", "MODULE.bazel.lock")
_PACKAGE_FILES = ("BUILD", "BUILD.bazel")
_BAZEL_LINKS = ("bazel-bin", "bazel-out", "bazel-testlogs")
_IGNORED_DIRECTORIES = (".git", ".venv", "node_modules", "venv")
# Parts of errors of the trial build that other notes already cover.
_ALREADY_REPORTED = ("requires the model", "uv_lock()", "all service metadata as constants", "isn't a commit")
_MODEL_REFERENCE = re.compile(r"bentoml\.(\w+)\.(load_model|get|BentoModel)")
_MIN_DATA_BYTES = 10_000_000  # files of this size are packed separately from the sources


@dataclass(frozen=True)
class Migration:
    """The result of a migration: the contents of the generated files, and notes for the user."""

    module: str  # lines of MODULE.bazel
    build: str  # BUILD.bazel of the project's directory
    requirements: str  # requirements to lock; empty if the project has a lock
    constraints: str  # constraints of the requirements
    ignore: str  # lines of .bazelignore if the project is the root of a workspace
    notes: tuple[str, ...]  # remaining work, and options that aren't migrated
    names: tuple[str, str]  # names of the files of requirements and constraints
    build_name: str  # name of the BUILD file

    def text(self) -> str:
        """Return the contents of all files, and the notes, as text for a terminal."""
        parts = [
            ("MODULE.bazel", self.module),
            (".bazelignore", self.ignore),
            (self.build_name, self.build),
            (self.names[0], self.requirements),
            (self.names[1], self.constraints),
        ]
        shown = [f"# {name}\n{text}" for name, text in parts if text]
        notes = "".join(f"# - {note}\n" for note in self.notes)
        return "\n".join([*shown, f"# Remaining work:\n{notes}" if notes else ""]).rstrip("\n") + "\n"


@dataclass(frozen=True)
class _Project:
    """A project to migrate, with its build options and the results of its analysis."""

    directory: Path
    package: str  # package of the directory in the workspace
    bentofile: str | None  # path in the directory
    options: BuildOptions
    info: ServiceInfo
    files: ProjectFiles
    kept: tuple[str, ...]  # paths of files that BentoML would include
    data: tuple[str, ...]  # paths of large files among them
    packages: tuple[str, ...]  # paths of BUILD files
    store: Path
    model_loads: list[list[str]]  # calls of framework functions that load models, from `model_loads`
    min_python: int  # the first minor version of Python that supports the syntax of the service
    import_packages: set[str]  # targets of packages that importing the service requires, or prefixes of their names

    def label(self, file: str) -> str:
        """Return the label of a file in the project's directory."""
        return f"//{self.package}:{file}"


def migrate(
    directory: str | Path,
    package: str = "",
    *,
    bentofile: str | None = None,
    store: str | Path | None = None,
    workspace: Workspace | None = None,
    hub: str | None = None,
    is_written: bool = False,
) -> Migration:
    """Analyze the project in `directory`, and return the files and notes of a migration. Doesn't write files.

    `package` is the project's Bazel package. `bentofile` is a path in the directory, by default bentofile.yaml or
    pyproject.toml. `store` is the directory of BentoML's model store. `workspace` contains the existing declarations.
    `hub` is the name of the package hub. If `hub` is None, uses the hub that the workspace declares for the project's
    lock, or a new hub with an unused name. If `is_written` is true, the notes omit instructions to copy generated
    lines, because the caller writes the files. Raises BentoError for an invalid project.
    """
    project = _read(Path(directory), package, bentofile, Path(store) if store else Home.find().entries_dir(MODEL))
    packages = migrate_packages.read(project.options, project.info, project.files, project.min_python)
    package_hub = _hub(project, packages, workspace or Workspace(), hub)
    models, model_notes = _models(project)
    notes = [
        *_lock_notes(project, packages, package_hub, is_written),
        *packages.notes,
        *model_notes,
        *_unknown_notes(project, packages),
    ]
    notes += [*_package_notes(project, is_written), *_option_notes(project), *_trial_build_notes(project)]
    locks = not (packages.is_locked or package_hub.is_declared)
    return Migration(
        _module_file(project, packages, package_hub),
        _build_file(project, packages, models, package_hub),
        "".join(f"{line}\n" for line in packages.declared) if locks else "",
        "".join(f"{line}\n" for line in packages.constraints) if locks else "",
        _ignore_file(project),
        tuple(notes),
        packages.files,
        _build_name(project),
    )


def write(migration: Migration, root: Path, directory: Path, *, force: bool = False) -> list[str]:
    """Write a migration to the workspace at `root` and the project in `directory`. Returns one report line per file.

    Keeps existing targets, requirements, and constraints, unless `force` is set. If the existing BUILD file is invalid,
    raises BentoError and writes no files.
    """
    files: dict[Path, str] = {}
    report = []
    for path, lines in ((root / "MODULE.bazel", migration.module), (root / ".bazelignore", migration.ignore)):
        existing = _existing(path)
        if path.name == ".bazelignore":
            lines = "".join(f"{line}\n" for line in lines.splitlines() if line not in (existing or "").splitlines())
        if lines:
            separator = "" if not existing else "" if path.name == ".bazelignore" else "\n"
            files[path] = f"{(existing or '').rstrip()}\n{separator}{lines}" if existing else lines
            report.append(f"{path.name}: {'created' if existing is None else 'added lines'}")
    path = directory / migration.build_name
    existing = _existing(path)
    merged = merge_build_files(existing or "", migration.build, migration.build_name, force=force)
    files[path] = merged.text
    states = {"added": merged.added, "replaced": merged.replaced, "kept (replace with --force)": merged.kept}
    parts = [f"{state} {', '.join(names)}" for state, names in states.items() if names] or ["unchanged"]
    report.append(f"{migration.build_name}: {'created, ' if existing is None else ''}{'; '.join(parts)}")
    for name, text in zip(migration.names, (migration.requirements, migration.constraints), strict=True):
        existing = _existing(directory / name)
        if text and existing in (None, text):
            report.append(f"{name}: {'unchanged' if existing else 'created'}")
        elif text:
            report.append(f"{name}: {'replaced' if force else 'kept (replace with --force)'}")
        if text and (force or existing is None):
            files[directory / name] = text
    for path, text in files.items():
        if text != _existing(path):
            replace_file(path, text.encode())
    return report


def _existing(path: Path) -> str | None:
    return path.read_text("utf-8", errors="surrogateescape") if path.is_file() else None


def _read(directory: Path, package: str, bentofile: str | None, store: Path) -> _Project:
    path = directory / bentofile if bentofile else bentofiles.find(directory)
    options = BuildOptions()
    if path is not None:
        options = bentofiles.read(path, path.name, src_exists=(path.parent / "src").is_dir())
    declared = list(snapshot.walk(str(directory)))
    selection = selected(declared, options)
    sources = {file.path: file for file in selection.kept if file.link is None}
    below = [file.path for file in declared if PurePosixPath(file.path).name == bentofiles.NAMES[0]]
    if path is None and below and not {"service.py", "service/__init__.py"} & {*sources}:
        inner = directory / PurePosixPath(below[0]).parent
        raise BentoError(
            f"{directory}: the directory contains neither a bentofile nor service.py. If the paths in {below[0]} are "
            f"relative to this directory, add --bentofile {below[0]}. Otherwise, run `bento migrate {inner}`."
        )
    seen: dict[str, bytes] = {}  # content of read files, by path
    tree = services.SourceTree(sources, lambda name: seen.setdefault(name, snapshot.content(sources[name])))
    info = services.read_service(options.service or "service", tree, options.args)
    name = path.relative_to(directory).as_posix() if path is not None else None
    files = project_files(declared, directory)
    kept_sources = {file.source for file in sources.values()}
    kept_files = [file for file in declared if file.source in kept_sources]
    data = tuple(file.path for file in kept_files if Path(file.source).stat().st_size >= _MIN_DATA_BYTES)
    paths = tuple(file.path for file in kept_files)
    packages = tuple(sorted(file.path for file in declared if PurePosixPath(file.path).name in _PACKAGE_FILES))
    loads = find_model_loads(seen)
    python = {path: text for path, text in seen.items() if path.endswith(".py") and python_syntax.is_valid(text)}
    required = import_packages.find(info.service.partition(":")[0], python)
    first = python_syntax.min_minor(python.values(), int(PYTHON_VERSION[2:]))
    return _Project(
        directory, package.strip("/"), name, options, info, files, paths, data, packages, store, loads, first, required
    )


@dataclass(frozen=True)
class _PackageHub:
    """The package hub for a project. `is_declared` specifies whether the workspace already declares the hub."""

    name: str
    is_declared: bool
    workspace: Workspace


def _hub(project: _Project, packages: Packages, workspace: Workspace, requested: str | None) -> _PackageHub:
    """Select the package hub for a project. Raises BentoError if another repository has the requested name."""
    matching = [name for name, lock in workspace.hubs.items() if lock == project.label(packages.lock)]
    name = requested or (matching[0] if matching else workspace.free_name(project.package))
    if name in workspace.names and name not in workspace.hubs:
        raise BentoError(f"--hub: another repository in MODULE.bazel is already named {name!r}. Choose an unused name.")
    return _PackageHub(name, name in workspace.hubs, workspace)


def _lock_notes(project: _Project, packages: Packages, hub: _PackageHub, is_written: bool) -> list[str]:
    """Return notes that explain how to create or check the lock of the packages."""
    if hub.is_declared:
        return [f"Packages: make sure that the lock of @{hub.name} has {', '.join(packages.declared)}."]
    if packages.is_locked:
        return []
    files = " and ".join(packages.files[: 2 if packages.constraints else 1])
    save = "" if is_written else f"Save {files} (see above) in {project.package or 'the root'}, and run "
    update = f"`bazel run //{project.package}:requirements.update`"
    return [f"Packages: the project has no lock. {save or 'Run '}{update}."]


def _models(project: _Project) -> tuple[list[str], list[str]]:
    """Return two lists: the targets of the models that the project uses, and notes on these models for the user."""
    tags = [choice.tag for choice in project.options.models or ()]
    aliases = {choice.tag: choice.alias for choice in project.options.models or () if choice.alias}
    references = [*project.info.models, *(model for service in project.info.services for model in service.models)]
    named = [model for model in references if model.tag and not (model.alias and model.tag in aliases.values())]
    tags += [model.tag.lower() for model in named]
    if project.info.unknowns and not project.info.services and project.files.has(project.info.path):
        found = _import_tags(project.files.read(project.info.path, "service"))
        tags += [tag for tag in found if tag not in aliases.values()]
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
            notes += _model_notes(project, tag, stored, module, is_entry=is_entry)
    users = project.info.services
    notes += [_huggingface_note(project, service, model) for service in users for model in service.models]
    filters = [choice.filter for choice in project.options.models or () if choice.filter]
    notes += [f"Models: the filter {text!r} applies to the labels of bento_model targets." for text in filters]
    return list(targets.values()), [note for note in notes if note]


def _import_tags(text: bytes) -> list[str]:
    """Return the constant model tags that a module uses at import time, ordered by line."""
    body = ast.parse(text).body
    members = [each for node in body if isinstance(node, ast.ClassDef) for each in node.body]
    lines = {node.lineno for node in own_nodes(*body, *members) if isinstance(node, ast.Call)}
    calls = sorted(find_calls(text, _MODEL_REFERENCE), key=lambda call: call[3])
    return [tag for tag, _, _, line in calls if line in lines]


def _model_target(tag: str, alias: str | None, module: str | None, *, is_entry: bool) -> str:
    """Return a bento_model_import target for a model from a store, or a bento_model target for other files."""
    name = tag.partition(":")[0]
    files = f'"models/{name}/**"'
    if is_entry:
        entry = {"name": name, "srcs": StarlarkCode(f"glob([{files}])"), "alias": alias}
        return call("bento_model_import", entry | {"strip_prefix": f"models/{name}"})
    attributes = {
        "name": name,
        # bento_model writes model.yaml, so a copied one is excluded.
        "srcs": StarlarkCode(f'glob(\n        [{files}],\n        exclude = ["models/{name}/model.yaml"],\n    )'),
        "alias": alias,
        "module": module,
        "strip_prefix": f"models/{name}",
        "tag": tag.removesuffix(":latest"),
    }
    return call("bento_model", attributes)


def _model_notes(
    project: _Project, tag: str, stored: dict[str, Any] | None, module: str | None, *, is_entry: bool
) -> list[str]:
    name = tag.partition(":")[0]
    if stored:
        tagged = f"{stored['name']}:{stored['version']}"
        models = f"{project.package}/models".lstrip("/")
        return [
            # mkdir fails if an entry exists, so that versions do not mix. BentoML wraps the path at 80 columns.
            f"Models: {tag} is {tagged} in the store. Copy the entry: mkdir -p {models} && mkdir {models}/{name} && "
            f'cp -r "$(bentoml models get {tagged} -o path | tr -d "\\n")/." {models}/{name}'
        ]
    if is_entry:
        return []
    return [
        f"Models: {tag} isn't in the store. Move the model files to models/{name}/, or generate them, and set "
        f"{'' if module else 'module, '}signatures, and labels of the bento_model. Or copy an entry of a store, and "
        f"use bento_model_import."
    ]


def _huggingface_note(project: _Project, service: Service, model: Model) -> str:
    """Return a note if the revision of a Hugging Face model isn't a commit, otherwise an empty string."""
    source = model.huggingface
    if source is None or re.fullmatch("[0-9a-f]{40}", source.revision):
        return ""
    arguments = source.model_id + ("" if source.revision == "main" else f"@{source.revision}")
    arguments += f" --endpoint {shlex.quote(source.endpoint)}" if source.endpoint else ""
    for flag, patterns in (("include", source.include), ("exclude", source.exclude)):
        arguments += "".join(f" --{flag} {shlex.quote(pattern)}" for pattern in patterns or ())
    line = getattr(_assignment(project, service, model.attribute), "lineno", service.line)
    return (
        f"Models: {service.path}:{line}: {service.class_name}.{model.attribute} uses {source.revision!r} of "
        f"{source.model_id}, which isn't a commit. Run `bento models pin {arguments}`, which prints the commit for "
        "`revision`, and a bento.model tag that bundles the files."
    )


def _package_notes(project: _Project, is_written: bool) -> list[str]:
    """Return notes on an existing BUILD file, and on nested Bazel packages that the generated globs exclude."""
    notes = []
    for path in project.packages:
        directory = path.rpartition("/")[0]
        below = [file for file in project.kept if file.startswith(f"{directory}/") and file != path]
        inside = below if directory else []
        if not directory and not is_written:
            notes.append(f"{path}: the file exists. Add the lines above to the file.")
        elif inside:
            notes.append(
                f"Sources: {path} makes {directory}/ a separate package, so glob excludes its files, such as "
                f"{inside[0]}. Add a filegroup of the package to srcs, or remove {path}."
            )
    return notes


def _build_name(project: _Project) -> str:
    return "BUILD" if "BUILD" in project.packages and "BUILD.bazel" not in project.packages else "BUILD.bazel"


def _excluded_files(project: _Project) -> list[str]:
    return [_build_name(project)] if project.package else [_build_name(project), *_BAZEL_FILES]


def _ignore_file(project: _Project) -> str:
    """Return the lines to add to `.bazelignore`, or "" if the project isn't the root of the workspace."""
    if project.package:
        return ""
    directories = [*_BAZEL_LINKS, f"bazel-{project.directory.resolve().name}"]
    directories += [name for name in _IGNORED_DIRECTORIES if (project.directory / name).is_dir()]
    return "".join(f"{name}\n" for name in directories)


def _build_file(project: _Project, packages: Packages, models: Sequence[str], hub: _PackageHub) -> str:
    update = [] if packages.is_locked or hub.is_declared else _update(packages)
    excluded = [*_excluded_files(project), *(_lock_files(packages) if update else [])]
    rules = sorted({re.match(r"\w+", rule)[0] for rule in [*models, *update]} | {"bento_package"})  # type: ignore[index]
    names = [match[1] for model in models if (match := re.search(r'name = "(.+)"', model))]
    data = sorted(path for path in project.data if not path.startswith(tuple(f"models/{name}/" for name in names)))
    python = project.options.docker.python_version
    bento = project.options.name or project.info.bento_name or "bento"
    required = tuple(f"{each}_" for each in project.import_packages if project.info.unknowns)
    imported = [each for each in packages.targets if f"{each}_".replace(":", "_").startswith(required)]
    attributes: dict[str, Any] = {
        "name": re.sub(r"\W", "_", bento) + "_bento",
        "srcs": _sources(sorted([*excluded, *data, *(f"models/{name}/**" for name in names)])),
        "bentofile": project.bentofile,
        "data": data,
        "import_packages": [f"@{hub.name}//{target}" for target in imported],
        "models": [f":{name}" for name in names],
        "python_version": python,
        "requirements": [f"@{hub.name}//{target}" for target in packages.targets],
        "service": project.info.service,
        "service_metadata": "import" if project.info.unknowns else None,
    }
    return "\n\n".join([load(rules).rstrip("\n"), *models, call("bento_package", attributes), *update]) + "\n"


def _assignment(project: _Project, service: Service, attribute: str) -> ast.stmt | None:
    """Return the statement in the service's class that assigns `attribute`, or None if no statement is found."""
    if not project.files.has(service.path):  # the file is in `src/` or outside the project
        return None
    for node in ast.walk(ast.parse(project.files.read(service.path, "service"))):
        if isinstance(node, ast.ClassDef) and node.name == service.class_name:
            for line in node.body:
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                if isinstance(target, ast.Name) and target.id == attribute:
                    return line
    return None


def _lock_files(packages: Packages) -> list[str]:
    """Return the names of the requirements file, the constraints file (if any), and the lock file."""
    return [packages.files[0], *packages.files[1 : 1 + bool(packages.constraints)], packages.lock]


def _update(packages: Packages) -> list[str]:
    """Return the targets that update and verify the lock."""
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
            **packages.hub_indexes,
        }
        lines += [call(f"{extension}.pypi", tag), f'use_repo({extension}, "{hub.name}")']
    return "".join(f"{line}\n" for line in lines)


def _sources(excluded: Sequence[str]) -> StarlarkCode:
    """Return a glob of all files that match none of the `excluded` patterns."""
    listed = "".join(f'            "{pattern}",\n' for pattern in excluded)
    if len(excluded) == 1:
        return StarlarkCode(f'glob(\n        ["**"],\n        exclude = ["{excluded[0]}"],\n    )')
    return StarlarkCode(f'glob(\n        ["**"],\n        exclude = [\n{listed}        ],\n    )')


def _unknown_notes(project: _Project, packages: Packages) -> list[str]:
    """Return notes on service metadata that static analysis can't determine."""
    notes = []
    for unknown in project.info.unknowns:
        text = way(unknown, "attributes")
        remedy = f" To avoid the import, declare {text}." if text else ""
        notes.append(f"Service: {unknown.path}:{unknown.line}: {unknown.what}.{remedy}")
    imported = (
        "Service: static analysis doesn't support all of the service (see below), so the build imports it with BentoML "
        '(service_metadata = "import").'
    )
    is_newer = notes or project.min_python > int(PYTHON_VERSION[2:])
    if is_newer and (version := packages.python_version) != PYTHON_VERSION:
        notes.append(
            f"Service: the {'import' if notes else 'analysis'} requires actions with Python {version}. Make sure that "
            f'MODULE.bazel sets bento_tools.python(version = "{version}"), or another interpreter of this version.'
        )
    return [imported, *notes] if project.info.unknowns else notes


def _option_notes(project: _Project) -> list[str]:
    """Return notes on build options that the rules handle differently from BentoML."""
    options, python = project.options, project.options.python
    notes = []
    if python.lock_packages is not False:
        notes.append("python.lock_packages: Bazel uses the lock of the package hub, and builds resolve no packages.")
    if python.index_url or python.extra_index_url or python.find_links:
        notes.append(
            "python.index_url and similar options apply only to image builds. For Bazel, set the attributes of "
            "bento.pypi and bento_requirements, or configure uv."
        )
    if "--no-deps" in (python.pip_args or "").split():
        notes.append(
            "python.pip_args: package hubs don't support --no-deps. If a package has wrong requirements, correct the "
            "requirements in a file of `overrides` of bento_requirements, and remove --no-deps."
        )
    if options.service is None:
        notes.append(f"service: the rule specifies {project.info.service!r}, which BentoML found by default.")
    outside = [path for path in (options.include or ()) if path.startswith("../")]
    notes += [f"include: {path!r} is outside the package. Add a py_library to deps." for path in outside]
    return notes


def _trial_build_notes(project: _Project) -> list[str]:
    """Build the unchanged project. Returns a note about the error if the build fails, otherwise [].

    Also returns [] if another note reports the error. This build is stricter than BentoML, which ignores some invalid
    options.
    """
    path = project.directory / project.bentofile if project.bentofile else None
    try:
        build_bentofile(path, build_ctx=project.directory, extra=ExtraOptions(store=project.store))
    except BentoError as error:
        message = " ".join(str(error).replace(f"{project.directory}/", "").split())
        if any(part in message for part in _ALREADY_REPORTED):
            return []  # another note covers it
        return [f"Not migrated: {message}"]
    return []
