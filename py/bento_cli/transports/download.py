"""Downloads and uploads archives. Downloads use parallel requests, can be resumed, and are verified.

An interrupted download keeps its pieces in `KEY.part`. `KEY.done` lists the indexes of the complete pieces, one per
line. KEY depends on the address and the version, so that pieces of two versions are never mixed.
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
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterator

from bento_cli.transports.remote import ChangedError, opened
from bento_cli.transports.source import Source, new_hash

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.net.transfers import Counter

    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Remote, Stat

PIECE = 8 << 20
HEAD = 1 << 20
"""The maximum number of bytes that `look` receives."""

_TRIES = 3  # downloads of the complete archive, if its digest is wrong
_BLOCK = 1 << 20


@contextmanager
def downloaded(
    address: Address, directory: Path, counter: Counter, sha256: str = "", look: Callable[[bytes], None] | None = None
) -> Iterator[BinaryIO]:
    """Yield a downloaded archive as an open file, which is removed when the `with` block ends.

    The file's `name` is the address. Verifies the server's digests, and `sha256` if set. Before downloading a large
    archive, calls `look` with the first bytes. `look` can raise an error to cancel the download. Raises BentoError if
    the download fails.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened(address) as remote:
        if look:
            look(_head(remote))
        part = _download(remote, directory, counter, sha256.lower())
    try:
        raw = FileIO(part.file.fileno(), closefd=False)
        raw.name = str(address)
        with BufferedReader(raw, _BLOCK) as file:
            yield file
    finally:
        part.remove()


def _head(remote: Remote) -> bytes:
    """Return the first bytes of a large archive. Returns no bytes if the archive is small or the request fails."""
    try:
        stat = remote.stat()
        if not stat.ranges or (stat.size or 0) < PIECE:
            return b""
        return b"".join(bytes(piece) for piece in remote.read(stat, 0, min(HEAD, stat.size or 0)))
    except (ChangedError, ConnectionLostError):
        return b""


def _download(remote: Remote, directory: Path, counter: Counter, sha256: str) -> _Part:
    count = _Count(counter)
    difference = ""
    for _ in range(_TRIES):
        count.restart()
        stat = remote.attempt(remote.stat)
        if not 0 <= (stat.size or 0) <= limits.BODY:
            raise _too_large(remote, stat.size)
        part = _Part(directory, remote.address, stat)
        try:
            _fetch(remote, stat, part, count)
            difference = _difference(part, {**stat.digests, **({"sha256": sha256} if sha256 else {})})
            if not difference:
                return part
        except ChangedError:
            difference = "the archive changed during the transfer"
        except BaseException:
            part.file.close()
            raise
        part.remove()
    raise BentoError(
        f"{remote.address}: all {_TRIES} attempts failed: {difference}. Check that the archive on the server is "
        "correct and doesn't change."
    )


def _fetch(remote: Remote, stat: Stat, part: _Part, count: _Count) -> None:
    if stat.size is None or not stat.ranges:
        _stream(remote, stat, part, count)
        return
    spans, transferred = part.missing(stat.size, remote.parallel)
    count.expect(stat.size)
    count.advance(transferred)
    if len(spans) < 2:
        for span in spans:
            _fetch_span(remote, stat, part, span, count)
    else:
        parallel_map(
            lambda span, counter: _fetch_span(remote, stat, part, span, counter), spans, count, remote.parallel
        )


def _fetch_span(remote: Remote, stat: Stat, part: _Part, span: tuple[int, int], counter: Counter) -> None:
    """Download a range, and record its complete pieces. Resumes after interruptions."""
    at, end = span
    retry = Retry()
    while at < end:
        try:
            for data in remote.read(stat, at, end):
                if at + len(data) > end:
                    raise ConnectionLostError("the server sent more bytes than requested")
                part.write(data, at)
                part.note(at, at + len(data), end)
                at += len(data)
                counter.advance(len(data))
                retry.progressed(len(data))
            if at < end:
                raise ConnectionLostError(f"the response ended {end - at} bytes early")
        except ConnectionLostError as cut:
            if not retry.again():
                raise remote.unreachable(cut) from None


