"""Resolves the slice of a lock that one service needs, by uv, without a network.

uv gets the locked packages as wheels that are nothing but metadata: a zip with METADATA, WHEEL and RECORD under the
name of each real file, with the edges of the lock as requirements. So it resolves in the sandbox, for the service's
platform and Python, what it would resolve over the network, and explains a conflict in its own words.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from pathlib import Path

from rules_bento.arguments import read_text
from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.packages import requirements
from rules_bento.packages.fake_interpreter import write_fake_interpreter
from rules_bento.packages.requirements import WHEELS, parse
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_PIP_COMPILE = "from piptools.scripts.compile import cli; cli(prog_name='pip-compile')"
# pip-tools prints a traceback of its own where it explains a conflict; messages leave it out.
_TRACEBACK = r"(?m)^Traceback \(most recent call last\):\n(?:[ ].*\n|\n)*"
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Machine to the endings of platform tags that it can run; some stand for several machines.
_MACOS_MACHINES = {
    "arm64": ("_arm64", "_universal2"),
    "x86_64": ("_x86_64", "_intel", "_fat32", "_fat64", "_universal", "_universal2"),
}
_WHEEL = "Wheel-Version: 1.0\nGenerator: rules_bento\nRoot-Is-Purelib: true\n"


# Of glibc 2: what uv has platforms for. Another one stands for the next that it has; which wheels fit, the hub says.
_KNOWN_GLIBC = (17, 28, *range(31, 41))


@dataclass(frozen=True)
class Target:
    """Describes the machine and the Python that the slice is for."""

    platform: str  # <os>_<machine>
    python_version: str  # X.Y[.Z]
    glibc: str  # X.Y, for Linux

    @property
    def python_minor(self) -> str:
        """Return the version of Python as `X.Y`."""
        return ".".join(self.python_version.split(".")[:2])

    @property
    def uv_platform(self) -> str:
        """Return the platform as uv names it for `--python-platform`. Raises BentoError where glibc is no version."""
        system, _, machine = self.platform.partition("_")
        if system == "linux":
            major, _, minor = self.glibc.partition(".")
            if not (major.isdecimal() and minor.isdecimal()):
                raise BentoError(f"glibc of bento.pypi is {self.glibc!r}. Write two numbers, such as 2.28.")
            newer = (number for number in _KNOWN_GLIBC if (2, number) >= (int(major), int(minor)))
            return f"{machine}-manylinux_2_{next(newer, _KNOWN_GLIBC[-1])}"
        return f"{machine.replace('arm64', 'aarch64')}-apple-darwin"


@dataclass(frozen=True)
class LockSubset:
    """Holds pinned requirements, sorted by name, and the same with the hashes of their files."""

    requirements: str
    requirements_with_hashes: str


@dataclass(frozen=True)
class Query:
    """Holds what a service asks for, and what limits versions: requirements (PEP 508), each with who states it."""

    requirements: Mapping[str, str]
    constraints: Mapping[str, str] = field(default_factory=dict)

    def mismatches(self, locked: Mapping[str, dict[str, Any]]) -> Iterator[str]:
        """Yield a line for each that the locked version is not of. Raises BentoError for a text that is neither."""
        for text, place in (*self.requirements.items(), *self.constraints.items()):
            wanted = requirements.check(text, place)
            package = locked.get(requirements.normalize_name(wanted.name))
            if package is None and text in self.requirements and wanted.marker is None:
                yield f"  {place}: {text}; the lock gives the target no {wanted.name}\n"
            elif package and not wanted.specifier.contains(package["version"], prereleases=True):
                yield f"  {place}: {text}; the lock has {package['name']} {package['version']}\n"


@dataclass(frozen=True)
class Resolver:
    """Names the program that resolves: uv, or pip-tools where folders to import it from are given."""

    python: str
    uv: Path
    pip_tools: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Return the name of the resolver."""
        return "pip-tools" if self.pip_tools else "uv"


@dataclass(frozen=True)
class Resolution:
    """Holds a resolver's solution for one requirement alone: the pins of its closure by name, none if there is none.

    `packages` is what the lock has of each package of the closure, so that whoever requires it reads one file.
    """

    requirement: str
    pins: Mapping[str, str]
    packages: Sequence[dict[str, Any]] = ()

    def dumps(self) -> str:
        """Return the JSON in which it travels between actions."""
        return json.dumps(vars(self)) + "\n"

    @classmethod
    def loads(cls, text: str) -> Resolution:
        """Read what `dumps` gave: the same text is the same answer, which nobody changes."""
        return _load_resolution(text)


