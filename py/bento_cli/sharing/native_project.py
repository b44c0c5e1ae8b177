"""Plans the images of uv projects for `bento image`. Code of a project runs only in isolated builds of wheels."""

from __future__ import annotations

import os
import re
import shlex
from functools import cached_property, partial

from rules_bento.base.dataclasses_lite import dataclass, replace
from rules_bento.base.display import some, without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import ANNOTATION
from rules_bento.base.formats.times import time_of_epoch
from rules_bento.base.tag import similar_word
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.packages import uv_lock_conflicts
from rules_bento.bentos.packages.lock_format import locked_files, locked_size
from rules_bento.bentos.packages.uv import login_remedy
from rules_bento.bentos.packages.uv_lock_conflicts import PackageSelection
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.tree_manifest import content_version
from rules_bento.images.layers.members import program_layers, program_members
from rules_bento.images.plan import APP, ImagePlan, PlannedLayer
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.projects import image_table, uv_lock_check
from bento_cli.projects.project_reach import confined
from bento_cli.projects.project_tree import ProjectTree
from bento_cli.projects.uv_project import DEBIAN_LOCK, DIRECTORIES, UvProject, path_advice, python_problem
from bento_cli.sharing import (
    base_syntax,
    extra_files,
    hub_snapshots,
    known_files,
    native_build,
    native_delivery,
    project_files,
    unprovided_imports,
)
from bento_cli.sharing.base_syntax import BaseSyntax
from bento_cli.sharing.debian_packages import SystemRequest, extend
from bento_cli.sharing.image_options import LAYOUT, read_options
from bento_cli.sharing.locked_addresses import with_addresses
from bento_cli.sharing.native_base import DEFAULT_BASE
from bento_cli.sharing.native_bytecode import NoInterpreterError
from bento_cli.sharing.native_packages import LocalWheel, best_wheel, download, fetch, location, target_environment
from bento_cli.sharing.native_wheel import build_archive, build_wheel
from bento_cli.sharing.project_command import MAIN, check_line_ends, find_command, project_sources, stated
from bento_cli.transports.address import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.service.metadata import SourceTree
    from rules_bento.bentos.sources.snapshot import DeclaredFile
    from rules_bento.images.artifacts.signatures import Signing

    from bento_cli.projects.image_table import ImageTable
    from bento_cli.sharing.backends import NativeImage, Options
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace, Preview

_CREATED = "1980-01-01T00:00:00+00:00"  # the default of the rules
_JOBS = 4
_SOURCES = ("github", "repository", "source", "sourcecode")  # labels of project.urls (PEP 753)


@dataclass(frozen=True)
class ProjectOptions:
    """What an image of a project contains."""

    selection: PackageSelection = PackageSelection()
    package: str = ""  # a member of the workspace
    version: str = ""  # of projects whose build back end reads the version from git
    entrypoint: str = ""  # a command as for a shell
    secrets: tuple[str, ...] | None = ()  # paths of files that can contain secrets; None: no check

    def read(self, directory: Path) -> tuple[UvProject, ImageTable, ProjectOptions]:
        """Return a project, its table, and the options with what the table has instead of those that aren't set."""
        project = confined([directory], UvProject.read, directory.absolute(), self.package)
        if (project.root / "uv.toml").exists():
            remedy = "Move the settings to [tool.uv] of pyproject.toml."
            raise BentoError("the file isn't supported", place=str(project.root / "uv.toml"), remedy=remedy)
        arguments = project.document, project.directory, project.root
        table = confined([project.root], image_table.of_document, *arguments)
        is_set = self.selection != PackageSelection()
        selection = self.selection if is_set else PackageSelection(table.extras, table.groups)
        return project, table, replace(self, entrypoint=self.entrypoint or table.entrypoint, selection=selection)


