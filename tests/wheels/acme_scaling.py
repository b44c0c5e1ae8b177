"""What the wheel holds."""

from __future__ import annotations


def scaled(value: float) -> float:
    """Half of it."""
    return value / 2
