"""Validates documents of other tools before their values are used.

A shape is a type (`str`), a list of one shape (`[str]`), or a mapping: `{"name": str, "marker?": str}` has a required
and an optional key; `{...: str}` is the shape of all other values. Keys without a shape can have any value.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import Any, Iterator

_NAMES = {bool: "a boolean", dict: "a mapping", int: "a number", list: "a list", str: "a string"}


def validate(value: Any, shape: Any, origin: str, remedy: str) -> None:
    """Raise BentoError, beginning with `origin` and ending with `remedy`, for the first value of a wrong type."""
    problem = _find_problem(value, shape, "")
    if problem:
        raise BentoError(f"{origin}: {problem} {remedy}")


def without_nulls(value: Any) -> Any:
    """Return a document without keys whose value is null."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _find_problem(value: Any, shape: Any, where: str) -> str | None:
    kind: Any = type(shape) if isinstance(shape, (dict, list)) else shape
    # In Python, a bool is an int.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return f"{where}{': ' if where else ''}expected {_NAMES[kind]}, got {_type_name(value)}."
    problems: Iterator[str | None] = iter(())
    if isinstance(shape, list):
        problems = (_find_problem(item, shape[0], f"{where}[{number}]") for number, item in enumerate(value))
    elif isinstance(shape, dict):
        problems = (_find_key_problem(value, key, inner, where) for key, inner in shape.items())
    return next((problem for problem in problems if problem), None)


def _find_key_problem(table: dict[str, Any], key: Any, shape: Any, where: str) -> str | None:
    dot = f"{where}." if where else ""
    if key is ...:
        problems = (_find_problem(value, shape, f"{dot}{name}") for name, value in table.items())
        return next((problem for problem in problems if problem), None)
    name = key.removesuffix("?")
    if name in table:
        return _find_problem(table[name], shape, f"{dot}{name}")
    return None if key.endswith("?") else f"{dot}{name} is missing."


def _type_name(value: Any) -> str:
    return _NAMES.get(type(value), "null" if value is None else f"a {type(value).__name__}")
