"""Converts arguments of a Bento to the types of a pydantic model's fields, as pydantic does in its lax mode.

If a version of pydantic 2 accepts a value, the result is the same in each version. All other values are unknown.
"""

from __future__ import annotations

import ast
import re

from rules_bento.typing_lite import Any, Callable

_BOOLS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False}
_BOOLS |= {"t": True, "f": False, "y": True, "n": False}
_MAX_DIGITS = 4300
_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_INT = re.compile(r"([+-]?[0-9]+(?:_[0-9]+)*)(?:\.0+)?")
_FLOAT = re.compile(r"[+-]?(?:inf|infinity|nan|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)", re.IGNORECASE)


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
            known = [each.value for each in items if isinstance(each, ast.Constant)]
            if len(known) == len(items) and [type(value), value] in [[type(each), each] for each in known]:
                return value
        case ast.Name():
            return _scalar(value, name(annotation))
    raise ValueError


def _scalar(value: object, kind: str) -> object:
    if kind in ("bool", "float", "int", "str") and type(value).__name__ == kind:
        return value
    if kind == "str" or not isinstance(value, (bool, float, int, str)):
        raise ValueError
    if isinstance(value, str):
        return _from_text(value, kind)
    if kind == "bool" and value in (0, 1):
        return bool(value)
    if kind == "int" and (isinstance(value, bool) or (float(value).is_integer() and abs(value) < 1 << 53)):
        return int(value)
    if kind == "float" and abs(value) < 1 << 1000:
        return float(value)
    raise ValueError


def _from_text(value: str, kind: str) -> object:
    if kind == "bool" and value.isascii() and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    text = value.strip(_SPACE)  # as Rust's `trim` does
    number = _INT.fullmatch(text)
    if kind == "int" and number and len(number[1]) <= _MAX_DIGITS:
        return int(number[1])
    if "_" in value and "__" not in value and value.strip("_") == value:
        text = value.replace("_", "")  # pydantic doesn't also trim the text
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    raise ValueError
