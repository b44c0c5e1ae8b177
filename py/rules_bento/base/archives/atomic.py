"""Writes files and directories atomically: each name appears only when the content is complete.

On Linux, most file systems support temporary files without a name, so no file remains if the process is killed.
On other systems and file systems, a temporary file has a random name that other processes can't predict.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import OwnDirectory
from rules_bento.base.typing_lite import BinaryIO, Iterator, Sequence

_MODE = 0o666  # before the umask, as in `open`
_UNFINISHED = r"\.[0-9a-f]{24}\.part"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def atomic_file(path: Path, mode: int = _MODE, directory: int | None = None) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` if the `with` block succeeds. Raises OSError if the file can't be written.

    `directory` is a descriptor of the parent. Without it, links in the path of the parent are followed.
    """
    name, parent = _unfinished_name(), -1
    try:
        parent = os.open(path.parent, _DIRECTORY) if directory is None else os.dup(directory)
        nameless = _open_unnamed(parent, mode)
        descriptor = os.open(name, _NEW, mode, dir_fd=parent) if nameless is None else nameless
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            if nameless is not None:
                # With a directory, Python calls linkat(2) with AT_SYMLINK_FOLLOW, which follows the link in /proc.
                os.link(_open_file(descriptor), name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=True)
        os.replace(name, path.name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(name, dir_fd=parent)
        if isinstance(error, OSError) and error.filename in (name, str(path.parent)):
            error.filename, error.filename2 = str(path.with_name(name)), str(path) if error.filename2 else None
        raise
    finally:
        if parent >= 0:
            os.close(parent)


def write_pieces(file: BinaryIO, pieces: Sequence[bytes | memoryview]) -> None:
    """Write at most 1,000 pieces to a file with one system call, without copying the pieces into a buffer."""
    file.flush()
    rest = list(pieces)
    while rest:
        written = os.writev(file.fileno(), rest)
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if written:
            rest[0] = memoryview(rest[0])[written:]


def write_private(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Atomically write a file, and missing directories of the current user. Raises OSError on failure."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_file(path, mode) as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Create a directory if it is missing, and hold the lock that is required to read, change, and write its files."""
    import fcntl

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, _DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # releases the lock


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to a file atomically.

    Raises BentoError for a path that is a symbolic link or a directory, or if writing fails.
    """
    if path.is_symlink() or path.is_dir():
        kind = "symbolic link" if path.is_symlink() else "directory"
        remedy = f"Replace the {kind} with a file."
        raise BentoError(f"the path is a {kind}, which can't be overwritten", place=str(path), remedy=remedy)
    try:
        with atomic_file(path) as file:
            file.write(data)
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: str | os.PathLike[str], error: OSError) -> BentoError:
    """Return the error for a file that can't be written."""
    place, directory = os.fspath(path), Path(path).parent
    if not directory.is_dir():
        return BentoError(f"the directory {directory} doesn't exist", place=place, remedy="Create the directory.")
    problem = f"cannot write the file: {error.strerror or error}"
    return BentoError(problem, place=place, remedy="Check the permissions and the free disk space.")


@contextmanager
def atomic_dir(path: Path) -> Iterator[OwnDirectory]:
    """Yield a directory that becomes `path` if the `with` block succeeds. If `path` exists, it must be empty."""
    name = OwnDirectory(path.with_name(_unfinished_name()))
    name.mkdir(parents=True)
    try:
        yield name
        name.replace(path)
    except BaseException:
        import shutil

        shutil.rmtree(name, ignore_errors=True)
        raise


def is_unfinished(name: str, path: Path) -> bool:
    """Return whether `name` is (or is inside) a temporary file or directory that this module creates next to `path`."""
    place = Path(name)
    return not place.is_absolute() or any(  # relative: `TreeWriter` doesn't have the path of its directory
        above.parent == path.parent and re.fullmatch(_UNFINISHED, above.name) for above in (place, *place.parents)
    )


def _unfinished_name() -> str:
    return f".{os.urandom(12).hex()}.part"


def _open_unnamed(directory: int, mode: int) -> int | None:
    """Open a file without a name. Returns None if the system can't create such a file, or can't name the file later."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    with suppress(OSError):
        descriptor = os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, mode, dir_fd=directory)
        if os.path.lexists(_open_file(descriptor)):
            return descriptor
        os.close(descriptor)
    return None


def _open_file(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
