"""Layers from a tar that is at hand as a stream, without the end of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_bento import layer
from rules_bento.tarstream import END

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def write_tar_layer(
    out: Path, tar: Iterable[bytes], compression: layer.Compression, *, threads: int | None = None
) -> layer.LayerInfo:
    """Write a layer with the members that `tar` has in their order to `out`, which is there only when it is whole.

    The pieces of `tar` may have any length. `threads` compress (zstd), by default one for each core.
    """

    def pieces() -> Iterator[tuple[int, bytes, bytes]]:
        for data in tar:
            yield layer._TAR, data, b""
        yield layer._TAR, END, b""

    return layer._write(out, pieces(), layer._encoder(compression, threads))
