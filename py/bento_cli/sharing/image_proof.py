"""Implements `bento verify --rebuild`: collects what the user trusts, and calls bento-proof, which judges the image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import SBOM_TYPES
from rules_bento.base.formats.oci import digest_of as digest_of_content
from rules_bento.base.formats.times import parse_time
from rules_bento.base.landlock import outside
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, cast
from rules_bento.bentos.models.model import MODEL_YAML, hub_cache
from rules_bento.bentos.packages.locks.any_lock import pins, read_lock
from rules_bento.bentos.packages.requirement_syntax import LockedRequirements
from rules_bento.bentos.packages.uv import require_uv
from rules_bento.images.plan import BENTO
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import fetch_blobs, pull
from rules_bento.images.registry.reference import SCHEME, Reference
from rules_bento.images.signing.provenance import dependency
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.projects.uv_project import DEBIAN_LOCK, LOCK, PYPROJECT, UvProject
from bento_cli.sharing import extra_files, hub_snapshots, native_build
from bento_cli.sharing.debian_packages import SystemRequest, extend, locked_files
from bento_cli.sharing.image_options import LAYOUT, read_options
from bento_cli.sharing.native_base import DEFAULT_BASE, read_base
from bento_cli.sharing.native_image import plan_image, plan_model, system_request
from bento_cli.sharing.native_project import ProjectOptions, ProjectPlanner
from bento_cli.sharing.project_command import MAIN, split_command
from bento_cli.store.entry_contents import EntryContents
from bento_cli.store.entry_store import models_of
from bento_cli.store.export import contents as bundle
from bento_cli.store.import_manifests import ManifestCache

if TYPE_CHECKING:
    from argparse import Namespace

    from bento_proof.model import Report
    from bento_proof.oci import Image
    from rules_bento.bentos.sources.snapshot import DeclaredFile
    from rules_bento.images.plan import ImagePlan

    from bento_cli.sharing.backends import Options
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace
    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home

_STATED = ("Env ", "Labels ", "config Cmd", "image created", "config WorkingDir", "config ExposedPorts")
# In a user namespace, tar can't set the owners of files.
_UNPACK = 'dpkg-deb --fsys-tarfile "$0" | tar --extract --preserve-permissions --no-same-owner --directory "$1"'
_GLIBC = (17, 28, *range(31, 41))  # 2.X, of which uv has a platform


@dataclass(frozen=True)
class Inputs:
    """What the user trusts. `options` and `chosen` have the values of the options of `bento image`."""

    options: Options
    chosen: ProjectOptions = ProjectOptions()
    source: Path | None = None  # a directory: of a uv project, or with the files of /app/_main
    bento: Entry | None = None
    lock: Path | None = None
    age: int | None = None  # days


class Proof(NamedTuple):
    """What was found: the digest of the image or its index ("" for several), a report for each platform, and inputs.

    `trusted` has SLSA resource descriptors of the base, the lock, and what bento-proof read of them.
    """

    root: str
    reports: list[Report]
    trusted: list[dict[str, Any]]


def verify_image(target: str, inputs: Inputs, home: Home) -> Proof:
    """Prove an image for each of its platforms. Raises BentoError if an input can't be read."""
    if sys.hexversion < 0x30B0000 or find_spec("bento_proof") is None:
        command = "pip install ./py ./py/bento_proof './py/bento_cli[proof]'"
        remedy = f"In a clone of rules_bento, run `{command}` with Python 3.11 or later."
        raise BentoError("bento-proof, which proves images, isn't installed", place="--rebuild", remedy=remedy)
    from bento_proof import cli, model, oci, proof

    project, table, chosen = None, None, inputs.chosen
    if inputs.source and not inputs.lock and (inputs.source / PYPROJECT).is_file():
        project, table, chosen = chosen.read(inputs.source)
    settings = read_options(inputs.options, (), table=table, is_delivered=False)

    def run(workspace: BuildWorkspace) -> Proof:
        workspace.progress.begin("Reading the image")
        collector, found, problem = _Collector(workspace, inputs, home, project, chosen, []), list[model.Report](), ""
        roots, trusted = set[str](), list[dict[str, Any]]()
        try:
            name = _layout(workspace, target)
            images = {image.platform: image for image in oci.Layout(name).images()}
            for each in images.values():
                given, base = collector.collect(name, each)
                words = cli.parser().parse_args([*map(str, given)])
                roots.add(each.listing)
                trusted += [resource for resource in collector.trusted(base, words) if resource not in trusted]
                found += outside(proof.prove, words, Path(workspace.new_directory()), workspace.progress.begin)
                collector.check_age(found[-1])
            problem = "" if images else "there is none"
        except model.InvalidError as error:
            problem = str(error)
        except model.UnableError as error:
            raise BentoError(str(error).removesuffix("."), place="--rebuild", remedy="Correct this input.") from None
        found += [model.Report("", findings=[(None, "image", problem)])] if problem else []
        return Proof(min(roots) if len(roots) == 1 else "", found, trusted)

    return native_build.build(f"Verifying {target}", home.own, settings, run, is_new=True)


