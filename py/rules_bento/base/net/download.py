"""Downloads files, and resumes interrupted downloads."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import AbstractContextManager, contextmanager

from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, limits
from rules_bento.base.net.http_headers import content_range
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterator

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.net.transfers import Progress, Retry
    from rules_bento.base.net.transport import Response

_BEGINNING = 512  # bytes, the first header of a tar


class Download:
    """A download of the content `name` to an open file. Continues a partial file.

    `request(offset)` yields a response with the status 200, 206, or 416 to a request for the bytes from `offset`. If
    `digest` (`algorithm:hex`) is set, verifies the content. The content can have `most` bytes (default: `limits.BODY`).
    `accept` is called with the first 512 bytes, and can raise BentoError.
    """

    def __init__(
        self,
        name: str,
        request: Callable[[int], AbstractContextManager[Response]],
        file: BinaryIO,
        counter: Progress,
        retry: Retry,
        *,
        size: int | None = None,
        digest: str = "",
        accept: Callable[[bytes], object] = bool,
        most: int | None = None,
    ) -> None:
        self._name = name
        self._request = request
        self._file = file
        self._counter = counter
        self._count = counter.tally()
        self._retry = retry
        self._size = size
        self._total: int | None = size
        self._digest = digest
        self._accept = accept
        self._most = most or limits.BODY
        self._hash = hashlib.new(digest.partition(":")[0] or "sha256")
        self._at = self._furthest = 0
        self._expected = False

    def run(self, describe: Callable[[ConnectionLostError], BentoError]) -> None:
        """Download the missing bytes. Raises BentoError, after a lost connection the result of `describe`."""
        self._file.seek(0)
        while piece := self._file.read(limits.PIECE):
            self._hash.update(piece)
            self._at += len(piece)
        try:
            self._retry.run(self._attempt, describe)
        except BentoError:
            self._count(0)  # another server can continue the file
            raise

    def _attempt(self) -> None:
        if self._total is None or self._at < self._total:
            with self._request(self._at) as response:
                self._receive(response)
        if self._total is None or self._at < self._total:
            raise ConnectionLostError(f"the response ended after {self._at} of {self._total} bytes")
        if self._at > self._total or (self._digest and self._hash.hexdigest() != self._digest.partition(":")[2]):
            self._restart()
            message = f"{self._name}: the content doesn't match the digest. Report the error to the server's operator."
            raise ConnectionLostError("wrong content", BentoError(message))

    def _receive(self, response: Response) -> None:
        part = content_range(response.headers.get("Content-Range"))
        if response.status == 206 and part and part.first == self._at:
            total: int | None = part.size or part.last + 1
        elif response.status == 200:
            self._restart()
            total = response.length
        else:
            self._restart()
            raise ConnectionLostError("the response doesn't start at the requested byte")
        self._total = total if self._size is None else self._size
        if (self._total or 0) > self._most:
            raise self._too_large()
        if not self._expected:
            self._expected = True
            self._counter.expect(self._total or 0)
        self._count(self._at)
        for piece in response.pieces():
            self._append(piece)
        if self._total is None:  # a body without a length, whose end is marked
            self._total = self._at

    def _append(self, piece: memoryview) -> None:
        end = self._at + len(piece)
        if self._total is not None and end > self._total:
            total = self._total
            self._restart()
            raise ConnectionLostError(f"the response has more than {total} bytes")
        if end > self._most:
            raise self._too_large()
        self._file.write(piece)
        self._hash.update(piece)
        if self._at < _BEGINNING <= end:
            self._file.seek(0)
            self._accept(self._file.read(_BEGINNING))
            self._file.seek(end)
        self._at = end
        self._count(end)
        if end > self._furthest:
            self._retry.progressed(end - self._furthest)
            self._furthest = end

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.new(self._hash.name)
        self._at = 0
        self._total = self._size
        self._count(0)

    def _too_large(self) -> BentoError:
        remedy = "Use a smaller file." if self._most >= limits.BODY else "If you trust the file, increase the limit."
        return BentoError(f"the file exceeds the limit of {self._most} bytes", place=self._name, remedy=remedy)


_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_partial(path: Path) -> Iterator[BinaryIO | None]:  # writes: digest, or an own name; _APPEND follows no link
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
