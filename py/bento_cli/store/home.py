"""Defines the directory layout and the locks of a store.

BENTOML_HOME/bentos/NAME/VERSION/...     BENTOML_HOME/models/NAME/VERSION/...     as in BentoML
BENTOML_HOME/{bentos,models}/NAME/latest                     a pointer: a file that contains a version
BENTOML_HOME/.rules_bento/                                   only for rules_bento; can be removed without loss
    pool/AB/CDEF...[-x]       contents by BLAKE3 digest (executable files separately), shared with entries
    records/bentos/NAME/VERSION   manifests of imported entries, for `bento verify`
    summaries/bentos.json     fields of descriptors, for fast listings
    downloads/    partial blobs by digest, to resume a pull
    staging/      entries that are being added, and archives that are copied from or to a URL
    trash/        entries that are being removed
    lock  commit.lock         the files of `staging_lock`, `exclusive_lock`, and `commit_lock`
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from rules_bento.base import utf8_mode
from rules_bento.base.own_files import remove
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.kinds import Kind

utf8_mode.require()  # every module of the library imports this module


def unique(directory: Path) -> Path:
    """Return a new path in `directory`. The path is unique across processes."""
    return directory / f"{os.getpid()}-{os.urandom(6).hex()}"


class Home:
    """A BentoML home and the paths in it. The paths might not exist."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        """Open the home at `root`. If `durable` is true, changes are flushed to disk, and survive a power failure."""
        self.root = root
        self.durable = durable
        self.own = root / ".rules_bento"
        self.pool = self.own / "pool"
        self.downloads = self.own / "downloads"
        self.staging = self.own / "staging"
        self.trash = self.own / "trash"

    @staticmethod
    def find(root: str | Path | None = None, *, durable: bool = True) -> Home:
        """Return the home at `root`, by default BENTOML_HOME or `~/bentoml`. Expands `~` and environment variables."""
        chosen = str(root or os.environ.get("BENTOML_HOME") or Path("~") / "bentoml")
        return Home(Path(os.path.expandvars(chosen)).expanduser().absolute(), durable=durable)

    def entries_dir(self, kind: Kind) -> Path:
        """Return the directory of all entries of one kind."""
        return self.root / kind.directory

    def records(self, kind: Kind) -> Path:
        """Return the directory that contains the manifests of imported entries."""
        return self.own / "records" / kind.directory

    def summaries(self, kind: Kind) -> Path:
        """Return the path of the file that caches summaries of descriptors."""
        return self.own / "summaries" / f"{kind.directory}.json"


@contextmanager
def commit_lock(home: Home, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock that is required to add or remove entries. Keep the `with` block short.

    If `wait` is false, yields False if the lock isn't free.
    """
    with _open(home, "commit.lock") as file:
        yield _flock(file, exclusive=True, wait=wait)


@contextmanager
def staging_lock(home: Home) -> Iterator[None]:
    """Hold the shared lock that protects staged data. The first holder removes leftover files of killed processes."""
    with _open(home, "lock") as file:
        # If no other process has the lock, the existing files were left by processes that died.
        if _flock(file, exclusive=True, wait=False):
            _clear(home)
        _flock(file, exclusive=False)
        yield


@contextmanager
def exclusive_lock(home: Home, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the store's exclusive lock, and remove leftover files. Calls `waiting` if another process holds the lock."""
    with _open(home, "lock") as file:
        if not _flock(file, exclusive=True, wait=False):
            if waiting:
                waiting()
            _flock(file, exclusive=True)
        _clear(home)
        yield


@contextmanager
def staged_directory(home: Home) -> Iterator[Path]:  # writes: own, a new name
    """Yield a new directory in the staging directory, and remove it after the `with` block."""
    with staging_lock(home):  # if this process is killed, a later one removes the directory
        directory = unique(home.staging)
        directory.mkdir(mode=0o700, parents=True)
        try:
            yield directory
        finally:
            remove(directory, ignores_errors=True)


def _clear(home: Home) -> None:  # writes: own, names that are in the store
    """Remove leftover files from the staging and trash directories."""
    for directory in (home.staging, home.trash):
        for left in directory.iterdir() if directory.is_dir() else ():
            remove(left, ignores_errors=True)


@contextmanager
def _open(home: Home, name: str) -> Iterator[int]:  # writes: own, constant names
    home.own.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(home.own / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)  # closing the file releases the lock


def _flock(file: int, *, exclusive: bool, wait: bool = True) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def forget_downloads(home: Home, names: Iterable[str]) -> None:  # writes: own, names that are in the store
    """Remove downloads whose names begin with one of `names`, except partial downloads that another process uses."""
    beginnings = tuple(names)
    for path in list(home.downloads.iterdir()) if home.downloads.is_dir() else ():
        if not path.name.removeprefix(".").startswith(beginnings):
            continue
        with suppress(OSError):
            if path.name.startswith("."):
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            else:
                path.unlink()
    with suppress(OSError):  # the directory contains downloads of other pulls
        home.downloads.rmdir()
