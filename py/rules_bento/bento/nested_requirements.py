"""Reads a requirements file with the files that it refers to."""

from __future__ import annotations

import posixpath
import re

from rules_bento.build_options.option_checks import check_editable, check_requirement
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import CONSTRAINT_FLAGS, logical_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.build_options.project import ProjectFiles

_REFERENCE = re.compile(r"(-r|--requirement|-c|--constraint)[=\s]\s*(\S+)\s*")


def inline_requirements(
    path: str, files: ProjectFiles, place: str, *, constraints: bool | None = None, check: bool = True
) -> str:
    """Return the text of a requirements file with the files that it refers to in the place of the references.

    Constraints become requirements, as they do in BentoML's own Bentos of spec 1: there is no file to name once the
    text stands in bento.yaml. Who has a lock, which limits the versions, takes only requirements or, by `constraints`,
    only these. Raises BentoError for a file that is not declared or that refers to itself, and, unless `check` is
    false, for a line that installers reject.
    """
    lines = _nested_lines(files.path(path, place), files, place, within=(), limits=False, check=check)
    return "".join(f"{line}\n" for line, limits in lines if constraints in (None, limits))


def _nested_lines(
    path: str, files: ProjectFiles, place: str, *, within: tuple[str, ...], limits: bool, check: bool
) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is one of constraints."""
    if path in within:
        raise BentoError(f"{place}: {path} refers to itself, by way of {', '.join(within)}. Break the circle.")
    text = files.text(path, place)
    if check:
        check_lines(text, path)
    for number, line in enumerate(text.splitlines(), 1):
        match = _REFERENCE.fullmatch(line.partition(" #")[0].strip())
        if not match:
            yield line.rstrip(), limits
            continue
        if "://" in match[2]:
            raise BentoError(f"{path}:{number}: {match[2]!r} is on a network. Declare a copy of the file.")
        nested = files.path(posixpath.join(posixpath.dirname(path), match[2]), f"{path}:{number}")
        limited = limits or match[1] in CONSTRAINT_FLAGS
        inner = (*within, path)
        yield from _nested_lines(nested, files, f"{path}:{number}", within=inner, limits=limited, check=check)


def check_lines(text: str, path: str) -> None:
    """Raise BentoError, naming file and line, for what installers reject."""
    for number, line in logical_lines(text):
        fitting = check_editable if line.startswith("-") else check_requirement
        fitting(line, f"{path}:{number}")
