"""Writes and reads zTOCs, which let soci-snapshotter read single files of a gzip layer that isn't fetched completely.

A zTOC lists the files of a layer, and checkpoints: positions of the gzip stream at which inflating can begin. The bytes
between two checkpoints are a span, the smallest part that the snapshotter fetches. Checkpoints are at the beginnings of
gzip members and, in large members, of deflate blocks. A checkpoint at a block includes the 32 KiB of contents that the
block can refer to. The format is soci-snapshotter's ztoc.fbs (FlatBuffers) and gzip_zinfo.h.

A block can begin at any bit, which zlib's interface doesn't report. Inflating produces no output while it reads the
Huffman codes of a block. Any other 16 bytes of a stream produce output. Therefore, at the end of a span, the stream is
inflated in steps of 16 bytes until a step produces no output. A position near this step is accepted only if inflating
from the position returns the known contents. Otherwise, the span continues.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from itertools import accumulate

from rules_bento.archives import tarread, xz
from rules_bento.archives.zipread import fast_zlib
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.images.layers.deflate_blocks import may_begin, moved
from rules_bento.typing_lite import Any, Callable, Generator, Iterable, Iterator

SPAN = 4 << 20  # minimum bytes of tar between two checkpoints, as in soci

_WINDOW = 32 << 10
_PIECE = 1 << 18  # bytes of a layer
_MAX_OUTPUT = 1 << 20  # bytes of output at once; deflate can expand input a thousand times
_STEP = 16  # bytes of a stream: more than the longest symbol, but less than half of the codes of most blocks
_SEARCHED = 64 << 10  # bytes of a stream to search for the beginning of a block
_RETRY = 1 << 20  # bytes of tar after which an unsuccessful search is repeated
_CODES = 192  # bytes before the search that can contain the codes of a block
_BEGIN = 12  # bytes that show whether a block can begin at one of the first eight bits
_SAMPLE = 600  # bytes of a block to inflate, including its codes
_MIN_SAMPLE = 64  # bytes of output that confirm the beginning of a block
_GZIP = 31  # zlib's number for gzip's header and checksum

_HEADER, _HEADER_SIZE = b"\x1f\x8b\x08\0", 10  # the beginning and the size of a gzip header without optional fields
_KINDS = {"file": "reg", "folder": "dir", "link": "symlink", "hard link": "hardlink"}
_XATTR = "SCHILY.xattr."  # prefix of the keys of extended attributes


class Checkpoint(NamedTuple):
    """Describes a position at which inflating can begin."""

    packed: int  # offset of the first whole byte in the blob
    tar: int  # offset in the tar
    bits: int = 0  # bits of the byte before `packed` that belong to the block
    window: bytes = b""  # contents before the position


class ZtocEntry(NamedTuple):
    """Describes a member of the tar."""

    name: str
    kind: str
    begin: int  # offset of the contents in the tar
    size: int
    mode: int
    uid: int
    gid: int
    modified: str
    link: str
    user: str
    group: str


class _UnsupportedError(Exception):
    """Reports a layer that this module, or soci-snapshotter, doesn't support."""


def make(read: Callable[[int, int], Iterable[bytes]], size: int, where: str) -> bytes:
    """Return the zTOC of a gzip layer of `size` bytes. `read` returns the bytes of the layer between two offsets.

    Returns no bytes for a layer with extended attributes, devices, sparse files, or optional fields of gzip headers.
    The snapshotter fetches such a layer completely. Raises BentoError for a damaged layer.
    """
    # The checkpoints depend on the sizes of the pieces.
    scan = _Scan(xz.split(read(0, size), _PIECE), where)
    try:
        entries = list(scan.entries())
    except _UnsupportedError:
        return b""
    points = scan.checkpoints
    ends = [point.packed for point in points[1:]] + [size]
    digests = [_digest(read(point.packed - (point.bits > 0), end)) for point, end in zip(points, ends, strict=True)]
    return _dump(entries, points, digests, size, scan.size)


