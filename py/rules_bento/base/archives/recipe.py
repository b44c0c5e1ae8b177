"""Reads and writes recipes: small files that describe how to assemble a blob from ranges of another file.

A gzip layer of a wheel consists mostly of the wheel's own deflate streams. A recipe replaces such a layer in caches.
The recipe contains only bytes that aren't in the wheel. The format is `MAGIC` followed by segments. A segment contains
the number of literal bytes, the offset and size of a range in the wheel, and the literal bytes. In the blob, the
literal bytes precede the range. The layer description, not the recipe, contains the digest of the blob.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from itertools import pairwise

from rules_bento.base.archives.streams import coalesce
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Iterator

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.zipread import ZipMember

MAGIC = b"rules_bento recipe 1\n"
_SEGMENT = struct.Struct("<IQQ")  # bytes of the literal; offset and bytes of the range
_MIN_RANGE = 32  # bytes; a shorter range costs more than a literal
_MAX_HEAD = 64  # bytes of a piece before the range: the header of a gzip member
_MAX_LITERAL = 1 << 20
_MAX_SEGMENTS = 1 << 18  # more than a wheel can have files
_MAX_OFFSET = (1 << 63) - 1  # of a file
_PIECE = 1 << 18


class RecipeWriter:
    """Writes a recipe. For each source member, call `begin`, and then add the pieces with the member's data."""

    def __init__(self, out: BinaryIO, source: BinaryIO) -> None:
        self._out = out
        self._source = source.fileno()
        self._at = self._end = 0  # the part of the member that no piece has contained
        self._literal = bytearray()
        out.write(MAGIC)

    def begin(self, member: ZipMember) -> None:
        """Make `member` the current member for later calls of `add`."""
        header = os.pread(self._source, 30, member.offset)
        self._at = member.offset + 30 + sum(struct.unpack_from("<HH", header, 26))
        self._end = self._at + member.packed_size

    def add(self, piece: bytes) -> None:
        """Add a piece of the blob. Uses ranges of the current member if possible, and literal bytes otherwise."""
        at = 0
        while min(self._end - self._at, len(piece) - at) >= _MIN_RANGE:
            source = os.pread(self._source, min(self._end - self._at, len(piece) - at + 1), self._at)
            # The first byte differs if a layer clears the bit for the last block.
            for skipped in (0, 1):
                start = piece.find(source[skipped : skipped + _MIN_RANGE], at, at + _MAX_HEAD + _MIN_RANGE)
                if start >= 0 and len(source) >= skipped + _MIN_RANGE:
                    break
            else:
                break
            size = _common(piece[start:], source[skipped:])
            self._literal += piece[at:start]
            self._write_segment(self._at + skipped, size)
            self._at += skipped + size
            at = start + size
        self._literal += piece[at:]
        if len(self._literal) > _MAX_LITERAL:
            self.close()

    def close(self) -> None:
        """Write the remaining literal bytes."""
        self._write_segment(0, 0)

    def _write_segment(self, offset: int, size: int) -> None:
        self._out.write(_SEGMENT.pack(len(self._literal), offset, size))
        self._out.write(self._literal)
        self._literal.clear()


def _common(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix in bytes."""
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size
    difference = int.from_bytes(one[:size], "little") ^ int.from_bytes(other[:size], "little")
    return (difference & -difference).bit_length() - 1 >> 3


class Recipe:
    """A parsed recipe. Assembles a blob from literal bytes and a source file. Reads literal bytes only when needed."""

    def __init__(self, path: Path, source: Path) -> None:
        self._path = path
        self._source = source
        self._parts: list[tuple[bool, int, int]] = []  # whether a literal; the offset in its file, and the size
        self._starts = [0]
        try:
            with path.open("rb") as file:
                self._read(file, os.fstat(file.fileno()).st_size)
        except OSError as error:
            remedy = "Build the image again."
            raise BentoError(f"cannot read the file: {error.strerror}", place=str(path), remedy=remedy) from None

    @property
    def size(self) -> int:
        """The size of the blob in bytes."""
        return self._starts[-1]

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the blob's bytes in [`start`, `end`). Raises BentoError if a file is unreadable or too short."""
        end = self.size if end is None else end
        try:
            with self._path.open("rb", buffering=0) as recipe, self._source.open("rb", buffering=0) as source:
                yield from coalesce(self._slices(recipe.fileno(), source.fileno(), start, end))
        except OSError as error:
            problem = f"cannot read the file: {error.strerror}"
            remedy = "Build the image again."
            raise BentoError(problem, place=str(error.filename or self._source), remedy=remedy) from None

    def _read(self, file: BinaryIO, size: int) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            raise self._invalid()
        at = len(MAGIC)
        segments = 0
        while at < size:
            segments += 1
            header = file.read(_SEGMENT.size)
            if len(header) < _SEGMENT.size:
                raise self._invalid()
            literal, offset, length = _SEGMENT.unpack(header)
            at += _SEGMENT.size
            if at + literal > size or offset + length > _MAX_OFFSET or segments > _MAX_SEGMENTS:
                raise self._invalid()
            for part in ((True, at, literal), (False, offset, length)):
                if part[2]:
                    self._parts.append(part)
                    self._starts.append(self._starts[-1] + part[2])
            at += literal
            file.seek(at)

    def _slices(self, recipe: int, source: int, start: int, end: int) -> Iterator[bytes]:
        first = max(0, bisect_right(self._starts, start) - 1)
        for number, (begin, stop) in enumerate(pairwise(self._starts[first:]), first):
            if begin >= end:
                return
            is_literal, offset, _ = self._parts[number]
            low, high = max(start, begin) - begin, min(end, stop) - begin
            while low < high:
                piece = os.pread(recipe if is_literal else source, min(_PIECE, high - low), offset + low)
                if not piece:
                    problem = f"the wheel ends before a part that {self._path} specifies"
                    raise BentoError(problem, place=str(self._source), remedy="Build the image again.")
                yield piece
                low += len(piece)

    def _invalid(self) -> BentoError:
        return BentoError("the file is damaged", place=str(self._path), remedy="Build the image again.")


def assemble(path: Path, source: Path, digest: str, size: int) -> Iterator[bytes]:
    """Yield the pieces of the blob that the recipe at `path` assembles from `source`.

    Raises BentoError before the first piece if the size is wrong, and after the last piece if the digest is wrong.
    """
    import hashlib

    recipe = Recipe(path, source)
    hasher = hashlib.sha256()
    for piece in recipe.pieces() if recipe.size == size else ():
        hasher.update(piece)
        yield piece
    if f"sha256:{hasher.hexdigest()}" != digest:
        problem = f"the layer assembled from the wheel doesn't match the digest {digest}"
        raise BentoError(problem, place=str(source), remedy="Run `bazel clean --expunge`, and build the image again.")
