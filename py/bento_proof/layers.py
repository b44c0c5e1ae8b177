"""Reads layers in one form only, which all programs extract alike: the tar that `tarfile` writes again.

Compressed layers are one or more gzip or zstd streams without optional fields, and nothing between or after them.
"""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import IO, Any, cast

import zstandard

from bento_proof.model import InvalidError, Member

_PIECE, _FED = 1 << 18, 1 << 12  # bytes at once; compressed bytes, which limit what they expand to
_MAX_MEMBERS, _MAX_HEADER, _MAX_TAIL = 500_000, 1 << 16, 10_240
_FREE, _RATIO = 1 << 30, 250  # bytes that a layer can always have, and more for each compressed byte
KINDS = {tarfile.REGTYPE: "file", tarfile.LNKTYPE: "hard link", tarfile.SYMTYPE: "link", tarfile.DIRTYPE: "directory"}
_DECODERS: dict[str, Callable[[], Any]] = {"gzip": lambda: zlib.decompressobj(31)}
_DECODERS["zstd"] = lambda: zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
_BEGINNINGS = {"": b"", "gzip": b"\x1f\x8b\x08" + bytes(5), "zstd": b"\x28\xb5\x2f\xfd"}  # without optional fields


def unpack(pieces: Iterable[bytes], media_type: str, diff_id: str, out: IO[bytes]) -> None:
    """Write the tar of a layer to a file. Raises InvalidError for other data than such streams, or another diff ID."""
    whole = hashlib.sha256()
    form = media_type.partition("+")[2] or media_type.rpartition(".")[2].removeprefix("tar")
    for piece in _plain(pieces, form) if _BEGINNINGS.get(form) else pieces:
        whole.update(piece)
        out.write(piece)
    if f"sha256:{whole.hexdigest()}" != diff_id:
        raise InvalidError(f"isn't {diff_id}, which the config states")


def _plain(pieces: Iterable[bytes], form: str) -> Iterator[bytes]:
    beginning, packed, size, data, decoder = _BEGINNINGS[form], 0, 0, b"", cast("Any", None)
    for piece in pieces:
        data += piece
        while len(data) >= (len(beginning) if decoder is None else 1):
            if decoder is None and not data.startswith(beginning):
                raise InvalidError(f"has data that isn't {form}, or optional fields of {form}")
            decoder = decoder or _DECODERS[form]()
            fed, data = data[:_FED], data[_FED:]
            try:
                found = decoder.decompress(fed)
            except Exception as error:  # of one of several modules
                raise InvalidError(f"has damaged {form} data ({error})") from None
            packed, size = packed + len(fed), size + len(found)
            if size > _FREE + _RATIO * packed:
                raise InvalidError(f"expands to more than {_RATIO} times its size")
            yield found
            if decoder.eof:
                data, decoder = decoder.unused_data + data, None
    if decoder or data:
        raise InvalidError(f"ends within {form} data")


def members(file: IO[bytes]) -> Iterator[tuple[str, Member]]:
    """Yield path and member of an unpacked layer. Raises InvalidError for another form."""
    end, seen = file.seek(0), set[str]()

    def read(size: int) -> bytes:
        if not 0 <= size <= _MAX_HEADER:
            raise InvalidError("has unusually large headers")
        return file.read(size)

    try:
        headers: Any = SimpleNamespace(seek=file.seek, tell=file.tell, read=read)
        tar = tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="surrogateescape")
        while info := tar.next():
            cast("Any", tar).members = []  # which would keep all of them
            kind = KINDS.get(info.type, "")
            clean = tarfile.TarInfo(info.name)  # without all that isn't read
            for name in ("type", "mode", "uid", "gid", "size", "linkname"):
                setattr(clean, name, getattr(info, name))
            file.seek(end)
            is_right = kind and (kind == "file" or not info.size) and kind.endswith("link") == bool(info.linkname)
            if not is_right or info.size < 0 or file.read(info.offset_data - end) not in _forms(clean):
                raise InvalidError(f"{info.name!r} has an unusual header, or data before it, or lacks a target")
            if info.name in seen or len(seen) > _MAX_MEMBERS:
                raise InvalidError(f"has {info.name!r} twice, or more than {_MAX_MEMBERS} members")
            seen.add(info.name)
            parts = info.name.split("/")
            is_long = len(parts) > 100 or max(len(os.fsencode(each)) for each in parts) > 255  # names in Linux
            if {"", ".", ".."} & {*parts} or "\0" in info.name + info.linkname or is_long:
                raise InvalidError(f"{info.name!r} isn't a normalized path, or is too long")
            digest, end = hashlib.sha256(), info.offset_data + info.size
            file.seek(info.offset_data)
            while piece := file.read(min(end - file.tell(), _PIECE)):
                digest.update(piece)
            if any(file.read(-end % tarfile.BLOCKSIZE)) or file.tell() != (end := end + -end % tarfile.BLOCKSIZE):
                raise InvalidError(f"{info.name!r} has data in its padding, or the archive is truncated")
            what = digest.hexdigest() if kind == "file" else info.linkname
            yield info.name, Member(kind, info.mode & 0o7777, (info.uid, info.gid), what, info.size, info.offset_data)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidError(f"is invalid: {error}") from None
    tail = file.seek(0, os.SEEK_END) - end
    file.seek(end)
    if not 2 * tarfile.BLOCKSIZE <= tail <= _MAX_TAIL or any(file.read(tail)):
        raise InvalidError("has data after the last member, or the archive is truncated")


def _forms(info: tarfile.TarInfo) -> Iterator[bytes]:
    """Yield the headers that `tarfile` writes, also with another mode of an extended header, which means nothing."""
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        with suppress(ValueError):  # the name doesn't fit
            made = bytearray(info.tobuf(form, "utf-8", "surrogateescape"))
            yield bytes(made)
            if made[156:157] == b"x":
                made[100:108], made[148:156] = b"0000644\0", b" " * 8
                made[148:156] = b"%06o\0 " % sum(made[: tarfile.BLOCKSIZE])
                yield bytes(made)
