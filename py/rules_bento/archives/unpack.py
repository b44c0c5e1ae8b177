"""Reads archives of Bentos and models, which may come from anywhere.

`read` gives the members of an archive one after the other, so that a file of any size passes through in constant
memory, and gives none that is not safe to write below a folder. What `bentoml import` (1.4.40) takes is taken, but
for what docs/cli.md lists; what it takes although the archive is damaged, ambiguous or a bomb is refused. A refusal is
a BentoError and may come at any member, also at the very end: nothing that was read counts before that.
"""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from pathlib import Path

from rules_bento.archives.links import check_links
from rules_bento.archives.tarstream import MAX_DEPTH
from rules_bento.archives.ustar import is_utf8
from rules_bento.dataclasses_lite import NamedTuple, dataclass
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Contents = Iterator[bytes | memoryview]
    Progress = Callable[[int], None]
    """Is told how many more bytes of the source were read."""

Form = Literal["xz", "gz", "bz2", "zst", "tar", "zip", "folder"]
"""What an archive is: a tar that is compressed in one of four ways or not, a zip, or a plain folder."""

FORMS: tuple[Form, ...] = ("xz", "gz", "bz2", "zst", "tar", "zip", "folder")
_SUFFIXES: dict[str, Form] = {".gz": "gz", ".bz2": "bz2", ".tar": "tar", ".zip": "zip", ".zst": "zst"}

_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_LINK = 4095  # characters, as Linux has it
_MAX_NAME = 255  # bytes: to follow a link to a longer one is an error of its own
_MAX_NAMES = 64 << 20  # characters of all paths and links, which are held in memory
_RATIO_THRESHOLD = 256 << 20  # bytes that may come out of however few, before the ratio counts


@dataclass(frozen=True)
class Limits:
    """Bounds the size of an archive. One that exceeds them is a bomb, or needs a larger limit."""

    size: int = 256 << 30  # bytes of all files
    members: int = 200_000
    ratio: int = 250  # bytes that come out of a byte of the archive, beyond the first 256 MiB
    memory: int = 128 << 20  # bytes that a decoder may take; `xz -9` needs 65 MiB
    same_letters: bool = False  # take names that differ in case or in Unicode's way to write a letter only
    hard_links: bool = False  # take them from tars, as what `SafeMember.link` names: a file that came before


class SafeMember(NamedTuple):
    """Describes a member that is safe to write: `path` is POSIX, relative, normalized, and unique.

    A `file` has `size` bytes and may be executable, a `link` has the text of its target, a `folder` neither. Links
    come last, so that no file is written through one. A `hard link` is there if `Limits` take it: it is the file at
    the path `link`, which came before.
    """

    path: str
    kind: Literal["file", "folder", "link", "hard link"]
    size: int = 0
    executable: bool = False
    link: str = ""


def form_from_name(path: str) -> Form:
    """Return the form that a file's name says, as BentoML reads it: what it does not know is taken for `.bento`."""
    return _SUFFIXES.get(os.path.splitext(path)[1], "xz")  # noqa: PTH122 - of a name, which may be a URL's


def read(
    source: Path | BinaryIO, form: Form, limits: Limits | None = None, progress: Progress | None = None
) -> Iterator[tuple[SafeMember, Contents]]:
    """Yield the members of an archive, each with its contents, which are read before the next member or not at all.

    An open file is read from where it is and not closed; a zip must be seekable. Folders that only paths imply are
    not among the items. Raises BentoError for a source that cannot be read, is not whole, is not what `form` says or
    is hostile: a path or link that leaves the archive, two members for one path (or for one on other systems), a
    member below a file or a link, a hard link or device, and what is beyond `limits`.
    """
    limits = limits or Limits()
    where = source_name(source)
    guard = _Guard(where, limits)
    try:
        if form == "folder":
            yield from _checked(guard, _folder(Path(where)))
            return
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            counted = _CountingFile(file, progress)
            members = _zip(counted, guard) if form == "zip" else _tar(counted, form, guard)
            yield from _checked(guard, members)
    except OSError as error:
        raise BentoError(f"{error.filename or where}: cannot be read: {error.strerror or error}.") from error


