"""Reads untrusted archives of Bentos and models.

`read` yields the members of an archive. The size of a file doesn't affect the memory usage. Writing all members to a
directory never changes files outside of the directory. `read` accepts all archives that `bentoml import` (1.4.40)
accepts, except the archives that docs/cli.md lists. `read` rejects damaged, ambiguous, and hostile archives. `read` can
raise BentoError at any member, even at the end. After an error, discard all earlier members.
"""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from pathlib import Path

from rules_bento.base.archives.tarstream import MAX_DEPTH, check_links, is_utf8, read_source
from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import TreeWriter
from rules_bento.base.tree_walk import GENERATED, is_generated, walk
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterator, Literal

if TYPE_CHECKING:
    Contents = Iterator[bytes | memoryview]
    Advance = Callable[[int], None]
    """Receives the number of bytes that were read from the source since the last call."""

# The formats of archives: a tar, compressed or not, a zip, or a plain directory.
Form = Literal["xz", "gz", "bz2", "zst", "tar", "zip", "folder"]
FORMS: tuple[Form, ...] = ("xz", "gz", "bz2", "zst", "tar", "zip", "folder")
_SUFFIXES: dict[str, Form] = {".gz": "gz", ".bz2": "bz2", ".tar": "tar", ".zip": "zip", ".zst": "zst"}

_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_LINK = 4095  # characters, as on Linux
_MAX_NAME = 255  # bytes; systems reject links with a longer component
_MAX_NAMES = 64 << 20  # characters of all paths and links, which are kept in memory
_RATIO_THRESHOLD = 256 << 20  # bytes of output before the ratio applies


@dataclass(frozen=True)
class Limits:
    """Limits against decompression bombs in archives. Sizes are in bytes. The boolean fields relax checks of `read`."""

    size: int = 256 << 30  # bytes of all files
    members: int = 200_000
    ratio: int = 250  # bytes of output per byte of the archive, after the first 256 MiB
    memory: int = 128 << 20  # bytes of memory for a decoder; `xz -9` needs 65 MiB
    same_letters: bool = False  # accept names that only differ in case or Unicode normalization
    hard_links: bool = False  # accept hard links in tars; `SafeMember.link` is an earlier file


class SafeMember(NamedTuple):
    """A member that is safe to write. `path` is a relative, normalized, and unique POSIX path.

    A `file` has `size` bytes and can be executable. A `folder` is a directory. A `link` is a symbolic link with the
    target `link`. Symbolic links are last, so no file is written through a link. A `hard link` has the contents of an
    earlier file, whose path is `link`. Hard links occur only if `Limits.hard_links` is set.
    """

    path: str
    kind: Literal["file", "folder", "link", "hard link"]
    size: int = 0
    executable: bool = False
    link: str = ""


def form_from_name(path: str) -> Form:
    """Return the format that BentoML infers from a file name: `xz` for `.bento` and unknown extensions."""
    return _SUFFIXES.get(os.path.splitext(path)[1], "xz")  # noqa: PTH122 - the name can be from a URL


def read(
    source: Path | BinaryIO, form: Form, limits: Limits | None = None, progress: Advance | None = None
) -> Iterator[tuple[SafeMember, Contents]]:
    """Yield the members of an archive with their contents. Skips contents that the caller doesn't read.

    Reads an open file from its current position, and doesn't close the file. A zip file must be seekable. Yields a
    directory only if the archive contains a member for the directory. Skips files that Python and macOS generate (see
    `tree_walk.GENERATED`). Raises BentoError for:

    - a source that can't be read, is truncated, has a format other than `form`, or exceeds `limits`
    - a path or link target outside of the archive, a member below a file or link, or a device
    - a hard link, unless `limits.hard_links` is set
    - duplicate paths, including paths that only macOS and Windows treat as equal (unless `limits.same_letters` is set)
    """
    limits = limits or Limits()
    where = source_name(source)
    guard = _Guard(where, limits)
    try:
        if form == "folder":
            yield from _checked(guard, _directory(Path(where)))
            return
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            counted = _CountingFile(file, progress)
            members = _zip(counted, guard) if form == "zip" else _tar(counted, form, guard)
            yield from _checked(guard, members)
    except OSError as error:
        problem, place = f"cannot read the file: {error.strerror or error}", str(error.filename or where)
        raise BentoError(problem, place=place, remedy="Check the path and permissions.") from error


