"""Generates a module with a package from a package hub."""

import sys
from pathlib import Path

import pathspec

Path(sys.argv[1]).write_text(f'"""Generated."""\n\nMADE_WITH = "{pathspec.__name__}"\n', "utf-8")
