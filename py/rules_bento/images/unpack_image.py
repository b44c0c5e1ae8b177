"""Unpacks the file system of an image into a directory, so that programs can run in it.

Files outside of the directory are never written or removed. Because any member can replace a directory with a link, the
links in a path are resolved again for each member, name by name. Devices and pipes are ignored. The current user owns
all files. For a user of the image, the owner's permissions are those that this user has in a container.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import remove
from rules_bento.base.tree_walk import walk
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator
from rules_bento.images.layers import contents

if TYPE_CHECKING:
    from rules_bento.base.archives.tarread import TarMember

_MAX_LINKS = 40  # on one path, as in Linux
_MAX_DEPTH = 256  # directories on one path: walking a tree recurses once for each
_MAX_NAMES = 200_000  # on the resolved paths of all members, including the targets of links
_MAX_NAMES_PER_MEMBER = 32  # additional names for each member
_SKIPPED_KINDS = ("device", "pipe")
_SPECIAL_NAMES = ("", ".", "..")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def unpack(
    layers: Iterable[tuple[Path, str, str]],
    root: Path,
    user: tuple[int, int] = (0, 0),
    selects: Callable[[TarMember], bool] = lambda _: True,
) -> dict[str, int]:
    """Unpack layers into an empty directory for `user` (UID and GID). Sets the access times of files to 1970.

    `layers` contains blobs, media types, and diff IDs, lowest first. Ignores members for which `selects` returns False.
    Returns the index of the last layer that has each path. Raises BentoError for an invalid layer, and OSError if the
    disk is full.
    """
    image = _RootfsWriter(root)
    for blob, media_type, diff_id in layers:
        image.begin_layer()
        for member, data in contents.members(blob, media_type, diff_id):
            if member.name.rstrip("/") in ("", ".") or not selects(member):
                continue
            try:
                image.apply(member, data)
            except (OSError, ValueError) as error:  # ValueError: a NUL in a name
                if isinstance(error, OSError) and error.errno in _FULL:
                    raise
                reason = (isinstance(error, OSError) and error.strerror) or error
                problem = f"{member.name!r} cannot be unpacked ({reason})"
                raise BentoError(problem, place=blob.name, remedy="Use another base image.") from None
    if user[0]:
        image.restrict(*user)
    return image.paths()


class Limit:
    """Raises BentoError if members, each with an overhead, have more than `most` bytes. `what` is for the message."""

    def __init__(self, what: str, most: int, overhead: int) -> None:
        self._what, self._most, self._left, self._overhead = what, most, most, overhead

    def __call__(self, member: TarMember) -> bool:
        """Count a member, and return True."""
        self._left -= member.size + self._overhead
        if self._left < 0:
            problem = f"the files, each with {self._overhead} more bytes, have more than {self._most} bytes"
            raise BentoError(problem, place=self._what)
        return True


def remove_image(root: Path, scratch: Path) -> None:  # writes: own, numbers, and entries of directories without users
    """Remove an unpacked image, and what programs wrote there: directories of any depth, and without permissions.

    Moves directories to the empty directory `scratch` of the same file system, so that no path is too long.
    """
    root.chmod(0o700)
    root.rename(scratch / "0")
    at, count = 0, 1
    while at < count:
        directory = scratch / str(at)
        directory.chmod(0o700)
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    Path(entry.path).chmod(0o700)  # only then, it can move
                    Path(entry.path).rename(scratch / str(count))
                    count += 1
                else:
                    Path(entry.path).unlink()
        directory.rmdir()
        at += 1


def files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path and status of each regular file in an unpacked image."""
    for path, entry in walk(root):
        if entry.is_file(follow_symlinks=False):
            yield path, entry.stat(follow_symlinks=False)


def create_directory(root: Path, name: str) -> Path:
    """Create a directory and its parents in the image. Replaces files at these paths. Returns the resolved path."""
    return _resolve(root, name)[0]


def _resolve(root: Path, name: str) -> tuple[Path, int]:  # writes: own, resolves each link within `root`
    """Do the same as `create_directory`. Also returns the number of path components, including link targets."""
    at, waiting, links, names = root, name.split("/")[::-1], 0, 0
    while waiting:
        part = waiting.pop()
        names += 1
        if part == ".." and at != root:
            at = at.parent
        if part in _SPECIAL_NAMES:
            continue
        path = at / part
        if path.is_symlink():
            target = str(path.readlink())
            links += 1
            if links > _MAX_LINKS:
                raise BentoError("the symbolic links form a loop", place=name[:80], remedy="Use another base image.")
            at = root if target.startswith("/") else at
            waiting += target.split("/")[::-1]
            continue
        if not path.is_dir():
            if len(at.parts) - len(root.parts) >= _MAX_DEPTH:
                problem = f"the path has more than {_MAX_DEPTH} nested directories"
                raise BentoError(problem, place=name[:80], remedy="Use another base image.")
            remove(path)
            path.mkdir()
        at = path
    return at, names


