"""eStargz: gzip layers of which a container reads files before the rest is there.

The format is that of containerd's stargz-snapshotter (its docs/estargz.md): a layer is a gzip file like any other, but
the contents of each file begin a member, and those of a large one have a member for each `CHUNK` bytes. A table of
contents, the last file of the tar, says where these are, and their digests; an empty member at the end says where the
table is. The manifest has the digest of the table, so that each chunk can be verified alone.

The table is made of the tar that goes by, in the one pass that writes the blob. Streams of wheels are carried over, as
`gzip` does it. Members that were written before may be copied: their entries move by the place that they come to.
"""

from __future__ import annotations

import json
import struct
from itertools import chain

from rules_bento.archives import tarread, xz
from rules_bento.archives.tarstream import END
from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.images.layers import deflate_blocks, gzip, headers
from rules_bento.images.layers.deflate_blocks import Cut
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rules_bento.archives.tarread import TarMember
    from rules_bento.images.layers.gzip import Piece

    Count = Callable[[bytes | memoryview], None]

Entry = dict[str, Any]
"""What the table says of a member of the tar, or of a chunk of one, in the words of the format."""

CHUNK = 4 << 20
"""Bytes of a file in a member, at most: what has to be fetched to read any of them."""

TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
"""The annotation, in a manifest, that has the digest of a layer's table."""

UNCOMPRESSED_SIZE = "io.containers.estargz.uncompressed-size"
"""The annotation that has the size of a layer's tar, for the lazy store of podman."""

FOOTER = 51
"""Bytes of the member at the end."""

_TABLE = "stargz.index.json"
_PREFETCHED, _NOT_PREFETCHED = ".prefetch.landmark", ".no.prefetch.landmark"
_MARKED = b"\x0f"
MARKS = frozenset((_PREFETCHED, _NOT_PREFETCHED))
"""Names of the file that stands behind what is to be fetched beforehand, or says that nothing is."""

_RESERVED = MARKS | {_TABLE}
_TYPES = {"file": "reg", "folder": "dir", "link": "symlink", "hard link": "hardlink"}
_MODIFIED = slice(-tarread.RECORD + 136, -tarread.RECORD + 147)  # octal digits at the end of our headers


class Blob:
    """The blob of a layer, or of a part of layers, and what is in it."""

    def __init__(self, count: Count) -> None:
        """Begin a blob; `count` is given the bytes of its tar in their order, but for what is copied."""
        self.entries: list[Entry] = []
        self.toc_digest = ""
        self._count = count
        self._size = 0
        self._is_marked = False
        self._reserved = _RESERVED

    def members(self, pieces: Iterable[Piece], threads: int | None = None) -> Iterator[bytes]:
        """Yield what a tar without its end becomes; as many `threads` compress.

        Raises BentoError for what is no file, folder or link, and for a file that has the name of the table.
        """
        for entry, blob, digest in xz.in_order(_packed, self._cut(_Tar(pieces, self._count)), threads):
            if entry:
                entry |= {"offset": self._size, "chunkDigest": digest}
                if entry["type"] == "reg" and "chunkSize" not in entry:
                    entry["digest"] = digest
            self._size += len(blob)
            yield blob

    def copied(self, blob: Iterable[bytes], entries: Iterable[Entry]) -> Iterator[bytes]:
        """Yield members that another blob had first, with these entries."""
        self.entries += [
            entry | {"offset": self._size + entry["offset"]} if "offset" in entry else entry for entry in entries
        ]
        for piece in blob:
            self._size += len(piece)
            yield piece

    def mark(self, name: str = _PREFETCHED) -> Iterator[bytes]:
        """Yield a file that says that all before it is to be fetched before a container starts."""
        self._reserved, self._is_marked = frozenset(), True
        header = headers.header(name, headers.REGULAR, 0o644, 0, 0, 0, len(_MARKED))
        pieces = [(header, gzip.PLAIN, _MARKED, b""), (headers.padding(len(_MARKED)), gzip.PLAIN, b"", b"")]
        yield from self.members(pieces, 1)
        self._reserved = _RESERVED

    def end(self) -> Iterator[bytes]:
        """Yield the table, and where it is; without a mark, first a file that says that nothing is to be fetched."""
        if not self._is_marked:
            yield from self.mark(_NOT_PREFETCHED)
        fields = {"version": 1, "entries": self.entries}
        table = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        header = headers.header(_TABLE, headers.REGULAR, 0o644, 0, 0, 0, len(table))
        tar = b"".join((header, table, headers.padding(len(table)), END))
        self._count(tar)
        self.toc_digest = sha256(table)
        yield gzip.compressed(tar)
        yield _footer(self._size)

    def _cut(self, tar: _Tar) -> Iterator[_Member]:
        """Cut a tar before the contents of files and, where these are large, within them."""
        last = _Member(gzip.PLAIN, b"", b"", {}, [])
        for member, contents in tar.files():
            if member.name in self._reserved:
                raise BentoError(f"{member.name}: a name that an eStargz layer has for its own use. Take another one.")
            header = tar.taken()
            last.records.append(header)
            entry = _entry(member, header)
            self.entries.append(entry)
            for following in _chunks(member, contents, entry, tar) if member.size else ():
                yield last
                last = following
                if last.entry is not entry:
                    self.entries.append(last.entry)
        last.records.append(tar.taken())
        yield last