def _stream(remote: Remote, stat: Stat, part: _Part, count: _Count) -> None:
    """Download the complete archive in one request. After an interruption, starts again from the beginning."""

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
            raise ConnectionLostError(f"received {at} of {stat.size} bytes")

    remote.attempt(once)


def _too_large(remote: Remote, size: int | None) -> BentoError:
    if size and size < 0:
        return BentoError(
            f"{remote.address}: the server reported an invalid file size: {size}. Download the file with another "
            "program."
        )
    return BentoError(f"{remote.address}: the file exceeds the limit of {limits.BODY} bytes. Use a smaller file.")


class _Count:
    """Thread-safe, resettable counter of expected and transferred bytes."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._lock = Lock()
        self._expected = self._done = 0

    def expect(self, size: int) -> None:
        """Add `size` to the number of expected bytes."""
        with self._lock:
            self._expected += size
            self._counter.expect(size)

    def advance(self, size: int) -> None:
        """Add `size` to the number of transferred bytes."""
        with self._lock:
            self._done += size
            self._counter.advance(size)

    def restart(self) -> None:
        """Reset the counts before the transfer starts again."""
        self.advance(-self._done)
        self.expect(-self._expected)


class _Part:
    """The downloaded pieces of one version of an archive. Locks the `.part` file, so that other processes wait."""

    def __init__(self, directory: Path, address: Address, stat: Stat) -> None:
        text = f"{address} {address.query} {stat.size} {stat.version}"
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._path = directory / f"{key}.part"
        self._done = directory / f"{key}.done"
        self.file = self._open()
        if not stat.version or not os.fstat(self.file.fileno()).st_size:
            self.clear()  # the version is unknown, or the file is new

    def _open(self) -> FileIO:
        while True:
            file = FileIO(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    return file
            except FileNotFoundError:
                pass
            file.close()  # another process has removed the file

    def missing(self, size: int, most: int) -> tuple[list[tuple[int, int]], int]:
        """Return the missing ranges and the number of downloaded bytes.

        Splits large ranges, so that `most` requests can run in parallel.
        """
        done = set(self._done.read_bytes().split(b"\n")[:-1]) if self._done.exists() else set()
        os.ftruncate(self.file.fileno(), size)
        longest = max(1, -(-size // (PIECE * most))) * PIECE
        spans: list[tuple[int, int]] = []
        transferred = size
        for number, start in enumerate(range(0, size, PIECE)):
            if b"%d" % number in done:
                continue
            end = min(start + PIECE, size)
            transferred -= end - start
            if spans and spans[-1][1] == start and end - spans[-1][0] <= longest:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return spans, transferred

    def write(self, data: bytes | bytearray | memoryview, at: int) -> None:
        """Write data to the archive at offset `at`."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self.file.fileno(), view, at)
            view = view[count:]
            at += count

    def note(self, start: int, end: int, last: int) -> None:
        """Record the pieces that a write from `start` to `end` completed. `last` is the end of the requested range."""
        pieces = range(start // PIECE, end // PIECE)
        numbers = [*pieces, end // PIECE] if end == last and end % PIECE else [*pieces]
        if numbers:
            file = os.open(self._done, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, b"".join(b"%d\n" % number for number in numbers))
            finally:
                os.close(file)

    def clear(self) -> None:
        """Discard all downloaded data."""
        self._done.unlink(missing_ok=True)
        os.ftruncate(self.file.fileno(), 0)

    def remove(self) -> None:
        """Remove the files of this download."""
        self._done.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self.file.close()


def _difference(part: _Part, digests: dict[str, str]) -> str:
    """Return a description of the first digest that doesn't match, or an empty string if all digests match."""
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
            return f"the {name} digest is {digest}, not {wanted.lower()}"
    return ""


def clear(directory: Path, *, dry_run: bool = False) -> tuple[int, int]:
    """Remove interrupted downloads, unless `dry_run` is set. Returns their number and their total size in bytes."""
    files = size = 0
    for path in sorted(directory.glob("*.part")) if directory.is_dir() else ():
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
    """Upload an open file atomically. Returns a `Source` that reads the file. Raises BentoError if the upload fails."""
    source = Source(file)
    counter.expect(source.size)
    with opened(address) as remote:
        remote.write(source, counter)
    return source
