"""Migrates BentoML projects to Bazel: generates a BUILD file, lines for MODULE.bazel, and notes for the user.

`migrate` doesn't change files or import the project's code. `write` adds the result to the workspace.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

from rules_bento.base.archives.atomic import replace_files
from rules_bento.base.dataclasses_lite import dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file, split_lines
from rules_bento.base.python_source import parse
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos import service as services
from rules_bento.bentos.assembly.kinds import MODEL
from rules_bento.bentos.assembly.model_refs import pin_command
from rules_bento.bentos.models import model_store
from rules_bento.bentos.models.model_loads import find_calls
from rules_bento.bentos.service.modules import Module

from bento_cli.projects import migrate_packages
from bento_cli.projects.from_directory import PYTHON_VERSION, ExtraOptions, build_bentofile
from bento_cli.projects.migrated_project import REQUIREMENTS, MigratedProject, executed
from bento_cli.projects.starlark import KEPT, StarlarkCode, call, glob, literal, load, merge_build_files
from bento_cli.projects.workspace import EXTENSION, Workspace
from bento_cli.store.home import Home

if TYPE_CHECKING:
    from rules_bento.bentos.service import Model, Service

    from bento_cli.projects.migrate_packages import Packages

# Files of a workspace: Bentos don't include them, and Bazel's symlinks would make a walk endless.
_BAZEL_FILES = (".bazelignore", ".bazelrc", ".bazelversion", "MODULE.bazel", "MODULE.bazel.lock")
_BAZEL_LINKS = ("bazel-bin", "bazel-out", "bazel-testlogs")
_IGNORED_DIRECTORIES = (".git", ".venv", "node_modules", "venv")
# Parts of errors of the trial build that other notes already cover.
_ALREADY_REPORTED = (
    *("requires the model", "uv_lock()", "metadata as constants", "might change metadata", "isn't a commit"),
    *("comes from the uv workspace", "comes from path"),
    "doesn't support this line",
)
_MODEL_REFERENCE = re.compile(r"bentoml\.(\w+)\.(load_model|get|BentoModel)")
_BYTES = "surrogateescape"  # keeps bytes that aren't UTF-8
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
    package: str  # package of the project's directory in the workspace
    target: str  # name of the bento_package

    def text(self, report: Sequence[str] = ()) -> str:
        """Return text for a terminal: `report` (the result of `write`) or, without it, all files; then the notes."""
        files = [("MODULE.bazel", self.module), (".bazelignore", self.ignore), (self.path(self.build_name), self.build)]
        files += zip(map(self.path, self.names), (self.requirements, self.constraints), strict=True)
        parts = [f"# {name}\n{text}" for name, text in files if text and not report]
        if report:
            parts.append("".join(f"{line}\n" for line in report))
        notes = "".join(f"# - {note}\n" for note in self.notes)
        parts += [f"# Remaining work:\n{notes}"] if notes else []
        return "\n".join([*parts, f"# To build the Bento:\nbazel build //{self.package}:{self.target}\n"])

    def path(self, name: str) -> str:
        """Return the path in the workspace of a file in the project's directory."""
        return f"{self.package}/{name}" if self.package else name


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
    lock or, without a lock, the only hub whose lock is in the root, or a new hub with an unused name. If `is_written`
    is true, the notes omit instructions to copy generated lines, because the caller writes the files. Raises BentoError
    for an invalid project.
    """
    models_store = Path(store) if store else Home.find().entries_dir(MODEL)
    project = MigratedProject(Path(directory), package, bentofile, models_store)
    packages = migrate_packages.read(project)
    workspace = workspace or Workspace()
    workspace = replace(workspace, hubs=workspace.hubs | workspace.parsed)
    lock = f"//{project.package}:{packages.lock}"
    hub = _choose_hub(hub, workspace, lock, project.package, is_locked=packages.is_locked)
    is_generated = bool(project.generated) and workspace.hubs.get(hub) == lock
    needs_lock = not packages.is_locked and (hub not in workspace.hubs or is_generated)
    run_update = f"`bazel run //{project.package}:{REQUIREMENTS}.update`"
    lock_notes = []
    if is_generated and project.files.has(packages.lock):
        lock_notes = [f"Packages: if the requirements changed, run {run_update}."]
    elif hub in workspace.hubs and not needs_lock:
        lock_notes = [f"Packages: make sure that the lock of @{hub} has {', '.join(packages.declared)}."]
    elif needs_lock:
        place = f"{' and '.join(packages.sources)} (see above) in {project.package or 'the root directory'}"
        run = "Run" if is_written else f"Save {place}, and run"
        lock_notes = [f"Packages: the project has no lock. {run} {run_update}."]
    models, model_notes = _models(project)
    notes = (
        [] if workspace.has_rules else ["Module: add a local_path_override with the path of your clone of rules_bento."]
    )
    notes += [*lock_notes, *packages.notes, *model_notes, *_unknown_notes(project, packages)]
    notes += [*_package_notes(project, is_written), *_option_notes(project, hub if hub in workspace.hubs else "")]
    notes += _trial_build_notes(project)
    return Migration(
        _module_file(packages, workspace, hub, lock),
        _build_file(project, packages, models, [_requirements(packages)] if needs_lock else [], hub, workspace),
        "".join(f"{line}\n" for line in packages.declared if needs_lock),
        "".join(f"{line}\n" for line in packages.constraints if needs_lock),
        _ignore_file(project),
        tuple(notes),
        packages.files,
        project.build_name,
        project.package,
        _target_name(project),
    )


def _choose_hub(hub: str | None, workspace: Workspace, lock: str, package: str, *, is_locked: bool) -> str:
    """Return the name of the package hub (see `migrate`). Raises BentoError for an invalid name."""
    declared = [name for name, path in workspace.hubs.items() if path == lock]
    if hub and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", hub):
        raise BentoError(f"--hub: invalid name {hub!r}. Use letters, digits, '_', '.', and '-'.")
    shared = [name for name, path in workspace.hubs.items() if path.startswith("//:")]
    if not declared and not is_locked and len(shared) == 1:
        declared = shared
    hub = hub or (declared[0] if declared else workspace.free_name(package))
    if hub in workspace.names and hub not in workspace.hubs:
        raise BentoError(f"--hub: another repository in MODULE.bazel is already named {hub!r}. Choose an unused name.")
    return hub


def write(migration: Migration, root: Path, directory: Path, *, force: bool = False) -> list[str]:
    # writes: output, files of the user's workspace
    """Write a migration to the workspace at `root` and the project in `directory`. Returns one report line per file.

    Keeps existing targets, requirements, and constraints, unless `force` is set. If an existing file is invalid or too
    large, or if a file can't be written, raises BentoError and writes no files.
    """
    files: dict[Path, str] = {}
    report = []
    ignored = split_lines(_existing(root / ".bazelignore") or "")
    missing = "".join(f"{line}\n" for line in split_lines(migration.ignore) if line not in ignored)
    for name, separator, lines in (("MODULE.bazel", "\n", migration.module), (".bazelignore", "", missing)):
        existing = _existing(root / name)
        if lines:
            files[root / name] = f"{existing.rstrip()}\n{separator}{lines}" if existing else lines
            report.append(f"{name}: {'created' if existing is None else 'lines added'}")
    path, shown = directory / migration.build_name, migration.path(migration.build_name)
    existing = _existing(path)
    files[path], states = merge_build_files(existing or "", migration.build, shown, force=force)
    parts = [f"{state} {', '.join(names)}" for state, names in states.items() if names] or ["unchanged"]
    report.append(f"{shown}: {'created, ' if existing is None else ''}{'; '.join(parts)}")
    for name, text in zip(migration.names, (migration.requirements, migration.constraints), strict=True):
        existing = _existing(directory / name)
        changed = "replaced" if force else KEPT
        state = "created" if existing is None else "unchanged" if existing == text else changed
        if text:
            report.append(f"{migration.path(name)}: {state}")
        if text and (force or existing is None):
            files[directory / name] = text
    replace_files({path: text.encode("utf-8", _BYTES) for path, text in files.items() if text != _existing(path)})
    return report


def _existing(path: Path) -> str | None:
    """Return the text of a file, or None if the file doesn't exist. Bytes that aren't UTF-8 become surrogates."""
    return read_file(path).decode("utf-8", _BYTES) if path.is_file() else None


def _models(project: MigratedProject) -> tuple[dict[str, str], list[str]]:
    """Return the targets of the models that the project uses, by name, and notes on these models for the user."""
    choices = project.options.models or ()
    aliases = {choice.tag: choice.alias for choice in choices if choice.alias}
    users = [(service, model) for service in project.info.services for model in service.models]
    named = [model for model in (*project.info.models, *(model for _, model in users)) if model.tag]
    tags = [(choice.tag, project.options.at("models")) for choice in choices]
    tags += [(model.tag, project.info.path) for model in named if not (model.alias and model.tag in aliases.values())]
    if project.info.unknowns and not project.info.services and project.files.has(project.info.path):
        found = _import_tags(project.files.read(project.info.path, "service"))
        tags += [(tag, f"{project.info.path}:{line}") for tag, line in found if tag not in aliases.values()]
    targets: dict[str, str] = {}
    notes = []
    for tag, place in ((tag.lower(), place) for tag, place in tags):
        name = Tag.parse(tag.removesuffix(":latest"), place).name
        if name not in targets:
            targets[name], note = _model(project, name, tag, aliases.get(tag))
            notes.append(note)
    notes += [_huggingface_note(project, service, model) for service, model in users]
    filters = [choice.filter for choice in choices if choice.filter]
    notes += [f"Models: the filter {text!r} applies to the labels of bento_model targets." for text in filters]
    return targets, [note for note in notes if note]


def _import_tags(text: bytes) -> list[tuple[str, int]]:
    """Return the constant model tags that a module uses at import time, and their lines, ordered by line."""
    nodes = executed(Module("", "", parse(text), is_package=False), set())
    lines = {node.lineno for node in nodes if isinstance(node, ast.Call)}
    calls = sorted(find_calls(text, _MODEL_REFERENCE), key=lambda call: call[3])
    return [(tag, line) for tag, _, _, line in calls if line in lines]


def _model(project: MigratedProject, name: str, tag: str, alias: str | None) -> tuple[str, str]:
    """Return the target of a model, and a note about the model's files (empty if the project has them).

    The target of a model from a store has no tag, module, or labels, because model.yaml has them.
    """
    stored = model_store.find_newest(project.store, tag)
    is_entry = bool(stored) or project.files.has(f"models/{name}/model.yaml")
    loads = [load for load in project.model_loads if load[0].lower().partition(":")[0] == name or load[0] == alias]
    modules = {f"bentoml.{framework}" for _, framework, *_ in loads}
    module = min(modules) if len(modules) == 1 and not is_entry else None
    attributes = {
        "name": name,
        # bento_model writes model.yaml, so a copied one is excluded.
        "srcs": glob(f"models/{name}/**", () if is_entry else [f"models/{name}/model.yaml"]),
        "alias": alias,
        "module": module,
        "strip_prefix": f"models/{name}",
        "tag": None if is_entry else tag.removesuffix(":latest"),
    }
    note = ""
    if stored:
        models = f"{project.package}/models".lstrip("/")
        entry = shlex.quote(f"{(project.store / stored.replace(':', '/')).absolute()}/.")
        # mkdir fails if an entry exists, so that versions do not mix.
        note = (
            f"Models: {tag} is {stored} in the store. Copy the entry: mkdir -p {models} && mkdir {models}/{name} && "
            f"cp -r {entry} {models}/{name}"
        )
    elif not is_entry:
        note = (
            f"Models: {tag} isn't in the store. Move the model files to models/{name}/, or generate the files "
            f"with a target. In the bento_model, set {'' if module else 'module, '}labels, and fields_file. "
            f"Or copy the model's directory from a BentoML store to models/{name}/, and remove tag."
        )
    return call("bento_model", attributes), note


def _huggingface_note(project: MigratedProject, service: Service, model: Model) -> str:
    """Return a note if the revision of a Hugging Face model isn't a commit, otherwise an empty string."""
    source = model.huggingface
    if source is None or re.fullmatch("[0-9a-f]{40}", source.revision):
        return ""
    # Without its own file, the class is in `src/` or outside the project.
    code = project.files.read(service.path, "service") if project.files.has(service.path) else b""
    classes = [node for node in ast.walk(parse(code)) if getattr(node, "name", "") == service.class_name]
    body = [line for node in classes if isinstance(node, ast.ClassDef) for line in node.body]
    is_assignment = re.compile(rf"{model.attribute}(:| =)").match
    line = next((line.lineno for line in body if is_assignment(ast.unparse(line))), service.line)
    return (
        f"Models: {service.path}:{line}: {service.class_name}.{model.attribute} uses {source.revision!r} of "
        f"{source.model_id}, which isn't a commit. Run `{pin_command(source)}`, which prints the commit for "
        "`revision`, and a bento_files.hugging_face_model tag that bundles the files."
    )


