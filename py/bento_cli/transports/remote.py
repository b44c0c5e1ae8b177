"""Declares what a protocol has to be able to do, and which module does it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from importlib import import_module

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.net.transfers import Retry
from rules_bento.typing_lite import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Response

    from bento_cli.transports.address import Address
    from bento_cli.transports.source import Source

    Buffer = bytes | bytearray | memoryview

_MODULES = {
    "http": "http",
    "https": "http",
    "s3": "object_store",
    "az": "object_store",
    "gs": "gcs",
    "ftp": "ftp",
    "ftps": "ftp",
    "sftp": "sftp",
    "dropbox": "dropbox",
}
_Result = TypeVar("_Result")


class MissingError(BentoError):
    """Reports that nothing is at an address."""


class ChangedError(Exception):
    """Raised when an archive is not any more what it was when the transfer began. Never reaches people."""


@dataclass(frozen=True)
class Stat:
    """Describes what is at an address.

    `size` in bytes, None if the server does not say; `version` is other text for other content, empty if there is
    none such; `digests` are hexadecimal, by the name that `hashlib` has for them.
    """

    size: int | None
    version: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    ranges: bool = True  # whether it can be read from any byte on


class Remote(ABC):
    """Declares what a protocol can do with one address.

    What fails for now raises ConnectionLostError, and is tried again by the caller.
    """

    parallel = 1
    """How many threads may call `read` at once, because that is faster."""

    def __init__(self, address: Address) -> None:
        self.address = address

    @abstractmethod
    def stat(self) -> Stat:
        """Return what is at the address. Raises MissingError."""

    @abstractmethod
    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[Buffer]:
        """Return the bytes from `start` up to `end` (None: all that come) of what `stat` told of.

        Each piece is good until the next one. Raises ChangedError if it is another version now.
        """

    @abstractmethod
    def write(self, source: Source, counter: Counter) -> None:
        """Put the source there, in the place of what is there: in one step, after all of it has come.

        Tries again by itself, where it was cut; raises BentoError in the end, and leaves nothing that looks whole.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Give back the connections."""

    def attempt(self, step: Callable[[], _Result], retry: Retry | None = None) -> _Result:
        """Return the result of a step that may be repeated; raises BentoError when it has failed too often."""
        retry = retry or Retry()
        while True:
            try:
                return step()
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self.unreachable(cut) from None

    def unreachable(self, cut: ConnectionLostError) -> BentoError:
        """Return the error for a connection that has failed too often."""
        reason = self.address.redact(cut).rstrip(".")
        return BentoError(f"{self.address}: the transfer failed several times, at last by this: {reason}. Try again.")

    def missing(self) -> MissingError:
        """Return the error for an address with nothing at it."""
        return MissingError(f"{self.address}: nothing is there. Look at the spelling, and whether you may see it.")

    def refused(self, reason: object, remedy: str) -> BentoError:
        """Return the error for a server that says no."""
        return BentoError(f"{self.address}: refused ({self.address.redact(reason).rstrip('.')}). {remedy}")


@contextmanager
def opened(address: Address) -> Iterator[Remote]:
    """Open a client for an address, for the block. Raises BentoError if the package for it is not installed."""
    module = import_module(f"bento_cli.transports.{_MODULES[address.scheme]}")
    remote: Remote = module.open(address)
    try:
        yield remote
    finally:
        remote.close()


@contextmanager
def understood() -> Iterator[None]:
    """Raise ConnectionLostError for an answer that is not of the shape that the block expects."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ConnectionLostError("the server answers with something else than its interface has") from None


def needs(package: str, extra: str) -> BentoError:
    """Return the error for a transport whose package is not there."""
    return BentoError(
        f"{extra}: needs the package {package}, which is not installed. Install it: "
        f"pip install 'rules-bento-cli[{extra}]'; with Bazel, run @rules_bento//tools:bento_with_transports."
    )


def json_of(response: Response) -> dict[str, Any]:
    """Return the JSON object that an answer is. Raises ConnectionLostError for an invalid one."""
    from rules_bento.formats import FormatError
    from rules_bento.formats.json import read_object
    from rules_bento.net import limits

    try:
        return read_object(response.read(limits.DOCUMENT), "the answer")
    except FormatError:
        raise ConnectionLostError("the answer is no JSON") from None


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
