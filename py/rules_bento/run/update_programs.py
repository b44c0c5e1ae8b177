"""Locks requirements or Debian packages over the network, and writes the locks to the source tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rules_bento.actions.locks import SourcesRequest, read_sources
from rules_bento.base.archives.atomic import replace_file
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text
from rules_bento.base.own_files import own_directory
from rules_bento.base.subcommand_arguments import Arguments, Strings
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages import lock_with_uv, pip_compile, requirement_files, requirement_syntax, uv_settings
from rules_bento.images.debian import apt

_DEBS_HELP = """\
Locks the newest versions of the Debian packages.

--mirror URL  use this mirror (default: the mirrors in the apt configuration of this machine)
"""
_REQUIREMENTS_HELP = """\
Locks the requirements. Keeps a locked version if it still satisfies the requirements.

--upgrade               choose the newest version of each package
--upgrade-package NAME  choose the newest version of this package (repeatable)
--from-bentofile FILE   append the packages of this bentofile to the requirements file before locking (repeatable)
"""


class _UpdateDebsRequest(apt.DebsRequest):
    usage = _DEBS_HELP
    lock: str  # path from the root of the workspace


class _DebsOptions(Arguments):
    mirror: str = ""


def update_debs(request: _UpdateDebsRequest) -> None:  # writes: output, the lock of the target
    """Resolve Debian packages with apt, and replace the lock if apt succeeds."""
    mirror = _DebsOptions.from_user(request.rest).mirror
    output = Path(request.source_tree(), request.lock)
    before = apt.loads(decode_text(output.read_bytes(), str(output)), str(output)) if output.exists() else None
    with own_directory() as directory:
        mirrors = apt.expand_mirror(mirror) if mirror else apt.host_mirrors()
        lock = apt.resolve(request, mirrors, directory)
    replace_file(output, apt.dumps(lock).encode())
    counts = ", ".join(f"{len(packages)} packages for {name}" for name, packages in lock["packages"].items())
    _report(request.lock, counts, is_unchanged=lock == before)


class _UpdateRequirementsRequest(SourcesRequest):
    usage = _REQUIREMENTS_HELP
    lock: str  # path from the root of the workspace
    resolver: str = "uv"  # or pip-tools
    uv: Path


class _RequirementsOptions(Arguments):
    from_bentofile: Strings
    upgrade: bool = False
    upgrade_package: Strings


def update_requirements(request: _UpdateRequirementsRequest) -> None:  # writes: output, the lock of the target
    """Resolve requirements with uv, or with pip and then with uv, and replace the lock if both succeed."""
    from rules_bento.bentos.service import isolated_build

    options = _RequirementsOptions.from_user(request.rest)
    root = Path(request.source_tree())
    for bentofile in options.from_bentofile:
        _import(Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), bentofile), request, root)
    _reject_other_settings(request, root)
    requested, indexes = read_sources(request)
    project = lock_with_uv.Project(
        list(requested.requirements),
        request.requires_python,
        list(requested.constraints),
        indexes,
        list(request.platform),
        list(requested.overrides),
        requested.settings,
    )
    output = root / request.lock
    previous = locks.load(output) if output.exists() and output.stat().st_size else None
    upgrade = [*("*" * options.upgrade), *options.upgrade_package]
    if request.resolver == "pip-tools":
        pins = pip_compile.select(project, previous, origin=request.target, upgrade=upgrade)
        # uv adds the hashes, and the packages for other platforms.
        project = replace(project, constraints=[*project.constraints, *pins])
    lock = lock_with_uv.update(
        project, previous, uv=request.uv, origin=request.target, upgrade=upgrade, call=isolated_build.call_archive
    )
    record = lock_with_uv.lock_inputs(requested, indexes, project.platforms)
    lock = {"lock": lock["lock"], "requires_python": lock["requires_python"], "inputs": record} | lock
    replace_file(output, locks.dumps(lock).encode())
    _report(request.lock, f"{len(lock['packages'])} packages", is_unchanged=lock == previous)


def _reject_other_settings(request: SourcesRequest, root: Path) -> None:
    """Raise BentoError if uv gets the settings of a pyproject.toml from a file that isn't in srcs."""
    names = [name for _, name in request.source if not name.startswith("../")]
    for name in names:
        found = uv_settings.settings_file(root, name) if name.endswith(".toml") else ""
        if found and found not in names:
            problem = f"uv gets the settings of {name} from this file, but bento_requirements doesn't read the file"
            remedy = f"Move the settings to tool.uv in {name}, or run `uv lock`, and use uv.lock."
            raise BentoError(problem, place=found, remedy=remedy)


def _report(lock: str, counts: str, *, is_unchanged: bool) -> None:
    state = "is up to date" if is_unchanged else "updated"
    sys.stderr.write(f"{lock} {state}: {counts}\n")


def _import(bentofile: Path, request: SourcesRequest, root: Path) -> None:  # writes: output, the user's requirements
    """Add a bentofile's new requirements to the target's first requirements file. The target must have such a file."""
    names = [name for _, name in request.source if name.endswith((".in", ".txt"))]
    if not names:
        problem = f"importing requirements from {bentofile} requires a .in or .txt file"
        raise BentoError(problem, place="srcs", remedy="Add a requirements file to srcs.")
    packages = requirement_files.read_bentofile(bentofile)
    target = root / names[0]
    there = read_sources(request)[0].requirements
    text = requirement_syntax.decode(target.read_bytes(), names[0])
    new = "".join(f"{requirement}\n" for requirement in packages.requirements if requirement not in there)
    replace_file(target, (text + ("" if text.endswith("\n") or not text else "\n") + new).encode())
    options = "".join(f"  {option.flag} {option.value}\n" for option in packages.options)
    if options:
        sys.stderr.write(
            f"{bentofile} contains more options. Set these options as attributes of the target and of "
            f"bento.pypi:\n{options}"
        )
