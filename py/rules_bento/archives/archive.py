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
"""What BentoML reads beside `.bento`: `.tar`, `.gz` (of a tar), `.zip`, a directory."""

REQUIREMENTS = ("env/python/requirements.lock.txt", "env/python/requirements.txt")
"""Where a Bento states its packages: the first that is there."""

_MAX_MEMORY = 32 << 20  # bytes for decoding a part, whose dictionaries are no larger than a block


class PartInfo(NamedTuple):
    """Describes a part that was written: its SHA-256 (hexadecimal) and size in bytes."""

    sha256: str
    size: int


def write_part(out: Path, members: Iterable[tarstream.Member], *, threads: int | None = None) -> None:
    """Write the members, in the order given, as a part at `out`, which is there only when it is whole.

    The bytes depend on the members, not on `threads` (by default one for each core). Memory stays below 100 MB
    whatever the size. Raises BentoError as `tarstream.stream` does.
    """
    with atomic_file(out) as file:
        file.writelines(xz.stream(tarstream.stream(members), threads))


def write_measured_part(out: Path, members: Iterable[tarstream.Member]) -> PartInfo:
    """Write a part as `write_part` does, and describe it."""
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
    """Write the members, in the order given, as an archive at `out`; else as `write_part`."""
    with atomic_file(out) as file:
        forms.write_tar(file, "xz", chain(tarstream.stream(members), [tarstream.END]))


def join(out: Path, parts: Sequence[Path]) -> None:
    """Write an archive of the parts at `out`, which is there only when it is whole.

    The blocks of the parts are copied as they are, by the kernel where it can. That no two parts hold the
    same path is the caller's care. Raises BentoError for a file that is no part.
    """
    records = []
    with atomic_file(out) as file:
        file.write(xz.HEAD)
        for part in parts:
            records += _copy_blocks(part, file)
        end, record = _end_block()
        file.write(end + xz.tail([*records, record]))


def transcode(out: Path, parts: Sequence[Path], form: Form) -> None:
    """Write the members of the parts in another form at `out`, which is there only when it is whole.

    A folder may be there already if it is empty; the last part may be a whole archive. Raises BentoError as `forms`
    does, and for a damaged part.
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
    """Write the archive at `out`: the parts in this order, and the pointers to the latest model of each name.

    `latest` has the versions by names of models. Without a `form` it is a `.bento`. Raises BentoError for parts that
    do not fit together, and OSError; nothing is left at `out` then.
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
    """Yield the members of parts, of which the last may be a whole archive. Raises BentoError for a damaged one."""
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
    """Return the requirements that a part with the environment has, and their path; else an empty text and the part's.

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
    """Return the block that ends each archive; an encoder takes a tenth of what a small Bento takes."""
    return xz.block(tarstream.END)


def _copy_blocks(part: Path, file: BinaryIO) -> list[xz.Record]:
    with part.open("rb", buffering=0) as source:
        try:
            size, records = xz.read_index(source)
        except ValueError as error:
            raise BentoError(f"{part}: not a part of an archive, or not a whole one: {error}") from error
        _copy(source, file, size)
    return records


def _copy(source: BinaryIO, file: BinaryIO, size: int) -> None:
    """Append the next `size` bytes of an unbuffered file to another."""
    file.flush()  # the kernel does not see what is still in the buffer
    # Interpreters that are built for old C libraries, as rules_python's are, have no such function.
    if sys.platform == "linux" and hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not between these two file systems
            while copied := os.copy_file_range(source.fileno(), file.fileno(), size):
                size -= copied
    while size:  # all of it, or what the kernel has left
        piece = source.read(min(size, xz.BLOCK))
        if not piece:
            raise BentoError(f"{source.name}: became shorter while it was copied")
        size -= file.write(piece)


def _tar(parts: Sequence[Path]) -> Iterator[bytes]:
    """Yield the parts as one tar, in pieces."""
    from rules_bento.archives import streams

    for part in parts:
        with part.open("rb", buffering=0) as file:
            yield from streams.decode(streams.pieces(file), "xz", _MAX_MEMORY, str(part))
    yield tarstream.END