@lru_cache(maxsize=16)  # services over one lock require a few packages of it
def _load_resolution(text: str) -> Resolution:
    return Resolution(**json.loads(text))


def resolve_one(requirement: str, entries: Sequence[dict[str, Any]], target: Target, resolver: Resolver) -> Resolution:
    """Ask the resolver for the closure of one package; the answer has no pins where it finds no solution.

    Whoever needs these packages asks again then, together with all else, and explains it.
    """
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
    all_files: bool,
    resolutions: Sequence[Resolution] = (),
) -> LockSubset:
    """Resolve what is asked for against `entries`: what the lock has of each package of the closure.

    `all_files` asks for the hashes of all files of a release, not only of those for the platform. The resolver is not
    asked again where `answers` say it all. Raises BentoError with uv's explanation if there is no solution, and for one
    that differs from the packages given.
    """
    locked = _index_by_name(entries)
    pins = _combine(query, locked, resolutions) or _resolve(query, locked, target, resolver)
    pins = [(_with_source(line, locked[name]), name) for line, name in pins]
    files = tuple((line, tuple(locked[name]["files"].items())) for line, name in pins)
    return LockSubset("".join(f"{line}\n" for line, _ in pins), _with_hashes(files, target.platform, all_files))


def read(paths: Iterable[str], resolutions: Iterable[Resolution] = ()) -> list[dict[str, Any]]:
    """Return what the lock has of each package of the closure: of `answers`, and of files with one each."""
    entries = [entry for resolution in resolutions for entry in resolution.packages]
    return [*entries, *(json.loads(read_text(path)) for path in dict.fromkeys(paths))]