def _package_notes(project: MigratedProject, is_written: bool) -> list[str]:
    """Return notes on an existing BUILD file, and on nested Bazel packages that the generated globs exclude."""
    notes = []
    for path in project.build_files:
        directory = path.rpartition("/")[0]
        inside = [file.path for file in project.kept if file.path.startswith(f"{directory}/") and file.path != path]
        if not directory and not is_written:
            notes.append(f"{path}: the file exists. Add the lines above to the file.")
        elif inside:
            notes.append(
                f"Sources: {path} makes {directory}/ a separate package, so glob excludes its files, such as "
                f"{inside[0]}. Add a filegroup of the package to srcs, or remove {path}."
            )
    return notes


def _ignore_file(project: MigratedProject) -> str:
    """Return the lines to add to `.bazelignore`, or "" if the project isn't the root of the workspace."""
    if project.package:
        return ""
    directories = [*_BAZEL_LINKS, f"bazel-{project.directory.resolve().name}"]
    directories += [name for name in _IGNORED_DIRECTORIES if (project.directory / name).is_dir()]
    return "".join(f"{name}\n" for name in directories)


def _build_file(
    project: MigratedProject,
    packages: Packages,
    models: dict[str, str],
    update: Sequence[str],
    hub: str,
    workspace: Workspace,
) -> str:
    """Return the BUILD file with the targets of the models, the Bento, and the lock (`update`)."""
    parsed_lock = [workspace.parsed[hub]] if hub in workspace.parsed else []  # versions for packages of pip.parse
    target = _target_name(project)
    name = target.removesuffix("_bento")
    rule = "bento_package" if name in (*models, REQUIREMENTS) or project.files.has(name) else "bento_service"
    rules = {rule.partition("(")[0] for rule in [*models.values(), *update]} | {rule}
    patterns = [f"models/{name}/**" for name in models]
    large = (file.path for file in project.kept if Path(file.source).stat().st_size >= _MIN_DATA_BYTES)
    data = sorted(path for path in large if not path.startswith(tuple(each.rstrip("*") for each in patterns)))
    excluded = {project.build_name, *data, *patterns, *project.generated}
    excluded |= {*packages.sources, packages.lock} if update else set()
    required = tuple(f"{each}_" for each in project.import_packages if project.info.unknowns)
    imported = [each for each in packages.targets if f"{each}_".replace(":", "_").startswith(required)]
    attributes: dict[str, Any] = {
        "name": name if rule == "bento_service" else target,
        "srcs": glob("**", sorted({*excluded, *(() if project.package else _BAZEL_FILES)})),
        "bentofile": project.bentofile and project.bentofile.relative_to(project.directory).as_posix(),
        "data": data,
        "deps": packages.libraries,
        "import_requirements": [f"@{hub}//{target}" for target in imported],
        "models": [f":{name}" for name in models],
        "python_version": project.options.docker.python_version,
        "requirements": [*(f"@{hub}//{target}" for target in packages.targets), *parsed_lock],
        "service": project.info.service,
        "service_metadata": "import" if project.info.unknowns else None,
    }
    targets = [*models.values(), call(rule, attributes), *update]
    return load(sorted(rules)) + "".join(f"\n{target}\n" for target in targets)


