"""Bounds what reading a service may cost: its sources may be hostile, and one short line can ask for any amount.

One value has a size; all values together, and the steps that are taken with them, have a sum.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sized

MAX_ITEMS = 10_000  # of one list, tuple, set or dict
MAX_TEXT = 1 << 16  # characters of a text that an operation makes
_MAX_LITERAL = 8 << 20  # characters of one text: no source is longer
_MAX_WORK = 4_000_000  # items that are made, copied or looked at, and characters by the thousand

_left: ContextVar[list[int] | None] = ContextVar("_left", default=None)


class TooLargeError(Exception):
    """Reports a value larger than any that a service states."""


class SpentError(Exception):
    """Reports that the budget for reading one service is spent."""


def start() -> None:
    """Begin to count for one service."""
    _left.set([_MAX_WORK])


def spend(work: int) -> None:
    """Count some work. Raises SpentError when there has been too much."""
    left = _left.get()
    if left is not None:
        left[0] -= work
        if left[0] < 0:
            raise SpentError


def check_items(items: Sized) -> None:
    """Count a new value of these items. Raises TooLargeError or SpentError."""
    check_growth(items, 0)
    if items:
        spend(len(items))


def check_growth(items: Sized, more: int) -> None:
    """Count `more` items that a value is to have beside its own. Raises TooLargeError or SpentError."""
    if len(items) + more > MAX_ITEMS:
        raise TooLargeError
    if more:
        spend(more)


def check_text(value: object) -> None:
    """Count a text. Raises TooLargeError or SpentError."""
    if isinstance(value, (str, bytes)) and len(value) > 1000:
        if len(value) > _MAX_LITERAL:
            raise TooLargeError
        spend(len(value) // 1000 * 100)
