"""Writes zTOCs. With a zTOC, soci-snapshotter reads files of a gzip layer without fetching the complete layer.

A zTOC lists the files and the checkpoints of a layer. A checkpoint is a position in the gzip stream at which inflating
can begin. The bytes between two checkpoints are a span, the smallest part that the snapshotter fetches. Checkpoints are
at the beginnings of gzip members and, in large members, of deflate blocks. A checkpoint at a block includes the 32 KiB
of contents that the block can refer to. The format is soci-snapshotter's ztoc.fbs (FlatBuffers) and gzip_zinfo.h.

zlib doesn't report at which bit a block begins. Therefore, at the end of a span, this module searches for a block. The
module inflates the stream in steps of 16 bytes until a step produces no output. Such a step is in the Huffman codes at
the beginning of a block. The module then tests the positions near the step. A position is accepted if inflating from
the position returns the known contents. If no position is accepted, the span continues.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

from rules_bento.base.archives import streams, tarread
from rules_bento.base.archives.zipread import fast_zlib
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Callable, Generator, Iterable, Iterator, Sequence
from rules_bento.images.layers import layer

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
_CHECKPOINT = struct.Struct("<qqB")
_ALGORITHM = 1  # gzip, in ztoc.fbs
TOOL = "rules_bento"
_DYNAMIC = 2  # kind of a block with codes of its own (RFC 1951, 3.2.3)
_COMPLETE = 1 << 7  # the sum for the lengths of a complete code
# Empty blocks, as value and width: with fixed codes, and with their own codes.
_EMPTY_FIXED = 0b010, 10
_EMPTY_DYNAMIC = 0x46AFF810000000000081E104, 95
_TYPES = {"file": "reg", "folder": "dir", "link": "symlink", "hard link": "hardlink"}
_XATTR = "SCHILY.xattr."  # prefix of the keys of extended attributes


class Checkpoint(NamedTuple):
    """A position in a gzip stream at which decompression can begin."""

    packed: int  # offset of the first whole byte in the blob
    tar: int  # offset in the tar
    bits: int = 0  # bits of the byte before `packed` that belong to the block
    window: bytes = b""  # contents before the position


class ZtocEntry(NamedTuple):
    """A zTOC entry, which describes one member of the tar archive."""

    name: str
    kind: str
    begin: int  # offset of the contents in the tar
    size: int
    link: str
    mode: int
    uid: int
    gid: int
    user: str
    group: str
    modified: str


class _UnsupportedError(Exception):
    """Raised for a layer that this module or soci-snapshotter doesn't support."""


def make(read: Callable[[int, int], Iterable[bytes]], size: int, where: str) -> bytes:
    """Return the zTOC of a gzip layer with `size` bytes. `read` returns the bytes between two offsets.

    Returns b"" for a layer with extended attributes, devices, pipes, sparse files, or optional fields in gzip
    headers. The snapshotter fetches such a layer completely. Raises BentoError for a damaged layer.
    """
    # The checkpoints depend on the sizes of the pieces.
    scan = _Scan(streams.split(read(0, size), _PIECE), where)
    try:
        entries = list(scan.entries())
    except _UnsupportedError:
        return b""
    points = scan.checkpoints
    ends = [point.packed for point in points[1:]] + [size]
    digests = [_digest(read(point.packed - (point.bits > 0), end)) for point, end in zip(points, ends, strict=True)]
    return _dump(entries, points, digests, size, scan.size)


def _digest(pieces: Iterable[bytes]) -> str:
    span = layer.Sum()
    for piece in pieces:
        span.add(piece)
    return span.digest


