"""Reads Debian packages as a stream, without unpacking or running anything.

A .deb is an ar archive of three members: `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)). The tars are read
as streams, so memory does not depend on their size.
"""

from __future__ import annotations

from contextlib import contextmanager

from rules_bento.archives import tarread
from rules_bento.archives.tarstream import DEEPEST
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import IO, TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MOST_MEMBERS = 100  # of the ar archive, which has three
_MOST_CONTROL = 64 << 20  # bytes of all control files; md5sums has some dozens for each file
_MOST_DATA = 32 << 30  # bytes of all other files; the largest packages have some GB
_FORMS = {"": "tar", ".gz": "gz", ".xz": "xz", ".zst": "zst", ".bz2": "bz2"}
_DEVICES = {"device": "a device", "pipe": "a pipe", "sparse file": "a sparse file"}


class Member(NamedTuple):
    """Describes a file, folder or link of a package."""

    path: str  # relative, without `./`; empty for the root
    kind: str  # "file", "folder", "link", "hard link"
    mode: int
    uid: int
    gid: int
    size: int
    link: str  # target of a link as it is; of a hard link a path like `path`


class Deb:
    """Reads a package. Each method opens the file anew; its errors are BentoErrors that name the file."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        with self._problems(), path.open("rb") as file:
            self._members = _directory(file, path.stat().st_size)

    def control(self) -> dict[str, bytes]:
        """Return the control files by name: `control`, `md5sums`, `conffiles`, maintainer scripts.

        Raises BentoError if there are none, or for a broken archive.
        """
        files: dict[str, bytes] = {}
        for member, contents in self._tar("control.tar", _MOST_CONTROL, "control files"):
            if member.kind == "file":
                files[member.name.removeprefix("./")] = b"".join(contents)
        if "control" not in files:
            raise BentoError(f"{self.name}: has no control file: not a Debian package, or a broken one")
        return files

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield the members that the package installs, in its own order.

        The bytes of a file must be read before the next member is asked for. Raises BentoError for a broken archive.
        """
        for member, contents in self._tar("data.tar", _MOST_DATA, "files"):
            with self._problems():
                part = _member(member)
            yield part, map(bytes, contents)

    def _tar(self, kind: str, most: int, what: str) -> tarread.Members:
        """Yield the members of one of the tars, as long as they declare no more bytes.

        To pass over a file is to read it.
        """
        with self._problems():
            name = next((name for name in self._members if name.startswith(kind)), "")
            if not name:
                raise ValueError(f"it has no {kind}")
            form = _FORMS.get(name.removeprefix(kind))
            if form is None:
                raise ValueError(f"nobody here knows the compression {name.removeprefix(kind)}")
        where = f"{self.name}: not a Debian package that can be read: {name}"
        with self._path.open("rb") as file:
            window: BinaryIO = _Window(file, *self._members[name])  # type: ignore[assignment]
            for member, contents in tarread.packed_members(window, form, where):
                most -= member.size
                if most < 0:
                    raise BentoError(f"{where}: its {what} are larger than any package's. Fetch it again.")
                yield member, contents

    @contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise BentoError(f"{self.name}: not a Debian package that can be read: {error}. Fetch it again.") from None


class _Window:
    """Reads a part of a file, once."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file = file
        self._remaining = size
        file.seek(offset)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most so many."""
        data = self._file.read(min(size, self._remaining))
        self._remaining -= len(data)
        return data


def _directory(file: IO[bytes], total: int) -> dict[str, tuple[int, int]]:
    """Return the offset and size of each member of an ar archive, by name."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not begin like one")
    places: dict[str, tuple[int, int]] = {}
    at = len(_MAGIC)
    while header := file.read(_HEADER):
        name, size = header[:16].decode("ascii").rstrip(" /"), int(header[48:58])
        at += _HEADER
        if header[58:] != b"`\n" or size < 0 or at + size > total:
            raise ValueError("it is not whole")
        if len(places) == _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS} members")
        places[name] = (at, size)
        at += size + size % 2
        file.seek(at)
    return places


def _member(member: tarread.TarMember) -> Member:
    if member.kind in _DEVICES:
        raise ValueError(f"{member.name} is {_DEVICES[member.kind]}, which has no place in a layer")
    link = _plain(member.link) if member.kind == "hard link" else _printable(member.link)
    return Member(_plain(member.name), member.kind, member.mode & 0o7777, member.uid, member.gid, member.size, link)


def _printable(name: str) -> str:
    """Return the same; a line break would end its line in dpkg's lists, and image layers say names in UTF-8."""
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
