"""Reads layers strictly: only the forms of tar, gzip, and zstd that no two readers understand differently.

Accepts ustar headers (POSIX.1-1988), and extended headers with a path, a target, a size, or IDs (POSIX.1-2001) that the
member needs. Refuses everything else, such as sparse files, extended attributes, data between and after members, and
optional fields of gzip. Such data can be what another program extracts.
"""

from __future__ import annotations

import re
import zlib
from hashlib import sha256

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Callable, Iterable, Iterator

from bento_cli.proofs.expected import Kind, LayerMember

_BLOCK = 512
_PIECE = 1 << 20
_MAX_EXTENDED = 1 << 16
_MAX_TAIL = 20 * _BLOCK  # of zeros after the last member: a record of tar
_MAX_MEMBERS = 500_000  # of an image, which are kept in memory
_MAX_NAME, _MAX_PART, _MAX_DEPTH = 4096, 255, 100  # bytes, in Linux, and directories
_MAX_SHORT = 100  # bytes of a path in a header
# For a field of an extended header: what a header can state, and what it states with the field.
_MOST = {"size": (8**11 - 1, 0), "uid": (8**7 - 1, 8**7 - 1), "gid": (8**7 - 1, 8**7 - 1)}
_FED = {"gzip": 1 << 14, "zstd": 1 << 11}  # bytes at once: for the cost of small members, and the output of frames
_FREE, _RATIO = 1 << 30, 250  # bytes that a layer can always have, and more for each of its compressed bytes
_KINDS: dict[bytes, Kind] = {b"0": "file", b"1": "hard link", b"2": "link", b"5": "directory"}
_OCTAL = re.compile(rb"([0-7]+)[\0 ]+")
_EXTENDED = re.compile(rb"([1-9][0-9]*) (path|linkpath|size|uid|gid)=")
_GZIP_HEADER = b"\x1f\x8b\x08\x00"  # deflate, without optional fields
_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"


class LayerError(BentoError):
    """Raised for a layer in another form. The message is a clause."""


class LayerReader:
    """Reads the members of an image's layers. `keeps` selects the files whose contents are kept, by path and size."""

    def __init__(self, keeps: Callable[[str, int], bool]) -> None:
        self._keeps = keeps
        self._count = 0

    def members(self, layer: int, pieces: Iterable[bytes], media_type: str, diff_id: str) -> Iterator[LayerMember]:
        """Yield the members of a layer. Raises LayerError for another form, and for another diff ID."""
        whole = sha256()

        def counted() -> Iterator[bytes]:
            size, most = 0, [_FREE]
            for piece in _decompressed(_measured(pieces, most), media_type):
                size += len(piece)
                if size > most[0]:
                    raise LayerError(f"expands to more than {_RATIO} times its size")
                whole.update(piece)
                yield piece

        stream = _Stream(counted())
        while any(block := stream.read(_BLOCK)):
            self._count += 1
            if self._count > _MAX_MEMBERS:
                raise LayerError(f"the image has more than {_MAX_MEMBERS} members")
            yield self._member(layer, stream, block)
        tail = _BLOCK
        for piece in stream.rest():
            tail += len(piece)
            if any(piece) or tail > _MAX_TAIL:
                raise LayerError("has data after the last member")
        if tail < 2 * _BLOCK:
            raise LayerError("has no end")
        if f"sha256:{whole.hexdigest()}" != diff_id:
            raise LayerError(f"isn't {diff_id}, which the config states")

    def _member(self, layer: int, stream: _Stream, block: bytes) -> LayerMember:
        extended: dict[str, str] = {}
        if block[156:157] == b"x":
            size = _header(block)["size"]
            if not 0 < size <= _MAX_EXTENDED:
                raise LayerError("has an extended header of an unusual size")
            extended = _extensions(stream.padded(size))
            block = stream.read(_BLOCK)
        fields = _header(block)
        for name in extended.keys() & _MOST.keys():
            most, stated = _MOST[name]
            if int(extended[name]) <= most or fields[name] != stated:
                raise LayerError(f"has an extended header with a {name} that it doesn't need")
            fields[name] = int(extended[name])
        flag, size = block[156:157], fields["size"]
        prefix, name, link = (_text(block[a:b]) for a, b in ((345, 500), (0, 100), (157, 257)))
        path = _extended(f"{prefix}/{name}" if prefix else name, extended.get("path"))
        link = _extended(link, extended.get("linkpath"))
        if (kind := _KINDS.get(flag)) is None:
            raise LayerError(f"{path!r} is of the kind {flag!r}")
        if kind == "directory":
            if not path.endswith("/"):
                raise LayerError(f"{path!r} is a directory without a slash")
            path = path[:-1]
        _check_path(path)
        if (kind != "file" and size) or (kind in ("link", "hard link")) != bool(link):
            raise LayerError(f"{path!r} has contents or a target, which its kind doesn't have")
        if kind == "hard link":
            _check_path(link)
        member = LayerMember(layer, path, kind, fields["mode"], fields["uid"], fields["gid"], size, link=link)
        if kind != "file":
            return member
        hashed = sha256()
        kept: list[bytes] | None = [] if self._keeps(path, size) else None
        for piece in stream.contents(size):
            hashed.update(piece)
            if kept is not None:
                kept.append(bytes(piece))
        return member._replace(digest=hashed.hexdigest(), content=None if kept is None else b"".join(kept))


def _extended(short: str, complete: str | None) -> str:
    """Return the path of a header and an extended header. A reader without extended headers sees its beginning."""
    if complete is None:
        return short
    if len(complete) <= _MAX_SHORT and complete.isascii():
        raise LayerError(f"has an extended header with {complete!r}, which doesn't need it")
    if complete.encode("ascii", "replace")[:_MAX_SHORT].decode() != short:
        raise LayerError(f"has an extended header with {complete!r} for {short!r}")
    return complete


