"""Finds the uv project of a directory, the members of its workspace, its uv.lock, and its Python version."""

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
from rules_bento.base.typing_lite import Any, Mapping, Sequence
from rules_bento.bentos.packages.locks.neutral_lock import MIGRATE
from rules_bento.bentos.packages.requirement_syntax import decode, normalize_name
from rules_bento.bentos.sources.git_repository import find_repository

from bento_cli.projects.git_index import tracked_paths

PYPROJECT, LOCK, DEBIAN_LOCK = "pyproject.toml", "uv.lock", "debian.lock.json"
_UNREAD = ("requirements.lock.txt", "requirements.lock", "requirements.txt", "pixi.lock", "conda-lock.yml")
_ADD = {LOCK: "uv add", "poetry.lock": "poetry add", "pdm.lock": "pdm add", "Pipfile.lock": "pipenv install"}
SERVICE_REMEDY = "For a BentoML service, run `bento build`, and then `bento image TAG`."
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
FIELDS = {"scripts?": {...: str}, "gui-scripts?": {...: str}, "requires-python?": str, "version?": str}
SHAPE = {
    "build-system?": {"build-backend?": str, "requires?": [str]},
    "dependency-groups?": dict,
    "project": {"name": str, **FIELDS},
    "tool?": {"uv?": dict},
}
_INDEX = {"url": str, "name?": str, "default?": bool, "explicit?": bool, "format?": str}
SETTINGS = {"exclude-newer?": str, "index-url?": str, "extra-index-url?": [str], "index?": [_INDEX]}
SETTINGS |= {"build-constraint-dependencies?": [str], "no-binary?": bool, "no-binary-package?": [str]}
SETTINGS |= {"no-build?": bool, "no-build-package?": [str]}
DIRECTORIES = ("virtual", "editable", "directory")  # sources of packages that are directories


_MINORS = range(10, 100)  # of Python 3
_PYTHON_VERSION = re.compile(r"(?:cpython[-@])?(\d+\.\d+)(?:\.\d+)?(?:(?:a|b|rc)\d+)?(?:-\S*)?(?!\S)")
_OTHER_PYTHON = re.compile(r"(?:graalpy|pyodide|pypy|cpython[-@]\d|\d+\.)\S*")  # or another build


class UvProject(NamedTuple):
    """A project: the directory of its lock, its own directory, `[project]`, and whether it is a package."""

    root: Path
    directory: Path
    fields: Mapping[str, Any]
    build_system: Mapping[str, Any]
    is_package: bool
    settings: Mapping[str, Any]  # [tool.uv] of the workspace
    lock: dict[str, Any]
    default_groups: Sequence[str]  # can be "all"
    others: Sequence[str]  # names of the other projects of the workspace
    label: str = ""  # for messages, of a source distribution
    groups: Mapping[str, Any] | None = None  # [dependency-groups]
    lock_name: str = LOCK

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
    def read(directory: Path, package: str = "") -> UvProject:
        """Read the project in a directory, or the member `package` of its workspace. Both have a uv.lock."""
        from rules_bento.bentos.packages.lock_format import read_uv_lock

        if not (directory / PYPROJECT).is_file():
            packages = "-r requirements.txt" if (directory / "requirements.txt").is_file() else "PACKAGE"
            remedy = (
                f"Specify the directory of a uv project, or run `uv init --bare` and `uv add {packages}` in this one."
            )
            is_service = any((directory / name).is_file() for name in ("bentofile.yaml", "service.py"))
            remedy = f"{SERVICE_REMEDY} {remedy}" if is_service else f"{remedy} {SERVICE_REMEDY}"
            problem = "a file, not a directory" if directory.is_file() else f"no {PYPROJECT}"
            problem = problem if directory.exists() else "the directory doesn't exist"
            raise BentoError(problem, place=str(directory), remedy=remedy)
        has_project = "project" in _read_toml(directory / PYPROJECT, {})
        root = find_root(directory)
        if not (root / LOCK).is_file():
            remedy = (
                "Run `uv lock` in the project. For a member of a workspace, specify the root and --package."
                if has_project
                else f"Write [project] of {PYPROJECT}, and run `uv lock`."
            )
            if other := next((name for name in _UNREAD if (root / name).is_file()), ""):
                how = f"require them in {PYPROJECT}"
                if "requirements" in other:
                    how = f"run `uv pip compile --universal --generate-hashes {other} -o requirements.lock.txt`"
                remedy = f"To keep the versions of {other}, {how}. Otherwise, {remedy[0].lower()}{remedy[1:]}"
            raise BentoError(f"no {LOCK}", place=str(root), remedy=remedy)
        lock = read_uv_lock(decode(read_inside(root / LOCK), str(root / LOCK)), str(root / LOCK))
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
    is_managed = _settings_of_uv(directory).get("managed") is not False
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
    return _settings_of_uv(directory).get("workspace")


def _settings_of_uv(directory: Path) -> dict[str, Any]:
    """Return [tool.uv] in a directory, or {}."""
    path = directory / PYPROJECT
    shape = {"tool?": {"uv?": {"workspace?": {"members?": [str], "exclude?": [str]}}}}
    document = read_toml(read_file(path), str(path)) if path.is_file() else {}
    validate(document, shape, str(path), "Correct the file.")
    settings: dict[str, Any] = document.get("tool", {}).get("uv", {})
    return settings


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
    first = "" if lock == LOCK else f"{MIGRATE}, "
    return f'{first}add {name} = {{ path = "wheels/NAME.whl"{fields} }} to [tool.uv.sources], and run `uv lock`.'


def _kinds(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return the kinds of sources of the packages that are directories, by name."""
    return {each["name"]: kind for each in lock["package"] for kind in DIRECTORIES if kind in each["source"]}


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
    document = _read_toml(path, SHAPE)
    fields, tool = document["project"], document.get("tool", {}).get("uv", {})
    if not _NAME.fullmatch(fields["name"]):
        remedy = "Use letters, digits, '.', '_', and '-'."
        raise BentoError(f"invalid project.name {fields['name']!r}", place=str(path), remedy=remedy)
    if tool.get("default-groups") != "all":
        validate(tool, {"default-groups?": [str]}, f"{path}: tool.uv", "Correct the file.")
    name = normalize_name(fields["name"])
    if name not in kinds:
        raise BentoError(f"{root / LOCK}: the lock doesn't contain {fields['name']}. Run `uv lock` in the project.")
    settings = _read_toml(root / PYPROJECT, {"tool?": {"uv?": SETTINGS}}).get("tool", {}).get("uv", {})
    return UvProject(
        root,
        directory,
        fields,
        document.get("build-system") or {},
        kinds[name] != "virtual",
        settings,
        lock,
        tool.get("default-groups", ["dev"]),
        sorted(kinds.keys() - {name}),
        groups=document.get("dependency-groups"),
    )


def _read_toml(path: Path, shape: Any) -> dict[str, Any]:
    document = read_toml(decode(read_inside(path), str(path)), str(path))
    validate(document, shape, str(path), "Correct the file.")
    return document