def _layout(workspace: BuildWorkspace, target: str) -> str:
    """Return the name of a layout with an image, and with what is attached to it. Pulls an image of a registry."""
    if target.startswith(LAYOUT) or (Path(target) / "oci-layout").is_file():
        return target
    reference, layout = Reference.from_url(target.removeprefix(SCHEME)), Layout.create(Path(workspace.new_directory()))
    repository = workspace.registries.repository(reference)
    root = pull([reference], layout, workspace.registries, workspace.progress)
    for digest in [root.descriptor.digest, *(each.digest for each in (root.children() if root.is_index else ()))]:
        for manifest in (repository.get_manifest(each.digest) for each in repository.referrers(digest)):
            layout.add(manifest.content)
            fetch_blobs(manifest.blobs(), [repository], layout, workspace.progress)
    return f"{LAYOUT}{layout.directory}@{root.descriptor.digest}"


class _Collector(NamedTuple):  # writes: own, below a new directory of the workspace
    """Collects what an image must contain."""

    workspace: BuildWorkspace
    inputs: Inputs
    home: Home
    project: UvProject | None
    chosen: ProjectOptions
    uploads: list[tuple[str, str]]  # times and names of wheels

    def collect(self, name: str, image: Image) -> tuple[list[object], str]:
        """Return the arguments of bento-proof for an image of a layout, and the name of the base."""
        workspace, inputs, made = self.workspace, self.inputs, Path(self.workspace.new_directory())
        default = DEFAULT_BASE.format(self.project.default_python) if self.project else ""
        [text] = workspace.settings.get("base", [default])
        if not text:
            named = "@".join(str(image.labels.get(f"org.opencontainers.image.base.{e}")) for e in ("name", "digest"))
            problem = "the base isn't known, and what the image states isn't trusted"
            remedy = f"Add --base {'IMAGE' if 'None' in named else named} if you trust this base."
            raise BentoError(problem, place="--rebuild", remedy=remedy)
        base = read_base(workspace, text, image.platform, default).complete()
        [root] = base.layout.index() if base.origin else [base.image]
        words: list[object] = [name, "--base", f"{LAYOUT}{base.layout.directory}@{root.digest}"]
        words += ["--platform", image.platform, "--uv", require_uv("installs packages")]
        if base.glibc:
            libc = max((each for each in _GLIBC if each <= base.glibc[1]), default=17)
            words += ["--target", f"{base.machine}-{f'manylinux_2_{libc}' if base.glibc[0] else 'unknown-linux-musl'}"]
        words += [word for each in workspace.values("bytecode-python") for word in ("--python", each)]
        words += [word for each in workspace.values("writable") for word in ("--writable", each.path)]
        words += self._debian(base, made / "debian")
        (made / "files").mkdir()
        if self.project or inputs.bento:
            words += self._of_plan(base, image, made)
        else:
            if not inputs.lock or inputs.lock.name == LOCK:
                remedy = "Run `uv export --frozen --no-emit-project -o packages.txt`, and add --lock packages.txt."
                raise BentoError("the packages of the image aren't known", place="--rebuild", remedy=remedy)
            words += ["--lock", _requirements(inputs.lock.absolute(), made)]
            words += ["--file", inputs.source.absolute(), MAIN] if inputs.source else []
            command = {"config Cmd": split_command(self.chosen.entrypoint)} if self.chosen.entrypoint else {}
            both = (("Env", workspace.pairs("env")), ("Labels", workspace.pairs("label")))
            stated = {f"{kind} {key}": text for kind, pairs in both for key, text in pairs.items()}
            (made / "expect").write_text(json.dumps({"*": True, "absent": True, **command, **stated}), "utf-8")
            words += ["--expect", made / "expect"]
        for each in extra_files.declared(workspace.values("file")):
            words += ["--file", _link(each, made, each.path), each.path]
        return words, base.name

    def _request(self, base: BaseImageContents) -> SystemRequest:
        root = self.project.root if self.project else self.inputs.source or Path()
        own = SystemRequest(self.workspace.values("apt"), root / DEBIAN_LOCK, str(self.inputs.source or ""))
        return system_request(self.workspace, self.inputs.bento, base) if self.inputs.bento else own

    def _debian(self, base: BaseImageContents, directory: Path) -> list[object]:
        """Return arguments with a directory into which dpkg-deb unpacks the locked Debian packages."""
        request = self._request(base)
        directory.mkdir()
        for deb in locked_files(self.workspace, base, request)[1].values() if request.names else ():
            words, env = ["/bin/sh", "-c", _UNPACK, str(deb), str(directory)], {"PATH": os.defpath}
            done = subprocess.run(
                words, env=env, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False
            )
            if done.returncode:
                problem = f"the package can't be unpacked: {done.stderr.strip()}"
                raise BentoError(problem, place=str(deb), remedy="Install dpkg and tar, or delete this file.")
        return ["--apt", directory] if request.names else []

    def _of_plan(self, base: BaseImageContents, image: Image, made: Path) -> list[object]:
        """Return arguments for what the fronts choose for a Bento or project: packages, files, and settings."""
        from bento_proof.config import settings
        from bento_proof.sbom import digest_of

        workspace, own, sums = self.workspace, made / "files", list[str]()
        base = extend(workspace, base, self._request(base))  # for SBOMs
        if entry := self.inputs.bento:
            stored = models_of(self.home, entry)
            models = [plan_model(workspace, each, {}, "") for each in stored]
            plan = plan_image(workspace, entry, base, models)
            described = [each.stored.entry.description for each in models]
            contents = EntryContents.of_entry(entry, ManifestCache(self.home)).digest(described)
            words: list[object] = []
            for each in (each for each in bundle(entry, stored) if not each.is_directory):
                source = each.source or _write(own, f"{BENTO}/{each.path}", each.data or b"", each.link or "")
                words += ["--user-file", source, f"{BENTO}/{each.path}"]
            for one in (each.stored for each in models):
                place = f"{BENTO}/models/{one.entry.description.tag.replace(':', '/')}/{MODEL_YAML}"
                shutil.copymode(one.sources[MODEL_YAML], _write(own, place, one.entry.model_yaml))
            for path, link, data in (one for each in described for one in hub_cache(BENTO[1:], each)):
                _write(own, path, data, link)
        else:
            planner = ProjectPlanner(cast("UvProject", self.project), self.chosen, workspace)
            plan, contents = planner.plan(base)
            words = []
            for file in planner.kept if plan.working_dir != "/" else ():
                words += ["--file", _link(file, made, place := f"{MAIN}/{file.path}"), place]
            pairs = zip(hub_snapshots.directories(workspace), workspace.values("hugging-face"), strict=True)
            for top, (_, model, commit, _) in pairs:
                _write(own, f"{top}/refs/main", commit.encode())
                listed = [each for each in hub_snapshots.list_files(workspace, model, commit) if "\n" not in each.path]
                sums += [f"{file.sha256}  {top}/snapshots/{commit}/{file.path}" for file in listed]
        (made / "sums").write_text("\n".join(sums), "utf-8")
        config = settings(read_object(plan.documents([], None).image.config, "config"))
        stated = {key: value for key, value in config.items() if key.startswith(_STATED)}
        packages = cache(lambda: [self.workspace.read(wheel, Libraries.read) for wheel in plan.all_wheels])
        for form, media_type in SBOM_TYPES.items() if any(image.attached()) else ():
            for system in (plan.system, SystemFiles((), None)):  # rules without layers of a base list no packages
                changed = replace(plan, system=system)
                content = changed.sbom(image.entry.digest, contents, cast("Any", form), packages())
                document = read_object(content, "SBOM", is_large=True)
                stated.setdefault("SBOM", []).append(digest_of(document, media_type, image.entry.digest))
        (made / "expect").write_text(json.dumps(stated), "utf-8")
        words += ["--user-file", own, "/", "--sums", made / "sums", "--expect", made / "expect"]
        return [*words, *self._wheels(plan, made)]

    def _wheels(self, plan: ImagePlan, directory: Path) -> list[object]:
        """Return arguments with a file that uv installs, with the hashes of the lock."""
        packages = self.project.lock["package"] if self.project else ()
        files = [file for each in packages for file in (*each.get("wheels", ()), each.get("sdist", {}))]
        times = {str(file["hash"])[7:]: str(file["upload-time"]) for file in files if "upload-time" in file}
        lines, words = ["--no-index", f"--find-links {directory}"], list[object]()
        self.workspace.download(plan.all_wheels)
        for planned in plan.all_wheels:
            (directory / planned.name).symlink_to(planned.fetch().absolute())
            if planned.exclude:
                words += [f"--exclude={path}" for path in self.workspace.read(planned, _excluded)]
            if planned in plan.projects:
                words += ["--wheel", directory / planned.name]
            else:
                lines.append(f"{planned.distribution}=={planned.version} --hash=sha256:{planned.sha256}")
                self.uploads.append((times.get(planned.sha256, ""), planned.name))
        (directory / "requirements.txt").write_text("\n".join(lines), "utf-8")
        return [*words, "--lock", directory / "requirements.txt"]

    def trusted(self, base: str, words: Namespace) -> list[dict[str, Any]]:
        """Return the base, the lock, and each document that bento-proof reads, as SLSA resource descriptors."""
        name = "oci" if base.startswith(LAYOUT) else base.partition("@")[0]  # no directory of this machine
        found = [dependency(name, words.base.rpartition("@")[2])]
        pins = [line for line in words.lock.read_bytes().splitlines() if not line.startswith(b"-")]
        contents = {"urn:rules-bento:packages": b"\n".join(pins)}
        contents |= {"urn:rules-bento:settings": words.expect.read_bytes()} if words.expect else {}
        contents |= {"urn:rules-bento:hub-files": words.sums.read_bytes()} if words.sums else {}
        if project := self.project:
            contents |= {project.lock_name: read_file(project.root / project.lock_name)}
        return [*found, *(dependency(uri, digest_of_content(content)) for uri, content in contents.items() if content)]

    def check_age(self, report: Report) -> None:
        """Find wheels that were uploaded less than some days ago, or at an unknown time."""
        if self.inputs.age is None:
            return
        uploads = self.uploads or [("", "-".join(each)) for each in report.packages]
        report.newest = " ".join(max(uploads, default=("", "")))
        for time, name in uploads:
            if not time:
                report.find(None, "--age", f"{name} has no upload time in a uv.lock")
            elif (datetime.now(timezone.utc) - parse_time(time)).days < self.inputs.age:
                problem = f"{name} was uploaded at {time}, less than {self.inputs.age} days ago"
                report.find(None, "--age", problem)


def _requirements(lock: Path, directory: Path) -> Path:  # writes: own, below a directory of the workspace
    """Write the packages of a lock as requirements with hashes, which also pip reads, unlike a pylock.toml."""
    found = read_lock(lock)
    index = dict.fromkeys(line for each in found.packages.values() for line in each.get("index", ()))
    locked = LockedRequirements(
        "", tuple((pin.text, pin.hashes) for pin in pins(found)), "".join(f"{line}\n" for line in index)
    )
    (directory / "requirements.txt").write_text(locked.pinned_with_hashes, "utf-8")
    return directory / "requirements.txt"


def _write(top: Path, path: str, data: bytes, link: str = "") -> Path:  # writes: own, as its caller
    """Write a file or link below a directory, by its path in the image."""
    place = top / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(link) if link else place.write_bytes(data)
    return place


def _link(file: DeclaredFile, top: Path, path: str) -> object:
    """Return the path of a file, or a new link as in the image."""
    return file.source if file.link is None else _write(top / "links", path, b"", file.link)


def _excluded(wheel: Wheel) -> list[str]:
    kept = {each.path for each in wheel.members}
    return [each.path for each in Wheel.read(wheel.file, Locked("")).members if each.path not in kept]
