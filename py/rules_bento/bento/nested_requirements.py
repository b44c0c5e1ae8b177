"""Reads a requirements file and the files that it includes."""

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
    """Return the lines of a requirements file, with included files inlined.

    Constraints become requirements, as in BentoML's own Bentos of spec 1, because bento.yaml can't refer to files. If
    `constraints` is True or False, only constraints or only requirements are returned; a lock limits versions anyway.
    Raises BentoError for an undeclared file, for a cycle, and, unless `check` is False, for lines that installers
    reject.
    """
    lines = _nested_lines(files.path(path, place), files, place, within=(), limits=False, check=check)
    return "".join(f"{line}\n" for line, limits in lines if constraints in (None, limits))


def _nested_lines(
    path: str, files: ProjectFiles, place: str, *, within: tuple[str, ...], limits: bool, check: bool
) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is a constraint."""
    if path in within:
        raise BentoError(f"{place}: {path} includes itself by way of {', '.join(within)}. Remove the cycle.")
    text = files.text(path, place)
    if check:
        check_lines(text, path)
    for number, line in enumerate(text.splitlines(), 1):
        match = _REFERENCE.fullmatch(line.partition(" #")[0].strip())
        if not match:
            yield line.rstrip(), limits
            continue
        if "://" in match[2]:
            raise BentoError(
                f"{path}:{number}: can't include the remote file {match[2]!r}. Declare a copy of the file."
            )
        nested = files.path(posixpath.join(posixpath.dirname(path), match[2]), f"{path}:{number}")
        limited = limits or match[1] in CONSTRAINT_FLAGS
        inner = (*within, path)
        yield from _nested_lines(nested, files, f"{path}:{number}", within=inner, limits=limited, check=check)


def check_lines(text: str, path: str) -> None:
    """Raise BentoError, with file and line, for a line that installers reject."""
    for number, line in logical_lines(text):
        fitting = check_editable if line.startswith("-") else check_requirement
        fitting(line, f"{path}:{number}")
