"""Several transfers at once."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from rules_bento.registry.progress import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rules_bento.registry.progress import Progress

JOBS = 4
"""Transfers at once: measured with bench/push.py; on one machine three are as fast, over a long way six."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def for_each(
    function: Callable[[_Item], _Result], items: Iterable[_Item], progress: Progress, jobs: int = JOBS
) -> list[_Result]:
    """The results for the items, in their order. The first error stops all, and is raised."""
    pool = ThreadPoolExecutor(jobs)
    futures = [pool.submit(function, item) for item in items]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        errors = [future.exception() for future in futures if future.done()]
        for error in sorted(filter(None, errors), key=lambda error: isinstance(error, StoppedError)):
            raise error
    finally:
        with progress.stopped():
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]