def extract(source: Path, form: Form, directory: Path, limits: Limits | None = None) -> None:
    """Unpack an archive into an empty directory. Raises the errors of `read`, and BentoError if writing fails."""
    with TreeWriter(directory) as tree:  # writes: own, a new directory of the caller
        for item, contents in read(source, form, limits):
            try:
                if item.kind == "folder":
                    tree.directory(item.path)
                elif item.kind == "link":
                    tree.link(item.path, item.link)
                elif item.kind == "hard link":
                    tree.copy(item.path, directory / item.link)
                else:
                    tree.file(item.path, contents, 0o755 if item.executable else 0o644)
            except OSError as error:
                raise BentoError(f"cannot extract {item.path[:60]!r}: {error.strerror}.", place=str(source)) from None


def source_name(source: Path | BinaryIO) -> str:
    """Return the name of a source for error messages."""
    return str(source) if isinstance(source, Path) else str(getattr(source, "name", "the archive"))


def _checked(guard: _Guard, members: Iterator[tuple[SafeMember, Contents]]) -> Iterator[tuple[SafeMember, Contents]]:
    for member, contents in members:
        item = guard.admit(member)
        if item and item.kind != "link" and not is_generated(item.path):
            yield item, contents
    for item in guard.links():
        if not is_generated(item.path):
            yield item, iter(())


def _tar(file: _CountingFile, form: Form, guard: _Guard) -> Iterator[tuple[SafeMember, Contents]]:
    from rules_bento.base.archives import streams, tarread

    decoded = streams.decode(streams.pieces(file), form, guard.limits.memory, guard.where)  # type: ignore[arg-type]
    stream = tarread.PieceReader(guard.bounded(decoded, file), guard.where)
    for member, contents in tarread.members(stream, ("hard link",) if guard.limits.hard_links else ()):
        yield SafeMember(member.name, member.kind, member.size, bool(member.mode & 0o100), member.link), contents  # type: ignore[arg-type]


def _zip(file: _CountingFile, guard: _Guard) -> Iterator[tuple[SafeMember, Contents]]:
    from rules_bento.base.archives.zipread import Bounds, FileZip

    limits = guard.limits
    remedy = "If you trust the archive, increase the limit"
    bounds = Bounds(limits.ratio, _RATIO_THRESHOLD, limits.members, remedy=remedy)
    archive = FileZip(file, guard.where, bounds)  # type: ignore[arg-type]
    for member in archive.members():
        kind: Literal["file", "folder"] = "folder" if member.is_directory else "file"
        yield SafeMember(member.path, kind, member.size, bool(member.mode & 0o100)), archive.contents(member)


def _directory(root: Path) -> Iterator[tuple[SafeMember, Contents]]:
    for path, entry in walk(root, without=GENERATED):
        if entry.is_symlink():
            # Path.readlink would normalize the target.
            yield SafeMember(path, "link", link=os.readlink(entry.path)), iter(())  # noqa: PTH115
        elif entry.is_dir():
            yield SafeMember(path, "folder"), iter(())
        elif entry.is_file():
            status = entry.stat()
            item = SafeMember(path, "file", status.st_size, bool(status.st_mode & 0o100))
            yield item, read_source(entry.path, status.st_size)
        else:
            remedy = "Remove the entry from the directory."
            raise BentoError(f"{entry.path} isn't a regular file, directory, or symbolic link", remedy=remedy)


class _CountingFile:
    def __init__(self, file: BinaryIO, progress: Advance | None) -> None:
        self._file = file
        self._progress = progress
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        if self._progress:
            self._progress(len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)


