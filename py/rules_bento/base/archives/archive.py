"""Writes `.bento` archives by joining parts that are compressed only once.

A `.bento` or `.bentomodel` file is an xz-compressed tar. The blocks of an xz stream are independent. Each *part*
(metadata, sources, data, or a model) is a separate xz stream of tar members without the end-of-archive marker. `join`
copies the blocks of the parts, writes a block that contains the marker, and then writes the xz index. After a one-line
change, only one small part is compressed again. The other formats that BentoML reads are built from the same parts.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from itertools import chain

from rules_bento.base.archives import compressors, streams, tarstream, xz
from rules_bento.base.archives.atomic import atomic_dir, atomic_file, write_pieces
from rules_bento.base.archives.tarstream import Member, check_links
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import TreeWriter
from rules_bento.base.threads import ordered_map
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Iterable, Iterator, Literal, Mapping, Sequence

if TYPE_CHECKING:
    from pathlib import Path


# The formats that BentoML reads in addition to `.bento`: `.tar`, `.gz` (of a tar), `.zip`, a directory.
Form = Literal["tar", "gz", "zip", "folder"]
# The paths of a Bento's requirements; the first one that exists is used.
REQUIREMENTS = ("env/python/requirements.lock.txt", "env/python/requirements.txt")
_MAX_MEMORY = 32 << 20  # bytes for decoding a part; its dictionaries are at most as large as a block


def write_part(out: Path, members: Iterable[tarstream.Member], *, threads: int | None = None) -> None:
    """Write an archive part atomically, using less than 100 MB of memory. The output doesn't depend on `threads`."""
    with atomic_file(out) as file:  # writes: output, of the caller
        _write_xz(file, tarstream.stream(members), threads)


def write_archive(out: Path, members: Iterable[tarstream.Member]) -> None:
    """Write a complete xz-compressed archive atomically, with the members in the given order."""
    with atomic_file(out) as file:  # writes: output, of the caller
        write_tar(file, "xz", chain(tarstream.stream(members), [tarstream.END]))


def join(out: Path, parts: Sequence[Path]) -> None:
    """Atomically join parts into the archive `out`. Raises BentoError if a file in `parts` is invalid."""
    records = []
    with atomic_file(out) as file:  # writes: output, of the caller
        file.write(xz.HEAD)
        for part in parts:
            records += _copy_blocks(part, file)
        end, record = _end_block()
        file.writelines([*end, xz.tail([*records, record])])


def transcode(out: Path, parts: Sequence[Path], form: Form) -> None:
    """Atomically convert parts to the format `form`. For "folder", `out` must not exist, or be an empty directory."""
    if form == "folder":
        with atomic_dir(out) as directory:  # writes: output, of the caller
            write_directory(directory, items(parts))
        return
    with atomic_file(out) as file:  # writes: output, of the caller
        if form == "zip":
            write_zip(file, items(parts))
        else:
            write_tar(file, form, _tar(parts))


def assemble(out: Path, parts: Sequence[Path], latest: Mapping[str, str], form: Form | None = None) -> None:
    """Write an archive from parts. The default format is `.bento`.

    `latest` maps model names to versions. Writes each version to a file `models/NAME/latest` in the archive.
    """
    pointers = out.with_name(out.name + ".latest")
    members = [tarstream.Member.inline(f"models/{name}/latest", version.encode()) for name, version in latest.items()]
    if members:
        write_part(pointers, members, threads=1)  # writes: output, next to the caller's
        parts = [*parts, pointers]
    try:
        if form:
            transcode(out, parts, form)  # writes: output, of the caller
        else:
            join(out, parts)  # writes: output, of the caller
    finally:
        pointers.unlink(missing_ok=True)  # writes: output, next to the caller's


def items(parts: Sequence[Path]) -> Iterator[Member]:
    """Yield the members of all parts. The last part can be a complete archive. Raises BentoError for damaged data."""
    from rules_bento.base.archives import tarread

    links: dict[str, str] = {}
    for member, contents in tarread.members(tarread.PieceReader(_tar(parts), "a part")):
        path = member.name.removeprefix("./").rstrip("/")
        link = member.link if member.kind == "link" else None
        tarstream.check(path, link)
        if link is not None:
            links[path] = link
        data = streams.split(contents, xz.BLOCK) if member.kind == "file" else None
        yield Member(path, member.mode, member.size, link=link, contents=data)
    check_links(links, "the parts")


def read_requirements(part: Path) -> tuple[str, str]:
    """Return the contents and the path of the requirements file in a part.

    If the part contains no requirements file, returns an empty string and the path of the part.
    """
    texts = {
        item.path: b"".join(item.contents).decode()
        for item in items([part])
        if item.path in REQUIREMENTS and item.contents is not None
    }
    return next(((texts[path], path) for path in REQUIREMENTS if path in texts), ("", str(part)))


@cache
def _end_block() -> tuple[list[bytes | memoryview], xz.Record]:
    """Return the last block of every archive, and the index record of the block."""
    return xz.block(tarstream.END)


