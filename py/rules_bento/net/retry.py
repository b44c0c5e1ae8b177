"""Decides which failures are tried again, and how long to wait before."""

from __future__ import annotations

import random
import time

from rules_bento.hints import TYPE_CHECKING
from rules_bento.net.headers import natural
from rules_bento.net.parallel import pause

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others the next time."""

_ATTEMPTS = 6
_FIRST_WAIT = 0.25  # seconds; doubled each time, so all of them are about 8
_LONGEST_ASKED = 60.0
LEAST = 1 << 16
"""Bytes since the last failure that are progress: who gives one at a time is never done."""


class Retry:
    """Counts the attempts at one thing. Progress makes the next failure count as the first again."""

    def __init__(self, sleep: Callable[[float], object] = pause) -> None:
        self._sleep = sleep
        self._failed = 0
        self._moved = 0

    def progressed(self, size: int) -> None:
        """Count `size` bytes that were moved; enough of them reset the count of failures."""
        self._moved += size
        if self._moved >= LEAST:
            self._failed = 0

    def again(self, asked: float | None = None) -> bool:
        """Return whether to try again, after waiting: `asked` seconds, as the server said, or longer each time."""
        self._failed += 1
        self._moved = 0
        if self._failed >= _ATTEMPTS:
            return False
        wait = _FIRST_WAIT * 2 ** (self._failed - 1) * random.uniform(0.5, 1)  # spreads clients out
        self._sleep(wait if asked is None else min(max(asked, wait), _LONGEST_ASKED))
        return True


def asked_wait(headers: Message) -> float | None:
    """Return the seconds of a `Retry-After` header (RFC 9110, section 10.2.3), if there is one that can be read."""
    value = headers.get("Retry-After", "")
    seconds = natural(value)
    if seconds is not None or not value:
        return None if seconds is None else float(seconds)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):  # what `email.utils` does with dates that are none
        return None
