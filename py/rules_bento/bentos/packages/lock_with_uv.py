"""Runs uv with network access to create locks, and to add dependencies that some lock formats omit."""

from __future__ import annotations

import json
import sys

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import shapes
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Mapping, Sequence
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages import requirement_syntax as requirements
from rules_bento.bentos.packages import uv as uv_program
from rules_bento.bentos.packages.indexes import Indexes, reject_variables
from rules_bento.bentos.packages.platforms import system_and_machine
from rules_bento.bentos.packages.requirement_syntax import named_format

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    from rules_bento.bentos.packages.build_hooks import Call
    from rules_bento.bentos.packages.lock_format import Lock
    from rules_bento.bentos.packages.requirement_files import DeclaredRequirements
    from rules_bento.bentos.packages.uv_lock_conflicts import Choice

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
_LOCK_AGAIN = "Restore the committed file, or update the lock, for example with `uv export`."
# uv's message for a package that must be built to get its metadata.


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
        done = uv_program.start(command, access, directory, config="directory", python=python, is_shown=True, call=call)
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
    """Read a lock of rules_bento, or convert a `uv.lock`, a `pylock.toml`, or a requirements file with hashes.

    For a `pylock.toml` or a requirements file, uv determines the dependencies of each package. uv uses the network only
    if the packages aren't cached. The result contains only files whose hashes are in the original file. Raises
    BentoError for an invalid lock, or if uv fails.
    """
    if path.name.endswith(".json"):
        return locks.with_pages(locks.load(path), indexes or Indexes())
    text = requirements.decode(path.read_bytes(), str(path))
    if path.name == "uv.lock":
        return locks.from_uv_lock(text, str(path), choice, indexes or Indexes())
    if path.name.startswith("pylock") and path.name.endswith(".toml"):
        lines, options = read_pylock(text, str(path)), list[requirements.Line]()
    else:
        with named_format(text, str(path)):
            lines, options = _read_requirements(text, str(path))
    all_indexes = (indexes or Indexes()).with_options(options, str(path))
    resolved = _lock_with_uv(
        Project([line.text for line in lines], requires_python, indexes=all_indexes), uv, str(path)
    )
    lock = locks.from_uv_lock(resolved, str(path), indexes=all_indexes, only_declared=True)
    lock |= {"requires_python": requires_python}
    hashes = {sha256 for line in lines for sha256 in line.hashes}
    lock = locks.keep_locked(lock, {line.name for line in lines}, hashes, str(path))
    only_binary = {
        name.strip() if name.strip().startswith(":") else requirements.normalize_name(name.strip())
        for option in options
        if option.flag == "--only-binary"
        for name in option.value.split(",")
    }
    return lock | {"packages": [_only_wheels(package, only_binary, str(path)) for package in lock["packages"]]}


def _only_wheels(package: dict[str, Any], only_binary: set[str], origin: str) -> dict[str, Any]:
    """Remove source archives if `only_binary` includes the package. Raises BentoError if no file remains."""
    if "unlocked" in package or not only_binary & {":all:", package["name"]}:
        return package
    files = {name: sha256 for name, sha256 in package["files"].items() if name.endswith(".whl")}
    if not files:
        problem = f"{package['name']} {package['version']} has no wheel, but the lock contains --only-binary"
        remedy = "Require a version that has a wheel, or remove --only-binary, and update the lock."
        raise BentoError(problem, place=origin, remedy=remedy)
    return package | {"files": files}


def _read_requirements(text: str, origin: str) -> tuple[list[requirements.Line], list[requirements.Line]]:
    requirements_of_file, options = requirements.parse(text, origin)
    for option in options:
        requirements.reject_option(option)
    for requirement in requirements_of_file:
        if not requirement.is_commit and requirements.local_path(requirement.text):
            remedy = f"{requirements.LOCAL_REMEDY} {requirements.EXPORT_REMEDY}"
            raise BentoError(f"{requirement.text!r} is a local path", place=requirement.place, remedy=remedy)
        _check_strings(requirement)
        if requirement.is_commit or (requirement.hashes and (requirement.pin or requirement.is_direct)):
            continue
        missing = "hashes" if requirement.pin or requirement.is_direct else "an exact version"
        problem = f"{requirement.text!r} requires {missing}, which a list of `pip freeze` doesn't contain"
        remedy = "Lock the requirements, for example with `uv pip compile --universal --generate-hashes "
        remedy += "requirements.in -o requirements.txt` or `pip-compile --generate-hashes`."
        raise BentoError(problem, place=requirement.place, remedy=remedy)
    return requirements_of_file, options


def _check_strings(line: requirements.Line) -> None:
    """Raise BentoError if a requirement contains a string that isn't safe in a lock."""
    requirement = requirements.check(line.text, line.place)
    strings = [("version", line.pin[1])] if line.pin else []
    if requirement.marker:
        strings.append(("marker", line.text.partition(";")[2]))
    if requirement.url and requirement.url.startswith("git+"):
        address, _, fragment = requirement.url.removeprefix("git+").partition("#")
        address, _, commit = address.rpartition("@")
        directories = [part.partition("=")[2] for part in fragment.split("&") if part.startswith("subdirectory=")]
        strings += [("git", address), ("commit", commit), *(("path", directory) for directory in directories)]
    elif requirement.url:
        strings.append(("url", requirement.url))
    for kind, text in strings:
        shapes.require(kind, text.strip(), f"{line.place}: {requirement.name}", _LOCK_AGAIN)


def read_pylock(text: str, origin: str) -> list[requirements.Line]:
    """Return the packages in a pylock.toml (PEP 751) as requirements with hashes."""
    document = read_toml(text, origin)
    shapes.check(document, shapes.PYLOCK, origin, _LOCK_AGAIN)
    packages = []
    for package in document["packages"]:
        marker = f" ; {package['marker']}" if "marker" in package else ""
        pin = _pylock_requirement(package, origin) + marker
        requirements.check(pin, f"{origin}: {package['name']}")
        files = [*package.get("wheels", []), *(package[key] for key in ("sdist", "archive") if key in package)]
        hashes = (file["hashes"]["sha256"] for file in files if "sha256" in file.get("hashes", {}))
        packages.append(requirements.Line(origin, 0, pin, pin, tuple(hashes)))
    return packages


def _pylock_requirement(package: dict[str, Any], origin: str) -> str:
    vcs, archive = package.get("vcs", {}), package.get("archive", {})
    if "url" in vcs:
        return requirements.direct(package["name"], {**vcs, "git": vcs["url"], "commit": vcs["commit-id"], "url": ""})
    if "url" in archive:
        return requirements.direct(package["name"], archive)
    if "version" not in package:
        remedy = "Use the package from an index, a URL, or a Git repository, and update the lock."
        raise BentoError(f"{package['name']} has no version", place=origin, remedy=remedy)
    return f"{package['name']}=={package['version']}"


def _lock_with_uv(project: Project, uv: Path, origin: str) -> str:
    """Lock a project, and return the content of the `uv.lock`. Uses the network only if locking offline fails.

    A fake interpreter prevents uv from building packages. Raises BentoError if uv finds no solution.
    """
    with own_directory("rules_bento-lock-") as directory:
        (directory / "pyproject.toml").write_text(project.pyproject(), "utf-8")
        command, python = [str(uv), "lock", "--no-progress"], ".".join(map(str, sys.version_info[:3]))
        access, attempts = uv_program.Access.to(project.indexes), uv_program.CACHE_FIRST
        done = uv_program.start(command, access, directory, config="directory", python=python, attempts=attempts)
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
