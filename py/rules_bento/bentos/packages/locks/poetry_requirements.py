"""Reads requirements of Poetry (https://python-poetry.org/docs/dependency-specification/), as `^1.2` and tables."""

from __future__ import annotations

import re

from rules_bento.base.formats.schema import validate
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, Edge, NeutralLock, User
from rules_bento.bentos.packages.requirement_syntax import normalize_name

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

_REQUIREMENT = {"version?": str, "markers?": str, "extras?": [str], "python?": str, "platform?": str}
_GROUP = {"dependencies?": dict}
_POETRY = {**_GROUP, "dev-dependencies?": dict, "extras?": {...: [str]}, "group?": {...: _GROUP}}


def declared(lock: NeutralLock, project: Mapping[str, Any]) -> Iterator[tuple[User, Edge]]:
    """Yield what a pyproject.toml of Poetry 1 requires, and who requires it."""
    poetry = project.get("tool", {}).get("poetry", {})
    validate(poetry, _POETRY, "pyproject.toml: tool.poetry", "Correct the file.")
    main = {normalize_name(name): value for name, value in poetry.get("dependencies", {}).items() if name != "python"}
    users = [(PROJECT, {name: value for name, value in main.items() if not _is_optional(value)})]
    for extra, names in poetry.get("extras", {}).items():
        chosen = [name for name in map(normalize_name, names) if name in main]
        users.append((("extra", normalize_name(extra)), {name: main[name] for name in chosen}))
    groups = {"dev": {"dependencies": poetry.get("dev-dependencies", {})}, **poetry.get("group", {})}
    users += [(("group", normalize_name(name)), group.get("dependencies", {})) for name, group in groups.items()]
    for user, table in users:
        lock.declare(*user[:1], user[1:])
        yield from ((user, edge) for name, value in table.items() for edge in _edges(lock, name, value))


def edges_of(lock: NeutralLock, package: Mapping[str, Any]) -> dict[str, Any]:
    """Return the edges of a package in a lock, and of its extras, whose requirements are optional."""
    extras: dict[str, list[Edge]] = {normalize_name(extra): [] for extra in package.get("extras", {})}
    found: dict[str, Any] = {"dependencies": [], "optional-dependencies": extras}
    for name, value in package.get("dependencies", {}).items():
        edges = [*_edges(lock, name, value)]
        if not _is_optional(value):
            found["dependencies"] += edges
            continue
        for extra, texts in package.get("extras", {}).items():
            if normalize_name(name) in (normalize_name(re.split(r"[^\w.-]", text)[0]) for text in texts):
                extras[normalize_name(extra)] += edges
    return found


def _is_optional(value: Any) -> bool:
    return any(
        isinstance(each, dict) and each.get("optional") for each in (value if isinstance(value, list) else [value])
    )


def _edges(lock: NeutralLock, name: str, value: Any) -> Iterator[Edge]:
    """Yield the edges for a requirement: a range, a table, or a list of them."""
    for each in value if isinstance(value, list) else [value]:
        table = {"version": each} if isinstance(each, str) else each
        validate(table, _REQUIREMENT, f"{lock.origin}: {name}", f"Run `{lock.command}`.")
        clauses = [f"sys_platform == '{table['platform']}'"] if "platform" in table else []
        clauses += [f"({table['markers']})"] if "markers" in table else []
        python = _ranges(table.get("python", "*"), lock)[-1]
        clauses += [f"python_full_version {clause.operator} '{clause.version}'" for clause in python]
        more = {"marker": " and ".join(clauses), "extra": [*map(normalize_name, table.get("extras", ()))]}
        for edge in lock.satisfying(name, _ranges(table.get("version", "*"), lock)):
            yield edge | {key: found for key, found in more.items() if found}


def requires_python(text: str, lock: NeutralLock) -> str:
    """Return the newest alternative of a range, because PEP 440 has no alternatives."""
    return str(_ranges(text, lock)[-1])


def _ranges(text: str, lock: NeutralLock) -> list[SpecifierSet]:
    """Return the alternatives of a range. Raises BentoError for an invalid one."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        parts = [re.findall(r"(?:[<>=!~^]+\s*)?[^\s,<>=!~^]+", part) for part in text[:1000].split("||")]
        return [SpecifierSet(",".join(map(_clause, clauses))) for clauses in parts]
    except InvalidSpecifier:
        lock.fail(f"invalid range of versions {text[:100]!r}")


def _clause(text: str) -> str:
    """Return a clause as PEP 440 writes it."""
    match = re.fullmatch(r"(\^|~|)\s*((\d+(?:\.\d+)*)\S*)", text)
    if not match:
        return "" if text == "*" else text
    operator, version, numbers = match[1], match[2], [int(each) for each in match[3].split(".")]
    if not operator:
        return f"=={version}"
    # The caret keeps the first number that isn't zero, the tilde the second one.
    first = next((at for at, each in enumerate(numbers) if each), len(numbers) - 1)
    at = first if operator == "^" else min(1, len(numbers) - 1)
    return f">={version},<{'.'.join(map(str, [*numbers[:at], numbers[at] + 1]))}"
