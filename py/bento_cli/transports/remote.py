"""Defines the interface that transfer protocols implement, and creates the client for an address."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import partial
from importlib import import_module

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.net.transfers import Retry
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping, TypeVar

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Response

    from bento_cli.transports.address import Address
    from bento_cli.transports.source import Source

    Buffer = bytes | bytearray | memoryview

# For each scheme, the module in this package and the callable that creates a client for an address.
_CLIENTS = {
    "http": "http.Http",
    "https": "http.Http",
    "s3": "object_store.open",
    "az": "object_store.open",
    "gs": "gcs.Gcs",
    "ftp": "ftp.Ftp",
    "ftps": "ftp.Ftp",
    "sftp": "sftp.open",
    "dropbox": "dropbox.Dropbox",
}
_Result = TypeVar("_Result")


class MissingError(BentoError):
    """Raised if the file at an address doesn't exist."""


class ChangedError(Exception):
    """Raised if an archive changed during its transfer. Users never see this error."""


@dataclass(frozen=True)
class Stat:
    """The properties of the file at an address.

    `size` is in bytes, or None if the server doesn't report the size. `version` changes with the content, and is empty
    if the server doesn't report versions. `digests` maps algorithm names that `source.new_hash` supports to hexadecimal
    digests. `ranges` specifies whether the server supports range requests.
    """

    size: int | None
    version: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    ranges: bool = True  # the server supports ranges


class Remote(ABC):
    """Base class of protocol clients. Each client accesses the file at one address.

    Temporary failures raise ConnectionLostError, and the caller retries the operation.
    """

    parallel = 1
    """The number of threads that can call `read` in parallel."""

    def __init__(self, address: Address) -> None:
        self.address = address

    @abstractmethod
    def stat(self) -> Stat:
        """Return the properties of the file. Raises MissingError if the file doesn't exist."""

    @abstractmethod
    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[Buffer]:
        """Yield the bytes from `start` to `end` in pieces. If `end` is None, reads to the end of the file.

        A piece is valid only until the next piece is read. `stat` is a return value of the method
        `stat`. Raises ChangedError if the file changed after this value was returned.
        """

    @abstractmethod
    def write(self, source: Source, counter: Counter) -> None:
        """Upload the source to the address atomically, replacing an existing file.

        Resumes the upload after an interruption. Raises BentoError if several attempts fail.
        """

    def close(self) -> None:  # noqa: B027 - most clients have no connections to close
        """Close the connections."""

    def attempt(self, step: Callable[[], _Result], retry: Retry | None = None) -> _Result:
        """Call `step`, and return its result. Retries after interruptions. Raises BentoError if all attempts fail."""
        retry = retry or Retry()
        while True:
            try:
                return step()
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self.unreachable(cut) from None

    def unreachable(self, cut: ConnectionLostError) -> BentoError:
        """Return the error for a connection that failed too many times."""
        reason = self.address.redact(cut).rstrip(".")
        return BentoError(f"{self.address}: the transfer failed repeatedly: {reason}. Try again later.")

    def missing(self) -> MissingError:
        """Return the error for a file that doesn't exist."""
        return MissingError(f"{self.address}: not found. Check the URL and your permissions.")

    def refused(self, reason: object, remedy: str) -> BentoError:
        """Return the error for a request that failed permanently. Removes secrets from `reason`."""
        reason = self.address.redact(reason).rstrip(".")
        return BentoError(f"{self.address}: the request failed ({reason}). {remedy}")


@contextmanager
def opened(address: Address) -> Iterator[Remote]:
    """Yield a client for an address. Closes the client after the `with` block."""
    module, _, name = _CLIENTS[address.scheme].partition(".")
    remote: Remote = getattr(import_module(f"bento_cli.transports.{module}"), name)(address)
    try:
        yield remote
    finally:
        remote.close()


