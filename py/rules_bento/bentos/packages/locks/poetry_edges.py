"""Reads requirements of Poetry 1 (https://python-poetry.org/docs/dependency-specification/), without their versions."""

from __future__ import annotations

import re

from rules_bento.base.formats.schema import validate
from rules_bento.base.typing_lite import Any, Iterator, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, Edge, NeutralLock
from rules_bento.bentos.packages.requirement_syntax import normalize_name

_REQUIREMENT = {"markers?": str, "extras?": [str], "python?": str, "platform?": str, "optional?": bool}
_GROUP = {"dependencies?": dict}
_POETRY = {**_GROUP, "dev-dependencies?": dict, "extras?": {...: [str]}, "group?": {...: _GROUP}}


def add_edges(lock: NeutralLock, packages: list[dict[str, Any]], project: Mapping[str, Any]) -> None:
    """Add what the packages of a lock and a pyproject.toml require. Optional requirements are of extras."""
    poetry = project.get("tool", {}).get("poetry", {})
    validate(poetry, _POETRY, "pyproject.toml: tool.poetry", "Correct the file.")
    found = _edges_of(lock, poetry.get("dependencies", {}), poetry.get("extras", {}))
    groups = {"dev": {"dependencies": poetry.get("dev-dependencies", {})}, **poetry.get("group", {})}
    lock.roots[PROJECT] = found["dependencies"]
    lock.roots |= {("extra", name): edges for name, edges in found["optional-dependencies"].items()}
    for name, group in groups.items():
        edges = [edge for each, value in group.get("dependencies", {}).items() for edge, _ in _edges(lock, each, value)]
        lock.roots.setdefault(("group", normalize_name(name)), []).extend(edges)
    for package in packages:
        table = lock.packages.get((normalize_name(package["name"]), package["version"]), {})
        table |= _edges_of(lock, package.get("dependencies", {}), package.get("extras", {}))


def _edges_of(lock: NeutralLock, listed: Mapping[str, Any], extras: Mapping[str, list[str]]) -> dict[str, Any]:
    edges = [pair for name, value in listed.items() if name != "python" for pair in _edges(lock, name, value)]
    optional = {}
    for extra, texts in extras.items():
        names = {normalize_name(re.split(r"[^\w.-]", text)[0]) for text in texts}
        optional[normalize_name(extra)] = [edge for edge, _ in edges if edge["name"] in names]
    dependencies = [edge for edge, is_optional in edges if not is_optional]
    return {"dependencies": dependencies, "optional-dependencies": optional}


def _edges(lock: NeutralLock, name: str, value: Any) -> Iterator[tuple[Edge, bool]]:
    """Yield the edges for a range, a table, or a list of them, and whether they are optional."""
    for each in value if isinstance(value, list) else [value]:
        table = each if isinstance(each, dict) else {}
        validate(table, _REQUIREMENT, f"{lock.origin}: {name}", f"Run `{lock.command}`.")
        python = re.findall(r"([<>=!~]+)([^,]+)", pep_440(table.get("python", "*")))
        clauses = [f"python_full_version {operator} '{version}'" for operator, version in python]
        clauses += [f"sys_platform == '{table['platform']}'"] if "platform" in table else []
        clauses += [f"({table['markers']})"] if "markers" in table else []
        yield lock.edge(name, table.get("extras", ()), " and ".join(clauses)), table.get("optional", False)


def pep_440(text: str) -> str:
    """Return the newest alternative of a range as PEP 440 writes it, which has no alternatives."""
    clauses = re.findall(r"(?:[<>=!~^]+\s*)?[^\s,<>=!~^]+", text[:1000].split("||")[-1])
    return ",".join(filter(None, map(_clause, clauses)))


def _clause(text: str) -> str:
    match = re.fullmatch(r"(\^|~|)\s*((\d+)(?:\.(\d+))?\S*)", text)
    if not match or not match[1]:
        return "" if text == "*" else f"=={text}" if match else text
    kept = f"{match[3]}.{int(match[4]) + 1}" if match[1] == "~" and match[4] else int(match[3]) + 1
    return f">={match[2]},<{kept}"
