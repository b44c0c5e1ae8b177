"""Deletes entries from the store, and unused files from the pool."""

from __future__ import annotations

from contextlib import suppress

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import remove
from rules_bento.base.tree_walk import walk
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Sequence
from rules_bento.bentos.assembly.kinds import BENTO, MODEL, Kind

from bento_cli.store import import_manifests
from bento_cli.store.entry_store import EntryStore
from bento_cli.store.home import Home, commit_lock, exclusive_lock, staging_lock
from bento_cli.store.shared_contents import Pool

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.tag import Tag
    from rules_bento.bentos.sources.tree_manifest import TreeEntry as File


def delete(home: Home, kind: Kind, tags: Sequence[Tag], *, force: bool = False) -> None:
    """Delete entries. Raises NotFoundError, and deletes nothing, if an entry is missing.

    Unless `force` is true, raises BentoError, and deletes nothing, if a Bento uses one of the models.
    """
    # The lock prevents other processes from removing the trash while this process needs it.
    with staging_lock(home):
        with commit_lock(home):
            for model, users in users_of(home, tags).items() if kind is MODEL and not force else ():
                names = ", ".join(map(str, users))
                remedy = "Delete these Bentos first, or add --force."
                raise BentoError(f"the model is in use by {names}", place=model, remedy=remedy)
            removed = move_to_trash(home, kind, tags)
        for each in removed:
            discard(home, each)


class Removed(NamedTuple):
    """An entry that was moved to the directory `trash`. `entries` contains the files in the entry's manifest."""

    trash: Path
    entries: tuple[File, ...]


def move_to_trash(home: Home, kind: Kind, tags: Sequence[Tag]) -> list[Removed]:  # writes: own, a constant name
    """Move entries to the trash. The caller must hold `commit_lock`. Raises NotFoundError for a missing entry."""
    entries = [recorded(home, kind, tag) for tag in tags]
    home.trash.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [*map(Removed, EntryStore(home, kind).remove(tags, home.trash), entries)]


def discard(home: Home, removed: Removed) -> None:  # writes: own, an entry in the trash, and digests
    """Delete the files of a removed entry. Also deletes pool files to which only this entry had a hard link."""
    trash, entries = removed
    pool = Pool(home.pool, home.trash)
    paths = [pool.path(file.blake3, executable=file.mode & 0o100 != 0) for file in entries if file.blake3 is not None]
    shared = [path for path in paths if _names(path) > 1]
    remove(trash, ignores_errors=True)
    for path in shared:
        # If the pool shares blocks instead of links, `gc` finds unused files.
        if _names(path) == 1:
            path.unlink(missing_ok=True)


def users_of(home: Home, models: Iterable[Tag]) -> dict[str, list[Tag]]:
    """Return the tags of the Bentos that require each model from the store. Omits models that no Bento requires.

    Ignores Bentos that contain their models.
    """
    wanted = {*map(str, models)}
    users: dict[str, list[Tag]] = {}
    for entry in EntryStore(home, BENTO).list().entries:
        used = wanted.intersection(entry.models)
        for model in sorted(used) if used and not (entry.path / "models").is_dir() else ():
            users.setdefault(model, []).append(entry.tag)
    return users


def recorded(home: Home, kind: Kind, tag: Tag) -> tuple[File, ...]:
    """Return the files in an entry's manifest, or an empty tuple if the manifest is missing or damaged."""
    with suppress(BentoError):  # an entry with a damaged manifest can still be deleted
        record = import_manifests.read(home, kind, tag, EntryStore(home, kind).path(tag))
        return record.entries if record else ()
    return ()


def _names(path: Path) -> int:
    try:
        return path.stat().st_nlink
    except OSError:
        return 0


@dataclass(frozen=True)
class Collected:
    """The numbers of files and manifests (`records`) that `collect` removes, and the total size of the files."""

    files: int
    size: int  # bytes
    records: int


def collect(home: Home, *, dry_run: bool = False, waiting: Callable[[], None] | None = None) -> Collected:
    """Remove data that no entry uses: files in the pool, manifests, and partial transfers. Doesn't change entries.

    A file in the pool is in use if an entry has a hard link to the file, or if an entry's manifest lists the file.
    If `dry_run` is set, only counts the data. Calls `waiting` if another process holds the store's lock.
    """
    if not home.own.is_dir():
        return Collected(0, 0, 0)
    with exclusive_lock(home, waiting), commit_lock(home):
        used, orphans = _used(home)
        files = size = 0
        for path, entry in walk(home.pool) if home.pool.is_dir() else ():
            status = entry.stat(follow_symlinks=False)
            file = home.pool / path
            if entry.is_dir(follow_symlinks=False) or status.st_nlink > 1 or file in used:
                continue
            files += 1
            size += status.st_size
            if not dry_run:
                file.unlink()  # writes: own, a name that is in the pool
        for _, entry in walk(home.downloads) if home.downloads.is_dir() else ():
            if not entry.is_dir(follow_symlinks=False):
                files += 1
                size += entry.stat(follow_symlinks=False).st_size
        if not dry_run:
            remove(home.downloads, ignores_errors=True)  # writes: own, a constant name
            for kind, tag in orphans:
                import_manifests.remove(home, kind, tag)
        return Collected(files, size, len(orphans))


def _used(home: Home) -> tuple[set[Path], list[tuple[Kind, Tag]]]:
    """Return the pool files that manifests list, and the kind and tag of each manifest without a matching entry."""
    pool = Pool(home.pool, home.staging)
    used: set[Path] = set()
    orphans: list[tuple[Kind, Tag]] = []
    for kind in (BENTO, MODEL):
        entries = EntryStore(home, kind)
        for tag in import_manifests.tags(home, kind):
            try:
                record = import_manifests.read(home, kind, tag, entries.path(tag))
            except BentoError:
                continue  # `verify` reports the damage; pooled files that still have another hard link are kept
            if record is None:
                orphans.append((kind, tag))
                continue
            for entry in record.entries:
                if entry.blake3 is not None:
                    used.add(pool.path(entry.blake3, executable=entry.mode & 0o100 != 0))
    return used, orphans
