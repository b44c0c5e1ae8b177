"""Converts YAML values to the types of BentoML's descriptors (bento.yaml and model.yaml).

BentoML uses cattrs to convert descriptors to the types in its classes. A number becomes a string if a string is
expected, unknown keys are dropped, and missing keys get a default. This module converts individual values with the same
results. Errors specify the location in the document. (`formats.schema` checks documents without conversion.)
"""

from __future__ import annotations

import datetime as dt

from rules_bento.errors import BentoError
from rules_bento.formats.times import parse_time
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Mapping

if TYPE_CHECKING:
    Conversion = Callable[[Any, str], Any]
    """Converts a value at a place in a document. Raises BentoError, whose message begins with the place."""

REQUIRED = object()
"""The default that `record` accepts for a required key."""


def any_value(value: Any, where: str) -> Any:
    """Return `value` unchanged."""
    return value


def to_str(value: Any, where: str) -> str:
    """Convert a scalar to a string. Raises BentoError if `value` is a list or a mapping."""
    if isinstance(value, (list, dict, set)):
        raise BentoError(f"{where}: expected a string, got {value!r:.80}. Replace the list or mapping with a string.")
    return str(value)


def strict_str(value: Any, where: str) -> str:
    """Return `value` if it is a string. Raises BentoError for any other type."""
    if not isinstance(value, str):
        raise BentoError(f"{where}: expected a string, got {value!r}. Put the value in quotes.")
    return value


def to_bool(value: Any, where: str) -> bool:
    """Convert any value to a boolean, as Python's `bool` does."""
    return bool(value)


def strict_bool(value: Any, where: str) -> bool:
    """Return `value` if it is a boolean. Raises BentoError for any other type."""
    if not isinstance(value, bool):
        raise BentoError(f"{where}: expected true or false, got {value!r}.")
    return value


def to_time(value: Any, where: str) -> str:
    """Convert a string or a YAML timestamp to ISO 8601. As in BentoML, a date without a time must be quoted.

    Raises BentoError for any other value. The message begins with `where`.
    """
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, str):
        try:
            return parse_time(value).isoformat()
        except ValueError:
            pass
    raise BentoError(f"{where}: expected a time such as 2026-01-31T12:00:00+00:00, got {value!r}.")


def optional(convert: Conversion) -> Conversion:
    """Return a conversion like `convert` that also accepts null."""
    return lambda value, where: None if value is None else convert(value, where)


def items(convert: Conversion) -> Conversion:
    """Return a conversion that applies `convert` to each item of a list. The conversion rejects other types."""

    def converted(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise BentoError(f"{where}: expected a list, got {value!r:.80}.")
        return [convert(item, f"{where}[{number}]") for number, item in enumerate(value)]

    return converted


def mapping(convert: Conversion = any_value) -> Conversion:
    """Return a conversion that applies `convert` to each value of a mapping. The conversion rejects other types."""

    def converted(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BentoError(f"{where}: expected a mapping, got {value!r:.80}. Write KEY: VALUE lines.")
        return {str(key): convert(item, f"{where}.{key}") for key, item in value.items()}

    return converted


def record(fields: Mapping[str, tuple[Conversion, Any]], *, closed: bool = False) -> Conversion:
    """Return a conversion for a mapping with known keys.

    Args:
        fields: conversion and default of each key. A default is a value, a function that returns it, or REQUIRED.
        closed: reject unknown keys instead of dropping them.

    Returns:
        A conversion whose result has the keys in the order of `fields`.

    """

    def converted(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BentoError(f"{where}: expected a mapping, got {value!r:.80}. Write KEY: VALUE lines.")
        unknown = [key for key in value if key not in fields]
        if closed and unknown:
            raise BentoError(f"{where}: unknown key {unknown[0]!r}. Valid keys: {', '.join(fields)}.")
        values = {}
        for key, (convert, default) in fields.items():
            place = f"{where}.{key}" if where else key
            if key in value:
                values[key] = convert(value[key], place)
            elif default is REQUIRED:
                raise BentoError(f"{place}: missing required key. Add the key `{key}`.")
            else:
                values[key] = default() if callable(default) else default
        return values

    return converted
