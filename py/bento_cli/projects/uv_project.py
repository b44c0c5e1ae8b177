"""Reads a project with the lock that it has: of uv, or of another tool in the neutral form.

Without a uv.lock in the root of the workspace, the first of the other locks in the directory counts.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import decode, normalize_name
from rules_bento.bentos.sources.git_repository import find_repository

from bento_cli.projects.git_index import tracked_paths

if TYPE_CHECKING:
    from rules_bento.bentos.packages.locks.neutral_lock import NeutralLock

PYPROJECT, LOCK, PYLOCK, DEBIAN_LOCK = "pyproject.toml", "uv.lock", "pylock.toml", "debian.lock.json"
_ADD = {LOCK: "uv add", "poetry.lock": "poetry add", "pdm.lock": "pdm add", "Pipfile.lock": "pipenv install"}
_REQUIREMENTS = ("requirements.lock.txt", "requirements.lock", "requirements.txt")  # locks if they have hashes
_OTHER_LOCKS = (*[*_ADD][1:], *_REQUIREMENTS)
_UNREAD = (*_REQUIREMENTS, "pixi.lock", "conda-lock.yml")
SERVICE_REMEDY = "For a BentoML service, run `bento build`, and then `bento image TAG`."
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_INDEX = {"url": str, "name?": str, "default?": bool, "explicit?": bool, "format?": str}
_SETTINGS = {"exclude-newer?": str, "index-url?": str, "extra-index-url?": [str], "index?": [_INDEX]}
_SETTINGS |= {"build-constraint-dependencies?": [str], "no-binary?": bool, "no-binary-package?": [str]}
_SETTINGS |= {"no-build?": bool, "no-build-package?": [str]}
_SCRIPTS = {"scripts?": {...: str}, "gui-scripts?": {...: str}}
_SHAPE = {
    "build-system?": {"build-backend?": str, "requires?": [str]},
    "dependency-groups?": dict,
    "project?": {**dict.fromkeys(("name?", "requires-python?", "version?"), str), **_SCRIPTS},
    "tool?": {
        "pdm?": {"distribution?": bool},
        "poetry?": {"name?": str, "version?": str, "package-mode?": bool, "scripts?": dict},
        "uv?": {"package?": bool},
    },
}
DIRECTORIES = ("virtual", "editable", "directory")  # sources of packages that are directories
_MINORS = range(10, 100)  # of Python 3
_PYTHON_VERSION = re.compile(r"(?:cpython[-@])?(\d+\.\d+)(?:\.\d+)?(?:(?:a|b|rc)\d+)?(?:-\S*)?(?!\S)")
_OTHER_PYTHON = re.compile(r"(?:graalpy|pyodide|pypy|cpython[-@]\d|\d+\.)\S*")  # or another build


class UvProject(NamedTuple):
    """A project: the directory of its lock, its own directory, its pyproject.toml, and its lock in uv's form."""

    root: Path
    directory: Path
    document: dict[str, Any]  # with [project] and its name
    is_package: bool
    settings: dict[str, Any]  # [tool.uv] of the workspace
    lock: dict[str, Any]
    default_groups: Sequence[str] = ()  # can be "all"
    others: Sequence[str] = ()  # names of the other projects of the workspace
    label: str = ""  # for messages, of a source distribution
    lock_name: str = LOCK

    @property
    def fields(self) -> dict[str, Any]:
        """[project]."""
        return dict(self.document["project"])

    @property
    def build_system(self) -> dict[str, Any]:
        """[build-system]."""
        return self.document.get("build-system") or {}

    @property
    def ignored_locks(self) -> list[str]:
        """A note if the directory of the project has several locks."""
        others = [name for name in find_locks(self.root) if name != self.lock_name]
        used = f"{self.root}: the packages are those of {self.lock_name}"
        return [f"{used}, not of {', '.join(others)}."] if others else []

    @property
    def name(self) -> str:
        """The normalized name."""
        return normalize_name(self.fields["name"])

    @property
    def path(self) -> str:
        """The path of pyproject.toml, or the name and version of a source distribution."""
        return self.label or str(self.directory / PYPROJECT)

    @property
    def is_version_dynamic(self) -> bool:
        """Whether the build back end determines the version."""
        return "version" not in self.fields

    @property
    def default_python(self) -> str:
        """The Python version (X.Y) in .python-version, or the lowest version that the project allows."""
        pinned, _ = self.pinned_python
        return pinned if pinned.replace(".", "").isdigit() else lowest_python(self.requires_python, self.path)

    @property
    def pinned_python(self) -> tuple[str, Path]:
        """The version (X.Y) in .python-version of the project or its workspace, or "", and the path of this file.

        An implementation or build that base images don't have is as in the file, such as `pypy@3.10`.
        """
        paths = [directory / ".python-version" for directory in (self.directory, self.root)]
        path = next((path for path in paths if path.is_file()), paths[0])
        text = decode(read_file(path), str(path)).strip() if path.is_file() else ""
        other = _OTHER_PYTHON.match(text)
        return match[1] if (match := _PYTHON_VERSION.match(text)) else other[0] if other else "", path

    @property
    def requires_python(self) -> str:
        """The Python versions that the project allows, or its lock if the project sets none."""
        return str(self.fields.get("requires-python", self.lock["requires-python"]))

    def adding(self, package: str) -> str:
        """Return a clause that explains how to add a package to the lock."""
        command = _ADD.get(self.lock_name)
        return f"run `{command} {package}`" if command else f"add {package} to {self.lock_name}"

    def rejects(self, kind: str, package: str) -> bool:
        """Return whether `no-binary` or `no-build` (`kind`: `binary` or `build`) of [tool.uv] is for a package."""
        names = map(normalize_name, self.settings.get(f"no-{kind}-package", ()))
        return self.settings.get(f"no-{kind}", False) or package in names

    @staticmethod
    def read(directory: Path, package: str = "", tables: dict[str, Any] | None = None) -> UvProject:
        """Read the project in a directory, or the member `package` of its workspace. Both have a lock.

        `tables` are of its uv.lock, if the caller has read them.
        """
        root = find_root(directory) if directory.is_dir() else directory
        has_lock = (root / LOCK).is_file()
        if not has_lock and (locks := find_locks(directory)):
            if package:
                remedy = "Specify the project's directory."
                raise BentoError(f"{locks[0]} has one project", place="--package", remedy=remedy)
            return _read_other(directory, locks[0])
        _require_pyproject(directory)
        has_project = "project" in read_tables(directory / PYPROJECT, {})
        if not has_lock:
            raise _no_lock(root, has_project=has_project)
        lock = tables or read_lock_tables(root)
        sources = {each["name"]: each["source"] for each in lock["package"]}
        kinds = _kinds(lock)
        listed = ", ".join(sorted(name for name, kind in kinds.items() if kind != "directory"))
        if package:
            name = normalize_name(package)
            if name not in kinds:
                raise BentoError(f"--package: {package} isn't a project of {root / LOCK}. Specify one of: {listed}.")
            directory = root / sources[name][kinds[name]]
        elif not has_project:
            remedy = f"Set --package to a project of the workspace: {listed}."
            raise BentoError("no [project]", place=str(directory / PYPROJECT), remedy=remedy)
        return _read_project(root, directory, lock, kinds)

    def member(self, name: str) -> UvProject:
        """Read another directory of the lock, by the normalized name of the package."""
        if name == self.name:
            return self
        kinds = _kinds(self.lock)
        source = next(each["source"] for each in self.lock["package"] if each["name"] == name)
        return _read_project(self.root, self.root / source[kinds[name]], self.lock, kinds)


