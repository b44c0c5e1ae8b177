"""Locks requirements or Debian packages over the network, and writes the locks to the source tree."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from rules_bento.actions.debian import REQUEST_FLAGS, read_request
from rules_bento.actions.locks import SOURCE_FLAGS, read_sources
from rules_bento.archives.atomic import replace_file
from rules_bento.arguments import Arguments, Subcommand
from rules_bento.debian import apt
from rules_bento.errors import BentoError
from rules_bento.formats import decode_text
from rules_bento.packages import lock as locks
from rules_bento.packages import requirement_sources, requirements, resolution

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


@Subcommand(
    REQUEST_FLAGS | {"--lock": 1},  # path from the root of the workspace
    usage=_DEBS_HELP,
)
def update_debs(arguments: Arguments) -> None:
    """Resolve Debian packages with apt, and replace the lock if apt succeeds."""
    mirror = arguments.parse_rest({"--mirror": 1}).optional("--mirror")
    output = Path(arguments.source_tree(), arguments.required("--lock"))
    before = apt.loads(decode_text(output.read_bytes(), str(output)), str(output)) if output.exists() else None
    with tempfile.TemporaryDirectory() as directory:
        mirrors = apt.expand_mirror(mirror) if mirror else apt.host_mirrors()
        lock = apt.resolve(read_request(arguments), mirrors, Path(directory))
    replace_file(output, apt.dumps(lock).encode())
    counts = ", ".join(f"{len(packages)} packages for {name}" for name, packages in lock["packages"].items())
    _report(arguments, counts, is_unchanged=lock == before)


@Subcommand(
    SOURCE_FLAGS | {"--lock": 1, "--uv": 1},  # --lock: path from the root of the workspace
    usage=_REQUIREMENTS_HELP,
)
def update_requirements(arguments: Arguments) -> None:
    """Resolve requirements with uv, and replace the lock if uv succeeds."""
    options = arguments.parse_rest({"--upgrade": 0, "--upgrade-package": 1, "--from-bentofile": 1})
    root = Path(arguments.source_tree())
    for bentofile in options.repeated("--from-bentofile"):
        _import(Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), bentofile), arguments, root)
    requested, indexes = read_sources(arguments)
    project = resolution.Project(
        list(requested.requirements),
        arguments.required("--requires-python"),
        list(requested.constraints),
        indexes,
        arguments.repeated("--platform"),
        list(requested.overrides),
    )
    output = root / arguments.required("--lock")
    previous = locks.load(output) if output.exists() and output.stat().st_size else None
    lock = resolution.update(
        project,
        previous,
        uv=Path(arguments.required("--uv")),
        origin=arguments.required("--target"),
        upgrade=(["*"] if options.has("--upgrade") else []) + options.repeated("--upgrade-package"),
    )
    record = resolution.lock_inputs(requested, indexes, project.platforms)
    lock = {"lock": lock["lock"], "requires_python": lock["requires_python"], "inputs": record} | lock
    replace_file(output, locks.dumps(lock).encode())
    _report(arguments, f"{len(lock['packages'])} packages", is_unchanged=lock == previous)


def _report(arguments: Arguments, counts: str, *, is_unchanged: bool) -> None:
    state = "is up to date" if is_unchanged else "updated"
    sys.stderr.write(f"{arguments.required('--lock')} {state}: {counts}\n")


def _import(bentofile: Path, arguments: Arguments, root: Path) -> None:
    """Add a bentofile's new requirements to the target's first requirements file. The target must have such a file."""
    names = [name for _, name in arguments.tuples("--source") if name.endswith((".in", ".txt"))]
    if not names:
        raise BentoError(
            f"srcs: importing requirements from {bentofile} requires a .in or .txt file. Add a requirements file to "
            "srcs."
        )
    packages = requirement_sources.read_bentofile(bentofile)
    target = root / names[0]
    there = read_sources(arguments)[0].requirements
    text = requirements.decode(target.read_bytes(), names[0])
    new = "".join(f"{requirement}\n" for requirement in packages.requirements if requirement not in there)
    replace_file(target, (text + ("" if text.endswith("\n") or not text else "\n") + new).encode())
    options = "".join(f"  {option.flag} {option.value}\n" for option in packages.options)
    if options:
        sys.stderr.write(
            f"{bentofile} contains more options. Set these options as attributes of the target and of "
            f"bento.pypi:\n{options}"
        )
