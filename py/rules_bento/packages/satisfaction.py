"""Tells whether locked packages satisfy a requirement already, so that no resolver need be asked.

A resolver that is given a closure which it has found before, and one more requirement, adds nothing to it where three
things hold: the closure has the package, the version is one that the requirement allows, and all that its extras ask
for is there likewise. Only what `packaging` and uv cannot read differently is told: versions that are numbers, the
usual operators, no marker, no address. Of the rest `satisfies` says no, which means: ask.
"""

from __future__ import annotations

import re

from rules_bento.packages.requirements import normalize_name, parse_requirement
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from packaging.specifiers import SpecifierSet

_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})*")
_SERIES = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})*\.\*")  # of `==` and `!=`
_COMPARES = frozenset({">=", "<=", ">", "<", "==", "!=", "~="})


def satisfies(locked: Mapping[str, dict[str, Any]], requirement: str) -> bool:
    """Return whether packages of a lock, by name, satisfy a requirement (PEP 508) without one more of them."""
    try:
        requested = parse_requirement(requirement)
    except ValueError:
        return False  # the resolver says what is wrong
    if requested.marker is not None or requested.url is not None:
        return False
    return _is_satisfied(locked, requested.name, requested.specifier, requested.extras, set())


def may_exclude(locked: Mapping[str, dict[str, Any]], constraint: str) -> bool:
    """Return whether a constraint (PEP 508) rules out a package of a lock, or may, for all that can be told here."""
    try:
        limit = parse_requirement(constraint)
    except ValueError:
        return True
    if limit.marker is not None or limit.url is not None or limit.extras:
        return True
    package = locked.get(normalize_name(limit.name))
    return package is not None and not _allows(limit.specifier, package["version"])


def _is_satisfied(
    locked: Mapping[str, dict[str, Any]],
    name: str,
    specifier: SpecifierSet,
    extras: Iterable[str],
    seen: set[tuple[str, str]],
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
        # Those whose marker is false ask for nothing; that they are there costs no question either.
        if not all(_leads_to_locked(locked, edge, seen) for edge in known[extra]):
            return False
    return True


def _leads_to_locked(locked: Mapping[str, dict[str, Any]], edge: dict[str, Any], seen: set[tuple[str, str]]) -> bool:
    version = f"=={edge['version']}" if "version" in edge else ""
    requested = parse_requirement(f"{edge['name']}{version}{edge.get('specifier', '')}")
    return _is_satisfied(locked, requested.name, requested.specifier, edge.get("extras", []), seen)


def _allows(specifier: SpecifierSet, version: str) -> bool:
    """Return whether a version is a plain one, and a specifier of plain clauses allows it."""
    if not _RELEASE.fullmatch(version):
        return not specifier
    return all(_is_plain(clause.operator, clause.version) for clause in specifier) and specifier.contains(version)


def _is_plain(operator: str, version: str) -> bool:
    series = operator in ("==", "!=") and _SERIES.fullmatch(version)
    return bool(series) or (operator in _COMPARES and _RELEASE.fullmatch(version) is not None)
