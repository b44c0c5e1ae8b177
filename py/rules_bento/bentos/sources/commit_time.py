"""Reads the time of a commit from a Git repository's files, without Git.

Nothing in the repository runs, and no setting of it has an effect: hooks, filters, fetches, or other directories.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import Iterator

_HEAD = re.compile(rb"(?:ref: (refs/[\w./-]+)|([0-9a-f]{40}|[0-9a-f]{64}))\s*")
_COMMITTER = re.compile(rb"(?:(?!committer )[^\n]*\n)*committer [^\n]*> ([0-9]{1,12}) [-+][0-9]{4}\n")
_WORKTREE = re.compile(r'^\s*worktree = "?([^"\n]+)"?$', re.MULTILINE)  # in the settings of a submodule
_MAX_TEXT, _MAX_REFS = 4096, 16 << 20
_MAX_OBJECT = 1 << 20  # bytes of a commit
_MAX_PACKS, _MAX_DELTAS, _MAX_ALTERNATES = 1000, 50, 5
_MAX_TIME = 253_402_300_799  # in the year 9999
_COMMIT, _OFFSET_DELTA, _NAME_DELTA = 1, 6, 7  # types of objects


class Repository(NamedTuple):
    """A Git repository: the directory that contains `.git`, and the directories of HEAD and of the objects.

    `git` and `objects` are None if they are in another directory that doesn't refer back to this repository.
    """

    root: Path
    git: Path | None
    objects: Path | None

    @property
    def has_alternates(self) -> bool:
        """Whether objects can be in other directories, as after `git clone --reference`."""
        return self.objects is not None and os.path.lexists(self.objects / "info/alternates")


def find_repository(directory: Path) -> Repository | None:
    """Return the repository that contains a directory, or None.

    Ignores repositories of other users, such as in a shared directory, and of the user's home directory.
    """
    for root in (directory, *directory.parents):
        git = root / ".git"
        if os.path.lexists(git):
            break
    else:
        return None
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.expanduser fails for a user without a home directory
    is_home = root != directory and home.resolve().is_relative_to(root.resolve())
    if is_home or git.lstat().st_uid not in (os.getuid(), directory.stat().st_uid):
        return None
    try:
        mode = git.lstat().st_mode
        if stat.S_ISDIR(mode):
            git = git.resolve()
            return Repository(root, git, git / "objects")
        if stat.S_ISREG(mode):
            git, common = _elsewhere(git.resolve())
            return Repository(root, git, common / "objects")
    except (OSError, ValueError):
        pass
    return Repository(root, None, None)


def commit_time(directory: Path) -> int | None:
    """Return the time of the commit that is checked out in a directory or its parents, in seconds since 1970.

    Returns None if there is none.
    """
    repository = find_repository(directory)
    if not (repository and repository.git and repository.objects):
        return None
    try:
        name = _head(repository.git, repository.objects.parent)
        match = _COMMITTER.match(_object(repository.objects, name, 0)) if name else None
    except (OSError, ValueError, IndexError, struct.error, zlib.error):
        return None
    return int(match[1]) if match and int(match[1]) <= _MAX_TIME else None


def _elsewhere(file: Path) -> tuple[Path, Path]:
    """Return the directory of HEAD of a worktree or submodule, and the directory of its branches.

    Raises ValueError unless this directory refers back. Otherwise, a project from elsewhere could name any repository
    of the user.
    """
    git = Path(file.parent, _read(file, _MAX_TEXT).decode().removeprefix("gitdir: ").rstrip("\n")).resolve()
    if is_worktree := git.parent.name == "worktrees":
        back = Path(git, _read(git / "gitdir", _MAX_TEXT).decode().rstrip("\n"))
    else:
        match = _WORKTREE.search(_read(git / "config", _MAX_TEXT).decode())
        back = Path(git, match[1] if match else "", ".git")
    if back.resolve() != file:
        raise ValueError(git)
    return git, git.parent.parent if is_worktree else git


def _head(git: Path, common: Path) -> str:
    """Return the name of the commit in HEAD, or "". `common` is the directory of branches."""
    match = _HEAD.fullmatch(_read(git / "HEAD", _MAX_TEXT))
    reference = match[1].decode() if match and match[1] else ""
    if reference and ".." not in reference:
        try:
            match = _HEAD.fullmatch(_read(common / reference, _MAX_TEXT))
        except OSError:
            packed = _read(common / "packed-refs", _MAX_REFS)
            match = re.search(rb"(?m)^()([0-9a-f]{40,64}) " + re.escape(reference.encode()) + rb"$", packed)
    return match[2].decode() if match and match[2] else ""


def _open(path: Path) -> int:
    """Open a regular file whose path contains no links."""
    if path.parent.resolve() != path.parent:
        raise ValueError(path)
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ValueError(path)
    return file


def _read(path: Path, limit: int) -> bytes:
    with os.fdopen(_open(path), "rb") as file:
        return file.read(limit)


def _object(objects: Path, name: str, deltas: int) -> bytes:
    """Return the beginning of a commit, or b""."""
    try:
        data = _inflate(_read(objects / name[:2] / name[2:], _MAX_OBJECT))
    except FileNotFoundError:
        for pack, offset in _packed(objects, bytes.fromhex(name)):
            return _pack_entry(objects, pack, offset, len(name) // 2, deltas)
        nested = deltas + _MAX_DELTAS // 2  # alternates of alternates are rare
        others = (_object(each, name, nested) for each in _alternates(objects)) if nested <= _MAX_DELTAS else ()
        return next(filter(None, others), b"")
    header, _, content = data.partition(b"\0")
    return content if header.startswith(b"commit ") else b""


def _alternates(objects: Path) -> Iterator[Path]:
    try:
        lines = _read(objects / "info/alternates", _MAX_TEXT).decode().splitlines()
    except FileNotFoundError:
        return
    yield from (Path(objects, line).resolve() for line in lines[:_MAX_ALTERNATES] if line and line[0] not in '#"')


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _MAX_OBJECT)


def _packed(objects: Path, name: bytes) -> Iterator[tuple[Path, int]]:
    """Yield the packs that contain an object, and the offsets of the object."""
    for index in sorted((objects / "pack").glob("*.idx"))[:_MAX_PACKS]:
        file = _open(index)
        try:
            if os.pread(file, 8, 0) != b"\xfftOc\0\0\0\2":
                continue
            counts = struct.unpack(">256I", os.pread(file, 1024, 8))
            low, high = counts[name[0] - 1] if name[0] else 0, counts[name[0]]
            while low < high:
                middle = (low + high) // 2
                found = os.pread(file, len(name), 1032 + middle * len(name))
                if found == name:
                    offsets = 1032 + counts[-1] * (len(name) + 4)
                    [offset] = struct.unpack(">I", os.pread(file, 4, offsets + middle * 4))
                    if offset >> 31:
                        large = offsets + counts[-1] * 4 + (offset & 0x7FFFFFFF) * 8
                        [offset] = struct.unpack(">Q", os.pread(file, 8, large))
                    yield index.with_suffix(".pack"), offset
                    break
                low, high = (middle + 1, high) if found < name else (low, middle)
        finally:
            os.close(file)


def _pack_entry(objects: Path, pack: Path, offset: int, length: int, deltas: int) -> bytes:
    """Return the commit at an offset of a pack, or b"". `length` is of names, and `deltas` counts earlier deltas."""
    file = _open(pack)
    try:
        data = os.pread(file, _MAX_OBJECT, offset)
    finally:
        os.close(file)
    kind, position = data[0] >> 4 & 7, 0
    while data[position] & 0x80:
        position += 1
    position += 1
    if kind == _COMMIT:
        return _inflate(data[position:])
    if kind not in (_OFFSET_DELTA, _NAME_DELTA) or deltas == _MAX_DELTAS:
        return b""
    if kind == _NAME_DELTA:
        base = _object(objects, data[position : position + length].hex(), deltas + 1)
        position += length
    else:
        distance = data[position] & 0x7F
        while data[position] & 0x80:
            position += 1
            distance = (distance + 1) << 7 | data[position] & 0x7F
        position += 1
        base = _pack_entry(objects, pack, offset - distance, length, deltas + 1)
    return _apply(base, _inflate(data[position:]))


def _apply(base: bytes, delta: bytes) -> bytes:
    """Return the object that a delta describes."""
    position, result = 0, b""
    for _ in range(2):  # the sizes
        while delta[position] & 0x80:
            position += 1
        position += 1
    while position < len(delta) and len(result) <= _MAX_OBJECT:
        code = delta[position]
        position += 1
        if code & 0x80:
            numbers = []
            for bits in ((0, 1, 2, 3), (4, 5, 6)):
                number = 0
                for byte, bit in enumerate(bits):
                    if code >> bit & 1:
                        number |= delta[position] << 8 * byte
                        position += 1
                numbers.append(number)
            start, size = numbers
            result += base[start : start + (size or 0x10000)]
        else:
            result += delta[position : position + code]
            position += code
    return result
