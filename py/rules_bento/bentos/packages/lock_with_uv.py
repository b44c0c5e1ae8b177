"""Runs uv with network access to create locks, and to add dependencies that some lock formats omit."""

from __future__ import annotations

import json
import sys
from collections import Counter

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Mapping, Sequence
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages import requirement_syntax as requirements
from rules_bento.bentos.packages import uv as uv_program
from rules_bento.bentos.packages.indexes import Indexes, reject_variables
from rules_bento.bentos.packages.locks.any_lock import pins, read_lock
from rules_bento.bentos.packages.platforms import system_and_machine
from rules_bento.bentos.packages.uv_lock_conflicts import Choice

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    from rules_bento.bentos.packages.build_hooks import Call
    from rules_bento.bentos.packages.lock_format import Lock
    from rules_bento.bentos.packages.locks.neutral_lock import NeutralLock
    from rules_bento.bentos.packages.requirement_files import DeclaredRequirements

_PROJECT = "locked-by-rules-bento"
# The supported platforms: no Windows, no musl.
_ENVIRONMENTS = ("sys_platform == 'linux'", "sys_platform == 'darwin'")
_SYSTEMS = ("darwin", "linux")
# Used if requires_python excludes this interpreter; `environments` then limits the versions.
_ANY_PYTHON = ">=3.8"
# uv prefers the versions of a uv.lock even if its index doesn't exist.
_PLACEHOLDER_INDEX = "https://locked.invalid/simple"
# uv's message if the requirements conflict. Otherwise, for example, an index isn't available.
_NO_SOLUTION = "No solution found"
# From a setting to its name in a uv.lock.
_MODES = {
    "fork-strategy": "fork-strategy",
    "prerelease": "prerelease-mode",
    "prerelease-package": "prerelease-package",
    "resolution": "resolution-mode",
}
# Exit status if uv can't resolve a lock, for example without a network: another time, uv might resolve the same lock.
_UNRESOLVED = 75
# uv mentions this setting if a package has no files for a platform.
_ENVIRONMENTS_HINT = "tool.uv.environments"
_PLATFORMS = (
    " If a package has no files for a platform, set the platforms: "
    '`platforms = ["linux_amd64"]`, in bento_requirements and in bento.pypi.'
)


@dataclass(frozen=True)
class Project:
    """The requirements and settings of a project to lock with `uv lock`."""

    requirements: Sequence[str]
    requires_python: str
    constraints: Sequence[str] = ()
    indexes: Indexes = field(default_factory=Indexes)
    platforms: Sequence[str] = ()  # <os>_<machine>; empty for all supported platforms
    overrides: Sequence[str] = ()  # of other packages' requirements
    settings: Mapping[str, str] = field(default_factory=dict)  # keys of tool.uv, and TOML values

    def pyproject(self) -> str:
        """Return a pyproject.toml for `uv lock`.

        Raises BentoError for an invalid platform or `requires_python`, and for a URL with a variable.
        """
        for requirement in (*self.requirements, *self.constraints, *self.overrides):
            reject_variables([requirement], requirements.requirement_name(requirement))
        lines = [
            "[project]",
            f'name = "{_PROJECT}"',
            'version = "0"',
            f"requires-python = {json.dumps(self.requires_python if self._supports_this_python() else _ANY_PYTHON)}",
            f"dependencies = {json.dumps(list(self.requirements))}",
            "[tool.uv]",
            "package = false",
            "workspace = {}",  # uv searches no parent directory
            f"constraint-dependencies = {json.dumps(list(self.constraints))}",
            *([f"override-dependencies = {json.dumps(list(self.overrides))}"] if self.overrides else []),
            f"environments = {json.dumps(self._environments())}",
            *(f"{key} = {value}" for key, value in self.settings.items()),
            *self.indexes.project_tables(),
        ]
        return "\n".join([*lines, ""])

    def _supports_this_python(self) -> bool:
        """Return whether `requires_python` includes the version of the running interpreter."""
        return self._range().contains(".".join(map(str, sys.version_info[:3])))

    def _range(self) -> SpecifierSet:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            versions = SpecifierSet(self.requires_python)
        except InvalidSpecifier:
            versions = SpecifierSet()
        if not len(versions):
            remedy = "Use a range such as '>=3.10'."
            raise BentoError(f"invalid range {self.requires_python!r}", place="requires_python", remedy=remedy)
        return versions

    def _environments(self) -> list[str]:
        clauses = [] if self._supports_this_python() else sorted(self._range(), key=str)
        python = [f"python_full_version {clause.operator} '{clause.version}'" for clause in clauses]
        environments = []
        for platform in self.platforms:
            system, machine = system_and_machine(platform)
            if system not in _SYSTEMS:
                remedy = "Use linux_<architecture> or darwin_<architecture>."
                raise BentoError(f"unsupported platform {platform!r}", place="platforms", remedy=remedy)
            environments.append(f"sys_platform == '{system}' and platform_machine == '{machine}'")
        return [" and ".join([environment, *python]) for environment in environments or _ENVIRONMENTS]


