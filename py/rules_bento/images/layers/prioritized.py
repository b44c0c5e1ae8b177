"""Writes eStargz layers that begin with the files read at startup, so that one request fetches all of these files.

Such a layer is created from the ordinary layer, which is built once for all images. The gzip members of the ordinary
layer are copied. The last gzip member of a file can also contain the tar headers that follow the file. If other headers
follow the file in the new layer, this gzip member is compressed again.

Both the prioritized files and the other files keep their order. Directories precede their contents. A file with several
chunks isn't moved, because such a file is usually a large library, of which programs read only parts at startup. A
container host fetches each chunk of this file when a program reads the chunk.
"""

from __future__ import annotations

import json
import os
from functools import partial
from itertools import chain

from rules_bento.archives import tarread
from rules_bento.archives.zipread import fast_zlib
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats.oci import digest_of
from rules_bento.images.layers import estargz, gzip, headers, layer
from rules_bento.images.layers.toc_layer import CHUNK
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Collection, Iterable, Iterator

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.layers.toc_layer import TocEntry

_GZIP = 31  # zlib's number for gzip's header and checksum
_EXTENSIONS = b"xgLK"  # types of headers that precede a member's own
_MAX_CONTENTS = CHUNK + (1 << 27)  # bytes of contents, and of the headers after them
_MAX_TABLE = 1 << 28


def write_prioritized(
    out: Path, blob: Path, toc_digest: str, names: Collection[str]
) -> tuple[layer.LayerInfo, int] | None:
    """Write a copy of the layer `blob` that begins with the files in `names`.

    Returns the LayerInfo and the number of prioritized files. If no file can be prioritized, writes no layer, and
    returns None.
    """
    with blob.open("rb") as file:
        source = _EstargzReader(file, blob.name)
        table = source.table(toc_digest)
        wanted = _prioritized_files(table, names)
        if not wanted:
            return None
        members = source.members(table)
        above = {name[: at + 1] for name in wanted for at, character in enumerate(name) if character == "/"}
        places = wanted | above
        first = [member for member in members if member.name in places]
        rest = [member for member in members if member.name not in places]
        tar = layer.Sum()
        toc_blob = estargz.EstargzBlob(tar.add)
        copied = partial(_copied, toc_blob, tar, source)
        pieces = chain(copied(first), toc_blob.mark(), copied(rest))
        return layer.write_blob(out, tar, pieces, toc_blob), len(wanted)


def _prioritized_files(table: Iterable[TocEntry], names: Collection[str]) -> set[str]:
    """Return the files in `names` that consist of one chunk. For a hard link in `names`, returns the link's target."""
    entries = list(table)
    linked = {entry["linkName"] for entry in entries if entry["name"] in names and entry["type"] == "hardlink"}
    is_small = {
        entry["name"]: "chunkSize" not in entry for entry in entries if entry["type"] == "reg" and "offset" in entry
    }
    return {name for name, small in is_small.items() if small and (name in names or name in linked)} - estargz.LANDMARKS


class _Range(NamedTuple):
    begin: int
    end: int
    size: int  # of the contents
    entry: TocEntry  # of the table


class _StoredMember(NamedTuple):
    name: str
    header: bytes
    entry: TocEntry
    ranges: list[_Range]


