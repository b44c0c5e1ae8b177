"""Adds Debian packages to base images for `bento image --apt`: a layer with the packages that a base lacks.

A lock next to uv.lock has versions and hashes, in the format of the rules (`rules_bento.images.debian.apt`). Without
a lock, apt chooses the newest versions for each build.
"""

from __future__ import annotations

import json
import shlex
from functools import cache, partial
from hashlib import sha256

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text
from rules_bento.base.net.transfers import parallel_map
from rules_bento.base.own_files import digest_path
from rules_bento.base.programs import which
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.images.debian import any_base, apt, startable
from rules_bento.images.debian.any_base import AnyBase
from rules_bento.images.plan import Packing, PlannedLayer
from rules_bento.images.registry.blob_sources import FileSource
from rules_bento.images.standard_library import is_library_file
from rules_bento.images.system_packages import SystemFiles
from rules_bento.images.validation.package_needs import is_provided

from bento_cli import transports
from bento_cli.projects.project_reach import confined
from bento_cli.projects.uv_project import DEBIAN_LOCK, read_inside
from bento_cli.sharing.image_options import READS_LAYERS
from bento_cli.store.home import unique
from bento_cli.transports.address import WEB
from bento_cli.transports.address import parse as parse_address

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.formats.oci import Layer

    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace

_CONTENTS = "contents.json"
_JOBS = 4


class SystemRequest(NamedTuple):
    """The Debian packages that an image needs (`NAME[=VERSION]`), and the path of their lock, if the user has one."""

    names: tuple[str, ...]
    lock: Path
    project: str  # for messages: what `bento lock` takes
    bases: tuple[str, ...] = ()  # for messages

    @property
    def command(self) -> str:
        """The command that writes the lock."""
        words = [word for name in self.names for word in ("--apt", name)]
        words += [word for base in self.bases for word in ("--base", base)]
        return shlex.join(["bento", "lock", *filter(None, [self.project]), *words])

    def locked(self, base: BaseImageContents) -> apt.Lock | None:
        """Return the lock, or None if there is none. Raises BentoError if the lock is for other packages."""
        if not self.lock.is_file():
            return None
        lock = apt.loads(decode_text(read_inside(self.lock), str(self.lock)), str(self.lock))
        expected, inputs = sorted({*self.names}), lock["inputs"]
        architecture = base.image.config["architecture"]
        if inputs.get("packages") != expected:
            before = ", ".join(inputs.get("packages", [])) or "no package"
            problem = f"the lock is for {before}, not for {', '.join(expected)}"
        elif architecture not in lock["packages"]:
            problem = f"the lock isn't for {architecture}"
        else:
            return lock
        raise BentoError(problem, place=str(self.lock), remedy=f"Run `{self.command}`.")


def extend(workspace: BuildWorkspace, base: BaseImageContents, request: SystemRequest) -> BaseImageContents:
    """Return a base with a layer of the requested packages. Raises BentoError unless the base is of Debian."""
    if not request.names:
        return base
    files, architecture = cache(lambda: read_files(base)), base.image.config["architecture"]
    lock = request.locked(base)
    if lock is None:
        lock = choose(workspace, {architecture: files()}, request)
        workspace.notes.append(f"The Debian packages aren't locked. To lock them, run `{request.command}`.")
    packages = lock["packages"][architecture]
    if not packages:
        return base
    key = [base.image.digest, [[each["name"], each["sha256"]] for each in packages]]
    compression = workspace.compression

    def prepare() -> Packing:
        debs = _fetch(workspace, _missing(packages, files(), request), files())
        workspace.progress.begin(f"Installing {len(debs)} Debian packages")
        return Packing(debs.values(), partial(install, files(), debs))

    def install(below: AnyBase, debs: Mapping[str, Path], out: Path) -> Layer:  # writes: output, of the caller
        written, root = any_base.write_packages(out, below, debs, architecture, compression)
        names = {path.rpartition("/")[2] for path in (*root.files, *root.links) if is_provided(path)}
        system = SystemFiles(base.system.ids, any_base.installed(below, root))
        fields: dict[str, Any] = {"python": base.python, "version": base.python_version, "release": base.python_release}
        fields |= {"system": system.dumps(), "libraries": sorted({*base.libraries, *names})}
        # Bytecode of the base's modules isn't for those of a newer package, which replace them.
        replaced = (path for path in below.files["files"] if root.files.get(path) in debs and is_library_file(path))
        fields["uncompiled"] = 0 if any(replaced) else base.uncompiled
        contents = {"fields": fields, "notes": startable.notes(root)}
        out.with_name(_CONTENTS).write_text(json.dumps(contents), "utf-8")  # writes: own, a constant name
        return written

    size = sum(each.get("size", 0) for each in packages)
    layer = PlannedLayer(f"Debian packages {', '.join(request.names)}", ["debian", key], prepare, size=size)

    def read() -> dict[str, Any]:
        contents = json.loads(workspace.pack(layer)[1].with_name(_CONTENTS).read_text("utf-8"))
        workspace.notes += contents["notes"]
        return dict(contents["fields"])

    is_read = workspace.is_cached(layer.local_key(compression)) or workspace.settings.keys() & READS_LAYERS
    digest = sha256(json.dumps(key).encode()).hexdigest()
    notes = workspace.registry_cache if base.origin else None
    fields = notes.base(digest, read, is_read=bool(is_read)) if notes else read()
    system, libraries = SystemFiles.loads(fields["system"]), tuple(fields["libraries"])
    return base._replace(system=system, libraries=libraries, uncompiled=fields["uncompiled"], above=(layer,))


