"""Copies the wheels that some packages require into one directory, without the other packages of the environment."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import Distribution, distributions
from pathlib import Path


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def closure(roots: list[Path], *packages: str) -> dict[str, Distribution]:
    """Return the installed packages and their transitive dependencies, by normalized name."""
    from packaging.requirements import Requirement

    installed = {_name(one.metadata["Name"]): one for one in distributions(path=[str(root) for root in roots])}
    found: dict[str, Distribution] = {}
    waiting = [(package, "") for package in packages]
    while waiting:
        name, extra = waiting.pop()
        if name not in installed or name in found:
            continue
        found[name] = installed[name]
        needed = [Requirement(text) for text in installed[name].requires or ()]
        waiting += [(_name(one.name), "") for one in needed if not one.marker or one.marker.evaluate({"extra": extra})]
    return found


def copy_closure(directory: Path, roots: list[Path], *packages: str) -> Path:
    """Copy the modules of the packages and their transitive dependencies into one directory."""
    for distribution in closure(roots, *packages).values():
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            source = Path(distribution.locate_file(top))
            if source.is_dir():
                shutil.copytree(source, directory / top, dirs_exist_ok=True)
            elif source.exists():
                directory.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, directory)
    return directory
