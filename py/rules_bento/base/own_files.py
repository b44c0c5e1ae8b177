"""Creates and removes files at paths that untrusted input can't choose.

Each call that does so is of one of these kinds (tests/test_file_calls.py):

own     in a directory that this process or its store created, at a name of the code, a number, or a validated name
digest  at a path that a verified digest determines
output  at a path that the user or Bazel specified (see `archives.atomic`). A directory of the user can be somebody
        else's work: names below it follow no link, unless the comment is `output that follows links`
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterable, Iterator, NewType

OwnDirectory = NewType("OwnDirectory", Path)  # a directory that this process created, or one of a fixed name in it
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_PATH = 4094  # bytes, without a slash and the end (PATH_MAX in <linux/limits.h>)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})|sha512:([0-9a-f]{128})")  # SHA-256 or BLAKE3, or SHA-512


@contextmanager
def own_directory(prefix: str = "rules_bento-", parent: Path | None = None) -> Iterator[OwnDirectory]:
    """Yield a new directory that only the current user can access, and remove it after the `with` block.

    Raises BentoError if the file system doesn't protect the directory from other users.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as name:
        status = Path(name).lstat()
        if status.st_mode & 0o170077 != stat.S_IFDIR or status.st_uid != os.geteuid():
            raise BentoError("other users can change it", place=name, remedy="Set TMPDIR to another file system.")
        try:
            yield OwnDirectory(Path(name))
        finally:
            remove(Path(name), ignores_errors=True)  # because Python's own removal has these limits: see `_remove_any`


def user_cache_directory() -> Path | None:
    """Return the directory for the current user's cached files, or None if the home directory is unknown."""
    cache, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    directory = Path(cache) if os.path.isabs(cache) else Path(home) / ".cache" if home else None  # noqa: PTH117
    return directory / "rules_bento" if directory else None


def digest_path(directory: Path, digest: str, suffix: str = "") -> Path:
    """Return the path of a digest in a directory. Raises BentoError for other strings. `suffix` contains no slash."""
    if not (match := _DIGEST.fullmatch(digest)):
        raise BentoError(f"{digest[:200]!r} isn't a digest", remedy="Use a SHA-256 digest of 64 hexadecimal digits.")
    return directory / f"{match[1] or match[2]}{suffix}"


def remove(path: Path, *, ignores_errors: bool = False) -> None:
    """Remove a file, a directory with its contents, or a link, if it exists. Doesn't follow links."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        ignored = (OSError,) if ignores_errors else ()
        with suppress(*ignored):
            try:
                shutil.rmtree(path)
            except (RecursionError, *ignored):
                _remove_any(path)
    else:
        with suppress(OSError if ignores_errors else FileNotFoundError):
            path.unlink()


def _remove_any(top: Path) -> None:
    """Remove a directory of any depth, which `shutil.rmtree` of Python before 3.13 can't, and of any modes."""
    found, name = [top], os.urandom(12).hex()
    for directory in found:
        directory.chmod(0o700)
        for path in [*directory.iterdir()]:
            if path.is_dir() and not path.is_symlink():
                found.append(path.rename(top / f"{name}{len(found)}"))  # deeper paths can be too long
            else:
                path.unlink()
    for directory in reversed(found):
        directory.rmdir()


class TreeWriter(ExitStack):
    """Writes files to a directory, at paths that others chose. Follows no link, and replaces no file.

    Raises BentoError for a path that isn't relative and normalized, and OSError if a directory is a link.
    """

    def __init__(self, directory: Path) -> None:
        """Open the directory, and create it if it is missing. Only its parents can be links."""
        super().__init__()
        directory.mkdir(parents=True, exist_ok=True)
        self._root = os.open(directory, _DIRECTORY)
        self._most = _MAX_PATH - len(os.fsencode(directory.absolute()))
        self._parents: list[str] = []  # of the last file, because files are often in order
        self._at = os.dup(self._root)
        self.callback(lambda: os.close(self._at))
        self.callback(os.close, self._root)

    def directory(self, path: str, mode: int | None = None) -> None:
        """Create a directory and its parents, unless they exist."""
        self.open_parent(f"{path}/_")
        if mode is not None:
            os.fchmod(self._at, mode)

    def link(self, path: str, target: str, time: int | None = None) -> None:
        """Create a symbolic link. A caller that reads the tree later must check the target."""
        name, _ = self.open_parent(path)
        os.symlink(target, name, dir_fd=self._at)
        if time is not None:
            os.utime(name, ns=(time, time), dir_fd=self._at, follow_symlinks=False)

    def file(
        self, path: str, pieces: Iterable[bytes | memoryview], mode: int | None = None, time: int | None = None
    ) -> None:
        """Create a file. Without `mode`, its mode depends on the umask. `time` is in nanoseconds since 1970."""
        name, _ = self.open_parent(path)
        with os.fdopen(os.open(name, _NEW, 0o666, dir_fd=self._at), "wb") as file:
            file.writelines(pieces)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            if time is not None:
                file.flush()
                os.utime(file.fileno(), ns=(time, time))

    def copy(self, path: str, source: Path) -> None:
        """Create a copy of a file. The copy is executable if the user can run the file."""
        with source.open("rb") as file:
            self.file(path, iter(partial(file.read, 1 << 20), b""), 0o755 if os.access(source, os.X_OK) else 0o644)

    def open_parent(self, path: str) -> tuple[str, int]:
        """Open the parent of `path`, and create it if needed. Returns the name of the file, and the descriptor."""
        *parents, name = path.split("/")
        if "\0" in path or not {"", ".", ".."}.isdisjoint((*parents, name)):
            raise BentoError(f"the path {path[:200]!r} isn't relative and normalized", remedy="Rename the file.")
        if len(os.fsencode(path)) > self._most:  # readers, who have no descriptors, couldn't open the file
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if parents != self._parents:
            os.close(self._at)
            self._parents, self._at = ["/"], os.dup(self._root)  # not the parents of any file, until all are open
            for part in parents:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=self._at)
                above, self._at = self._at, os.open(part, _DIRECTORY, dir_fd=self._at)
                os.close(above)
            self._parents = parents
        return name, self._at
