"""Subcommands that check and resolve locks of Python packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import Pairs, Request, Strings, read_text
from rules_bento.base.typing_lite import TYPE_CHECKING, Any
from rules_bento.bentos.packages import lock_subset
from rules_bento.bentos.packages.indexes import Indexes

if TYPE_CHECKING:
    from rules_bento.bentos.packages import requirement_files
    from rules_bento.bentos.packages.lock_format import Lock


class _LockRequest(Request):
    answer: Strings  # resolution of one requirement by uv, and its transitive dependencies in the lock
    glibc: str = ""
    hashes: Pairs  # path and name of the lock of a package hub of rules_python
    locked: Strings  # entry of a package in the lock
    output: Path
    package: Strings  # a requirement in addition to the packages of the hub
    pin: Strings  # `name==version`
    platform: Strings
    pip_tools: Strings  # directories that pip-tools is imported from; without any, uv resolves
    python: str
    python_version: Strings
    requirement: Strings
    declared_packages: Strings  # service metadata, with the requirements of the bentofile and the image
    uv: Path


def lock(request: _LockRequest) -> None:
    """Write a service's lock subset as JSON: direct requirements, pinned packages, and pinned packages with hashes."""
    from rules_bento.bentos.packages import lock_format as locks

    platforms, versions = set(request.platform), set(request.python_version)
    if len(platforms) > 1 or len(versions) > 1:
        problem = (
            f"the packages target different platforms or Python versions: {', '.join(sorted(platforms | versions))}"
        )
        raise BentoError(problem, place="requirements", remedy="Use packages from a single package hub.")
    if not platforms:
        remedy = "Add bentoml from the hub."
        raise BentoError("at least one package from a package hub is required", place="requirements", remedy=remedy)
    target = lock_subset.Target(platforms.pop(), versions.pop(), request.glibc)
    resolutions = [lock_subset.Resolution.loads(read_text(path)) for path in request.answer]
    entries = lock_subset.read(request.locked, resolutions)
    for path, name in request.hashes:
        entries = locks.complete_installed(entries, Path(path), name)
    query = _make_query(request, entries)
    subset = lock_subset.resolve_subset(
        query,
        entries,
        target,
        lock_subset.Resolver(request.python, request.uv, request.pip_tools),
        resolutions=resolutions,
    )
    request.output.write_text(subset.dumps(), "utf-8")


def _make_query(request: _LockRequest, entries: list[dict[str, Any]]) -> lock_subset.Query:
    """Return all requirements and constraints, and their origins. Raises BentoError for a conflict with the lock."""
    from rules_bento.bentos.assembly.declared_packages import DeclaredPackages
    from rules_bento.bentos.packages import lock_format as locks

    origins: dict[str, str] = {}
    limits: dict[str, str] = {}
    for origin, texts in (
        ("requirements", locks.with_installed_extras(request.requirement, entries)),
        ("requirement_specifiers", request.package),
        ("deps", lock_subset.matching_pins(request.pin, entries)),
    ):
        for text in texts:
            origins.setdefault(text, origin)
    files = {entry["name"]: entry["files"] for entry in entries}
    for path in request.declared_packages:
        for fields in json.loads(read_text(path))["packages"]:
            declared = DeclaredPackages(**fields)
            for note in declared.check_lock({entry["name"]: entry.get("extras", ()) for entry in entries}):
                sys.stderr.write(f"{request.target}: {note}\n")
            declared.check_hashes(files)
            for text in declared.requirements:
                origins.setdefault(text, declared.place)
            limits |= dict.fromkeys(declared.constraints, declared.place)
    return lock_subset.Query(origins, limits)


class _ResolveRequest(Request):
    glibc: str
    locked: Strings
    output: Path
    platform: str
    python: str
    python_version: str
    requirement: str
    uv: Path


def resolve(request: _ResolveRequest) -> None:
    """Resolve a requirement against a lock with uv, and write the result. If uv fails, the result has no pins."""
    target = lock_subset.Target(request.platform, request.python_version, request.glibc)
    resolution = lock_subset.resolve_one(
        request.requirement, lock_subset.read(request.locked), target, lock_subset.Resolver(request.python, request.uv)
    )
    request.output.write_text(resolution.dumps(), "utf-8")


