"""A wheel as it lies on the disk: what is in the zip, and what its metadata says, without unpacking it.

A wheel is a zip with a manifest (PyPA, "Binary distribution format", version 1.0; PKWARE's APPNOTE 6.3 for the
zip). `Wheel.read` looks at the central directory and at the few metadata files that decide how the wheel is
installed; contents come from `Wheel.chunks`, one member at a time, in chunks of bounded size, each with the part of
the deflate stream that it was made of, so that a layer can carry that stream over.

Installers trust what they unpack. Here nothing is trusted: a member that leaves the folder, comes twice,
overlaps another, says one thing in the directory and another before its data, is encrypted, a link, or packed in
a way that wheels are not, one that RECORD does not list or lists with another digest or size, a CRC that is
wrong, data that is longer than declared: each is a BentoError that names wheel and member.
"""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from rules_bento.errors import BentoError
from rules_bento.images.layers import deflate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

PIECE = 1 << 18
"""Bytes that are read at once, and of contents that stay together: measured, it fits the second cache."""

SIGNATURES = ("RECORD.jws", "RECORD.p7s")
"""Files of *.dist-info that RECORD does not list."""

_MOST_INFLATED = PIECE  # of contents at once; deflate can make a thousand times as much of a piece
_MOST_METADATA = 64 << 20  # RECORD has about 100 bytes for each file
_MOST_RATIO = 100  # unpacked to packed, of a whole wheel; real ones have 2 to 20
_ANY_RATIO = 64 << 20  # bytes that a wheel may have unpacked, whatever the ratio

_STORED, _DEFLATED = 0, 8
_METHODS = {1: "shrunk", 6: "imploded", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 98: "ppmd"}
_DESCRIPTOR, _UTF8, _SECRET = 1 << 3, 1 << 11, 1 | 1 << 6 | 1 << 13  # the latter are encrypted in one way or other
_UNIX, _KIND, _REGULAR, _DIRECTORY, _EXECUTABLE = 3, 0o170000, 0o100000, 0o040000, 0o111
_IN_64 = 0xFFFFFFFF

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s2B5H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

# Absolute here or on Windows, or with a character that ends or separates something somewhere.
_REFUSED_NAME = re.compile(r"\A/|\A[A-Za-z]:|[\\\x00-\x1f\x7f]")
_REFUSED_PART = re.compile(r"(?:\A|/)(?:\.?\.?(?:/|\Z)|(\.wh\.))")
_FILE_NAME = re.compile(r"([^-]+)-([^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")
_SCRIPT = re.compile(r"([\w.-]+)\s*:\s*([\w.-]+)\s*(?:\[.*\]\s*)?")
_DIGESTS = {"sha256": 32, "sha384": 48, "sha512": 64}


class Member(NamedTuple):
    """A file of the wheel."""

    path: str  # POSIX, relative to the root of the zip
    size: int  # bytes unpacked
    packed_size: int  # bytes in the zip
    crc: int  # CRC-32 of the contents
    offset: int  # of its local header in the zip
    room: int  # bytes from there to the next member, or to the directory
    deflated: bool  # else it is stored
    executable: bool
    algorithm: str  # "sha256", "sha384", "sha512"; "" for what RECORD need not list
    digest: bytes  # of the contents, as RECORD has it


class EntryPoint(NamedTuple):
    """A command that an installer makes: `name`, which calls `function` (a dotted name) of `module`."""

    name: str
    module: str
    function: str


class Chunk(NamedTuple):
    """Up to `PIECE` bytes of the contents of a member, and what they were inflated from."""

    data: bytes
    packed: bytes | None  # bytes of the deflate stream, maybe none; None if the member is stored
    joined: bool = False  # whether it is the whole stream, without its last bit, up to a whole byte: see `deflate`


