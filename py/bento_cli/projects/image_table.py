"""Reads the table `[tool.bento.image]` of pyproject.toml: options of `bento image` for each build of a project.

The table is a stranger's: it names no registry for the image, no login, and no file outside of the project. No value of
it reads a variable.
"""

from __future__ import annotations

import os

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import decode

from bento_cli.projects.uv_project import PYPROJECT, read_inside

if TYPE_CHECKING:
    from pathlib import Path

_TABLE: dict[str, Any] = {"apt?": [str], "base?": str, "entrypoint?": str, "env?": {...: str}, "files?": {...: str}}
_TABLE |= {"hugging-face?": [str], "writable?": [str]}
_KEYS = [key.removesuffix("?") for key in _TABLE]
_REMEDY = "Correct the table."
_LAYOUT = "oci:"


class ImageTable(NamedTuple):
    """Options of `bento image`: values by the name of the option, and the command."""

    options: Mapping[str, Sequence[str]]
    entrypoint: str

    def merged(self, options: Mapping[str, Sequence[str] | bool]) -> dict[str, Sequence[str] | bool]:
        """Return the options of a user and of the table. For one package, variable, or path, the user's value wins."""
        result = {**self.options, **options}
        for name in ("apt", "env", "file", "hugging-face", "writable"):
            own, given = self.options.get(name, ()), options.get(name) or ()
            assert not isinstance(given, bool)
            named = {_subject(name, text) for text in given}
            if values := [*(text for text in own if _subject(name, text) not in named), *given]:
                result[name] = values
        return result


def read(directory: Path, root: Path) -> ImageTable:
    """Return the table of the project in a directory of the workspace `root`, which is empty without one."""
    path = directory / PYPROJECT
    document = read_toml(decode(read_inside(path), str(path)), str(path))
    validate(document, {"tool?": {"bento?": {"image?": _TABLE}}}, str(path), _REMEDY)
    table: dict[str, Any] = document.get("tool", {}).get("bento", {}).get("image", {})
    place = f"{path}: tool.bento.image"
    if unknown := sorted(table.keys() - {*_KEYS}):
        remedy = f"Use {', '.join(_KEYS)}, and set the other options on the command line."
        raise BentoError(f"unknown key {unknown[0]!r}", place=place, remedy=remedy)

    def inside(text: str, key: str) -> str:
        found = os.path.normpath(directory / text)
        real, top = os.path.realpath(found), os.path.realpath(root)
        if not f"{real}/".startswith(f"{top}/") or not f"{found}/".startswith(f"{root}/"):
            remedy = f"Copy the file into the project, or use --{key} on the command line."
            raise BentoError(f"{text} is outside of the project", place=f"{place}.{key}", remedy=remedy)
        return found

    options: dict[str, list[str]] = {name: table.get(name, []) for name in ("apt", "hugging-face", "writable")}
    options["env"] = [f"{name}={value}" for name, value in table.get("env", {}).items()]
    options["file"] = [f"{inside(source, 'file')}={path}" for path, source in table.get("files", {}).items()]
    if base := table.get("base", ""):
        is_layout = base.startswith(_LAYOUT)
        options["base"] = [_LAYOUT + inside(base.removeprefix(_LAYOUT), "base") if is_layout else base]
    return ImageTable({name: values for name, values in options.items() if values}, table.get("entrypoint", ""))


def _subject(name: str, text: str) -> str:
    """Return the package, the model, the variable, or the path of the image that a value is about."""
    return text.rpartition("=")[2] if name == "file" else text.partition("@" if name == "hugging-face" else "=")[0]
