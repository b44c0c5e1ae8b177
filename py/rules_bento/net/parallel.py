"""Runs several transfers at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rules_bento.net.progress import Counter

JOBS = 6
"""Transfers at once: from three on as fast on one machine (bench/push.py), and six hide the latency of a long way."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StoppedError(BentoError):
    """Ends a transfer because another one failed, whose error is shown."""

    def __init__(self) -> None:
        super().__init__("Stopped, because another transfer failed.")


class Transfers:
    """Counts the bytes of several transfers; once one fails, the others end at their next step."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._waiting: set[Callable[[], None]] = set()

    def expect(self, size: int) -> None:
        """Count `size` bytes more to transfer. Raises StoppedError."""
        self._check()
        self._counter.expect(size)

    def advance(self, size: int) -> None:
        """Count `size` bytes that were transferred. Raises StoppedError."""
        self._check()
        self._counter.advance(size)

    def stop(self) -> None:
        """Stop all transfers: at once where they wait for a connection, or before another attempt."""
        with self._lock:
            self._stopped.set()
            for abort in self._waiting:
                abort()

    @contextmanager
    def waiting(self, abort: Callable[[], None]) -> Iterator[None]:
        """Call `abort`, from another thread, if the transfers are stopped during the block. Raises StoppedError."""
        with self._lock:
            self._check()
            self._waiting.add(abort)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(abort)

    def pause(self, seconds: float) -> None:
        """Wait. Raises StoppedError as soon as the transfers are stopped."""
        self._stopped.wait(seconds)
        self._check()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError


class _Here(threading.local):
    """Holds the transfers that this thread works for."""

    transfers: Transfers | None = None


_here = _Here()


@contextmanager
def interruptible(abort: Callable[[], None]) -> Iterator[None]:
    """Call `abort` if another transfer of `for_each` fails during the block. Raises StoppedError."""
    if _here.transfers is None:
        yield
    else:
        with _here.transfers.waiting(abort):
            yield


def pause(seconds: float) -> None:
    """Wait; in a transfer of `for_each` only until another one fails. Raises StoppedError."""
    if _here.transfers is None:
        time.sleep(seconds)
    else:
        _here.transfers.pause(seconds)


def for_each(
    function: Callable[[_Item, Counter], _Result], items: Iterable[_Item], counter: Counter, jobs: int = JOBS
) -> list[_Result]:
    """Return the results for the items, in their order. The first error stops all, and is raised.

    It is raised when all have stopped: at once where they wait for an answer or for another attempt.
    """
    transfers = Transfers(counter)

    def one(item: _Item) -> _Result:
        _here.transfers = transfers
        return function(item, transfers)

    pool = ThreadPoolExecutor(jobs)
    futures = [pool.submit(one, item) for item in items]
    try:
        with interruptible(transfers.stop):  # this may be a transfer of others
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
