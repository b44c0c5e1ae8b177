"""The `.bento` archive: parts that are made once and joined.

A `.bento` or `.bentomodel` is a tar inside xz, and an xz stream is made of blocks that do not know of each
other. So each *part* (the sources and the environment; each model) is an xz stream of its own that holds a
run of tar members without an end of archive, and joining is copying: the blocks of the parts, then a last
small one with tar's end, and an index. A changed source line compresses one small part again, never a model.

The other forms that BentoML reads are made from the same parts by `transcode`.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple, cast

from rules_bento.archives import tarstream, xz
from rules_bento.errors import BentoError

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import IO

Form = Literal["tar", "gz", "zip", "folder"]
"""What BentoML reads beside `.bento`: `.tar`, `.gz` (of a tar), `.zip`, a directory."""


class PartInfo(NamedTuple):
    """What was written: SHA-256 (hexadecimal) and size in bytes of the part, bytes of tar in it."""

    sha256: str
    size: int
    tar_size: int


def write_part(
    out: Path, members: Iterable[tarstream.Member], *, mtime: int = 0, threads: int | None = None
) -> PartInfo:
    """Write the members, in the order given, as a part at `out`, which is there only when it is whole.

    The bytes depend on the members and on `mtime` (seconds since 1970), not on `threads` (by default one for
    each core). Memory stays below 100 MB whatever the size. Raises BentoError as `tarstream.stream` does.
    """
    import hashlib

    digest = hashlib.sha256()
    size = tar_size = 0

    def counted() -> Iterator[bytes]:
        nonlocal tar_size
        for piece in tarstream.stream(members, mtime):
            tar_size += len(piece)
            yield piece

    with _whole(out) as file:
        for piece in xz.stream(counted(), threads):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return PartInfo(digest.hexdigest(), size, tar_size)


def join(out: Path, parts: Sequence[Path]) -> None:
    """Write an archive of the parts at `out`, which is there only when it is whole.

    The blocks of the parts are copied as they are, by the kernel where it can. That no two parts hold the
    same path is the caller's care. Raises BentoError for a file that is no part.
    """
    records = []
    with _whole(out) as file:
        file.write(xz.HEAD)
        for part in parts:
            records += _copy_blocks(part, file)
        end, record = xz.block(tarstream.END)
        file.write(end + xz.tail([*records, record]))


def transcode(out: Path, parts: Sequence[Path], form: Form) -> None:
    """Write the members of the parts in another form at `out`, which is there only when it is whole.

    The bytes depend on the parts (and where they are compressed, on the zlib that does it). A folder may be
    there already if it is empty. A zip cannot have links: BentoML refuses one that has, so this does, too
    (BentoError).
    """
    if form == "folder":
        _write_folder(out, parts)
        return
    with _whole(out) as file:
        if form == "tar":
            file.writelines(_tar(parts))
        elif form == "gz":
            file.writelines(xz.in_order(_gzip_member, xz.cut(_tar(parts))))
        else:
            _write_zip(file, parts)


@contextmanager
def _whole(out: Path) -> Iterator[BinaryIO]:
    """A file that becomes `out` if the block ends well, and leaves nothing behind if not."""
    unfinished = _sibling(out)
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(out)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _sibling(out: Path) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}")


def _copy_blocks(part: Path, file: BinaryIO) -> list[xz.Record]:
    with part.open("rb", buffering=0) as source:
        try:
            size, records = xz.blocks_of(source)
        except ValueError as error:
            raise BentoError(f"{part}: not a part of an archive, or not a whole one: {error}") from error
        _copy(source, file, size)
    return records


def _copy(source: BinaryIO, file: BinaryIO, size: int) -> None:
    """Append the next `size` bytes of an unbuffered file."""
    file.flush()  # the kernel does not see what is still in the buffer
    if sys.platform == "linux":
        with suppress(OSError):  # not between these two file systems
            while copied := os.copy_file_range(source.fileno(), file.fileno(), size):
                size -= copied
    while size:  # all of it, or what the kernel has left
        piece = source.read(min(size, xz.BLOCK))
        if not piece:
            raise BentoError(f"{source.name}: became shorter while it was copied")
        size -= file.write(piece)


def _tar(parts: Sequence[Path]) -> Iterator[bytes]:
    """The parts as one tar, in pieces."""
    import lzma

    for part in parts:
        with lzma.open(part) as file:
            try:
                while piece := file.read(xz.BLOCK):
                    yield piece
            except (lzma.LZMAError, EOFError) as error:
                raise BentoError(f"{part}: a damaged part: {error}") from error
    yield tarstream.END


class _Pieces:
    """An iterator of bytes as the file that tarfile's stream mode reads: it asks for nothing else."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int) -> bytes:
        """The next piece, whatever its size, or nothing at the end."""
        return next(self._pieces, b"")


def _members(parts: Sequence[Path]) -> Iterator[tuple[str, tarfile.TarInfo, IO[bytes] | None]]:
    """Each member's path, entry and, if it is a file, contents: to be read before the next member."""
    import tarfile

    file = cast("BinaryIO", _Pieces(_tar(parts)))
    with tarfile.open(fileobj=file, mode="r|", bufsize=xz.BLOCK) as tar:
        for info in tar:
            path = info.name.removeprefix("./")
            tarstream.check(path, info.linkname if info.issym() else None)
            if not (info.isfile() or info.isdir() or info.issym()):
                raise BentoError(f"{path}: neither a file nor a directory nor a symbolic link")
            yield path, info, tar.extractfile(info) if info.isfile() else None


def _gzip_member(block: bytes) -> bytes:
    """A gzip of its own: their concatenation is a gzip too, and each has no time and no name."""
    import zlib

    compressor = zlib.compressobj(6 if xz.compressible(block) else 0, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(block) + compressor.flush()


def _write_zip(file: BinaryIO, parts: Sequence[Path]) -> None:
    import shutil
    import stat
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for path, info, contents in _members(parts):
            if info.issym():
                raise BentoError(f"{path}: a link, which `bentoml import` refuses in a zip: use another form")
            entry = zipfile.ZipInfo(path + "/" * info.isdir())  # its time is 1980, the first that a zip knows
            entry.create_system = 3  # Unix, on every host: the mode is in the upper half of the attributes
            entry.external_attr = ((stat.S_IFREG if contents else stat.S_IFDIR) | info.mode) << 16
            entry.file_size = info.size
            if contents is None:
                archive.writestr(entry, b"")
                continue
            first = contents.read(xz.BLOCK)
            entry.compress_type = zipfile.ZIP_DEFLATED if xz.compressible(first) else zipfile.ZIP_STORED
            with archive.open(entry, "w") as target:
                target.write(first)
                shutil.copyfileobj(contents, target, xz.BLOCK)


def _write_folder(out: Path, parts: Sequence[Path]) -> None:
    import shutil

    unfinished = _sibling(out)
    try:
        unfinished.mkdir()
        _fill(unfinished, parts)
        unfinished.replace(out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _fill(folder: Path, parts: Sequence[Path]) -> None:
    import shutil

    links = []
    for path, info, contents in _members(parts):
        target = folder / path
        if info.issym():
            links.append((target, info.linkname))
        elif contents is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(contents, file, xz.BLOCK)
            target.chmod(info.mode)
    for target, link in links:  # last, so that nothing is written through one
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(link)
