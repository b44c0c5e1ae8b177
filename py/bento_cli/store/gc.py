"""Removes unused data: contents of the pool, manifests of deleted entries, and partial transfers."""

from __future__ import annotations

import shutil

from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.store import import_manifests, locks
from bento_cli.store.entry_store import EntryStore
from bento_cli.store.pool import Pool
from bento_cli.store.verification import walk
from bento_cli.transports import download

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rules_bento.bento.kinds import Kind
    from rules_bento.tag import Tag

    from bento_cli.store.home import Home


@dataclass(frozen=True)
class Collected:
    """Counts what was removed, or would be removed by a dry run."""

    files: int
    size: int  # bytes
    records: int


def collect(home: Home, *, dry_run: bool = False, waiting: Callable[[], None] | None = None) -> Collected:
    """Remove unused data. Entries aren't changed.

    A content of the pool is in use if an entry has a hard link to it, or if the manifest of an entry names it.
    `waiting` is called if other processes must finish adding entries first.
    """
    if not home.own.is_dir():
        return Collected(0, 0, 0)
    with locks.alone(home, waiting), locks.committing(home):
        used, orphans = _used(home)
        files, size = download.clear(home.transfers, dry_run=dry_run)
        for entry in walk(home.pool) if home.pool.is_dir() else ():
            status = entry.stat(follow_symlinks=False)
            place = home.pool / entry.path[len(str(home.pool)) + 1 :]
            if status.st_nlink > 1 or place in used:
                continue
            files += 1
            size += status.st_size
            if not dry_run:
                place.unlink()
        for folder in (home.downloads, home.uploads):
            for entry in walk(folder) if folder.is_dir() else ():
                files += 1
                size += entry.stat(follow_symlinks=False).st_size
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
        if not dry_run:
            for kind, tag in orphans:
                import_manifests.remove(home, kind, tag)
        return Collected(files, size, len(orphans))


def _used(home: Home) -> tuple[set[Path], list[tuple[Kind, Tag]]]:
    """Return the paths in the pool that manifests of entries name, and the tags of manifests without an entry."""
    pool = Pool(home.pool, home.staging)
    used: set[Path] = set()
    orphans: list[tuple[Kind, Tag]] = []
    for kind in (BENTO, MODEL):
        entries = EntryStore(home, kind)
        for tag in import_manifests.tags(home, kind):
            try:
                record = import_manifests.read(home, kind, tag, entries.path(tag))
            except BentoError:
                continue  # `verify` reports it; its contents stay as long as they have another hard link
            if record is None:
                orphans.append((kind, tag))
                continue
            for entry in record.entries:
                if entry.blake3 is not None:
                    used.add(pool.place(entry.blake3, executable=entry.mode & 0o100 != 0))
    return used, orphans
