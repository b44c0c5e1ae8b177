"""Writes tar archives as reproducible streams of bytes.

Headers have the POSIX.1-2001 (pax interchange) format. Each member has a ustar header. An extended header precedes the
ustar header for names and links that aren't ASCII or exceed 100 bytes, and for files of 8 GiB or more. `tarfile` writes
the same bytes with `PAX_FORMAT`, but is several times slower. User and group IDs are 0, without names, so the output
doesn't depend on the host's users. Names begin with `./`, as in BentoML's archives.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.tree_walk import open_below
from rules_bento.base.typing_lite import Any, Iterable, Iterator, Mapping

RECORD = 512  # the unit of a tar in bytes: headers and contents begin at multiples of it
REGULAR, LINK, DIRECTORY = b"0", b"2", b"5"
MAX_NAME = 100  # the maximum bytes of a name, and of a link's target, without an extended header
MAX_SIZE = 8**11 - 1  # the maximum bytes of a file without an extended header
_MAX_NUMBER = 8**7 - 1  # the maximum ID of a user or a group without an extended header
_EXTENDED = b"x"
_MAGIC = b"ustar\x0000"
_ZEROS = bytes(RECORD)
_NO_TIME = b"0" * 11


@lru_cache(maxsize=64)
def owner(mode: int, uid: int, gid: int) -> bytes:
    """Return the mode, user, and group fields of a tar header. `uid` and `gid` must have at most seven octal digits."""
    return b"%07o\0%07o\0%07o\0" % (mode & 0o7777, uid, gid)


def record(name: bytes, owned: bytes, size: int, kind: bytes, link: bytes, prefix: bytes = b"") -> bytes:
    """Return a tar header. `owned` is the result of `owner`, which encodes the mode, user, and group fields.

    `name` and `link` must have at most `MAX_NAME` bytes, and `prefix` must have at most 155 bytes.
    """
    before = b"%b%b%b%011o\0%b\0" % (name, _ZEROS[len(name) : MAX_NAME], owned, size, _NO_TIME)
    after = b"%b%b%b%b" % (kind, link, _ZEROS[len(link) : MAX_NAME], _MAGIC)
    checksum = sum(before) + sum(after) + sum(prefix) + 8 * 0x20  # the checksum itself counts as spaces
    header = b"%b%06o\0 %b" % (before, checksum, after)
    if prefix:
        header += _ZEROS[: 345 - len(header)] + prefix
    return header + _ZEROS[len(header) :]


def extended_header(values: Mapping[str, str], mode: int) -> bytes:
    """Return an extended header with a record for each value. If any value isn't UTF-8, marks all values as binary."""
    data = b"" if all(map(is_utf8, values.values())) else b"21 hdrcharset=BINARY\n"
    for keyword, value in values.items():
        line = f" {keyword}={value}\n".encode("utf-8", "surrogateescape")
        length = len(line) + len(str(len(line)))
        length = len(line) + len(str(length))  # the length can get another digit
        data += b"%d%b" % (length, line)
    return record(b"././@PaxHeader", owner(mode, 0, 0), len(data), _EXTENDED, b"") + data + padding(len(data))


def padding(size: int) -> bytes:
    """Return the zeros that pad `size` bytes of contents to a multiple of `RECORD`."""
    return _ZEROS[: -size % RECORD]