class _Guard:
    def __init__(self, where: str, limits: Limits) -> None:
        self.where = where
        self.limits = limits
        self._kinds: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._size = 0
        self._members = 0
        self._names = 0

    def admit(self, item: SafeMember) -> SafeMember | None:
        """Return a member with a normalized path, or None for the root. Raises BentoError for an unsafe member."""
        path = self._normal(item.path)
        self._members += 1
        if self._members > self.limits.members:
            raise self._limit_error(f"the archive has more than {self.limits.members} members")
        self._names += len(item.path) + len(item.link)
        if self._names > _MAX_NAMES:
            raise self._error(f"the archive has more than {_MAX_NAMES >> 20} MiB of names", remedy="Shorten the names.")
        if not path:
            if item.kind != "folder":
                problem = f"the root must be a directory, not a {item.kind}"
                raise self._error(problem, place=repr(item.path), remedy="Archive a directory.")
            return None
        self._size += item.size
        self._check_size(self._size)
        self._take(path, item.kind)
        if item.kind == "link":
            self._links[path] = self._target(path, item.link)
        link = item.link
        if item.kind == "hard link":
            link = self._normal(item.link)
            if self._kinds.get(link) != "file":
                problem = f"the hard link target {item.link!r} isn't a file earlier in the archive"
                raise self._error(problem, place=repr(item.path), remedy="Replace the link with a copy.")
        return SafeMember(path, item.kind, item.size, item.executable, link)

    def bounded(self, pieces: Iterator[bytes], source: _CountingFile) -> Iterator[bytes]:
        """Yield the pieces unchanged. Raises BentoError if the size or the decompression ratio exceeds the limits."""
        out = 0
        for piece in pieces:
            out += len(piece)
            if out > _RATIO_THRESHOLD + self.limits.ratio * source.count:
                problem = f"the archive expands to more than {self.limits.ratio} times its compressed size"
                raise self._limit_error(problem)
            # Headers and padding count, too; a valid archive has fewer bytes of them than of files.
            self._check_size(out // 2)
            yield piece

    def links(self) -> Iterator[SafeMember]:
        """Validate all symbolic links, and yield them. Raises BentoError if a link leads outside of the archive."""
        check_links(self._links, self.where)
        for path, link in self._links.items():
            yield SafeMember(path, "link", link=link)

    def _check_size(self, size: int) -> None:
        if size > self.limits.size:
            raise self._limit_error(f"the archive contains more than {self.limits.size >> 20} MiB")

    def _normal(self, path: str) -> str:
        if "\0" in path:
            raise self._error("the name contains a NUL character", place=repr(path), remedy="Rename the file.")
        if path.startswith(("/", "\\")) or _DRIVE.match(path):
            raise self._error("the path is absolute", place=repr(path), remedy="Use a relative path.")
        if not path.isascii() and not is_utf8(path):
            raise self._error("the name isn't UTF-8", place=repr(path), remedy="Rename the file.")
        parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._error("the path is outside the archive", place=repr(path), remedy="Use a path without '..'.")
        if len(parts) > MAX_DEPTH + 1:
            problem = f"the path has more than {MAX_DEPTH} nested directories"
            raise self._error(problem, place=f"{path[:60]!r}...", remedy="Reduce the nesting.")
        normal = "/".join(parts)
        if _DRIVE.match(normal):
            raise self._error("the path is absolute", place=repr(path), remedy="Use a relative path.")
        return normal

    def _take(self, path: str, kind: str) -> None:
        """Record the kind of a path, and record all parents as directories. Raises BentoError for a conflict."""
        known = self._kinds.get(path)
        if known and not known == kind == "folder":
            raise self._error("duplicate path", place=repr(path), remedy="Remove one of the members.")
        if known:
            return
        self._kinds[path] = kind
        if not self.limits.same_letters:
            self._check_letters(path)
        parent = path.rpartition("/")[0]
        above = self._kinds.get(parent, "") if parent else "folder"
        if not above:
            self._take(parent, "folder")
        elif above != "folder":
            remedy = "Remove one of the members."
            raise self._error(f"{parent!r} is a {above}, not a directory", place=repr(path), remedy=remedy)

    def _check_letters(self, path: str) -> None:
        folded = _fold(path)
        other = self._folded.get(folded)
        if folded != path:
            other = folded if folded in self._kinds else other
            self._folded[folded] = path
        if other and other != path:
            remedy = "Rename one of the files, or allow such names."
            raise self._error(f"{path!r} and {other!r} are the same name on macOS and Windows", remedy=remedy)

    def _target(self, path: str, link: str) -> str:
        longest = max(len(part.encode("utf-8", "surrogateescape")) for part in link.split("/"))
        if not link or "\0" in link or len(link) > _MAX_LINK or longest > _MAX_NAME:
            raise self._error("the link target is invalid or too long", place=repr(path), remedy="Remove the link.")
        if link.startswith("/"):
            remedy = "Use a relative target, or replace the link with a copy."
            raise self._error(f"the link target {link!r} is absolute", place=repr(path), remedy=remedy)
        if "\\" in link or _DRIVE.match(link):
            remedy = "Replace the link with a copy."
            raise self._error(f"the link target {link!r} is ambiguous on Windows", place=repr(path), remedy=remedy)
        if not link.isascii() and not is_utf8(link):
            remedy = "Replace the link with a copy."
            raise self._error(f"the link target {link!r} isn't UTF-8", place=repr(path), remedy=remedy)
        return link

    def _limit_error(self, text: str) -> BentoError:
        return self._error(text, remedy="If you trust the archive, increase the limit.")

    def _error(self, problem: str, *, place: str = "", remedy: str) -> BentoError:
        return BentoError(problem, place=f"{self.where}: {place}" if place else self.where, remedy=remedy)


def _fold(path: str) -> str:
    if path.isascii():
        return path.lower()
    import unicodedata

    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
