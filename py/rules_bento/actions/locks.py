"""Subcommands that check, convert, and resolve locks of Python packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand, read_text
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any, Collection

if TYPE_CHECKING:
    from rules_bento.packages import lock_subset, requirement_sources
    from rules_bento.packages.indexes import Indexes
    from rules_bento.packages.lock import Lock


@Subcommand(
    {
        "--answer": 1,  # resolution of one requirement by uv, and its transitive dependencies in the lock
        "--glibc": 1,
        "--hashes": 2,  # path and name of the lock of a package hub of rules_python
        "--locked": 1,  # entry of a package in the lock
        "--output": 1,
        "--package": 1,  # a requirement in addition to the packages of the hub
        "--pin": 1,  # `name==version`
        "--platform": 1,
        "--python": 1,
        "--python-version": 1,
        "--requirement": 1,
        "--declared-packages": 1,  # service metadata, with the requirements of the bentofile and the image
        "--uv": 1,
    },
)
def lock(arguments: Arguments) -> None:
    """Write a service's lock subset as JSON: direct requirements, pinned packages, and pinned packages with hashes."""
    from rules_bento.bento.env.python import LockedRequirements
    from rules_bento.packages import installed, lock_subset

    platforms = set(arguments.repeated("--platform"))
    versions = set(arguments.repeated("--python-version"))
    if len(platforms) > 1 or len(versions) > 1:
        raise BentoError(
            "requirements: the packages target different platforms or Python versions: "
            f"{', '.join(sorted(platforms | versions))}. Use packages from a single package hub."
        )
    if not platforms:
        raise BentoError("requirements: at least one package from a package hub is required. Add bentoml from the hub.")
    target = lock_subset.Target(platforms.pop(), versions.pop(), arguments.required("--glibc"))
    resolutions = [lock_subset.Resolution.loads(read_text(path)) for path in arguments.repeated("--answer")]
    entries = lock_subset.read(arguments.repeated("--locked"), resolutions)
    for path, name in arguments.tuples("--hashes"):
        entries = installed.complete(entries, Path(path), name)
    query = _make_query(arguments, entries)
    subset = lock_subset.resolve_subset(
        query,
        entries,
        target,
        lock_subset.Resolver(arguments.required("--python"), Path(arguments.required("--uv"))),
        resolutions=resolutions,
    )
    roots = "".join(f"{root}\n" for root in query.requirements)
    locked = LockedRequirements(roots, subset.requirements, subset.requirements_with_hashes)
    Path(arguments.required("--output")).write_text(locked.dumps(), "utf-8")


def _make_query(arguments: Arguments, entries: list[dict[str, Any]]) -> lock_subset.Query:
    """Return all requirements and constraints, and their origins. Raises BentoError for a conflict with the lock."""
    from rules_bento.bento.declared_packages import DeclaredPackages
    from rules_bento.packages import installed, lock_subset

    origins: dict[str, str] = {}
    limits: dict[str, str] = {}
    for origin, texts in (
        ("requirements", installed.with_extras(arguments.repeated("--requirement"), entries)),
        ("requirement_specifiers", arguments.repeated("--package")),
        ("deps", lock_subset.matching_pins(arguments.repeated("--pin"), entries)),
    ):
        for text in texts:
            origins.setdefault(text, origin)
    files = {entry["name"]: entry["files"] for entry in entries}
    for path in arguments.repeated("--declared-packages"):
        for fields in json.loads(read_text(path))["packages"]:
            declared = DeclaredPackages(**fields)
            for note in declared.check_lock({entry["name"]: entry.get("extras", ()) for entry in entries}):
                sys.stderr.write(f"{arguments.required('--target')}: {note}\n")
            declared.check_hashes(files)
            for text in declared.requirements:
                origins.setdefault(text, declared.place)
            limits |= dict.fromkeys(declared.constraints, declared.place)
    return lock_subset.Query(origins, limits)


@Subcommand(
    {
        "--glibc": 1,
        "--locked": 1,
        "--output": 1,
        "--platform": 1,
        "--python": 1,
        "--python-version": 1,
        "--requirement": 1,
        "--uv": 1,
    }
)
def resolve(arguments: Arguments) -> None:
    """Resolve a requirement against a lock with uv, and write the result. If uv fails, the result has no pins."""
    from rules_bento.packages import lock_subset

    target = lock_subset.Target(
        arguments.required("--platform"), arguments.required("--python-version"), arguments.required("--glibc")
    )
    resolution = lock_subset.resolve_one(
        arguments.required("--requirement"),
        lock_subset.read(arguments.repeated("--locked")),
        target,
        lock_subset.Resolver(arguments.required("--python"), Path(arguments.required("--uv"))),
    )
    Path(arguments.required("--output")).write_text(resolution.dumps(), "utf-8")


