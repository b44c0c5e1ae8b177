"""Forms of layers: each class encodes a tar, whose files it receives in order.

A form yields the encoded bytes, either of a complete layer, or of a part that other layers copy (see `parts`).
"""

from __future__ import annotations

from itertools import chain

from rules_bento.base.archives.streams import Splitter
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.threads import OrderedPool
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.base.archives.zipread import Chunk


class TarFile(NamedTuple):
    """A file in a tar, and the records before it.

    >>> [*TarFile(b"header", text=b"contents").pieces()]
    [b'header', b'contents']
    """

    records: bytes  # padding of the previous file, and headers
    chunks: Iterable[Chunk] = ()  # contents, with their deflate streams if they are from a wheel
    text: bytes = b""  # contents that the installation of a wheel writes; only without chunks

    def pieces(self) -> Iterator[bytes]:
        """Yield the uncompressed bytes."""
        if self.records:
            yield self.records
        for chunk in self.chunks:
            yield chunk.data
        if self.text:
            yield self.text


class LayerForm:
    """Encodes the files of a tar. Concatenate the bytes from all calls of `add`, and from one call of `finish`."""

    reuses_streams = False  # whether the form needs the deflate streams of wheels

    def add(self, file: TarFile) -> Iterator[bytes]:
        """Yield the bytes that don't have to wait for the next file."""
        raise NotImplementedError

    def finish(self) -> Iterator[bytes]:
        """Yield the last bytes."""
        raise NotImplementedError


class Uncompressed(LayerForm):
    """Encodes a layer as a tar.

    >>> [*Uncompressed().add(TarFile(b"header", text=b"contents"))]
    [b'header', b'contents']
    """

    def add(self, file: TarFile) -> Iterator[bytes]:
        """Yield the bytes of the tar."""
        return file.pieces()

    def finish(self) -> Iterator[bytes]:
        """Yield nothing."""
        return iter(())


class Blocks(LayerForm):
    """Compresses blocks of the tar in threads. The size of the blocks is fixed, so threads don't change the bytes."""

    def __init__(self, compress: Callable[[bytes], bytes], size: int, threads: int | None) -> None:
        """Compress blocks of `size` bytes with the function `compress`. If `threads` is None, uses up to 8 CPUs."""
        self._blocks = Splitter(size)
        self._pool = OrderedPool(compress, threads)

    def add(self, file: TarFile) -> Iterator[bytes]:
        """Yield finished blocks."""
        for piece in file.pieces():
            for block in self._blocks.add(piece):
                yield from self._encoded(block)

    def finish(self) -> Iterator[bytes]:
        """Yield the remaining blocks."""
        for block in self._blocks.finish():
            yield from self._encoded(block)
        yield from self._pool.finish()

    def _encoded(self, block: bytes) -> Iterator[bytes]:
        """Compress a block, and yield the blocks that are finished."""
        return self._pool.add(block)


def encode(form: LayerForm, files: Iterable[TarFile]) -> Iterator[bytes]:
    """Yield the encoded bytes of a tar. `files` includes the end-of-archive records, if any."""
    return chain(chain.from_iterable(map(form.add, files)), form.finish())
