"""Evaluates operators, indexing, formatting and string methods on plain values, within bounds.

The bounds are there because the sources may be hostile: `"x" * 10**12` is one short line.
"""

from __future__ import annotations

import ast

from rules_bento.service.python.budget import MAX_TEXT
from rules_bento.service.python.reach import items_held, opens
from rules_bento.service.python.values import Const, Dict, Opaque, Place, Sequence, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NUMBER = 1 << 64

_STRING_METHODS = frozenset(
    [
        "capitalize",
        "casefold",
        "endswith",
        "format",
        "join",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "replace",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "startswith",
        "strip",
        "swapcase",
        "title",
        "upper",
    ]
)


def binary(operator: ast.operator, left: Value, right: Value, place: Place) -> Value:
    """Return `left op right` for numbers, strings, lists, tuples and dicts."""
    match left, right:
        case Const(value=a), Const(value=b):
            result = _constants(operator, a, b)
            if result is not None:
                return Const(result)
        case Sequence(), Sequence() if isinstance(operator, ast.Add) and left.kind == right.kind:
            return Sequence(left.items + right.items, left.kind)
        case Dict(), Dict() if isinstance(operator, ast.BitOr):
            return Dict({**left.items, **right.items})
        case Const(value=str() as template), _ if isinstance(operator, ast.Mod):
            text = _percent(template, right)
            if text is not None:
                return Const(text)
    open_ = opens(left) or opens(right)
    parts = (*items_held(left), *items_held(right))
    for side in (left, right):
        if isinstance(side, Opaque):
            return Opaque(side.why, side.place, inert=True, opens=open_, parts=parts)
    return Opaque("an operator gives it only when the code runs", place, inert=True, opens=open_, parts=parts)


def _constants(operator: ast.operator, left: object, right: object) -> object:
    match operator, left, right:
        case ast.Add(), str(), str():
            return left + right if len(left) + len(right) <= MAX_TEXT else None
        case ast.Mod(), str(), _:
            return _percent(left, Const(right))
        case ast.Mult(), str(), int():
            return left * right if len(left) * abs(right) <= MAX_TEXT else None
        case _, int() | float(), int() | float():
            return _numbers(operator, left, right)
        case _:
            return None


def _numbers(operator: ast.operator, left: int | float, right: int | float) -> int | float | None:
    if abs(left) > MAX_NUMBER or abs(right) > MAX_NUMBER:
        return None
    try:
        match operator:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
            case ast.FloorDiv():
                return left // right
            case ast.Mod():
                return left % right
            case ast.Pow() if 0 <= right <= 64 and abs(left) <= 1024:
                return float(left**right) if isinstance(left, float) or isinstance(right, float) else left**right
            case ast.LShift() if isinstance(left, int) and isinstance(right, int) and 0 <= right <= 64:
                return left << right
            case _:
                return None
    except (ZeroDivisionError, OverflowError):
        return None


def _percent(template: str, value: Value) -> str | None:
    """Evaluate `"%s-%d" % values`; None if it has widths, which can produce text of any length."""
    values = value.items if isinstance(value, Sequence) and value.kind == "tuple" else [value]
    plain = [item.value for item in values if isinstance(item, Const)]
    if len(plain) < len(values) or any(char.isdigit() or char == "*" for char in _after_percent(template)):
        return None
    if len(template) + sum(map(_size, plain)) > MAX_TEXT:
        return None
    try:
        text = template % tuple(plain)
    except (TypeError, ValueError, OverflowError):
        return None
    return text if len(text) <= MAX_TEXT else None


def _size(value: object) -> int:
    """Estimate the length of a plain value's text, without making it."""
    if isinstance(value, list):
        return sum(_size(item) + 4 for item in value)
    return len(value) if isinstance(value, (str, bytes)) else 32


def _after_percent(template: str) -> str:
    """Return the characters between each `%` and the letter that ends its directive."""
    widths = []
    for piece in template.split("%")[1:]:
        for char in piece:
            if char.isalpha():
                break
            widths.append(char)
    return "".join(widths)


def unary(operator: ast.unaryop, operand: Value, place: Place) -> Value:
    """Return `-x`, `+x` and `~x` of a number."""
    if isinstance(operand, Const) and isinstance(operand.value, (int, float)):
        match operator:
            case ast.USub():
                return Const(-operand.value)
            case ast.UAdd():
                return Const(+operand.value)
    why = operand.why if isinstance(operand, Opaque) else "an operator gives it only when the code runs"
    return Opaque(why, place, inert=True)


def compare(operators: list[ast.cmpop], values: list[Value], place: Place) -> Value:
    """Return a comparison of plain values."""
    result = True
    for operator, left, right in zip(operators, values, values[1:], strict=False):
        outcome = _compared(operator, left, right)
        if outcome is None:
            return Opaque("it is a comparison", place, inert=True)
        result = result and outcome
    return Const(result)


