"""Runs parallel transfers with retries, and shows a progress line on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager, nullcontext

from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, limits, terminal
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator, Mapping, Sequence, TextIO, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

JOBS = 6  # parallel transfers: three are enough on one machine (bench/push.py), and six hide the latency of a network
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})  # the statuses of transient errors
_ATTEMPTS = 6
_FIRST_WAIT = 0.25  # seconds; doubled for each attempt, about 8 in total
_MAX_WAIT = 60.0
# Bytes after the last failure that count as progress, so a server that sends single bytes doesn't.
MIN_PROGRESS = 1 << 16
_INTERVAL = 0.1  # seconds between two updates of the line on a terminal
_LOG_INTERVAL = 10.0  # seconds between two lines in a log

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Progress:
    """Thread-safe counter of one phase at a time. On a terminal, shows a bar on one line of `out` in a `with` block.

    Otherwise, writes a line every 10 seconds. Without the title `what`, shows nothing. Shows a share only of a known
    total: `total`, the size of the only file if `is_single` is true, or the size that `expect_all` sets. In a phase, no
    amount or total falls, and no total grows. If another transfer of `parallel_map` failed, methods raise StoppedError.
    """

    prefix = ""  # of the titles of further phases

    def __init__(self, what: str = "", total: int = 0, out: TextIO | None = None, *, is_single: bool = False) -> None:
        self._out = out or sys.stderr
        self._is_single = is_single
        self._lock = threading.Lock()
        self._shown = time.monotonic()
        self.is_shown = self._is_drawn = False
        self.begin(what, total)
        self.is_shown = bool(what) and terminal.state.shows_progress
        self._is_drawn = self.is_shown and self._out.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_drawn:
            terminal.erase(self._out)

    def begin(self, title: str, total: int = 0, *, items: int | None = None) -> None:
        """Begin a phase that transfers `total` bytes or, if `items` of them are already processed, `total` items."""
        with self._lock:
            self._title = self.prefix + title
            self._total = total
            self._counts_items = items is not None
            self._done = self._furthest = items or 0
            self._moved = 0
            self._start = 0.0  # of the first transfer
            self._show(is_due=self._is_drawn)

    def counted(self, title: str, items: Sequence[_Item]) -> Iterator[_Item]:
        """Yield the items that a phase processes, and count the processed items. Other phases can interrupt it."""
        for number, item in enumerate(items):
            self.begin(title, len(items), items=number)
            yield item
        self.begin(title, len(items), items=len(items))

    def expect(self, size: int) -> None:
        """Add the size of a file. Other files might follow, so only the size of a single file is the total."""
        check_stopped()
        with self._lock:
            self._total += size if self._is_single else 0

    def expect_all(self, size: int) -> None:
        """Set the total of all transfers of the phase. If the phase has already a total, the total is unknown."""
        check_stopped()
        with self._lock:
            self._total = -1 if self._total or self._done else size

    def advance(self, size: int, *, is_moved: bool = True) -> None:
        """Add `size` to the number of transferred bytes. `size` is negative if bytes must be transferred again.

        If `is_moved` is false, the bytes are already there, and don't count for the speed.
        """
        check_stopped()
        with self._lock:
            self._start = self._start or time.monotonic()
            self._done += size
            self._moved += max(size, 0) if is_moved else 0
            self._furthest = max(self._furthest, self._done)
            self._show(is_due=self._is_drawn and self._done == self._total)

    def tally(self) -> Callable[[int], None]:
        """Return a function that sets the number of bytes of one transfer, which can restart at an earlier position.

        The first call sets the number of bytes that are already there.
        """
        counted: int | None = None

        def move_to(at: int) -> None:
            nonlocal counted
            self.advance(at - (counted or 0), is_moved=counted is not None)
            counted = at

        return move_to

    def _show(self, *, is_due: bool) -> None:
        now = time.monotonic()
        if not self.is_shown or not (is_due or now - self._shown >= (_INTERVAL if self._is_drawn else _LOG_INTERVAL)):
            return
        self._shown = now
        rate = None if self._counts_items else self._moved / max(now - (self._start or now), 0.001)
        if self._is_drawn:
            terminal.draw(terminal.progress_line(self._title, self._furthest, self._total, rate, self._out), self._out)
        else:
            amounts = ", ".join(terminal.amounts(self._furthest, self._total, rate))
            self._out.write(f"{self._title}: {amounts}\n" if amounts else f"{self._title}\n")
            self._out.flush()


class StoppedError(BentoError):
    """Raised to end a transfer after another transfer failed. Users see only the error of the other transfer.

    If `interrupted` is true, no transfer failed, but the user or the system interrupted the program.
    """

    def __init__(self, *, interrupted: bool = False) -> None:
        super().__init__("Stopped because another transfer failed.")
        self.interrupted = interrupted


class _Group:
    """A group of parallel transfers. `stop` ends all transfers."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._interrupted = False
        self._lock = threading.Lock()
        self._waiting: set[Callable[[], None]] = set()

    def stop(self, *, interrupted: bool = False) -> None:
        """Make `check` raise StoppedError, and call the `abort` functions of all active `waiting` blocks."""
        with self._lock:
            self._interrupted = interrupted
            self._stopped.set()
            for abort in self._waiting:
                abort()

    @contextmanager
    def waiting(self, abort: Callable[[], None]) -> Iterator[None]:
        """Call `abort` if `stop` is called during the block. Raises StoppedError if `stop` was called earlier."""
        with self._lock:
            self.check()
            self._waiting.add(abort)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(abort)

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`. Raises StoppedError when `stop` is called."""
        self._stopped.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raise StoppedError if `stop` was called."""
        if self._stopped.is_set():
            raise StoppedError(interrupted=self._interrupted)


_thread = threading.local()  # `group`, if set, is the group to which the thread belongs


def _group() -> _Group | None:
    group: _Group | None = getattr(_thread, "group", None)
    return group


def check_stopped() -> None:
    """Raise StoppedError if another transfer in the thread's group failed."""
    if group := _group():
        group.check()


@contextmanager
def interruptible(abort: Callable[[], None]) -> Iterator[None]:
    """Call `abort` if a parallel transfer fails during the block. Raises StoppedError if a transfer failed earlier."""
    group = _group()
    with group.waiting(abort) if group else nullcontext():
        yield


@contextmanager
def uninterruptible() -> Iterator[None]:
    """Run a block that other transfers of `parallel_map` don't end, such as a cleanup after their failure."""
    group, _thread.group = _group(), None
    try:
        yield
    finally:
        _thread.group = group


def pause(seconds: float) -> None:
    """Wait for `seconds`. Raises StoppedError when a parallel transfer fails."""
    group = _group()
    (group.pause if group else time.sleep)(seconds)


def parallel_map(function: Callable[[_Item], _Result], items: Iterable[_Item], jobs: int = JOBS) -> list[_Result]:
    """Call `function` for each item in up to `jobs` threads. Returns the results in the order of the items.

    If a call fails, stops all transfers, and raises the error of the failed call.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    group = _Group()

    def one(item: _Item) -> _Result:
        _thread.group = group
        return function(item)

    pool = ThreadPoolExecutor(jobs)
    futures: list[Future[_Result]] = []
    try:
        futures += (pool.submit(one, item) for item in items)  # an interruption here must stop the first transfers too
        with interruptible(group.stop):  # this can itself be a transfer of another `parallel_map`
            wait(futures, return_when=FIRST_EXCEPTION)
        errors = [future.exception() for future in futures if future.done()]
        for error in sorted(filter(None, errors), key=lambda error: isinstance(error, StoppedError)):
            raise error
    except BaseException as error:
        group.stop(interrupted=not isinstance(error, Exception))
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


class Retry:
    """Retry policy with exponential backoff. Progress resets the number of failed attempts.

    Gives up after `_ATTEMPTS` failures, or `limits.ANSWER` seconds after the first failure. A timeout is two failures.
    """

    def __init__(self, sleep: Callable[[float], object] = pause) -> None:
        self._sleep = sleep
        self._failed = 0
        self._moved = 0
        self._end = 0.0

    def progressed(self, size: int) -> None:
        """Count `size` transferred bytes. Resets the number of failures after `MIN_PROGRESS` bytes."""
        self._moved += size
        if self._moved >= MIN_PROGRESS:
            self._failed = 0

    def again(self, asked: float | None = None, *, timed_out: bool = False) -> bool:
        """Count a failure, and return whether to retry. Waits before a retry, at least `asked` seconds (limit: 60)."""
        if not self._failed:
            self._end = time.monotonic() + limits.ANSWER
        self._failed += 2 if timed_out else 1
        self._moved = 0
        if self._failed >= _ATTEMPTS or time.monotonic() > self._end:
            return False
        import random

        wait = _FIRST_WAIT * 2 ** (self._failed - 1) * random.uniform(0.5, 1)  # distributes the clients
        self._sleep(wait if asked is None else min(max(asked, wait), _MAX_WAIT))
        return True

    def run(self, step: Callable[[], _Result], describe: Callable[[ConnectionLostError], BentoError]) -> _Result:
        """Return the result of `step`. Repeats `step` after ConnectionLostError.

        After the last attempt, raises the response's error or, if the error is a lost connection, `describe(error)`.
        """
        while True:
            try:
                return step()
            except ConnectionLostError as cut:
                if not self.again(cut.retry_after, timed_out=cut.timed_out):
                    raise cut.error or describe(cut) from None


def retriable(error: BentoError, status: int, headers: Mapping[str, str]) -> Exception:
    """Return the error for an error response: for a transient status ConnectionLostError, otherwise `error`."""
    return ConnectionLostError(str(error), error, retry_after(headers)) if status in TRANSIENT else error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the delay in `Retry-After` (RFC 9110) in seconds, or None if the header is missing or invalid."""
    import urllib3

    try:
        return urllib3.Retry().parse_retry_after(headers.get("Retry-After", ""))
    except (urllib3.exceptions.InvalidHeader, ValueError, TypeError, OverflowError, IndexError):
        return None
