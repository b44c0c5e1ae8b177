"""Describes the content of a push: the manifests of an image, index, or artifact, and a source for each blob."""

from __future__ import annotations

from io import FileIO

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.registry import descriptor as oci
from rules_bento.typing_lite import TYPE_CHECKING, Iterable, Iterator, Mapping, Protocol, Sequence

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from rules_bento.archives.recipe import Recipe
    from rules_bento.net.transfers import Tally
    from rules_bento.registry.client import Repository
    from rules_bento.registry.descriptor import Descriptor, Manifest


_REMEDY = "Build or copy the file again."
_SENDFILE_BYTES = 8 << 20  # bytes for each call of sendfile


class Sendable(Protocol):
    """Interface of objects that send bytes to a connection."""

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` (exclusive) to a connection, and count them in `tally`."""


class BlobSource(Sendable, Protocol):
    """Interface of objects that send and verify a blob."""

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the `size` bytes of the blob don't match the digest."""


def send_pieces(connection: socket.socket, pieces: Iterable[bytes | memoryview], size: int, tally: Tally) -> int:
    """Write at most `size` bytes of `pieces` to a connection. Returns `size` minus the number of written bytes."""
    for piece in pieces:
        wanted = piece[:size]
        connection.sendall(wanted)
        tally.advance(len(wanted))
        size -= len(wanted)
        if not size:
            break
    return size


@dataclass(frozen=True)
class FileSource:
    """A blob that begins at byte `start` of a file. In an archive, `start` is the offset of a member's content."""

    path: Path
    start: int = 0

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` to a connection. Raises BentoError if the file is unreadable."""
        import ssl  # actions only verify blobs and don't need ssl

        at, end = self.start + start, self.start + end
        if isinstance(connection, ssl.SSLSocket):
            send_pieces(connection, FileSource(self.path, at).pieces(end - at), end - at, tally)
            return
        with self._open() as file:
            while at < end:
                sent = connection.sendfile(file, at, min(_SENDFILE_BYTES, end - at))
                self._check_end(sent)
                at += sent
                tally.advance(sent)

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the `size` bytes at position `start` of the file don't match the digest."""
        for _ in self.verified_pieces(digest, size):
            pass

    def verified_pieces(self, digest: str, size: int) -> Iterator[bytes]:
        """Yield the blob. After the last piece, raises BentoError if the digest doesn't match."""
        digester = oci.new_hash(digest)
        for piece in self.pieces(size):
            digester.update(piece)
            yield piece
        if digester.hexdigest() != digest.partition(":")[2]:
            raise BentoError(f"{self.path}: the content doesn't match the digest {digest}. {_REMEDY}")

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
            raise BentoError(f"{self.path}: cannot read the file: {error.strerror}. {_REMEDY}") from None

    def _check_end(self, count: int) -> None:
        if not count:
            raise BentoError(f"{self.path}: the file is smaller than the declared size. {_REMEDY}")


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
            if missing := send_pieces(connection, response.pieces_from(start), end - start, tally):
                raise ConnectionLostError(f"{self.repository} sent only {end - missing} of {end} bytes of a blob")

    def check(self, digest: str, size: int) -> None:
        """Do nothing, because the receiving registry verifies the blob."""


@dataclass
class RecipeSource:
    """A layer that is assembled from a recipe and a wheel on demand. `send` verifies the layer before sending bytes."""

    recipe: Path
    wheel: Path
    digest: str
    size: int
    _verified: Recipe | None = None

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end` to a connection. Raises BentoError if the digest doesn't match."""
        from rules_bento.archives.recipe import Recipe

        if self._verified is None:
            self.check(self.digest, self.size)
            self._verified = Recipe(self.recipe, self.wheel)
        send_pieces(connection, self._verified.pieces(start, end), end - start, tally)

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the assembled layer doesn't match the digest or the size."""
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
        """Raise BentoError if the first `size` bytes don't match the digest."""
        oci.verify(self.content[:size], digest, "blob in memory")


@dataclass(frozen=True)
class BodyPart:
    """Request body with the bytes of a source from `start` to `end`. `tally` counts from byte `counted_from`."""

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
    """An image, index, or artifact to push. Includes sources of blobs, and repositories to mount blobs from."""

    root: Manifest
    children: Sequence[Manifest] = ()
    sources: Mapping[str, BlobSource] = field(default_factory=dict)  # by digest
    mount_from: Sequence[str] = ()  # repositories that might have any of the blobs
    mounts: Mapping[str, Sequence[str]] = field(default_factory=dict)  # repositories that had a blob, by digest

    def manifests(self) -> list[Manifest]:
        """Return all manifests. Children precede the index that lists them."""
        return [*self.children, self.root]

    def blobs(self) -> list[Descriptor]:
        """Return the distinct blobs of all manifests, largest first. Raises BentoError for a missing blob or child."""
        blobs = {blob.digest: blob for manifest in self.manifests() for blob in manifest.blobs()}
        known = {manifest.descriptor.digest for manifest in self.manifests()}
        listed = {child.digest for manifest in self.manifests() for child in manifest.children()}
        for digest in sorted((blobs.keys() - self.sources.keys()) | (listed - known)):
            raise BentoError(
                f"{self.root.descriptor.digest}: the blob or manifest {digest} is missing. "
                "Build or copy the artifact again."
            )
        return sorted(blobs.values(), key=lambda blob: -blob.size)
