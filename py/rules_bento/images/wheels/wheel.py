"""Reads the contents and metadata of wheels without unpacking them.

A wheel is a zip (`rules_bento.base.archives.zipread`) with a manifest (PyPA, "Binary distribution format" 1.0).
Each chunk of contents includes its part of the deflate stream, so that a layer can reuse the stream.

Installers trust the wheels that they unpack. Therefore, this module raises BentoError for a member with an unsafe or
ambiguous name, file type, compression, or content. RECORD must list each member with its digest and size.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from functools import partial
from itertools import chain

from rules_bento.base.archives.tarstream import directories_above
from rules_bento.base.archives.zipread import (
    DEFLATE_END,
    DEFLATED,
    PIECE,
    STORED,
    Bounds,
    Chunk,
    Zip,
    ZipMember,
    fast_zlib,
    joinable,
)
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import split_lines
from rules_bento.base.threads import read_ahead
from rules_bento.base.tree_walk import BYTECODE
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from rules_bento.images.wheels.wheel_metadata import FileName, Metadata, normalized

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS = Bounds(ratio=100, unpacked=64 << 20)  # for a complete wheel; real wheels unpack to 2 to 20 times their size
_MOST_METADATA = 64 << 20  # bytes of a metadata file; RECORD has about 100 for each file of the wheel
_LARGE = 4 << 20  # bytes of a file that another thread inflates; for a smaller one, starting the thread costs too much
_REMEDY = "Lock another version of the package, or build the wheel again"
_LONGEST_NAME = 255  # bytes of the name of a file or directory, on Linux and macOS

# Absolute on POSIX or Windows, or with a character that is a separator in some format.
_REFUSED_NAME = re.compile(r"\A/|\A[A-Za-z]:|[\\\x00-\x1f\x7f]")
_REFUSED_PART = re.compile(r"(?:\A|/)(?:\.?\.?(?:/|\Z)|(\.wh\.))")
_ENTRY_POINTS = "entry_points.txt"
_SCRIPT = r"([\w.-]+)\s*:\s*([\w.-]+)\s*(?:\[.*\]\s*)?"


SIGNATURES = ("RECORD.jws", "RECORD.p7s")  # files of *.dist-info that RECORD does not list
_DIGESTS = {"sha256": 32, "sha384": 48, "sha512": 64}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class RecordError(BentoError):
    """Raised if RECORD doesn't match the contents of a wheel."""


class Locked(NamedTuple):
    """The locked digest of a wheel, and whether a RECORD that doesn't match the wheel is allowed."""

    sha256: str = ""  # of the file, from the lock; empty without a lock
    allow_record_mismatch: bool = False  # bento.pypi accepts a wrong RECORD


class EntryPoint(NamedTuple):
    """A command that an installer creates. The command `name` calls `function`, a dotted name, in `module`."""

    name: str
    module: str
    function: str


