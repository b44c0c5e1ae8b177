"""Describes the content of a push: the manifests of an image, index, or artifact, and a source for each blob."""

from __future__ import annotations

from io import FileIO

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, limits
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator, Mapping, Protocol, Sequence
from rules_bento.images.registry import descriptor as oci

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.recipe import Recipe
    from rules_bento.images.registry.client import Repository
    from rules_bento.images.registry.descriptor import Descriptor, Manifest


_REMEDY = "Build or copy the file again."


class BlobSource(Protocol):
    """Interface of objects that read and verify a blob."""

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` to `end` (exclusive)."""

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the `size` bytes of the blob don't match the digest."""


def limit_pieces(
    pieces: Iterable[bytes | memoryview], size: int, truncated: Callable[[int], Exception]
) -> Iterator[bytes | memoryview]:
    """Yield the first `size` bytes of `pieces`. If bytes are missing, raises the error `truncated(missing)`."""
    for piece in pieces:
        yield piece[:size]
        size -= len(piece)
        if size <= 0:
            return
    if size:
        raise truncated(size)


def verified_pieces(source: BlobSource, digest: str, size: int, problem: str) -> Iterator[bytes | memoryview]:
    """Yield a blob. After the last piece, raises BentoError with the message `problem` if the digest doesn't match."""
    digester = oci.new_hash(digest)
    for piece in source.pieces(0, size):
        digester.update(piece)
        yield piece
    if digester.hexdigest() != digest.partition(":")[2]:
        raise BentoError(problem)


@dataclass(frozen=True)
class FileSource:
    """A blob that begins at byte `start` of a file. In an archive, `start` is the offset of a member's content."""

    path: Path
    start: int = 0

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the `size` bytes at position `start` of the file don't match the digest."""
        for _ in self.verified_pieces(digest, size):
            pass

    def verified_pieces(self, digest: str, size: int) -> Iterator[bytes | memoryview]:
        """Yield the blob. After the last piece, raises BentoError if the digest doesn't match."""
        problem = f"{self.path}: the content doesn't match the digest {digest}. {_REMEDY}"
        return verified_pieces(self, digest, size, problem)

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end`. Raises BentoError if the file is unreadable or too short."""
        with self._open() as file:
            file.seek(self.start + start)
            while start < end:
                piece = file.read(min(end - start, limits.PIECE))
                if not piece:
                    raise BentoError("the file is smaller than the declared size", place=str(self.path), remedy=_REMEDY)
                yield piece
                start += len(piece)

    def _open(self) -> FileIO:
        try:
            return FileIO(self.path)
        except OSError as error:
            raise BentoError(f"cannot read the file: {error.strerror}", place=str(self.path), remedy=_REMEDY) from None


@dataclass(frozen=True)
class RemoteSource:
    """A blob that is streamed from a repository on demand."""

    repository: Repository
    digest: str

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` to `end`. Raises ConnectionLostError if the blob ends early."""

        def truncated(missing: int) -> Exception:
            return ConnectionLostError(f"{self.repository} sent only {end - missing} of {end} bytes of a blob")

        with self.repository.open_blob(self.digest, start) as response:
            if response.status == 416:
                raise truncated(end - start)
            yield from limit_pieces(response.pieces(start), end - start, truncated)

    def check(self, digest: str, size: int) -> None:
        """Do nothing, because the receiving registry verifies the blob."""


class ResumedSource(RemoteSource):
    """A blob in a registry, whose interrupted download is resumed."""

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` to `end`. Raises BentoError after several failures."""
        registry, retry = self.repository.registry, self.repository.registry.retry()
        while start < end:
            try:
                for piece in super().pieces(start, end):
                    start += len(piece)
                    retry.progressed(len(piece))
                    yield piece
            except ConnectionLostError as cut:
                if not retry.again(cut.retry_after, timed_out=cut.timed_out):
                    raise cut.error or registry.connection_error(f"{self.repository}: {self.digest}", cut) from None


@dataclass
class RecipeSource:
    """A layer that is assembled from a recipe and a wheel on demand. `pieces` verifies the layer before yielding."""

    recipe: Path
    wheel: Path
    digest: str
    size: int
    _verified: Recipe | None = None

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` to `end`. Raises BentoError if the digest doesn't match."""
        from rules_bento.base.archives.recipe import Recipe

        if self._verified is None:
            self.check(self.digest, self.size)
            self._verified = Recipe(self.recipe, self.wheel)
        yield from self._verified.pieces(start, end)

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the assembled layer doesn't match the digest or the size."""
        from rules_bento.base.archives.recipe import assemble

        for _ in assemble(self.recipe, self.wheel, digest, size):
            pass


@dataclass(frozen=True)
class BytesSource:
    """A small blob in memory.

    >>> [*BytesSource(b"abcd").pieces(1, 3)]
    [b'bc']
    """

    content: bytes

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end`."""
        yield self.content[start:end]

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the first `size` bytes don't match the digest."""
        oci.verify(self.content[:size], digest, "blob in memory")


@dataclass(frozen=True)
class BodyPart:
    """Request body with the bytes of a source from `start` to `end`. Calls `count` with each position in the source.

    >>> [*BodyPart(BytesSource(b"abcd"), 1, 4, print)]
    1
    4
    [b'bcd']
    """

    source: BlobSource
    start: int
    end: int
    count: Callable[[int], None]

    @property
    def size(self) -> int:
        """The number of bytes in the body."""
        return self.end - self.start

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes of the body."""
        at = self.start
        self.count(at)
        for piece in self.source.pieces(self.start, self.end) if self.size else ():
            yield piece
            at += len(piece)
            self.count(at)


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
            problem = f"the blob or manifest {digest} is missing"
            raise BentoError(problem, place=self.root.descriptor.digest, remedy="Build or copy the artifact again.")
        return sorted(blobs.values(), key=lambda blob: -blob.size)
