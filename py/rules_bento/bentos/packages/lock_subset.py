"""Uses uv or pip-tools to resolve the subset of a lock that a service needs, without network access.

Instead of the locked wheels and source archives, the resolver reads stub wheels that contain only metadata (METADATA,
WHEEL, RECORD). METADATA lists the lock's edges as requirements. Therefore, the resolver works as it does with a package
index, and explains conflicts.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from pathlib import Path

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import OwnDirectory, own_directory
from rules_bento.base.subcommand_arguments import read_text
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages import requirement_syntax as requirements
from rules_bento.bentos.packages.fake_interpreter import write_fake_interpreter
from rules_bento.bentos.packages.pip_compile import pip_compile, run_pip_compile, without_traceback
from rules_bento.bentos.packages.platforms import matches_platform, system_and_machine
from rules_bento.bentos.packages.requirement_syntax import (
    WHEELS,
    Locked,
    LockedRequirements,
    normalize_name,
    parse,
    parse_requirement,
)
from rules_bento.bentos.packages.uv import Run, start

if TYPE_CHECKING:
    from packaging import requirements as pep508
    from packaging.specifiers import SpecifierSet

_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: rules_bento\nRoot-Is-Purelib: true\n"
# Minor versions of glibc 2 that uv has platforms for; others are rounded up. The package hub selects the wheels.
_KNOWN_GLIBC = (17, 28, *range(31, 41))


@dataclass(frozen=True)
class Target:
    """The platform and Python version for which a lock subset is resolved."""

    platform: str  # <os>_<architecture>
    python_version: str  # X.Y[.Z]
    glibc: str  # X.Y, for Linux

    @property
    def python_minor(self) -> str:
        """The version of Python as `X.Y`."""
        return ".".join(self.python_version.split(".")[:2])

    @property
    def uv_platform(self) -> str:
        """The value for uv's `--python-platform`. Raises BentoError for an invalid glibc version."""
        system, machine = system_and_machine(self.platform)
        if system == "linux":
            major, _, minor = self.glibc.partition(".")
            if not (major.isdecimal() and minor.isdecimal()):
                remedy = "Use a version such as 2.28."
                raise BentoError(f"glibc of bento.pypi: invalid version {self.glibc!r}", remedy=remedy)
            newer = (number for number in _KNOWN_GLIBC if (2, number) >= (int(major), int(minor)))
            return f"{machine}-manylinux_2_{next(newer, _KNOWN_GLIBC[-1])}"
        return f"{machine.replace('arm64', 'aarch64')}-apple-darwin"


@dataclass(frozen=True)
class Query:
    """The requirements and constraints (PEP 508) of a service. The mappings' values are the places of declaration."""

    requirements: Mapping[str, str]
    constraints: Mapping[str, str] = field(default_factory=dict)

    def mismatches(self, locked: Locked) -> Iterator[str]:
        """Yield a message for each violated requirement or constraint. Raises BentoError for an invalid requirement."""
        for text, place in (*self.requirements.items(), *self.constraints.items()):
            wanted = requirements.check(text, place)
            package = locked.get(normalize_name(wanted.name))
            if package is None and text in self.requirements and wanted.marker is None:
                yield f"  {place}: {text}: the target's lock subset doesn't contain {wanted.name}\n"
            elif package and not wanted.specifier.contains(package["version"], prereleases=True):
                yield f"  {place}: {text}: the lock has {package['name']} {package['version']}\n"


@dataclass(frozen=True)
class Resolver:
    """The tool that resolves a lock subset: pip-tools if the import path `pip_tools` isn't empty, otherwise uv."""

    python: str
    uv: Path
    pip_tools: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The name of the resolver, for messages."""
        return "pip-tools" if self.pip_tools else "uv"


@dataclass(frozen=True)
class Resolution:
    """The solution for a single requirement, including transitive dependencies.

    `pins` maps package names to pinned requirements, and is empty if there is no solution. `packages` contains the lock
    entries of the dependencies, so that later actions don't need to read a separate file for each entry.
    """

    requirement: str
    pins: Mapping[str, str]
    packages: Sequence[dict[str, Any]] = ()

    def dumps(self) -> str:
        """Return the resolution as JSON for `loads`."""
        return json.dumps(vars(self)) + "\n"

    @staticmethod
    @lru_cache(maxsize=16)  # services that use the same lock require few of its packages directly
    def loads(text: str) -> Resolution:
        """Parse JSON from `dumps`. Don't modify the result, because calls with equal strings share it."""
        return Resolution(**json.loads(text))