def _target_name(project: MigratedProject) -> str:
    """Return the name of the bento_package."""
    class_name = project.info.service.partition(":")[2]
    bento = project.options.name or project.info.bento_name or services.snake_case(class_name)
    return re.sub(r"\W", "_", bento or project.directory.resolve().name, flags=re.ASCII) + "_bento"


def _requirements(packages: Packages) -> str:
    """Return the bento_requirements, which declares the targets that update and test the lock."""
    attributes = {
        "name": REQUIREMENTS,
        "srcs": packages.sources[:1],
        "constraints": packages.sources[1:],
        "platforms": [migrate_packages.PLATFORM],
        "requires_python": f"=={packages.python_version}.*",
        **packages.indexes,
    }
    return call("bento_requirements", attributes)


def _module_file(packages: Packages, workspace: Workspace, hub: str, lock: str) -> str:
    """Return the lines to add to MODULE.bazel."""
    extension = workspace.extension or "bento"
    lines = [] if workspace.has_rules else ['bazel_dep(name = "rules_bento", version = "0.1.0")\n']
    if hub not in workspace.hubs:
        lines += [] if workspace.extension else [f'{extension} = use_extension("{EXTENSION}", "bento")']
        tag = {
            "name": hub,
            "lock": lock,
            "platforms": [migrate_packages.PLATFORM],
            "python_version": packages.python_version,
            **{key: StarlarkCode(literal(names, 1)) for key, names in packages.selection.items()},
            **packages.hub_indexes,
        }
        lines += [call(f"{extension}.pypi", tag), f"use_repo({extension}, {literal(hub)})"]
    return "".join(f"{line}\n" for line in lines)


