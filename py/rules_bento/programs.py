"""Finds programs on PATH or next to this interpreter, but never in the current directory."""

from __future__ import annotations

import os
import sys

IMPORT_PATH = "import sys; sys.path[:] = [path for path in sys.path if path]; "
"""The prefix of code for `python -c` that prevents imports from the current directory. Python 3.10 has no `-P`."""


def which(name: str, path: str | None = None) -> str | None:
    """Return the path of a program in an absolute directory of PATH, or None if the program isn't found.

    Ignores empty and relative entries of PATH, such as `.`, because they could select a program in the current project.
    """
    import shutil

    if not name or "/" in name or "\0" in name:
        return None
    entries = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(entry for entry in entries if entry.startswith("/")))


def find_uv(path: str | None = None) -> str | None:
    """Return the path of uv in the environment of this interpreter, otherwise on PATH, or None."""
    return which("uv", sys.executable.rpartition("/")[0]) or which("uv", path)
