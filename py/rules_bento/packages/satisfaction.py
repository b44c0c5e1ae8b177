"""Tells whether locked packages satisfy a requirement already, so that no resolver need be asked.

A resolver that is given a closure which it has found before, and one more requirement, adds nothing to it where three
things hold: the closure has the package, the version is one that the requirement allows, and all that its extras ask
for is there likewise. Only what `packaging` and uv cannot read differently is told: versions that are numbers, the
usual operators, no marker, no address. Of the rest `satisfies` says no, which means: ask.
"""

from __future__ import annotations

import re

from rules_bento.packages.requirements import normalized, parsed
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
        wanted = parsed(requirement)
    except ValueError:
        return False  # the resolver says what is wrong
    if wanted.marker is not None or wanted.url is not None:
        return False
    return _holds(locked, wanted.name, wanted.specifier, wanted.extras, set())


def limits(locked: Mapping[str, dict[str, Any]], constraint: str) -> bool:
    """Return whether a constraint (PEP 508) rules out a package of a lock, or may, for all that can be told here."""
    try:
        limit = parsed(constraint)
    except ValueError:
        return True
    if limit.marker is not None or limit.url is not None or limit.extras:
        return True
    package = locked.get(normalized(limit.name))
    return package is not None and not _allows(limit.specifier, package["version"])


def _holds(
    locked: Mapping[str, dict[str, Any]],
    name: str,
    specifier: SpecifierSet,
    extras: Iterable[str],
    looked_at: set[tuple[str, str]],
) -> bool:
    package = locked.get(normalized(name))
    if package is None or not _allows(specifier, package["version"]):
        return False
    known = {normalized(extra): edges for extra, edges in package.get("extras", {}).items()}
    for extra in map(normalized, extras):
        if extra not in known:
            return False
        if (package["name"], extra) in looked_at:
            continue
        looked_at.add((package["name"], extra))
        # Those whose marker is false ask for nothing; that they are there costs no question either.
        if not all(_leads_to_locked(locked, edge, looked_at) for edge in known[extra]):
            return False
    return True


def _leads_to_locked(
    locked: Mapping[str, dict[str, Any]], edge: dict[str, Any], looked_at: set[tuple[str, str]]
) -> bool:
    version = f"=={edge['version']}" if "version" in edge else ""
    wanted = parsed(f"{edge['name']}{version}{edge.get('specifier', '')}")
    return _holds(locked, wanted.name, wanted.specifier, edge.get("extras", []), looked_at)


def _allows(specifier: SpecifierSet, version: str) -> bool:
    """Return whether a version is a plain one, and a specifier of plain clauses allows it."""
    if not _RELEASE.fullmatch(version):
        return not specifier
    return all(_is_plain(clause.operator, clause.version) for clause in specifier) and specifier.contains(version)


def _is_plain(operator: str, version: str) -> bool:
    series = operator in ("==", "!=") and _SERIES.fullmatch(version)
    return bool(series) or (operator in _COMPARES and _RELEASE.fullmatch(version) is not None)
