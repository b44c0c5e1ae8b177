"""Writes layers with a table of contents, so that a container can read files before the complete layer is fetched.

The contents of each file begin a new gzip member or zstd frame. A large file has a member or a frame for each `CHUNK`
bytes. The table of contents lists the offsets and digests, and the manifest contains the digest of the table.

The table is built in the same pass that writes the blob. If members are copied from another blob, their entries
in the table get new offsets.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain

from rules_bento.archives import tarread, xz
from rules_bento.archives.tarstream import END
from rules_bento.archives.zipread import PIECE, Chunk
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.formats.oci import digest_of
from rules_bento.images.layers import gzip
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.archives.tarread import TarMember

    Count = Callable[[bytes | memoryview], None]

# The table's entry for a member of the tar, or for a chunk of a member, with the keys of the formats.
TocEntry = dict[str, Any]
CHUNK = 4 << 20  # maximum bytes of a file in a member: reading any of them fetches all of them
_EMPTY_SHA256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
TYPES = {"file": "reg", "folder": "dir", "link": "symlink", "hard link": "hardlink"}
_MODIFIED = slice(-tarread.RECORD + 136, -tarread.RECORD + 147)  # octal digits at the end of the headers


class TarFile(NamedTuple):
    """A tar member to write."""

    entry: TocEntry  # without chunks and digests; empty for the records after the last member
    records: bytes  # bytes before the contents: padding of the previous contents, and the header
    padding: int  # bytes of that padding
    size: int  # bytes of the contents
    contents: Iterable[Chunk]
    digest: str = ""  # of the contents, if reading them to their end verifies it


class TocMember(NamedTuple):
    """The contents of a file or of a chunk, and the tar records after the contents. Each part can be empty."""

    kind: int
    data: bytes
    packed: bytes
    entry: TocEntry  # empty without contents
    records: list[bytes]
    digest: str  # of the contents; empty if it must be computed


class TocBlob:
    """Writes the blob of a complete layer or of a layer part. A layer part has no table of contents."""

    def __init__(self, count: Count) -> None:
        """Begin a blob. Calls `count` with each piece of the tar, in order. `copy_members` doesn't call `count`."""
        self.entries: list[TocEntry] = []
        self.count = count
        self.carries = False
        self.size = 0

    def compress(self, member: TocMember) -> bytes:
        """Compress `member`, including the tar records after its contents. Implementations must be thread-safe."""
        raise NotImplementedError

    def add_header(self, entry: TocEntry, header: bytes) -> None:
        """Add format-specific data to a member's entry. `header` is the member's tar header."""

    def add_contents(self, entry: TocEntry, data: bytes) -> None:
        """Add format-specific data to a member's entry. `data` is the next piece of the member's contents."""

    def end(self) -> Iterator[bytes]:
        """Yield the data after the members: the table of contents, its offset, and other format-specific data."""
        raise NotImplementedError

    def annotations(self, uncompressed_size: int) -> tuple[tuple[str, str], ...]:
        """Return the annotations for the layer's descriptor in an image manifest. Call `end` first."""
        raise NotImplementedError

    def members(self, tar: Iterable[bytes], threads: int | None = None) -> Iterator[bytes]:
        """Yield the compressed members of `tar`, a tar without end-of-archive records. See `files` for `threads`."""
        return self.files(_RecordingTarReader(tar).files(), threads)

    def files(self, files: Iterable[TarFile], threads: int | None = None) -> Iterator[bytes]:
        """Compress the members of a tar in parallel, and yield the results. If `threads` is None, uses up to 8 CPUs."""

        def made(batch: list[TocMember]) -> list[tuple[TocEntry, bytes, str]]:
            return [(member.entry, self.compress(member), member.digest or digest_of(member.data)) for member in batch]

        for batch in xz.ordered_map(made, _batches(self._cut(files)), threads):
            for entry, blob, digest in batch:
                if entry:
                    entry["offset"] = self.size
                    entry["chunkDigest"] = digest
                    if entry["type"] == "reg" and "chunkSize" not in entry:
                        entry["digest"] = digest
                self.size += len(blob)
                yield blob

    def copy_members(self, blob: Iterable[bytes], entries: Iterable[TocEntry]) -> Iterator[bytes]:
        """Yield the pieces of `blob`, which consists of compressed members. Adds `entries` to the table of contents.

        `entries` describes the members in `blob`. The offsets are relative to the beginning of `blob`.
        """
        for entry in entries:
            copy = entry.copy()
            if "offset" in copy:
                copy["offset"] += self.size
            self.entries.append(copy)
        for piece in blob:
            self.size += len(piece)
            yield piece

    def _cut(self, files: Iterable[TarFile]) -> Iterator[TocMember]:
        """Split a tar before the contents of each file, and split large files into chunks."""
        last = TocMember(gzip.RAW, b"", b"", {}, [], "")
        for file in files:
            entry, records, padding, size, _, digest = file
            self.count(records)
            last.records.append(records)
            if not entry:
                continue
            self.entries.append(entry)
            self.add_header(entry, records[padding:] if padding else records)
            if not size:
                continue
            entry["digest"] = digest  # set here, because threads set the digests of other files at any time
            for following in self._whole(file) if size <= CHUNK else self._chunks(file):
                yield last
                last = following
                if last.entry is not entry:
                    self.entries.append(last.entry)
        yield last

    def _whole(self, file: TarFile) -> tuple[TocMember]:
        chunks = [*file.contents]
        data = b"".join([chunk.data for chunk in chunks])  # for one chunk, its bytes without a copy
        kind, packed = gzip.RAW, b""
        if self.carries and chunks[0].packed is not None:
            kind = gzip.REUSED_WHOLE if chunks[0].joined else gzip.REUSED
            packed = b"".join([chunk.packed or b"" for chunk in chunks])
        self.count(data)
        self.add_contents(file.entry, data)
        return (TocMember(kind, data, packed, file.entry, [], file.digest),)

    def _chunks(self, file: TarFile) -> Iterator[TocMember]:
        """Yield the chunks of a file. Stores the digest of the complete file in the file's entry."""
        import hashlib

        entry, size, digest = file.entry, file.size, file.digest
        whole = hashlib.sha256()
        end = 0
        for data, stream, is_open in self._cuts(file.contents):
            chunk = {"name": entry["name"], "type": "chunk", "chunkOffset": end} if end else entry
            end += len(data)
            if end < size:
                chunk["chunkSize"] = len(data)
            self.count(data)
            self.add_contents(entry, data)
            if not digest:
                whole.update(data)
            kind = gzip.RAW if not stream else gzip.REUSED_WHOLE if is_open else gzip.REUSED
            yield TocMember(kind, data, stream or b"", chunk, [], "")
        entry["digest"] = digest or f"sha256:{whole.hexdigest()}"

    def _cuts(self, contents: Iterable[Chunk]) -> Iterator[Chunk]:
        """Split a file's contents into chunks of `CHUNK` bytes. Keeps existing chunks with reusable deflate streams."""
        chunks = iter(contents)
        first = next(chunks)
        whole = chain([first], chunks)
        if self.carries and first.packed is not None and len(first.data) <= CHUNK:
            return whole
        return (Chunk(data, b"") for data in xz.split((chunk.data for chunk in whole), CHUNK))