class _RootfsWriter:  # writes: own, `_resolve` and `_child` made each path
    """Unpacks layers into a directory. A whiteout hides files of lower layers, but not files of its own layer."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names_left = _MAX_NAMES
        self._new: set[Path] = set()
        self._emptied: set[Path] = set()
        self._layer = -1
        self._owners: dict[Path, tuple[int, int, int, int]] = {}  # UID, GID, mode, and layer of files and directories

    def begin_layer(self) -> None:
        """Begin a new layer. All existing files then belong to lower layers."""
        self._layer += 1
        self._new = {self._root}  # paths of this layer, and the directories above them
        self._emptied = set()  # directories without files of the layers below

    def apply(self, member: TarMember, data: Iterable[bytes | memoryview]) -> None:
        """Apply a member of the current layer: a file, directory, link, or whiteout."""
        self._names_left += _MAX_NAMES_PER_MEMBER
        place = self._place(member.name.rstrip("/"))
        if place.name == contents.OPAQUE_WHITEOUT:
            self._empty(place.parent)
        elif place.name.startswith(contents.WHITEOUT):
            self._hide(_child(place.parent, place.name.removeprefix(contents.WHITEOUT)))
        elif member.kind == "sparse file":
            raise ValueError("sparse files aren't supported")
        elif member.kind not in _SKIPPED_KINDS:
            target = self._place(member.link) if member.kind == "hard link" else None
            _write_member(place, target, member, data)
            self._owners[place] = member.uid, member.gid, member.mode, self._layer
            while place not in self._new:
                self._new.add(place)
                place = place.parent

    def paths(self) -> dict[str, int]:
        """Return the index of the last layer that has each path."""
        prefix = len(str(self._root)) + 1
        return {str(place)[prefix:]: layer for place, (*_, layer) in self._owners.items()}

    def restrict(self, uid: int, gid: int) -> None:
        """Replace the owner's permissions of each file and directory with the permissions of another user."""
        entries = [Path(entry.path) for _, entry in walk(self._root) if not entry.is_symlink()]
        for path in (*reversed(entries), self._root):  # contents first, because a directory can become inaccessible
            owner, group, mode, _ = self._owners.get(path, (0, 0, 0o755, 0))
            allowed = mode >> (6 if owner == uid else 3 if group == gid else 0) & 7
            path.chmod(mode & 0o077 | allowed << 6)

    def _place(self, path: str) -> Path:
        """Return the location of a path in the image. Resolves links in all parts of the path except the last part."""
        above, _, name = path.rpartition("/")
        place, names = _resolve(self._root, above)
        self._names_left -= names
        if self._names_left < 0:
            raise ValueError("the path contains too many symbolic links")
        return _child(place, name)

    def _hide(self, path: Path) -> None:
        if path not in self._new:
            remove(path)
        elif path.is_dir() and not path.is_symlink():
            self._empty(path)

    def _empty(self, place: Path) -> None:
        """Remove the contents of a directory, except for files that the current layer has written."""
        if place in self._emptied:
            return
        self._emptied.add(place)

        def is_kept(entry: os.DirEntry[str]) -> bool:
            return Path(entry.path) in self._new and Path(entry.path) not in self._emptied

        for _, entry in walk(place, enter=is_kept):
            if Path(entry.path) not in self._new:
                remove(Path(entry.path))


def _write_member(place: Path, target: Path | None, member: TarMember, data: Iterable[bytes | memoryview]) -> None:
    # writes: own, `_resolve` and `_child` made `place`
    """Write a member to `place`. Replaces an existing file. `target` is the target of a hard link, or None."""
    if member.kind == "folder":
        if place.is_symlink() or not place.is_dir():
            remove(place)
            place.mkdir()
        place.chmod(member.mode & 0o777 | 0o700)
        return
    if target != place:
        remove(place)
    if target:
        if target != place:
            os.link(target, place, follow_symlinks=False)
    elif member.kind == "link":
        place.symlink_to(member.link)
    else:
        with place.open("xb") as file:
            file.writelines(data)
        place.chmod(member.mode & 0o777 | 0o400)
        os.utime(place, (0, _modified(member)))


def _child(above: Path, name: str) -> Path:
    if name in _SPECIAL_NAMES:
        raise ValueError("the name is empty, '.', or '..'")
    return above / name


def _modified(member: TarMember) -> int:
    """Return the time of modification, with which Python compares bytecode, or 0 for an invalid one."""
    match = re.fullmatch(rb"[0-7]{1,11}", member.header[136:148].strip(b" \0"))
    return int(match[0], 8) if match else 0
