"""Reads the members of a tar archive as a stream. Rejects archives that two tar readers might read differently.

Accepts the common formats (POSIX.1-2001 pax, POSIX.1-1988 ustar, GNU, and the pre-POSIX format). Interprets members as
`tarfile` does for `bentoml import`. Rejects a truncated archive, data after the end, a wrong checksum, an invalid
number, and a directory or link with contents. By default, rejects devices and the other kinds of members in `SYSTEM`,
because a Bento can't contain such members. The caller checks limits and names (see `rules_bento.base.archives.unpack`).
`compressed_members` limits the decompressed size.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from zlib import adler32

from rules_bento.base.archives import streams
from rules_bento.base.archives.streams import MAX_PADDING
from rules_bento.base.archives.tarstream import RECORD as RECORD
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Collection, Iterable, Iterator, Mapping

if TYPE_CHECKING:
    Members = Iterator[tuple["TarMember", Iterator[bytes | memoryview]]]

_READ = 1 << 20
_ZEROS = bytes(RECORD)
_MAX_EXTENDED = 1 << 20  # bytes of names and attributes for one member
_MAX_GLOBAL = 1 << 16  # bytes of attributes for all members (git writes 52)
MAX_MEMORY = 128 << 20  # bytes of memory for a decoder; `xz -9` needs 65 MiB
_RATIO_THRESHOLD = 4 << 30  # bytes of output before the ratio applies, because files of zeros occur
_MAX_RATIO = 250  # bytes of output per byte of input
_OCTAL = re.compile(rb"[0-7]*")
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ([^=\n]+)=", re.ASCII)

_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"5": "folder", b"2": "link"}
_SYSTEM = {b"1": "hard link", b"3": "device", b"4": "device", b"6": "pipe", b"S": "sparse file"}
# Kinds of members in a system's archives. For a sparse file, the data of the member is only the stored part.
SYSTEM = frozenset(_SYSTEM.values())
_REFUSED = {
    **{flag: f"a {kind}" for flag, kind in _SYSTEM.items()},
    b"M": "a piece of another volume",
    b"V": "a volume's label",
}


class TarMember(NamedTuple):
    """A tar member. `kind` is `file`, `folder`, `link`, or a value in `SYSTEM`. For links, `link` is the target."""

    name: str
    kind: str
    size: int  # bytes of data
    mode: int
    link: str
    uid: int = 0
    gid: int = 0
    header: bytes = b""  # the record of the member
    attributes: Mapping[str, str] = MappingProxyType({})  # from extended headers


class PieceReader:
    """Reads a stream that arrives in pieces. `position` is the number of bytes read so far.

    >>> PieceReader([b"ab", b"cd"], "a.tar").exactly(3)
    b'abc'
    """

    def __init__(self, pieces: Iterable[bytes], where: str) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")
        self.where = where
        self.position = 0

    def some(self, most: int) -> bytes | memoryview:
        """Return up to `most` bytes, or no bytes at the end of the stream."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:most], self._rest[most:]
        self.position += len(taken)
        return taken

    def run(self, size: int) -> Iterator[bytes | memoryview]:
        """Yield exactly `size` bytes in pieces. Raises BentoError if the stream ends earlier."""
        while size:
            piece = self.some(size)
            if not piece:
                raise BentoError("the archive is truncated", place=self.where, remedy="Download the archive again.")
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        """Return exactly `size` bytes. Raises BentoError if the stream ends earlier."""
        return bytes(self.some(size)) if 0 < size <= len(self._rest) else b"".join(self.run(size))

    def skip(self, size: int) -> None:
        """Skip `size` bytes. Raises BentoError if the stream ends earlier."""
        if 0 < size <= len(self._rest):
            self.some(size)
            return
        for _ in self.run(size):
            pass


