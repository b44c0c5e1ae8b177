"""Downloads a file in several attempts or runs; it appears under its name when it is complete."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_partial(path: Path) -> Iterator[BinaryIO | None]:
    """Open `.NAME.part` next to `path` with its earlier contents; it becomes `path` if the block succeeds.

    Only one process at a time is in the block. A process that waited while another one completed the file gets None.
    Raises OSError if `.NAME.part` is a symbolic link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    while not path.exists():
        with os.fdopen(os.open(part, _APPEND, 0o666), "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, part):
                continue  # the previous owner of the lock has renamed the file
            if path.exists():
                part.unlink()  # opened after the rename, so it is new and empty
                break
            yield file
            file.flush()
            part.rename(path)
            return
    yield None


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
