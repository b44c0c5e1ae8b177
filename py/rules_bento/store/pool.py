"""Keeps contents by their BLAKE3 digest, so that what many entries share is on the disk once.

An entry's file is another name of the pool's (a hard link), or, where the file system can (btrfs, XFS, APFS has no
interface for it here), a copy that shares its blocks until one of them is written to. Where neither is possible,
entries have files of their own and there is no pool.

A hard link is one file: who writes into it in one entry writes into all. BentoML never does (found by reading and by
experiment: it writes `latest`, and of an entry only copies), but a service may write to a file beside its source, and
people edit. So linked files are read-only (0444, 0555), which stops everyone but root; and they have a modification
time that follows from their digest, so that a file that was written to is noticed here before it comes into another
entry. (The time is of the digest, not a constant, because Python, make and rsync take files of one size and time for
the same.) Copies that share blocks are writable (0644, 0755).

Executable files have a place of their own, for a mode belongs to the file and not to its names.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from rules_bento.hints import TYPE_CHECKING, Literal
from rules_bento.store.home import unique

if TYPE_CHECKING:
    from collections.abc import Iterable

SharingMethod = Literal["reflink", "link", "copy"]
"""How an entry's file has the pool's content."""

_FICLONE = 0x40049409  # linux/fs.h
_EPOCH = 315_532_800  # 1980, the first year that a zip knows
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def digest_time(digest: str) -> int:
    """Return the modification time (ns) of a content: a whole second from 1980 to 1988."""
    return (_EPOCH + int(digest[:7], 16)) * 10**9


class Pool:
    """Keeps contents in a folder; `scratch` is an existing folder on the same file system."""

    def __init__(self, folder: Path, scratch: Path, way: SharingMethod | None = None) -> None:
        """Use a folder as the pool; `way` (how files are shared) is found out unless it is given."""
        self.folder = folder
        self._scratch = scratch
        self._given = way

    @property
    def way(self) -> SharingMethod:
        """Return how contents are shared here: by clones, hard links or copies."""
        if self._given is None:
            self._given = self._probe()
        return self._given

    def place(self, digest: str, *, executable: bool) -> Path:
        """Return the path of a content in the pool; None if it is not there."""
        return Path(f"{self.folder}/{digest[:2]}/{digest[2:]}{'-x' if executable else ''}")

    def put(self, data: bytes, target: Path, *, executable: bool) -> tuple[str, bool]:
        """Make `target` a file with this content, which must not be there.

        Returns the digest, and whether something new was written.
        """
        from blake3 import blake3

        if not data:
            return write(target, [], executable=executable), True
        digest = blake3(data).hexdigest()
        if self._share(digest, len(data), target, executable=executable):
            return digest, False
        write(target, [data], executable=executable, linked=self.way == "link")
        self._keep(target, digest, executable=executable)
        return digest, True

    def add(
        self, contents: Iterable[bytes | memoryview], size: int, target: Path, *, executable: bool
    ) -> tuple[str, bool]:
        """Return the same for a content that is too large for the memory."""
        digest = write(target, contents, executable=executable, linked=self.way == "link")
        shared = unique(self._scratch)
        if self._share(digest, size, shared, executable=executable):
            shared.replace(target)
            return digest, False
        self._keep(target, digest, executable=executable)
        return digest, True

    def _share(self, digest: str, size: int, target: Path, *, executable: bool) -> bool:
        """Make `target` from what the pool has; returns whether it could."""
        place = self.place(digest, executable=executable)
        if not self._intact(place, digest, size):
            return False
        try:
            if self.way == "link":
                os.link(place, target)
            else:
                _clone(place, target, digest, executable=executable)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            # As many names as a file can have (65,000 on ext4): another file takes the place.
            place.unlink(missing_ok=True)
            return False
        return True

    def _intact(self, place: Path, digest: str, size: int) -> bool:
        """Return whether the pool has the content, unwritten to. What was written to loses its place, not its names."""
        if self.way == "copy":
            return False
        try:
            status = place.stat()
        except FileNotFoundError:
            return False
        if status.st_size == size and status.st_mtime_ns == digest_time(digest):
            return True
        place.unlink(missing_ok=True)
        return False

    def _keep(self, target: Path, digest: str, *, executable: bool) -> None:
        """Let the pool have a new file's content."""
        if self.way == "copy":
            return
        place = self.place(digest, executable=executable)
        try:
            self._keep_at(place, target, digest, executable=executable)
        except FileNotFoundError:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep_at(place, target, digest, executable=executable)

    def _keep_at(self, place: Path, target: Path, digest: str, *, executable: bool) -> None:
        if self.way == "link":
            with suppress(FileExistsError):  # somebody else was faster
                os.link(target, place)
            return
        copy = unique(self._scratch)
        _clone(target, copy, digest, executable=executable)
        copy.replace(place)

    def _probe(self) -> SharingMethod:
        one, other = unique(self._scratch), unique(self._scratch)
        try:
            digest = write(one, [bytes(4096)])
            with suppress(OSError):
                _clone(one, other, digest, executable=False)
                return "reflink"
            with suppress(OSError, NotImplementedError):
                os.link(one, other)
                return "link"
            return "copy"
        finally:
            one.unlink(missing_ok=True)
            other.unlink(missing_ok=True)


def write(
    target: Path, contents: Iterable[bytes | memoryview], *, executable: bool = False, linked: bool = False
) -> str:
    """Write a new file as entries have them; returns the digest of its content. What is `linked` is read-only."""
    from blake3 import blake3

    hasher = blake3()
    file = os.open(target, _NEW, (0o444 if linked else 0o644) | (0o111 if executable else 0))
    try:
        for piece in contents:
            hasher.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(file, view) :]
        digest = hasher.hexdigest()
        os.utime(file, ns=(digest_time(digest),) * 2)
    finally:
        os.close(file)
    return digest


def _clone(source: Path, target: Path, digest: str, *, executable: bool) -> None:
    """Clone a file, sharing its blocks. Raises OSError, and leaves nothing, if the file system cannot."""
    import fcntl

    out = os.open(target, _NEW, 0o755 if executable else 0o644)
    try:
        with source.open("rb", buffering=0) as file:
            fcntl.ioctl(out, _FICLONE, file.fileno())
        os.utime(out, ns=(digest_time(digest),) * 2)
    except BaseException:
        target.unlink()
        raise
    finally:
        os.close(out)
