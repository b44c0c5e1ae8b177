"""Fetches what an address names into a file of this machine: in pieces, several at once, resumed, verified.

What came before a cut, or before the process was killed, stays in the folder: the pieces in `KEY.part`, and in
`KEY.done` the numbers of those that are whole, a line each. KEY is of the address and its version, so that pieces of
two versions are never mixed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from io import BufferedReader, FileIO
from threading import Lock

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.transfers import Retry, parallel_map
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.transports.remote import ChangedError, opened
from bento_cli.transports.source import Source, new_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from rules_bento.net.transfers import Counter

    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Remote, Stat

PIECE = 8 << 20
HEAD = 1 << 20
"""Bytes that `look` is given."""

_TRIES = 3  # of the whole, where it came but is not what it should be
_BLOCK = 1 << 20


@contextmanager
def downloaded(
    address: Address, folder: Path, counter: Counter, sha256: str = "", look: Callable[[bytes], None] | None = None
) -> Iterator[BinaryIO]:
    """Yield the archive as an open file that bears the address as its name; gone when the block ends.

    It has the digests that the server states, and `sha256` (hexadecimal) if that is given. A large one is not fetched
    if `look`, which gets its first bytes, raises an error. Raises BentoError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened(address) as remote:
        if look:
            look(_head(remote))
        part = _download(remote, folder, counter, sha256.lower())
    try:
        raw = FileIO(part.file.fileno(), closefd=False)
        raw.name = str(address)
        with BufferedReader(raw, _BLOCK) as file:
            yield file
    finally:
        part.remove()


def _head(remote: Remote) -> bytes:
    """Return the first bytes of what is large; nothing of what is small, or where they do not come at once."""
    try:
        stat = remote.stat()
        if not stat.ranges or (stat.size or 0) < PIECE:
            return b""
        return b"".join(bytes(piece) for piece in remote.read(stat, 0, min(HEAD, stat.size or 0)))
    except (ChangedError, ConnectionLostError):
        return b""


def _download(remote: Remote, folder: Path, counter: Counter, sha256: str) -> _Part:
    count = _Count(counter)
    difference = ""
    for _ in range(_TRIES):
        count.restart()
        stat = remote.attempt(remote.stat)
        if not 0 <= (stat.size or 0) <= limits.BODY:
            raise _too_large(remote, stat.size)
        part = _Part(folder, remote.address, stat)
        try:
            _fetch(remote, stat, part, count)
            difference = _difference(part, {**stat.digests, **({"sha256": sha256} if sha256 else {})})
            if not difference:
                return part
        except ChangedError:
            difference = "it is another one than before"
        except BaseException:
            part.file.close()
            raise
        part.remove()
    raise BentoError(
        f"{remote.address}: what comes is wrong: {difference}. It was transferred {_TRIES} times, and nothing of "
        "it was kept."
    )


def _fetch(remote: Remote, stat: Stat, part: _Part, count: _Count) -> None:
    if stat.size is None or not stat.ranges:
        _stream(remote, stat, part, count)
        return
    spans, there = part.missing(stat.size, remote.parallel)
    count.expect(stat.size)
    count.advance(there)
    if len(spans) < 2:
        for span in spans:
            _fetch_span(remote, stat, part, span, count)
    else:
        parallel_map(
            lambda span, counter: _fetch_span(remote, stat, part, span, counter), spans, count, remote.parallel
        )


def _fetch_span(remote: Remote, stat: Stat, part: _Part, span: tuple[int, int], counter: Counter) -> None:
    """Receive the bytes from one offset to another, from where a cut was on, and note which pieces are there."""
    at, end = span
    retry = Retry()
    while at < end:
        try:
            for data in remote.read(stat, at, end):
                if at + len(data) > end:
                    raise ConnectionLostError("more bytes came than were asked for")
                part.write(data, at)
                part.note(at, at + len(data), end)
                at += len(data)
                counter.advance(len(data))
                retry.progressed(len(data))
            if at < end:
                raise ConnectionLostError(f"the answer ended {end - at} bytes early")
        except ConnectionLostError as cut:
            if not retry.again():
                raise remote.unreachable(cut) from None


def _stream(remote: Remote, stat: Stat, part: _Part, count: _Count) -> None:
    """Receive from the first byte to the last: who does not know ranges begins again after a cut."""

    def once() -> None:
        part.clear()
        count.restart()
        count.expect(stat.size or 0)
        at = 0
        for data in remote.read(stat, 0, None):
            if at + len(data) > limits.BODY:
                raise _too_large(remote, at + len(data))
            part.write(data, at)
            at += len(data)
            count.advance(len(data))
        if stat.size is not None and at != stat.size:
            raise ConnectionLostError(f"{at} bytes came, of {stat.size}")

    remote.attempt(once)


