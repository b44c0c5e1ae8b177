"""Says, without a network, whether a lock still is what its sources ask for; `bazel test` starts it."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.packages import lock as locks
from rules_bento.packages import requirement_sources, resolution
from rules_bento.packages.indexes import Indexes
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments
    from rules_bento.packages.lock import Lock

SOURCE_FLAGS = {
    "--constraint": 2,  # path, name
    "--extra": 1,
    "--group": 1,
    "--indexes": 1,  # JSON
    "--override": 2,  # path, name
    "--platform": 1,
    "--requires-python": 1,
    "--source": 2,  # path, name
    "--target": 1,
}
FLAGS = SOURCE_FLAGS | {
    "--lock": 2,  # path, name
    "--update": 1,  # the target that writes it
}


def run(arguments: Arguments) -> None:
    """Compare what the lock records with the sources, and hold that its graph is complete and has nothing needless."""
    [(path, name)] = arguments.tuples("--lock")
    requested, indexes = read_sources(arguments)
    lock: Lock = (
        locks.load(Path(path)) if Path(path).stat().st_size else {"requires_python": "", "roots": [], "packages": []}
    )
    record = resolution.lock_inputs(requested, indexes, arguments.repeated("--platform"))
    problems = [
        *_differences(lock.get("stated", {}), record, requested),
        *(
            []
            if lock["requires_python"] == arguments.required("--requires-python")
            else ["  requires_python is another"]
        ),
        *_broken(lock),
    ]
    if problems:
        listing = "\n".join(problems)
        raise BentoError(f"{name} is stale:\n{listing}\nWrite it again: bazel run {arguments.required('--update')}")


def read_sources(arguments: Arguments) -> tuple[requirement_sources.DeclaredRequirements, Indexes]:
    """Return what the sources of a target ask for, and where it is to come from."""
    sources, constraints, overrides = (
        [requirement_sources.RequirementSource(Path(path), name) for path, name in arguments.tuples(flag)]
        for flag in ("--source", "--constraint", "--override")
    )
    requested = requirement_sources.read(
        sources, arguments.repeated("--extra"), arguments.repeated("--group"), constraints, overrides
    )
    target = arguments.required("--target")
    return requested, Indexes.from_json(arguments.optional("--indexes"), target).with_options(requested.options, target)


def _differences(
    locked: dict[str, Any], record: dict[str, Any], requested: requirement_sources.DeclaredRequirements
) -> list[str]:
    problems = []
    kinds = (
        ("requirements", "", "asks for", requested.requirements),
        ("constraints", " as a limit", "states", requested.constraints),
        ("overrides", " as an override", "states", requested.overrides),
    )
    for key, limit, verb, origins in kinds:
        before, now = set(locked.get(key, [])), set(record.get(key, []))
        problems += [f"  {origins[text]}: {text} is not locked{limit}" for text in sorted(now - before)]
        problems += [f"  {text} is locked{limit}, but nobody {verb} it any more" for text in sorted(before - now)]
    names = {"platforms": "the platforms are others", "indexes": "indexes and their options are others"}
    return problems + [f"  {text}" for key, text in names.items() if locked.get(key) != record.get(key)]


def _broken(lock: Lock) -> list[str]:
    """Return what a merge of two locks may leave behind."""
    versions = {(package["name"], package["version"]) for package in lock["packages"]}
    names = {name for name, _ in versions}
    edges = [(edge, "") for edge in lock["roots"]]
    for package in lock["packages"]:
        dependencies = [
            *package.get("dependencies", []),
            *(edge for extra in package.get("extras", {}).values() for edge in extra),
        ]
        edges += [(edge, package["name"]) for edge in dependencies]
    problems = []
    for edge, parent in edges:
        there = (edge["name"], edge["version"]) in versions if "version" in edge else edge["name"] in names
        if not there:
            wanted = f"{edge['name']} {edge.get('version', '')}".strip()
            problems.append(f"  {parent or 'a root'} needs {wanted}, which is not in the lock")
    kept = {(package["name"], package["version"]) for package in locks.reachable(lock["roots"], lock["packages"])}
    return problems + [
        f"  {name} {version} is in the lock, but nothing needs it" for name, version in sorted(versions - kept)
    ]
