"""Shows people at a terminal how far transfers are."""

from __future__ import annotations

import sys
import threading
import time

from rules_bento.hints import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from types import TracebackType

_INTERVAL = 0.1  # seconds between two lines
_MB = 1_000_000


class Counter(Protocol):
    """The interface by which transfers tell how far they are."""

    def expect(self, size: int) -> None:
        """Count `size` bytes more to transfer."""

    def advance(self, size: int) -> None:
        """Count `size` bytes that were transferred; a negative number takes back what is transferred again."""


class Progress:
    """Counts bytes, and rewrites one line on `out` while the block lasts, if that is a terminal.

    To be used by several threads at once.
    """

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def expect(self, size: int) -> None:
        """Count `size` bytes more to transfer."""
        with self._lock:
            self._total += size

    def advance(self, size: int) -> None:
        """Count `size` bytes that were transferred; a negative number takes back what is transferred again."""
        with self._lock:
            self._done += size
            now = time.monotonic()
            if self._visible and now - self._shown >= _INTERVAL:
                self._shown = now
                self._out.write(f"\r{self._line(now)}\x1b[K")
                self._out.flush()

    def _line(self, now: float) -> str:
        share = 100 * self._done // self._total if self._total else 0
        rate = self._done / _MB / max(now - self._start, 0.001)
        return f"{self._what}: {self._done / _MB:.0f} of {self._total / _MB:.0f} MB, {share} %, {rate:.0f} MB/s"


class Tally:
    """Counts the bytes of one transfer, which may have to go back."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._at = 0

    def move_to(self, at: int) -> None:
        """Set the number of transferred bytes to `at`. Raises what the counter raises."""
        self.advance(at - self._at)

    def advance(self, size: int) -> None:
        """Count `size` bytes that were transferred. Raises what the counter raises."""
        self._at += size
        self._counter.advance(size)
