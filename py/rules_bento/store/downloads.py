"""Keeps unfinished pulls in the store's own folder, so that another run goes on where one was cut."""

from __future__ import annotations

import fcntl
from contextlib import suppress

from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_bento.store.home import Home


def forget(home: Home, names: Iterable[str]) -> None:
    """Remove the files whose names begin so, whole or (with a point before) not, unless another process is at it."""
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
    with suppress(OSError):  # others are at work
        home.downloads.rmdir()
