"""Validates the types of values in documents that other tools write.

A shape is a type (`str`), a list of one shape (`[str]`), or a mapping. `{"name": str, "marker?": str}` has a required
and an optional key. `{...: str}` specifies the shape of all values. Keys without a shape can have any value. A string
such as `"version"` is a kind of strings, and `("name", shape)` a mapping from names: `shapes` checks the syntax.
"""

from __future__ import annotations

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Iterator

_NAMES = {bool: "a boolean", dict: "a mapping", int: "a number", list: "a list", str: "a string"}


def validate(value: Any, shape: Any, origin: str, remedy: str) -> None:
    """Raise BentoError for the first wrong type or missing key. Messages begin with `origin` and end with `remedy`."""
    for problem in _problems(value, shape, ""):
        raise BentoError(problem, place=origin, remedy=remedy)


def without_nulls(value: Any) -> Any:
    """Return a copy of a document without the keys whose value is null."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _problems(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Yield a message for each value with the wrong type and for each missing key."""
    if isinstance(shape, tuple):
        shape = {...: shape[1]}
    kind: Any = type(shape) if isinstance(shape, (dict, list, str)) else shape
    dot = f"{where}." if where else ""
    # In Python, a bool is an int.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        yield f"{where}{': ' if where else ''}expected {_NAMES[kind]}, got {_type_name(value)}."
    elif isinstance(shape, list):
        for number, item in enumerate(value):
            yield from _problems(item, shape[0], f"{where}[{number}]")
    elif isinstance(shape, dict):
        for key, inner in shape.items():
            if key is ...:
                for name, item in value.items():
                    yield from _problems(item, inner, f"{dot}{name}")
            elif (name := key.removesuffix("?")) in value:
                if type(value[name]) is not (str if isinstance(inner, str) else inner):  # most values are strings
                    yield from _problems(value[name], inner, f"{dot}{name}")
            elif name == key:
                yield f"{dot}{name} is missing."


def _type_name(value: Any) -> str:
    return _NAMES.get(type(value), "null" if value is None else f"a {type(value).__name__}")
