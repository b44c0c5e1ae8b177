"""What layers hold, of whichever builder: their tars read as streams."""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING

from rules_bento.errors import BentoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_MOST_SIZE = 256 << 30  # bytes of a file: to pass over it is to read it
_READ = 1 << 20
# OCI image layer specification, "Whiteouts".
_REMOVED, _EMPTIED = ".wh.", ".wh..wh..opq"
_LARGEST_KEPT = 1 << 26


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
    return {path.rpartition("/")[2] for path in read_files(layers, lambda path: ".so" in path.rpartition("/")[2])}


def read_files(
    layers: Iterable[tuple[Path, str]], named: Callable[[str], bool], kept: Callable[[str], bool] = lambda _path: False
) -> dict[str, bytes]:
    """Find the files of an image that `named` tells by their paths, and those that `kept` tells with their contents.

    A link is no file that can be kept. Raises BentoError for a layer that cannot be read, or a file to keep that is
    larger than any that belongs there.
    """
    found: dict[str, bytes] = {}
    for blob, media_type in layers:
        here: dict[str, bytes] = {}
        for path, data in _files(blob, media_type, kept):
            folder, _, name = path.rpartition("/")
            inside = f"{folder}/" if folder else ""
            if name == _EMPTIED:
                found = {other: of for other, of in found.items() if not other.startswith(inside)}
            elif name.startswith(_REMOVED):
                removed = inside + name.removeprefix(_REMOVED)
                found = {
                    other: of for other, of in found.items() if other != removed and not other.startswith(f"{removed}/")
                }
            elif kept(path):
                found.pop(path, None)
                if data is not None:
                    here[path] = data
            elif named(path):
                here[path] = b""
        found |= here
    return found


def _contents(blob: Path, member: tarfile.TarInfo, tar: tarfile.TarFile) -> bytes:
    file = tar.extractfile(member) if member.size <= _LARGEST_KEPT else None
    if file is None:
        raise BentoError(f"{blob.name}: {member.name} has {member.size} bytes; no system has one of that size.")
    return file.read()


def _files(blob: Path, media_type: str, kept: Callable[[str], bool]) -> Iterator[tuple[str, bytes | None]]:
    """The paths of all that is no folder; with the contents of files to keep."""
    import zlib

    # ValueError is for a number in the records of a header.
    errors: tuple[type[Exception], ...] = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error)
    if media_type.endswith("+zstd"):
        import zstandard

        errors = (*errors, zstandard.ZstdError)
    try:
        with opened(blob, media_type) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=_READ) as tar:
            for member in tar:
                if not 0 <= member.size <= _MOST_SIZE:
                    raise tarfile.ReadError(f"{member.name!r} declares {member.size} bytes")
                if not member.isdir():
                    path = member.name.removeprefix("./").lstrip("/")
                    yield path, _contents(blob, member, tar) if member.isreg() and kept(path) else None
    except errors as error:
        raise BentoError(f"{blob.name}: a layer that cannot be read ({error}). Fetch the base image again.") from None