def source_name(source: Path | BinaryIO) -> str:
    """Return the name by which messages call a source."""
    return str(source) if isinstance(source, Path) else str(getattr(source, "name", "the archive"))


def _checked(guard: _Guard, members: Iterator[tuple[SafeMember, Contents]]) -> Iterator[tuple[SafeMember, Contents]]:
    for member, contents in members:
        item = guard.admit(member)
        if item and item.kind != "link":
            yield item, contents
    for item in guard.links():
        yield item, iter(())


def _tar(file: _CountingFile, form: Form, guard: _Guard) -> Iterator[tuple[SafeMember, Contents]]:
    from rules_bento.archives import streams, tarread

    decoded = streams.decode(streams.pieces(file), form, guard.limits.memory, guard.where)  # type: ignore[arg-type]
    stream = tarread.PieceReader(guard.bounded(decoded, file), guard.where)
    for member, contents in tarread.members(stream, ("hard link",) if guard.limits.hard_links else ()):
        yield SafeMember(member.name, member.kind, member.size, bool(member.mode & 0o100), member.link), contents  # type: ignore[arg-type]


def _zip(file: _CountingFile, guard: _Guard) -> Iterator[tuple[SafeMember, Contents]]:
    from rules_bento.archives.zipread import Bounds, FileZip

    limits = guard.limits
    way_out = "Allow more members, or a higher ratio, if it is no bomb"
    bounds = Bounds(limits.ratio, _RATIO_THRESHOLD, limits.members, way_out=way_out)
    archive = FileZip(file, guard.where, bounds)  # type: ignore[arg-type]
    for member in archive.members():
        kind: Literal["file", "folder"] = "folder" if member.is_folder else "file"
        yield SafeMember(member.path, kind, member.size, bool(member.mode & 0o100)), archive.contents(member)


def _folder(root: Path) -> Iterator[tuple[SafeMember, Contents]]:
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(root / prefix) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            path = prefix + entry.name
            if entry.is_symlink():
                # Path.readlink would tidy the target's text.
                yield SafeMember(path, "link", link=os.readlink(entry.path)), iter(())  # noqa: PTH115
            elif entry.is_dir():
                yield SafeMember(path, "folder"), iter(())
            elif entry.is_file():
                status = entry.stat()
                item = SafeMember(path, "file", status.st_size, bool(status.st_mode & 0o100))
                yield item, _file(entry.path, status.st_size)
            else:
                raise BentoError(f"{entry.path}: is neither a file nor a folder nor a link. Remove it.")
        pending += [f"{prefix}{entry.name}/" for entry in entries if entry.is_dir(follow_symlinks=False)]