def _copy_blocks(part: Path, file: BinaryIO) -> list[xz.Record]:
    with part.open("rb", buffering=0) as source:
        try:
            size, records = xz.read_index(source)
        except ValueError as error:
            problem = f"invalid archive part: {error}"
            raise BentoError(problem, place=str(part), remedy="Build the Bento again.") from error
        _copy(source, file, size)
    return records


def _copy(source: BinaryIO, file: BinaryIO, size: int) -> None:
    file.flush()  # the kernel doesn't see the contents of the buffer
    # Interpreters that are built for older C libraries, such as rules_python's, don't have this function.
    if sys.platform == "linux" and hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not supported between these two file systems
            while copied := os.copy_file_range(source.fileno(), file.fileno(), size):
                size -= copied
    while size:  # all of it, or the rest that the kernel didn't copy
        piece = source.read(min(size, xz.BLOCK))
        if not piece:
            remedy = "Run the build again."
            raise BentoError("the file was truncated during the build", place=source.name, remedy=remedy)
        size -= file.write(piece)


def _tar(parts: Sequence[Path]) -> Iterator[bytes]:
    from rules_bento.base.archives import streams

    for part in parts:
        with part.open("rb", buffering=0) as file:
            yield from streams.decode(streams.pieces(file), "xz", _MAX_MEMORY, str(part))
    yield tarstream.END


TarForm = Literal["tar", "xz", "gz", "bz2", "zst"]  # the formats of a tar, plain or compressed


def write_tar(file: BinaryIO, form: TarForm, tar: Iterable[bytes]) -> None:
    """Write a tar to a file in the format `form`. `tar` must include the end-of-archive marker."""
    if form == "tar":
        file.writelines(streams.split(tar, xz.BLOCK))  # whole pages at a time
    elif form == "xz":
        _write_xz(file, tar)
    elif form == "gz":
        file.writelines(ordered_map(_gzip_member, streams.split(tar, xz.BLOCK)))
    elif form == "bz2":
        import bz2

        file.writelines(ordered_map(bz2.compress, streams.split(tar, xz.BLOCK)))
    else:
        _write_zstd(file, tar)


def _write_xz(file: BinaryIO, data: Iterable[bytes], threads: int | None = None) -> None:
    for pieces in xz.buffers(data, threads):
        write_pieces(file, pieces)


def write_zip(file: BinaryIO, items: Iterable[Member]) -> None:  # writes: exempt, writes to an open file
    """Write members to a zip file. Raises BentoError for a symbolic link, because BentoML rejects links in zips."""
    import stat
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for item in items:
            if item.link is not None:
                problem = "`bentoml import` rejects symbolic links in zip archives"
                raise BentoError(problem, place=item.path, remedy="Use another archive format.")
            # The timestamp is 1980, the earliest that a zip supports.
            entry = zipfile.ZipInfo(item.path + "/" * (item.contents is None))
            entry.create_system = 3  # Unix, on every host: the upper half of the attributes is the mode
            entry.external_attr = ((stat.S_IFDIR if item.contents is None else stat.S_IFREG) | item.mode) << 16
            entry.file_size = item.size
            if item.contents is None:
                archive.writestr(entry, b"")
                continue
            first = next(item.contents, b"")
            is_compressed = compressors.compressible(first)
            entry.compress_type = zipfile.ZIP_DEFLATED if is_compressed else zipfile.ZIP_STORED
            with archive.open(entry, "w") as target:
                if is_compressed:  # instead of Python's zlib
                    raw = compressors.zlib_ng().compressobj(compressors.LEVEL, compressors.DEFLATED, compressors.RAW)
                    target._compressor = raw  # type: ignore[attr-defined]
                target.write(first)
                target.writelines(item.contents)


def write_directory(directory: Path, items: Iterable[Member]) -> None:  # writes: output, or an own directory
    """Write members to an empty directory. Creates links last, so that no file is written through a link."""
    links = []
    with TreeWriter(directory) as tree:
        for item in items:
            if item.link is not None:
                links.append((item.path, item.link))
            elif item.contents is None:
                tree.directory(item.path, item.mode)
            else:
                tree.file(item.path, item.contents, item.mode)
        for path, link in links:
            tree.link(path, link)


def _gzip_member(block: bytes) -> bytes:
    """Return `block` as a gzip member without a timestamp or a file name. Concatenated members form a gzip file."""
    level = compressors.LEVEL if compressors.compressible(block) else 0
    compressor = compressors.zlib_ng().compressobj(level, compressors.DEFLATED, compressors.GZIP)
    packed: bytes = compressor.compress(block) + compressor.flush()
    return packed


def _write_zstd(file: BinaryIO, tar: Iterable[bytes]) -> None:
    zstandard = compressors.zstd()
    # zstandard writes the same bytes for each number of threads, except for 0, which means the current thread.
    compressor = zstandard.ZstdCompressor(level=3, threads=max(1, min(8, os.cpu_count() or 1)), write_checksum=True)
    with compressor.stream_writer(file, closefd=False) as writer:
        for piece in streams.split(tar, xz.BLOCK):
            writer.write(piece)
