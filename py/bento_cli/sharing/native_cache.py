"""Caches files for the native backend. Removes damaged content, so that the content is created again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import ExitStack, contextmanager, suppress

from rules_bento.base import tree_walk
from rules_bento.base.archives import sha256_of
from rules_bento.base.archives.atomic import atomic_dir, replace_file
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, read_file
from rules_bento.base.formats.json import read_json
from rules_bento.base.own_files import remove
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Iterable, Iterator, Mapping
from rules_bento.images.registry.blob_sources import FileSource

from bento_cli.store import durable

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.registry.descriptor import Descriptor

MAX_SIZE, _DAY = 20 << 30, 24 * 60 * 60  # bytes, which builds of a day can exceed, and seconds
_DIGESTS = "digests"  # the record of a cached directory
_LOCK = "lock"  # a file in a cache
_locks: dict[Path, int] = {}  # file descriptors of locks, by cache


class DamagedError(BentoError):
    """Raised after damaged or outdated files have been removed from the cache."""


def open_cache(directory: Path) -> Path:  # writes: own, the user's cache
    """Create the directory of a cache if it doesn't exist. Allows only the current user to access the directory.

    Until this process ends, `clean` of other processes waits. If no other process uses the cache, removes what killed
    processes have left, and once a day, what exceeds `MAX_SIZE`.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid == os.geteuid() and status.st_mode & 0o077:  # from an earlier version
        directory.chmod(0o700)
    if directory not in _locks:
        _locks[directory] = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(_locks[directory], fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in directory.glob("*/.*.part"):
                remove(path, ignores_errors=True)
            if time.time() - os.fstat(_locks[directory]).st_mtime > _DAY:
                os.utime(_locks[directory])
                _shrink(directory)
        fcntl.flock(_locks[directory], fcntl.LOCK_SH)
    return directory


def _shrink(directory: Path) -> None:  # writes: own, names that are in the user's cache
    """Remove the entries whose files weren't read or written for the longest time, until the rest is in the limit."""
    entries: dict[str, tuple[float, int]] = {}
    for path, entry in tree_walk.walk(directory, strict=False):
        kind, _, name = path.partition("/")
        if name and not entry.is_dir(follow_symlinks=False):
            status, key = entry.stat(follow_symlinks=False), f"{kind}/{name.partition('/')[0]}"
            used, size = entries.get(key, (0.0, 0))
            entries[key] = max(used, status.st_atime, status.st_mtime), size + status.st_size
    left = sum(size for _, size in entries.values())
    for key in sorted(entries, key=entries.__getitem__):
        if left > MAX_SIZE:
            remove(directory / key, ignores_errors=True)
            left -= entries[key][1]


def clean(directory: Path, waiting: Callable[[], None]) -> None:  # writes: own, names that are in the user's cache
    """Remove the content of a cache. Calls `waiting` if another process uses the cache, and waits for its end."""
    if not directory.is_dir():
        return
    if own := _locks.pop(directory, 0):  # of an earlier command in this process, which would wait for itself
        os.close(own)
    with (directory / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        for path in directory.iterdir():
            if path.name != _LOCK:
                remove(path, ignores_errors=True)


def read_record(path: Path, create: Callable[[], Any]) -> Any:
    """Return the JSON value in `path`. If the file is missing or damaged, writes the value that `create` returns."""
    with suppress(OSError, FormatError):
        return load_record(path)
    with _locked(path):
        with suppress(OSError, FormatError):
            return load_record(path)  # another process has just written it
        write_record(path, create())
    return load_record(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:  # writes: digest, each caller's path contains it
    """Let other processes that write `path` wait, so that one of them does the work.

    The kernel releases the lock of a killed process, and `open_cache` removes its file. Without locks, as on some file
    systems, or if the file is removed too early, all write the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock.part")
    with ExitStack() as stack:
        with suppress(OSError):
            fcntl.flock(stack.enter_context(file.open("ab")), fcntl.LOCK_EX)
        stack.callback(remove, file, ignores_errors=True)
        yield


def write_record(path: Path, value: Any) -> None:  # writes: digest, each caller's path contains it
    """Write a JSON value, and its digest."""
    body = json.dumps(value, default=str).encode()
    replace_file(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def load_record(path: Path) -> Any:
    """Return the value that `write_record` wrote. Raises OSError or FormatError for a missing or damaged file."""
    digest, _, body = read_file(path).partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise FormatError(f"{path}: the file is damaged. Remove the file.")
    return read_json(body, str(path))


def read_directory(path: Path, write: Callable[[Path], None], large: Collection[str] = ()) -> Path:
    """Return the directory `path`. If it is missing or damaged, calls `write` to create its files.

    Compares the digests of all files, except for the files in `large`, which callers must verify. The digests are in
    the directory, so they reveal damage, but no changes by a program that also replaces the digests. Therefore, code
    that reads untrusted files can't write to the cache (`project_reach.confined`).
    """
    if os.path.lexists(path) and not _is_intact(path, large):
        remove(path, ignores_errors=True)  # writes: digest, each caller's path contains it
    if not path.is_dir():
        with _locked(path):
            if not path.is_dir():  # otherwise, another process has just created it
                _write_directory(path, write, large)
    return path


def _write_directory(path: Path, write: Callable[[Path], None], large: Collection[str]) -> None:
    try:
        with atomic_dir(path) as unfinished:  # writes: digest, each caller's path contains it
            write(unfinished)
            write_record(unfinished / _DIGESTS, _digests(unfinished, large))
            for file in (*unfinished.iterdir(), unfinished):
                durable.flush(file)
        durable.flush(path.parent)
    except OSError:
        if not path.is_dir():  # otherwise, another process has created it without a lock
            raise


def _is_intact(directory: Path, large: Collection[str]) -> bool:
    with suppress(OSError, FormatError):
        return bool(load_record(directory / _DIGESTS) == _digests(directory, large))
    return False


def _digests(directory: Path, large: Collection[str]) -> dict[str, str]:
    """Return the digests of files, and the targets of links, by path. Other directories than `directory` have none."""
    found = {}
    for path, entry in tree_walk.walk(directory):
        if entry.is_symlink():
            found[path] = f"link {os.readlink(entry.path)}"  # noqa: PTH115 - Path.readlink normalizes the target
        elif path != _DIGESTS:
            found[path] = sha256_of(entry.path) if entry.is_file() and path not in large else ""
    return found


def remove_damaged(cache: Path, layers: Iterable[Descriptor], blobs: Mapping[str, Path]) -> bool:
    """Remove the cached directories of layers that don't match their digests. Returns whether a layer was damaged.

    `blobs` contains the paths of the layers by digest. Keeps files outside of `cache`, such as a user's layout.
    """
    found = False
    for layer in layers:
        path = blobs[layer.digest]
        if path.is_relative_to(cache):
            try:
                FileSource(path).check(layer.digest, layer.size)
            except BentoError:
                kind, name = path.relative_to(cache).parts[:2]  # such as layers/KEY
                remove(cache / kind / name, ignores_errors=True)  # writes: own, two names in the cache
                found = True
    return found
