"""A module that reads data above its import root."""

from pathlib import Path

PATH = (Path(__file__).parents[2] / "limits.txt").read_text(encoding="utf-8")
