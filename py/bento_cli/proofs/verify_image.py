"""Implements `bento verify --rebuild`: finds the base and the trusted inputs of an image, and proves it."""

from __future__ import annotations

from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence
from rules_bento.bentos.sources import snapshot

from bento_cli.projects import image_table
from bento_cli.projects.project_reach import read
from bento_cli.projects.uv_project import DEBIAN_LOCK, LOCK, PYPROJECT, UvProject
from bento_cli.proofs import own_files, trusted_inputs
from bento_cli.proofs.base_files import BaseFiles
from bento_cli.proofs.config_proof import Claims
from bento_cli.proofs.debian_proof import DebianProof
from bento_cli.proofs.image_proof import Proof, Trusted, prove
from bento_cli.proofs.image_source import ImageSource, read_images
from bento_cli.sharing import extra_files, native_build
from bento_cli.sharing.debian_packages import SystemRequest, locked_files
from bento_cli.sharing.image_options import read_options
from bento_cli.sharing.native_base import DEFAULT_BASE, read_base
from bento_cli.sharing.native_image import plan_image, plan_model, system_request
from bento_cli.sharing.native_project import ProjectOptions, ProjectPlanner
from bento_cli.sharing.project_command import split_command
from bento_cli.store.entry_contents import EntryContents
from bento_cli.store.entry_store import models_of
from bento_cli.store.import_manifests import ManifestCache

if TYPE_CHECKING:
    from bento_cli.proofs.expected import LayerMember
    from bento_cli.sharing.backends import Options
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace
    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home

_NO_SOURCE = "the sources aren't known. Add --source"


@dataclass(frozen=True)
class Inputs:
    """What the user trusts. `options` and `chosen` have the values of the options of `bento image`."""

    options: Options
    chosen: ProjectOptions = ProjectOptions()
    source: Path | None = None  # a directory: of a uv project, or with the files of /app/_main
    bento: Entry | None = None
    lock: Path | None = None
    age: int | None = None  # days


def verify_image(target: str, inputs: Inputs, home: Home) -> list[Proof]:
    """Return a proof for each platform of an image. Raises BentoError if an input can't be read."""
    project, table, chosen = None, None, inputs.chosen
    if inputs.source and not inputs.lock and (inputs.source / PYPROJECT).is_file():
        project = read([inputs.source], UvProject.read, inputs.source.absolute(), chosen.package)
        table = read([project.root], image_table.read, project.directory, project.root)
        chosen = chosen.with_table(table)
    settings = read_options(inputs.options, (), table=table, is_delivered=False)

    def run(workspace: BuildWorkspace) -> list[Proof]:
        workspace.progress.begin("Reading the image")
        verifier = _Verifier(workspace, inputs, home, project, chosen)
        default = DEFAULT_BASE.format(project.default_python) if project else ""
        images = read_images(target, lambda: workspace.registries)
        return [verifier.prove(image, default) for image in images]

    return native_build.build(f"Verifying {target}", home.own, settings, run, is_new=True)


def _base(workspace: BuildWorkspace, image: ImageSource, default: str) -> BaseImageContents:
    """Return the base that the user names, or the default of the project. The image doesn't choose it."""
    [base] = workspace.settings.get("base", [default])
    if not base:
        labels = image.manifest.descriptor.annotations
        name, digest = (labels.get(f"org.opencontainers.image.base.{key}", "") for key in ("name", "digest"))
        stated = f"{name}@{digest}" if name else "IMAGE"
        raise BentoError(
            "the base isn't known, and what the image states isn't trusted",
            place="--rebuild",
            remedy=f"Add --base {stated} if you trust this base.",
        )
    return read_base(workspace, base, image.platform, default)