def _file(path: str, size: int) -> Contents:
    with Path(path).open("rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            size -= len(piece)
            yield piece
    if size:
        raise BentoError(f"{path}: changed while it was read. Try again.")


class _CountingFile:
    """Wraps a file, and counts the bytes that are read from it."""

    def __init__(self, file: BinaryIO, progress: Progress | None) -> None:
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

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return self._file.seekable()


class _Guard:
    """Counts the members and bytes of an archive, and refuses those beyond the limits."""

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
        """Return the item with its path in normal form; None for the root. Raises BentoError if it is not let in."""
        path = self._normal(item.path)
        self._members += 1
        if self._members > self.limits.members:
            raise self._refusal(f"has more than {self.limits.members} members. Allow more of them if it should have.")
        self._names += len(item.path) + len(item.link)
        if self._names > _MAX_NAMES:
            raise self._refusal(f"has more than {_MAX_NAMES >> 20} MiB of names, which cannot be meant.")
        if not path:
            if item.kind != "folder":
                raise self._refusal(f"{item.path!r} stands for the whole archive, but is a {item.kind}.")
            return None
        self._size += item.size
        self._check_size(self._size)
        self._take(path, item.kind)
        if item.kind == "link":
            self._links[path] = self._target(path, item.link)
        if item.kind == "hard link":
            target = self._normal(item.link)
            if self._kinds.get(target) != "file":
                raise self._refusal(f"{item.path!r}: a hard link to {item.link!r}, which is no file before it.")
            item = item._replace(link=target)
        return item._replace(path=path)

    def bounded(self, pieces: Iterator[bytes], source: _CountingFile) -> Iterator[bytes]:
        """Yield the same pieces, as long as there are not too many for what was read from the source."""
        out = 0
        for piece in pieces:
            out += len(piece)
            if out > _RATIO_THRESHOLD + self.limits.ratio * source.count:
                raise self._refusal(
                    f"grows to more than {self.limits.ratio} times its size, as bombs do. Allow a higher ratio if it "
                    f"is none."
                )
            # Headers and padding count too: more of them than of files is no archive.
            self._check_size(out // 2)
            yield piece

    def links(self) -> Iterator[SafeMember]:
        """Yield all links, now that it is known what they lead to. Raises BentoError for one that leads outside."""
        check_links(self._links, self.where)
        for path, link in self._links.items():
            yield SafeMember(path, "link", link=link)

    def _check_size(self, size: int) -> None:
        if size > self.limits.size:
            raise self._refusal(f"has more than {self.limits.size >> 20} MiB. Allow a larger size if it should have.")

    def _normal(self, path: str) -> str:
        if "\0" in path:
            raise self._refusal(f"{path!r}: a name with a NUL character.")
        if path.startswith(("/", "\\")) or _DRIVE.match(path):
            raise self._refusal(f"{path!r}: an absolute path.")
        if not path.isascii() and not is_utf8(path):
            raise self._refusal(f"{path!r}: a name that is not UTF-8, which not every system can have. Rename it.")
        parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refusal(f"{path!r}: a path that leaves the archive.")
        if len(parts) > MAX_DEPTH + 1:
            raise self._refusal(f"{path[:60]!r}...: a path of more than {MAX_DEPTH} folders. Pack it less deep.")
        normal = "/".join(parts)
        if _DRIVE.match(normal):
            raise self._refusal(f"{path!r}: an absolute path.")
        return normal

    def _take(self, path: str, kind: str) -> None:
        """Note what is at the path, and that folders are above it."""
        known = self._kinds.get(path)
        if known and not known == kind == "folder":
            raise self._refusal(f"{path!r}: two members for one path.")
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
            raise self._refusal(f"{path!r}: is below {parent!r}, which is a {above}.")

    def _check_letters(self, path: str) -> None:
        folded = _fold(path)
        other = self._folded.get(folded)
        if folded != path:
            other = folded if folded in self._kinds else other
            self._folded[folded] = path
        if other and other != path:
            raise self._refusal(
                f"{path!r} and {other!r} are the same name on macOS and Windows. Rename one, or allow them."
            )

    def _target(self, path: str, link: str) -> str:
        longest = max(len(part.encode("utf-8", "surrogateescape")) for part in link.split("/"))
        if not link or "\0" in link or len(link) > _MAX_LINK or longest > _MAX_NAME:
            raise self._refusal(f"{path!r}: a link to nothing that can be named.")
        if link.startswith("/"):
            raise self._refusal(f"{path!r}: a link to {link!r}, which is absolute.")
        if "\\" in link or _DRIVE.match(link):
            raise self._refusal(f"{path!r}: a link to {link!r}, which is another path on Windows.")
        if not link.isascii() and not is_utf8(link):
            raise self._refusal(f"{path!r}: a link to {link!r}, which is not UTF-8.")
        return link

    def _refusal(self, text: str) -> BentoError:
        return BentoError(f"{self.where}: refused: {text}")


def _fold(path: str) -> str:
    if path.isascii():
        return path.lower()
    import unicodedata

    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
