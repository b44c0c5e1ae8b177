"""Layers of which a container reads files before the rest is there: what their formats have in common.

The contents of each file begin a member (of gzip) or a frame (of zstd), and those of a large one have one for each
`CHUNK` bytes. A table of contents says where these are, and their digests; the manifest has the digest of the table.

The table is made of the tar that goes by, in the one pass that writes the blob. Members that were written before may
be copied: their entries move by the place that they come to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from itertools import chain

from rules_bento.archives import tarread, xz
from rules_bento.archives.tarstream import END
from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.images.layers import deflate_blocks, gzip
from rules_bento.images.layers.deflate_blocks import Cut
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rules_bento.archives.tarread import TarMember
    from rules_bento.images.layers.gzip import Piece

    Count = Callable[[bytes | memoryview], None]

Entry = dict[str, Any]
"""What the table says of a member of the tar, or of a chunk of one, in the words of the formats."""

CHUNK = 4 << 20
"""Bytes of a file in a member, at most: what has to be fetched to read any of them."""

_TYPES = {"file": "reg", "folder": "dir", "link": "symlink", "hard link": "hardlink"}
_MODIFIED = slice(-tarread.RECORD + 136, -tarread.RECORD + 147)  # octal digits at the end of our headers


class Member(NamedTuple):
    """Describes a member to write: contents, or a chunk of them, and the records up to the next contents."""

    kind: int
    data: bytes
    packed: bytes
    entry: Entry  # empty where there are no contents
    records: list[bytes]


class Blob(ABC):
    """Writes the blob of a layer, or of a part of layers, with its table of contents."""

    def __init__(self, count: Count) -> None:
        """Begin a blob; `count` is given the bytes of its tar in their order, but for what is copied."""
        self.entries: list[Entry] = []
        self.count = count
        self.size = 0

    @abstractmethod
    def packed(self, member: Member) -> bytes:
        """Compress a member. Called by several threads at once."""

    @abstractmethod
    def told(self, entry: Entry, header: bytes, contents: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """Store what the format needs of a member of the tar, and return its contents."""

    @abstractmethod
    def end(self) -> Iterator[bytes]:
        """Return what follows the members: the table of contents, its place, and what else the format has."""

    @abstractmethod
    def annotations(self, uncompressed_size: int) -> tuple[tuple[str, str], ...]:
        """Return the annotations for the layer in a manifest, once `end` was called."""

    def members(self, pieces: Iterable[Piece], threads: int | None = None) -> Iterator[bytes]:
        """Yield the blob of a tar, which has no end; `threads` compress it.

        Raises BentoError for what is no file, folder or link.
        """

        def one(member: Member) -> tuple[Entry, bytes, str]:
            return member.entry, self.packed(member), sha256(member.data)

        for entry, blob, digest in xz.in_order(one, self._cut(_Tar(pieces, self.count)), threads):
            if entry:
                entry |= {"offset": self.size, "chunkDigest": digest}
                if entry["type"] == "reg" and "chunkSize" not in entry:
                    entry["digest"] = digest
            self.size += len(blob)
            yield blob

    def copied(self, blob: Iterable[bytes], entries: Iterable[Entry]) -> Iterator[bytes]:
        """Yield members that were made for another blob, with these entries."""
        self.entries += [
            entry | {"offset": self.size + entry["offset"]} if "offset" in entry else entry for entry in entries
        ]
        for piece in blob:
            self.size += len(piece)
            yield piece

    def _cut(self, tar: _Tar) -> Iterator[Member]:
        """Cut a tar before the contents of files and, where these are large, within them."""
        last = Member(gzip.PLAIN, b"", b"", {}, [])
        padding = 0  # of the contents before
        for member, contents in tar.files():
            records = tar.taken()
            last.records.append(records)
            header = records[padding:]
            padding = -member.size % tarread.RECORD
            entry = _entry(member, header)
            self.entries.append(entry)
            pieces = self.told(entry, header, contents)
            for following in _chunks(member, pieces, entry, tar) if member.size else ():
                yield last
                last = following
                if last.entry is not entry:
                    self.entries.append(last.entry)
        last.records.append(tar.taken())
        yield last


class _Tar(tarread.Bytes):
    """Reads the tar that pieces make up, keeps its records, and knows how the current contents were compressed."""

    def __init__(self, pieces: Iterable[Piece], count: Count) -> None:
        super().__init__(self._bytes(pieces), "a layer")
        self.kind, self.packed = gzip.PLAIN, b""  # of the contents that were taken last
        self._count = count
        self._records: list[bytes | memoryview] = []
        self._is_content = self._is_over = False

    def some(self, most: int) -> bytes | memoryview:
        """Return up to `most` bytes, and note them as records or contents; see `Bytes`."""
        piece = super().some(most)
        if not self._is_over:
            self._count(piece)
            if not self._is_content:
                self._records.append(piece)
        return piece

    def files(self) -> tarread.Members:
        """Yield each member with its contents, which must be read to their end."""
        for member, contents in tarread.members(self, ("hard link",)):
            yield member, self._contents(contents)

    def taken(self) -> bytes:
        """Return the records that were read since the last call."""
        records = b"".join(self._records)
        self._records.clear()
        return records

    def _contents(self, contents: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        self._is_content = True
        yield from contents
        self._is_content = False

    def _bytes(self, pieces: Iterable[Piece]) -> Iterator[bytes]:
        for records, kind, data, packed in pieces:
            if records:
                yield records
            if data:
                self.kind, self.packed = kind, packed
                yield data
        self._is_over = True
        yield END


def _entry(member: TarMember, header: bytes) -> Entry:
    """Return a member's entry in the table of contents, without chunks; `header` ends with the member's own record."""
    entry: Entry = {"name": member.name, "type": _TYPES[member.kind], "mode": member.mode}
    fields = {"size": member.size, "linkName": member.link, "uid": member.uid, "gid": member.gid}
    entry |= {name: value for name, value in fields.items() if value}
    if (modified := header[_MODIFIED]) != b"00000000000":
        entry["modtime"] = _time(modified)
    if member.kind == "file" and not member.size:
        entry["digest"] = sha256(b"")
    return entry


@lru_cache(maxsize=64)  # files of a package have few
def _time(digits: bytes) -> str:
    """Convert the octal time of a header to the table's form."""
    from datetime import datetime, timezone

    return f"{datetime.fromtimestamp(int(digits, 8), timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _chunks(member: TarMember, contents: Iterable[bytes | memoryview], entry: Entry, tar: _Tar) -> Iterator[Member]:
    """Yield a file's contents in chunks, and store the digest of all in `entry`.

    Of several chunks, all but the last have a size.
    """
    if member.size <= CHUNK:
        pieces = [(data, tar.packed) for data in contents]
        data, packed = b"".join([data for data, _ in pieces]), b"".join([packed for _, packed in pieces])
        yield Member(tar.kind, data, packed, entry, [])
        return
    import hashlib

    whole = hashlib.sha256()
    end = 0
    for data, stream, is_open in _cuts(contents, tar):
        chunk = {"name": member.name, "type": "chunk", "chunkOffset": end} if end else entry
        end += len(data)
        if end < member.size:
            chunk["chunkSize"] = len(data)
        whole.update(data)
        kind = gzip.PLAIN if not stream else gzip.JOINED if is_open else gzip.CARRIED
        yield Member(kind, data, stream, chunk, [])
    entry["digest"] = f"sha256:{whole.hexdigest()}"


def _cuts(contents: Iterable[bytes | memoryview], tar: _Tar) -> Iterator[Cut]:
    """Cut a large file into chunks; where its deflate stream is carried over, reuse the parts of that."""
    pieces = ((bytes(data), tar.packed) for data in contents)
    first = next(pieces)
    if tar.kind == gzip.CARRIED:
        return deflate_blocks.cut(chain([first], pieces), CHUNK)
    plain = xz.cut((data for data, _ in chain([first], pieces)), CHUNK)
    return (Cut(data, b"", is_open=False) for data in plain)


def sha256(data: bytes) -> str:
    """Return a digest in the form of tables and manifests."""
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"
