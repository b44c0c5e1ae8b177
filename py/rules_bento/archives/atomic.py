"""Writes files and folders that appear under their name only when they are complete.

What is in the making has no name where the system allows it (Linux, most file systems): nothing is left of it however
the process ends. Elsewhere it has a random one, which nobody else can have taken or made a link of.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODE = 0o666  # before the umask, as `open` has it
_UNFINISHED = r"\.[0-9a-f]{24}\.part"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` if the block ends well; else there is nothing new. Raises OSError."""
    nameless = _nameless(path.parent)
    name = _sibling(path)
    descriptor = os.open(name, _NEW, _MODE) if nameless is None else nameless
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            if nameless is not None:
                _give_name(descriptor, name)
        name.replace(path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def replace_file(path: Path, data: bytes) -> None:
    """Write a file of the user's anew: it has the new bytes, or all that it had.

    Raises BentoError for a link, since what it leads to may be anywhere, and where the file cannot be written.
    """
    if path.is_symlink():
        raise BentoError(f"{path}: is a link, and what it leads to is not written to. Put a file in its place.")
    try:
        with atomic_file(path) as file:
            file.write(data)
    except OSError as error:
        raise BentoError(f"{path}: cannot be written, and is as it was: {error.strerror or error}.") from error


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield a folder that becomes `path`, which is missing or empty, if the block ends well. Raises OSError."""
    name = _sibling(path)
    name.mkdir(parents=True)
    try:
        yield name
        name.replace(path)
    except BaseException:
        import shutil

        shutil.rmtree(name, ignore_errors=True)
        raise


def is_unfinished(name: str, path: Path) -> bool:
    """Return whether a file, as an OSError names it, is what is in the making for `path`, or is inside of that."""
    place = Path(name)
    return any(
        above.parent == path.parent and re.fullmatch(_UNFINISHED, above.name) for above in (place, *place.parents)
    )


def _sibling(path: Path) -> Path:
    return path.with_name(f".{os.urandom(12).hex()}.part")


def _nameless(folder: Path) -> int | None:
    """Return a new file in a folder without a name; None where that is not possible, or it could not get one later."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, _MODE)
        if os.path.lexists(_open_file(descriptor)):
            return descriptor
        os.close(descriptor)
    return None


def _give_name(descriptor: int, name: Path) -> None:
    folder = os.open(name.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Given a folder, Python calls linkat(2) with AT_SYMLINK_FOLLOW: else it would link the link of /proc.
        os.link(_open_file(descriptor), name.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _open_file(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
