"""Uploads where a protocol has files and no uploads: to another name in the same folder, then renamed.

The name is made of the content, so that what an earlier run has left under it is the beginning of the same bytes.
"""

from __future__ import annotations

from abc import abstractmethod

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.net.transfers import Retry
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.transports.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.net.transfers import Counter

    from bento_cli.transports.remote import Buffer
    from bento_cli.transports.source import Source

_TRIES = 2  # of the whole, where it came but is not what it should be


class RenameUpload(Remote):
    """Reads and writes one file of a server."""

    guarded = True
    """Whether the protocol itself notices bytes that change on their way."""

    window = 0
    """Bytes before the end of a file of which some may be missing after a cut, for they are written in any order."""

    def write(self, source: Source, counter: Counter) -> None:
        folder, _, name = self.address.path.rpartition("/")
        part = f"{folder}/.{name}.{source.blake3[:16]}.part"
        self.attempt(lambda: self.make_folders(folder))
        for _ in range(_TRIES):
            resumed = self._send(part, source, counter)
            if (self.guarded and not resumed) or self._is(part, source):
                self.attempt(lambda: self.rename(part, self.address.path))
                return
            self.attempt(lambda: self.remove(part))
            counter.advance(-source.size)
        raise BentoError(f"{self.address}: what arrives there is not what is sent. Nothing of it was left there.")

    def _send(self, path: str, source: Source, counter: Counter) -> bool:
        """Send all that is not there yet. Returns whether some of it was left by an earlier run."""
        retry = Retry()
        left = None
        at = furthest = 0
        while True:
            try:
                there = self.size(path) or 0
                if there > source.size:
                    self.remove(path)
                    there = 0
                left = there if left is None else left
                start = max(0, there - self.window)
                counter.advance(start - at)
                at = start
                if at > furthest:
                    retry.progressed(at - furthest)
                    furthest = at
                for count in self.append(path, source, at):
                    counter.advance(count)
                    at += count
                if self.size(path) != source.size:
                    raise ConnectionLostError("the server has fewer bytes than were sent")
                return left > 0
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self.unreachable(cut) from None

    def _is(self, path: str, source: Source) -> bool:
        """Read what is there back."""
        from blake3 import blake3

        def once() -> str:
            digester = blake3()
            for piece in self.stream(path, 0, source.size):
                digester.update(piece)
            return digester.hexdigest()

        return self.attempt(once) == source.blake3

    @abstractmethod
    def size(self, path: str) -> int | None:
        """Return the bytes of a file, None if it is not there."""

    @abstractmethod
    def append(self, path: str, source: Source, at: int) -> Iterator[int]:
        """Write the source's bytes from `at` on to a file that has `at` bytes; gives how many were written."""

    @abstractmethod
    def stream(self, path: str, start: int, end: int) -> Iterator[Buffer]:
        """Return the bytes of a file."""

    @abstractmethod
    def make_folders(self, path: str) -> None:
        """Make a folder and those above it, if they are not there."""

    @abstractmethod
    def rename(self, path: str, target: str) -> None:
        """Put a file in the place of another one, or where there is none."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
