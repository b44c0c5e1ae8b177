"""A file that is fetched in several attempts, or by several runs: there under its name only when it is whole."""

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
    """Open `.NAME.part` beside `path`, with what came before, and have it at `path` when the block ends well.

    One process at a time is in the block; who waited for another one that has fetched the file is given None. Raises
    OSError for a link in the place of `.NAME.part`, which is not written through.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    while not path.exists():
        with os.fdopen(os.open(part, _APPEND, 0o666), "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, part):
                continue  # who had the lock before has given it its name
            if path.exists():
                part.unlink()  # opened after that, so it is new and empty
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
