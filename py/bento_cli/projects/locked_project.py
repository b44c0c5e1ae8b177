"""Reads a project with the lock that it has: uv's, or that of another tool in the neutral form.

Without a uv.lock, the first of these locks in the directory counts. Other locks aren't read.
"""

from __future__ import annotations

import re

from rules_bento.base.errors import BentoError
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING
from rules_bento.bentos.packages.locks.any_lock import read_lock
from rules_bento.bentos.packages.requirement_syntax import normalize_name

from bento_cli.projects.uv_project import FIELDS, LOCK, PYPROJECT, SETTINGS, SHAPE, UvProject, find_root, read_inside

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.packages.locks.neutral_lock import NeutralLock

PYLOCK = "pylock.toml"
_NAMES = ("poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.lock.txt", "requirements.lock", "requirements.txt")
_UNNAMED = re.compile("[^a-z0-9]+")
_SHAPE = {
    **{key: SHAPE[key] for key in ("build-system?", "dependency-groups?")},
    "project?": {"name?": str, **FIELDS},
    "tool?": {
        "pdm?": {"distribution?": bool},
        "poetry?": {"name?": str, "version?": str, "package-mode?": bool, "scripts?": dict},
        "uv?": {**SETTINGS, "package?": bool},
    },
}


def find_locks(directory: Path) -> list[str]:
    """Return the names of the locks of other tools in a directory, in their order."""
    named = sorted(
        path.name for path in directory.glob("pylock.*.toml") if re.fullmatch(r"pylock\.[^.]+\.toml", path.name)
    )
    found = [name for name in dict.fromkeys([PYLOCK, *named, *_NAMES]) if (directory / name).is_file()]
    return [name for name in found if "requirements" not in name or b"--hash" in read_inside(directory / name)]


def read_project(directory: Path, package: str = "") -> UvProject:
    """Read the project in a directory, or the member `package` of its workspace. See `UvProject.read`."""
    locks = find_locks(directory) if directory.is_dir() else []
    if not locks or (find_root(directory) / LOCK).is_file():
        return UvProject.read(directory, package)
    if package:
        raise BentoError(f"{locks[0]} has one project", place="--package", remedy="Specify the project's directory.")
    path = directory / PYPROJECT
    document = read_toml(read_inside(path), str(path)) if path.is_file() else {}
    validate(document, _SHAPE, str(path), "Correct the file.")
    tools, fields = document.get("tool", {}), document.get("project", {})
    poetry = tools.get("poetry", {})
    scripts = {name: text for name, text in poetry.get("scripts", {}).items() if isinstance(text, str)}
    of_poetry = {key: poetry[key] for key in ("name", "version") if key in poetry}
    fields = {**of_poetry, "scripts": scripts, **fields}
    named = fields.get("name") or _UNNAMED.sub("-", directory.name.lower()).strip("-") or "program"
    settings = (("poetry", "package-mode"), ("pdm", "distribution"), ("uv", "package"))
    is_package = "build-system" in document and all(tools.get(tool, {}).get(key, True) for tool, key in settings)
    lock = read_lock(directory / locks[0], normalize_name(named), read=read_inside)
    if not fields.get("name") and any(name == lock.project for name, _ in lock.packages):  # of the directory
        named, lock = "program", read_lock(directory / locks[0], "program", read=read_inside)
    fields["name"] = named
    _check(lock)
    tables, system = lock.tables(is_package=is_package), document.get("build-system", {})
    uv = tools.get("uv", {})
    project = UvProject(directory, directory, fields, system, is_package, uv, tables, lock.default_groups, ())
    return project._replace(groups=document.get("dependency-groups"), lock_name=locks[0])


def _check(lock: NeutralLock) -> None:
    """Raise BentoError for a package that images can't have."""
    for each in lock.packages.values():
        name, source = each["name"], each["source"]
        if "git" in source:
            lock.reject(name, "git", re.split("[?#]", source["git"])[0])
        if "version" not in each:
            lock.fail(f"{name} has no version, and its address has none")
        for line in each.get("index", ()):
            if re.match(r"(-f|--find-links) (?!\w+://)", line):
                lock.reject(name, "the path", line.partition(" ")[2])


def note(project: UvProject) -> list[str]:
    """Return a note if the directory of a project has several locks."""
    others = [name for name in find_locks(project.root) if name != project.lock_name]
    return (
        [f"{project.root}: the packages are those of {project.lock_name}, not of {', '.join(others)}."]
        if others
        else []
    )
