"""Shows the progress of long work on a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.archives.unpack import Progress
    from rules_bento.net.transfers import Counter

_DELAY, _INTERVAL = 0.5, 0.1  # seconds; short tasks show no progress


@contextmanager
def progress(verb: str, total: int = 0) -> Iterator[Progress | None]:
    """Yield a function that counts bytes and shows how many of `total` (if that is known) are done."""
    if not show.progress_output().isatty():
        yield None
        return
    line = _Line(verb, total)
    try:
        yield line
    finally:
        line.clear()


@contextmanager
def transfer(verb: str, url: str) -> Iterator[Counter | None]:
    """Yield a counter for a transfer if the text is a URL; it shows the progress."""
    from bento_cli.transports.address import parse

    address = parse(url) if "://" in url else None
    if address is None:
        yield None
        return
    from rules_bento.net.transfers import Progress

    if address.password:
        show.note("Other users of this machine can see the password in the URL. Write it to ~/.netrc instead.")
    with Progress(verb, out=show.progress_output()) as counter:
        yield counter


class _Line:
    def __init__(self, verb: str, total: int) -> None:
        self._verb = verb
        self._total = total
        self._done = 0
        self._next = time.monotonic() + _DELAY
        self._shown = False

    def __call__(self, more: int) -> None:
        self._done += more
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        self._shown = True
        share = f" of {show.size(self._total)} ({100 * self._done // self._total} %)" if self._total else ""
        sys.stderr.write(f"\r\x1b[K{self._verb} {show.size(self._done)}{share}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
