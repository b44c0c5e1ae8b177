"""A module that reads a declared directory."""

from pathlib import Path

PATH = (Path(__file__).parent / "pages/index.html").read_text(encoding="utf-8")