class Wheel(NamedTuple):
    """A validated wheel. Its members are sorted by path, and omit bytecode."""

    file: Path
    members: tuple[ZipMember, ...]
    directories: tuple[str, ...]  # directories that the zip lists
    dist_info: str  # the name of the directory
    distribution: str  # the normalized name
    metadata: Metadata
    entry_points: tuple[EntryPoint, ...]  # console scripts, then GUI scripts
    locked: Locked = Locked()
    bytecode: int = 0  # number of omitted files that Python would write, whose code can differ from the sources

    @property
    def name(self) -> str:
        """The file name of the wheel."""
        return self.file.name

    @classmethod
    def read(cls, file: Path, locked: Locked = Locked()) -> Wheel:  # noqa: B008 - it cannot be changed
        """Read the zip directory and the metadata of a wheel. Raises BentoError for an invalid wheel.

        If `locked` allows a RECORD mismatch, computes all digests. In this case, raises BentoError if RECORD matches,
        because `allow_record_mismatch` is then unnecessary.
        """
        with _Zip(file, locked) as zip_file:
            return _read(cls, zip_file)

    @property
    def data_directory(self) -> str:
        """The path of the wheel's `.data` directory, with a trailing slash."""
        return self.dist_info.removesuffix(".dist-info") + ".data/"

    def entry_modules(self) -> frozenset[str]:
        """Return the modules to which the wheel's entry points for commands and plugins refer."""
        member = next((member for member in self.members if member.path == f"{self.dist_info}/{_ENTRY_POINTS}"), None)
        if member is None:
            return frozenset()
        with _Zip(self.file, self.locked) as zip_file:
            sections = _sections(zip_file, zip_file.whole(member).decode())
        values = (value or "" for section in sections.values() for value in section.values())
        return frozenset(match[0] for value in values if (match := re.match(r"[\w.-]+", value)))

    def member(self, path: str) -> ZipMember:
        """Return the member at `path`, which must exist."""
        return next(member for member in self.members if member.path == path)

    def chunks(
        self, members: Iterable[ZipMember], *, join: bool = False, threads: int | None = 1
    ) -> Iterator[Iterator[Chunk]]:
        """For each member, yield an iterator over its chunks.

        If `join` is true, `zipread.joinable` converts the deflate streams of small members. Iterating over the chunks
        verifies the size and the checksums, and raises BentoError for a mismatch. Unless `threads` is 1, another thread
        inflates large members ahead. In this case, each iterator must be exhausted.
        """
        chosen = tuple(members)
        with _Zip(self.file, self.locked) as zip_file:
            # The threads also read the local headers, so errors keep their order.
            large = (chain.from_iterable(map(zip_file.unverified, [m])) for m in chosen if m.size >= _LARGE)
            with closing(read_ahead(large, threads)) as ahead:
                upcoming = next(ahead, None)
                for member in chosen:
                    if member.size >= _LARGE and upcoming:
                        yield zip_file.verified(member, upcoming)
                        upcoming = next(ahead, None)
                    else:
                        yield zip_file.chunks(member, join=join)

    def unverified(self, members: Iterable[ZipMember]) -> Generator[Callable[[], Iterator[Chunk]]]:
        """For each member, yield a function to read unverified chunks. Call the function before the next iteration."""
        with _Zip(self.file, self.locked) as zip_file:
            for member in members:
                yield partial(zip_file.unverified, member)

    def contents(self, member: ZipMember) -> bytes:
        """Return a member's verified contents. Raises BentoError if the contents are too large or fail verification."""
        with _Zip(self.file, self.locked) as zip_file:
            return zip_file.whole(member)

    def starts_with(self, member: ZipMember, prefix: bytes) -> bool:
        """Return whether the unverified contents of a member begin with `prefix`."""
        with _Zip(self.file, self.locked) as zip_file:
            pieces = zip_file.unverified(member)
            return next(pieces, Chunk(b"", None)).data.startswith(prefix)


