"""A requirements file with the files that it refers to."""

from __future__ import annotations

import posixpath
import re

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.build_options.project import ProjectFiles

_REFERENCE = re.compile(r"(-r|--requirement|-c|--constraint)[=\s]\s*(\S+)\s*")


def with_nested(path: str, files: ProjectFiles, place: str) -> str:
    """The text of a requirements file with the files that it refers to in the place of the references.

    Constraints become requirements, as they do in BentoML's own Bentos of spec 1: there is no file to name once the
    text stands in bento.yaml. Raises BentoError for a file that is not declared or that refers to itself.
    """
    return _with_nested(files.path(path, place), files, place, ())


def _with_nested(path: str, files: ProjectFiles, place: str, within: tuple[str, ...]) -> str:
    if path in within:
        raise BentoError(f"{place}: {path} refers to itself, by way of {', '.join(within)}. Break the circle.")
    text = files.text(path, place)
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        found = _REFERENCE.fullmatch(line.partition(" #")[0].strip())
        if not found:
            lines.append(line.rstrip())
            continue
        if "://" in found[2]:
            raise BentoError(f"{path}:{number}: {found[2]!r} is on a network. Declare a copy of the file.")
        nested = files.path(posixpath.join(posixpath.dirname(path), found[2]), f"{path}:{number}")
        lines.append(_with_nested(nested, files, f"{path}:{number}", (*within, path)).rstrip("\n"))
    return "".join(f"{line}\n" for line in lines)