def is_utf8(text: str) -> bool:
    """Return whether a string can be encoded as UTF-8. A string with an unpaired surrogate can't be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


END = bytes(2 * RECORD)  # the end of an archive
MAX_DEPTH = 100  # the maximum directories above a member, because BentoML's and other readers recurse for each
_READ = 1 << 20  # bytes of a read, as in a block of xz

# Empty, absolute on Unix or Windows, or with a backslash or NUL.
_NOT_RELATIVE = re.compile(r"\A\Z|\A/|\A[A-Za-z]:|[\\\0]")


class Member(NamedTuple):
    """A file, symbolic link, or directory in a tar. Use the class methods to create members.

    `path` is relative to the root of the archive, without `./`. A file has either `data`, `source`, or `contents`.
    `source` is the path of a file with exactly `size` bytes, and is read when the tar is written. Read `contents`
    before you request the next member. A symbolic link has the target `link`. A directory has none of these. Only
    layers use `uid` and `gid`.

    >>> b"".join(contents(Member.inline("apis/README.md", b"# Iris")))
    b'# Iris'
    """

    path: str
    mode: int
    size: int = 0
    source: str | None = None
    data: bytes | None = None
    link: str | None = None
    uid: int = 0
    gid: int = 0
    contents: Iterator[bytes] | None = None
    below: str = ""  # a directory: no link below it leads to `source`
    blake3: str = ""  # the hexadecimal digest of `source`, if what is read is compared with it

    @classmethod
    def file(
        cls, path: str, source: str, *, size: int | None = None, mode: int = 0o644, uid: int = 0, gid: int = 0
    ) -> Member:
        """Return a file whose contents are read from `source` later. Specify `size` to avoid a system call."""
        return cls(path, mode, Path(source).stat().st_size if size is None else size, source, uid=uid, gid=gid)

    @classmethod
    def inline(cls, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Member:
        """Return a file that contains `data`."""
        return cls(path, mode, len(data), data=data, uid=uid, gid=gid)

    @classmethod
    def symlink(cls, path: str, link: str, *, uid: int = 0, gid: int = 0) -> Member:
        """Return a symbolic link. `link` is relative to the parent of `path`. In a layer, `link` can be absolute."""
        return cls(path, 0o777, link=link, uid=uid, gid=gid)

    @classmethod
    def directory(cls, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Member:
        """Return a directory. An archive requires directory members only for empty directories."""
        return cls(path, mode, uid=uid, gid=gid)

    @property
    def is_directory(self) -> bool:
        """Whether the member is a directory."""
        return self.source is None and self.data is None and self.link is None and self.contents is None


def stream(members: Iterable[Member]) -> Iterator[bytes]:
    """Yield a tar of the members in the given order, without the end-of-archive marker.

    The length is a multiple of `RECORD`. Raises BentoError for members that `bentoml import` rejects or renames. Such
    members have a duplicate path, a path below a file or link, or a path or link target outside of the archive. Also
    raises BentoError for a source that doesn't have the declared size.
    """
    seen: dict[str, bool] = {}
    at = 0
    for member in checked_members(members):
        if member.path in seen:
            raise BentoError("duplicate path in the archive", place=member.path, remedy="Remove one of the files.")
        seen[member.path] = member.is_directory
        start = header(member)
        yield start
        at += len(start)
        yield from contents(member, _READ - at % _READ)
        yield padding(member.size)
        at += member.size + -member.size % RECORD
    for directory in sorted(directories_above(seen)):
        if not seen.get(directory, True):
            problem = "the archive contains a directory and another entry with this path"
            raise BentoError(problem, place=directory, remedy="Remove one of them.")


def contents(member: Member, first: int = _READ) -> Iterator[bytes]:
    """Yield the contents of `member`. Raises BentoError if `member.source` has another size or digest than `member`.

    The first piece of a source has at most `first` bytes.
    """
    if member.data is not None:
        if len(member.data) != member.size:
            raise ValueError(f"{member.path}: expected {member.size} bytes, got {len(member.data)}")
        yield member.data
    elif member.source is not None:
        yield from read_source(member.source, member.size, first, member.below, member.blake3)


def checked_members(members: Iterable[Member]) -> Iterator[Member]:
    """Yield each member after validating it with `check`. After the last member, validates links with `check_links`."""
    links: dict[str, str] = {}
    for member in members:
        check(member.path, member.link)
        if member.link is not None:
            links[member.path] = member.link
        yield member
    check_links(links, "the archive")


def check(path: str, link: str | None = None) -> None:
    """Raise BentoError if a path isn't normalized or is too deep, or if a link target is outside of the archive."""
    if _NOT_RELATIVE.search(path) or any(part in ("", ".", "..") for part in path.split("/")):
        problem = "the path must be relative, without empty, '.', or '..' parts (required by `bentoml import`)"
        raise BentoError(problem, place=repr(path), remedy="Rename the file.")
    if path.count("/") > MAX_DEPTH:
        problem = f"the path has more than {MAX_DEPTH} nested directories"
        raise BentoError(problem, place=f"{path[:60]}...", remedy="Reduce the nesting.")
    if link is None:
        return
    if _NOT_RELATIVE.search(link):
        remedy = "Use a relative target with '/' between names, or replace the link with a copy."
        raise BentoError(f"the symbolic link target {link!r} isn't relative", place=path, remedy=remedy)
    depth = path.count("/")
    for part in link.split("/"):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            remedy = "Replace the link with a copy."
            raise BentoError(f"the symbolic link target {link!r} is outside the archive", place=path, remedy=remedy)


