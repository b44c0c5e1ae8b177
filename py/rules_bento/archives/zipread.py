"""Members of a zip archive, whose list at the end is held against what is in the file.

`zipfile` does the decoding. It believes the list: a name is cut at a NUL, a size may be a lie, entries may overlap
(which is how a small file becomes a large one many times over), and foreign bytes behind the end pass. `bentoml
import` takes all of these; here each is an error.
"""

from __future__ import annotations

import stat
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from rules_bento.errors import BentoError

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = 20  # bytes, between the two
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_MOST_LISTED = 64 << 20  # bytes of the list: `zipfile` holds all of it in memory
_PIECE = 1 << 20
_UNIX = 3


class ZipMember(NamedTuple):
    """A member as the list says: `kind` is file or folder, sizes in bytes."""

    name: str
    kind: str
    size: int
    packed: int
    mode: int


def members(file: BinaryIO, where: str) -> Iterator[tuple[ZipMember, Iterator[bytes]]]:
    """Each member and its contents, in the order of the list; contents must be taken at once, or left alone.

    `file` must be seekable. Raises BentoError that begins with `where`.
    """
    import zipfile

    _check_end(file, where)
    with _as_damage(where):
        archive = zipfile.ZipFile(file)
    with archive:
        _check_places(archive, file, where)
        for info in archive.infolist():
            member = _member(info, where)
            yield member, _contents(archive, info, where) if member.kind == "file" else iter(())


@contextmanager
def _as_damage(where: str) -> Iterator[None]:
    import zipfile
    import zlib

    try:
        yield
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError, zlib.error, struct.error) as error:
        raise BentoError(f"{where}: is a damaged zip ({error}). Transfer it again.") from error


def _check_end(file: BinaryIO, where: str) -> None:
    """That the file ends with the end of a zip, and that the list before it is of a size that can be meant."""
    size = file.seek(0, 2)
    start = max(0, size - _END.size - 0xFFFF - _END_64.size - _LOCATOR_64)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise BentoError(f"{where}: has no end of a zip: it is truncated, or no zip. Transfer it again.")
    *_, listed, _, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise BentoError(f"{where}: has other bytes after the end of the zip. Make it anew.")
    before = at - _LOCATOR_64 - _END_64.size
    if before >= 0 and tail[before : before + 4] == b"PK\6\6":
        *_, listed, _ = _END_64.unpack_from(tail, before)
    if listed > _MOST_LISTED:
        raise BentoError(f"{where}: lists its members in {listed} bytes; that cannot be meant.")


def _check_places(archive: zipfile.ZipFile, file: BinaryIO, where: str) -> None:
    """That no two members share bytes, and that the first begins where the file does."""
    ordered = sorted(archive.infolist(), key=lambda info: info.header_offset)
    end = 0
    for info in ordered:
        if info.header_offset < end:
            raise BentoError(f"{where}: {info.filename!r} overlaps with another member. It is a zip bomb, or damaged.")
        file.seek(info.header_offset)
        header = file.read(_LOCAL.size)
        if len(header) < _LOCAL.size:
            raise BentoError(f"{where}: ends before {info.filename!r}. Transfer it again.")
        *_, name, extra = _LOCAL.unpack(header)
        end = info.header_offset + _LOCAL.size + name + extra + info.compress_size
    if end > archive.start_dir:
        raise BentoError(f"{where}: a member overlaps with the list of members. It is a zip bomb, or damaged.")
    if ordered and ordered[0].header_offset:
        raise BentoError(f"{where}: has other bytes before the first member. Make it anew.")


def _member(info: zipfile.ZipInfo, where: str) -> ZipMember:
    import zipfile

    name = info.orig_filename
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    if stat.S_ISLNK(mode):
        raise BentoError(f"{where}: {name!r} is a link, which BentoML does not take in a zip. Use another format.")
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BentoError(f"{where}: {name!r} is neither a file nor a folder. Pack plain files and folders.")
    if info.flag_bits & 1:
        raise BentoError(f"{where}: {name!r} is encrypted. Make a zip without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        raise BentoError(f"{where}: {name!r} is compressed in a way that is not taken. Use deflate, or store it.")
    kind = "folder" if name.endswith("/") else "file"
    if kind == "folder" and info.file_size:
        raise BentoError(f"{where}: {name!r} is a folder with contents, which readers take for different things.")
    return ZipMember(name, kind, info.file_size, info.compress_size, mode)


def _contents(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Iterator[bytes]:
    missing = info.file_size
    with _as_damage(where):
        file = archive.open(info)  # it holds the CRC against the contents when it comes to their end
    with file:
        while True:
            with _as_damage(where):
                piece = file.read(_PIECE)
            if not piece:
                break
            missing -= len(piece)
            yield piece
    if missing:
        raise BentoError(f"{where}: {info.filename!r} has {missing} bytes fewer than stated. Transfer it again.")