def resolve_one(requirement: str, entries: Sequence[dict[str, Any]], target: Target, resolver: Resolver) -> Resolution:
    """Resolve a single requirement. After an error, the result has no pins, and `resolve_subset` reports the error."""
    try:
        pins = _resolve(Query({requirement: "requirements"}), _index_by_name(entries), target, resolver)
    except BentoError:
        return Resolution(requirement, {}, entries)
    return Resolution(requirement, {name: line for line, name in pins}, entries)


def resolve_subset(
    query: Query,
    entries: Sequence[dict[str, Any]],
    target: Target,
    resolver: Resolver,
    *,
    resolutions: Sequence[Resolution] = (),
) -> LockedRequirements:
    """Resolve the requirements in `query`. `entries` contains the lock entries of all transitive dependencies.

    The hashes are for files of the target platform. The resolver runs only if `resolutions` don't satisfy the query.
    Raises BentoError if there is no solution, if the solution differs from `entries`, or if a package has no file.
    """
    locked = _index_by_name(entries)
    for package in locked.values():
        _check_files(package, target.platform, entries)
    pins = _combine(query, locked, resolutions) or _resolve(query, locked, target, resolver)
    pins = [(_with_source(line, locked[name]), name) for line, name in pins]
    pages = sorted({locked[name]["page"] for _, name in pins if "page" in locked[name]})
    hashed = tuple((line, _hashes(tuple(locked[name]["files"].items()), target.platform)) for line, name in pins)
    roots = "".join(f"{root}\n" for root in query.requirements)
    modules = {name: known for _, name in pins if (known := locked[name].get("modules")) is not None}
    return LockedRequirements(roots, hashed, "".join(f"--find-links {page}\n" for page in pages), modules)


def read(paths: Iterable[str], resolutions: Iterable[Resolution] = ()) -> list[dict[str, Any]]:
    """Return the lock entries in `resolutions` and in the files `paths`. Each file contains one entry."""
    entries = [entry for resolution in resolutions for entry in resolution.packages]
    return [*entries, *(json.loads(read_text(path)) for path in dict.fromkeys(paths))]