class _Scan:
    """Inflates a layer, and finds the layer's checkpoints and entries."""

    def __init__(self, pieces: Iterable[bytes], where: str) -> None:
        self.checkpoints: list[Checkpoint] = []
        self.size = 0  # bytes of tar
        self._pieces = pieces
        self._where = where
        self._at = 0  # offset in the layer
        self._tail = b""  # last bytes of the tar
        self._search_from = SPAN  # bytes of tar

    def entries(self) -> Iterator[ZtocEntry]:
        """Yield the entries of the tar. All checkpoints are known when the iterator is exhausted."""
        stream = tarread.PieceReader(self._tar(), self._where)
        for member, _ in tarread.members(stream, tarread.SYSTEM):
            if member.kind not in _TYPES or any(key.startswith(_XATTR) for key in member.attributes):
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
            remedy = "Build the layer again."
            raise BentoError("the gzip data is truncated or damaged", place=self._where, remedy=remedy)

    def _add(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)
        self._search_from = checkpoint.tar + SPAN

    def _inflated(self, member: Any, data: bytes) -> Generator[bytes, None, int]:
        """Inflate `data`, and yield the output. Returns how many bytes of `data` belong to the gzip member."""
        at, is_full = 0, False
        while not member.eof and (at < len(data) or is_full):
            most = min(self._search_from - self.size, _MAX_OUTPUT)
            if most <= 0 and len(data) - at > 3 * _SAMPLE:
                at, output = self._search(member, data, at)
                is_full = False
            else:
                output = self._decompress(member, data[at:], most if most > 0 else _MAX_OUTPUT)
                self._count(output)
                at = len(data) - (0 if member.eof else len(member.unconsumed_tail))  # at the end, it is unused_data
                is_full = len(output) >= most > 0 or len(output) == _MAX_OUTPUT  # there can be more output
            yield output
        return at - len(member.unused_data)

    def _decompress(self, member: Any, data: bytes, most: int = _MAX_OUTPUT) -> bytes:
        try:
            output: bytes = member.decompress(data, most)
        except fast_zlib().error as error:
            remedy = "Build the layer again."
            raise BentoError(f"damaged gzip data ({error})", place=self._where, remedy=remedy) from None
        return output

    def _count(self, output: bytes) -> None:
        self.size += len(output)
        self._tail = output[-_WINDOW:] if len(output) >= _WINDOW else (self._tail + output)[-_WINDOW:]

    def _search(self, member: Any, data: bytes, at: int) -> tuple[int, bytes]:
        """Inflate `data`, starting at offset `at`, and search for a block. If a block is found, adds a checkpoint.

        Returns the offset in `data` at which the caller must resume inflating, and the output up to this offset.
        """
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
    """Search the byte offsets `places` in `data` for a block that inflates to `known`. Returns the bit offset, or 0."""
    for at in places:
        value = int.from_bytes(data[at : at + _BEGIN], "little")
        for bit in range(8):
            if _may_begin(value >> bit):
                packed = moved(bit, data[at]) + data[at + 1 : at + _SAMPLE]
                try:
                    output = zlib.decompressobj(-15, zdict=window).decompress(packed, len(known))
                except zlib.error:
                    continue
                if len(output) >= _MIN_SAMPLE and known.startswith(output):
                    return 8 * at + bit
    return 0


def _may_begin(value: int) -> bool:
    """Return whether `value` can be the beginning of a block with dynamic codes: its counts and a complete code."""
    if value >> 1 & 3 != _DYNAMIC or value >> 3 & 31 > 29 or value >> 8 & 31 > 29:
        return False
    lengths = [value >> shift & 7 for shift in range(17, 17 + 3 * ((value >> 13 & 15) + 4), 3)]
    return sum(_COMPLETE >> length for length in lengths if length) == _COMPLETE


def moved(bit: int, byte: int) -> bytes:
    """Return bytes that replace `byte` at the start of a stream, with empty blocks instead of the bits before `bit`."""
    value, width = _EMPTY_DYNAMIC if bit & 1 else (0, 0)
    while width % 8 != bit:
        value |= _EMPTY_FIXED[0] << width
        width += _EMPTY_FIXED[1]
    value |= byte >> bit << width
    return value.to_bytes(width // 8 + 1, "little")


def _entry(member: tarread.TarMember, begin: int) -> ZtocEntry:
    header, attributes = member.header, member.attributes
    user, group = (_text(header[at : at + 32]) if header.startswith(b"ustar", 257) else "" for at in (265, 297))
    modified = attributes.get("mtime") or str(int(header[136:148].strip(b"\0 ") or b"0", 8))
    return ZtocEntry(
        member.name, _TYPES[member.kind], begin, member.size, member.link, member.mode, member.uid, member.gid,
        attributes.get("uname", user), attributes.get("gname", group), _time(modified),
    )  # fmt: skip


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _time(seconds: str) -> str:
    whole, _, fraction = seconds.partition(".")
    return _utc_time(int(whole)) + f".{fraction[:9]}".rstrip("0").rstrip(".") + "Z"


@lru_cache(maxsize=64)  # files of a package have few different times
def _utc_time(seconds: int) -> str:
    """Format `seconds` since 1970 as a time in UTC (RFC 3339), without its last character, Z."""
    from datetime import datetime, timezone

    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}"