def _compared(operator: ast.cmpop, left: Value, right: Value) -> bool | None:
    if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(right, (Sequence, Dict)):
        keys = list(right.items) if isinstance(right, Dict) else _constants_of(right)
        if keys is None or not isinstance(left, Const):
            return None
        return (left.value in keys) is isinstance(operator, ast.In)
    if not isinstance(left, Const) or not isinstance(right, Const):
        return None
    return _constants_compared(operator, left.value, right.value)


def _constants_compared(operator: ast.cmpop, left: object, right: object) -> bool | None:
    match operator, left, right:
        case ast.Eq(), _, _:
            return left == right
        case ast.NotEq(), _, _:
            return left != right
        case ast.Is() | ast.IsNot(), _, _ if left is None or right is None:
            return (left is right) is isinstance(operator, ast.Is)
        case ast.In() | ast.NotIn(), str(), str():
            return (left in right) is isinstance(operator, ast.In)
        case _, (int() | float()), (int() | float()):
            match operator:
                case ast.Lt():
                    return left < right
                case ast.LtE():
                    return left <= right
                case ast.Gt():
                    return left > right
                case ast.GtE():
                    return left >= right
    return None


def _constants_of(value: Sequence) -> list[object] | None:
    plain = [item.value for item in value.items if isinstance(item, Const)]
    return plain if len(plain) == len(value.items) else None


def item(owner: Value, index: Value | slice, place: Place) -> Value:
    """Return the value of `owner[index]`."""
    try:
        match owner, index:
            case Dict(), Const(value=key) if key in owner.items:
                return owner.items[key]
            case Sequence(), Const(value=int() as position) if owner.kind != "set":
                return owner.items[position]
            case Const(value=str() | bytes() as text), Const(value=int() as position):
                return Const(text[position])
            case Const(value=str() | bytes() as text), slice():
                return Const(text[index])
            case Sequence(), slice() if owner.kind != "set":
                return Sequence(owner.items[index], owner.kind)
    except (IndexError, TypeError, ValueError):
        pass
    if isinstance(owner, Opaque):
        origin = f"{owner.origin}[]" if owner.origin else ""
        return Opaque(owner.why, owner.place, not opens(owner), origin, parts=owner.parts)
    if isinstance(index, Opaque) and isinstance(owner, (Sequence, Dict)):
        parts = owner.items.values() if isinstance(owner, Dict) else owner.items
        return Opaque(index.why, index.place, not opens(owner), opens=opens(owner), parts=tuple(parts))
    return Opaque("an index gives it only when the code runs", place, parts=items_held(owner))


def formatted(value: Value, conversion: int, spec: str) -> str | None:
    """Return one `{value!r:spec}` of an f-string; None where it is not plain."""
    if not isinstance(value, Const) or not isinstance(value.value, (str, int, float, bool, type(None))):
        return None
    # A width or precision of more than two digits is no name of anything.
    if any(len(digits) > 2 for digits in _digit_runs(spec)):
        return None
    try:
        match conversion:
            case 114:  # !r
                return format(repr(value.value), spec)
            case 115:  # !s
                return format(str(value.value), spec)
            case 97:  # !a
                return format(ascii(value.value), spec)
            case _:
                return format(value.value, spec)
    except (TypeError, ValueError, OverflowError):
        return None


def _digit_runs(text: str) -> list[str]:
    return "".join(char if char.isdigit() else " " for char in text).split()


def string_method(text: str, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value | None:
    """Call a method of a plain string; None where its result is not plain."""
    if name not in _STRING_METHODS:
        return None
    plain: list[object] = []
    for arg in args:
        if isinstance(arg, Sequence) and name == "join" and arg.kind != "set":
            items = _constants_of(arg)
            if items is None:
                return None
            plain.append(items)
        elif isinstance(arg, Const):
            plain.append(arg.value)
        else:
            return None
    named = {key: value.value for key, value in kwargs.items() if isinstance(value, Const)}
    grows = name in ("join", "replace", "format")
    bounded = len(text) + sum(map(_size, [*plain, *named.values()])) <= (256 if grows else MAX_TEXT)
    if len(named) < len(kwargs) or not bounded or (name == "format" and not _plain_fields(text)):
        return None
    method: Callable[..., object] = getattr(text, name)
    try:
        return _as_value(method(*plain, **named))
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        return None


def _plain_fields(template: str) -> bool:
    """Return whether a `str.format` template has no widths, attributes or indexes: each can make or reach anything."""
    fields = [piece.partition("}")[0] for piece in template.split("{")[1:]]
    return not any(char in field for field in fields for char in ":.[!")


def _as_value(result: object) -> Value | None:
    if isinstance(result, (list, tuple)):
        return Sequence([Const(part) for part in result], type(result).__name__)
    if isinstance(result, str) and len(result) > MAX_TEXT:
        return None
    return Const(result)
