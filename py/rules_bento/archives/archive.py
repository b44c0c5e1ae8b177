"""Writes `.bento` archives by joining parts that are compressed once.

A `.bento` or `.bentomodel` file is a tar inside xz, and the blocks of an xz stream are independent. Each *part* (the
sources and the environment; each model) is an xz stream of its own that contains tar members without an end of archive.
Joining copies the blocks of the parts, and adds a small block with the end of the tar, and an index. A one-line change
compresses one small part again, never a model.

`transcode` writes the other formats that BentoML reads from the same parts.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from itertools import chain

from rules_bento.archives import forms, tarstream, xz
from rules_bento.archives.atomic import atomic_dir, atomic_file
from rules_bento.archives.links import check_links
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

Form = Literal["tar", "gz", "zip", "folder"]
"""The formats that BentoML reads in addition to `.bento`: `.tar`, `.gz` (of a tar), `.zip`, a directory."""

REQUIREMENTS = ("env/python/requirements.lock.txt", "env/python/requirements.txt")
"""The paths of a Bento's requirements; the first one that exists is used."""

_MAX_MEMORY = 32 << 20  # bytes for decoding a part; its dictionaries are at most as large as a block


class PartInfo(NamedTuple):
    """Describes a written part: its SHA-256 (hexadecimal) and its size in bytes."""

    sha256: str
    size: int


def write_part(out: Path, members: Iterable[tarstream.Member], *, threads: int | None = None) -> None:
    """Write the members in the given order to a part at `out`, atomically.

    The bytes depend on the members, not on `threads` (default: one per core). Needs less than 100 MB of memory for any
    size. Raises the errors of `tarstream.stream`.
    """
    with atomic_file(out) as file:
        file.writelines(xz.stream(tarstream.stream(members), threads))


def write_measured_part(out: Path, members: Iterable[tarstream.Member]) -> PartInfo:
    """Write a part like `write_part`, and describe it."""
    import hashlib

    digest = hashlib.sha256()
    size = 0
    with atomic_file(out) as file:
        for piece in xz.stream(tarstream.stream(members)):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return PartInfo(digest.hexdigest(), size)


def write_archive(out: Path, members: Iterable[tarstream.Member]) -> None:
    """Write the members in the given order to an archive at `out`; otherwise like `write_part`."""
    with atomic_file(out) as file:
        forms.write_tar(file, "xz", chain(tarstream.stream(members), [tarstream.END]))


def join(out: Path, parts: Sequence[Path]) -> None:
    """Write an archive of the parts to `out`, atomically.

    Copies the blocks of the parts unchanged, in the kernel if possible. The caller ensures that no two parts contain
    the same path. Raises BentoError for a file that isn't a part.
    """
    records = []
    with atomic_file(out) as file:
        file.write(xz.HEAD)
        for part in parts:
            records += _copy_blocks(part, file)
        end, record = _end_block()
        file.write(end + xz.tail([*records, record]))


def transcode(out: Path, parts: Sequence[Path], form: Form) -> None:
    """Write the members of the parts in another format to `out`, atomically.

    A directory can exist already if it is empty; the last part can be a whole archive. Raises the errors of `forms`,
    and BentoError for a damaged part.
    """
    if form == "folder":
        with atomic_dir(out) as folder:
            forms.write_folder(folder, items(parts))
        return
    with atomic_file(out) as file:
        if form == "zip":
            forms.write_zip(file, items(parts))
        else:
            forms.write_tar(file, form, _tar(parts))


def assemble(out: Path, parts: Sequence[Path], latest: Mapping[str, str], form: Form | None = None) -> None:
    """Write the archive to `out`: the parts in this order, and the pointers to the latest model of each name.

    `latest` contains the versions by model name. Without a `form`, writes a `.bento` archive. Raises BentoError for
    parts that don't fit together, and OSError; then `out` doesn't exist.
    """
    pointers = out.with_name(out.name + ".latest")
    members = [tarstream.Member.inline(f"models/{name}/latest", version.encode()) for name, version in latest.items()]
    if members:
        write_part(pointers, members, threads=1)
        parts = [*parts, pointers]
    try:
        if form:
            transcode(out, parts, form)
        else:
            join(out, parts)
    finally:
        pointers.unlink(missing_ok=True)


def items(parts: Sequence[Path]) -> Iterator[forms.StreamedMember]:
    """Yield the members of parts; the last part can be a whole archive. Raises BentoError for a damaged part."""
    from rules_bento.archives import tarread

    links: dict[str, str] = {}
    for member, contents in tarread.members(tarread.PieceReader(_tar(parts), "a part")):
        path = member.name.removeprefix("./").rstrip("/")
        link = member.link if member.kind == "link" else None
        tarstream.check(path, link)
        if link is not None:
            links[path] = link
        yield forms.StreamedMember(
            path, member.mode, member.size, link, xz.split(contents) if member.kind == "file" else None
        )
    check_links(links, "the parts")


def read_requirements(part: Path) -> tuple[str, str]:
    """Return the requirements in a part with the environment, and their path; otherwise "" and the path of the part.

    Raises BentoError for a damaged part.
    """
    texts = {
        item.path: b"".join(item.contents).decode()
        for item in items([part])
        if item.path in REQUIREMENTS and item.contents is not None
    }
    return next(((texts[path], path) for path in REQUIREMENTS if path in texts), ("", str(part)))


@cache
def _end_block() -> tuple[bytes, xz.Record]:
    """Return the block that ends each archive. Cached: an encoder needs a tenth of the time of a small Bento."""
    return xz.block(tarstream.END)


def _copy_blocks(part: Path, file: BinaryIO) -> list[xz.Record]:
    with part.open("rb", buffering=0) as source:
        try:
            size, records = xz.read_index(source)
        except ValueError as error:
            raise BentoError(f"{part}: invalid part of an archive: {error}. Build it again.") from error
        _copy(source, file, size)
    return records


def _copy(source: BinaryIO, file: BinaryIO, size: int) -> None:
    """Append the next `size` bytes of an unbuffered file to another file."""
    file.flush()  # the kernel doesn't see the contents of the buffer
    # Interpreters that are built for older C libraries, such as rules_python's, don't have this function.
    if sys.platform == "linux" and hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not supported between these two file systems
            while copied := os.copy_file_range(source.fileno(), file.fileno(), size):
                size -= copied
    while size:  # all of it, or the rest that the kernel didn't copy
        piece = source.read(min(size, xz.BLOCK))
        if not piece:
            raise BentoError(f"{source.name}: shrank while it was copied. Build it again.")
        size -= file.write(piece)


def _tar(parts: Sequence[Path]) -> Iterator[bytes]:
    """Yield the parts as one tar, in pieces."""
    from rules_bento.archives import streams

    for part in parts:
        with part.open("rb", buffering=0) as file:
            yield from streams.decode(streams.pieces(file), "xz", _MAX_MEMORY, str(part))
    yield tarstream.END
