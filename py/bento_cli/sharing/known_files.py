"""Keeps the digests of a project's files, so that a build without a change reads none of them, as Git's index does.

A file counts as unchanged if its file system, inode, mode, size, and times are equal. Programs can set mtime, but
not ctime. Within the resolution of ctime, a file can change twice. Therefore, the digest of a file that changed so
shortly before it was read isn't kept. No digest is used after the clock was set back.

A record is in the cache of the command. Functions that read the files of a stranger can't write it
(`project_reach.confined`).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from hashlib import sha256

from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.formats import FormatError
from rules_bento.base.own_files import digest_path
from rules_bento.base.typing_lite import TYPE_CHECKING, Mapping, Sequence
from rules_bento.bentos.sources import secrets, snapshot
from rules_bento.bentos.sources.tree_manifest import TreeEntry

from bento_cli.sharing.native_cache import load_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.bentos.sources.snapshot import DeclaredFile

_RESOLUTION = 2 * 10**9  # nanoseconds; FAT has the coarsest times


class FilesRead(NamedTuple):
    """Files, their entries by path in a program, the beginnings of those with possible secrets, and what to keep."""

    files: tuple[DeclaredFile, ...]
    entries: Mapping[str, TreeEntry]
    suspects: Mapping[str, bytes]
    known: dict[str, str]  # by path: status, `searched` if it has no secrets, mode in images, and BLAKE3


def record_path(cache: Path, version: str, directory: Path) -> Path:
    """Return the path of the record for a directory, which only an equal version of the code uses."""
    key = os.fsencode(f"{version} {directory.resolve()}")
    return digest_path(cache / "files", sha256(key).hexdigest(), ".json")


def load(path: Path) -> dict[str, str]:
    """Return what a record has, by path: nothing if it is missing, damaged, or not this user's."""
    with suppress(OSError, FormatError):
        written, files = load_record(path)
        if written <= time.time_ns() and path.stat().st_uid == os.geteuid():
            return dict[str, str](files)
    return {}


def store(path: Path, known: dict[str, str]) -> None:  # writes: digest, of `record_path`
    """Write a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, [time.time_ns(), known])


def read(files: Sequence[DeclaredFile], kept: Mapping[str, str], below: str = "", *, finds_secrets: bool) -> FilesRead:
    """Return files, and their entries `below` a directory. Reads files that `kept` lacks, or that changed.

    What is searched for secrets is what the digest is of, because each file is read once. Raises BentoError as
    `snapshot.digest`.
    """
    entries, suspects, known = dict[str, TreeEntry](), dict[str, bytes](), dict[str, str]()
    newest = time.time_ns() - _RESOLUTION
    for file in files:
        path = below + file.path
        if file.link is not None:
            entries[path] = TreeEntry.of_link(path, file.link)
            continue
        status, is_searched, mode, digest = kept.get(file.path, ":::").split(":")
        if status and (is_searched or not finds_secrets) and status == _text(found := os.lstat(file.source)):
            entries[path], known[file.path] = TreeEntry(path, found.st_size, int(mode), digest), kept[file.path]
            continue
        entry, beginning, found = snapshot.read_entry(file)
        entries[path] = replace(entry, path=path)
        if finds_secrets and secrets.scan(file.path, beginning):
            suspects[file.path] = beginning
        elif max(found.st_mtime_ns, found.st_ctime_ns) < newest:
            known[file.path] = f"{_text(found)}:{'searched' * finds_secrets}:{entry.mode}:{entry.blake3}"
    return FilesRead(tuple(files), entries, suspects, known)


def _text(status: os.stat_result) -> str:
    """Return what differs if a file changed, or if it is another file."""
    return (
        f"{status.st_dev} {status.st_ino} {status.st_mode} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    )
