"""Reads layers strictly: only members that have one encoding, which all readers understand in the same way.

A layer must consist of the bytes that `_headers` computes from what a lenient reader finds in it: ustar headers
(POSIX.1-1988), and extended headers (POSIX.1-2001) for a path, a target, or a size that needs one. Therefore, a layer
can't contain anything that another program would extract, such as data between and after members. Compressed data must
have no optional fields, and only plain streams.
"""

from __future__ import annotations

from hashlib import sha256

from rules_bento.base.archives import streams, tarread
from rules_bento.base.archives.tarread import RECORD
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator

from bento_cli.proofs.expected import Kind, LayerMember

if TYPE_CHECKING:
    from rules_bento.base.archives.tarread import TarMember

_PLACE = "layer"
_MAX_TAIL = 20 * RECORD  # of zeros after the last member: a record of tar
_MAX_MEMBERS = 500_000  # of an image, which are kept in memory
_MAX_NAME, _MAX_PART, _MAX_DEPTH = 4096, 255, 100  # bytes, in Linux, and directories
_MAX_HEADERS = 1 << 16  # bytes of the headers of one member
_MAX_SHORT, _MAX_SIZE = 100, 8**11 - 1  # bytes of a path in a header, and of a file
_FED = 1 << 12  # bytes at once, which limit the cost of small streams
_FREE, _RATIO = 1 << 30, 250  # bytes that a layer can always have, and more for each of its compressed bytes
_KINDS: dict[bytes, Kind] = {b"0": "file", b"1": "hard link", b"2": "link", b"5": "directory"}
# The name of the decoder, and the beginning of a plain stream.
_FORMS = {"gzip": ("gz", b"\x1f\x8b\x08" + bytes(5)), "zstd": ("zst", b"\x28\xb5\x2f\xfd")}


class LayerError(BentoError):
    """Raised for a layer in another form. The message is a clause."""


class LayerReader:
    """Reads the members of an image's layers. `keeps` selects the files whose contents are kept, by path and size."""

    def __init__(self, keeps: Callable[[str, int], bool]) -> None:
        self._keeps = keeps
        self._count = 0

    def members(self, layer: int, pieces: Iterable[bytes], media_type: str, diff_id: str) -> Iterator[LayerMember]:
        """Yield the members of a layer. Raises LayerError for another form, and for another diff ID."""
        whole, size, end, seen = sha256(), 0, 0, set[str]()

        def hashed() -> Iterator[bytes]:
            for piece in _unpacked(pieces, media_type.partition("+")[2]):
                whole.update(piece)
                yield piece

        stream = _Stream(hashed(), _PLACE)
        try:
            for member, contents in tarread.members(stream, ["hard link"]):
                self._count += 1
                if self._count > _MAX_MEMBERS:
                    raise LayerError(f"the image has more than {_MAX_MEMBERS} members")
                known = (bytes(-size % RECORD) + _headers(member, mode) for mode in (0, 0o644))
                if member.header[156:157] not in _KINDS or stream.other not in known:
                    raise LayerError(f"{member.name!r} has an unusual header, or data before it")
                found = self._read(layer, member, contents)
                if found.path in seen:  # which podman refuses, even for a directory
                    raise LayerError(f"has {found.path!r} twice")
                seen.add(found.path)
                yield found
                stream.other, size, end = b"", member.size, stream.position
        except BentoError as error:
            if error.place != _PLACE:
                raise
            raise LayerError(f"is invalid: {error.problem}") from None
        if any(stream.other) or stream.position - end > _MAX_TAIL:
            raise LayerError("has data after the last member")
        if f"sha256:{whole.hexdigest()}" != diff_id:
            raise LayerError(f"isn't {diff_id}, which the config states")

    def _read(self, layer: int, member: TarMember, contents: Iterable[bytes | memoryview]) -> LayerMember:
        path, kind = member.name, _KINDS[member.header[156:157]]
        if kind == "directory":
            if not path.endswith("/"):
                raise LayerError(f"{path!r} is a directory without a slash")
            path = path[:-1]
        _check_path(path)
        if kind == "link" and not member.link:
            raise LayerError(f"{path!r} is a link without a target")
        found = LayerMember(layer, path, kind, member.mode, member.uid, member.gid, member.size, link=member.link)
        if kind != "file":
            return found
        digest = sha256()
        kept: list[bytes] | None = [] if self._keeps(path, member.size) else None
        for piece in contents:
            digest.update(piece)
            if kept is not None:
                kept.append(bytes(piece))
        return found._replace(digest=digest.hexdigest(), content=None if kept is None else b"".join(kept))


