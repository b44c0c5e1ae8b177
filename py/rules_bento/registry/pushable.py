"""The content of a push: manifests of an image, index, or artifact, and the sources of their blobs."""

from __future__ import annotations

from io import FileIO

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.registry import descriptor as oci
from rules_bento.typing_lite import TYPE_CHECKING, Iterator, Mapping, Protocol, Sequence

if TYPE_CHECKING:
    import socket
    import ssl
    from pathlib import Path

    from rules_bento.archives.recipe import Recipe
    from rules_bento.net.transfers import Tally
    from rules_bento.registry.client import Repository
    from rules_bento.registry.descriptor import Descriptor, Manifest


_SENDFILE_BYTES = 8 << 20  # bytes for each call of sendfile


class Sendable(Protocol):
    """Interface of objects that send bytes to a connection."""

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` to a connection, and count them in `tally`."""


class BlobSource(Sendable, Protocol):
    """Interface of objects that send and verify a blob."""

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the blob doesn't match the digest."""


@dataclass(frozen=True)
class FileSource:
    """A blob in a file, in which it begins at `start`, for example as a member of a tar."""

    path: Path
    start: int = 0

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` to a connection. Raises BentoError if the file is unreadable."""
        import ssl  # actions only verify blobs and don't need ssl

        with self._open() as file:
            at, end = self.start + start, self.start + end
            if isinstance(connection, ssl.SSLSocket):
                self._send_encrypted(connection, file, at, end, tally)
                return
            while at < end:
                sent = connection.sendfile(file, at, min(_SENDFILE_BYTES, end - at))
                self._check_end(sent)
                at += sent
                tally.advance(sent)

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the blob in the file doesn't match the digest."""
        digester = oci.new_hash(digest)
        for piece in self.pieces(size):
            digester.update(piece)
        if digester.hexdigest() != digest.partition(":")[2]:
            raise BentoError(f"{self.path}: the content doesn't match the digest {digest}. Build the file again.")

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the first `size` bytes of the blob. Raises BentoError if the file is unreadable or too short."""
        with self._open() as file:
            file.seek(self.start)
            while size:
                piece = file.read(min(size, limits.PIECE))
                self._check_end(len(piece))
                yield piece
                size -= len(piece)

    def _open(self) -> FileIO:
        try:
            return FileIO(self.path)
        except OSError as error:
            raise BentoError(f"{self.path}: cannot read the file: {error.strerror}. Build the file again.") from None

    def _send_encrypted(self, connection: ssl.SSLSocket, file: FileIO, at: int, end: int, tally: Tally) -> None:
        buffer = memoryview(bytearray(limits.PIECE))
        file.seek(at)
        while at < end:
            count = file.readinto(buffer[: min(limits.PIECE, end - at)])
            self._check_end(count)
            connection.sendall(buffer[:count])
            at += count
            tally.advance(count)

    def _check_end(self, count: int) -> None:
        if not count:
            raise BentoError(f"{self.path}: the file is smaller than the declared size. Build the file again.")


@dataclass(frozen=True)
class RemoteSource:
    """A blob that is streamed from a repository on demand."""

    repository: Repository
    digest: str

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` to a connection. Raises ConnectionLostError if the blob ends early."""
        with self.repository.open_blob(self.digest, start) as response:
            if response.status not in (200, 206):
                from rules_bento.registry.client import Reply  # verifying a file needs no client

                what = f"{self.repository}: blob {self.digest}"
                raise self.repository.registry.response_error(Reply.read(response), what)
            at = start if response.status == 206 else 0
            for piece in response.pieces():
                wanted = piece[max(0, start - at) : max(0, end - at)]
                at += len(piece)
                connection.sendall(wanted)
                tally.advance(len(wanted))
            if at < end:
                raise ConnectionLostError(f"{self.repository} sent only {at} of {end} bytes of a blob")

    def check(self, digest: str, size: int) -> None:
        """Do nothing, because the receiving registry verifies the blob."""


@dataclass
class RecipeSource:
    """A layer that is assembled from a recipe and a wheel on demand, and verified before its first byte is sent."""

    recipe: Path
    wheel: Path
    digest: str
    size: int
    _verified: Recipe | None = None

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` to a connection. Raises BentoError for a wrong wheel or recipe."""
        from rules_bento.archives.recipe import Recipe

        if self._verified is None:
            self.check(self.digest, self.size)
            self._verified = Recipe(self.recipe, self.wheel)
        for piece in self._verified.pieces(start, end):
            connection.sendall(piece)
            tally.advance(len(piece))

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the assembled layer doesn't match the digest."""
        from rules_bento.archives.recipe import assemble

        for _ in assemble(self.recipe, self.wheel, digest, size):
            pass


@dataclass(frozen=True)
class BytesSource:
    """A small blob in memory."""

    content: bytes

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` to a connection."""
        connection.sendall(self.content[start:end])
        tally.advance(end - start)

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the content doesn't match the digest."""
        oci.verify(self.content[:size], digest, "blob in memory")


@dataclass(frozen=True)
class BodyPart:
    """Request body: the bytes of a source from `start` to `end`. `tally` counts from `counted_from`."""

    source: Sendable
    start: int
    end: int
    tally: Tally
    counted_from: int = 0

    @property
    def size(self) -> int:
        """The number of bytes in the body."""
        return self.end - self.start

    def write_to(self, connection: socket.socket) -> None:
        """Write the complete body to a connection."""
        self.tally.move_to(self.start - self.counted_from)
        self.source.send(connection, self.start, self.end, self.tally)


@dataclass(frozen=True)
class Pushable:
    """A manifest, its children, the sources of their blobs, and repositories from which blobs can be mounted."""

    root: Manifest
    children: Sequence[Manifest] = ()
    sources: Mapping[str, BlobSource] = field(default_factory=dict)  # by digest
    mount_from: Sequence[str] = ()  # repositories that might have any of the blobs
    mounts: Mapping[str, Sequence[str]] = field(default_factory=dict)  # repositories that had a blob, by digest

    def manifests(self) -> list[Manifest]:
        """Return all manifests. Children precede the index that lists them."""
        return [*self.children, self.root]

    def blobs(self) -> list[Descriptor]:
        """Return each blob of the manifests once, largest first. Raises BentoError for a missing source or child."""
        blobs = {blob.digest: blob for manifest in self.manifests() for blob in manifest.blobs()}
        known = {manifest.descriptor.digest for manifest in self.manifests()}
        listed = {child.digest for manifest in self.manifests() for child in manifest.children()}
        for digest in sorted((blobs.keys() - self.sources.keys()) | (listed - known)):
            raise BentoError(
                f"{self.root.descriptor.digest}: the blob or manifest {digest} is missing. "
                "Build or copy the artifact again."
            )
        return sorted(blobs.values(), key=lambda blob: -blob.size)