def find_locks(directory: Path) -> list[str]:
    """Return the names of the locks of other tools in a directory, in their order."""
    named = sorted(
        path.name for path in directory.glob("pylock.*.toml") if re.fullmatch(r"pylock\.[^.]+\.toml", path.name)
    )
    found = [name for name in dict.fromkeys([PYLOCK, *named, *_OTHER_LOCKS]) if (directory / name).is_file()]
    return [name for name in found if "requirements" not in name or b"--hash" in read_inside(directory / name)]


def find_root(directory: Path) -> Path:
    """Return the root of the workspace that contains a project, as uv finds it, or the directory itself.

    The search ends at the root of the repository, and at a directory of another user.
    """
    if _workspace(directory) is not None:
        return directory
    owner, current = directory.stat().st_uid, directory
    while not (current / ".git").exists() and current != current.parent:
        current = current.parent
        if current.stat().st_uid != owner:
            break
        if (current / PYPROJECT).is_file():
            return current if _is_member(directory, current) else directory
    return directory


def _is_member(directory: Path, root: Path) -> bool:
    excluded = (_workspace(root) or {}).get("exclude", ())
    name = os.path.relpath(directory, root)
    is_excluded = any(fnmatchcase(name, os.path.normpath(each)) for each in excluded)
    is_managed = settings_in(directory / PYPROJECT).get("managed") is not False
    return is_managed and not is_excluded and Path(os.path.normpath(directory)) in member_directories(root)