def _digest(pieces: Iterable[bytes]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


class _Scan:
    """Inflates a layer, and finds its checkpoints and entries."""

    def __init__(self, pieces: Iterable[bytes], where: str) -> None:
        self.checkpoints: list[Checkpoint] = []
        self.size = 0  # bytes of tar
        self._pieces = pieces
        self._where = where
        self._at = 0  # offset in the layer
        self._tail = b""  # last bytes of the tar
        self._search_from = SPAN  # bytes of tar

    def entries(self) -> Iterator[ZtocEntry]:
        """Yield the entries of the tar. Exhausting the iterator also records all checkpoints."""
        stream = tarread.PieceReader(self._tar(), self._where)
        for member, _ in tarread.members(stream, tarread.SYSTEM):
            if member.kind not in _KINDS or any(key.startswith(_XATTR) for key in member.attributes):
                raise _UnsupportedError
            yield _entry(member, stream.position)

    def _tar(self) -> Iterator[bytes]:
        member: Any = None
        waiting = b""
        for piece in self._pieces:
            waiting += piece
            while waiting:
                if member is None:
                    if len(waiting) < _HEADER_SIZE:
                        break  # the header continues in the next piece
                    if not waiting.startswith(_HEADER):
                        raise _UnsupportedError
                    member = fast_zlib().decompressobj(_GZIP)
                    if not self.checkpoints or self.size - self.checkpoints[-1].tar >= SPAN:
                        self._add(Checkpoint(self._at + _HEADER_SIZE, self.size))
                end = yield from self._inflated(member, waiting)
                self._at += end
                waiting = waiting[end:]
                if member.eof:
                    member = None
        if member or waiting:
            raise BentoError(f"{self._where}: the gzip data is truncated or damaged. Build the layer again.")

    def _add(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)
        self._search_from = checkpoint.tar + SPAN

    def _inflated(self, member: Any, data: bytes) -> Generator[bytes, None, int]:
        """Yield the output for `data`. Returns the number of bytes that belong to the gzip member."""
        at, is_full = 0, False
        while not member.eof and (at < len(data) or is_full):
            most = min(self._search_from - self.size, _MAX_OUTPUT)
            if most <= 0 and len(data) - at > 3 * _SAMPLE:
                at, output = self._search(member, data, at)
                is_full = False
            else:
                output = self._decompress(member, data[at:], most if most > 0 else _MAX_OUTPUT)
                self._count(output)
                at = len(data) - len(member.unconsumed_tail)
                is_full = len(output) >= most > 0 or len(output) == _MAX_OUTPUT  # there can be more output
            yield output
        return at - len(member.unused_data)

    def _decompress(self, member: Any, data: bytes, most: int = _MAX_OUTPUT) -> bytes:
        try:
            output: bytes = member.decompress(data, most)
        except fast_zlib().error as error:
            raise BentoError(f"{self._where}: damaged gzip data ({error}). Build the layer again.") from None
        return output

    def _count(self, output: bytes) -> None:
        self.size += len(output)
        self._tail = output[-_WINDOW:] if len(output) >= _WINDOW else (self._tail + output)[-_WINDOW:]

    def _search(self, member: Any, data: bytes, at: int) -> tuple[int, bytes]:
        """Inflate until a block begins, and record a checkpoint. Returns the offset of the rest, and the output."""
        outputs = []
        first, last = at, min(at + _SEARCHED, len(data) - 2 * _SAMPLE)
        while at < last and not member.eof:
            output = self._decompress(member, data[at : at + _STEP])
            at += _STEP
            if not output:
                break
            outputs.append(output)
        output = b"".join(outputs)
        self._count(output)
        self._search_from = self.size + _RETRY
        if at >= last or member.eof:
            return at, output
        known = self._decompress(member, data[at : at + _SAMPLE])
        first = at - 2 * _STEP if outputs else max(0, first - _CODES)
        bit = _block_begin(data, range(first, at), self._tail, known)
        if bit:
            self._add(Checkpoint(self._at + (bit + 7) // 8, self.size, -bit % 8, self._tail))
        self._count(known)
        return at + _SAMPLE, output + known


def _block_begin(data: bytes, places: Iterable[int], window: bytes, known: bytes) -> int:
    """Return the bit in `data` at which a block with the contents `known` begins, or 0."""
    for at in places:
        value = int.from_bytes(data[at : at + _BEGIN], "little")
        for bit in range(8):
            if value >> bit & 6 == 4 and may_begin(value >> bit, 0):
                packed = moved(bit, data[at]) + data[at + 1 : at + _SAMPLE]
                try:
                    output = zlib.decompressobj(-15, zdict=window).decompress(packed, len(known))
                except zlib.error:
                    continue
                if len(output) >= _MIN_SAMPLE and known.startswith(output):
                    return 8 * at + bit
    return 0


def _entry(member: tarread.TarMember, begin: int) -> ZtocEntry:
    header, attributes = member.header, member.attributes
    user, group = (_text(header[at : at + 32]) if header.startswith(b"ustar", 257) else "" for at in (265, 297))
    modified = attributes.get("mtime") or str(int(header[136:148].strip(b"\0 ") or b"0", 8))
    return ZtocEntry(
        member.name, _KINDS[member.kind], begin, member.size, member.mode, member.uid, member.gid, _time(modified),
        member.link, attributes.get("uname", user), attributes.get("gname", group),
    )  # fmt: skip


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


@lru_cache(maxsize=64)  # files of a package have few different times
def _time(seconds: str) -> str:
    from datetime import datetime, timezone

    whole, _, fraction = seconds.partition(".")
    text = f"{datetime.fromtimestamp(int(whole), timezone.utc):%Y-%m-%dT%H:%M:%S}"
    return text + (f".{fraction[:9]}".rstrip("0").rstrip(".")) + "Z"


# FlatBuffers: a table begins with the distance to its vtable, which contains the offset of each field in the table, or
# 0. A reference is the distance to a later position. Positions of 64-bit numbers are multiples of 8.
_FILE = struct.Struct("<iIqqqIIIIIII4x")  # vtable, name, begin, size, mode, uid, gid, kind, time, link, user, group
_FIELDS = {  # name to the offsets of the fields in a table, and the size of the table
    "ztoc": ((4, 8, 16, 24, 12, 32), 40),
    "toc": ((4,), 8),
    "info": ((0, 4, 8, 12), 16),
    "file": ((4, 40, 8, 16, 48, 24, 32, 36, 52, 56, 44), _FILE.size),
}
TOOL = "rules_bento"


_CHECKPOINT = struct.Struct("<qqB")


class _Strings:
    """Collects strings that several tables refer to."""

    def __init__(self, base: int) -> None:
        self.data = bytearray()
        self._base = base
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Return the position of a string."""
        if text not in self._places:
            self._places[text] = self._base + len(self.data)
            self.data += _string(text)
        return self._places[text]


def _string(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogateescape")
    return struct.pack("<I", len(encoded)) + encoded + bytes(8 - (len(encoded) + 4) % 8)


def _references(begin: int, places: list[int]) -> bytes:
    """Return a vector of references at position `begin`."""
    distances = (place - begin - 4 - 4 * number for number, place in enumerate(places))
    return struct.pack(f"<{len(places) + 1}I", len(places), *distances)


def _dump(entries: list[ZtocEntry], points: list[Checkpoint], digests: list[str], size: int, tar_size: int) -> bytes:
    """Return the FlatBuffer: vtables, tables, references, files, references to digests, strings, checkpoints."""
    vtables, vtable = bytearray(8), {}
    for name, (fields, length) in _FIELDS.items():
        vtable[name] = len(vtables)
        vtables += struct.pack(f"<HH{len(fields)}H", 4 + 2 * len(fields), length, *fields)
        vtables += bytes(-len(vtables) % 8)
    root = len(vtables)
    toc, info, listing = root + 40, root + 48, root + 64
    names = [_string(entry.name) for entry in entries]
    first = listing + 4 + 4 * len(entries)
    *starts, vector = accumulate((_FILE.size + len(name) for name in names), initial=first + -first % 8)
    strings = _Strings(vector + 4 + 4 * len(digests))
    files = [
        _file(entry, start, strings, vtable["file"]) + name
        for entry, start, name in zip(entries, starts, names, strict=True)
    ]
    version, tool = map(strings.place, ("0.9", TOOL))
    places = [strings.place(digest) for digest in digests]
    blob = vector + 4 + 4 * len(digests) + len(strings.data)
    struct.pack_into("<I", vtables, 0, root)
    table = (root - vtable["ztoc"], version - root - 4, tool - root - 8, toc - root - 12, size, tar_size)
    return b"".join(
        (
            vtables,
            struct.pack("<iIIIqqI4x", *table, info - root - 32),
            struct.pack("<iI", toc - vtable["toc"], listing - toc - 4),
            struct.pack("<iiII", info - vtable["info"], len(points) - 1, vector - info - 8, blob - info - 12),
            _references(listing, starts),
            bytes(-first % 8),
            *files,
            _references(vector, places),
            strings.data,
            struct.pack("<IIq", 12 + len(points) * (_CHECKPOINT.size + _WINDOW), len(points), SPAN),
            *(_CHECKPOINT.pack(*point[:3]) + point.window.rjust(_WINDOW, b"\0") for point in points),
        )
    )


def _file(entry: ZtocEntry, at: int, strings: _Strings, vtable: int) -> bytes:
    place = strings.place
    return _FILE.pack(
        at - vtable, _FILE.size - 4, entry.begin, entry.size, entry.mode, entry.uid, entry.gid,
        place(entry.kind) - at - 40, place(entry.modified) - at - 44, place(entry.link) - at - 48,
        place(entry.user) - at - 52, place(entry.group) - at - 56,
    )  # fmt: skip


class Index(NamedTuple):
    """Holds the positions in a zTOC."""

    spans: list[int]  # offsets of the spans in the tar
    files: dict[str, tuple[int, int]]  # name to the offset and the size of the contents in the tar


def read(data: bytes) -> Index:
    """Return the positions in a zTOC."""

    def number(at: int, form: str = "I") -> int:
        return int(struct.unpack_from(f"<{form}", data, at)[0])

    def field(table: int, slot: int) -> int:
        return table + number(table - number(table, "i") + 4 + 2 * slot, "H")

    def follow(table: int, slot: int) -> int:
        return field(table, slot) + number(field(table, slot))

    root = number(0)
    blob = follow(follow(root, 5), 3) + 4
    spans = [number(blob + 20 + at * (_CHECKPOINT.size + _WINDOW), "q") for at in range(number(blob))]
    listing = follow(follow(root, 4), 0)
    files = {}
    for at in range(listing + 4, listing + 4 + 4 * number(listing), 4):
        table = at + number(at)
        name = follow(table, 0)
        text = data[name + 4 : name + 4 + number(name)].decode("utf-8", "surrogateescape")
        files[text] = number(field(table, 2), "q"), number(field(table, 3), "q")
    return Index(spans, files)
