"""Shapes of what other tools wrote, held before anything is taken out of it.

A shape is a type (`str`), a list of one shape (`[str]`), or a mapping: `{"name": str, "marker?": str}` has a key that
must be there and one that may; `{...: str}` says what all other keys lead to. Keys without a shape are anything.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = {bool: "true or false", dict: "a table", int: "a number", list: "a list", str: "a text"}


def check(value: Any, shape: Any, origin: str, remedy: str) -> None:
    """Raise BentoError, which begins with `origin` and ends with `remedy`, for the first value out of shape."""
    problem = _problem(value, shape, "")
    if problem:
        raise BentoError(f"{origin}: {problem} {remedy}")


def without_nulls(value: Any) -> Any:
    """Return a document without the keys that lead to null, as some write what they leave out."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _problem(value: Any, shape: Any, where: str) -> str | None:
    kind: Any = type(shape) if isinstance(shape, (dict, list)) else shape
    # A bool is an int to Python, and to nobody who writes a document.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return f"{where or 'the document'} is {_shown(value)}, where {_NAMES[kind]} belongs."
    problems: Iterator[str | None] = iter(())
    if isinstance(shape, list):
        problems = (_problem(item, shape[0], f"{where}[{number}]") for number, item in enumerate(value))
    elif isinstance(shape, dict):
        problems = (_of_key(value, key, inner, where) for key, inner in shape.items())
    return next((problem for problem in problems if problem), None)


def _of_key(table: dict[str, Any], key: Any, shape: Any, where: str) -> str | None:
    dot = f"{where}." if where else ""
    if key is ...:
        problems = (_problem(value, shape, f"{dot}{name}") for name, value in table.items())
        return next((problem for problem in problems if problem), None)
    name = key.removesuffix("?")
    if name in table:
        return _problem(table[name], shape, f"{dot}{name}")
    return None if key.endswith("?") else f"{dot}{name} is missing."


def _shown(value: Any) -> str:
    return _NAMES.get(type(value), "null" if value is None else f"a {type(value).__name__}")
