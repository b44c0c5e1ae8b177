"""Finds the files of links that Bazel doesn't resolve (`declare_symlink`): they lead nowhere in its directories."""

from __future__ import annotations

import os
import posixpath

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterator, Sequence
from rules_bento.bentos.sources.snapshot import runfiles_path


def follow(files: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield the path to read, Bazel's short path, and the label of each file, with the file that a link leads to.

    The target of a link is relative to its runfiles path. Raises BentoError if the target isn't one of the files.
    """
    sources = {runfiles_path(short_path): source for source, short_path, _ in files}
    for source, short_path, label in files:
        place, found, seen = runfiles_path(short_path), source, {source}
        while os.path.islink(found) and not os.path.exists(found):  # noqa: PTH110, PTH114 - for each of many files
            link = os.readlink(found)  # noqa: PTH115
            if posixpath.isabs(link):  # of Bazel's directories, or to a file of the machine, which is refused later
                break
            place = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
            if sources.get(place, source) in seen:
                problem = f"{short_path} is a link to {link!r}, which isn't a file of the same library"
                raise BentoError(problem, place=label, remedy="Add the file to data of the library, or copy it.")
            found = sources[place]
            seen.add(found)
        yield found, short_path, label
