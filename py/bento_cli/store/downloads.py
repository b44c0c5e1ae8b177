"""Keeps partial pulls in the store's own directory, so that another run can resume them."""

from __future__ import annotations

import fcntl
from contextlib import suppress

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bento_cli.store.home import Home


def forget(home: Home, names: Iterable[str]) -> None:
    """Remove complete and partial (`.NAME`) files whose names have these prefixes, unless another process uses them."""
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
    with suppress(OSError):  # the directory has files of other pulls
        home.downloads.rmdir()
