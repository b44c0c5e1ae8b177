"""What layers hold, of whichever builder: their tars read as streams."""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING

from rules_bento.errors import BentoError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MOST_SIZE = 256 << 30  # bytes of a file: to pass over it is to read it
_READ = 1 << 20
# OCI image layer specification, "Whiteouts".
_REMOVED, _EMPTIED = ".wh.", ".wh..wh..opq"


def opened(blob: Path, media_type: str) -> IO[bytes]:
    """The tar of a layer."""
    if media_type.endswith("+zstd"):
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(blob.open("rb"), read_across_frames=True, closefd=True)
    if media_type.endswith("+gzip"):
        import gzip

        return gzip.open(blob)  # type: ignore[return-value]
    return blob.open("rb")


def library_names(layers: Iterable[tuple[Path, str]]) -> set[str]:
    """The file names of shared libraries, and of links to them, in an image.

    Wherever they lie, for loaders are told of places in many ways. `layers` are blobs and their media types, from the
    lowest up. Raises BentoError for a layer that cannot be read.
    """
    paths: set[str] = set()
    for blob, media_type in layers:
        here: set[str] = set()
        for path in _files(blob, media_type):
            folder, _, name = path.rpartition("/")
            inside = f"{folder}/" if folder else ""
            if name == _EMPTIED:
                paths = {other for other in paths if not other.startswith(inside)}
            elif name.startswith(_REMOVED):
                removed = inside + name.removeprefix(_REMOVED)
                paths = {other for other in paths if other != removed and not other.startswith(f"{removed}/")}
            elif ".so" in name:
                here.add(path)
        paths |= here
    return {path.rpartition("/")[2] for path in paths}


def _files(blob: Path, media_type: str) -> Iterable[str]:
    import zlib

    errors: tuple[type[Exception], ...] = (tarfile.TarError, EOFError, OSError, zlib.error)
    if media_type.endswith("+zstd"):
        import zstandard

        errors = (*errors, zstandard.ZstdError)
    try:
        with opened(blob, media_type) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=_READ) as tar:
            for member in tar:
                if not 0 <= member.size <= _MOST_SIZE:
                    raise tarfile.ReadError(f"{member.name!r} declares {member.size} bytes")
                if not member.isdir():
                    yield member.name.removeprefix("./").lstrip("/")
    except errors as error:
        raise BentoError(f"{blob.name}: a layer that cannot be read ({error}). Fetch the base image again.") from None