class _Verifier(NamedTuple):
    """Finds what an image must contain."""

    workspace: BuildWorkspace
    inputs: Inputs
    home: Home
    project: UvProject | None
    chosen: ProjectOptions

    def prove(self, image: ImageSource, default: str) -> Proof:
        """Return the proof of an image. `default` is the default of its base, or empty."""
        base = BaseFiles.list(_base(self.workspace, image, default))
        self.workspace.progress.begin(f"Verifying {image.platform}")
        packages = self._debian(base)
        if packages:
            base = base._replace(image=base.image._replace(system=packages.installed(base.image.system)))
        return prove(self.workspace, image, base, packages, lambda members: self._with_age(self._trust(base, members)))

    def _debian(self, base: BaseFiles) -> DebianProof | None:
        """Return what the layer with Debian packages must contain, or None without packages."""
        if self.inputs.bento:
            request = system_request(self.workspace, self.inputs.bento, base.image)
        else:
            root = self.project.root if self.project else self.inputs.source or Path()
            names, project = self.workspace.values("apt"), str(self.inputs.source or "")
            request = SystemRequest(names, root / DEBIAN_LOCK, "" if project == "." else project)
        if not request.names:
            return None
        packages, debs = locked_files(self.workspace, base.image, request)
        return DebianProof(packages, debs, base, base.image.image.config["architecture"]) if packages else None

    def _with_age(self, found: Trusted) -> Trusted:
        if self.inputs.age is not None:
            roots = [self.project.root] if self.project else [self.inputs.source or Path()]
            locks = [self.inputs.lock] if self.inputs.lock else [root / LOCK for root in roots]
            found.newest = trusted_inputs.newest_upload(
                found.wheels, [each for each in locks if each and each.is_file()]
            )
            found.findings += trusted_inputs.age_finding(found.newest, self.inputs.age)
        return found

    def _trust(self, base: BaseFiles, members: Sequence[LayerMember]) -> Trusted:
        workspace = self.workspace
        found = self._of_plan(base) if self.project or self.inputs.bento else self._of_names(base, members)
        found.files |= trusted_inputs.added_of(extra_files.declared(workspace.values("file")), base)
        writable = [each.path.strip("/") for each in workspace.values("writable")]
        found.writable = tuple(trusted_inputs.place(path, base) for path in writable)
        inside = tuple(f"{path}/" for path in found.writable)
        for path, each in found.files.items():
            found.files[path] = each._replace(owner=own_files.OWNER) if path.startswith(inside) else each
        replaced = (each.path.lstrip("/") for each in workspace.values("replace"))
        found.replaced = frozenset(trusted_inputs.place(path, base) for path in replaced)
        return found

    def _of_plan(self, base: BaseFiles) -> Trusted:
        """Return what the fronts plan for the image of a Bento or project."""
        workspace, inputs = self.workspace, self.inputs
        if inputs.bento:
            models = [plan_model(workspace, each, {}, "") for each in models_of(self.home, inputs.bento)]
            plan = plan_image(workspace, inputs.bento, base.image, models)
            described = [each.stored.entry.description for each in models]
            contents = EntryContents.of_entry(inputs.bento, ManifestCache(self.home)).digest(described)
            files = trusted_inputs.bento_files(inputs.bento, models)
        else:
            assert self.project
            planner = ProjectPlanner(self.project, self.chosen, workspace)
            plan, contents = planner.plan(base.image)
            is_installed = plan.working_dir == "/"
            files = {} if is_installed else trusted_inputs.files_of(planner.kept, trusted_inputs.APP)
            files |= trusted_inputs.hub_files(workspace)
        wheels = trusted_inputs.wheels_of(workspace, plan.all_wheels, plan.projects)
        return Trusted(wheels, files, trusted_inputs.claims_of(plan), trusted_inputs.sboms_of(plan, contents))

    def _of_names(self, base: BaseFiles, members: Sequence[LayerMember]) -> Trusted:
        """Return what a lock or an index has for the packages that the image names, and the sources that it has."""
        workspace, source = self.workspace, self.inputs.source
        there = {member.path for member in members}
        files = {}
        if source:
            sources = [each for each in snapshot.walk(str(source)) if f"{trusted_inputs.APP}/{each.path}" in there]
            files = trusted_inputs.files_of(sources, trusted_inputs.APP)
        claims = Claims(
            command=tuple(split_command(self.chosen.entrypoint)) if self.chosen.entrypoint else None,
            env=workspace.pairs("env"),
            labels=workspace.pairs("label"),
            directory=f"/{trusted_inputs.BENTO}" if f"{trusted_inputs.BENTO}/bento.yaml" in there else "",
        )
        lock = self.inputs.lock or (source / LOCK if source and (source / LOCK).is_file() else None)
        wheels = trusted_inputs.wheels_of_image(members, lock, base.image, workspace)
        unproven = {f"{trusted_inputs.APP.partition('/')[0]}/": _NO_SOURCE, f"{own_files.HOME}/": _NO_SOURCE}
        return Trusted(wheels, files, claims, unproven=unproven)