class Wheel(NamedTuple):
    """What `Wheel.read` found. Members are in the order of their paths."""

    file: Path
    members: tuple[Member, ...]
    folders: tuple[str, ...]  # those that the zip lists
    dist_info: str  # the folder's name
    distribution: str  # the normalized name
    entry_points: tuple[EntryPoint, ...]  # console scripts and, after them, GUI scripts

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.file.name

    @classmethod
    def read(cls, file: Path) -> Wheel:
        """Read the directory and the metadata. Raises BentoError for a file that no installer should take."""
        with _Zip(file) as zip_file:
            return _read(cls, zip_file)

    def member(self, path: str) -> Member:
        """The member at a path, which must be there."""
        return next(member for member in self.members if member.path == path)

    def chunks(self, members: Iterable[Member], *, join: bool = False) -> Iterator[Iterator[Chunk]]:
        """The contents of each member in chunks, to be used up before the next member is asked for.

        With `join`, streams are made such that others can follow them (`Chunk.joined`), where that is possible.
        Raises BentoError, at the latest with the last chunk, if the contents are not those that directory and
        RECORD declare.
        """
        with _Zip(self.file) as zip_file:
            for member in members:
                yield zip_file.chunks(member, join=join)

    def contents(self, member: Member) -> bytes:
        """The bytes of a small member, verified. Raises BentoError as `chunks` does, and if it is not small."""
        with _Zip(self.file) as zip_file:
            return zip_file.contents(member)

    def starts_with(self, member: Member, prefix: bytes) -> bool:
        """Whether the contents, which are not verified, begin with a few given bytes."""
        with _Zip(self.file) as zip_file:
            pieces = zip_file.unverified(member)
            return next(pieces, Chunk(b"", None)).data.startswith(prefix)


