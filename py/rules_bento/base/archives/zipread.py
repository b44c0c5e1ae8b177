"""Reads zip files, such as wheels. Rejects files whose central directory contradicts the local headers or the contents.

PKWARE's APPNOTE 6.3 defines the format. A zip file describes each member twice, so two readers can read different
members. This reader rejects what Python's zipfile, uv, and other readers interpret differently: contradictory
descriptions, alternative names, duplicates, overlapping members, undeclared data, links, encryption, and multi-part
files. The caller checks names further. `Bounds` limits the size of the central directory, the number of members, and
the ratio of unpacked to packed size.
"""

from __future__ import annotations

import struct

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, BinaryIO, Collection, Iterable, Iterator

PIECE = 1 << 18  # bytes of a read, and of a piece of contents; measured: it fits the L2 cache
STORED, DEFLATED, BZIP2 = 0, 8, 12

_MAX_INFLATED = 2 * PIECE  # of contents at once; deflate can expand input a thousand times
_METHODS = {
    0: "stored",
    1: "shrunk",
    6: "imploded",
    8: "deflate",
    9: "deflate64",
    12: "bzip2",
    14: "lzma",
    93: "zstd",
    95: "xz",
    98: "ppmd",
}
_DESCRIPTOR, _PATCHED, _UTF8 = 1 << 3, 1 << 5, 1 << 11
_SECRET = 1 | 1 << 6 | 1 << 13  # kinds of encryption
_EXTRA_64, _OTHER_NAMES = 1, (0x7075, 0x6375)  # kinds of extra fields; the others are Info-ZIP's path and comment
_UNIX, _KIND, _REGULAR, _DIRECTORY, _LINK = 3, 0o170000, 0o100000, 0o040000, 0o120000
_IN_64, _IN_64_SHORT = 0xFFFFFFFF, 0xFFFF
_MAX_DESCRIPTOR = 24
_MAX_VERSION = 63  # of APPNOTE, and of zipfile
_DESCRIPTORS = (("<3L", b""), ("<3L", b"PK\7\x08"), ("<L2Q", b""), ("<L2Q", b"PK\7\x08"))

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s2B5H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")


class Bounds(NamedTuple):
    """Limits for a zip file.

    `ratio` is the maximum ratio of unpacked to packed size, but only for zip files that unpack to more than `unpacked`
    bytes. `directory` is the maximum size of the central directory in bytes.
    """

    ratio: int  # unpacked to packed size of the whole zip, by the declared sizes
    unpacked: int  # bytes of unpacked size below which the ratio doesn't apply
    members: int = 200_000
    directory: int = 64 << 20  # bytes; all of it is in memory
    remedy: str = ""  # end of the errors about an exceeded `ratio` or `members`


class ZipMember(NamedTuple):
    """Metadata of a member. `room` is the distance from `offset` to the next member or the central directory.

    `algorithm` and `digest` come from a manifest in the zip. Both fields are empty if no manifest lists the member.
    """

    path: str  # the path of a directory ends with a slash
    size: int  # bytes unpacked
    packed_size: int  # bytes in the zip
    crc: int  # CRC-32 of the contents
    offset: int  # of its local header in the zip
    room: int  # bytes from there to the next member, or to the directory
    method: int
    mode: int  # Unix mode; 0 if the zip was created on another system
    flags: int
    algorithm: str = ""  # "sha256", "sha384", "sha512" if a manifest in the zip has a digest of the contents
    digest: bytes = b""

    @property
    def is_directory(self) -> bool:
        """Whether the member is a directory."""
        return self.path.endswith("/")

    @property
    def executable(self) -> bool:
        """Whether the file has an executable bit."""
        return bool(self.mode & 0o111)


class Chunk(NamedTuple):
    """A piece of a member's contents.

    `packed` is the corresponding piece of the member's deflate stream, or None if the member doesn't use deflate.
    `joined` specifies whether another deflate stream can follow.
    """

    data: bytes
    packed: bytes | None  # bytes of the deflate stream, can be empty; None if the member isn't deflated
    joined: bool = False  # whether it is the whole stream without its last bit, up to a whole byte: see `joinable`


DEFLATE_END = b"\x03\x00"  # an empty last block, which ends a stream that is at a whole byte
EMPTY_STORED = b"\0\0\xff\xff"  # a stored block without contents: the bytes after the three zero bits of its header


