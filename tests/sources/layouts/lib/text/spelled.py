"""A module in the source tree, with data next to it."""

from pathlib import Path

PATH = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