def _check_path(path: str) -> None:
    parts = path.split("/")
    if {"", ".", ".."} & {*parts} or "\0" in path or len(path.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        raise LayerError(f"{path!r} isn't a normalized path")
    if len(parts) > _MAX_DEPTH or any(len(part.encode("utf-8", "surrogateescape")) > _MAX_PART for part in parts):
        raise LayerError(f"{path!r} has a name of more than {_MAX_PART} bytes, or more than {_MAX_DEPTH} directories")


class _Stream:
    """Reads a sequence of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def some(self, most: int) -> memoryview:
        """Return the next bytes, at least one and at most `most`. Raises LayerError at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                raise LayerError("ends within a member")
            self._left = memoryview(piece)
        found, self._left = self._left[:most], self._left[most:]
        return found

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        if len(self._left) >= size:
            return bytes(self.some(size))
        found = bytearray()
        while len(found) < size:
            found += self.some(size - len(found))
        return bytes(found)

    def contents(self, size: int) -> Iterator[memoryview]:
        """Yield `size` bytes, and check the padding, which must be zeros."""
        left = size
        while left:
            piece = self.some(left)
            left -= len(piece)
            yield piece
        if any(self.read(-size % _BLOCK)):
            raise LayerError("has data between members")

    def padded(self, size: int) -> bytes:
        """Return `size` bytes, and check the padding."""
        return b"".join(self.contents(size))

    def rest(self) -> Iterator[bytes]:
        """Yield all that is left."""
        yield bytes(self._left)
        yield from self._pieces


def _header(block: bytes) -> dict[str, int]:
    """Return the numbers of a ustar header. Raises LayerError for values that readers understand differently."""
    fields = {"mode": (100, 108), "uid": (108, 116), "gid": (116, 124), "size": (124, 136), "mtime": (136, 148)}
    numbers = {}
    for name, (begin, end) in {**fields, "checksum": (148, 156)}.items():
        match = _OCTAL.fullmatch(block[begin:end])
        if not match:
            raise LayerError(f"has a header whose {name} is {block[begin:end]!r}")
        numbers[name] = int(match[1], 8)
    if sum(block[:148]) + 8 * 32 + sum(block[156:]) != numbers["checksum"]:
        raise LayerError("has a header with a wrong checksum")
    # Names of users win over IDs, and a time makes Python distrust bytecode.
    if block[257:265] != b"ustar\x0000" or any(block[265:329]) or any(block[500:]) or numbers["mtime"]:
        raise LayerError("has a header with names of users, a time, or unknown fields")
    if block[329:345].strip(b"0\0 "):
        raise LayerError("has a header of a device")
    return numbers


def _text(field: bytes) -> str:
    text, _, rest = field.partition(b"\0")
    if any(rest):
        raise LayerError("has a header with data after a name")
    return text.decode("utf-8", "surrogateescape")


def _extensions(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = _EXTENDED.match(data, at)
        end = at + int(match[1]) if match else 0
        if not match or match[2].decode() in found or end > len(data) or end <= match.end() or data[end - 1] != 10:
            raise LayerError("has an extended header with other fields than paths, sizes, and IDs")
        name, value = match[2].decode(), data[match.end() : end - 1]
        if name not in ("path", "linkpath") and not re.fullmatch(rb"[1-9][0-9]{0,18}", value):
            raise LayerError(f"has an extended header whose {name} is {value!r}")
        found[name] = value.decode("utf-8", "surrogateescape")
        at = end
    return found


def _measured(pieces: Iterable[bytes], most: list[int]) -> Iterator[bytes]:
    for piece in pieces:
        most[0] += _RATIO * len(piece)
        yield piece


def _decompressed(pieces: Iterator[bytes], media_type: str) -> Iterator[bytes]:
    """Yield the tar in pieces of limited size."""
    if media_type.endswith("+gzip"):
        return _gunzip(_split(pieces, _FED["gzip"]))
    if media_type.endswith("+zstd"):
        return _unzstd(_split(pieces, _FED["zstd"]))
    return pieces


def _split(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    return (piece[at : at + size] for piece in pieces for at in range(0, len(piece), size))


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    data = b""
    while data := _filled(data, pieces, 10):
        if not data.startswith(_GZIP_HEADER) or any(data[4:8]):
            raise LayerError("has data that isn't gzip, or optional fields of gzip")
        inflate = zlib.decompressobj(31)
        while not inflate.eof:
            if not data and (data := next(pieces, b"")) == b"":
                raise LayerError("ends within gzip data")
            try:
                yield inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise LayerError(f"has damaged gzip data ({error})") from None
            data = inflate.unconsumed_tail
        data = inflate.unused_data


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    data = b""
    while data := _filled(data, pieces, 4):
        if not data.startswith(_ZSTD_FRAME):
            raise LayerError("has data that isn't a frame of zstd")
        frame: Any = decompressor.decompressobj()
        while not frame.eof:
            if not data and (data := next(pieces, b"")) == b"":
                raise LayerError("ends within zstd data")
            try:
                yield frame.decompress(data)
            except zstandard.ZstdError as error:
                raise LayerError(f"has damaged zstd data ({error})") from None
            data = frame.unused_data


def _filled(data: bytes, pieces: Iterator[bytes], size: int) -> bytes:
    """Return `data` with more pieces until it has `size` bytes, or the pieces end."""
    while len(data) < size and (piece := next(pieces, b"")):
        data += piece
    return data
