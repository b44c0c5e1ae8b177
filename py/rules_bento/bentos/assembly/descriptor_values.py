"""Converts YAML values to the types of BentoML's descriptors (bento.yaml and model.yaml).

BentoML uses cattrs to convert descriptors to the types in its classes. A number becomes a string if a string is
expected, unknown keys are dropped, and missing keys get a default. This module converts individual values with the same
results. The place of an error is the location in the document. (`formats.schema` checks documents without conversion.)
"""

from __future__ import annotations

import datetime as dt

from rules_bento.base.errors import BentoError
from rules_bento.base.formats.times import parse_time
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping

if TYPE_CHECKING:
    Conversion = Callable[[Any, str], Any]
    """Converts a value at a place in a document. Raises BentoError with the place."""

REQUIRED = object()
"""The default that `record` accepts for a required key."""
_NAMES = {bool: "true or false", dict: "a mapping", list: "a list", str: "a string"}


def any_value(value: Any, where: str) -> Any:
    """Return `value` unchanged."""
    return value


def typed(kind: type) -> Conversion:
    """Return a conversion that accepts only values of a type, and doesn't change the values."""

    def converted(value: Any, where: str) -> Any:
        if not isinstance(value, kind):
            raise BentoError(f"expected {_NAMES[kind]}, got {value!r:.80}", place=where, remedy="Correct the value.")
        return value

    return converted


def to_str(value: Any, where: str) -> str:
    """Convert a scalar to a string. Raises BentoError if `value` is a list or a mapping."""
    return str(typed(str)(value, where) if isinstance(value, (list, dict, set)) else value)


def to_bool(value: Any, where: str) -> bool:
    """Convert any value to a boolean, as Python's `bool` does."""
    return bool(value)


def to_time(value: Any, where: str) -> str:
    """Convert a string or a YAML timestamp to ISO 8601. As in BentoML, a date without a time must be quoted.

    Raises BentoError for any other value.
    """
    try:
        return (value if isinstance(value, dt.datetime) else parse_time(typed(str)(value, where))).isoformat()
    except (BentoError, ValueError):
        problem = f"expected a time such as 2026-01-31T12:00:00+00:00, got {value!r}."
        raise BentoError(problem, place=where) from None


def optional(convert: Conversion) -> Conversion:
    """Return a conversion like `convert` that also accepts null."""
    return lambda value, where: None if value is None else convert(value, where)


def items(convert: Conversion) -> Conversion:
    """Return a conversion that applies `convert` to each item of a list. The conversion rejects other types."""
    return lambda value, where: [
        convert(item, f"{where}[{number}]") for number, item in enumerate(typed(list)(value, where))
    ]


def mapping(convert: Conversion = any_value) -> Conversion:
    """Return a conversion that applies `convert` to each value of a mapping. The conversion rejects other types."""
    return lambda value, where: {
        str(key): convert(item, f"{where}.{key}") for key, item in typed(dict)(value, where).items()
    }


def record(fields: Mapping[str, tuple[Conversion, Any]], *, closed: bool = False) -> Conversion:
    """Return a conversion for a mapping with known keys. The result has the keys in the order of `fields`.

    `fields` contains the conversion and the default of each key. A default is a value, a function that returns it, or
    REQUIRED. If `closed` is true, unknown keys are errors. Otherwise, unknown keys are dropped.
    """

    def converted(value: Any, where: str) -> dict[str, Any]:
        unknown = [key for key in typed(dict)(value, where) if key not in fields]
        if closed and unknown:
            raise BentoError(f"unknown key {unknown[0]!r}", place=where, remedy=f"Valid keys: {', '.join(fields)}.")
        values = {}
        for key, (convert, default) in fields.items():
            place = f"{where}.{key}" if where else key
            if key in value:
                values[key] = convert(value[key], place)
            elif default is REQUIRED:
                raise BentoError("missing required key", place=place, remedy=f"Add the key `{key}`.")
            else:
                values[key] = default() if callable(default) else default
        return values

    return converted
