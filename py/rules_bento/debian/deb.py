"""Debian packages as they lie on the disk: what is in them, without unpacking and without running anything.

A .deb is an ar archive of three members: `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)). The tars are read
as streams, so memory does not depend on their size.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from rules_bento.archives.tarstream import DEEPEST
from rules_bento.errors import BentoError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = b"!<arch>\n"
_HEADER = 60
_READ = 1 << 18
_MOST_CONTROL = 64 << 20  # bytes of all control files; md5sums has some dozens for each file
_MOST_DATA = 32 << 30  # bytes of all other files; the largest packages have some GB
_KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "folder"}
_LINKS = {tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard link"}


class Member(NamedTuple):
    """A file, folder or link of a package."""

    path: str  # relative, without `./`; empty for the root
    kind: str  # "file", "folder", "link", "hard link"
    mode: int
    uid: int
    gid: int
    size: int
    link: str  # target of a link as it is; of a hard link a path like `path`


class Deb:
    """A package. Each method opens the file anew; what is wrong with it is a BentoError that names it."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        with self._problems(), path.open("rb") as file:
            self._members = _directory(file, path.stat().st_size)

    def control(self) -> dict[str, bytes]:
        """The control files by name: `control`, `md5sums`, `conffiles`, maintainer scripts."""
        found: dict[str, bytes] = {}
        with self._tar("control.tar") as tar:
            for info in _bounded(tar, _MOST_CONTROL, "control files"):
                if info.isreg():
                    found[info.name.removeprefix("./")] = _file_of(tar, info).read()
        if "control" not in found:
            raise BentoError(f"{self._path.name}: has no control file: not a Debian package, or a broken one")
        return found

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """What it installs, in its own order; the bytes of a file must be read before the next member is asked for."""
        with self._tar("data.tar") as tar:
            for info in _bounded(tar, _MOST_DATA, "files"):
                yield _member(info), self._contents(tar, info)

    def _contents(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
        if info.isreg():
            with self._problems():  # whoever takes the bytes is not within that of `_tar`
                file = _file_of(tar, info)
                while data := file.read(_READ):
                    yield data

    @contextmanager
    def _tar(self, kind: str) -> Iterator[tarfile.TarFile]:
        with self._problems(), self._path.open("rb") as file:
            name = next((name for name in self._members if name.startswith(kind)), "")
            if not name:
                raise ValueError(f"it has no {kind}")
            window = io.BufferedReader(_Window(file, *self._members[name]), _READ)
            with (
                _decompressed(window, name.removeprefix(kind)) as plain,
                tarfile.open(fileobj=plain, mode="r|", bufsize=_READ, errorlevel=2) as tar,
            ):
                yield tar

    @contextmanager
    def _problems(self) -> Iterator[None]:
        import lzma
        import zlib

        try:
            yield
        except (ValueError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
            raise BentoError(
                f"{self._path.name}: not a Debian package that can be read: {error}. Fetch it again."
            ) from None


class _Window(io.RawIOBase):
    """A part of a file."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file = file
        self._remaining = size
        file.seek(offset)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._remaining))
        buffer[: len(data)] = data
        self._remaining -= len(data)
        return len(data)


def _directory(file: IO[bytes], total: int) -> dict[str, tuple[int, int]]:
    """Offset and size of the members of an ar archive, by name."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not begin like one")
    found: dict[str, tuple[int, int]] = {}
    at = len(_MAGIC)
    while header := file.read(_HEADER):
        name, size = header[:16].decode("ascii").rstrip(" /"), int(header[48:58])
        at += _HEADER
        if header[58:] != b"`\n" or size < 0 or at + size > total:
            raise ValueError("it is not whole")
        found[name] = (at, size)
        at += size + size % 2
        file.seek(at)
    return found


@contextmanager
def _decompressed(file: IO[bytes], ending: str) -> Iterator[Any]:
    if ending in (".xz", ".lzma"):
        import lzma

        with lzma.open(file) as plain:
            yield plain
    elif ending == ".gz":
        import gzip

        with gzip.open(file) as plain:
            yield plain
    elif ending == ".zst":
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as plain:
            try:
                yield plain
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from None
    elif ending == ".bz2":
        import bz2

        with bz2.open(file) as plain:
            yield plain
    elif not ending:
        yield file
    else:
        raise ValueError(f"nobody here knows the compression {ending}")


def _bounded(tar: tarfile.TarFile, remaining: int, what: str) -> Iterator[tarfile.TarInfo]:
    """The members, as long as they declare no more than so many bytes: to pass over a file is to read it."""
    for info in tar:
        remaining -= info.size
        if info.size < 0 or remaining < 0:
            raise ValueError(f"its {what} are larger than any package's")
        yield info


def _member(info: tarfile.TarInfo) -> Member:
    kind = (_KINDS | _LINKS).get(info.type)
    if kind is None:
        raise ValueError(f"{info.name} is a device or a pipe, which has no place in a layer")
    link = _plain(info.linkname) if kind == "hard link" else _printable(info.linkname)
    size = info.size if kind == "file" else 0
    return Member(_plain(info.name), kind, info.mode & 0o7777, info.uid, info.gid, size, link)


def _printable(name: str) -> str:
    """The same; a line break would end its line in dpkg's lists, and image layers say names in UTF-8."""
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in name):
        raise ValueError(f"{name!r} has a control character, or is not UTF-8")
    return name


def _plain(name: str) -> str:
    path = _printable(name).removeprefix("./").strip("/")
    if path == ".":
        return ""
    if name.startswith("/") or any(part in ("", ".", "..") for part in path.split("/") if path):
        raise ValueError(f"{name!r} is not a path inside of the root")
    if path.count("/") >= DEEPEST:
        raise ValueError(f"{name[:60]!r}...: is a path of more than {DEEPEST} folders")
    return path


def _file_of(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(info)
    if file is None:
        raise ValueError(f"{info.name} is not a file")
    return file
