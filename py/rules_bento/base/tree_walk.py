"""Walks directory trees, opens files below a directory, and defines the files that never enter a Bento or model."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
BYTECODE = "__pycache__"
"""Name of the directories to which Python writes bytecode."""
GENERATED = frozenset((BYTECODE, ".DS_Store"))
"""Names of files that Python and macOS add to directories that they read. Entries of a store never contain them.

An imported `__pycache__` could contain other code than the sources, whose digests are compared.
"""
BUILT_IN = (".git/", ".venv/", "venv/", "__pycache__/", ".DS_Store")
"""The patterns of files that BentoML always excludes from the sources of a Bento."""


def walk(
    directory: str | os.PathLike[str],
    *,
    without: Collection[str] = (),
    keeps: Callable[[str, os.DirEntry[str]], bool] | None = None,
    enter: Callable[[os.DirEntry[str]], bool] | None = None,
    strict: bool = True,
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield each file, link, and directory in a tree, with its relative path. Doesn't follow links.

    The order is by name, and a directory precedes its contents. Skips all entries whose name is in `without`, or for
    whose path `keeps` returns False, with their contents, and the contents of directories for which `enter` returns
    False. Raises OSError for a directory that can't be read, or skips its contents if `strict` is false.
    """

    def entries(directory: str | os.PathLike[str], prefix: str) -> list[tuple[str, os.DirEntry[str]]]:
        found = _entries(directory, prefix, without, strict=strict)
        return [pair for pair in reversed(found) if keeps(*pair)][::-1] if keeps else found

    pending = entries(directory, "")
    while pending:
        path, entry = pending.pop()
        yield path, entry
        if entry.is_dir(follow_symlinks=False) and (enter is None or enter(entry)):
            pending += entries(entry.path, f"{path}/")


def open_below(path: str, directory: str) -> int:
    """Return a descriptor of a file, for reads. Doesn't block for a pipe.

    Follows no link below `directory`, unless it is empty. Raises OSError for a link, or a path that isn't below it.
    """
    if not directory:
        return os.open(path, _FILE)
    *parents, name = path.removeprefix(f"{directory}/").split("/")  # if it isn't below, a part is empty
    if not {"", ".."}.isdisjoint((*parents, name)):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    at = os.open(directory, _FILE | os.O_DIRECTORY)
    try:
        for part in parents:
            above, at = at, os.open(part, _FILE | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(above)
        return os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def is_generated(path: str) -> bool:
    """Return whether `GENERATED` contains a part of a path."""
    return not GENERATED.isdisjoint(path.split("/"))


def _entries(
    directory: str | os.PathLike[str], prefix: str, without: Collection[str], *, strict: bool
) -> list[tuple[str, os.DirEntry[str]]]:
    """Return the entries of a directory, each with its path, in descending order."""
    try:
        with os.scandir(directory) as scan:
            entries = [(prefix + entry.name, entry) for entry in scan if entry.name not in without]
    except OSError:
        if strict:
            raise
        return []
    return sorted(entries, key=lambda pair: pair[0], reverse=True)