def locked_files(
    workspace: BuildWorkspace, base: BaseImageContents, request: SystemRequest
) -> tuple[list[Mapping[str, Any]], dict[str, Path]]:
    """Return the locked packages that a base lacks, and their files by name. Raises BentoError without a lock."""
    lock = request.locked(base)
    if lock is None:
        remedy = f"Run `{request.command}`, and build the image again."
        raise BentoError("the Debian packages aren't locked", place=str(request.lock), remedy=remedy)
    files = read_files(base)
    packages = _missing(lock["packages"][base.image.config["architecture"]], files, request)
    return packages, _fetch(workspace, packages, files)


def _missing(packages: Sequence[Mapping[str, Any]], base: AnyBase, request: SystemRequest) -> list[Mapping[str, Any]]:
    """Return the packages that a base lacks. Raises BentoError if it has another version than the lock was made for."""
    there: Mapping[str, str] = base.files["packages"]
    for each in packages:
        version = there.get(each["name"])
        if version not in (None, each["version"], each.get("replaces")):
            problem = f"the lock has {each['name']} {each['version']}, but the base has {version}"
            raise BentoError(problem, place=str(request.lock), remedy=f"Run `{request.command}`.")
    return [each for each in packages if there.get(each["name"]) != each["version"]]


def read_files(base: BaseImageContents) -> AnyBase:
    """Read the file system of a base. Raises BentoError unless it is of Debian."""
    layers = [*base.layers()]
    return confined([path for path, *_ in layers], AnyBase.read, layers, base.name)


def choose(workspace: BuildWorkspace, bases: Mapping[str, AnyBase], request: SystemRequest) -> apt.Lock:
    """Return the newest packages that bases, by architecture, need. Raises BentoError without apt."""
    if not which("apt-get"):
        problem = "choosing Debian packages requires apt"
        where = f"`{request.command}` on Debian or Ubuntu, such as in a container of debian:stable with uv"
        raise BentoError(problem, place="--apt", remedy=f"Run {where}, and copy {DEBIAN_LOCK} to the project.")
    suites = {tuple(each.suites) for each in bases.values()}
    if len(suites) > 1:
        raise BentoError("the bases have several releases of Debian", place="--base", remedy="Use one release.")
    values = {"--architecture": sorted(bases), "--package": request.names, "--suite": suites.pop()}
    wanted = apt.DebsRequest([word for option, each in values.items() for value in each for word in (option, value)])
    workspace.progress.begin("Choosing Debian packages")
    status = {architecture: each.status for architecture, each in bases.items()}
    return apt.resolve(wanted, _mirrors(next(iter(bases.values()))), workspace.new_directory(), status)


def _mirrors(base: AnyBase) -> dict[str, str]:
    """Return the mirrors of this machine's apt, and for other archives those of the base's."""
    found = {**base.mirrors, **(apt.host_mirrors() if which("apt-get") else {})}
    archives = [apt.UBUNTU] if base.release["ID"] == apt.UBUNTU else [apt.MAIN, apt.SECURITY]
    if archives[0] not in found:
        remedy = "Use a base with settings of apt, or a machine with them."
        raise BentoError(f"no mirror of the archive {archives[0]} is known", place="--apt", remedy=remedy)
    return {archive: found[archive] for archive in archives if archive in found}


def _fetch(workspace: BuildWorkspace, packages: Sequence[Mapping[str, Any]], base: AnyBase) -> dict[str, Path]:
    """Return the files of packages by name. Downloads those that the cache lacks, and verifies all."""
    paths = {each["name"]: digest_path(workspace.downloads / "debs", each["sha256"], ".deb") for each in packages}
    missing = [each for each in packages if not paths[each["name"]].is_file()]
    mirrors = _mirrors(base) if missing else {}
    if missing:
        workspace.progress.begin(f"Downloading {len(missing)} Debian packages")
        workspace.progress.expect_all(sum(each.get("size", 0) for each in missing))

    def download(package: Mapping[str, Any]) -> None:  # writes: digest, checked before it is in the path
        path, archive = paths[package["name"]], package["archive"]
        # By convention, the security archive is next to the main archive.
        mirror = mirrors.get(archive) or f"{mirrors[apt.MAIN]}-security"
        address = parse_address(f"{mirror}/{package['filename']}")
        if address is None or address.scheme not in WEB:
            problem = "the mirror's address isn't of http or https"
            raise BentoError(problem, place=DEBIAN_LOCK, remedy="Use a machine with another mirror.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = unique(path.parent)
        try:
            transports.download(address, temporary, workspace.progress, package["sha256"], form=None)
            temporary.replace(path)
        except BentoError as error:
            problem = f"cannot download {package['name']} {package['version']}: {error}"
            remedy = "Mirrors keep only the newest versions. Lock the packages again."
            raise BentoError(problem, place=DEBIAN_LOCK, remedy=remedy) from None
        finally:
            temporary.unlink(missing_ok=True)

    parallel_map(download, missing, _JOBS)
    for each in packages:
        path = paths[each["name"]]
        FileSource(path).check(f"sha256:{each['sha256']}", path.stat().st_size)
    return paths
