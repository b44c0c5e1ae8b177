"""Runs parallel transfers with retries, and shows a progress line on a terminal."""

from __future__ import annotations

import fcntl
import os
import random
import sys
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext

from rules_bento.errors import BentoError
from rules_bento.net.headers import parse_nonnegative_int
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterable, Iterator, Protocol, TextIO, TypeVar

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path


JOBS = 6  # parallel transfers: three are enough on one machine (bench/push.py), and six hide the latency of a network
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})  # the statuses of transient errors
_ATTEMPTS = 6
_FIRST_WAIT = 0.25  # seconds; doubled for each attempt, about 8 in total
_MAX_WAIT = 60.0
# Bytes after the last failure that count as progress, so a server that sends single bytes doesn't.
MIN_PROGRESS = 1 << 16
_INTERVAL = 0.1  # seconds between two updates of the line
_MB = 1_000_000

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Counter(Protocol):
    """Interface through which transfers report their progress."""

    def expect(self, size: int) -> None:
        """Add `size` bytes to the total."""

    def advance(self, size: int) -> None:
        """Add `size` to the number of transferred bytes. `size` is negative if bytes must be transferred again."""


class Progress:
    """Thread-safe counter. If `out` is a terminal, shows the progress on one line during a `with` block."""

    def __init__(self, what: str, total: int = 0, out: TextIO | None = None) -> None:
        self._what = what
        self._out = out or sys.stderr
        self._total = total
        self._done = 0
        self._start = self._shown = time.monotonic()
        self._lock = threading.Lock()
        self._visible = self._out.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def expect(self, size: int) -> None:
        """Add `size` bytes to the total."""
        with self._lock:
            self._total += size

    def advance(self, size: int) -> None:
        """Add `size` to the number of transferred bytes. `size` is negative if bytes must be transferred again."""
        with self._lock:
            self._done += size
            now = time.monotonic()
            if self._visible and now - self._shown >= _INTERVAL:
                self._shown = now
                self._out.write(f"\r{self._line(now)}\x1b[K")
                self._out.flush()

    def _line(self, now: float) -> str:
        total = f" of {self._total / _MB:.0f} MB, {100 * self._done // self._total} %" if self._total else " MB"
        rate = self._done / _MB / max(now - self._start, 0.001)
        return f"{self._what}: {self._done / _MB:.0f}{total}, {rate:.0f} MB/s"


class Tally:
    """Counter for a single transfer. The transfer can restart at an earlier position."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._at = 0

    def move_to(self, at: int) -> None:
        """Set the number of transferred bytes to `at`. Raises the errors of the underlying counter."""
        self.advance(at - self._at)

    def advance(self, size: int) -> None:
        """Count `size` transferred bytes. Raises the errors of the underlying counter."""
        self._at += size
        self._counter.advance(size)


class StoppedError(BentoError):
    """Raised to end a transfer after another transfer failed. Users see only the error of the other transfer."""

    def __init__(self) -> None:
        super().__init__("Stopped because another transfer failed.")


class Transfers:
    """Counter for a group of transfers. `stop` ends all transfers."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._waiting: set[Callable[[], None]] = set()

    def expect(self, size: int) -> None:
        """Add `size` bytes to the total. Raises StoppedError if `stop` was called."""
        self._check()
        self._counter.expect(size)

    def advance(self, size: int) -> None:
        """Count `size` transferred bytes. Raises StoppedError if `stop` was called."""
        self._check()
        self._counter.advance(size)

    def stop(self) -> None:
        """Make other methods raise StoppedError, and call the `abort` functions of all active `waiting` blocks."""
        with self._lock:
            self._stopped.set()
            for abort in self._waiting:
                abort()

    @contextmanager
    def waiting(self, abort: Callable[[], None]) -> Iterator[None]:
        """Call `abort` if `stop` is called during the block. Raises StoppedError if `stop` was called earlier."""
        with self._lock:
            self._check()
            self._waiting.add(abort)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(abort)

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`. Raises StoppedError when `stop` is called."""
        self._stopped.wait(seconds)
        self._check()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError


_thread = threading.local()  # `transfers`, if set, is the group to which the thread belongs


@contextmanager
def interruptible(abort: Callable[[], None]) -> Iterator[None]:
    """Call `abort` if a parallel transfer fails during the block. Raises StoppedError if a transfer failed earlier."""
    transfers: Transfers | None = getattr(_thread, "transfers", None)
    with transfers.waiting(abort) if transfers else nullcontext():
        yield


def pause(seconds: float) -> None:
    """Wait for `seconds`. Raises StoppedError when a parallel transfer fails."""
    transfers: Transfers | None = getattr(_thread, "transfers", None)
    (transfers.pause if transfers else time.sleep)(seconds)


def parallel_map(
    function: Callable[[_Item, Counter], _Result], items: Iterable[_Item], counter: Counter, jobs: int = JOBS
) -> list[_Result]:
    """Call `function` for each item in up to `jobs` threads. Returns the results in the order of the items.

    If a call fails, stops all transfers, and raises the error of the failed call.
    """
    transfers = Transfers(counter)

    def one(item: _Item) -> _Result:
        _thread.transfers = transfers
        return function(item, transfers)

    pool = ThreadPoolExecutor(jobs)
    futures = [pool.submit(one, item) for item in items]
    try:
        with interruptible(transfers.stop):  # this can itself be a transfer of another `parallel_map`
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


class Retry:
    """Retry policy with exponential backoff. Progress resets the number of failed attempts."""

    def __init__(self, sleep: Callable[[float], object] = pause) -> None:
        self._sleep = sleep
        self._failed = 0
        self._moved = 0

    def progressed(self, size: int) -> None:
        """Count `size` transferred bytes. Resets the number of failures after `MIN_PROGRESS` bytes."""
        self._moved += size
        if self._moved >= MIN_PROGRESS:
            self._failed = 0

    def again(self, asked: float | None = None) -> bool:
        """Count a failure, and return whether to retry. Waits before a retry, at least `asked` seconds (limit: 60)."""
        self._failed += 1
        self._moved = 0
        if self._failed >= _ATTEMPTS:
            return False
        wait = _FIRST_WAIT * 2 ** (self._failed - 1) * random.uniform(0.5, 1)  # distributes the clients
        self._sleep(wait if asked is None else min(max(asked, wait), _MAX_WAIT))
        return True


def retry_after(headers: Message) -> float | None:
    """Return the delay in `Retry-After` (RFC 9110) in seconds, or None if the header is missing or invalid."""
    value = headers.get("Retry-After", "")
    seconds = parse_nonnegative_int(value)
    if seconds is not None:
        return float(seconds)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):  # `email.utils` raises these for invalid dates
        return None


_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_partial(path: Path) -> Iterator[BinaryIO | None]:
    """Lock and open a partial file. Renames the file to `path` if the block succeeds. Yields None if `path` exists."""
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
