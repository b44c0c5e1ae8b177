"""Converts arguments of a Bento to the types of a pydantic model's fields, as pydantic does.

Supports only values for which all versions of pydantic 2 return the same result. All other values are unknown.
"""

from __future__ import annotations

import ast
import re

from rules_bento.typing_lite import Any, Callable

_BOOLS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False}
_BOOLS |= {"t": True, "f": False, "y": True, "n": False}
_INT = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")


def convert(value: object, annotation: ast.AST | None, name: Callable[[ast.AST], str]) -> Any:
    """Return an argument's value for a field with an annotation. Raises ValueError if the value might be different.

    `name` returns the dotted name of a type: the name of a built-in type, or `typing.Optional`.
    """
    match annotation:
        case ast.BinOp(op=ast.BitOr(), left=kind, right=ast.Constant(value=None)):
            return None if value is None else convert(value, kind, name)
        case ast.BinOp(op=ast.BitOr(), left=ast.Constant(value=None), right=kind):
            return None if value is None else convert(value, kind, name)
        case ast.Subscript(value=of, slice=kind) if name(of) == "typing.Optional":
            return None if value is None else convert(value, kind, name)
        case ast.Subscript(value=of, slice=ast.Tuple(elts=[kind, ast.Constant(value=None)])) if (
            name(of) == "typing.Union"
        ):
            return None if value is None else convert(value, kind, name)
        case ast.Subscript(value=of, slice=choices) if name(of) in ("typing.Literal", "typing_extensions.Literal"):
            items = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            if isinstance(value, str) and value in [getattr(each, "value", None) for each in items]:
                return value
        case ast.Name():
            return _scalar(value, name(annotation))
    raise ValueError


def _scalar(value: object, kind: str) -> object:
    if kind in ("bool", "float", "int", "str") and type(value).__name__ == kind:
        return value
    if kind == "bool" and isinstance(value, str) and value.isascii():
        return _BOOLS[value.lower()] if value.lower() in _BOOLS else _reject()
    if kind == "int" and isinstance(value, str) and _INT.fullmatch(value):
        return int(value)
    if kind == "float" and isinstance(value, str) and _FLOAT.fullmatch(value):
        return float(value)
    if kind == "float" and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    return _reject()


def _reject() -> object:
    raise ValueError