def _index_by_name(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the entries by name. Raises BentoError if two entries with the same name differ."""
    locked: dict[str, dict[str, Any]] = {}
    for entry in entries:
        other = locked.setdefault(entry["name"], entry)
        if other is not entry and (other["version"], other["files"]) != (entry["version"], entry["files"]):
            raise BentoError(_duplicate_message(other, entry, entries))
    return locked


def _duplicate_message(one: dict[str, Any], other: dict[str, Any], entries: Iterable[dict[str, Any]]) -> str:
    name = one["name"]
    wheels = [entry["source"]["label"] for entry in (one, other) if "label" in entry.get("source", {})]
    who = _who_requires(name, entries)
    if len(wheels) == 1:
        remedy = f"Remove {wheels[0]}, or exclude {name} from the lock: add `{name} ; sys_platform == 'never'` to a "
        remedy += "file in `overrides` of the bento_requirements target"
    else:
        remedy = "Remove one of the wheels" if wheels else "Use packages from a single package hub"
    return f"requirements contain {name} twice{who}: {_origin(one)} and {_origin(other)}. {remedy}."


def _check_files(package: dict[str, Any], platform: str, entries: Iterable[dict[str, Any]]) -> None:
    """Raise BentoError if an index has no file of the package for the platform. Installers couldn't verify the pin."""
    is_from_index = not package.keys() & {"source", "unlocked"}
    if is_from_index and not any(_is_installable(file, platform) for file in package["files"]):
        problem = f"the lock contains no file of {package['name']} {package['version']} for {platform}"
        problem += f"{_who_requires(package['name'], entries)}"
        remedy = f"Lock a version that has a wheel for {platform}, or limit the requirement with a marker that "
        remedy += f"excludes {platform}, and update the lock."
        raise BentoError(problem, remedy=remedy)


def _who_requires(name: str, entries: Iterable[dict[str, Any]]) -> str:
    needing = {entry["name"] for entry in entries if any(edge["name"] == name for edge in _edges(entry))}
    return f" (required by {', '.join(sorted(needing))})" if needing else ""


def _edges(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [*entry.get("dependencies", []), *(edge for edges in entry.get("extras", {}).values() for edge in edges)]


def _origin(entry: dict[str, Any]) -> str:
    label = entry.get("source", {}).get("label")
    return f"{entry['version']} from {label}" if label else f"{entry['version']} from a lock"


def _combine(query: Query, locked: Locked, resolutions: Sequence[Resolution]) -> list[tuple[str, str]]:
    """Return the combined pins of `resolutions`, or an empty list if the pins don't satisfy the query.

    The pins can't conflict, because a lock has only one version of each package for a target.
    """
    pins: dict[str, str] = {}
    for resolution in resolutions:
        pins |= resolution.pins
    if pins.keys() != locked.keys():
        return []
    resolved = {resolution.requirement for resolution in resolutions if resolution.pins} | pins.keys()
    others = query.requirements.keys() - resolved
    if others or query.constraints:
        satisfied = all(satisfies(locked, text) for text in others)
        if not satisfied or any(may_exclude(locked, text) for text in query.constraints):
            return []
    return [(pins[name], name) for name in sorted(pins)]


def _resolve(query: Query, locked: Locked, target: Target, resolver: Resolver) -> list[tuple[str, str]]:
    """Return pairs of a pinned requirement and a package name. Raises BentoError if there is no valid solution."""
    unlocked = sorted(package["name"] for package in locked.values() if "unlocked" in package)
    if unlocked:
        raise BentoError(
            f"the lock doesn't contain {', '.join(unlocked)} for {target.platform} with Python {target.python_minor}",
            remedy="Lock for all platforms with `uv pip compile --universal`.",
        )
    with own_directory("rules_bento-slice-") as scratch:
        links = scratch / "links"
        links.mkdir()
        for package in locked.values():
            _write_stub_wheels(links, package)
        try:
            pins = _compile(query, scratch, target, resolver)
        except _NoSolutionError as error:
            raise BentoError(
                f"the requirements conflict with the lock for {target.platform} and Python {target.python_version}",
                remedy=f"Change the requirements, or update the lock.\n{''.join(query.mismatches(locked))}{error}",
            ) from None
    _check_solution(pins, locked, resolver.name)
    return pins


def matching_pins(pins: Iterable[str], entries: Iterable[dict[str, Any]]) -> list[str]:
    """Return the sorted names of pins (`name` or `name==version`). Raises BentoError if a pin isn't in `entries`."""
    versions = {entry["name"]: entry["version"] for entry in entries}
    names = []
    for pin in pins:
        name, _, version = pin.partition("==")
        if name not in versions:
            remedy = f"Add {name} from this package hub to requirements."
            raise BentoError(f"{pin} isn't from the package hub in requirements", place="deps", remedy=remedy)
        if version and not requirements.is_same_version(version, versions[name]):
            locked = f"{name}=={versions[name]}"
            problem = f"{pin} isn't from the package hub in requirements, which has {locked}"
            raise BentoError(problem, place="deps", remedy="Lock the same version in both locks.")
        names.append(name)
    return sorted(names)


class _NoSolutionError(Exception):
    """Raised if the resolver finds no solution."""


def _compile(query: Query, scratch: OwnDirectory, target: Target, resolver: Resolver) -> list[tuple[str, str]]:
    """Return pairs of a pinned requirement and a package name. Raises _NoSolutionError if the resolver fails."""
    links, source, limits = scratch / "links", scratch / "requirements.in", scratch / "constraints.txt"
    source.write_text("".join(f"{root}\n" for root in query.requirements), "utf-8")
    limits.write_text("".join(f"{limit}\n" for limit in query.constraints), "utf-8")
    options = ["--constraint", str(limits)] if query.constraints else []
    options += ["--quiet", "--no-header", "--no-annotate", "--no-index", "--find-links", str(links), "--strip-extras"]
    # A hub accepts wheels for any version of macOS, but uv's default is 13.
    environment = {"HOME": str(scratch), "MACOSX_DEPLOYMENT_TARGET": "30.0", "PATH": "/usr/bin:/bin"}
    environment["TMPDIR"] = str(scratch)
    for command in _commands(scratch, target, resolver):
        arguments = [*command, *options, str(source)]
        if resolver.pip_tools:
            done = run_pip_compile(arguments, environment)
        else:
            done = start(Run(arguments, None, Path.cwd(), variables=environment, attempts=("",)))
        if not done.returncode:
            break
    if done.returncode:
        explanation = without_traceback(done.stderr).strip()
        for path, name in ((links, "the lock"), (source, "the target"), (limits, "the constraints")):
            explanation = explanation.replace(str(path), name)
        raise _NoSolutionError(explanation)
    resolved, _ = parse(done.stdout, resolver.name)
    return sorted(((requirement.text, requirement.name) for requirement in resolved), key=lambda pin: pin[1])


def _commands(scratch: OwnDirectory, target: Target, resolver: Resolver) -> list[list[str]]:
    """Return the commands to try, in order."""
    if resolver.pip_tools:
        return [_pip_tools_command(target, resolver)]
    # The fallback runs the real interpreter, in case uv rejects the fake one. It also gives better explanations of
    # conflicts.
    interpreter = scratch / "python"
    write_fake_interpreter(interpreter, target.python_version)
    return [_uv_command(target, resolver.uv, str(interpreter)), _uv_command(target, resolver.uv, resolver.python)]


def _uv_command(target: Target, uv: Path, python: str) -> list[str]:
    command = [str(uv), "pip", "compile", "--no-cache", "--offline", "--no-python-downloads"]
    command += ["--python", python, "--color", "never"]
    return [*command, "--python-version", target.python_version, "--python-platform", target.uv_platform]


def _pip_tools_command(target: Target, resolver: Resolver) -> list[str]:
    here = ".".join(str(part) for part in sys.version_info[:2])
    if sys.platform != system_and_machine(target.platform)[0] or here != target.python_minor:
        problem = (
            f"pip-tools runs on {sys.platform} with Python {here}, and can't resolve for another platform or Python "
            f"version ({target.platform} with Python {target.python_minor})"
        )
        raise BentoError(problem, place="resolver", remedy='Set resolver = "uv".')
    return [*pip_compile(resolver.python, resolver.pip_tools), "--output-file", "-"]


def _check_solution(pins: list[tuple[str, str]], locked: Mapping[str, Any], resolver: str) -> None:
    """Raise BentoError if the resolver's solution and Bazel's dependency graph contain different packages."""
    solved = {name for _, name in pins}
    missing, needless = sorted(solved - locked.keys()), sorted(locked.keys() - solved)
    if missing or needless:
        problem = f"the lock's dependency graph doesn't match the packages that {resolver} selects. Selected only by "
        problem += f"{resolver}: {missing or 'none'}. Only in the graph: {needless or 'none'}"
        raise BentoError(problem, remedy="Update the lock. If the error persists, report a bug in rules_bento.")


def _write_stub_wheels(links: Path, package: dict[str, Any]) -> None:  # writes: own, `shapes` checks the names
    """Write a stub for each wheel of a package. A source archive, or a package without files, gets a universal stub.

    Stub wheels with equal content are hard links to one file, because writing an archive for each wheel takes longer
    than resolving the lock subset.
    """
    import zipfile

    name, version = package["name"].replace("-", "_"), package["version"]
    wheels = [file for file in package["files"] if file.endswith(".whl")]
    if len(wheels) < len(package["files"]) or not wheels:
        wheels.append(f"{name}-{version}-py3-none-any.whl")  # a source archive supports all platforms
    metadata = _metadata(package)
    written: dict[str, Path] = {}
    for wheel in dict.fromkeys(wheels):
        directory = "-".join(wheel.split("-")[:2]) + ".dist-info"
        if directory in written:
            (links / wheel).hardlink_to(written[directory])
            continue
        written[directory] = links / wheel
        with zipfile.ZipFile(links / wheel, "w") as archive:
            for file, text in (("METADATA", metadata), ("WHEEL", _WHEEL), ("RECORD", "")):
                archive.writestr(zipfile.ZipInfo(f"{directory}/{file}", _EPOCH), text)


def _metadata(package: dict[str, Any]) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {package['name']}", f"Version: {package['version']}"]
    lines += [f"Requires-Dist: {_requires_dist(edge, '')}" for edge in package.get("dependencies", [])]
    for extra, edges in package.get("extras", {}).items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_requires_dist(edge, extra)}" for edge in edges]
    return "\n".join([*lines, "", ""])


def _requires_dist(edge: dict[str, Any], extra: str) -> str:
    extras = f"[{','.join(edge['extras'])}]" if "extras" in edge else ""
    version = f"=={edge['version']}" if "version" in edge else ""
    conditions = [f"({edge['marker']})"] if "marker" in edge else []
    conditions += [f"extra == '{extra}'"] if extra else []
    marker = f" ; {' and '.join(conditions)}" if conditions else ""
    return f"{edge['name']}{extras}{version}{edge.get('specifier', '')}{marker}"


def _with_source(line: str, package: dict[str, Any]) -> str:
    """Return a requirement for the package's wheel, URL, or repository. Returns `line` for a package from an index."""
    source = package.get("source")
    if not source:
        return line
    if "wheel" in source:
        return f"./{WHEELS}/{source['wheel']}"
    return requirements.direct(package["name"], source)


@lru_cache(maxsize=1024)  # many services have the same packages
def _hashes(files: tuple[tuple[str, str], ...], platform: str) -> tuple[str, ...]:
    """Return the sorted SHA-256 of the files for a platform."""
    return tuple(sorted(sha256 for file, sha256 in files if _is_installable(file, platform)))


def _is_installable(file: str, platform: str) -> bool:
    """Return whether an installer on `platform` might select `file`."""
    return not file.endswith(".whl") or matches_platform(file.removesuffix(".whl").rpartition("-")[2], platform)


# `satisfies` and `may_exclude` decide only cases that `packaging` and uv interpret in the same way: numeric versions,
# common operators, no marker, and no URL. In all other cases, the resolver must run.
_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})*")
_SERIES = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})*\.\*")  # for `==` and `!=`
_COMPARES = frozenset({">=", "<=", ">", "<", "==", "!=", "~="})


