"""Converts YAML values: what is accepted, and what it becomes.

BentoML reads its descriptors with cattrs, by the types of classes: numbers become texts where a text is expected,
unknown keys are dropped, absent ones get a default. A conversion here does the same for one value, and says where in
the document it does not fit. (`formats.shapes` holds what has to be of a shape as it is.)
"""

from __future__ import annotations

import datetime as dt

from rules_bento.errors import BentoError
from rules_bento.formats.times import parse_time
from rules_bento.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Conversion = Callable[[Any, str], Any]
    """Takes a value and where it stands; returns what it becomes, or raises BentoError that begins with where."""

REQUIRED = object()
"""In the place of a default: the key must be there."""


def any_value(value: Any, where: str) -> Any:
    """Return any value unchanged."""
    return value


def to_str(value: Any, where: str) -> str:
    """Return a scalar as text. Raises BentoError for a list or a mapping."""
    if isinstance(value, (list, dict, set)):
        raise BentoError(f"{where}: is a list or a mapping, where a text belongs.")
    return str(value)


def strict_str(value: Any, where: str) -> str:
    """Return a text. Raises BentoError for all else, also for what could be made one."""
    if not isinstance(value, str):
        raise BentoError(f"{where}: is {value!r}, where a text belongs. Put it in quotes.")
    return value


def to_bool(value: Any, where: str) -> bool:
    """Return whether Python takes a value for true."""
    return bool(value)


def strict_bool(value: Any, where: str) -> bool:
    """Return true or false. Raises BentoError for another value."""
    if not isinstance(value, bool):
        raise BentoError(f"{where}: is {value!r}, where true or false belongs.")
    return value


def to_time(value: Any, where: str) -> str:
    """Return a time in ISO 8601, quoted or as YAML writes it; a date alone must be quoted, as for BentoML.

    Raises BentoError, beginning with `where`, for another value.
    """
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, str):
        try:
            return parse_time(value).isoformat()
        except ValueError:
            pass
    raise BentoError(f"{where}: is {value!r}, which is no time. Write '2026-01-31T12:00:00+00:00'.")


def optional(convert: Conversion) -> Conversion:
    """Return the same, or null."""
    return lambda value, where: None if value is None else convert(value, where)


def items(convert: Conversion) -> Conversion:
    """Return the conversion of a list of such values, which raises BentoError for what is no list."""

    def converted(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise BentoError(f"{where}: is no list.")
        return [convert(item, f"{where}[{number}]") for number, item in enumerate(value)]

    return converted


def mapping(convert: Conversion = any_value) -> Conversion:
    """Return the conversion of a mapping from texts to such values, which raises BentoError for what is none."""

    def converted(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BentoError(f"{where}: is no mapping.")
        return {str(key): convert(item, f"{where}.{key}") for key, item in value.items()}

    return converted


def record(fields: Mapping[str, tuple[Conversion, Any]], *, closed: bool = False) -> Conversion:
    """Return a mapping with these keys, each with its conversion and its default (a value, or a function of none).

    The result has the keys in the order of `fields`. Others are dropped, or refused if it is `closed`.
    """

    def converted(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BentoError(f"{where}: is no mapping.")
        unknown = [key for key in value if key not in fields]
        if closed and unknown:
            raise BentoError(f"{where}: has the unknown key {unknown[0]!r}. Known are {', '.join(fields)}.")
        values = {}
        for key, (convert, default) in fields.items():
            place = f"{where}.{key}" if where else key
            if key in value:
                values[key] = convert(value[key], place)
            elif default is REQUIRED:
                raise BentoError(f"{place}: is missing.")
            else:
                values[key] = default() if callable(default) else default
        return values

    return converted