class _Stream(tarread.PieceReader):
    """Keeps what isn't contents of members in `other`."""

    other = b""

    def exactly(self, size: int) -> bytes:
        found = super().exactly(size)
        self.other += found
        if len(self.other) > _MAX_HEADERS:
            raise LayerError("has unusually large headers")
        return found

    def skip(self, size: int) -> None:
        self.exactly(size)


def _headers(member: TarMember, mode: int) -> bytes:
    """Return the only header of a member that is accepted, after an extended header if one is there and needed.

    The beginning of a long path can be in the field `prefix`. `mode` is in the extended header, where it means nothing.
    """
    texts = {"path": member.name, "linkpath": member.link}
    short = {key: text.encode("utf-8", "surrogateescape") for key, text in texts.items()}
    prefix, size, data = b"", member.size, b""
    if "path" not in member.attributes and (prefix := member.header[345:500].partition(b"\0")[0]):
        short["path"] = short["path"][len(prefix) + 1 :]
    for key, text in member.attributes.items():
        if texts.get(key) == text and (len(text) > _MAX_SHORT or not text.isascii()):
            short[key] = text.encode("ascii", "replace")[:_MAX_SHORT]
        elif key == "size" and size > _MAX_SIZE:
            size = 0
        else:
            return b""
        line = f" {key}={text}\n".encode("utf-8", "surrogateescape")
        digits = next(digits for digits in range(1, 9) if len(str(digits + len(line))) == digits)
        data += b"%d%b" % (digits + len(line), line)
    extended = _header(b"x", b"././@PaxHeader", b"", b"", len(data), mode) if data else b""
    numbers = size, member.mode, member.uid, member.gid
    header = _header(member.header[156:157], short["path"], prefix, short["linkpath"], *numbers)
    return extended + data + bytes(-len(data) % RECORD) + header


def _header(
    kind: bytes, name: bytes, prefix: bytes, link: bytes, size: int, mode: int, uid: int = 0, gid: int = 0
) -> bytes:
    """Return a ustar header without names of users and a time, which is too long if something doesn't fit into it."""
    before = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(_MAX_SHORT, b"\0"), mode, uid, gid, size, 0)
    after = kind + link.ljust(_MAX_SHORT, b"\0") + b"ustar\x0000".ljust(88, b"\0") + prefix
    checksum = sum(before) + sum(after) + 8 * 0x20  # the checksum itself counts as spaces
    return (b"%b%06o\0 %b" % (before, checksum, after)).ljust(RECORD, b"\0")


def _check_path(path: str) -> None:
    parts = path.split("/")
    if {"", ".", ".."} & {*parts} or "\0" in path or len(path.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        raise LayerError(f"{path!r} isn't a normalized path")
    if len(parts) > _MAX_DEPTH or any(len(part.encode("utf-8", "surrogateescape")) > _MAX_PART for part in parts):
        raise LayerError(f"{path!r} has a name of more than {_MAX_PART} bytes, or more than {_MAX_DEPTH} directories")


def _unpacked(pieces: Iterable[bytes], form: str) -> Iterator[bytes]:
    """Yield the tar in pieces of limited size. Another `form` than `gzip` or `zstd` is a tar."""
    packed = size = 0

    def counted() -> Iterator[bytes]:
        nonlocal packed
        for piece in streams.split(pieces, _FED):
            packed += len(piece)
            yield piece

    if form not in _FORMS:
        yield from pieces
        return
    for piece in _decoded(counted(), form):
        size += len(piece)
        if size > _FREE + _RATIO * packed:
            raise LayerError(f"expands to more than {_RATIO} times its size")
        yield piece


def _decoded(pieces: Iterator[bytes], form: str) -> Iterator[bytes]:
    name, beginning = _FORMS[form]
    make, data = streams.decoder_factory(name, tarread.MAX_MEMORY), b""
    while True:
        while len(data) < len(beginning) and (piece := next(pieces, b"")):
            data += piece
        if not data:
            return
        if not data.startswith(beginning):
            raise LayerError(f"has data that isn't {form}, or optional fields of {form}")
        decoder = make()
        while not decoder.eof:
            if not data and not (data := next(pieces, b"")):
                raise LayerError(f"ends within {form} data")
            try:
                yield from streams.decoded(decoder, data)
            except streams.decoder_errors(name) as error:
                raise LayerError(f"has damaged {form} data ({error})") from None
            data = b""
        data = decoder.unused_data