def build_image(
    directory: Path,
    names: Sequence[str],
    options: Options,
    chosen: ProjectOptions,
    *,
    home: Path,
    signing: Signing | None,
) -> NativeImage | list[Preview]:
    """Build the image of a uv project, and write, load, or push it. Raises BentoError if one of these steps fails.

    With `--dry-run`, returns only what the image for each platform would have.
    """
    project, table, chosen = chosen.read(directory)
    names = tuple(names) or (f"{similar_word(project.fields['name'])}:latest",)
    settings = read_options(options, names, signing, table=table)
    stale = confined([project.root], uv_lock_check.check, project)

    def run(workspace: BuildWorkspace) -> NativeImage | list[Preview]:
        workspace.request_permission(() if "dry-run" in settings else names)
        builder = ProjectPlanner(project, chosen, workspace)
        images, previews, contents = [], list[native_build.Preview](), ""
        wanted = SystemRequest(
            workspace.values("apt"),
            project.root / DEBIAN_LOCK,
            str(directory) if str(directory) != "." else "",
            tuple(base for base in workspace.values("base") if base not in table.options.get("base", ())),
        )
        bases = workspace.bases(DEFAULT_BASE.format(project.default_python))
        if stale and "locked" in settings:
            raise BentoError(stale[0], place="--locked", remedy="Remove --locked, or lock the project statically.")
        workspace.notes += [*stale, *confined([project.root], lambda: project.ignored_locks)]
        for base in bases:
            _check_python(project, base)
            base = extend(workspace, base, wanted)
            plan, contents = builder.plan(base)
            if "dry-run" in settings:
                previews.append(native_build.BuiltImage(workspace, base, plan).preview())
                continue
            images.append(native_build.build_image(workspace, base, plan))
        if previews:
            return previews
        return native_delivery.Delivery(workspace, images, lambda: contents).deliver(names, signing)

    try:
        return native_build.build(f"Building {names[0]}", home, settings, run)
    except RefusedError as error:
        indexes = [(each.get("name", ""), each["url"]) for each in project.settings.get("index", ())]
        raise error.with_remedy(login_remedy(indexes)) from None


def _check_python(project: UvProject, base: BaseImageContents) -> None:
    """Raise BentoError if the project requires another Python version than the base's."""
    version = base.python_version
    pinned, path = project.pinned_python
    if pinned not in ("", version):
        problem = f"{base.name} has Python {version}, but {path} requires {pinned}"
        remedy = f"Use a base image with Python {pinned}, or run `uv python pin {version}` in the project."
        raise BentoError(problem, place="--base", remedy=remedy)
    if problem := python_problem(project.requires_python, version, project.path):
        problem = f"{base.name} has Python {version}, but {problem}"
        raise BentoError(problem, place="--base", remedy="Use a base image with such a version.")


