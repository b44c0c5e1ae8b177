"""Reads Debian packages as streams, without unpacking them or running their scripts.

A .deb is an ar archive of three members: `debian-binary`, `control.tar.*`, and `data.tar.*` (deb(5)). The tars are read
as streams, so memory use is independent of the package size.
"""

from __future__ import annotations

from contextlib import contextmanager

from rules_bento.base.archives import tarread
from rules_bento.base.archives.tarstream import MAX_DEPTH
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import IO, TYPE_CHECKING, BinaryIO, Iterator

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MAX_MEMBERS = 100  # of the ar archive, which normally has three
_MAX_CONTROL = 64 << 20  # bytes of all control files; md5sums has dozens of bytes for each file
_MAX_DATA = 32 << 30  # bytes of all other files; the largest packages have several GB
_COMPRESSIONS = {"": "tar", ".gz": "gz", ".xz": "xz", ".zst": "zst", ".bz2": "bz2"}
REMEDY = "Lock another version of the package."


class Deb:
    """A Debian package. Each method opens the file again. BentoError messages begin with the file name."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        with self._errors(), path.open("rb") as file:
            self._members = _read_ar(file, path.stat().st_size)

    def control(self) -> dict[str, bytes]:
        """Return the control files by name (`control`, `md5sums`, ...). Raises BentoError for an invalid archive."""
        files: dict[str, bytes] = {}
        for member, contents in self._tar("control.tar", _MAX_CONTROL, "control files"):
            if member.kind == "file":
                files[member.name.removeprefix("./")] = b"".join(contents)
        if "control" not in files:
            raise BentoError("invalid Debian package: the control file is missing", place=self.name, remedy=REMEDY)
        return files

    def members(self) -> Iterator[tuple[tarread.TarMember, Iterator[bytes]]]:
        """Yield each installed member with its contents. Read the contents before you request the next member.

        Names are relative, without `./`, and empty for the root, as the targets of hard links.
        """
        for member, contents in self._tar("data.tar", _MAX_DATA, "files"):
            with self._errors():
                part = _member(member)
            yield part, map(bytes, contents)

    def _tar(self, kind: str, max_bytes: int, what: str) -> tarread.Members:
        """Yield the members of a tar in the package. Raises BentoError if the contents exceed `max_bytes`."""
        with self._errors():
            name = next((name for name in self._members if name.startswith(kind)), "")
            if not name:
                raise ValueError(f"{kind} is missing")
            form = _COMPRESSIONS.get(name.removeprefix(kind))
            if form is None:
                raise ValueError(f"unsupported compression {name.removeprefix(kind)}")
        where = f"{self.name}: invalid Debian package: {name}"
        with self._path.open("rb") as file:
            window: BinaryIO = _Window(file, *self._members[name])  # type: ignore[assignment]
            for member, contents in tarread.compressed_members(window, form, where):
                max_bytes -= member.size
                if max_bytes < 0:
                    raise BentoError(f"the {what} exceed the size limit", place=where, remedy=REMEDY)
                yield member, contents

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise BentoError(f"invalid Debian package: {error}", place=self.name, remedy=REMEDY) from None


class _Window:
    """File-like object that reads one section of a file."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file = file
        self._remaining = size
        file.seek(offset)

    def read(self, size: int) -> bytes:
        """Return at most the next `size` bytes of the section."""
        data = self._file.read(min(size, self._remaining))
        self._remaining -= len(data)
        return data


def _read_ar(file: IO[bytes], total: int) -> dict[str, tuple[int, int]]:
    """Return a mapping of ar member names to offsets and sizes. Raises ValueError for an invalid archive."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("the file isn't an ar archive")
    places: dict[str, tuple[int, int]] = {}
    at = len(_MAGIC)
    while header := file.read(_HEADER):
        name, size = header[:16].decode("ascii").rstrip(" /"), int(header[48:58])
        at += _HEADER
        if header[58:] != b"`\n" or size < 0 or at + size > total:
            raise ValueError("the archive is truncated")
        if len(places) == _MAX_MEMBERS:
            raise ValueError(f"the archive has more than {_MAX_MEMBERS} members")
        places[name] = (at, size)
        at += size + size % 2
        file.seek(at)
    return places


def _member(member: tarread.TarMember) -> tarread.TarMember:
    if member.kind in ("device", "pipe", "sparse file"):
        raise ValueError(f"{member.name} is a {member.kind}, which isn't supported")
    link = _check_path(member.link) if member.kind == "hard link" else _check_name(member.link)
    return member._replace(name=_check_path(member.name), mode=member.mode & 0o7777, link=link)


def _check_name(name: str) -> str:
    """Return `name` if dpkg's lists can contain it. Raises ValueError for control characters and invalid UTF-8."""
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in name):
        raise ValueError(f"{name!r} contains a control character or isn't UTF-8")
    return name


def _check_path(name: str) -> str:
    path = _check_name(name).removeprefix("./").strip("/")
    if path == ".":
        return ""
    if name.startswith("/") or any(part in ("", ".", "..") for part in path.split("/") if path):
        raise ValueError(f"path {name!r} is outside the root")
    if path.count("/") >= MAX_DEPTH:
        raise ValueError(f"path {name[:60]!r}... has more than {MAX_DEPTH} nested directories")
    return path
