"""Writes archives in the formats other than `.bento`, from members of any origin.

The members pass through in pieces, so memory stays constant. The bytes depend on the members (and on the version of the
compression library), not on the number of cores.
"""

from __future__ import annotations

from rules_bento.archives import xz
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TarForm = Literal["tar", "xz", "gz", "bz2", "zst"]
"""The formats of a tar, plain or compressed."""


class StreamedMember(NamedTuple):
    """Describes a member to write. A link has a `link`, a file `contents` of `size` bytes, a directory neither.

    Consume the contents before you request the next member.
    """

    path: str
    mode: int
    size: int = 0
    link: str | None = None
    contents: Iterator[bytes] | None = None


def write_tar(file: BinaryIO, form: TarForm, tar: Iterable[bytes]) -> None:
    """Write a tar, given in pieces that include its end."""
    if form == "tar":
        file.writelines(xz.split(tar))  # whole pages at a time
    elif form == "xz":
        file.writelines(xz.stream(tar))
    elif form == "gz":
        file.writelines(xz.ordered_map(_gzip_member, xz.split(tar)))
    elif form == "bz2":
        import bz2

        file.writelines(xz.ordered_map(bz2.compress, xz.split(tar)))
    else:
        _write_zstd(file, tar)


def write_zip(file: BinaryIO, items: Iterable[StreamedMember]) -> None:
    """Write a zip. Raises BentoError for a symbolic link, because BentoML rejects a zip with a link."""
    import stat
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for item in items:
            if item.link is not None:
                raise BentoError(f"{item.path}: `bentoml import` rejects symbolic links in a zip. Use another format.")
            # The timestamp is 1980, the earliest that a zip supports.
            entry = zipfile.ZipInfo(item.path + "/" * (item.contents is None))
            entry.create_system = 3  # Unix, on every host: the upper half of the attributes is the mode
            entry.external_attr = ((stat.S_IFDIR if item.contents is None else stat.S_IFREG) | item.mode) << 16
            entry.file_size = item.size
            if item.contents is None:
                archive.writestr(entry, b"")
                continue
            first = next(item.contents, b"")
            entry.compress_type = zipfile.ZIP_DEFLATED if xz.compressible(first) else zipfile.ZIP_STORED
            with archive.open(entry, "w") as target:
                target.write(first)
                target.writelines(item.contents)


def write_folder(folder: Path, items: Iterable[StreamedMember]) -> None:
    """Fill an empty directory. Creates links last, so nothing is written through a link."""
    links = []
    for item in items:
        target = folder / item.path
        if item.link is not None:
            links.append((target, item.link))
        elif item.contents is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.writelines(item.contents)
            target.chmod(item.mode)
    for target, link in links:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(link)


def _gzip_member(block: bytes) -> bytes:
    """Return a gzip member without time and name. Concatenated members are a gzip file."""
    import zlib

    compressor = zlib.compressobj(6 if xz.compressible(block) else 0, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(block) + compressor.flush()


def _write_zstd(file: BinaryIO, tar: Iterable[bytes]) -> None:
    import os

    import zstandard

    # zstandard writes the same bytes for each number of threads, except for 0, which means the current thread.
    compressor = zstandard.ZstdCompressor(level=3, threads=max(1, min(8, os.cpu_count() or 1)), write_checksum=True)
    with compressor.stream_writer(file, closefd=False) as writer:
        for piece in xz.split(tar):
            writer.write(piece)