class _Zip(Zip):
    """Reads a wheel's zip with `pread`. Doesn't map the file or cache its contents."""

    def __init__(self, file: Path, locked: Locked) -> None:
        super().__init__(file.name, _REMEDY, BOUNDS, (STORED, DEFLATED))
        self.path = file
        self.locked = locked
        self._open = -1

    def __enter__(self) -> _Zip:
        try:
            self._open = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            problem = f"cannot read the file: {error.strerror}"
            raise BentoError(problem, place=str(self.path), remedy="Check the path and permissions.") from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._open)

    def length(self) -> int:
        """Return the size of the zip in bytes."""
        return os.fstat(self._open).st_size

    def read_some(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from position `offset`."""
        return os.pread(self._open, size, offset)

    def whole(self, member: ZipMember) -> bytes:
        """Return a member's verified contents. Raises BentoError if the contents are too large or fail verification."""
        if member.size > _MOST_METADATA:
            raise self.error(f"the member has {member.size} bytes, which exceeds the limit for this file", member.path)
        return b"".join([chunk.data for chunk in self.chunks(member)])

    def chunks(self, member: ZipMember, *, join: bool = False) -> Iterator[Chunk]:
        """Return an iterator over the chunks of a member. See `Wheel.chunks` for `join`."""
        local = self.read(member.offset, min(member.room, PIECE))
        begin = self.contents_at(member, local)
        end = begin + member.packed_size
        if end <= len(local) and member.size <= PIECE:
            return iter((self._small(member, local[begin:end], join=join),))
        return self.verified(member, self.unpacked(member, member.offset + begin))

    def _small(self, member: ZipMember, packed: bytes, *, join: bool) -> Chunk:
        chunk = Chunk(packed, None)
        if member.method == DEFLATED:
            chunk = (join and self._joined(member, packed)) or self._whole(member, packed)
        self.check(member, len(chunk.data), fast_zlib().crc32(chunk.data), _digest(member, chunk.data))
        return chunk

    def _whole(self, member: ZipMember, packed: bytes) -> Chunk:
        inflate = fast_zlib().decompressobj(-15)
        data = self.inflate(member, inflate, packed, member.size + 1)
        if not inflate.eof or inflate.unused_data:
            raise self.error("the contents don't match the central directory", member.path)
        return Chunk(data, packed)

    def _joined(self, member: ZipMember, packed: bytes) -> Chunk | None:
        zlib = fast_zlib()
        for guess in joinable(packed):
            inflate = zlib.decompressobj(-15)
            try:
                data = inflate.decompress(guess + DEFLATE_END, member.size + 1)
            except zlib.error:
                continue
            if inflate.eof and not inflate.unused_data and len(data) == member.size:
                return Chunk(data, guess, joined=True)
        return None

    def record_error(self, message: str, member: str) -> RecordError:
        """Return the error for an invalid RECORD. For a locked wheel, the message explains how to accept the wheel."""
        remedy = _REMEDY
        if self.locked.sha256:
            name = normalized(self.where.partition("-")[0])
            remedy += ". To accept this wheel, add to bento.pypi in MODULE.bazel: "
            remedy += f'allow_record_mismatch = {{"{name}": ["sha256:{self.locked.sha256}"]}}'
        return RecordError(str(self.error(message, member, remedy)))

    def right_record_error(self) -> BentoError:
        """Return the error for a wheel in `allow_record_mismatch` whose RECORD is correct."""
        return self.error("the RECORD is correct", remedy="Remove the wheel from allow_record_mismatch of bento.pypi")


def _digest(member: ZipMember, data: bytes) -> bytes:
    import hashlib

    if member.algorithm == "sha256":
        return hashlib.sha256(data).digest()
    return hashlib.new(member.algorithm, data).digest() if member.algorithm else b""


def _read(cls: type[Wheel], zip_file: _Zip) -> Wheel:
    members, directories = _members(zip_file)
    dist_info = _dist_info(zip_file, members)
    by_path = {member.path: member for member in members}
    _check_wheel_version(zip_file, _text(zip_file, by_path, f"{dist_info}/WHEEL"))
    text = _text(zip_file, by_path, f"{dist_info}/METADATA", errors="replace")
    try:
        metadata = Metadata.read(text, _file_name(zip_file))
    except BentoError as error:
        raise zip_file.error(error.problem) from None
    path = f"{dist_info}/RECORD"
    digests = _measured_all if zip_file.locked.allow_record_mismatch else _with_digests
    recorded = digests(zip_file, members, path, _text(zip_file, by_path, path))
    points = f"{dist_info}/{_ENTRY_POINTS}"
    entry_points = _entry_points(zip_file, _text(zip_file, by_path, points)) if points in by_path else ()
    distribution = normalized(dist_info.partition("-")[0])
    kept = tuple(member for member in recorded if not _is_cached(member.path))
    directories = tuple(path for path in directories if not _is_cached(path))
    count = len(recorded) - len(kept)
    return cls(
        zip_file.path, kept, directories, dist_info, distribution, metadata, entry_points, zip_file.locked, count
    )


def _is_cached(path: str) -> bool:
    return BYTECODE in path.split("/")


def _with_digests(zip_file: _Zip, members: Sequence[ZipMember], path: str, text: str) -> tuple[ZipMember, ...]:
    """Return the members with digests from RECORD (`text`, at `path`). Raises RecordError if RECORD doesn't match."""
    rows = _rows(zip_file, text)
    exempt = _exempt(path)
    recorded = tuple(
        member if member.path in exempt else _with_digest(zip_file, member, rows.get(member.path)) for member in members
    )
    for listed in rows.keys() - exempt - {member.path for member in members}:
        if not listed.endswith(("/", ".pyc")):  # some tools list directories, or compiled files that they exclude
            raise zip_file.record_error("RECORD lists the file, but the wheel doesn't contain the file", listed)
    return recorded


def _measured_all(zip_file: _Zip, members: Sequence[ZipMember], path: str, text: str) -> tuple[ZipMember, ...]:
    """Return the members with computed digests. Raises BentoError if `allow_record_mismatch` is unnecessary."""
    try:
        for member in _with_digests(zip_file, members, path, text):
            for _ in zip_file.chunks(member):
                pass
    except RecordError:
        exempt = _exempt(path)
        return tuple(member if member.path in exempt else _measured(zip_file, member) for member in members)
    raise zip_file.right_record_error()


def _exempt(path: str) -> set[str]:
    return {path, *(f"{path.rpartition('/')[0]}/{name}" for name in SIGNATURES)}


def _measured(zip_file: _Zip, member: ZipMember) -> ZipMember:
    import hashlib

    digest = hashlib.sha256()
    for chunk in zip_file.chunks(member):
        digest.update(chunk.data)
    return member._replace(algorithm="sha256", digest=digest.digest())


def _rows(zip_file: _Zip, text: str) -> dict[str, tuple[str, str]]:
    import csv

    rows: dict[str, tuple[str, str]] = {}
    for row in csv.reader(split_lines(text)):
        if not row:
            continue
        path = row[0].removeprefix("./").lstrip("/")  # some tools write it this way
        if len(row) != 3 or path in rows:
            raise zip_file.record_error("the line in RECORD isn't PATH,DIGEST,SIZE, or is repeated", row[0])
        rows[path] = (row[1], row[2])
    return rows


def _with_digest(zip_file: _Zip, member: ZipMember, row: tuple[str, str] | None) -> ZipMember:
    import binascii

    if row is None:
        raise zip_file.record_error("RECORD doesn't list the file", member.path)
    algorithm, _, encoded = row[0].partition("=")
    length = _DIGESTS.get(algorithm)
    if length is None:
        known = ", ".join(_DIGESTS)
        message = f"the algorithm of the digest in RECORD is {algorithm or 'missing'}, not {known}"
        raise zip_file.record_error(message, member.path)
    try:
        # Some tools write hexadecimal digits, which installers accept.
        is_hex = len(encoded) == 2 * length
        padded = encoded.encode("ascii").translate(_URL_SAFE) + b"=" * (-len(encoded) % 4)
        digest = bytes.fromhex(encoded) if is_hex else binascii.a2b_base64(padded)
    except ValueError:
        digest = b""
    if len(digest) != length:
        raise zip_file.record_error("the digest in RECORD is invalid", member.path)
    if row[1] and row[1] != str(member.size):
        raise zip_file.record_error(f"the size is {member.size} bytes, but {row[1]} in RECORD", member.path)
    return ZipMember(*member[:-2], algorithm, digest)  # three times as fast as _replace


def _members(zip_file: _Zip) -> tuple[list[ZipMember], tuple[str, ...]]:
    members: dict[str, ZipMember] = {}
    directories: set[str] = set()
    for listed in zip_file.members():
        if listed.path.startswith("./"):  # hatchling, for packages in the project's directory; installers accept it
            listed = listed._replace(path=listed.path[2:])
        _check_name(zip_file, listed.path)
        path = listed.path.rstrip("/")
        if path in members or path in directories:
            raise zip_file.error("the path is repeated", path)
        if listed.is_directory:
            directories.add(path)
        else:
            members[path] = listed
    for parent in sorted(directories_above((*members, *directories)) & members.keys()):
        raise zip_file.error("the path is both a file and a directory", parent)
    return sorted(members.values(), key=lambda member: member.path), tuple(sorted(directories))


def _check_name(zip_file: _Zip, name: str) -> None:
    if _REFUSED_NAME.search(name):
        raise zip_file.error("the member has an absolute path, or a path with an invalid character", name)
    if refused := _REFUSED_PART.search(name.removesuffix("/")):
        if refused[1]:  # OCI image layer spec: a whiteout, which deletes a file of lower layers
            raise zip_file.error("the member has the name of a whiteout, which deletes files in an image", name)
        raise zip_file.error("the path isn't normalized", name)
    if len(name.encode()) > _LONGEST_NAME and any(len(part.encode()) > _LONGEST_NAME for part in name.split("/")):
        raise zip_file.error(f"the member has a name of more than {_LONGEST_NAME} bytes", name)


def _dist_info(zip_file: _Zip, members: Sequence[ZipMember]) -> str:
    directories = {member.path.partition("/")[0] for member in members if ".dist-info/" in member.path}
    names = sorted(name for name in directories if name.endswith(".dist-info"))
    if len(names) != 1:
        raise zip_file.error(f"expected one *.dist-info directory, got {', '.join(names) or 'none'}")
    if normalized(_file_name(zip_file).name) != normalized(names[0].partition("-")[0]):
        raise zip_file.error(f"the metadata directory belongs to another distribution, {names[0]}")
    return names[0]


def _file_name(zip_file: _Zip) -> FileName:
    file_name = FileName.of(zip_file.where)
    if not file_name:
        raise zip_file.error("the file name isn't NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
    return file_name


def _text(zip_file: _Zip, members: dict[str, ZipMember], path: str, errors: str = "strict") -> str:
    member = members.get(path)
    if member is None:
        raise zip_file.error("the member is missing", path)
    try:
        return zip_file.whole(member).decode("utf-8", errors)  # without its digest, which is computed later
    except UnicodeDecodeError:
        raise zip_file.error("the member isn't UTF-8", path) from None


def _check_wheel_version(zip_file: _Zip, text: str) -> None:
    version = re.search(r"^Wheel-Version:[ \t]*(\d+)\.\d+[ \t]*\r?$", text, re.MULTILINE | re.IGNORECASE)
    if not version or version[1] not in ("0", "1"):
        raise zip_file.error("the WHEEL file has no supported Wheel-Version (1.x)")


def _entry_points(zip_file: _Zip, text: str) -> tuple[EntryPoint, ...]:
    sections = _sections(zip_file, text)
    return tuple(
        _entry_point(zip_file, name, value)
        for section in ("console_scripts", "gui_scripts")
        if section in sections
        for name, value in sections[section].items()
    )


def _sections(zip_file: _Zip, text: str) -> Mapping[str, Mapping[str, str | None]]:
    import configparser

    parser = configparser.ConfigParser(
        allow_no_value=True, default_section="", delimiters=("=",), interpolation=None, strict=False
    )
    parser.optionxform = str  # type: ignore[method-assign, assignment]  # names are case-sensitive
    try:
        parser.read_string(text)
    except (configparser.Error, AttributeError) as error:  # the second for a continuation line without a first line
        raise zip_file.error(f"the entry_points.txt can't be parsed ({error})") from None
    return parser


def _entry_point(zip_file: _Zip, name: str, value: str | None) -> EntryPoint:
    match = re.fullmatch(_SCRIPT, value or "")
    if not match or "/" in name:
        raise zip_file.error(f"the entry point {name!r} is {value!r}, not MODULE:FUNCTION")
    _check_name(zip_file, name)
    return EntryPoint(name, match[1], match[2])
