"""Locks between processes that write to one store. BentoML takes no locks; atomic renames protect the store from it."""

from __future__ import annotations

import os
from contextlib import contextmanager

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bento_cli.store.home import Home


@contextmanager
def committing(home: Home) -> Iterator[None]:
    """Hold the lock for changing the list of entries. The block must be short: it reads and writes only names."""
    with _open(home, "commit.lock") as file:
        _flock(file, exclusive=True)
        yield


@contextmanager
def staging(home: Home) -> Iterator[None]:
    """Hold the shared lock for adding or removing entries. It prevents other processes from removing staged data."""
    with _open(home, "lock") as file:
        # If no other process has the lock, existing files are of processes that died.
        if _flock(file, exclusive=True, wait=False):
            _clear(home)
        _flock(file, exclusive=False)
        yield


@contextmanager
def alone(home: Home, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the store's lock exclusively. `waiting` is called if another process has the lock."""
    with _open(home, "lock") as file:
        if not _flock(file, exclusive=True, wait=False):
            if waiting:
                waiting()
            _flock(file, exclusive=True)
        _clear(home)
        yield


def _clear(home: Home) -> None:
    """Remove files of processes that died."""
    import shutil

    for folder in (home.staging, home.trash):
        for left in folder.iterdir() if folder.is_dir() else ():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


@contextmanager
def _open(home: Home, name: str) -> Iterator[int]:
    home.own.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(home.own / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)  # which gives the lock back; so does the end of the process


def _flock(file: int, *, exclusive: bool, wait: bool = True) -> bool:
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