class _EstargzReader:
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._end = 0

    def table(self, digest: str) -> list[TocEntry]:
        """Return the entries of the table of contents. Raises BentoError if the table's digest isn't `digest`."""
        size = self._file.seek(0, os.SEEK_END)
        try:
            self._end = estargz.table_offset(self._read(max(size - estargz.FOOTER_SIZE, 0), size))
            tar = fast_zlib().decompressobj(_GZIP).decompress(self._read(self._end, size), _MAX_TABLE)
            [table] = [b"".join(data) for _, data in tarread.members(tarread.PieceReader([tar], self._name))]
        except (ValueError, BentoError, fast_zlib().error):
            raise self._error() from None
        if digest_of(table) != digest:
            raise self._error()
        entries: list[TocEntry] = json.loads(table)["entries"]
        return entries

    def members(self, table: list[TocEntry]) -> list[_StoredMember]:
        """Return the tar's members in order, without landmarks. Raises BentoError for layers that other tools wrote."""
        offsets = [entry["offset"] for entry in table if "offset" in entry]
        if offsets != sorted(set(offsets)):  # several files in a member, as other builders write them
            raise self._error()
        ends = dict(zip(offsets, [*offsets[1:], self._end], strict=True))
        records = _headers(self._inflated(0, offsets[0]))
        listed: list[_StoredMember] = []
        for entry in table:
            if entry["type"] != "chunk":
                member = _StoredMember(entry["name"], next(records, b""), entry, [])
                if not member.header:
                    raise self._error()
                listed.append(member)
            if "offset" in entry:
                size = entry.get("chunkSize") or listed[-1].entry["size"] - entry.get("chunkOffset", 0)
                listed[-1].ranges.append(_Range(entry["offset"], ends[entry["offset"]], size, entry))
                if "chunkSize" not in entry:
                    behind = self._inflated(entry["offset"], ends[entry["offset"]])[size:]
                    records = _headers(behind[len(headers.padding(listed[-1].entry["size"])) :])
        return [member for member in listed if member.name not in estargz.LANDMARKS]

    def chunk(self, place: _Range) -> tuple[bytes, bytes]:
        """Return a chunk's compressed bytes and its contents. Use `last_chunk` for the last chunk of a file."""
        packed = self._read(place.begin, place.end)
        return packed, b"".join(data for data, _ in self._pieces(packed))

    def last_chunk(self, place: _Range, records: bytes) -> tuple[bytes, bytes]:
        """Return gzip members with a file's last chunk, followed by `records`. Also returns the uncompressed chunk."""
        packed = self._read(place.begin, place.end)
        pieces = list(self._pieces(packed))
        whole = b"".join(data for data, _ in pieces)
        data = whole[: place.size]
        if whole[place.size :] == records:
            return packed, data
        if len(pieces[0][0]) == place.size:
            return pieces[0][1] + (gzip.compress(records) if records else b""), data
        return gzip.compress(data + records), data

    def _inflated(self, begin: int, end: int) -> bytes:
        return b"".join(data for data, _ in self._pieces(self._read(begin, end)))

    def _pieces(self, packed: bytes) -> Iterator[tuple[bytes, bytes]]:
        while packed:
            inflater = fast_zlib().decompressobj(_GZIP)
            try:
                data = inflater.decompress(packed, _MAX_CONTENTS)
            except fast_zlib().error:
                raise self._error() from None
            if not inflater.eof:
                raise self._error()
            rest = inflater.unused_data
            yield data, packed[: len(packed) - len(rest)]
            packed = rest

    def _read(self, begin: int, end: int) -> bytes:
        self._file.seek(begin)
        return self._file.read(end - begin)

    def _error(self) -> BentoError:
        return BentoError(
            f"{self._name}: startup_trace requires eStargz layers that rules_bento built. Remove startup_trace or this "
            "layer."
        )


def _headers(records: bytes) -> Iterator[bytes]:
    """Split records into tar headers. Each header includes the extended headers before it."""
    begin = at = 0
    while at < len(records):
        is_extension = records[at + 156] in _EXTENSIONS
        size = int(records[at + 124 : at + 135], 8) if is_extension else 0
        at += tarread.RECORD + size + -size % tarread.RECORD
        if not is_extension:
            yield records[begin:at]
            begin = at


def _copied(
    toc_blob: estargz.EstargzBlob, tar: layer.Sum, source: _EstargzReader, members: list[_StoredMember]
) -> Iterator[bytes]:
    at = [number for number, member in enumerate(members) if member.ranges]
    leading = members[: at[0] + 1] if at else members
    records = b"".join(member.header for member in leading)
    if records:
        tar.add(records)
        yield from toc_blob.copy_members(
            [gzip.compress(records)], [member.entry for member in leading if not member.ranges]
        )
    for number, following in zip(at, [*at, len(members) - 1][1:], strict=True):
        *chunks, last = members[number].ranges
        for chunk in chunks:
            packed, data = source.chunk(chunk)
            tar.add(data)
            yield from toc_blob.copy_members([packed], [chunk.entry | {"offset": 0}])
        behind = members[number + 1 : following + 1]
        records = headers.padding(members[number].entry["size"]) + b"".join(member.header for member in behind)
        packed, data = source.last_chunk(last, records)
        tar.add(data)
        tar.add(records)
        entries = [member.entry for member in behind if not member.ranges]
        yield from toc_blob.copy_members([packed], [last.entry | {"offset": 0}, *entries])
