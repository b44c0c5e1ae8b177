"""Defines the exception whose message users see."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_NAME = 100  # characters of a name, and _MAX_NAMES of them: comparing two takes the square of the time
_MAX_NAMES = 5000


class BentoError(Exception):
    """Raised for an error that users can fix. The message states where the error is, what is wrong, and what to do.

    The command line prints the message without a traceback, and exits with status 1.
    """


def nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the name most similar to `word`, or an empty string if no name is similar or `word` is too long."""
    import difflib
    from itertools import islice

    short = islice((name for name in names if len(name) <= _MAX_NAME), _MAX_NAMES)
    near = difflib.get_close_matches(word, short, 1, cutoff) if len(word) <= _MAX_NAME else []
    return near[0] if near else ""
