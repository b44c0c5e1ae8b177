"""Scales measurements."""

from __future__ import annotations

import numpy as np


def scaled(values: list[float]) -> list[float]:
    """Return the values scaled to between 0 and 1."""
    array = np.asarray(values, dtype=float)
    spread = array.max() - array.min()
    return ((array - array.min()) / (spread or 1.0)).tolist()