def joinable(stream: bytes) -> Iterator[bytes]:
    """Yield two candidates for a copy of `stream` that can be followed by another stream.

    If `stream` has more than one block, yields nothing. A candidate consists of the block of `stream`, without the mark
    for the last block, and an empty stored block. The header of the empty block needs an additional byte in one of the
    candidates. Only one candidate is correct. To find the correct candidate, the caller must inflate the candidates.
    """
    if stream and stream[0] & 1:
        first, rest = bytes((stream[0] ^ 1,)), stream[1:]
        for more in (b"", b"\0") if stream[-1] < 0x20 else (b"\0", b""):
            yield b"".join((first, rest, more, EMPTY_STORED))


class Zip:
    """Base class of readers for zip files."""

    def __init__(self, where: str, remedy: str, bounds: Bounds, methods: Collection[int]) -> None:
        """Create a reader. Error messages begin with `where`. The default remedy in error messages is `remedy`."""
        self.where = where
        self._remedy = remedy
        self._bounds = bounds
        self._methods = methods

    def length(self) -> int:
        """Return the length of the file in bytes."""
        raise NotImplementedError

    def read_some(self, offset: int, size: int) -> bytes:
        """Return at least one and at most `size` bytes from position `offset`, or no bytes at the end of the file."""
        raise NotImplementedError

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from position `offset`, or fewer bytes at the end of the file."""
        data = self.read_some(offset, size)
        while len(data) < size and (more := self.read_some(offset + len(data), size - len(data))):
            data += more
        return data

    def error(self, message: str, member: str = "", remedy: str = "") -> BentoError:
        """Return a BentoError about the zip file or a member. If `remedy` is empty, uses the default remedy."""
        where = f"{self.where}: {member!r}" if member else self.where
        return BentoError(message, place=where, remedy=f"{remedy or self._remedy}.")

    def members(self) -> list[ZipMember]:
        """Return all members, sorted by position in the file. Raises BentoError for an invalid or unsupported file."""
        directory, start, count = self._directory()
        members: list[ZipMember] = []
        at = 0
        while at < len(directory) and len(members) <= count:
            member, at = self._member(directory, at)
            members.append(member)
        if at < len(directory) or len(members) != count:
            raise self.error(f"the central directory declares {count} members, but contains more")
        members = self._with_room(members, start)
        self._check_ratio(members, start)
        paths: set[str] = set()
        for member in members:
            path = member.path.rstrip("/")
            if path in paths:
                raise self.error("the path is repeated", path)
            paths.add(path)
            if not member.size:  # callers need not read it
                b"".join(self.contents(member))
        return members

    def contents(self, member: ZipMember) -> Iterator[bytes]:
        """Return a member's contents in pieces. See `verified` for the errors."""
        return (chunk.data for chunk in self.verified(member, self.unverified(member)))

    def verified(self, member: ZipMember, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield the chunks of a member. After the last chunk, raises BentoError if the contents fail verification."""
        import hashlib

        crc32 = fast_zlib().crc32
        hasher = hashlib.new(member.algorithm) if member.algorithm else None
        size = crc = 0
        for chunk in chunks:
            crc = crc32(chunk.data, crc)
            size += len(chunk.data)
            if hasher:
                hasher.update(chunk.data)
            if size > member.size:
                break
            yield chunk
        self.check(member, size, crc, hasher.digest() if hasher else b"")

    def unverified(self, member: ZipMember) -> Iterator[Chunk]:
        """Return the contents of a member in pieces, without verifying the size and the CRC."""
        begin = self.contents_at(member, self.read(member.offset, min(member.room, PIECE)))
        return self.unpacked(member, member.offset + begin)

    def unpacked(self, member: ZipMember, start: int) -> Iterator[Chunk]:
        """Return the unverified contents of a member in pieces. The member's data begins at position `start`."""
        if member.method == DEFLATED:
            return self._inflated(member, self._pieces(member, start), fast_zlib().decompressobj(-15))
        if member.method == BZIP2:
            return self._of_bzip2(member, start)
        return (Chunk(piece, None) for piece in self._pieces(member, start))

    def contents_at(self, member: ZipMember, local: bytes) -> int:
        """Return the distance from a member's local header to its data. Raises BentoError for an invalid header."""
        if len(local) < _LOCAL.size or not local.startswith(b"PK\3\4"):
            raise self.error("the header is missing at the offset in the central directory", member.path)
        _, _, flags, method, _, _, crc, packed_size, size, name_length, extra_length = _LOCAL.unpack_from(local)
        name_end = _LOCAL.size + name_length
        begin: int = name_end + extra_length
        if extra_length or _IN_64 in (size, packed_size):
            size, packed_size = self._resolve(member.path, local[name_end:begin], [size, packed_size])
        if flags & _DESCRIPTOR:  # a zero replaces a number that the data descriptor contains
            crc, packed_size, size = crc or member.crc, packed_size or member.packed_size, size or member.size
        # Readers of wheels remove a leading `./` from the path.
        name, path = (each.removeprefix(b"./") for each in (local[_LOCAL.size : name_end], member.path.encode()))
        declared = path, member.flags, member.method, member.crc, member.packed_size, member.size
        if (name, flags, method, crc, packed_size, size) != declared:
            raise self.error("the header contradicts the central directory", member.path)
        end = begin + member.packed_size
        if end != member.room or flags & _DESCRIPTOR:
            self._check_end(member, end)
        return begin

    def _check_end(self, member: ZipMember, end: int) -> None:
        """Check what follows the data of a member, which ends `end` bytes after its header: only a data descriptor."""
        if end > member.room:
            raise self.error("the member overlaps the next member or the central directory", member.path)
        allowed = []
        if member.flags & _DESCRIPTOR:
            values = member.crc, member.packed_size, member.size
            allowed = [
                mark + struct.pack(form, *values) for form, mark in _DESCRIPTORS if "Q" in form or max(values) <= _IN_64
            ]
        rest = member.room - end
        if rest > _MAX_DESCRIPTOR or self.read(member.offset + end, rest) not in allowed:
            raise self.error("unexpected data after the member, or a wrong data descriptor", member.path)

    def inflate(self, member: ZipMember, inflate: Any, packed: bytes, most: int) -> bytes:
        """Return at most `most` bytes that `inflate` decompresses from `packed`. Raises BentoError for damaged data."""
        try:
            data: bytes = inflate.decompress(packed, most)
        except fast_zlib().error as error:
            raise self.error(f"the deflate stream is damaged ({error})", member.path) from None
        return data

    def check(self, member: ZipMember, size: int, crc: int, digest: bytes) -> None:
        """Raise BentoError if a member's contents have another size, CRC, or digest than the member."""
        if size != member.size:
            raise self.error(f"the contents don't have the declared {member.size} bytes", member.path)
        if crc != member.crc:
            raise self.error("the CRC doesn't match the central directory", member.path)
        if digest != member.digest:
            raise self.record_error(f"the {member.algorithm} doesn't match RECORD", member.path)

    def record_error(self, message: str, member: str) -> BentoError:
        """Return a BentoError about a manifest in the zip."""
        return self.error(message, member)

    def _directory(self) -> tuple[bytes, int, int]:
        """Return the central directory, its position, and the member count. Raises BentoError for an invalid zip."""
        length = self.length()
        tail_at = max(0, length - _END.size - 0xFFFF)
        tail = self.read(tail_at, length - tail_at)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or at + _END.size > len(tail):
            raise self.error("the file isn't a complete zip file")
        _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail):
            raise self.error("unexpected data after the end of the zip file")
        end, other = tail_at + at, at
        while (other := tail.rfind(b"PK\5\6", 0, other + 3)) >= 0:
            if other + _END.size + _END.unpack_from(tail, other)[-1] == len(tail):
                raise self.error("the zip file has two ends")
        locator = self.read(max(0, end - _LOCATOR.size), _LOCATOR.size)
        if locator.startswith(b"PK\6\7"):
            end, declared = self._end_64(end - _LOCATOR.size, locator)
            sentinels = (*[_IN_64_SHORT] * 4, _IN_64, _IN_64)
            pairs = zip((disk, first_disk, here, count, size, start), declared, sentinels, strict=True)
            if any(value not in (number, sentinel) for value, number, sentinel in pairs):
                raise self.error("the zip64 end record contradicts the end record")
            disk, first_disk, here, count, size, start = declared
        elif _IN_64 in (size, start):
            raise self.error("the zip64 locator is missing")
        if disk or first_disk or here != count:
            raise self.error("multi-part zip files aren't supported")
        if size > self._bounds.directory:
            raise self.error(f"the central directory exceeds the limit of {self._bounds.directory} bytes")
        if count > self._bounds.members:
            raise self.error(f"the zip file has more than {self._bounds.members} members", remedy=self._bounds.remedy)
        if start + size != end:
            raise self.error("undeclared bytes before the central directory or the end of the zip file")
        return self.read(start, size), start, count

    def _end_64(self, end: int, locator: bytes) -> tuple[int, tuple[int, int, int, int, int, int]]:
        """Return the position and the fields of the zip64 end record, which ends at the locator, at position `end`."""
        _, first, at, disks = _LOCATOR.unpack(locator)
        record = self.read(at, _END_64.size) if at + _END_64.size == end else b""
        if not record.startswith(b"PK\6\6") or first or disks > 1:
            raise self.error("the zip64 end record is missing, or isn't before its locator")
        _, size, _, _, disk, first_disk, here, count, directory_size, start = _END_64.unpack(record)
        if size != _END_64.size - 12:
            raise self.error("the zip64 end record has unsupported fields")
        return at, (disk, first_disk, here, count, directory_size, start)

    def _member(self, directory: bytes, at: int) -> tuple[ZipMember, int]:
        if not directory.startswith(b"PK\1\2", at) or at + _CENTRAL.size > len(directory):
            raise self.error("the central directory is damaged")
        fields = _CENTRAL.unpack_from(directory, at)
        _, _, system, version, flags, method, _, _, crc, packed_size, size = fields[:11]
        name_length, extra_length, comment_length, disk, _, attributes, offset = fields[11:]
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_length
        end = extra_at + extra_length + comment_length
        name = self._name(directory[name_at:extra_at], flags)
        if end > len(directory) or disk:
            raise self.error("the entry in the central directory is damaged", name)
        if extra_length or _IN_64 in (size, packed_size, offset):
            extra = directory[extra_at : extra_at + extra_length]
            size, packed_size, offset = self._resolve(name, extra, [size, packed_size, offset])
        if version & 0xFF > _MAX_VERSION:
            raise self.error(f"the member requires version {(version & 0xFF) / 10} of the zip format", name)
        mode = attributes >> 16 if system == _UNIX else 0
        member = ZipMember(name, size, packed_size, crc, offset, 0, method, mode, flags)
        self._check_member(member)
        return member, end

    def _name(self, raw: bytes, flags: int) -> str:
        try:
            name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
        except UnicodeDecodeError:
            raise self.error("the name isn't UTF-8, or isn't marked as UTF-8", raw.decode("latin-1")) from None
        if "\0" in name or "\\" in name:
            raise self.error("the path has a NUL or a backslash, which zip readers interpret differently", name)
        return name

    def _resolve(self, name: str, extra: bytes, values: list[int]) -> list[int]:
        """Return `values`, the sizes and the offset of a member. Replaces each `_IN_64` by a number of the zip64 field.

        The field contains only the replacements, or a number for each value. Raises BentoError for other fields, and
        for fields with another name of the member.
        """
        numbers: list[int] | None = None
        at = 0
        while at + 4 <= len(extra):
            kind, length = struct.unpack_from("<2H", extra, at)
            field = extra[at + 4 : at + 4 + length]
            at += 4 + length
            if kind in _OTHER_NAMES:
                raise self.error("the member has a Unicode path or comment, which not all zip readers support", name)
            if kind == _EXTRA_64:
                if numbers is not None or length % 8 or len(field) < length:
                    raise self.error("the zip64 sizes are damaged", name)
                numbers = list(struct.unpack(f"<{length // 8}Q", field))
        if at != len(extra):
            raise self.error("the extra field is damaged", name)
        replaced = [number for number, value in enumerate(values) if value == _IN_64]
        if numbers is None:
            if replaced:
                raise self.error("the zip64 sizes are missing", name)
            return values
        if len(numbers) == len(replaced):
            for place, number in zip(replaced, numbers, strict=True):
                values[place] = number
            return values
        if len(numbers) != len(values) or any(v not in (n, _IN_64) for v, n in zip(values, numbers, strict=True)):
            raise self.error("the zip64 sizes contradict the other sizes", name)
        return numbers

    def _check_member(self, member: ZipMember) -> None:
        if member.flags & (_SECRET | _PATCHED):
            raise self.error("the member is encrypted, or a patch", member.path)
        if member.method not in self._methods:
            how = _METHODS.get(member.method, str(member.method))
            taken = " or ".join(_METHODS[method] for method in self._methods)
            raise self.error(f"the member uses compression method {how}, but only {taken} is supported", member.path)
        kind, is_directory = member.mode & _KIND, member.is_directory
        if kind == _LINK:
            raise self.error("the member is a symbolic link, which some zip readers don't support", member.path)
        if kind not in (0, _DIRECTORY if is_directory else _REGULAR):
            raise self.error("the member isn't a regular file or a directory", member.path)
        if is_directory and member.size:
            raise self.error("the directory has contents", member.path)
        if member.method == STORED and member.size != member.packed_size:
            raise self.error("the two sizes of the uncompressed member differ", member.path)

    def _check_ratio(self, members: Iterable[ZipMember], packed: int) -> None:
        size = sum(member.size for member in members)
        if size > max(self._bounds.unpacked, packed * self._bounds.ratio):
            largest = max(members, key=lambda member: member.size)
            message = f"the zip file of {packed} bytes unpacks to {size} bytes. This is the largest member"
            raise self.error(message, largest.path, self._bounds.remedy)

    def _with_room(self, members: list[ZipMember], end: int) -> list[ZipMember]:
        """Sort the members by position, and set `room`. Raises BentoError for overlaps or undeclared data."""
        kept = []
        for member in sorted(members, key=lambda member: member.offset, reverse=True):
            room = end - member.offset
            if room < _LOCAL.size + len(member.path) + member.packed_size:
                raise self.error("the member overlaps the next member or the central directory", member.path)
            kept.append(ZipMember(*member[:5], room, *member[6:]))  # twice as fast as _replace
            end = member.offset
        if end:
            raise self.error("unexpected data before the first member")
        return kept[::-1]

    def _pieces(self, member: ZipMember, start: int) -> Iterator[bytes]:
        for offset in range(start, start + member.packed_size, PIECE):
            yield self.read(offset, min(PIECE, start + member.packed_size - offset))

    def _inflated(self, member: ZipMember, pieces: Iterable[bytes], inflate: Any) -> Iterator[Chunk]:
        for piece in pieces:
            if inflate.eof:
                break
            data = self.inflate(member, inflate, piece, _MAX_INFLATED)
            yield Chunk(data, piece)
            while len(data) == _MAX_INFLATED and not inflate.eof:  # the decompressor might have more output
                data = self.inflate(member, inflate, inflate.unconsumed_tail, _MAX_INFLATED)
                yield Chunk(data, b"")
        if not inflate.eof or inflate.unused_data:
            raise self.error("the size of the deflate stream doesn't match the central directory", member.path)

    def _of_bzip2(self, member: ZipMember, start: int) -> Iterator[Chunk]:
        import bz2

        decoder = bz2.BZ2Decompressor()
        try:
            for piece in self._pieces(member, start):
                if decoder.eof:
                    break
                yield Chunk(decoder.decompress(piece, _MAX_INFLATED), None)
                while not decoder.eof and not decoder.needs_input:
                    yield Chunk(decoder.decompress(b"", _MAX_INFLATED), None)
        except OSError as error:
            raise self.error(f"the bzip2 stream is damaged ({error})", member.path) from None
        if not decoder.eof or decoder.unused_data:
            raise self.error("the size of the bzip2 stream doesn't match the central directory", member.path)


class FileZip(Zip):
    """Reads an open, seekable zip file.

    >>> with open("iris-1.0-py3-none-any.whl", "rb") as file:  # doctest: +SKIP
    ...     members = FileZip(file, file.name, Bounds(250, 1 << 28)).members()
    """

    def __init__(self, file: BinaryIO, where: str, bounds: Bounds) -> None:
        super().__init__(where, "Download or create the archive again", bounds, (STORED, DEFLATED, BZIP2))
        self._file = file

    def length(self) -> int:
        """Return the length of the file in bytes."""
        return self._file.seek(0, 2)

    def read_some(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from position `offset`."""
        self._file.seek(offset)
        return self._file.read(size)


def fast_zlib() -> Any:
    """Return zlib-ng, which is twice as fast as zlib and accepts the same streams, or zlib if it isn't installed."""
    global _zlib_module
    if _zlib_module is None:
        try:
            from zlib_ng import zlib_ng

            _zlib_module = zlib_ng
        except ImportError:
            import zlib

            _zlib_module = zlib
    return _zlib_module


_zlib_module: Any = None
