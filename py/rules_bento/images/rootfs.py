"""The file system of an image, unpacked to a folder, for programs that run in it.

Names and links mean what they mean in the image: nothing is written outside of the folder, whatever links say. Owners
are left to whoever unpacks, and devices and pipes out.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.images.layers import contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rules_bento.archives.tarread import TarMember

_REMOVED, _EMPTIED = ".wh.", ".wh..wh..opq"  # OCI image layer specification, "Whiteouts"
_MOST_LINKS = 40  # on one path, as Linux has it
_LEFT_OUT = ("device", "pipe")
_UNREAD = 0, 0  # times of access and of change, nanoseconds


def unpack(layers: Iterable[tuple[Path, str]], folder: Path) -> None:
    """Unpack layers, blobs and their media types from the lowest up, into an empty folder.

    All times are those of 1970. Raises BentoError for a layer that cannot be read or unpacked.
    """
    root = _Root(folder)
    for blob, media_type in layers:
        new: set[Path] = set()
        for member, data in contents.members(blob, media_type):
            folders, _, name = member.name.rstrip("/").rpartition("/")
            if name in ("", "."):
                continue
            place = root.folder(folders) / name
            if name == _EMPTIED:
                for path in set(place.parent.iterdir()) - new:
                    _remove(path)
            elif name.startswith(_REMOVED):
                _remove(place.with_name(name.removeprefix(_REMOVED)))
            elif name == ".." or member.kind == "sparse file":
                raise BentoError(f"{blob.name}: {member.name!r} cannot be unpacked. Take another base.")
            elif member.kind not in _LEFT_OUT:
                _make(root, place, member, data)
                new.add(place)


def files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The files in an unpacked image by their paths, and what the system knows of them."""
    for above, _, names in os.walk(folder):
        for name in names:
            path = Path(above, name)
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                yield path.relative_to(folder).as_posix(), found


class _Root:
    """The folder in which links are followed as if it were the root."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Path] = {}

    def folder(self, name: str) -> Path:
        """Return the folder of a path in the image, made if it is missing. Raises BentoError for a circle of links."""
        if name not in self._known:
            self._known[name] = self._found(name)
        return self._known[name]

    def forget(self) -> None:
        """Look again: a link or a folder has gone."""
        self._known.clear()

    def _found(self, name: str) -> Path:
        at, waiting, links = self._path, name.split("/")[::-1], 0
        while waiting:
            part = waiting.pop()
            if part == ".." and at != self._path:
                at = at.parent
            if part in ("", ".", ".."):
                continue
            path = at / part
            if path.is_symlink():
                target = str(path.readlink())
                links += 1
                if links > _MOST_LINKS:
                    raise BentoError(f"{name}: links that lead in a circle. Take another base.")
                at = self._path if target.startswith("/") else at
                waiting += target.split("/")[::-1]
                continue
            if not path.is_dir():
                _remove(path)
                path.mkdir()
            at = path
        return at


def _make(root: _Root, place: Path, member: TarMember, data: Iterable[bytes | memoryview]) -> None:
    """Make what a member is, in the place of what is there; a folder joins one."""
    if member.kind == "folder":
        if place.is_symlink() or not place.is_dir():
            _remove(place)
            place.mkdir()
            root.forget()
        place.chmod(member.mode & 0o777 | 0o700)
        return
    if os.path.lexists(place):
        _remove(place)
        root.forget()
    if member.kind == "link":
        place.symlink_to(member.link)
        return
    if member.kind == "hard link":
        above, _, name = member.link.rpartition("/")
        os.link(root.folder(above) / name, place, follow_symlinks=False)
        return
    with place.open("wb") as file:
        file.writelines(data)
    place.chmod(member.mode & 0o777 | 0o400)
    os.utime(place, ns=_UNREAD)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
