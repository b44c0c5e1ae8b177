"""Locks requirements over the network, and writes the lock into the source tree, by `bazel run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rules_bento.actions.locks import SOURCE_FLAGS, read_sources
from rules_bento.archives.atomic import replace_file
from rules_bento.errors import BentoError
from rules_bento.packages import lock as locks
from rules_bento.packages import requirement_sources, requirements, resolution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments
    from rules_bento.packages.lock import Lock

FLAGS = SOURCE_FLAGS | {
    "--lock": 1,  # path from the root of the workspace
    "--uv": 1,
}
_USAGE = "bazel run %s [-- [--upgrade | --upgrade-package NAME]... [--from-bentofile FILE]]"


def run(arguments: Arguments) -> None:
    """Read the sources, resolve, and replace the lock on success."""
    root = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    target = arguments.required("--target")
    if not root:
        raise BentoError(f"This target writes into the source tree. Start it with `{_USAGE % target}`.")
    upgrade, bentofiles = _options(arguments.rest, target)
    for bentofile in bentofiles:
        _import(bentofile, arguments, Path(root))
    requested, indexes = read_sources(arguments)
    project = resolution.Project(
        list(requested.requirements),
        arguments.required("--requires-python"),
        list(requested.constraints),
        indexes,
        arguments.repeated("--platform"),
        list(requested.overrides),
    )
    output = Path(root, arguments.required("--lock"))
    previous = _previous(output)
    lock = resolution.update(project, previous, uv=Path(arguments.required("--uv")), origin=target, upgrade=upgrade)
    record = resolution.lock_inputs(requested, indexes, project.platforms)
    lock = {"lock": lock["lock"], "requires_python": lock["requires_python"], "inputs": record} | lock
    replace_file(output, locks.dumps(lock).encode())
    count = len(lock["packages"])
    sys.stderr.write(
        f"{arguments.required('--lock')}: {count} packages, {'as before' if lock == previous else 'written'}\n"
    )


def _options(words: list[str], target: str) -> tuple[list[str], list[Path]]:
    """Return the packages to upgrade and the bentofiles to import."""
    upgrade, bentofiles = [], []
    rest = list(words)
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if word == "--upgrade":
            upgrade.append("*")
        elif word in ("--upgrade-package", "--from-bentofile") and (value or rest):
            value = value or rest.pop(0)
            if word == "--upgrade-package":
                upgrade.append(value)
            else:
                bentofiles.append(Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), value))
        else:
            raise BentoError(f"unknown or incomplete argument {word!r}. Run `{_USAGE % target}`.")
    return upgrade, bentofiles


def _import(bentofile: Path, arguments: Arguments, root: Path) -> None:
    """Append the missing requirements of a bentofile to the first requirements file."""
    names = [name for _, name in arguments.tuples("--source") if name.endswith((".in", ".txt"))]
    if not names:
        raise BentoError(f"{bentofile}: srcs has no requirements file for the import. Add one to srcs.")
    packages = requirement_sources.read_bentofile(bentofile)
    target = root / names[0]
    there = read_sources(arguments)[0].requirements
    text = requirements.decode(target.read_bytes(), names[0])
    new = "".join(f"{requirement}\n" for requirement in packages.requirements if requirement not in there)
    replace_file(target, (text + ("" if text.endswith("\n") or not text else "\n") + new).encode())
    options = "".join(f"  {option.flag} {option.value}\n" for option in packages.options)
    if options:
        sys.stderr.write(
            f"{bentofile} has more options. Set them as attributes of the target and of bento.pypi:\n{options}"
        )


def _previous(path: Path) -> Lock | None:
    return locks.load(path) if path.exists() and path.stat().st_size else None
