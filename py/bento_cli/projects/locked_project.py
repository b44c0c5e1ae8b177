"""Reads a project with the lock that it has: uv's, or that of another tool in the neutral form.

Without a uv.lock, the first of these locks in the directory counts. Other locks aren't read.
"""

from __future__ import annotations

import re

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping
from rules_bento.bentos.packages.locks import hashed_requirements, pdm_lock, pipfile_lock, poetry_lock, pylock
from rules_bento.bentos.packages.locks.neutral_lock import NeutralLock
from rules_bento.bentos.packages.requirement_syntax import normalize_name

from bento_cli.projects.uv_project import LOCK, PYPROJECT, UvProject, find_root, read_inside

if TYPE_CHECKING:
    from pathlib import Path

_PYLOCK = (pylock.read, "uv export --format pylock.toml -o pylock.toml")
_REQUIREMENTS = (hashed_requirements.read, "uv pip compile --universal --generate-hashes FILE.in -o FILE.txt")
_READERS = {  # with the commands that lock again
    "pylock.toml": _PYLOCK,
    "poetry.lock": (poetry_lock.read, "poetry lock"),
    "pdm.lock": (pdm_lock.read, "pdm lock --update-reuse"),
    "Pipfile.lock": (pipfile_lock.read, "pipenv lock"),
    **dict.fromkeys(("requirements.lock.txt", "requirements.lock", "requirements.txt"), _REQUIREMENTS),
}
_UNNAMED = re.compile("[^a-z0-9]+")
_SHAPE = {
    "build-system?": {"build-backend?": str, "requires?": [str]},
    "dependency-groups?": dict,
    "project?": {
        "name?": str,
        "requires-python?": str,
        "version?": str,
        "scripts?": {...: str},
        "gui-scripts?": {...: str},
    },
    "tool?": {
        "pdm?": {"distribution?": bool},
        "poetry?": {"name?": str, "version?": str, "package-mode?": bool, "scripts?": dict},
        "uv?": {"package?": bool},
    },
}


def find_locks(directory: Path) -> list[str]:
    """Return the names of the locks of other tools in a directory, in their order."""
    named = sorted(
        path.name for path in directory.glob("pylock.*.toml") if re.fullmatch(r"pylock\.[^.]+\.toml", path.name)
    )
    names = ["pylock.toml", *named, *_READERS]
    found = [name for name in dict.fromkeys(names) if (directory / name).is_file()]
    return [name for name in found if "requirements" not in name or b"--hash" in read_inside(directory / name)]


def read_project(directory: Path, package: str = "") -> UvProject:
    """Read the project in a directory, or the member `package` of its workspace. See `UvProject.read`."""
    locks = find_locks(directory) if directory.is_dir() else []
    if not locks or (find_root(directory) / LOCK).is_file():
        return UvProject.read(directory, package)
    if package:
        raise BentoError(f"{locks[0]} has one project", place="--package", remedy="Specify the project's directory.")
    path, document = directory / locks[0], _tables(directory / PYPROJECT)
    validate(document, _SHAPE, str(directory / PYPROJECT), "Correct the file.")
    tools, fields = document.get("tool", {}), document.get("project", {})
    poetry = tools.get("poetry", {})
    scripts = {name: text for name, text in poetry.get("scripts", {}).items() if isinstance(text, str)}
    of_poetry = {key: poetry[key] for key in ("name", "version") if key in poetry}
    fields = {**of_poetry, "scripts": scripts, **fields}
    fields["name"] = fields.get("name") or _UNNAMED.sub("-", directory.name.lower()).strip("-") or "program"
    settings = (("poetry", "package-mode"), ("pdm", "distribution"), ("uv", "package"))
    is_package = "build-system" in document and all(tools.get(tool, {}).get(key, True) for tool, key in settings)
    reader, command = _READERS.get(path.name, _PYLOCK)
    lock = NeutralLock(str(path), command, normalize_name(fields["name"]))
    requirements = _tables(directory / "Pipfile") if path.name == "Pipfile.lock" else document
    reader(lock, decode_text(read_inside(path), lock.origin), requirements)
    tables, system = lock.tables(is_package=is_package), document.get("build-system", {})
    project = UvProject(directory, directory, fields, system, is_package, {}, tables, lock.default_groups, ())
    return project._replace(groups=document.get("dependency-groups"), lock_name=path.name)


def note(project: UvProject) -> list[str]:
    """Return a note if the directory of a project has several locks."""
    others = [name for name in find_locks(project.root) if name != project.lock_name]
    return (
        [f"{project.root}: the packages are those of {project.lock_name}, not of {', '.join(others)}."]
        if others
        else []
    )


def _tables(path: Path) -> Mapping[str, Any]:
    return read_toml(read_inside(path), str(path)) if path.is_file() else {}
