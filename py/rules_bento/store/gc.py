"""Removes what nothing uses any more: contents of the pool, records, and pulls that nobody went on with."""

from __future__ import annotations

import shutil

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.records import dataclass
from rules_bento.store import import_manifests, locks
from rules_bento.store.entry_store import EntryStore
from rules_bento.store.home import BENTO, MODEL
from rules_bento.store.pool import Pool
from rules_bento.store.verification import walk
from rules_bento.transports import download

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rules_bento.store.home import Home, Kind
    from rules_bento.tag import Tag


@dataclass(frozen=True)
class Collected:
    """Tells what was removed, or would be."""

    files: int
    size: int  # bytes
    records: int


def collect(home: Home, *, dry_run: bool = False, waiting: Callable[[], None] | None = None) -> Collected:
    """Remove it, when nobody is making entries (`waiting` is called if it comes to that). No entry is touched.

    In use is a content of the pool that an entry has under another name, or that the record of an entry names.
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
    """Return the places in the pool that records of entries name, and the records whose entry is gone."""
    pool = Pool(home.pool, home.staging)
    used: set[Path] = set()
    orphans: list[tuple[Kind, Tag]] = []
    for kind in (BENTO, MODEL):
        entries = EntryStore(home, kind)
        for tag in import_manifests.tags(home, kind):
            try:
                record = import_manifests.read(home, kind, tag, entries.path(tag))
            except BentoError:
                continue  # `verify` says so; what it named is in use as long as it has another name
            if record is None:
                orphans.append((kind, tag))
                continue
            for entry in record.entries:
                if entry.blake3 is not None:
                    used.add(pool.place(entry.blake3, executable=entry.mode & 0o100 != 0))
    return used, orphans