@contextmanager
def understood() -> Iterator[None]:
    """Raise ConnectionLostError if the `with` block fails because a response has missing fields or wrong types."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ConnectionLostError("the response has an unexpected format") from None


def needs(package: str, scheme: str) -> BentoError:
    """Return the error for a missing package that URLs with `scheme` require."""
    extra = "azure" if scheme == "az" else scheme
    return BentoError(
        f"{scheme} URLs require the package {package}, which isn't installed. Run `pip install "
        f"'rules-bento-cli[{extra}]'`. With Bazel, run `bazel run @rules_bento//tools:bento_with_transports`."
    )


def json_of(response: Response) -> dict[str, Any]:
    """Return the JSON object in a response. Raises ConnectionLostError if the response isn't valid JSON."""
    from rules_bento.formats import FormatError
    from rules_bento.formats.json import read_object
    from rules_bento.net import limits

    try:
        return read_object(response.read(limits.DOCUMENT), "the answer")
    except FormatError:
        raise ConnectionLostError("the response isn't valid JSON") from None


_TRIES = 2  # complete uploads, if the content on the server is wrong


class RenameUpload(Remote):
    """Base class of clients that upload to a temporary file, and then rename the file to the final name.

    The temporary name depends on the content, so that another run can resume the upload.
    """

    guarded = True
    """Whether the protocol detects data that is damaged in transit."""

    window = 0
    """Bytes at the end of an interrupted file that might be incomplete, because they are written in any order."""

    def write(self, source: Source, counter: Counter) -> None:
        directory, _, name = self.address.path.rpartition("/")
        part = f"{directory}/.{name}.{source.blake3[:16]}.part"
        parts = directory.split("/")
        for count in range(2, len(parts) + 1):
            self.attempt(partial(self.make_directory, "/".join(parts[:count])))
        for _ in range(_TRIES):
            resumed = self._send(part, source, counter)
            if (self.guarded and not resumed) or self._is(part, source):
                self.attempt(lambda: self.rename(part, self.address.path))
                return
            self.attempt(lambda: self.remove(part))
            counter.advance(-source.size)
        raise BentoError(
            f"{self.address}: the uploaded file doesn't match the sent data. Check the server's disk, and export the "
            "entry again."
        )

    def _send(self, path: str, source: Source, counter: Counter) -> bool:
        """Upload the source to `path`, or resume an earlier upload. Returns whether an earlier upload was resumed."""
        retry = Retry()
        left = None
        at = furthest = 0
        while True:
            try:
                reached = self.size(path) or 0
                if reached > source.size:
                    self.remove(path)
                    reached = 0
                left = reached if left is None else left
                start = max(0, reached - self.window)
                counter.advance(start - at)
                at = start
                if at > furthest:
                    retry.progressed(at - furthest)
                    furthest = at
                for count in self.append(path, source, at):
                    counter.advance(count)
                    at += count
                if self.size(path) != source.size:
                    raise ConnectionLostError("the file on the server is incomplete")
                return left > 0
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self.unreachable(cut) from None

    def _is(self, path: str, source: Source) -> bool:
        """Download the file at `path`, and return whether the file has the same content as the source."""
        from blake3 import blake3

        def once() -> str:
            digester = blake3()
            for piece in self.stream(path, 0, source.size):
                digester.update(piece)
            return digester.hexdigest()

        return self.attempt(once) == source.blake3

    @abstractmethod
    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, or None if the file doesn't exist."""

    @abstractmethod
    def append(self, path: str, source: Source, at: int) -> Iterator[int]:
        """Write the source, from offset `at`, to the same offset of the file `path`. Yields the size of each piece."""

    @abstractmethod
    def stream(self, path: str, start: int, end: int) -> Iterator[Buffer]:
        """Yield the bytes of a file from `start` to `end`."""

    @abstractmethod
    def make_directory(self, path: str) -> None:
        """Create a missing directory. Ignores a rejected request, because a later step reports the failure."""

    @abstractmethod
    def rename(self, path: str, target: str) -> None:
        """Rename a file, replacing an existing file."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file if it exists."""
