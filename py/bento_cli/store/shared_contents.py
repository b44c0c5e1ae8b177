"""Stores file contents by BLAKE3 digest, so that entries share equal files.

If the file system supports reflinks (btrfs, XFS), a file of an entry is a copy that shares blocks with the file in the
pool. Otherwise, a file of an entry is a hard link to the file in the pool. If hard links aren't possible, entries have
separate files, and the pool isn't used.

A write to a hard link changes the file in all entries. BentoML never writes to files of entries (according to its
source code and to experiments), but services and users might. Therefore, linked files are read-only (0444, 0555), which
protects them from all users except root. Their modification time is derived from their digest, so that the pool detects
a changed file before another entry uses the file. A constant modification time isn't sufficient, because Python, make,
and rsync consider files with the same size and time to be equal. Copies that share blocks are writable (0644, 0755).

Executable files are stored separately, because all hard links to a file have the same mode.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from rules_bento.base.own_files import digest_path
from rules_bento.base.typing_lite import Iterable, Literal

from bento_cli.store.home import unique

SharingMethod = Literal["reflink", "link", "copy"]
"""The method by which a file of an entry shares the content of a pool file."""
Contents = Iterable[bytes | memoryview]

_FICLONE = 0x40049409  # linux/fs.h
_EPOCH = 315_532_800  # 1980, the first year that zip archives support
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def digest_time(digest: str) -> int:
    """Return the modification time for files with this digest, in nanoseconds. The year is between 1980 and 1988."""
    return (_EPOCH + int(digest[:7], 16)) * 10**9  # whole seconds


class Pool:  # writes: digest, of contents, or a new name in the staging directory
    """A directory of file contents that entries share. `scratch` is a directory on the same file system."""

    def __init__(self, directory: Path, scratch: Path, way: SharingMethod | None = None) -> None:
        """Use `directory` as the pool. `way` is the sharing method, by default the best supported method."""
        self._root = os.fspath(directory)
        self._scratch = scratch
        self._given = way

    @property
    def way(self) -> SharingMethod:
        """The method by which entries share files: reflinks, hard links, or copies."""
        if self._given is None:
            self._given = self._probe()
        return self._given

    def path(self, digest: str, *, executable: bool) -> Path:
        """Return the path in the pool for a digest. The file might not exist. Raises BentoError as `digest_path`."""
        return Path(self._file(digest_path(Path(), digest).name, executable=executable))

    def _file(self, digest: str, *, executable: bool) -> str:
        return f"{self._root}/{digest[:2]}/{digest[2:]}{'-x' if executable else ''}"

    def put(self, data: bytes, target: str, *, executable: bool) -> tuple[str, bool]:
        """Create the file `target` from `data`. Returns the digest, and whether the content is new in the pool."""
        import blake3

        if not data:
            return write(target, [], executable=executable), True
        digest = blake3.blake3(data).hexdigest()
        if self._share(digest, len(data), target, executable=executable):
            return digest, False
        write(target, [data], executable=executable, linked=self.way == "link", digest=digest)
        self._keep(target, digest, executable=executable)
        return digest, True

    def add(self, contents: Contents, size: int, target: str, *, executable: bool) -> tuple[str, bool]:
        """Create the file `target` from `contents`. Returns the digest, and whether the content is new in the pool."""
        digest = write(target, contents, executable=executable, linked=self.way == "link")
        shared = unique(self._scratch)
        if self._share(digest, size, str(shared), executable=executable):
            shared.replace(target)
            return digest, False
        self._keep(target, digest, executable=executable)
        return digest, True

    def _share(self, digest: str, size: int, target: str, *, executable: bool) -> bool:
        """Create `target` as a hard link or reflink of the pool file. Returns False if the file can't be shared."""
        path = self._file(digest, executable=executable)
        if not self._intact(path, digest, size, executable=executable):
            return False
        try:
            if self.way == "link":
                os.link(path, target)
            else:
                _clone(path, target, digest, executable=executable)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            # The file has the maximum number of links (65,000 on ext4). A new file replaces it in the pool.
            Path(path).unlink(missing_ok=True)
            return False
        return True

    def _intact(self, path: str, digest: str, size: int, *, executable: bool) -> bool:
        """Return whether the pool contains an unmodified copy of the content. Removes a modified copy."""
        if self.way == "copy":
            return False
        try:
            status = os.stat(path)  # noqa: PTH116 - faster, and an entry can have many files
        except FileNotFoundError:
            return False
        mode = stat.S_IMODE(status.st_mode)
        is_intact = status.st_size == size and status.st_mtime_ns == digest_time(digest)
        if is_intact and (self.way == "reflink" or mode == _linked_mode(executable=executable)):
            return True
        Path(path).unlink(missing_ok=True)
        return False

    def _keep(self, target: str, digest: str, *, executable: bool) -> None:
        """Add the new file `target` to the pool. Does nothing if entries don't share files."""
        if self.way == "copy":
            return
        path = self._file(digest, executable=executable)
        try:
            self._keep_at(path, target, digest, executable=executable)
        except FileNotFoundError:
            Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep_at(path, target, digest, executable=executable)

    def _keep_at(self, path: str, target: str, digest: str, *, executable: bool) -> None:
        if self.way == "link":
            with suppress(FileExistsError):  # another process has added the file
                os.link(target, path)
            return
        copy = unique(self._scratch)
        _clone(target, str(copy), digest, executable=executable)
        copy.replace(path)

    def _probe(self) -> SharingMethod:
        one, other = unique(self._scratch), unique(self._scratch)
        try:
            digest = write(str(one), [bytes(4096)])
            with suppress(OSError):
                _clone(str(one), str(other), digest, executable=False)
                return "reflink"
            with suppress(OSError, NotImplementedError):
                os.link(one, other)
                return "link"
            return "copy"
        finally:
            one.unlink(missing_ok=True)
            other.unlink(missing_ok=True)


def write(target: str, contents: Contents, *, executable: bool = False, linked: bool = False, digest: str = "") -> str:
    """Write a file with modification time `digest_time(digest)`. Returns the digest. `linked` files are read-only.

    Computes the digest if it isn't given.
    """
    import blake3

    hasher = None if digest else blake3.blake3()
    mode = _linked_mode(executable=executable)
    file = os.open(target, _NEW, mode if linked else mode | 0o200)  # writes: own, O_EXCL follows no link
    try:
        if linked:
            os.fchmod(file, mode)  # other entries share the file, so the mode must not depend on the umask
        for piece in contents:
            if hasher:
                hasher.update(piece)
            written = os.write(file, piece)
            while written < len(piece):
                written += os.write(file, memoryview(piece)[written:])
        if hasher:
            digest = hasher.hexdigest()
        os.utime(file, ns=(digest_time(digest),) * 2)  # writes: own, a descriptor of it
    finally:
        os.close(file)
    return digest


def _linked_mode(*, executable: bool) -> int:
    return 0o555 if executable else 0o444


def _clone(source: str, target: str, digest: str, *, executable: bool) -> None:  # writes: own, O_EXCL follows no link
    """Create a copy that shares blocks with `source`. Raises OSError if the file system doesn't support reflinks."""
    out = os.open(target, _NEW, 0o755 if executable else 0o644)
    try:
        with Path(source).open("rb", buffering=0) as file:
            fcntl.ioctl(out, _FICLONE, file.fileno())
        os.utime(out, ns=(digest_time(digest),) * 2)
    except BaseException:
        Path(target).unlink()
        raise
    finally:
        os.close(out)