def _too_large(remote: Remote, size: int | None) -> BentoError:
    return BentoError(f"{remote.address}: {size} bytes are more than the limit of {limits.BODY}. Use a smaller file.")


class _Count:
    """Counts for several threads, and can go back to the start."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._lock = Lock()
        self._expected = self._done = 0

    def expect(self, size: int) -> None:
        """Count `size` bytes more to transfer."""
        with self._lock:
            self._expected += size
            self._counter.expect(size)

    def advance(self, size: int) -> None:
        """Count `size` bytes that were transferred."""
        with self._lock:
            self._done += size
            self._counter.advance(size)

    def restart(self) -> None:
        """Take back all that was counted: the transfer starts again."""
        self.advance(-self._done)
        self.expect(-self._expected)


class _Part:
    """Holds the part of an archive's version that is downloaded. Other processes wait while it is open."""

    def __init__(self, folder: Path, address: Address, stat: Stat) -> None:
        text = f"{address} {address.query} {stat.size} {stat.version}"
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._path = folder / f"{key}.part"
        self._done = folder / f"{key}.done"
        self.file = self._open()
        if not stat.version or not os.fstat(self.file.fileno()).st_size:
            self.clear()  # nothing says that it is still the same, or nothing is there

    def _open(self) -> FileIO:
        while True:
            file = FileIO(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    return file
            except FileNotFoundError:
                pass
            file.close()  # who had it before has removed it

    def missing(self, size: int, most: int) -> tuple[list[tuple[int, int]], int]:
        """Return the spans of bytes that are not there yet, cut at about `most` a whole; and how many bytes are there.

        Long spans make few requests: a piece is what is lost at most, not what is asked for.
        """
        done = set(self._done.read_bytes().split(b"\n")[:-1]) if self._done.exists() else set()
        os.ftruncate(self.file.fileno(), size)
        longest = max(1, -(-size // (PIECE * most))) * PIECE
        spans: list[tuple[int, int]] = []
        there = size
        for number, start in enumerate(range(0, size, PIECE)):
            if b"%d" % number in done:
                continue
            end = min(start + PIECE, size)
            there -= end - start
            if spans and spans[-1][1] == start and end - spans[-1][0] <= longest:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans, there

    def write(self, data: bytes | bytearray | memoryview, at: int) -> None:
        """Put bytes at their place."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self.file.fileno(), view, at)
            view = view[count:]
            at += count

    def note(self, start: int, end: int, last: int) -> None:
        """Remember the pieces that became whole between two offsets; `last` is the end of a span."""
        pieces = range(start // PIECE, end // PIECE)
        numbers = [*pieces, end // PIECE] if end == last and end % PIECE else [*pieces]
        if numbers:
            file = os.open(self._done, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, b"".join(b"%d\n" % number for number in numbers))
            finally:
                os.close(file)

    def clear(self) -> None:
        """Forget what is there."""
        self._done.unlink(missing_ok=True)
        os.ftruncate(self.file.fileno(), 0)

    def remove(self) -> None:
        """Remove the part and what is noted of it."""
        self._done.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self.file.close()


def _difference(part: _Part, digests: dict[str, str]) -> str:
    """Return in what the bytes differ from what was expected, or None."""
    if not digests:
        return ""
    running = {name: new_hash(name) for name in digests}
    at = 0
    while data := os.pread(part.file.fileno(), _BLOCK, at):
        at += len(data)
        for one in running.values():
            one.update(data)
    for name, wanted in digests.items():
        digest = running[name].hexdigest()
        if digest != wanted.lower():
            return f"its {name} is {digest} and should be {wanted.lower()}"
    return ""


def clear(folder: Path, *, dry_run: bool = False) -> tuple[int, int]:
    """Remove what cut downloads have left, but of those under way. Returns how many files, and their bytes."""
    files = size = 0
    for path in sorted(folder.glob("*.part")) if folder.is_dir() else ():
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            files += 1
            size += path.stat().st_blocks * 512
            if not dry_run:
                path.with_suffix(".done").unlink(missing_ok=True)
                path.unlink(missing_ok=True)
    return files, size


def upload(address: Address, file: BinaryIO, counter: Counter) -> Source:
    """Put an open file (of the disk) at an address. Raises BentoError, and then nothing new is there."""
    source = Source(file)
    counter.expect(source.size)
    with opened(address) as remote:
        remote.write(source, counter)
    return source