def _dump(entries: list[ZtocEntry], points: list[Checkpoint], digests: list[str], size: int, tar_size: int) -> bytes:
    """Return the zTOC as a FlatBuffer. The fields of each table have the same order as in ztoc.fbs."""
    writer = _FlatBuffer()
    blob = (
        struct.pack("<IIq", 12 + len(points) * (_CHECKPOINT.size + _WINDOW), len(points), SPAN),
        *(_CHECKPOINT.pack(*point[:3]) + point.window.rjust(_WINDOW, b"\0") for point in points),
    )
    checkpoints = writer.add(b"".join(blob))
    spans = writer.references([writer.string(digest) for digest in digests])
    info = writer.table("IIrr", _ALGORITHM, len(points) - 1, spans, checkpoints)
    files = writer.references([writer.table("rrqqrqIIrrr", *entry) for entry in entries])
    return writer.close(writer.table("rrqqrr", "0.9", TOOL, size, tar_size, writer.table("r", files), info))


class _FlatBuffer:
    """Writer of a FlatBuffer. Objects are added from last to first, and positions count bytes from the end.

    A table begins with the distance to its vtable, which contains the offset of each field in the table. A reference
    is the distance to a later position. Therefore, a buffer is written from the end. Objects begin at multiples of 8
    bytes.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._known: dict[bytes, int] = {}  # strings and vtables, which several objects share

    def add(self, data: bytes) -> int:
        """Add an object. Returns its position."""
        self._parts.append(data + bytes(-len(data) % 8))
        self._size += len(self._parts[-1])
        return self._size

    def _share(self, data: bytes) -> int:
        if data not in self._known:
            self._known[data] = self.add(data)
        return self._known[data]

    def string(self, text: str) -> int:
        """Add a string unless the buffer already contains the string. Returns the position of the string."""
        encoded = text.encode("utf-8", "surrogateescape")
        return self._share(struct.pack("<I", len(encoded)) + encoded + b"\0")

    def references(self, positions: Sequence[int]) -> int:
        """Add a vector of references to the objects at `positions`. Returns the position of the vector."""
        first = self._size + (4 * len(positions) + 11 & -8) - 4
        distances = (first - 4 * number - position for number, position in enumerate(positions))
        return self.add(struct.pack(f"<{len(positions) + 1}I", len(positions), *distances))

    def table(self, forms: str, *values: int | str) -> int:
        """Add a table, and return its position. For each value, `forms` has a `struct` code, or `r` for a reference."""
        numbers = [self.string(value) if isinstance(value, str) else value for value in values]
        offsets, size, vtable = _layout(forms)
        table, place = bytearray(size), self._share(vtable)
        begin = self._size + size
        struct.pack_into("<i", table, 0, place - begin)
        for form, offset, number in zip(forms, offsets, numbers, strict=True):
            value = begin - offset - number if form == "r" else number
            struct.pack_into("<q" if form == "q" else "<I", table, offset, value)
        return self.add(bytes(table))

    def close(self, root: int) -> bytes:
        """Finish the buffer, with the table at position `root` as the root table. Returns the buffer."""
        self.add(struct.pack("<I", self._size + 8 - root))
        return b"".join(reversed(self._parts))


@lru_cache(maxsize=8)
def _layout(forms: str) -> tuple[list[int], int, bytes]:
    """Return the field offsets, the size, and the vtable of a table whose fields have the types in `forms`."""
    offsets, end = [], 4
    for form in forms:
        size = 8 if form == "q" else 4
        end += -end % size
        offsets.append(end)
        end += size
    return offsets, end + -end % 8, struct.pack(f"<{len(forms) + 2}H", 2 * len(forms) + 4, end, *offsets)
