"""Formats sizes and untrusted text for display."""

from __future__ import annotations

import re

from rules_bento.base.typing_lite import Sequence

CREDENTIALS = re.compile(r"(https?://)[^/@\s]+@|(://[^/@:\s]+):[^/@\s]+@")
_ADDRESS = re.compile(r"://[^\s'\"`<>]*")


def format_size(count: float) -> str:
    """Format a number of bytes, such as `17.00 KiB`, as BentoML does."""
    unit = "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(count) < 1024 or unit == "PiB":
            break
        count /= 1024
    return f"{count:.2f} {unit}"


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first names of a list, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def printable(text: str) -> str:
    """Escape control characters, except for line breaks, in text that might come from an untrusted archive."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def without_credentials(text: str) -> str:
    """Remove the user, the password, and the query from each URL in `text`, in linear time."""
    shown = CREDENTIALS.sub(lambda match: match[1] or f"{match[2].rpartition('//')[0]}//", text)
    # A URL in parentheses ends before `)`, but a path can contain `)`.
    return _ADDRESS.sub(lambda match: ")".join(part.partition("?")[0] for part in match[0].split(")")), shown)