def satisfies(locked: Locked, requirement: str) -> bool:
    """Return whether locked packages satisfy a requirement (PEP 508). Returns False if this can't be determined."""
    try:
        requested = parse_requirement(requirement)
    except ValueError:
        return False  # the resolver reports it
    if requested.marker is not None or requested.url is not None:
        return False
    return _is_satisfied(locked, requested, set())


def may_exclude(locked: Locked, constraint: str) -> bool:
    """Return whether a constraint (PEP 508) might exclude a locked package."""
    try:
        limit = parse_requirement(constraint)
    except ValueError:
        return True
    if limit.marker is not None or limit.url is not None or limit.extras:
        return True
    package = locked.get(normalize_name(limit.name))
    return package is not None and not _allows(limit.specifier, package["version"])


def _is_satisfied(locked: Locked, requested: pep508.Requirement, seen: set[tuple[str, str]]) -> bool:
    package = locked.get(normalize_name(requested.name))
    if package is None or not _allows(requested.specifier, package["version"]):
        return False
    known = {normalize_name(extra): edges for extra, edges in package.get("extras", {}).items()}
    for extra in map(normalize_name, requested.extras):
        if extra not in known:
            return False
        if (package["name"], extra) in seen:
            continue
        seen.add((package["name"], extra))
        # Edges with a false marker need not be satisfied, but checking them is safe.
        edges = [parse_requirement(_requires_dist(edge, "").partition(" ; ")[0]) for edge in known[extra]]
        if not all(_is_satisfied(locked, edge, seen) for edge in edges):
            return False
    return True


def _allows(specifier: SpecifierSet, version: str) -> bool:
    """Return whether a version certainly matches a specifier. Every version matches an empty specifier."""
    if not _RELEASE.fullmatch(version):
        return not specifier
    return all(_is_plain(clause.operator, clause.version) for clause in specifier) and specifier.contains(version)


def _is_plain(operator: str, version: str) -> bool:
    series = operator in ("==", "!=") and _SERIES.fullmatch(version)
    return bool(series) or (operator in _COMPARES and _RELEASE.fullmatch(version) is not None)