def _unknown_notes(project: MigratedProject, packages: Packages) -> list[str]:
    """Return notes on service metadata that static analysis can't determine."""
    notes = [f"Service: {unknown.path}:{unknown.line}: {unknown.what}." for unknown in project.info.unknowns]
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


def _option_notes(project: MigratedProject, existing_hub: str) -> list[str]:
    """Return notes on build options that the rules handle differently from BentoML.

    `existing_hub` is the name of a package hub that the workspace already declares, or an empty string.
    """
    options, python = project.options, project.options.python
    notes = []
    if existing_hub and (python.index_url or python.extra_index_url or python.find_links):
        notes.append(
            "python.index_url and the other index options apply only to images built without Bazel. For Bazel, set the "
            f"same indexes in the bento.pypi tag and the bento_requirements target of @{existing_hub}."
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


def _trial_build_notes(project: MigratedProject) -> list[str]:
    """Build the unchanged project. Returns a note about the error if the build fails, otherwise [].

    Also returns [] if another note reports the error. This build is stricter than BentoML, which ignores some invalid
    options.
    """
    extra = ExtraOptions(store=project.store)
    error = migrate_packages.error_message(build_bentofile, project.bentofile, build_ctx=project.directory, extra=extra)
    message = " ".join(error.replace(f"{project.directory}/", "").split())
    return [f"Not migrated: {message}"] if error and not any(part in message for part in _ALREADY_REPORTED) else []
