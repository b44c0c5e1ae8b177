"""Reads a requirements file with the files that it refers to."""

from __future__ import annotations

import posixpath
import re

from rules_bento.errors import BentoError
from rules_bento.packages.requirements import CONSTRAINTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.build_options.project import ProjectFiles

_REFERENCE = re.compile(r"(-r|--requirement|-c|--constraint)[=\s]\s*(\S+)\s*")


def with_nested(path: str, files: ProjectFiles, place: str, *, constraints: bool | None = None) -> str:
    """Return the text of a requirements file with the files that it refers to in the place of the references.

    Constraints become requirements, as they do in BentoML's own Bentos of spec 1: there is no file to name once the
    text stands in bento.yaml. Who has a lock, which limits the versions, takes only requirements or, by `constraints`,
    only these. Raises BentoError for a file that is not declared or that refers to itself.
    """
    lines = _nested_lines(files.path(path, place), files, place, within=(), limits=False)
    return "".join(f"{line}\n" for line, limits in lines if constraints in (None, limits))


def _nested_lines(
    path: str, files: ProjectFiles, place: str, *, within: tuple[str, ...], limits: bool
) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is one of constraints."""
    if path in within:
        raise BentoError(f"{place}: {path} refers to itself, by way of {', '.join(within)}. Break the circle.")
    for number, line in enumerate(files.text(path, place).splitlines(), 1):
        match = _REFERENCE.fullmatch(line.partition(" #")[0].strip())
        if not match:
            yield line.rstrip(), limits
            continue
        if "://" in match[2]:
            raise BentoError(f"{path}:{number}: {match[2]!r} is on a network. Declare a copy of the file.")
        nested = files.path(posixpath.join(posixpath.dirname(path), match[2]), f"{path}:{number}")
        limited = limits or match[1] in CONSTRAINTS
        yield from _nested_lines(nested, files, f"{path}:{number}", within=(*within, path), limits=limited)