def _index_by_name(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the entries by name.

    Raises BentoError where one name has two: images would have both, and the lock one.
    """
    locked: dict[str, dict[str, Any]] = {}
    for entry in entries:
        other = locked.setdefault(entry["name"], entry)
        if other is not entry and (other["version"], other["files"]) != (entry["version"], entry["files"]):
            raise BentoError(_duplicate_message(other, entry, entries))
    return locked


def _duplicate_message(one: dict[str, Any], other: dict[str, Any], entries: Iterable[dict[str, Any]]) -> str:
    name = one["name"]
    wheels = [entry["source"]["label"] for entry in (one, other) if "label" in entry.get("source", {})]
    needing = {entry["name"] for entry in entries if any(edge["name"] == name for edge in _edges(entry))}
    who = f" (needed by {', '.join(sorted(needing))})" if needing else ""
    if len(wheels) == 1:
        remedy = (
            f"Leave {wheels[0]} out, or lock without {name}: `{name} ; sys_platform == 'never'` in a file of "
            f"`overrides` of the bento_requirements"
        )
    else:
        remedy = "Leave one of them out" if wheels else "Take all packages from one hub"
    return f"requirements have two of {name}{who}: {_origin(one)} and {_origin(other)}. {remedy}."


def _edges(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [*entry.get("dependencies", []), *(edge for edges in entry.get("extras", {}).values() for edge in edges)]


def _origin(entry: dict[str, Any]) -> str:
    label = entry.get("source", {}).get("label")
    return f"{entry['version']} of {label}" if label else f"{entry['version']} of a lock"


def _combine(
    query: Query, locked: Mapping[str, dict[str, Any]], resolutions: Sequence[Resolution]
) -> list[tuple[str, str]]:
    """Join the answers to a solution of all that is asked for, as `_resolve` returns it; empty if they do not cover it.

    A lock has one version of a package for a target, so no closure rules out a package of another one.
    """
    pins: dict[str, str] = {}
    for resolution in resolutions:
        pins |= resolution.pins
    if pins.keys() != locked.keys():
        return []
    resolved = {resolution.requirement for resolution in resolutions if resolution.pins} | pins.keys()
    others = query.requirements.keys() - resolved
    if others or query.constraints:
        from rules_bento.packages.satisfaction import may_exclude, satisfies

        satisfied = all(satisfies(locked, text) for text in others)
        if not satisfied or any(may_exclude(locked, text) for text in query.constraints):
            return []
    return [(pins[name], name) for name in sorted(pins)]


def _resolve(
    query: Query, locked: Mapping[str, dict[str, Any]], target: Target, resolver: Resolver
) -> list[tuple[str, str]]:
    """Return the pinned requirements by the resolver, as text and by name. Raises BentoError as `make_slice` does."""
    import tempfile

    _check_locked(locked.values(), target)
    with tempfile.TemporaryDirectory(prefix="rules_bento-slice-") as scratch:
        links = Path(scratch, "links")
        links.mkdir()
        for package in locked.values():
            _write_stub_wheels(links, package)
        try:
            pins = _compile(query, links, target, resolver)
        except _NoSolutionError as error:
            raise BentoError(
                f"requirements and packages do not fit the lock for {target.platform} with Python "
                f"{target.python_version}. Change them, or lock again.\n{''.join(query.mismatches(locked))}{error}"
            ) from None
    _check_solution(pins, locked, resolver.name)
    return pins


def extras_by_package(entries: Iterable[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the extras that a lock knows of each of its packages, by normalized names."""
    return {entry["name"]: set(entry.get("extras", {})) for entry in entries}


def matching_pins(pins: Iterable[str], entries: Iterable[dict[str, Any]]) -> list[str]:
    """Return the names of pins (`name==version` or `name`) of libraries.

    Raises BentoError for one that the lock has not.
    """
    versions = {entry["name"]: entry["version"] for entry in entries}
    names = []
    for pin in pins:
        name, _, version = pin.partition("==")
        if name not in versions:
            raise BentoError(
                f"deps need {pin} of another hub or repository, but requirements lack it. "
                f"Add the lock's {name} to them."
            )
        if version not in ("", versions[name]):
            raise BentoError(
                f"deps need {pin} of another hub, but the lock has {name}=={versions[name]}. Lock both to one version."
            )
        names.append(name)
    return sorted(names)


class _NoSolutionError(Exception):
    """Reports the message of a resolver that found no solution."""


def _compile(query: Query, links: Path, target: Target, resolver: Resolver) -> list[tuple[str, str]]:
    """Return the pinned requirements, as text and by name."""
    import subprocess

    source = links.with_name("requirements.in")
    source.write_text("".join(f"{root}\n" for root in query.requirements), "utf-8")
    limits = links.with_name("constraints.txt")
    limits.write_text("".join(f"{limit}\n" for limit in query.constraints), "utf-8")
    options = ["--constraint", str(limits)] if query.constraints else []
    options += ["--quiet", "--no-header", "--no-annotate", "--no-index", "--find-links", str(links), "--strip-extras"]
    # A hub takes wheels for any macOS; uv would stop at 13.
    environment = {"HOME": str(links.parent), "MACOSX_DEPLOYMENT_TARGET": "30.0", "PATH": "/usr/bin:/bin"}
    environment["TMPDIR"] = str(links.parent)
    for command in _commands(links.parent, target, resolver):
        arguments = [*command, *options, str(source)]
        done = subprocess.run(arguments, check=False, capture_output=True, text=True, env=environment)
        if not done.returncode:
            break
    if done.returncode:
        explanation = re.sub(_TRACEBACK, "", done.stderr).strip()
        for path, name in ((links, "the lock"), (source, "the target"), (limits, "the constraints")):
            explanation = explanation.replace(str(path), name)
        raise _NoSolutionError(explanation)
    resolved, _ = parse(done.stdout, resolver.name)
    return sorted(((requirement.text, requirement.name) for requirement in resolved), key=lambda pin: pin[1])


def _commands(scratch: Path, target: Target, resolver: Resolver) -> list[list[str]]:
    """Return commands that resolve, each a fallback for the one before."""
    if resolver.pip_tools:
        return [_pip_tools_command(target, resolver)]
    # The second command takes the real interpreter: in case uv does not take the stand-in, and for what it says of a
    # conflict.
    interpreter = scratch / "python"
    write_fake_interpreter(interpreter, resolver.python, target.python_version)
    return [_uv_command(target, resolver.uv, str(interpreter)), _uv_command(target, resolver.uv, resolver.python)]


def _uv_command(target: Target, uv: Path, python: str) -> list[str]:
    command = [str(uv), "pip", "compile", "--no-config", "--no-cache", "--offline", "--no-python-downloads"]
    command += ["--python", python, "--color", "never"]
    return [*command, "--python-version", target.python_version, "--python-platform", target.uv_platform]


def _pip_tools_command(target: Target, resolver: Resolver) -> list[str]:
    here = ".".join(str(part) for part in sys.version_info[:2])
    if sys.platform not in target.platform.replace("macos", "darwin") or here != target.python_minor:
        raise BentoError(
            f"pip-tools knows only what it runs on: it cannot lock for {target.platform} with Python "
            f"{target.python_minor} on {sys.platform} with {here}. Leave resolver at 'uv'."
        )
    program = (
        f"import sys; sys.path[:0] = {[str(Path(root).absolute()) for root in resolver.pip_tools]!r}; {_PIP_COMPILE}"
    )
    command = [resolver.python, "-I", "-S", "-B", "-X", "utf8", "-c", program, "--no-config", "--allow-unsafe"]
    return [*command, "--no-emit-index-url", "--no-emit-find-links", "--output-file", "-"]


def _check_locked(packages: Iterable[dict[str, Any]], target: Target) -> None:
    unlocked = sorted(package["name"] for package in packages if "unlocked" in package)
    if unlocked:
        raise BentoError(
            f"the lock is not for {target.platform} with Python {target.python_minor}: it leaves out "
            f"{', '.join(unlocked)}. Lock for all platforms, as `uv pip compile --universal` does."
        )


def _check_solution(pins: list[tuple[str, str]], locked: Mapping[str, Any], resolver: str) -> None:
    """Refuse a solution of the resolver that has other packages than Bazel's graph."""
    solved = {name for _, name in pins}
    missing, needless = sorted(solved - locked.keys()), sorted(locked.keys() - solved)
    if missing or needless:
        raise BentoError(
            f"the lock's graph and {resolver}'s solution differ: only {resolver} has {missing or 'none'}, only "
            f"the graph has {needless or 'none'}. Lock again; if they still differ, it is a bug of rules_bento."
        )


def _write_stub_wheels(links: Path, package: dict[str, Any]) -> None:
    """Write a wheel of metadata for each wheel of a package, and one for any platform if it is built from source.

    They differ in their names alone, so all are one file: a hundred zips take longer than uv.
    """
    import zipfile

    name, version = package["name"].replace("-", "_"), package["version"]
    wheels = [file for file in package["files"] if file.endswith(".whl")]
    if len(wheels) < len(package["files"]) or not wheels:
        wheels.append(f"{name}-{version}-py3-none-any.whl")  # what has a source fits everywhere
    metadata = _metadata(package)
    written: dict[str, Path] = {}
    for wheel in dict.fromkeys(wheels):
        folder = "-".join(wheel.split("-")[:2]) + ".dist-info"
        if folder in written:
            (links / wheel).hardlink_to(written[folder])
            continue
        written[folder] = links / wheel
        with zipfile.ZipFile(links / wheel, "w") as archive:
            for file, text in (("METADATA", metadata), ("WHEEL", _WHEEL), ("RECORD", "")):
                archive.writestr(zipfile.ZipInfo(f"{folder}/{file}", _EPOCH), text)


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
    """Return the line of a package that comes from no index: its address in place of its version."""
    source = package.get("source")
    if not source:
        return line
    if "wheel" in source:
        return f"./{WHEELS}/{source['wheel']}"
    folder = f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""
    return f"{package['name']} @ " + (source.get("url") or f"git+{source['git']}@{source['commit']}{folder}")


@lru_cache(maxsize=16)  # many services have the same slice
def _with_hashes(pins: tuple[tuple[str, tuple[tuple[str, str], ...]], ...], platform: str, all_files: bool) -> str:
    """Return lines of requirements, each with the SHA-256 of its files."""
    lines = []
    for line, files in pins:
        hashes = sorted(sha256 for file, sha256 in files if all_files or _is_installable(file, platform))
        lines += [" \\\n".join([line, *(f"    --hash=sha256:{sha256}" for sha256 in hashes)]), "\n"]
    return "".join(lines)


def _is_installable(file: str, platform: str) -> bool:
    """Return whether an installer on the platform might take a file."""
    return not file.endswith(".whl") or _matches_platform(file.removesuffix(".whl").rpartition("-")[2], platform)


@lru_cache(maxsize=1024)  # thousands of wheels have a few tags
def _matches_platform(tags: str, platform: str) -> bool:
    system, _, machine = platform.partition("_")
    return any(
        tag == "any"
        or (system == "linux" and "linux" in tag and tag.endswith(f"_{machine}"))
        or (system == "macos" and tag.startswith("macosx") and tag.endswith(_MACOS_MACHINES[machine]))
        for tag in tags.split(".")
    )
