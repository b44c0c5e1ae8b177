"""Formats sizes and untrusted text for display."""

from __future__ import annotations


def format_size(count: float) -> str:
    """Format a number of bytes, such as `17.00 KiB`, as BentoML does."""
    unit = "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(count) < 1024 or unit == "PiB":
            break
        count /= 1024
    return f"{count:.2f} {unit}"


def printable(text: str) -> str:
    """Escape control characters, except for line breaks, in text that might come from an untrusted archive."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)
