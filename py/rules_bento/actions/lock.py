"""Writes the slice of the lock that a service needs, as BentoML lays it out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rules_bento.arguments import read_text
from rules_bento.bento.declared_packages import DeclaredPackages
from rules_bento.bento.env.python import LockedRequirements
from rules_bento.errors import BentoError
from rules_bento.packages import lock_subset
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

REUSABLE = True  # see worker

FLAGS = {
    "--all-files": 0,
    "--answer": 1,  # what uv said of a requirement alone, and what the lock has of its closure
    "--glibc": 1,
    "--locked": 1,  # what the lock has of a package
    "--output": 1,
    "--package": 1,  # a requirement beside those of the hub
    "--pin": 1,  # `name==version`
    "--pip-tools": 1,  # folders that it is imported from; uv resolves where there are none
    "--platform": 1,
    "--python": 1,
    "--python-version": 1,
    "--requirement": 1,
    "--stated": 1,  # facts of the service, which tell what a bentofile and an image ask for beside them
    "--target": 1,
    "--uv": 1,
}


def run(arguments: Arguments) -> None:
    """Write the roots, the pinned requirements, and these with hashes: a JSON object of three texts."""
    platforms = set(arguments.repeated("--platform"))
    versions = set(arguments.repeated("--python-version"))
    if len(platforms) > 1 or len(versions) > 1:
        raise BentoError(
            f"requirements come from hubs for different targets: {', '.join(sorted(platforms | versions))}. "
            f"Take all packages from one hub."
        )
    if not platforms:
        raise BentoError("requirements: no package comes from a hub. Add the hub's bentoml, which serves the Bento.")
    target = lock_subset.Target(platforms.pop(), versions.pop(), arguments.required("--glibc"))
    resolutions = [lock_subset.Resolution.loads(read_text(path)) for path in arguments.repeated("--answer")]
    entries = lock_subset.read(arguments.repeated("--locked"), resolutions)
    query = _read_query(arguments, entries)
    subset = lock_subset.resolve_subset(
        query,
        entries,
        target,
        lock_subset.Resolver(
            arguments.required("--python"), Path(arguments.required("--uv")), arguments.repeated("--pip-tools")
        ),
        all_files=arguments.has("--all-files"),
        resolutions=resolutions,
    )
    roots = "".join(f"{root}\n" for root in query.requirements)
    locked = LockedRequirements(roots, subset.requirements, subset.requirements_with_hashes)
    Path(arguments.required("--output")).write_text(locked.dumps(), "utf-8")


def _read_query(arguments: Arguments, entries: list[dict[str, Any]]) -> lock_subset.Query:
    """Return what attributes, libraries, a bentofile and an image ask for, each told by the first that does."""
    origins: dict[str, str] = {}
    limits: dict[str, str] = {}
    for origin, texts in (
        ("requirements", arguments.repeated("--requirement")),
        ("packages", arguments.repeated("--package")),
        ("deps", lock_subset.matching_pins(arguments.repeated("--pin"), entries)),
    ):
        for text in texts:
            origins.setdefault(text, origin)
    files = {entry["name"]: entry["files"] for entry in entries}
    for path in arguments.repeated("--stated"):
        for stated in map(DeclaredPackages.from_json, json.loads(read_text(path))["stated"]):
            for note in stated.check_lock(lock_subset.extras_by_package(entries)):
                sys.stderr.write(f"{arguments.required('--target')}: {note}\n")
            stated.check_hashes(files)
            for text in stated.requirements:
                origins.setdefault(text, stated.place)
            limits |= dict.fromkeys(stated.constraints, stated.place)
    return lock_subset.Query(origins, limits)