class SeekableReader(PieceReader):
    """Reads an open, seekable file. Skips bytes by seeking."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__((), where)
        self._file = file
        self._size = file.seek(0, 2)
        file.seek(0)

    def some(self, most: int) -> bytes:
        """Return up to `most` bytes, or no bytes at the end of the file."""
        taken = self._file.read(min(most, _READ))
        self.position += len(taken)
        return taken

    def skip(self, size: int) -> None:
        """Skip `size` bytes. Raises BentoError if the file ends earlier."""
        if size > self._size - self.position:
            size = self._size - self.position + 1  # so that the last byte is missing
        if size > _READ:
            self.position = self._file.seek(self.position + size - _READ)
            size = _READ
        super().skip(size)


def compressed_members(file: BinaryIO, form: str, where: str, count: Callable[[bytes], object] = bool) -> Members:
    """Yield all members of a tar, even kinds in `SYSTEM`. Raises BentoError for invalid tars or decompression bombs.

    Calls `count` with each decoded piece.
    """
    packed = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for piece in streams.pieces(file):
            packed += len(piece)
            yield piece

    def bounded() -> Iterator[bytes]:
        size = 0
        for piece in streams.decode(counted(), form, MAX_MEMORY, where):
            size += len(piece)
            if size > _RATIO_THRESHOLD + _MAX_RATIO * packed:
                problem = f"the archive expands to more than {_MAX_RATIO} times its compressed size"
                raise BentoError(problem, place=where, remedy="Use an archive from a trusted source.")
            count(piece)
            yield piece

    return members(PieceReader(bounded(), where), SYSTEM)


def members(stream: PieceReader, also: Collection[str] = ()) -> Members:
    """Yield each member of a tar with its contents. Skips contents that the caller doesn't read.

    `also` lists the kinds of members in `SYSTEM` to accept in addition to files, directories, and symbolic links.
    Raises BentoError for an invalid archive.
    """
    common = _GlobalAttributes()
    while (block := stream.exactly(RECORD)) != _ZEROS:
        extended: dict[str, str] = {}
        block = _read_extensions(stream, block, common, extended)
        member = _member(block, common.values | extended, also, stream.where)
        if member.kind == "sparse file":
            goes_on = block[156:157] == b"S" and block[482]
            while goes_on:  # an extension record of GNU's old format, which lists further pieces
                goes_on = stream.exactly(RECORD)[504]
        begin = stream.position
        yield member, stream.run(member.size)
        stream.skip(begin + member.size + -member.size % RECORD - stream.position)
    _check_end(stream)


class _GlobalAttributes:
    """Attributes from global pax headers, for all later members."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._size = 0

    def add(self, data: bytes, where: str) -> None:
        self._size += len(data)
        if self._size > _MAX_GLOBAL:
            problem = f"the global pax headers exceed the limit of {_MAX_GLOBAL} bytes"
            raise BentoError(problem, place=where, remedy="Create the archive without these headers.")
        self.values.update(_pax(data, where))


def _check_end(stream: PieceReader) -> None:
    if stream.exactly(RECORD) != _ZEROS:
        raise BentoError("invalid end-of-archive marker", place=stream.where, remedy="Download the archive again.")
    count = 0
    while piece := stream.some(1 << 20):
        count += len(piece)
        if bytes(piece).strip(b"\0"):
            remedy = "Remove the trailing data."
            raise BentoError("unexpected data after the end of the archive", place=stream.where, remedy=remedy)
        if count > MAX_PADDING:
            problem = f"more than {MAX_PADDING} zero bytes follow the end of the archive"
            raise BentoError(problem, place=stream.where, remedy="Remove the trailing data.")


def _read_extensions(stream: PieceReader, block: bytes, common: _GlobalAttributes, extended: dict[str, str]) -> bytes:
    """Read the extended headers before a member, and return the member's own header.

    Adds global attributes to `common`, and the member's attributes to `extended`.
    """
    while (kind := block[156:157]) in (b"L", b"K", b"x", b"X", b"g"):
        check_sum(block, stream.where)
        size = _number(block[124:136], "a size", stream.where)
        if size > _MAX_EXTENDED:
            problem = f"an extended header has {size} bytes, but the limit is {_MAX_EXTENDED}"
            remedy = "Shorten the file names or the extended attributes in the archive."
            raise BentoError(problem, place=stream.where, remedy=remedy)
        data = stream.exactly(size)
        stream.skip(-size % RECORD)
        if kind in (b"L", b"K"):
            extended["path" if kind == b"L" else "linkpath"] = _text(data)
        elif kind == b"g":
            common.add(data, stream.where)
        else:
            extended.update(_pax(data, stream.where))
        block = stream.exactly(RECORD)
        if block == _ZEROS:
            raise BentoError("the last member is missing", place=stream.where, remedy="Download the archive again.")
    return block