class SourcesRequest(Request):
    """Arguments about the sources of a lock."""

    constraint: Pairs  # path, name
    extra: Strings
    group: Strings
    indexes: str = ""  # JSON
    override: Pairs  # path, name
    platform: Strings
    requires_python: str
    source: Pairs  # path, name


class _CheckRequirementsRequest(SourcesRequest):
    lock: Pairs  # path, name
    update: str  # the target that updates the lock


def check_requirements(request: _CheckRequirementsRequest) -> None:
    """Raise BentoError if a lock doesn't match its sources, lacks required packages, or contains unneeded packages."""
    from rules_bento.bentos.packages import lock_format as locks
    from rules_bento.bentos.packages import lock_with_uv

    [(path, name)] = request.lock
    requested, indexes = read_sources(request)
    empty: Lock = {"requires_python": "", "roots": [], "packages": []}
    lock = locks.load(Path(path)) if Path(path).stat().st_size else empty
    record = lock_with_uv.lock_inputs(requested, indexes, request.platform)
    problems = [
        *_record_differences(lock.get("inputs", {}), record, requested),
        *([] if lock["requires_python"] == request.requires_python else ["  requires_python differs"]),
        *_graph_problems(lock),
    ]
    if problems:
        listing = "\n".join(problems)
        update = f"To update the lock, run `bazel run {request.update}`."
        raise BentoError(f"{name} is stale:\n{listing}\n{update}")


def read_sources(request: SourcesRequest) -> tuple[requirement_files.DeclaredRequirements, Indexes]:
    """Return the requirements in a target's sources, and the package indexes of the target and the sources.

    Raises BentoError if the target lacks a setting of a pyproject.toml.
    """
    from rules_bento.bentos.packages import requirement_files, uv_settings

    sources, constraints, overrides = (
        [requirement_files.RequirementSource(Path(path), name) for path, name in files]
        for files in (request.source, request.constraint, request.override)
    )
    requested = requirement_files.read(sources, request.extra, request.group, constraints, overrides)
    target = request.target
    indexes = Indexes.from_json(request.indexes, target).with_options(requested.options, target)
    uv_settings.check_target(requested.target_settings, indexes, request.platform)
    return requested, indexes


def _record_differences(
    locked: dict[str, Any], record: dict[str, Any], requested: requirement_files.DeclaredRequirements
) -> list[str]:
    """Return how the inputs in a lock differ from the inputs of a target, as indented lines."""
    problems = []
    kinds = (
        ("requirements", "", "requires", requested.requirements),
        ("constraints", " as a limit", "declares", requested.constraints),
        ("overrides", " as an override", "declares", requested.overrides),
    )
    for key, limit, verb, origins in kinds:
        before, now = set(locked.get(key, [])), set(record.get(key, []))
        problems += [f"  {origins[text]}: {text} is not locked{limit}" for text in sorted(now - before)]
        problems += [f"  {text} is locked{limit}, but no source {verb} this package" for text in sorted(before - now)]
    settings = set(locked.get("settings", [])) ^ set(record.get("settings", []))
    problems += [f"  tool.uv.{key} differs" for key in sorted({text.partition(" = ")[0] for text in settings})]
    names = {"platforms": "the platforms differ", "indexes": "the indexes or the index options differ"}
    return problems + [f"  {text}" for key, text in names.items() if locked.get(key) != record.get(key)]


def _graph_problems(lock: Lock) -> list[str]:
    """Return messages about missing and unneeded packages in a lock's graph."""
    from rules_bento.bentos.packages import lock_format as locks

    versions = {(package["name"], package["version"]) for package in lock["packages"]}
    names = {name for name, _ in versions}
    edges = [(edge, "") for edge in lock["roots"]]
    for package in lock["packages"]:
        extras = package.get("extras", {}).values()
        dependencies = [*package.get("dependencies", []), *(edge for extra in extras for edge in extra)]
        edges += [(edge, package["name"]) for edge in dependencies]
    problems = []
    for edge, parent in edges:
        is_locked = (edge["name"], edge["version"]) in versions if "version" in edge else edge["name"] in names
        if not is_locked:
            wanted = f"{edge['name']} {edge.get('version', '')}".strip()
            problems.append(f"  {parent or 'a root'} needs {wanted}, which is not in the lock")
    kept = {(package["name"], package["version"]) for package in locks.reachable(lock["roots"], lock["packages"])}
    return problems + [
        f"  {name} {version} is in the lock, but not needed" for name, version in sorted(versions - kept)
    ]
