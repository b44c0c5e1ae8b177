"""Writes eStargz layers: gzip layers with files that a container can read before the complete layer is fetched.

The format comes from containerd's stargz-snapshotter (docs/estargz.md). A layer is an ordinary gzip file with the
members that `toc_layer` defines. The table of contents is the last file in the tar. An empty gzip member at the end
contains the offset of the table of contents. The module `gzip` reuses the deflate streams of wheels.
"""

from __future__ import annotations

import json
import struct

from rules_bento.archives.tarstream import END
from rules_bento.errors import BentoError
from rules_bento.formats.oci import digest_of
from rules_bento.images.layers import gzip, headers, toc_layer
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from rules_bento.images.layers.gzip import Piece
    from rules_bento.images.layers.toc_layer import Count, TocEntry, TocMember

# Annotations in a manifest: the digest of a layer's table, and the size of its tar, for podman's lazy store.
TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
UNCOMPRESSED_SIZE = "io.containers.estargz.uncompressed-size"
FOOTER_SIZE = 51  # bytes of the member at the end
_TABLE = "stargz.index.json"
_PREFETCH, _NO_PREFETCH = ".prefetch.landmark", ".no.prefetch.landmark"
_LANDMARK_CONTENTS = b"\x0f"
# Names of the file that follows the prefetched files, or that marks a layer without prefetched files.
LANDMARKS = frozenset((_PREFETCH, _NO_PREFETCH))
_RESERVED = LANDMARKS | {_TABLE}


class EstargzBlob(toc_layer.TocBlob):
    """Writes the blob of an eStargz layer or of a layer part."""

    def __init__(self, count: Count) -> None:
        super().__init__(count)
        self.carries = True
        self._toc_digest = ""
        self._is_marked = False
        self._reserved = _RESERVED

    def compress(self, member: TocMember) -> bytes:
        """Compress `member` as one gzip member, or as two gzip members if the deflate stream isn't joinable."""
        kind, data, packed, _, following, _ = member
        records = b"".join(following)
        if data and kind == gzip.RAW:
            return gzip.compress(data + records)
        pieces: list[Piece] = [(b"", kind, data, packed)] if data else []
        if records:
            pieces.append((records, gzip.RAW, b"", b""))
        return b"".join(gzip.reuse(pieces))

    def add_header(self, entry: TocEntry, header: bytes) -> None:
        """Leave the entry unchanged. Raises BentoError if eStargz reserves the member's name."""
        if entry["name"] in self._reserved:
            raise BentoError(f"{entry['name']}: eStargz reserves this name. Rename the file.")

    def mark(self, name: str = _PREFETCH) -> Iterator[bytes]:
        """Yield a landmark file. The default `name` marks the end of the files to fetch before a container starts."""
        self._reserved, self._is_marked = frozenset(), True
        header = headers.header(name, headers.REGULAR, 0o644, 0, 0, len(_LANDMARK_CONTENTS))
        yield from self.members([header, _LANDMARK_CONTENTS, headers.padding(len(_LANDMARK_CONTENTS))], 1)
        self._reserved = _RESERVED

    def end(self) -> Iterator[bytes]:
        """Yield the table of contents and its offset. If no file is prefetched, yields a landmark before the table."""
        if not self._is_marked:
            yield from self.mark(_NO_PREFETCH)
        fields = {"version": 1, "entries": self.entries}
        table = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        header = headers.header(_TABLE, headers.REGULAR, 0o644, 0, 0, len(table))
        tar = b"".join((header, table, headers.padding(len(table)), END))
        self.count(tar)
        self._toc_digest = digest_of(table)
        yield gzip.compress(tar)
        yield _footer(self.size)

    def annotations(self, uncompressed_size: int) -> tuple[tuple[str, str], ...]:
        """Return the annotations: the digest of the table of contents, and the size of the tar in bytes."""
        return (TOC_DIGEST, self._toc_digest), (UNCOMPRESSED_SIZE, str(uncompressed_size))


def table_offset(footer: bytes) -> int:
    """Parse a layer's footer. Returns the offset of the table of contents. Raises ValueError for an invalid footer."""
    offset = int(footer[16:32], 16)
    if footer != _footer(offset):
        raise ValueError
    return offset


def _footer(offset: int) -> bytes:
    """Return the footer: an empty gzip member of 51 bytes with the offset in an extra field (RFC 1952, 2.3.1.1)."""
    field = b"%016xSTARGZ" % offset
    extra = b"SG" + struct.pack("<H", len(field)) + field
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", len(extra))
    return head + extra + b"\x01\0\0\xff\xff" + bytes(8)  # an empty stored block, its checksum, and its size
