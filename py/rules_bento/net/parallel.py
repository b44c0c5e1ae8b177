"""Several transfers at once."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from rules_bento.errors import BentoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rules_bento.net.progress import Counter

JOBS = 6
"""Transfers at once: from three on as fast on one machine (bench/push.py), and six hide the latency of a long way."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StoppedError(BentoError):
    """Another transfer has failed; its error is the one to show."""

    def __init__(self) -> None:
        super().__init__("Stopped, because another transfer failed.")


class Transfers:
    """Counts for several transfers, until one of them fails: then the others end at their next step."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._stopped = threading.Event()

    def expect(self, size: int) -> None:
        """There are `size` bytes more to be moved than was known. Raises StoppedError."""
        self._check()
        self._counter.expect(size)

    def advance(self, size: int) -> None:
        """`size` bytes were moved. Raises StoppedError."""
        self._check()
        self._counter.advance(size)

    def stop(self) -> None:
        """Let all transfers end."""
        self._stopped.set()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError


def for_each(
    function: Callable[[_Item, Counter], _Result], items: Iterable[_Item], counter: Counter, jobs: int = JOBS
) -> list[_Result]:
    """The results for the items, in their order. The first error stops all, and is raised."""
    transfers = Transfers(counter)
    pool = ThreadPoolExecutor(jobs)
    futures = [pool.submit(function, item, transfers) for item in items]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        errors = [future.exception() for future in futures if future.done()]
        for error in sorted(filter(None, errors), key=lambda error: isinstance(error, StoppedError)):
            raise error
    except BaseException:
        transfers.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]
