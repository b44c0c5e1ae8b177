"""Folders of the package stand on one another in one order, which docs/architecture.md shows."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

PACKAGE = Path("py/rules_bento")


def floors() -> list[list[str]]:
    """The rows of the picture, from what stands on nothing upwards."""
    picture = Path("docs/architecture.md").read_text("utf-8").partition("```floors\n")[2].partition("```")[0]
    return [re.findall(r"[\w.]+", row) for row in reversed(picture.splitlines())]


def unit(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> set[str]:
    """Folders and modules of the package's top that a file imports, also late, and for annotations alone."""
    names = [
        f"{node.module}.{alias.name}".split(".")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]
    return {parts[1] for parts in names if parts[0] == "rules_bento"}


def test_a_folder_imports_from_floors_below_its_own():
    floor = {name: number for number, row in enumerate(floors()) for name in row}
    files = [path for path in PACKAGE.rglob("*.py") if unit(path) != "__init__"]
    assert {unit(path) for path in files} == set(floor)
    wrong = [
        f"{path} imports {name}"
        for path in files
        for name in imported(path) - {unit(path)}
        if floor[name] >= floor[unit(path)]
    ]
    assert not wrong
    assert len(floors()) <= 9


def files_imported(path: Path) -> set[str]:
    """The files of the package that a file names in its imports, those for a type checker included."""
    files = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rules_bento"):
            module = PACKAGE.joinpath(*node.module.split(".")[1:])
            for file in [module / f"{alias.name}.py" for alias in node.names] + [module.with_suffix(".py")]:
                if file.exists():
                    files.add(file.relative_to(PACKAGE).as_posix())
    return files


def test_no_two_files_import_each_other():
    imports = {path.relative_to(PACKAGE).as_posix(): files_imported(path) for path in PACKAGE.rglob("*.py")}
    below = {}
    for file in imports:
        below[file], following = set(), [file]
        while following:
            new = imports[following.pop()] - below[file]
            below[file] |= new
            following += new
    assert not {file for file in imports if file in below[file]}
