"""Reads the table `[tool.bento.image]` of pyproject.toml: options of `bento image` for each build of a project.

The table is a stranger's: it names no registry for the image, no login, and no file outside of the project. No value of
it reads a variable.
"""

from __future__ import annotations

import os

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.schema import validate
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence

from bento_cli.projects.uv_project import PYPROJECT

if TYPE_CHECKING:
    from pathlib import Path

_TABLE: dict[str, Any] = {"apt?": [str], "base?": str, "entrypoint?": str, "env?": {...: str}, "files?": {...: str}}
_TABLE |= {"extra?": [str], "group?": [str], "hugging-face?": [str], "writable?": [str]}
_KEYS = [key.removesuffix("?") for key in _TABLE]
_REMEDY = "Correct the table."
_LAYOUT = "oci:"


class ImageTable(NamedTuple):
    """Options of `bento image`: values, or the parts of values, by the name of the option, and the command."""

    options: Mapping[str, Sequence[str | tuple[str, ...]]]
    entrypoint: str
    extras: Sequence[str]
    groups: Sequence[str]
    root: str  # of the project
    origin: str  # for messages

    def place(self, option: str) -> str:
        """Return where the values of an option are, for messages."""
        return f"{self.origin}.{'files' if option == 'file' else option}"


def of_document(document: Mapping[str, Any], directory: Path, root: Path) -> ImageTable:
    """Return the table of a pyproject.toml, which is in a directory of the workspace `root`.

    Doesn't check the sources of files. Their reader checks them with `find_inside`.
    """
    path = directory / PYPROJECT
    validate(document, {"tool?": {"bento?": {"image?": _TABLE}}}, str(path), _REMEDY)
    table: dict[str, Any] = document.get("tool", {}).get("bento", {}).get("image", {})
    origin = f"{path}: tool.bento.image"
    if unknown := sorted(table.keys() - {*_KEYS}):
        remedy = f"Use {', '.join(_KEYS)}, and set the other options on the command line."
        raise BentoError(f"unknown key {unknown[0]!r}", place=origin, remedy=remedy)
    options: dict[str, list[Any]] = {name: table.get(name, []) for name in ("apt", "hugging-face", "writable")}
    options["env"] = [*table.get("env", {}).items()]
    files = table.get("files", {}).items()
    options["file"] = [(str(directory / source), target) for target, source in files]
    if base := table.get("base", ""):
        is_layout, layout = base.startswith(_LAYOUT), directory / base.removeprefix(_LAYOUT)
        options["base"] = [_LAYOUT + find_inside(layout, root, f"{origin}.base", "--base") if is_layout else base]
    found = {name: values for name, values in options.items() if values}
    selected = table.get("extra", ()), table.get("group", ())
    return ImageTable(found, table.get("entrypoint", ""), *selected, str(root), origin)


def find_inside(path: str | Path, root: str | Path, place: str, option: str) -> str:
    """Return the real path of a file that a table names.

    Raises BentoError for a path outside of the project, or in its `.git`, whose settings can contain logins.
    """
    real, top = "" if "\0" in str(path) else os.path.realpath(path), os.path.realpath(root)
    if not f"{real}/".startswith(f"{top}/") or "/.git/" in f"{real}/"[len(top) :].lower():
        remedy = f"Copy the file into the project, or add {option} to `bento image`."
        raise BentoError(f"{str(path)!r} is outside of the project", place=place, remedy=remedy)
    return real