@Subcommand(
    {
        "--extra": 1,  # `*` for all
        "--group": 1,  # `*` for all
        "--indexes": 1,  # JSON
        "--lock": 1,
        "--member": 1,  # `*` for all
        "--output": 1,
        "--python-version": 1,
        "--uv": 1,
    }
)
def normalize_lock(arguments: Arguments) -> None:
    """Convert a lock in any supported format to the format of package hubs. Module extensions run this subcommand."""
    from rules_bento.packages import lock as locks
    from rules_bento.packages.conflicts import Choice
    from rules_bento.packages.indexes import Indexes
    from rules_bento.packages.resolution import normalize

    members, extras, groups = (_selected_names(arguments.repeated(flag)) for flag in ("--member", "--extra", "--group"))
    normal = normalize(
        Path(arguments.required("--lock")),
        uv=Path(arguments.required("--uv")),
        requires_python=f"=={arguments.required('--python-version')}.*",
        choice=Choice(members, extras, groups),
        indexes=Indexes.from_json(arguments.optional("--indexes"), arguments.required("--lock")),
    )
    Path(arguments.required("--output")).write_text(locks.dumps(normal), "utf-8")


def _selected_names(names: Collection[str]) -> list[str] | None:
    return None if "*" in names else [normalize_name(name) for name in names]


SOURCE_FLAGS = {
    "--constraint": 2,  # path, name
    "--extra": 1,
    "--group": 1,
    "--indexes": 1,  # JSON
    "--override": 2,  # path, name
    "--platform": 1,
    "--requires-python": 1,
    "--source": 2,  # path, name
}


@Subcommand(
    SOURCE_FLAGS
    | {
        "--lock": 2,  # path, name
        "--update": 1,  # the target that updates the lock
    }
)
def check_requirements(arguments: Arguments) -> None:
    """Raise BentoError if a lock doesn't match its sources, lacks required packages, or contains unneeded packages."""
    from rules_bento.packages import lock as locks
    from rules_bento.packages import resolution

    [(path, name)] = arguments.tuples("--lock")
    requested, indexes = read_sources(arguments)
    lock: Lock = (
        locks.load(Path(path)) if Path(path).stat().st_size else {"requires_python": "", "roots": [], "packages": []}
    )
    record = resolution.lock_inputs(requested, indexes, arguments.repeated("--platform"))
    problems = [
        *_record_differences(lock.get("inputs", {}), record, requested),
        *([] if lock["requires_python"] == arguments.required("--requires-python") else ["  requires_python differs"]),
        *_graph_problems(lock),
    ]
    if problems:
        listing = "\n".join(problems)
        update = f"To update the lock, run `bazel run {arguments.required('--update')}`."
        raise BentoError(f"{name} is stale:\n{listing}\n{update}")


def read_sources(arguments: Arguments) -> tuple[requirement_sources.DeclaredRequirements, Indexes]:
    """Return the requirements in a target's sources, and the package indexes of the target and the sources."""
    from rules_bento.packages import requirement_sources
    from rules_bento.packages.indexes import Indexes

    sources, constraints, overrides = (
        [requirement_sources.RequirementSource(Path(path), name) for path, name in arguments.tuples(flag)]
        for flag in ("--source", "--constraint", "--override")
    )
    requested = requirement_sources.read(
        sources, arguments.repeated("--extra"), arguments.repeated("--group"), constraints, overrides
    )
    target = arguments.required("--target")
    return requested, Indexes.from_json(arguments.optional("--indexes"), target).with_options(requested.options, target)


def _record_differences(
    locked: dict[str, Any], record: dict[str, Any], requested: requirement_sources.DeclaredRequirements
) -> list[str]:
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
    names = {"platforms": "the platforms differ", "indexes": "the indexes or the index options differ"}
    return problems + [f"  {text}" for key, text in names.items() if locked.get(key) != record.get(key)]


def _graph_problems(lock: Lock) -> list[str]:
    """Return messages about missing and unneeded packages in a lock's graph."""
    from rules_bento.packages import lock as locks

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
