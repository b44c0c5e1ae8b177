"""Reads a lock of another tool than uv, which the name of the file determines, into the neutral form."""

from __future__ import annotations

from fnmatch import fnmatchcase

from rules_bento.base.formats import read_file
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping
from rules_bento.bentos.packages.lock_format import export
from rules_bento.bentos.packages.locks import COMMANDS, hashed_requirements, pdm_lock, pipfile_lock, poetry_lock, pylock
from rules_bento.bentos.packages.locks.neutral_lock import NeutralLock
from rules_bento.bentos.packages.requirement_syntax import Line, decode
from rules_bento.bentos.packages.uv_lock_conflicts import PackageSelection

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.packages.uv_lock_conflicts import Choice

_UNNAMED = "locked-by-rules-bento"
# Readers, the commands that lock again, and the files with the requirements.
_READERS = {
    "poetry.lock": (poetry_lock.read, COMMANDS["poetry.lock"], "pyproject.toml"),
    "pdm.lock": (pdm_lock.read, COMMANDS["pdm.lock"], "pyproject.toml"),
    "Pipfile.lock": (pipfile_lock.read, COMMANDS["Pipfile.lock"], "Pipfile"),
}
_OF_PYLOCK = (pylock.read, "uv export --format pylock.toml -o pylock.toml", "")
_OF_REQUIREMENTS = (hashed_requirements.read, "uv pip compile --universal --generate-hashes FILE.in -o FILE.txt", "")


def read_lock(
    path: Path,
    project: str = _UNNAMED,
    *,
    command: str = "",
    is_verified: bool = True,
    read: Callable[[Path], bytes] = read_file,
) -> NeutralLock:
    """Read a lock of the project with a normalized name. A file with any other name has requirements.

    `command` locks again, for messages. `read` reads files. Raises BentoError for a stale lock, for what can't be
    verified, and, if `is_verified`, for a package without a hash or commit.
    """
    is_pylock = fnmatchcase(path.name, "pylock*.toml")
    reader, usual, declared = _OF_PYLOCK if is_pylock else _READERS.get(path.name, _OF_REQUIREMENTS)
    requirements: Mapping[str, Any] = {}
    if declared and (path.parent / declared).is_file():
        requirements = read_toml(read(path.parent / declared), str(path.parent / declared))
    lock = NeutralLock(str(path), command or usual, project)
    reader(lock, decode(read(path), lock.origin), requirements)
    if is_verified and lock.unverified:
        lock.fail(f"{lock.unverified} has no hash (SHA-256), so nothing can verify it")
    return lock


def pins(lock: NeutralLock, choice: Choice | None = None) -> list[Line]:
    """Return the packages that `choice` installs, or the project without options, as requirements with hashes."""
    tables = lock.tables(is_package=False)
    choice = choice or PackageSelection().choice(tables, lock.project, lock.default_groups)
    choice.check(tables, lock.origin)
    return export(tables, choice, lock.origin)
