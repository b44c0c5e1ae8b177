"""Determines, without a resolver, whether locked packages satisfy a requirement.

The packages must include an allowed version of the required package, and the dependencies of all requested extras.
This module decides only cases that `packaging` and uv interpret in the same way: numeric versions, common operators,
no marker, and no URL. In all other cases, `satisfies` returns False, and the resolver must run.
"""

from __future__ import annotations

import re

from rules_bento.packages.requirements import Locked, normalize_name, parse_requirement
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

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
    return _is_satisfied(locked, requested.name, requested.specifier, requested.extras, set())


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


def _is_satisfied(
    locked: Locked, name: str, specifier: SpecifierSet, extras: Iterable[str], seen: set[tuple[str, str]]
) -> bool:
    package = locked.get(normalize_name(name))
    if package is None or not _allows(specifier, package["version"]):
        return False
    known = {normalize_name(extra): edges for extra, edges in package.get("extras", {}).items()}
    for extra in map(normalize_name, extras):
        if extra not in known:
            return False
        if (package["name"], extra) in seen:
            continue
        seen.add((package["name"], extra))
        # Edges with a false marker need not be satisfied, but checking them is safe.
        if not all(_leads_to_locked(locked, edge, seen) for edge in known[extra]):
            return False
    return True


def _leads_to_locked(locked: Locked, edge: dict[str, Any], seen: set[tuple[str, str]]) -> bool:
    version = f"=={edge['version']}" if "version" in edge else ""
    requested = parse_requirement(f"{edge['name']}{version}{edge.get('specifier', '')}")
    return _is_satisfied(locked, requested.name, requested.specifier, edge.get("extras", []), seen)


def _allows(specifier: SpecifierSet, version: str) -> bool:
    """Return whether a version certainly matches a specifier. Every version matches an empty specifier."""
    if not _RELEASE.fullmatch(version):
        return not specifier
    return all(_is_plain(clause.operator, clause.version) for clause in specifier) and specifier.contains(version)


def _is_plain(operator: str, version: str) -> bool:
    series = operator in ("==", "!=") and _SERIES.fullmatch(version)
    return bool(series) or (operator in _COMPARES and _RELEASE.fullmatch(version) is not None)