def member_directories(root: Path) -> list[Path]:
    """Return the directories that `members` of the workspace in a directory matches."""
    patterns = [os.path.normpath(each) for each in (_workspace(root) or {}).get("members", ()) if each[:1] != "/"]
    found = {
        Path(os.path.normpath(path))
        for each in patterns
        for path in (root.glob(each) if re.search(r"[*?[]", each) else [root / each])
    }
    return sorted(path for path in found - {Path(os.path.normpath(root))} if path.is_dir())


def _workspace(directory: Path) -> dict[str, Any] | None:
    return settings_in(directory / PYPROJECT).get("workspace")


def settings_in(path: Path) -> dict[str, Any]:
    """Return the settings of uv in a uv.toml, or [tool.uv] of a pyproject.toml. Returns {} without the file."""
    shape = {"tool?": {"uv?": {"workspace?": {"members?": [str], "exclude?": [str]}}}}
    document = read_tables(path, {} if path.name == "uv.toml" else shape, read_file)
    found: dict[str, Any] = document if path.name == "uv.toml" else document.get("tool", {}).get("uv", {})
    return found


def python_problem(text: str, version: str, path: str) -> str:
    """Return a clause if the requires-python `text` of the pyproject.toml doesn't allow a Python version, or ""."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        allowed = SpecifierSet(text)
    except InvalidSpecifier:
        raise BentoError(f"{path}: invalid requires-python {text!r}. Correct the value.") from None
    named = re.findall(rf"\b{re.escape(version)}\.(\d+)", text)
    is_allowed = any(f"{version}.{patch}" in allowed for patch in (0, 99, *named))
    return "" if is_allowed else f"the project requires Python {text}"


def lowest_python(text: str, path: str) -> str:
    """Return the lowest supported Python version (X.Y) that the requires-python `text` of a pyproject.toml allows."""
    allowed = (f"3.{minor}" for minor in _MINORS if not python_problem(text, f"3.{minor}", path))
    return next(allowed, f"3.{_MINORS[0]}")


def read_inside(path: Path) -> bytes:
    """Read a file of a project. Raises BentoError for a link to a file outside of the file's directory."""
    if not path.resolve().is_relative_to(path.parent.resolve()):
        problem = "the file is a link to a file outside of the project"
        raise BentoError(problem, place=str(path), remedy="Replace the link with a copy of the file.")
    return read_file(path, str(path))


def outside_error(root: Path, directory: Path, lock: Mapping[str, Any]) -> BentoError:
    """Return the error for a project outside of the lock's directory `root` that isn't of the same Git repository."""
    directory = directory.resolve()
    sources = ((each["name"], each["source"].get(kind)) for each in lock["package"] for kind in DIRECTORIES)
    name = next((name for name, path in sources if path and (root / path).resolve() == directory), "PACKAGE")
    remedy = f"In {root}, run `uv build --wheel --out-dir wheels {directory}`, and {path_advice(name)}"
    remedy += " Alternatively, let one Git repository track both."
    return BentoError(f"the project is outside of {root}", place=str(directory), remedy=remedy)


def path_advice(name: str, fields: str = "", lock: str = LOCK) -> str:
    """Return how a project uses a wheel of its own for a package. `lock` is the name of its lock, which uv replaces."""
    from rules_bento.bentos.packages.locks.neutral_lock import MIGRATE

    first = "" if lock == LOCK else f"{MIGRATE}, "
    return f'{first}add {name} = {{ path = "wheels/NAME.whl"{fields} }} to [tool.uv.sources], and run `uv lock`.'