def header(member: Member) -> bytes:
    """Return the header of a member, preceded by an extended header if necessary."""
    name, kind = f"./{member.path}", REGULAR
    if member.is_directory:
        name, kind = f"./{member.path}/", DIRECTORY
    elif member.link is not None:
        kind = LINK
    last = name.encode() if len(name) <= MAX_NAME and name.isascii() else b""
    return header_of(name, (b"", last), kind, member.mode, 0, 0, member.size, member.link or "", 0)


def header_of(
    name: str,
    fields: tuple[bytes, bytes],
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    link: str,
    extended_mode: int,
) -> bytes:
    """Return a ustar header, preceded by an extended header with the values that don't fit.

    `fields` are the header fields `prefix` and `name`, which are empty if `name` doesn't fit into them.
    """
    extended = {}
    prefix, last = fields
    if not last:
        extended["path"], last = name, _ascii(name)
    if len(link) > MAX_NAME or not link.isascii():
        extended["linkpath"] = link
    if size > MAX_SIZE:
        extended["size"], size = str(size), 0
    for keyword, number in (("uid", uid), ("gid", gid)):
        if number > _MAX_NUMBER:
            extended[keyword] = str(number)
    owned = owner(mode, min(uid, _MAX_NUMBER), min(gid, _MAX_NUMBER))
    plain = record(last, owned, size, kind, _ascii(link), prefix)
    return extended_header(extended, extended_mode) + plain if extended else plain


def directories_above(paths: Iterable[str]) -> set[str]:
    """Return all parent directories of the given paths."""
    directories: set[str] = set()
    new = {path.rpartition("/")[0] for path in paths} - {""}
    while new:
        directories |= new
        new = {directory.rpartition("/")[0] for directory in new} - directories - {""}
    return directories


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")[:MAX_NAME]


def read_source(source: str, size: int, first: int = _READ, below: str = "", digest: str = "") -> Iterator[bytes]:
    """Yield the contents of a file in pieces. Raises BentoError if the file doesn't have `size` bytes.

    The first piece has at most `first` bytes, so that the other pieces can be aligned blocks of an archive. `below` is
    as for `open_below`. With a `digest` (BLAKE3), also raises BentoError for other bytes, after the last piece.
    """
    remaining, limit = size, first
    hasher = _hasher() if digest else None
    with os.fdopen(open_below(source, below), "rb", 0) as file:
        while piece := file.read(min(limit, remaining + 1)):
            limit = _READ
            remaining -= len(piece)
            if remaining < 0:
                break
            if hasher:
                hasher.update(piece)
            yield piece
    if hasher and not remaining and hasher.hexdigest() != digest:
        raise BentoError("the file changed during the build", place=source, remedy="Build again.")
    if remaining:
        more = "fewer" if remaining > 0 else "more"
        remedy = "If the file changed during the build, build again."
        raise BentoError(f"expected {size} bytes, but the file has {more}", place=source, remedy=remedy)


def _hasher() -> Any:
    from blake3 import blake3  # which not all actions have

    return blake3()


_MAX_HOPS = 40  # links on the path to a file, as on Linux
_MAX_STEPS = 4_000_000  # path components of all links together


def check_links(links: Mapping[str, str], where: str) -> None:
    """Raise BentoError for an absolute link, a cycle, or a link that leads outside of the archive (even indirectly)."""
    steps = 0
    for path, text in links.items():
        here = f"{where}: {path!r}"
        if text.startswith("/"):
            remedy = "Use a relative target, or replace the link with a copy."
            raise BentoError(f"the link target {text!r} is absolute", place=here, remedy=remedy)
        place: list[str] = []
        pending = path.split("/")[::-1]
        hops = 0
        while pending:
            part = pending.pop()
            steps += 1
            if part == ".." and not place:
                remedy = "Replace the link with a copy."
                raise BentoError(f"the link target {text!r} is outside the archive", place=here, remedy=remedy)
            if part == "..":
                place.pop()
            elif part not in ("", "."):
                place.append(part)
                link = links.get("/".join(place))
                if link is not None:
                    place.pop()
                    pending += link.split("/")[::-1]
                    hops += 1
            if steps > _MAX_STEPS:
                problem = f"resolving the symbolic links takes more than {_MAX_STEPS} steps"
                raise BentoError(problem, place=where, remedy="Reduce the number of symbolic links.")
            if hops > _MAX_HOPS:
                raise BentoError(f"the link target {text!r} is part of a cycle", place=here, remedy="Remove the link.")