class _Zip:
    """An open zip, read with `pread`: nothing of it is mapped or kept."""

    def __init__(self, file: Path) -> None:
        self.path = file
        self.name = file.name
        self._open: int | None = None

    def __enter__(self) -> _Zip:
        try:
            self._open = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BentoError(f"{self.path}: a wheel that cannot be read: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            os.close(self._open)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes there; fewer at the end of the file."""
        assert self._open is not None
        data = os.pread(self._open, size, offset)
        while len(data) < size and (more := os.pread(self._open, size - len(data), offset + len(data))):
            data += more
        return data

    def error(self, message: str, member: str = "") -> BentoError:
        """What is wrong with the wheel, or with a member of it."""
        where = f"{self.name}: {member!r}" if member else self.name
        return BentoError(f"{where}: {message}. Take another wheel of that package, or build it again.")

    def directory(self) -> tuple[bytes, int, int]:
        """The central directory, where it begins, and how many members it has."""
        assert self._open is not None
        length = os.fstat(self._open).st_size
        tail_at = max(0, length - _END.size - 0xFFFF)
        tail = self.read(tail_at, length - tail_at)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or at + _END.size > len(tail):
            raise self.error("is not a zip file, or not a whole one")
        _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            raise self.error("has bytes after its end")
        end = tail_at + at
        if 0xFFFF in (count, here) or _IN_64 in (size, start):
            end, disk, first_disk, here, count, size, start = self._end_64(end)
        if disk or first_disk or here != count:
            raise self.error("is one part of a zip in several")
        if start + size != end:
            raise self.error("has bytes that no directory lists, before its directory or before its end")
        return self.read(start, size), start, count

    def _end_64(self, end: int) -> tuple[int, int, int, int, int, int, int]:
        locator = self.read(max(0, end - _LOCATOR.size), _LOCATOR.size)
        if len(locator) < _LOCATOR.size or not locator.startswith(b"PK\6\7"):
            raise self.error("is damaged: its end says zip64, but has none")
        _, _, at, disks = _LOCATOR.unpack(locator)
        record = self.read(at, _END_64.size)
        if len(record) < _END_64.size or not record.startswith(b"PK\6\6") or disks > 1:
            raise self.error("is damaged: its zip64 end is not there")
        _, size, _, _, disk, first_disk, here, count, directory_size, start = _END_64.unpack(record)
        if at + 12 + size != end - _LOCATOR.size:
            raise self.error("has bytes that no directory lists, before its end")
        return at, disk, first_disk, here, count, directory_size, start

    def contents(self, member: Member) -> bytes:
        """See `Wheel.contents`."""
        if member.size > _MOST_METADATA:
            raise self.error(f"has {member.size} bytes, which is too many for what it is", member.path)
        return b"".join([chunk.data for chunk in self.chunks(member)])

    def unverified(self, member: Member) -> Iterator[Chunk]:
        """As `chunks`, but for the checks at the end."""
        begin = self._contents_at(member, self.read(member.offset, min(member.room, PIECE)))
        start = member.offset + begin
        return self._inflated(member, start) if member.deflated else self._stored(member, start)

    def chunks(self, member: Member, *, join: bool = False) -> Iterator[Chunk]:
        """See `Wheel.chunks`."""
        local = self.read(member.offset, min(member.room, PIECE))
        begin = self._contents_at(member, local)
        end = begin + member.packed_size
        if end <= len(local) and member.size <= _MOST_INFLATED:
            return iter((self._small(member, local[begin:end], join=join),))
        return self._large(member, member.offset + begin)

    def _contents_at(self, member: Member, local: bytes) -> int:
        """How far behind the local header's begin the contents are; the header must say what the directory says."""
        if len(local) < _LOCAL.size or not local.startswith(b"PK\3\4"):
            raise self.error("has no header where the directory says", member.path)
        _, _, flags, method, _, _, crc, packed_size, size, name_length, extra_length = _LOCAL.unpack_from(local)
        begin: int = _LOCAL.size + name_length + extra_length
        name = local[_LOCAL.size : _LOCAL.size + name_length]
        declared: tuple[object, ...] = (0, _DEFLATED if member.deflated else _STORED, member.path.encode())
        found: tuple[object, ...] = (flags & _SECRET, method, name)
        if not flags & _DESCRIPTOR and _IN_64 not in (packed_size, size):
            declared += (member.crc, member.packed_size, member.size)
            found += (crc, packed_size, size)
        if found != declared:
            raise self.error("its header says other things than the directory", member.path)
        if begin + member.packed_size > member.room:
            raise self.error("overlaps what follows it", member.path)
        return begin

    def _small(self, member: Member, packed: bytes, *, join: bool) -> Chunk:
        chunk = Chunk(packed, None)
        if member.deflated:
            chunk = (join and self._joined(member, packed)) or self._whole(member, packed)
        self._check(member, len(chunk.data), fast_zlib().crc32(chunk.data), _digest(member, chunk.data))
        return chunk

    def _whole(self, member: Member, packed: bytes) -> Chunk:
        inflate = fast_zlib().decompressobj(-15)
        data = self._inflate(member, inflate, packed, member.size + 1)
        if not inflate.eof or inflate.unused_data:
            raise self.error("its contents are not what the directory says", member.path)
        return Chunk(data, packed)

    def _joined(self, member: Member, packed: bytes) -> Chunk | None:
        zlib = fast_zlib()
        for guess in deflate.joinable(packed):
            inflate = zlib.decompressobj(-15)
            try:
                data = inflate.decompress(guess + deflate.END, member.size + 1)
            except zlib.error:
                continue
            if inflate.eof and not inflate.unused_data and len(data) == member.size:
                return Chunk(data, guess, joined=True)
        return None

    def _large(self, member: Member, start: int) -> Iterator[Chunk]:
        import hashlib

        crc32 = fast_zlib().crc32
        hasher = hashlib.new(member.algorithm) if member.algorithm else None
        size = crc = 0
        for chunk in self._inflated(member, start) if member.deflated else self._stored(member, start):
            crc = crc32(chunk.data, crc)
            size += len(chunk.data)
            if hasher:
                hasher.update(chunk.data)
            if size > member.size:
                break
            yield chunk
        self._check(member, size, crc, hasher.digest() if hasher else b"")

    def _pieces(self, member: Member, start: int) -> Iterator[bytes]:
        for offset in range(start, start + member.packed_size, PIECE):
            yield self.read(offset, min(PIECE, start + member.packed_size - offset))

    def _stored(self, member: Member, start: int) -> Iterator[Chunk]:
        return (Chunk(piece, None) for piece in self._pieces(member, start))

    def _inflated(self, member: Member, start: int) -> Iterator[Chunk]:
        inflate = fast_zlib().decompressobj(-15)
        for piece in self._pieces(member, start):
            if inflate.eof:
                break
            data = self._inflate(member, inflate, piece, _MOST_INFLATED)
            yield Chunk(data, piece)
            while len(data) == _MOST_INFLATED and not inflate.eof:  # it may hold back more
                data = self._inflate(member, inflate, inflate.unconsumed_tail, _MOST_INFLATED)
                yield Chunk(data, b"")
        if not inflate.eof or inflate.unused_data:
            raise self.error("its deflate stream does not end where the directory says", member.path)

    def _inflate(self, member: Member, inflate: Any, packed: bytes, most: int) -> bytes:
        try:
            data: bytes = inflate.decompress(packed, most)
        except fast_zlib().error as error:
            raise self.error(f"its deflate stream is damaged ({error})", member.path) from None
        return data

    def _check(self, member: Member, size: int, crc: int, digest: bytes) -> None:
        if size != member.size:
            raise self.error(f"its contents are not the {member.size} bytes that the directory says", member.path)
        if crc != member.crc:
            raise self.error("its CRC is not the one that the directory says", member.path)
        if digest != member.digest:
            raise self.error(f"its {member.algorithm} is not the one that RECORD says", member.path)


def normalized(name: str) -> str:
    """The name of a distribution as PyPA's "Names and normalization" has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fast_zlib() -> Any:
    """ISA-L's inflate where it is there, twice as fast; what comes out is the same."""
    global _zlib_module
    if _zlib_module is None:
        try:
            from isal import isal_zlib

            _zlib_module = isal_zlib
        except ImportError:
            import zlib

            _zlib_module = zlib
    return _zlib_module


_zlib_module: Any = None


def _digest(member: Member, data: bytes) -> bytes:
    import hashlib

    if member.algorithm == "sha256":
        return hashlib.sha256(data).digest()
    return hashlib.new(member.algorithm, data).digest() if member.algorithm else b""


def _read(cls: type[Wheel], zip_file: _Zip) -> Wheel:
    members, folders = _members(zip_file)
    dist_info = _dist_info(zip_file, members)
    by_path = {member.path: member for member in members}
    _check_wheel_version(zip_file, _text(zip_file, by_path, f"{dist_info}/WHEEL"))
    recorded = _with_digests(zip_file, members, f"{dist_info}/RECORD", _text(zip_file, by_path, f"{dist_info}/RECORD"))
    points = f"{dist_info}/entry_points.txt"
    entry_points = _entry_points(zip_file, _text(zip_file, by_path, points)) if points in by_path else ()
    distribution = normalized(dist_info.partition("-")[0])
    return cls(zip_file.path, recorded, folders, dist_info, distribution, entry_points)


def _members(zip_file: _Zip) -> tuple[list[Member], tuple[str, ...]]:
    directory, start, count = zip_file.directory()
    members: dict[str, Member] = {}
    folders: set[str] = set()
    at = 0
    while at < len(directory):
        member, at = _member(zip_file, directory, at)
        path = member.path.rstrip("/")
        if path in members or path in folders:
            raise zip_file.error("comes twice", path)
        if member.path.endswith("/"):
            folders.add(path)
        else:
            members[path] = member
    if len(members) + len(folders) != count:
        raise zip_file.error(f"its directory has {len(members) + len(folders)} members, but says {count}")
    _check_parents(zip_file, members, folders)
    _check_ratio(zip_file, members, start)
    return _with_room(zip_file, members, start), tuple(sorted(folders))


def _member(zip_file: _Zip, directory: bytes, at: int) -> tuple[Member, int]:
    if not directory.startswith(b"PK\1\2", at) or at + _CENTRAL.size > len(directory):
        raise zip_file.error("its directory is damaged")
    fields = _CENTRAL.unpack_from(directory, at)
    _, _, system, _, flags, method, _, _, crc, packed_size, size = fields[:11]
    name_length, extra_length, comment_length, disk, _, attributes, offset = fields[11:]
    name_at = at + _CENTRAL.size
    extra_at = name_at + name_length
    end = extra_at + extra_length + comment_length
    name = _name(zip_file, directory[name_at:extra_at], flags)
    if end > len(directory) or disk not in (0, 0xFFFF):
        raise zip_file.error("its entry of the directory is damaged", name)
    if _IN_64 in (size, packed_size, offset):
        extra = directory[extra_at : extra_at + extra_length]
        size, packed_size, offset = _zip64(zip_file, name, extra, size, packed_size, offset)
    mode = attributes >> 16 if system == _UNIX else 0
    _check_member(zip_file, name, flags, method, mode, size, packed_size)
    executable = bool(mode & _EXECUTABLE)
    return Member(name, size, packed_size, crc, offset, 0, method == _DEFLATED, executable, "", b""), end


def _name(zip_file: _Zip, raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise zip_file.error("a name that is not UTF-8, or not said to be", raw.decode("latin-1")) from None
    _check_name(zip_file, name)
    return name


def _check_name(zip_file: _Zip, name: str) -> None:
    if _REFUSED_NAME.search(name):
        raise zip_file.error("a name that is absolute, or has a character that no file name should have", name)
    if refused := _REFUSED_PART.search(name.removesuffix("/")):
        if refused[1]:  # OCI image layer spec: a whiteout, for a file of the layers below
            raise zip_file.error("a name that removes files in an image", name)
        raise zip_file.error("a name that is not a plain relative path", name)


def _zip64(zip_file: _Zip, name: str, extra: bytes, size: int, packed_size: int, offset: int) -> tuple[int, int, int]:
    """The values that were too large for their fields: in this order, and only those."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            size, packed_size, offset = (
                next(values, _IN_64) if value == _IN_64 else value for value in (size, packed_size, offset)
            )
            return size, packed_size, offset
        at += 4 + length
    raise zip_file.error("its zip64 sizes are not there", name)


def _check_member(zip_file: _Zip, name: str, flags: int, method: int, mode: int, size: int, packed_size: int) -> None:
    if flags & _SECRET:
        raise zip_file.error("is encrypted", name)
    if method not in (_STORED, _DEFLATED):
        how = _METHODS.get(method, f"by method {method}")
        raise zip_file.error(f"is packed as {how}, which no installer reads: wheels are deflated or stored", name)
    folder = name.endswith("/")
    if mode & _KIND not in (0, _DIRECTORY if folder else _REGULAR):
        raise zip_file.error("is neither a regular file nor a folder", name)
    if folder and size:
        raise zip_file.error("is a folder with contents", name)
    if method == _STORED and size != packed_size:
        raise zip_file.error("is stored, but with two sizes", name)


def _check_parents(zip_file: _Zip, members: dict[str, Member], folders: set[str]) -> None:
    parents = {path.rpartition("/")[0] for path in (*members, *folders)}
    while parents:
        for parent in parents:
            if parent in members:
                raise zip_file.error("is a file, but others are below it", parent)
        parents = {parent.rpartition("/")[0] for parent in parents if parent}


def _check_ratio(zip_file: _Zip, members: dict[str, Member], packed: int) -> None:
    size = sum(member.size for member in members.values())
    if size > max(_ANY_RATIO, packed * _MOST_RATIO):
        largest = max(members.values(), key=lambda member: member.size)
        raise zip_file.error(f"would be {size} bytes, unpacked from {packed}; the largest is this", largest.path)


def _with_room(zip_file: _Zip, members: dict[str, Member], end: int) -> list[Member]:
    """The members by path, each with the bytes that it has at most; none may begin inside of another."""
    found = []
    for member in sorted(members.values(), key=lambda member: member.offset, reverse=True):
        room = end - member.offset
        if room < _LOCAL.size + len(member.path) + member.packed_size:
            raise zip_file.error("overlaps what follows it", member.path)
        found.append(member._replace(room=room))
        end = member.offset
    found.sort(key=lambda member: member.path)
    return found


def _dist_info(zip_file: _Zip, members: Sequence[Member]) -> str:
    found = {member.path.partition("/")[0] for member in members if ".dist-info/" in member.path}
    names = sorted(name for name in found if name.endswith(".dist-info"))
    if len(names) != 1:
        raise zip_file.error(f"must have one folder *.dist-info, but has {', '.join(names) or 'none'}")
    file_name = _FILE_NAME.fullmatch(zip_file.name)
    if not file_name:
        raise zip_file.error("has not the name of a wheel, NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
    if normalized(file_name[1]) != normalized(names[0].partition("-")[0]):
        raise zip_file.error(f"has the metadata of something else, {names[0]}")
    return names[0]


def _text(zip_file: _Zip, members: dict[str, Member], path: str) -> str:
    member = members.get(path)
    if member is None:
        raise zip_file.error("is missing", path)
    try:
        return zip_file.contents(member).decode()  # without its digest, which is only known later
    except UnicodeDecodeError:
        raise zip_file.error("is not UTF-8", path) from None


def _check_wheel_version(zip_file: _Zip, text: str) -> None:
    version = re.search(r"^Wheel-Version:[ \t]*(\d+)\.\d+[ \t]*\r?$", text, re.MULTILINE | re.IGNORECASE)
    if not version or version[1] not in ("0", "1"):
        raise zip_file.error("its WHEEL file says no version of the format that is known here, which is 1.0")


def _with_digests(zip_file: _Zip, members: Sequence[Member], record: str, text: str) -> tuple[Member, ...]:
    rows = _rows(zip_file, text)
    exempt = {record, *(f"{record.rpartition('/')[0]}/{name}" for name in SIGNATURES)}
    found = tuple(
        member if member.path in exempt else _with_digest(zip_file, member, rows.get(member.path)) for member in members
    )
    for path in rows.keys() - exempt - {member.path for member in members}:
        if not path.endswith(("/", ".pyc")):  # some tools list folders, or what was compiled and left out
            raise zip_file.error("RECORD lists it, but it is not there", path)
    return found


def _rows(zip_file: _Zip, text: str) -> dict[str, tuple[str, str]]:
    import csv

    rows: dict[str, tuple[str, str]] = {}
    for row in csv.reader(text.splitlines()):
        if not row:
            continue
        path = row[0].lstrip("/")  # as some tools write it
        if len(row) != 3 or path in rows:
            raise zip_file.error("its line in RECORD is not a path, a digest and a size, or comes twice", row[0])
        rows[path] = (row[1], row[2])
    return rows


def _with_digest(zip_file: _Zip, member: Member, row: tuple[str, str] | None) -> Member:
    import binascii

    if row is None:
        raise zip_file.error("RECORD does not list it", member.path)
    algorithm, _, encoded = row[0].partition("=")
    length = _DIGESTS.get(algorithm)
    if length is None:
        known = ", ".join(_DIGESTS)
        raise zip_file.error(f"its digest in RECORD is {algorithm or 'missing'}; it must be {known}", member.path)
    try:
        digest = binascii.a2b_base64(encoded.encode("ascii").translate(_URL_SAFE) + b"=" * (-len(encoded) % 4))
    except ValueError:
        digest = b""
    if len(digest) != length:
        raise zip_file.error("its digest in RECORD is damaged", member.path)
    if row[1] and row[1] != str(member.size):
        raise zip_file.error(f"has {member.size} bytes, but {row[1]} in RECORD", member.path)
    return member._replace(algorithm=algorithm, digest=digest)


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _entry_points(zip_file: _Zip, text: str) -> tuple[EntryPoint, ...]:
    import configparser

    parser = configparser.ConfigParser(
        allow_no_value=True, default_section="", delimiters=("=",), interpolation=None, strict=False
    )
    parser.optionxform = str  # type: ignore[method-assign, assignment]  # names have their case
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise zip_file.error(f"its entry_points.txt cannot be read ({error})") from None
    return tuple(
        _entry_point(zip_file, name, value)
        for section in ("console_scripts", "gui_scripts")
        if parser.has_section(section)
        for name, value in parser[section].items()
    )


def _entry_point(zip_file: _Zip, name: str, value: str | None) -> EntryPoint:
    match = _SCRIPT.fullmatch(value or "")
    if not match or "/" in name:
        raise zip_file.error(f"its entry point {name!r} is {value!r}, not a command and MODULE:FUNCTION")
    _check_name(zip_file, name)
    return EntryPoint(name, match[1], match[2])
