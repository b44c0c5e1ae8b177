"""Draws the index: `draw.py OUTPUT ROWS` writes rows of 64 little-endian float32, 256 bytes each, in pieces.

The first 1,797 drawings are the digits of scikit-learn. The others are these digits with noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

_PIECE = 1 << 15
_LEAST_NOISE = 0.25


def main(output: str, rows: int) -> None:
    """Write the index, in constant memory."""
    digits = load_digits().data.astype("<f4")
    noise = np.random.default_rng(0)
    with Path(output).open("wb") as file:
        for first in range(0, rows, _PIECE):
            numbers = np.arange(first, min(first + _PIECE, rows))
            drawn = digits[numbers % len(digits)]
            noisy = drawn + noise.random(drawn.shape, "<f4") + np.float32(_LEAST_NOISE)
            file.write(np.where(numbers[:, None] < len(digits), drawn, noisy).astype("<f4").tobytes())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