def lock_inputs(declared: DeclaredRequirements, indexes: Indexes, platforms: Sequence[str]) -> dict[str, Any]:
    """Return the inputs of a target as the `inputs` field of a lock. Omits empty values."""
    record: dict[str, Any] = {"requirements": sorted(declared.requirements)}
    further = {"constraints": declared.constraints, "overrides": declared.overrides, "platforms": platforms}
    further["settings"] = [f"{key} = {value}" for key, value in declared.settings.items()]
    record |= {name: sorted(values) for name, values in further.items() if values}
    return record | ({"indexes": indexes.digest} if indexes.digest else {})


def update(
    project: Project,
    previous: Lock | None,
    *,
    uv: Path,
    origin: str,
    upgrade: Collection[str] = (),
    call: Call | None = None,
) -> Lock:
    """Lock a project with uv, which can use the network. Prints uv's progress to standard error.

    Prefers the versions in `previous`, except for the packages in `upgrade`. In `upgrade`, `*` selects all packages.
    `call` calls hooks of source distributions.
    Raises BentoError if uv finds no solution or fails, for example because an index isn't available.
    """
    with own_directory("rules_bento-lock-") as directory:
        (directory / "pyproject.toml").write_text(project.pyproject(), "utf-8")
        command, python = [str(uv), "lock"], ".".join(map(str, sys.version_info[:3]))
        if previous and "*" not in upgrade:
            (directory / "uv.lock").write_text(preferences(previous), "utf-8")
            command += [flag for package in upgrade for flag in ("--upgrade-package", package)]
        access = uv_program.Access.to(project.indexes)
        run = uv_program.Run(command, access, directory, "directory", python=python, is_shown=True, call=call)
        done = uv_program.start(run)
        if done.returncode:
            problem, remedy, errors_of_uv = "failed", "", done.stderr
            if uv_program.ignores_settings(errors_of_uv):
                problem, remedy = "can't read the settings of the project", " Correct tool.uv in pyproject.toml."
            elif _NO_SOLUTION in errors_of_uv:
                problem, remedy = "found no solution", " Change the requirements."
            if _ENVIRONMENTS_HINT in errors_of_uv:
                remedy += _PLATFORMS
            raise BentoError(f"uv {problem} (see above), so the lock is unchanged.{remedy}", place=origin)
        lock = locks.from_uv_lock((directory / "uv.lock").read_text("utf-8"), origin, project=directory)
        return lock | {"requires_python": project.requires_python}


def preferences(lock: Lock) -> str:
    """Return a minimal `uv.lock`, so that uv prefers the locked versions."""
    lines = ["version = 1", f"requires-python = {json.dumps(lock['requires_python'])}", "[options]"]
    # uv ignores the locked versions if a mode differs.
    settings = dict(line.partition(" = ")[::2] for line in lock.get("inputs", {}).get("settings", ()))
    lines += [f"{option} = {settings[key]}" for key, option in _MODES.items() if settings.get(key)]
    lines += ["[[package]]", f'name = "{_PROJECT}"', 'version = "0"', 'source = { virtual = "." }']
    # The newest version first: uv skips versions that don't support a Python version.
    for package in sorted(lock["packages"], key=lambda package: (package["name"], _version(package)), reverse=True):
        if "source" not in package:
            lines += ["[[package]]", f"name = {json.dumps(package['name'])}"]
            lines.append(f"version = {json.dumps(package['version'])}")
            lines.append(f'source = {{ registry = "{_PLACEHOLDER_INDEX}" }}')
    return "\n".join([*lines, ""])


