"""Shapes of YAML values: what is taken, and what it then becomes.

BentoML reads its descriptors with cattrs, by the types of classes: numbers become texts where a text is expected,
unknown keys are dropped, absent ones get a default. A shape here does the same for one value, and says where in the
document it does not fit.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from rules_bento.errors import BentoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Shape = Callable[[Any, str], Any]
    """Takes a value and where it stands; returns it in shape, or raises BentoError that begins with where."""

REQUIRED = object()
"""In the place of a default: the key must be there."""


def anything(value: Any, where: str) -> Any:
    """Any value, as it is."""
    return value


def text(value: Any, where: str) -> str:
    """A scalar, as text."""
    if isinstance(value, (list, dict, set)):
        raise BentoError(f"{where}: is a list or a mapping, where a text belongs.")
    return str(value)


def only_text(value: Any, where: str) -> str:
    """A text, and nothing that could be made one."""
    if not isinstance(value, str):
        raise BentoError(f"{where}: is {value!r}, where a text belongs. Put it in quotes.")
    return value


def flag(value: Any, where: str) -> bool:
    """Return whether Python takes a value for true."""
    return bool(value)


def only_flag(value: Any, where: str) -> bool:
    """Return a value that has to be true or false."""
    if not isinstance(value, bool):
        raise BentoError(f"{where}: is {value!r}, where true or false belongs.")
    return value


def time(value: Any, where: str) -> str:
    """A time in ISO 8601, quoted or as YAML writes it; a date alone must be quoted, as for BentoML."""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, str):
        try:
            return parse_time(value).isoformat()
        except ValueError:
            pass
    raise BentoError(f"{where}: is {value!r}, which is no time. Write '2026-01-31T12:00:00+00:00'.")


def parse_time(value: str) -> dt.datetime:
    """The time that an ISO 8601 text says. Raises ValueError."""
    # Python 3.10 does not know Z.
    return dt.datetime.fromisoformat(f"{value[:-1]}+00:00" if value.endswith("Z") else value)


def aware(time: dt.datetime) -> dt.datetime:
    """The same moment in this machine's zone, which is taken for the time's own if it has none."""
    try:
        return time.astimezone()
    except (OverflowError, ValueError):  # the first and the last day that there are
        return time.replace(tzinfo=dt.timezone.utc)


def optional(shape: Shape) -> Shape:
    """The same, or null."""
    return lambda value, where: None if value is None else shape(value, where)


def items(shape: Shape) -> Shape:
    """A list of such values."""

    def check(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise BentoError(f"{where}: is no list.")
        return [shape(item, f"{where}[{number}]") for number, item in enumerate(value)]

    return check


def mapping(shape: Shape = anything) -> Shape:
    """A mapping from texts to such values."""

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BentoError(f"{where}: is no mapping.")
        return {str(key): shape(item, f"{where}.{key}") for key, item in value.items()}

    return check


def record(fields: Mapping[str, tuple[Shape, Any]], *, closed: bool = False) -> Shape:
    """A mapping with these keys, each with its shape and its default (a value, or a function of none).

    The result has the keys in the order of `fields`. Others are dropped, or refused if it is `closed`.
    """

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise BentoError(f"{where}: is no mapping.")
        unknown = [key for key in value if key not in fields]
        if closed and unknown:
            raise BentoError(f"{where}: has the unknown key {unknown[0]!r}. Known are {', '.join(fields)}.")
        values = {}
        for key, (shape, default) in fields.items():
            place = f"{where}.{key}" if where else key
            if key in value:
                values[key] = shape(value[key], place)
            elif default is REQUIRED:
                raise BentoError(f"{place}: is missing.")
            else:
                values[key] = default() if callable(default) else default
        return values

    return check
