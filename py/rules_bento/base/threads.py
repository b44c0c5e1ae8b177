"""Computes items in threads, in order, with only a few items in memory."""

from __future__ import annotations

import os
from collections import deque

from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future, ThreadPoolExecutor

_AHEAD = 8  # items that each thread of `read_ahead` keeps in memory
_MAX_THREADS = 8  # about 12 MB each for xz: the encoder's tables, and the blocks that wait on both sides

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int | None = None
) -> Iterator[_Result]:
    """Apply `function` to items in threads, and yield the results in order. Keeps only a few items in memory."""
    pool = OrderedPool(function, threads)
    try:
        for item in items:
            yield from pool.add(item)
        yield from pool.finish()
    finally:
        pool.close()


class OrderedPool:
    """Applies a function to items in threads. The results have the order of the items.

    >>> pool = OrderedPool(len)
    >>> [*pool.add("a"), *pool.add("bcd"), *pool.finish()]
    [1, 3]
    """

    def __init__(self, function: Callable[[Any], Any], threads: int | None = None) -> None:
        self._function = function
        self._threads = threads or default_threads()
        self._first: list[Any] = []  # the only item so far, which needs no thread
        self._pending: deque[Future[Any]] = deque()
        self._executor: ThreadPoolExecutor | None = None

    def add(self, item: Any) -> Iterator[Any]:
        """Add an item, and yield the results that don't have to wait."""
        if self._threads == 1:
            yield self._function(item)
        elif not self._executor and not self._first:
            self._first.append(item)
        else:
            for each in (*self._first, item):
                self._pending.append(self._submit(each))
            self._first.clear()
            while len(self._pending) > self._threads:
                yield self._pending.popleft().result()

    def finish(self) -> Iterator[Any]:
        """Yield the remaining results."""
        yield from map(self._function, self._first)
        while self._pending:
            yield self._pending.popleft().result()
        self.close()

    def close(self) -> None:
        """End the threads, and drop items that no thread has begun."""
        if self._executor:
            self._executor.shutdown(cancel_futures=True)

    def _submit(self, item: Any) -> Future[Any]:
        if not self._executor:
            from concurrent.futures import ThreadPoolExecutor  # lazily: the import costs more than a small part

            self._executor = ThreadPoolExecutor(self._threads)
        return self._executor.submit(self._function, item)


def read_ahead(sources: Iterable[Iterable[_Item]], threads: int | None = None) -> Generator[Iterator[_Item]]:
    """For each source, yield an iterator over its items. Exhaust each iterator before the next iteration.

    Unless `threads` is 1, a thread for the current source and a thread for the next source compute items ahead. Each
    thread keeps only a few items in memory.
    """
    if (threads or _usable_cores()) == 1:
        yield from map(iter, sources)
        return
    running: deque[_ReadAhead] = deque()
    try:
        for source in sources:
            running.append(_ReadAhead(source))
            if len(running) > 1:
                yield running[0].items()
                running.popleft().close()
        while running:
            yield running[0].items()
            running.popleft().close()
    finally:
        for reader in running:
            reader.close()


class _ReadAhead:
    """Computes the items of a source in a thread. Queues are faster than a future for each item."""

    def __init__(self, source: Iterable[Any]) -> None:
        from queue import SimpleQueue
        from threading import Thread

        self._source = source
        self._permits: SimpleQueue[bool] = SimpleQueue()
        self._results: SimpleQueue[tuple[bool, Any]] = SimpleQueue()  # an item, or the error or None
        self._is_closed = False
        for _ in range(_AHEAD - 1):
            self._permits.put(True)
        self._thread = Thread(target=self._compute, daemon=True)
        self._thread.start()

    def items(self) -> Iterator[Any]:
        """Yield the items. Raises the error of the source."""
        while (result := self._results.get())[0]:
            self._permits.put(True)
            yield result[1]
        if result[1]:
            raise result[1]

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._permits.put(True)
        self._thread.join()

    def _compute(self) -> None:
        end = None
        try:
            for item in self._source:
                self._results.put((True, item))
                self._permits.get()
                if self._is_closed:
                    return
        except BaseException as error:
            end = error
        self._results.put((False, end))


def default_threads() -> int:
    """Return the number of threads of `ordered_map` for this machine."""
    return min(_usable_cores(), _MAX_THREADS)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
