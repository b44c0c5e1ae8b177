"""Writes files atomically. If `Home.durable` is set, flushes files to disk, so that they survive a power failure."""

from __future__ import annotations

import errno
import os
import sys

from rules_bento.base.tree_walk import walk
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from pathlib import Path

    from bento_cli.store.home import Home


_CURRENT_DIRECTORY, _EXCHANGE = -100, 2  # flag of renameat2
_SWAP = 2  # flag of renamex_np
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV)
_FEW = 64  # up to this number, flushing single files is faster than flushing the whole file system


def flush_trees(home: Home, directory: Path, files: Sequence[str]) -> None:
    """If `home.durable` is set, flush `files` and all directories in the tree `directory` to disk."""
    if not home.durable or (len(files) > _FEW and _flush_file_system(directory)):
        return
    for path in files:
        flush(path)
    flush(directory)
    for _, entry in walk(directory):
        if entry.is_dir(follow_symlinks=False):
            flush(entry.path)


def flush_directory(home: Home, path: Path) -> None:
    """If `home.durable` is set, flush a directory to disk, so that new and renamed files survive a power failure."""
    if home.durable:
        flush(path)


def write(home: Home, path: Path, data: bytes) -> None:  # writes: own, constant names and tags in the store
    """Write a small file and missing directories atomically. Replaces an existing file."""
    from rules_bento.base.archives.atomic import write_private

    write_private(path, data, 0o666, durable=home.durable)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically. Returns False if exchanges aren't supported. Raises OSError for other failures."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            status = library.renamex_np(*names, ctypes.c_uint(_SWAP))
        else:
            here = ctypes.c_int(_CURRENT_DIRECTORY)
            status = library.renameat2(here, names[0], here, names[1], ctypes.c_uint(_EXCHANGE))
    except AttributeError:
        return False
    if status and ctypes.get_errno() not in _CANNOT:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return int(status) == 0


def flush(path: Path | str) -> None:
    """Write a file or directory to the disk, so that the content survives a power failure."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _flush_file_system(directory: Path) -> bool:
    if sys.platform != "linux":
        os.sync()
        return True
    import ctypes

    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(ctypes.CDLL(None).syncfs(file)) == 0
    finally:
        os.close(file)
