"""The file system of an image, unpacked to a folder, for programs that run in it.

Names and links mean what they mean in the image: nothing is written or removed outside of the folder, whatever links
say. For that, each path is followed anew, part by part: a layer may put a link where a folder was a moment ago. Owners
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

_MOST_LINKS = 40  # on one path, as Linux has it
_DEEPEST = 256  # folders on one path: who walks a tree calls itself for each
_MOST_NAMES = 200_000  # on the ways of all members, those of links among them
_MORE_NAMES = 32  # for each member
_LEFT_OUT = ("device", "pipe")
_NO_NAMES = ("", ".", "..")
_UNREAD = 0, 0  # times of access and of change, nanoseconds


def unpack(layers: Iterable[tuple[Path, str]], root: Path) -> None:
    """Unpack layers, blobs and their media types from the lowest up, into an empty folder.

    All times are those of 1970. Raises BentoError for a layer that cannot be read or unpacked.
    """
    image = _Image(root)
    for blob, media_type in layers:
        image.begin_layer()
        for member, data in contents.members(blob, media_type):
            if member.name.rstrip("/") in ("", "."):
                continue
            try:
                image.apply(member, data)
            except (OSError, ValueError) as error:  # ValueError: a NUL in a name
                reason = (isinstance(error, OSError) and error.strerror) or error
                raise BentoError(
                    f"{blob.name}: {member.name!r} cannot be unpacked ({reason}). Take another base."
                ) from None


def files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files in an unpacked image by their paths, and what the system knows of them."""
    for above, _, names in os.walk(root):
        for name in names:
            path = Path(above, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield path.relative_to(root).as_posix(), status


def folder(root: Path, name: str) -> Path:
    """Return the folder of a path in the image, as it is in `root`, made if it is missing.

    No part of what is returned is a link. Raises BentoError for a circle of links and folders without end, OSError for
    what cannot be made.
    """
    return _followed(root, name)[0]


def _followed(root: Path, name: str) -> tuple[Path, int]:
    """Resolve a path as `folder` does; return how many names were on the way, too."""
    at, waiting, links, names = root, name.split("/")[::-1], 0, 0
    while waiting:
        part = waiting.pop()
        names += 1
        if part == ".." and at != root:
            at = at.parent
        if part in _NO_NAMES:
            continue
        path = at / part
        if path.is_symlink():
            target = str(path.readlink())
            links += 1
            if links > _MOST_LINKS:
                raise BentoError(f"{name[:80]}: links that lead in a circle. Take another base.")
            at = root if target.startswith("/") else at
            waiting += target.split("/")[::-1]
            continue
        if not path.is_dir():
            if len(at.parts) - len(root.parts) >= _DEEPEST:
                raise BentoError(f"{name[:80]}: lies in more than {_DEEPEST} folders. Take another base.")
            remove(path)
            path.mkdir()
        at = path
    return at, names


def remove(path: Path) -> None:
    """Remove a file, a folder with all in it, or a link and not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class _Image:
    """Unpacks the layers of an image to a folder.

    What a layer says is gone is that of the layers below, wherever in the layer it says so: what it has made stays.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names_left = _MOST_NAMES
        self._new: set[Path] = set()
        self._emptied: set[Path] = set()

    def begin_layer(self) -> None:
        """Treat all that is there as of the layers below."""
        self._new = {self._root}  # what the layer has made, and the folders above that
        self._emptied = set()  # folders that have nothing of the layers below any more

    def apply(self, member: TarMember, data: Iterable[bytes | memoryview]) -> None:
        """Apply a member of the layer: a file, folder, link or whiteout.

        Raises BentoError, OSError and ValueError if it cannot.
        """
        self._names_left += _MORE_NAMES
        place = self._place(member.name.rstrip("/"))
        if place.name == contents.EMPTIED:
            self._empty(place.parent)
        elif place.name.startswith(contents.REMOVED):
            self._hide(_named(place.parent, place.name.removeprefix(contents.REMOVED)))
        elif member.kind == "sparse file":
            raise ValueError("a sparse file")
        elif member.kind not in _LEFT_OUT:
            target = self._place(member.link) if member.kind == "hard link" else None
            _make(place, target, member, data)
            while place not in self._new:
                self._new.add(place)
                place = place.parent

    def _place(self, path: str) -> Path:
        """Return where a path of the image lies, whatever its last part is."""
        above, _, name = path.rpartition("/")
        place, names = _followed(self._root, above)
        self._names_left -= names
        if self._names_left < 0:
            raise ValueError("links lead to it by more names than any image has")
        return _named(place, name)

    def _hide(self, path: Path) -> None:
        if path not in self._new:
            remove(path)
        elif path.is_dir() and not path.is_symlink():
            self._empty(path)

    def _empty(self, place: Path) -> None:
        """Remove what lies in a folder and in those below it, but what the layer itself has made."""
        if place in self._emptied:
            return
        self._emptied.add(place)
        for above, folders, names in os.walk(place):
            for path in (Path(above, name) for name in (*folders, *names)):
                if path not in self._new:
                    remove(path)
            folders[:] = [name for name in folders if Path(above, name) not in self._emptied]


def _make(place: Path, target: Path | None, member: TarMember, data: Iterable[bytes | memoryview]) -> None:
    """Make what a member is, in the place of what is there; a folder joins one. `target` is that of a hard link."""
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
        os.utime(place, ns=_UNREAD)


def _named(above: Path, name: str) -> Path:
    if name in _NO_NAMES:
        raise ValueError("it has no name")
    return above / name