class _Member(NamedTuple):
    """What becomes a member: contents, or a chunk of them, and the records up to the next ones."""

    kind: int
    data: bytes
    packed: bytes
    entry: Entry  # empty where there are no contents
    records: list[bytes]


class _Tar(tarread.Bytes):
    """The tar that pieces make up, whose records are kept, and what is known of contents beside their bytes."""

    def __init__(self, pieces: Iterable[Piece], count: Count) -> None:
        super().__init__(self._bytes(pieces), "a layer")
        self.kind, self.packed = gzip.PLAIN, b""  # of the contents that were taken last
        self._count = count
        self._records: list[bytes | memoryview] = []
        self._is_content = self._is_over = False

    def some(self, most: int) -> bytes | memoryview:
        """Return up to `most` bytes; see `Bytes`."""
        piece = super().some(most)
        if not self._is_over:
            self._count(piece)
            if not self._is_content:
                self._records.append(piece)
        return piece

    def files(self) -> tarread.Members:
        """Each member and its contents, which must be taken to their end if there are any."""
        for member, contents in tarread.members(self, ("hard link",)):
            yield member, self._contents(contents)

    def taken(self) -> bytes:
        """The records since the last time."""
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
    """What the table says of a member, but for its contents; `header` ends with its own record."""
    entry: Entry = {"name": member.name, "type": _TYPES[member.kind], "mode": member.mode}
    fields = {"size": member.size, "linkName": member.link, "uid": member.uid, "gid": member.gid}
    entry |= {name: value for name, value in fields.items() if value}
    if modified := int(header[_MODIFIED], 8):
        from datetime import datetime, timezone

        entry["modtime"] = f"{datetime.fromtimestamp(modified, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    if member.kind == "file" and not member.size:
        entry["digest"] = sha256(b"")
    return entry


def _chunks(member: TarMember, contents: Iterable[bytes | memoryview], entry: Entry, tar: _Tar) -> Iterator[_Member]:
    """The contents of a file. Of several chunks, all but the last have a size, and `entry` gets the digest of all."""
    if member.size <= CHUNK:
        pieces = [(data, tar.packed) for data in contents]
        data, packed = b"".join([data for data, _ in pieces]), b"".join([packed for _, packed in pieces])
        yield _Member(tar.kind, data, packed, entry, [])
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
        yield _Member(kind, data, stream, chunk, [])
    entry["digest"] = f"sha256:{whole.hexdigest()}"


def _cuts(contents: Iterable[bytes | memoryview], tar: _Tar) -> Iterator[Cut]:
    """The contents of a large file in chunks; of a stream that is carried over, with parts of that."""
    pieces = ((bytes(data), tar.packed) for data in contents)
    first = next(pieces)
    if tar.kind == gzip.CARRIED:
        return deflate_blocks.cut(chain([first], pieces), CHUNK)
    plain = xz.cut((data for data, _ in chain([first], pieces)), CHUNK)
    return (Cut(data, b"", is_open=False) for data in plain)


def _packed(member: _Member) -> tuple[Entry, bytes, str]:
    """The bytes of a member, or of two where a stream cannot be joined, and the digest of the contents."""
    kind, data, packed, entry, following = member
    records = b"".join(following)
    if data and kind == gzip.PLAIN:
        return entry, gzip.compressed(data + records), sha256(data)
    pieces: list[Piece] = [(b"", kind, data, packed)] if data else []
    if records:
        pieces.append((records, gzip.PLAIN, b"", b""))
    return entry, b"".join(gzip.carried(pieces)), sha256(data)


def sha256(data: bytes) -> str:
    """Return a digest as the table and manifests have it."""
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def place_of_table(footer: bytes) -> int:
    """Return where a footer says that the table is. Raises ValueError for other bytes."""
    offset = int(footer[16:32], 16)
    if footer != _footer(offset):
        raise ValueError
    return offset


def _footer(offset: int) -> bytes:
    """An empty member, of 51 bytes, with the place of the table in its extra field (RFC 1952, 2.3.1.1)."""
    field = b"%016xSTARGZ" % offset
    extra = b"SG" + struct.pack("<H", len(field)) + field
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", len(extra))
    return head + extra + b"\x01\0\0\xff\xff" + bytes(8)  # a stored block of nothing; its checksum and its size
