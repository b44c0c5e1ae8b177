"""Writes zstd:chunked layers, so that a machine fetches only files that its local layers don't contain.

The format comes from podman and related tools (containers/storage, pkg/chunked). A layer is an ordinary zstd file. Its
frames contain the members that `toc_layer` defines, followed by three frames that decoders skip (RFC 8878, 3.1.2):

- the table of contents, which includes the digest of the tar-split
- the tar-split, which contains the header and a CRC-64 of each file
- the offsets of the table of contents and the tar-split

The manifest contains the digest of the table of contents, and repeats the offsets. podman uses the tar-split to rebuild
the tar from local and fetched files, and compares the digest of the tar with the diff id.
"""

from __future__ import annotations

import json
import struct
from binascii import a2b_base64, b2a_base64

from rules_bento.archives import xz
from rules_bento.archives.tarstream import END
from rules_bento.formats.oci import digest_of
from rules_bento.images.layers import headers, toc_layer, zstd
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from rules_bento.images.layers.toc_layer import Count, TocEntry, TocMember

TOC_DIGEST = "io.github.containers.zstd-chunked.manifest-checksum"
TOC_PLACE = "io.github.containers.zstd-chunked.manifest-position"
TAR_SPLIT_PLACE = "io.github.containers.zstd-chunked.tarsplit-position"  # annotations of a layer in a manifest
# Bytes in a frame: contents of one member, and the headers after them, possibly many.
_FRAME = toc_layer.CHUNK + (1 << 20)
_CRFS = 1  # the type of the table
_SKIPPED = struct.Struct("<2L")
_SKIPPED_MAGIC = 0x184D2A50
_FOOTER = struct.Struct("<7Q8s")
_MAGIC = b"GNUlInUx"
_FILE, _SEGMENT = 1, 2  # of tar-split

# Keys that entries have only for the tar-split: a header in base64, as the tar-split has it, and a number.
_HEADER, _CRC = "header", "crc64"


class ChunkedBlob(toc_layer.TocBlob):
    """Writes the blob of a zstd:chunked layer or of a layer part."""

    def __init__(self, count: Count, *, storing: bool = False) -> None:
        """Begin a blob, as in `TocBlob`. If `storing` is true, stores incompressible data without compression."""
        from fastcrc import crc64

        super().__init__(count)
        self._frame = zstd.frames(storing=storing, alone=True)
        self._crc64 = crc64.go_iso
        self._annotations: tuple[tuple[str, str], ...] = ()

    def compress(self, member: TocMember) -> bytes:
        """Compress `member` as one frame, or as several frames if `member` exceeds `_FRAME` bytes."""
        tar = b"".join([member.data, *member.records])
        return self._frame(tar) if len(tar) <= _FRAME else b"".join(map(self._frame, xz.split([tar], _FRAME)))

    def add_header(self, entry: TocEntry, header: bytes) -> None:
        """Store the header of a member in the member's entry."""
        entry[_HEADER] = _base64(header)

    def add_contents(self, entry: TocEntry, data: bytes) -> None:
        """Update the CRC-64 (ISO 3309, as in Go) in a file's entry. `data` is the next piece of the file."""
        entry[_CRC] = self._crc64(data, entry.get(_CRC, 0))

    def end(self) -> Iterator[bytes]:
        """Yield the end of the tar, the table, the tar-split, and the offsets of the table and the tar-split."""
        split = _take_tar_split(self.entries)
        packed_split = zstd.table(split)
        fields = {
            "version": 1,
            "entries": _formatted(self.entries, self.size),
            "tarSplitDigest": digest_of(packed_split),
        }
        table = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        packed_table = zstd.table(table)
        end = self._frame(END)
        self.count(END)
        table_at = self.size + len(end) + _SKIPPED.size
        split_at = table_at + len(packed_table) + _SKIPPED.size
        places = (table_at, len(packed_table), len(table)), (split_at, len(packed_split), len(split))
        yield end
        for data in (packed_table, packed_split, _FOOTER.pack(*places[0], _CRFS, *places[1], _MAGIC)):
            yield _SKIPPED.pack(_SKIPPED_MAGIC, len(data)) + data
        self._annotations = (
            (TOC_DIGEST, digest_of(packed_table)),
            (TOC_PLACE, ":".join(map(str, (*places[0], _CRFS)))),
            (TAR_SPLIT_PLACE, ":".join(map(str, places[1]))),
        )

    def annotations(self, uncompressed_size: int) -> tuple[tuple[str, str], ...]:
        """Return the annotations: the digest of the table, and the offsets of the table and the tar-split."""
        del uncompressed_size
        return self._annotations


def _formatted(entries: list[TocEntry], end: int) -> list[TocEntry]:
    whole: TocEntry = {}
    before: TocEntry = {}  # the file with the preceding contents
    for entry in entries:
        if entry["type"] != "chunk":
            whole = entry
        if "offset" in entry:
            before["endOffset"] = entry["offset"]
            before = whole
            if entry is not whole:
                entry.setdefault("chunkSize", whole["size"] - entry["chunkOffset"])
            elif "chunkSize" not in entry:
                del entry["chunkDigest"]
    before["endOffset"] = end
    return entries


def _take_tar_split(entries: list[TocEntry]) -> bytes:
    """Move the headers and the CRC-64s from the entries to a tar-split. Returns the tar-split."""
    lines: list[str] = []
    padding = b""

    def add(kind: int, payload: str | None, more: str = "") -> None:
        quoted = "null" if payload is None else f'"{payload}"'
        lines.append(f'{{"type":{kind},{more}"payload":{quoted},"position":{len(lines)}}}\n')

    for entry in entries:
        if entry["type"] == "chunk":
            continue
        size = entry.get("size", 0)
        header = entry.pop(_HEADER)
        crc = entry.pop(_CRC, None)
        add(_SEGMENT, _base64(padding + a2b_base64(header)) if padding else header)
        name = json.encoder.encode_basestring(entry["name"])
        add(_FILE, None if crc is None else _base64(crc.to_bytes(8, "big")), f'"name":{name},"size":{size},')
        padding = headers.padding(size)
    add(_SEGMENT, _base64(padding + END))
    return "".join(lines).encode()


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
