"""Times as ISO 8601 writes them."""

from __future__ import annotations

import datetime as dt


def parse_time(text: str) -> dt.datetime:
    """Return the time that a text says. Raises ValueError."""
    # Python 3.10 does not know Z.
    return dt.datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


def aware(time: dt.datetime) -> dt.datetime:
    """Return the same moment in this machine's zone, which is taken for the time's own if it has none."""
    try:
        return time.astimezone()
    except (OverflowError, ValueError):  # the first and the last day that there are
        return time.replace(tzinfo=dt.timezone.utc)