class ProjectPlanner:
    """Plans the images of one project for several bases."""

    def __init__(self, project: UvProject, chosen: ProjectOptions, workspace: BuildWorkspace) -> None:
        self._project, self._chosen, self._workspace = project, chosen, workspace
        self._choice = chosen.selection.choice(project.lock, project.name, project.default_groups)
        self._outputs = [path.removeprefix(LAYOUT) for path in workspace.values("output")]
        self.notes = workspace.notes
        self._built: dict[tuple[Path, str], LocalWheel] = {}  # by path and version of Python
        self._added = extra_files.declared(workspace.values("file"))
        if chosen.secrets is not None:
            extra_files.check_secrets(self._added, workspace.values("env"), chosen.secrets)

    @property
    def kept(self) -> tuple[DeclaredFile, ...]:
        """The files of a project that isn't installed."""
        return self._kept.files

    @cached_property
    def _kept(self) -> known_files.FilesRead:
        record = known_files.record_path(self._workspace.cache, native_build.code_digest(), self._project.directory)
        before = known_files.load(record)

        def select() -> known_files.FilesRead:
            added, allowed = [file.source for file in self._added], self._chosen.secrets
            kept = project_files.select(self._project, self._tree, self._outputs, self.notes, added)
            found = known_files.read(kept, before, "_main/", finds_secrets=allowed is not None)
            if allowed is not None:
                contents = ((file.path, found.suspects.get(file.path, b"")) for file in kept if file.link is None)
                project_files.check_secrets(self._project, contents, allowed)
            return found

        found = confined(self._tree.places, select)
        if found.known != before:
            known_files.store(record, found.known)
        return found

    @cached_property
    def _tree(self) -> ProjectTree:
        own = self._workspace.scratch, self._workspace.downloads
        return ProjectTree(self._project.root, self._outputs, own)

    def _build(self, project: UvProject, base: BaseImageContents) -> LocalWheel:
        """Return the wheel of a project of the workspace."""
        key = project.directory, base.python_version
        if key not in self._built:
            version, target = self._chosen.version, base.python_version
            wheel, note = build_wheel(project, self._tree, self._workspace, version, target=target)
            self._check_files(project, wheel)
            self._built[key] = wheel
            self.notes += note.splitlines()
        return self._check_tag(self._built[key], base)

    def _check_tag(self, wheel: LocalWheel, base: BaseImageContents) -> LocalWheel:
        """Return a built wheel. Raises BentoError if it doesn't run on a base."""
        own = {wheel.sha256: str(wheel.path)}
        if best_wheel(wheel.distribution, wheel.version, own, base, self._workspace.downloads):
            return wheel
        target = f"Python {base.python_version} on linux/{base.image.config['architecture']}"
        problem = f"{wheel.path.name}: the built wheel doesn't run on {base.name}, which has {target}. Run `uv python "
        problem += f"install {base.python_version}` on this platform, or use a base for the wheel."
        raise BentoError(problem)

    def _check_files(self, project: UvProject, wheel: LocalWheel) -> None:
        """Check the files of a wheel for secrets, and add notes about files that it lacks."""
        is_own, tree = project.directory == self._project.directory, self._tree
        top, unpacked = (project.directory if is_own else project.root).resolve(), Wheel.read(wheel.path, Locked(""))
        copies, others, unseen = confined(tree.places, tree.compare, project, unpacked)
        prefix = f"{os.path.relpath(top, tree.root)}/".removeprefix("./")
        names = {
            path: source.removeprefix(prefix) if source.startswith(prefix) else os.path.relpath(tree.root / source, top)
            for path, source in copies.items()
        }
        if is_own:
            self._note_others(top, others)
        if unseen:
            ignored = [os.path.relpath(tree.root / path) for path in unseen]
            problem = f"the build doesn't see files that Git ignores: {some(ignored)}"
            self.notes.append(f"{project.path}: {problem}. To add one, run `git add -f {shlex.quote(ignored[0])}`.")
        for each in unpacked.members:
            if each.size < snapshot.MAX_LFS_POINTER and unpacked.starts_with(each, snapshot.LFS_POINTER):
                snapshot.check_lfs(f"{project.path}: {names.get(each.path, each.path)}", snapshot.LFS_POINTER)
        if self._chosen.secrets is not None:
            if isinstance(readme := project.fields.get("readme"), str):  # the end of METADATA
                readme = os.path.relpath(tree.root / tree.place(project) / readme, top)
                names.setdefault(f"{unpacked.dist_info}/METADATA", readme)
            contents = ((names.get(each.path, each.path), unpacked.contents(each)) for each in unpacked.members)
            project_files.check_secrets(project, contents, self._chosen.secrets, is_own=is_own)

    def _note_others(self, top: Path, names: Sequence[str]) -> None:
        """Add a note about files next to a package, which a program can need, as `manage.py` and `alembic.ini`."""
        added = [file.source for file in self._added]
        lost = [each for each in names if not any(path.startswith(str(top / each)) for path in added)]
        lost.sort(key=lambda name: name not in ("alembic.ini", "manage.py"))
        files = [(os.path.relpath(top / each), each.rstrip("/")) for each in lost if "=" not in each]
        words = shlex.join(word for path, name in files[:5] for word in ("--file", f"{path}=/{name}"))
        if words:
            problem = f"files next to the package aren't in the image: {some(lost)}"
            self.notes.append(f"{top}: {problem}. If the program reads them in /, where it starts, add {words}.")

    def _find_packages(self, base: BaseImageContents) -> tuple[list[LocalWheel], list[UvProject]]:
        """Return the wheels of the project's lock for a base image, and the directories of the lock that are packages.

        Downloads files whose size the lock doesn't state, and builds source archives. Raises BentoError for a package
        without a wheel.
        """
        project = self._project
        found = uv_lock_conflicts.installed(
            project.lock, self._choice, str(project.root / project.lock_name), target_environment(base)
        )
        packages = with_addresses([package for package, _ in found], base, str(project.root / project.lock_name))
        members = [
            project.member(each["name"]) for each in packages if each["source"].keys() & {"editable", "directory"}
        ]
        files = [self._find_file(each, base) for each in packages if not each["source"].keys() & {*DIRECTORIES}]
        download([file for file in files if not file.size], self._workspace.progress)
        return [self._build_archive(each, base) if each.path.suffix != ".whl" else each for each in files], members

    def _find_file(self, package: dict[str, Any], base: BaseImageContents) -> LocalWheel:
        """Return the best wheel of a package for a base image, or a source archive."""
        project, origin, name = self._project, str(self._project.root / self._project.lock_name), package["name"]
        version, source = str(package.get("version", "")), package["source"]
        advice = path_advice(name, lock=project.lock_name)
        if "git" in source:
            address, _, commit = source["git"].partition("#")
            requirement = f"{name} @ git+{without_credentials(address.partition('?')[0])}@{commit}"
            command = f"pip wheel --no-deps -w wheels {shlex.quote(requirement)}"
            problem = f"{name} is from Git, which builds of images don't use"
            raise BentoError(problem, place=origin, remedy=f"Run `{command}`, and then {advice}")
        files = locked_files(package, origin, project.root)
        is_built = project.rejects("binary", name)
        wheel = None if is_built else best_wheel(name, version, files, base, self._workspace.downloads)
        if wheel:
            return wheel._replace(size=locked_size(package, wheel.sha256))
        # As for uv, wheels of other systems don't matter. With wheels for Linux, the archive has machine code.
        has_code = not is_built and any("linux" in url.rpartition("-")[2] for url in files.values())
        is_installed = has_code or project.rejects("build", name)
        archives = {} if is_installed else locked_files({**package, "wheels": []}, origin, project.root)
        for sha256, url in archives.items():
            place = location(url, sha256, self._workspace.downloads)
            if place.suffix != ".whl":
                return LocalWheel(name, version, place, sha256, url, locked_size(package, sha256))
        raise BentoError(
            f"{name}=={version}: the lock has no wheel for linux/{base.image.config['architecture']} and Python "
            f"{base.python_version} that runs on {base.name}. Lock a version with such a wheel, use another base, or "
            f"build a wheel for the base, and {advice}"
        )

    def _build_archive(self, archive: LocalWheel, base: BaseImageContents) -> LocalWheel:
        key = archive.path, base.python_version
        if key not in self._built:
            fetch(archive, self._workspace.progress)
            self._built[key], note = build_archive(archive, self._project, self._workspace, base.python_version)
            self.notes += note.splitlines()
        return self._check_tag(self._built[key], base)

    def _find_command(
        self, base: BaseImageContents, tree: SourceTree, own: LocalWheel | None, packages: set[str]
    ) -> tuple[list[str], dict[str, str], list[str]]:
        """Return the container's command, variables for it, and the modules that it starts. Checks their syntax."""
        project, entrypoint, origin = self._project, self._chosen.entrypoint, ""
        places = [project.root, *([own.path] if own else [])]
        if not entrypoint:
            origin, found = confined(places, stated, project)
            entrypoint = found.table.get("entrypoint", "")
        command, env = confined(places, find_command, project, entrypoint, tree, own, packages, base.python_version)
        placed = {f"{MAIN}/{path}": partial(tree.read, path) for path in tree.paths} if not own else {}
        check_line_ends(command, placed | {f"/{each.path}": partial(snapshot.content, each) for each in self._added})
        modules = unprovided_imports.started_modules(command, project.fields.get("scripts", {}), tree)
        try:
            self.notes += confined(places, base_syntax.check, modules, tree, base.python_version)
        except NoInterpreterError as error:  # only with a command of the user, which needs no file
            self.notes.append(str(error))
        if not self._chosen.entrypoint:
            source = f", from {origin}" if entrypoint else ""
            self.notes.append(
                f"The container runs `{shlex.join(command)}`{source}. To change the command, add --entrypoint."
            )
        wrapper = base.image.config.get("entrypoint", command)
        if command[: len(wrapper)] != wrapper:
            named = shlex.join([*wrapper, *command])
            told = f"The container doesn't run the base's entry point `{shlex.join(wrapper)}`."
            self.notes.append(f"{told} To run it, add --entrypoint {shlex.quote(named)}.")
        return command, env, modules

    def plan(self, base: BaseImageContents) -> tuple[ImagePlan, str]:
        """Return the plan of an image, and the digest of the project's files."""
        project, workspace = self._project, self._workspace
        wheels, members = self._find_packages(base)
        members.sort(key=lambda each: each.directory == project.directory)
        is_package = any(each.directory == project.directory for each in members)
        fields = workspace.plan_fields(base)
        fields["labels"] = _source_label(project) | fields["labels"]
        name = similar_word(project.fields["name"]) or "program"
        built = [self._build(each, base) for each in members]
        own, contents, declared = built[-1] if is_package else None, [], []
        tree = project_sources(kept := () if own else self.kept, own, BaseSyntax(workspace, base).parse)
        command, env, modules = self._find_command(base, tree, own, {wheel.distribution for wheel in wheels})
        planned = {wheel.distribution: wheel for wheel in workspace.plan_wheels([*wheels, *built])}
        models = hub_snapshots.directories(workspace)
        others = extra_files.OtherPaths([f"{MAIN}/{file.path}" for file in kept], models, [*planned.values()])
        added, replaced = extra_files.plan(workspace, base, self._added, others)
        if own:
            version, digest, working_dir = own.version, f"sha256:{own.sha256}", "/"
        else:
            places = self._tree.places
            declared = [
                snapshot.DeclaredFile(f"_main/{file.path}", file.source, file.origin, file.link) for file in kept
            ]
            own_files = [each for each in declared if f"{APP}/{each.path}" not in replaced]
            manifest, listed = program_members(own_files, APP, self._kept.entries)
            contents = [
                PlannedLayer.of_members(name, extra_files.owned(workspace, group), workspace.compression, places)
                for name, group in program_layers(listed)
                if group
            ]
            version, digest = content_version(manifest.identity()), f"blake3:{manifest.identity().hex()}"
            env = {"PYTHONPATH": MAIN, "RUNFILES_DIR": APP} | env
            working_dir = MAIN
        contents[:0] = [*hub_snapshots.plan(workspace), *added]
        contents += extra_files.plan_writable(workspace, base)
        env |= workspace.pairs("env")
        files = {*tree.paths, *(f"{file.path}/" if file.link else file.path for file in kept)}
        plan = ImagePlan(
            **fields,
            bento={"name": name, "version": version, "labels": {}, "envs": []},
            directory="",
            wheels=tuple(planned[wheel.distribution] for wheel in wheels),
            projects=tuple(planned[wheel.distribution] for wheel in built),
            contents=tuple(contents),
            created=time_of_epoch(epoch) if (epoch := os.environ.get("SOURCE_DATE_EPOCH")) else _CREATED,
            env=env,
            command=tuple(command),
            files=tuple(file.path for file in (*declared, *self._added)),
            scripts=tuple(sorted(_modules_of_scripts(project).items())) if own and "PYTHONPATH" not in env else (),
            imports=tuple(unprovided_imports.of_modules(modules, tree, files)),
            working_dir=working_dir,
            snapshots=tuple((each.repository, each.commit) for each in workspace.values("hugging-face")),
        )
        return plan, digest


def _modules_of_scripts(project: UvProject) -> dict[str, str]:
    """Return the modules of the scripts of a package, by name."""
    tables = (project.fields.get(table, {}) for table in ("gui-scripts", "scripts"))
    return {name: entry.partition(":")[0].strip() for table in tables for name, entry in table.items()}


def _source_label(project: UvProject) -> dict[str, str]:
    """Return a label with the address of the sources, if the project's metadata has one."""
    urls = project.fields.get("urls")
    for name, url in urls.items() if isinstance(urls, dict) else ():
        if re.sub("[^a-z]", "", name.lower()) in _SOURCES and isinstance(url, str) and url.startswith("https://"):
            return {f"{ANNOTATION}source": without_credentials(url)}
    return {}