def _kinds(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return the kinds of sources of the packages that are directories, by name."""
    return {each["name"]: kind for each in lock["package"] for kind in DIRECTORIES if kind in each["source"]}


def _require_pyproject(directory: Path) -> None:
    if (directory / PYPROJECT).is_file():
        return
    packages = "-r requirements.txt" if (directory / "requirements.txt").is_file() else "PACKAGE"
    remedy = f"Specify the directory of a uv project, or run `uv init --bare` and `uv add {packages}` in this one."
    is_service = any((directory / name).is_file() for name in ("bentofile.yaml", "service.py"))
    remedy = f"{SERVICE_REMEDY} {remedy}" if is_service else f"{remedy} {SERVICE_REMEDY}"
    problem = "a file, not a directory" if directory.is_file() else f"no {PYPROJECT}"
    problem = problem if directory.exists() else "the directory doesn't exist"
    raise BentoError(problem, place=str(directory), remedy=remedy)


def _no_lock(root: Path, *, has_project: bool) -> BentoError:
    remedy = "Run `uv lock` in the project. For a member of a workspace, specify the root and --package."
    remedy = remedy if has_project else f"Write [project] of {PYPROJECT}, and run `uv lock`."
    if other := next((name for name in _UNREAD if (root / name).is_file()), ""):
        how = f"require them in {PYPROJECT}"
        if "requirements" in other:
            how = f"run `uv pip compile --universal --generate-hashes {other} -o requirements.lock.txt`"
        remedy = f"To keep the versions of {other}, {how}. Otherwise, {remedy[0].lower()}{remedy[1:]}"
    return BentoError(f"no {LOCK}", place=str(root), remedy=remedy)


def _read_other(directory: Path, name: str) -> UvProject:
    """Read a project with the lock of another tool."""
    from rules_bento.bentos.packages.locks.any_lock import read_lock

    document = read_tables(directory / PYPROJECT)
    tools, fields = document.get("tool", {}), document.get("project", {})
    poetry = tools.get("poetry", {})
    scripts = {key: text for key, text in poetry.get("scripts", {}).items() if isinstance(text, str)}
    of_poetry = {key: poetry[key] for key in ("name", "version") if key in poetry}
    fields = {**of_poetry, "scripts": scripts, **fields}
    named = fields.get("name") or re.sub("[^a-z0-9]+", "-", directory.name.lower()).strip("-") or "program"
    settings = (("poetry", "package-mode"), ("pdm", "distribution"), ("uv", "package"))
    is_package = "build-system" in document and all(tools.get(tool, {}).get(key, True) for tool, key in settings)
    lock = read_lock(directory / name, normalize_name(named), read=read_inside)
    if not fields.get("name") and any(each == lock.project for each, _ in lock.packages):  # of the directory
        named, lock = "program", read_lock(directory / name, "program", read=read_inside)
    _check_packages(lock)
    document = {**document, "project": {**fields, "name": named}}
    uv, tables = _settings_of_workspace(directory), lock.tables(is_package=is_package)
    return UvProject(directory, directory, document, is_package, uv, tables, lock.default_groups, lock_name=name)


def _check_packages(lock: NeutralLock) -> None:
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


def _read_project(root: Path, directory: Path, lock: dict[str, Any], kinds: Mapping[str, str]) -> UvProject:
    real = directory.resolve()
    if not real.is_relative_to(root.resolve()):
        repository = find_repository(root.resolve())
        tracked = tracked_paths(repository.git / "index") if repository and repository.git else ()
        path = Path(os.path.relpath(real / PYPROJECT, repository.root if repository else root))
        names = {str(path), *map(str, path.parents)} if ".." not in path.parts else set()
        if names.isdisjoint(tracked):  # a submodule's path is in the index
            raise outside_error(root, directory, lock)
        directory = real
    path = directory / PYPROJECT
    document = read_tables(path)
    validate(document, {"project": {"name": str}}, str(path), "Correct the file.")
    fields, tool = document["project"], document.get("tool", {}).get("uv", {})
    if not _NAME.fullmatch(fields["name"]):
        remedy = "Use letters, digits, '.', '_', and '-'."
        raise BentoError(f"invalid project.name {fields['name']!r}", place=str(path), remedy=remedy)
    if tool.get("default-groups") != "all":
        validate(tool, {"default-groups?": [str]}, f"{path}: tool.uv", "Correct the file.")
    name = normalize_name(fields["name"])
    if name not in kinds:
        raise BentoError(f"{root / LOCK}: the lock doesn't contain {fields['name']}. Run `uv lock` in the project.")
    groups, others = tool.get("default-groups", ["dev"]), sorted(kinds.keys() - {name})
    is_package, settings = kinds[name] != "virtual", _settings_of_workspace(root)
    return UvProject(root, directory, document, is_package, settings, lock, groups, others)


def _settings_of_workspace(root: Path) -> dict[str, Any]:
    document = read_tables(root / PYPROJECT, {"tool?": {"uv?": _SETTINGS}})
    return dict(document.get("tool", {}).get("uv", {}))


def read_tables(path: Path, shape: Any = _SHAPE, read: Callable[[Path], bytes] = read_inside) -> dict[str, Any]:
    """Return the tables of a TOML file of a project. Without the file, returns {}."""
    document = read_toml(decode(read(path), str(path)), str(path)) if path.is_file() else {}
    validate(document, shape, str(path), "Correct the file.")
    return document


def read_lock_tables(root: Path) -> dict[str, Any]:
    """Return the tables of the uv.lock in a directory."""
    from rules_bento.bentos.packages.lock_format import read_uv_lock

    return read_uv_lock(decode(read_inside(root / LOCK), str(root / LOCK)), str(root / LOCK))