def _version(package: dict[str, Any]) -> Version:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(package["version"])
    except InvalidVersion:
        problem = f"{package['name']}: invalid version {package['version']!r} (PEP 440)"
        remedy = "Restore the committed lock, or empty the file and run the bento_requirements target again."
        raise BentoError(problem, place="lock", remedy=remedy) from None


def normalize(
    path: Path, *, uv: Path, requires_python: str, choice: Choice | None = None, indexes: Indexes | None = None
) -> Lock:
    """Read a lock of rules_bento, or convert a `uv.lock`, or a lock of another tool (`any_lock`).

    For a lock of another tool, uv determines the dependencies of each package. uv uses the network only if the packages
    aren't cached. The result contains only files whose hashes are in the original file. Raises BentoError for an
    invalid lock, or if uv fails.
    """
    indexes = indexes or Indexes()
    if path.name.endswith(".json"):
        return locks.with_pages(locks.load(path), indexes)
    if path.name == "uv.lock":
        return locks.from_uv_lock(requirements.decode(path.read_bytes(), str(path)), str(path), choice, indexes)
    found = read_lock(path)
    lines, indexes = pins(found, choice or Choice()), _with_indexes(indexes, found)
    project = Project([line.text for line in lines], requires_python, indexes=indexes)
    lock = locks.from_uv_lock(_lock_with_uv(project, uv, str(path)), str(path), indexes=indexes, only_declared=True)
    hashes = {sha256 for line in lines for sha256 in line.hashes}
    lock = locks.keep_locked(lock, {line.name for line in lines}, hashes, str(path))
    only_wheels = {name for (name, _), each in found.packages.items() if "only-wheels" in each}
    packages = [_only_wheels(each, str(path)) if each["name"] in only_wheels else each for each in lock["packages"]]
    return lock | {"requires_python": requires_python, "packages": packages}


def _with_indexes(indexes: Indexes, lock: NeutralLock) -> Indexes:
    """Return the indexes, with the indexes of a lock. One that only some packages have isn't the default."""
    listed = [each["index"] for each in lock.packages.values() if "index" in each]
    counts = Counter(line for lines in listed for line in lines)
    lines = (
        line if count == len(listed) else line.replace("--index-url", "--extra-index-url")
        for line, count in counts.items()
    )
    return indexes.with_options(requirements.parse("".join(f"{line}\n" for line in lines), lock.origin)[1], lock.origin)


def _only_wheels(package: dict[str, Any], origin: str) -> dict[str, Any]:
    """Remove source archives. Raises BentoError if no file remains."""
    files = {name: sha256 for name, sha256 in package.get("files", {}).items() if name.endswith(".whl")}
    if not files and "unlocked" not in package:
        problem = f"{package['name']} {package['version']} has no wheel, but the lock contains --only-binary"
        remedy = "Require a version that has a wheel, or remove --only-binary, and update the lock."
        raise BentoError(problem, place=origin, remedy=remedy)
    return package | {"files": files}


def _lock_with_uv(project: Project, uv: Path, origin: str) -> str:
    """Lock a project, and return the content of the `uv.lock`. Uses the network only if locking offline fails.

    A fake interpreter prevents uv from building packages. Raises BentoError if uv finds no solution.
    """
    with own_directory("rules_bento-lock-") as directory:
        (directory / "pyproject.toml").write_text(project.pyproject(), "utf-8")
        command, python = [str(uv), "lock", "--no-progress"], ".".join(map(str, sys.version_info[:3]))
        access, attempts = uv_program.Access.to(project.indexes), uv_program.CACHE_FIRST
        run = uv_program.Run(command, access, directory, "directory", python=python, attempts=attempts)
        done = uv_program.start(run)
        if not done.returncode:
            return (directory / "uv.lock").read_text("utf-8")
        errors = done.stderr.strip()
    if failure := uv_program.BUILD_FAILURE.search(errors):
        problem = (
            f"{without_credentials(failure[1])} has dynamic dependencies, so uv must build the package to resolve them"
        )
        raise BentoError(problem, place=origin, remedy="Lock with a bento_requirements target or with `uv lock`.")
    remedy = (
        f"Fix the error that uv reports, or change the requirements and update the lock.\n{without_credentials(errors)}"
    )
    raise BentoError("uv can't resolve the locked packages", place=origin, remedy=remedy, code=_UNRESOLVED)
