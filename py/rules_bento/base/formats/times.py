"""Parses and converts ISO 8601 timestamps."""

from __future__ import annotations

import datetime as dt
import re

from rules_bento.base.errors import BentoError

_HOUR = r"(?:[01]\d|2[0-3]):[0-5]\d"
_NORMAL = re.compile(rf"\d{{4}}-\d\d-\d\dT{_HOUR}:[0-5]\d(?:\.\d{{3}}|\.\d{{6}})?[+-]{_HOUR}", re.ASCII)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")


def parse_time(text: str) -> dt.datetime:
    """Parse an ISO 8601 timestamp. The UTC offset can be `Z`. Raises ValueError for an invalid timestamp."""
    # Python 3.10 doesn't support Z.
    return dt.datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


def normalize_time(text: str) -> str:
    """Return an RFC 3339 time with the time zone as `+HH:MM` or `-HH:MM`, as private/attributes.bzl does.

    Raises ValueError for an invalid time, another form of ISO 8601, and the years 1 and 9999, whose times can be out of
    range in another time zone.
    """
    normal = f"{text[:-1]}+00:00" if text.endswith("Z") else text
    if not _NORMAL.fullmatch(normal) or dt.datetime.fromisoformat(normal).year in (dt.MINYEAR, dt.MAXYEAR):
        raise ValueError(text)
    return normal


def time_of_epoch(text: str) -> str:
    """Return the time in the variable SOURCE_DATE_EPOCH. Raises BentoError for an invalid time."""
    try:
        if not (text.isascii() and text.isdecimal()):
            raise ValueError
        return normalize_time(dt.datetime.fromtimestamp(int(text), dt.timezone.utc).isoformat())
    except (ValueError, OverflowError, OSError):
        problem = f"expected seconds since 1970, got {text!r}"
        raise BentoError(problem, place="SOURCE_DATE_EPOCH", remedy="Unset or correct the variable.") from None


def to_local(time: dt.datetime) -> dt.datetime:
    """Convert `time` to the local time zone. If the result is out of range, returns `time` with the time zone UTC."""
    try:
        return time.astimezone()
    except (OverflowError, ValueError):  # out of range: the first and last days of the calendar
        return time.replace(tzinfo=dt.timezone.utc)


def with_zone(time: dt.datetime) -> dt.datetime:
    """Return `time` with a time zone, for comparisons. If the time zone is missing, UTC is assumed, as in YAML."""
    return time if time.tzinfo else time.replace(tzinfo=dt.timezone.utc)


def newest(items: Iterable[T], time: Callable[[T], dt.datetime]) -> T | None:
    """Return the item with the latest time, or None if there are no items. If times are equal, the last item wins."""
    return max(reversed([*items]), key=lambda item: with_zone(time(item)), default=None)