def _member(block: bytes, extended: dict[str, str], also: Collection[str], where: str) -> TarMember:
    check_sum(block, where)
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    name = extended.get("path", name)
    flag = block[156:157]
    kind = _KINDS.get(flag) or _SYSTEM.get(flag)
    if extended and any(key.startswith("GNU.sparse") for key in extended):
        kind, flag = "sparse file", b"S"
        name = extended.get("GNU.sparse.name", name)
    if kind is None or (kind in SYSTEM and kind not in also):
        what = _REFUSED.get(flag, f"a member of unknown type {flag!r}")
        raise BentoError(f"{name!r} is {what}", place=where, remedy="Use only files, directories, and symbolic links.")
    if flag == b"\0" and name.endswith("/"):
        kind = "folder"  # as in archives from before types existed
    size = _number(block[124:136], "the size", where, name)
    if "size" in extended:
        size = _decimal(extended["size"], name, where)
    if size and kind not in ("file", "sparse file"):
        remedy = "Download the archive again."
        raise BentoError(f"the member {name!r} contains data, but isn't a file", place=where, remedy=remedy)
    mode = _number(block[100:108], "the mode", where, name)
    link = extended.get("linkpath", _text(block[157:257])) if kind in ("link", "hard link") else ""
    uid, gid = _owner(block, extended, name, where) if also else (0, 0)
    return TarMember(name, kind, size, mode, link, uid, gid, block, extended)


def _owner(block: bytes, extended: dict[str, str], name: str, where: str) -> tuple[int, int]:
    uid, gid = (
        _decimal(extended[key], name, where, f"the {key}")
        if key in extended
        else _number(block[start : start + 8], f"the {key}", where, name)
        for key, start in (("uid", 108), ("gid", 116))
    )
    return uid, gid


def check_sum(block: bytes, where: str) -> None:
    """Raise BentoError if a header has an invalid checksum."""
    declared = _number(block[148:156], "a checksum", where)
    # Adler-32's low half is 1 plus the sum of the bytes, modulo 65,521, which 256 bytes don't exceed.
    actual = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    actual += 8 * 0x20 - sum(block[148:156])  # the checksum itself counts as spaces
    if declared == actual:
        return
    # Some older programs compute the checksum over signed bytes.
    high = sum(byte > 127 for byte in block[:148]) + sum(byte > 127 for byte in block[156:])
    if declared != actual - 256 * high:
        raise BentoError("a header has an invalid checksum", place=where, remedy="Download the archive again.")


def _number(field: bytes, what: str, where: str, name: str | None = None) -> int:
    """Parse a number in octal digits or GNU's binary format. Raises BentoError for a negative or invalid number."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    if field[0] & 0x80 or not _OCTAL.fullmatch(digits):
        of = "" if name is None else f" of {name!r}"
        remedy = "Download the archive again."
        raise BentoError(f"expected a nonnegative number for {what}{of}, got {field!r}", place=where, remedy=remedy)
    return int(digits or b"0", 8)


def _decimal(text: str, name: str, where: str, what: str = "the size") -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        problem = f"expected a nonnegative number for {what} of {name!r}, got {text!r}"
        raise BentoError(problem, place=where, remedy="Download the archive again.")
    return int(text)


def _pax(data: bytes, where: str) -> dict[str, str]:
    """Parse an extended header: lines of `LENGTH KEYWORD=VALUE`, in which LENGTH is the size of the line in bytes."""
    values: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = _PAX_RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if not match or end <= match.end() - 1 or end > len(data) or data[end - 1] != 0x0A:
            remedy = "Download the archive again."
            raise BentoError("an extended header contains an invalid record", place=where, remedy=remedy)
        values[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1].decode("utf-8", "surrogateescape")
        at = end
    return values


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