class _RecordingTarReader(tarread.PieceReader):
    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__(self._ended(pieces), "a layer")
        self._records: list[bytes | memoryview] = []
        self._is_content = self._is_over = False

    def some(self, most: int) -> bytes | memoryview:
        piece = super().some(most)
        if not self._is_over and not self._is_content:
            self._records.append(piece)
        return piece

    def files(self) -> Iterator[TarFile]:
        """Yield the members, then the remaining records. Read a member's contents before you request another member."""
        padding = 0
        for member, contents in tarread.members(self, ("hard link",)):
            records = self._take_records()
            entry = _entry(member, records[padding:])
            yield TarFile(entry, records, padding, member.size, self._contents(contents))
            padding = -member.size % tarread.RECORD
        yield TarFile({}, self._take_records(), padding, 0, ())

    def _take_records(self) -> bytes:
        records = b"".join(self._records)
        self._records.clear()
        return records

    def _contents(self, contents: Iterator[bytes | memoryview]) -> Iterator[Chunk]:
        self._is_content = True
        for data in contents:
            yield Chunk(bytes(data), None)
        self._is_content = False

    def _ended(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        yield from pieces
        self._is_over = True
        yield END


def _entry(member: TarMember, header: bytes) -> TocEntry:
    """Return a member's entry without chunks. `header` ends with the last header record of the member."""
    entry = make_entry(member.name, TYPES[member.kind], member.mode, member.uid, member.gid, member.size)
    if member.link:
        entry["linkName"] = member.link
    if (modified := header[_MODIFIED]) != b"00000000000":
        entry["modtime"] = utc_time(int(modified, 8))
    return entry


def make_entry(name: str, kind: str, mode: int, uid: int, gid: int, size: int = 0) -> TocEntry:
    """Return an entry that has no chunks, time, or link. The name of a directory must end with a slash."""
    entry: TocEntry = {"name": name, "type": kind, "mode": mode}
    if size:
        entry["size"] = size
    elif kind == "reg":
        entry["digest"] = _EMPTY_SHA256
    if uid:
        entry["uid"] = uid
    if gid:
        entry["gid"] = gid
    return entry


@lru_cache(maxsize=64)  # files of a package have few different times
def utc_time(seconds: int) -> str:
    """Format `seconds` since 1970 as a time in UTC (RFC 3339)."""
    from datetime import datetime, timezone

    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _batches(members: Iterable[TocMember]) -> Iterator[list[TocMember]]:
    """Group members into batches, because starting a task costs more than compressing most members."""
    batch: list[TocMember] = []
    size = 0
    for member in members:
        batch.append(member)
        size += len(member.data)
        if size >= PIECE:
            yield batch
            batch, size = [], 0
    yield batch
