"""Compares entries with the manifests that were written when the entries were imported."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rules_bento.base.archives import unpack
from rules_bento.base.archives.archive import REQUIREMENTS
from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import MAX_BYTES
from rules_bento.base.tag import Tag
from rules_bento.base.tree_walk import GENERATED, walk
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterator
from rules_bento.bentos.assembly import bento_yaml
from rules_bento.bentos.assembly.kinds import BENTO, MODEL
from rules_bento.bentos.sources.tree_manifest import hash_open_file

from bento_cli.store import import_manifests
from bento_cli.store.entry_store import Entry, EntryStore
from bento_cli.store.shared_contents import digest_time

if TYPE_CHECKING:
    from rules_bento.base.archives.unpack import Form
    from rules_bento.bentos.sources.tree_manifest import TreeEntry as File
    from rules_bento.bentos.sources.tree_manifest import TreeManifest

    from bento_cli.store.home import Home


@dataclass(frozen=True)
class Finding:
    """A problem with an entry or pool file. `path` is the affected file of the entry (empty for other problems)."""

    noun: str  # `Bento`, `model`, or `pool`
    tag: str
    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.noun} {self.tag}: {self.path}{': ' if self.path else ''}{self.problem}"


@dataclass(frozen=True)
class Verified:
    """The result of a verification. `entries` and `files` are the numbers of entries and files.

    `changes` contains harmless changes. `unknown` contains the tags of entries without a manifest, such as entries
    that BentoML built. The files of these entries can't be verified.
    """

    entries: int
    files: int
    damages: tuple[Finding, ...]
    changes: tuple[Finding, ...]  # harmless changes: added files, changed executable bits
    unknown: tuple[str, ...]  # tags of entries without a manifest


def verify(
    home: Home,
    entries: list[Entry],
    progress: Callable[[int], None] | None = None,
    noted: import_manifests.ManifestCache | None = None,
    *,
    by_size: bool = False,
) -> Verified:
    """Compare entries with their manifests. Reads each hard-linked file only once. `noted` is a cache of manifests.

    Skips entries that another process deletes. If `by_size` is true, compares the sizes of files, not the contents.
    """
    noted = noted or import_manifests.ManifestCache(home)
    digests = _Digests(progress, by_size=by_size)
    files = 0
    damages: list[Finding] = []
    changes: list[Finding] = []
    unknown: list[str] = []
    for entry in entries:
        tag = Tag(entry.path.parent.name, entry.path.name)
        try:
            record, found = _compare_twice(home, entry, tag, noted, digests)
        except BentoError as error:
            if entry.path.exists():
                damages.append(Finding(entry.kind.noun, str(tag), "", str(error)))
            continue
        if not entry.path.exists():
            continue
        if record is None:
            unknown.append(str(entry.tag))
            continue
        files += len(record.entries)
        for damaging, path, problem in found:
            (damages if damaging else changes).append(Finding(entry.kind.noun, str(tag), path, problem))
    return Verified(len(entries), files, tuple(damages), tuple(changes), tuple(unknown))


def verify_all(home: Home, progress: Callable[[int], None] | None = None, *, by_size: bool = False) -> Verified:
    """Verify all entries in the store, and all files in the pool unless `by_size` is true.

    The result lists invalid entries as damaged.
    """
    listings = [EntryStore(home, kind).list() for kind in (BENTO, MODEL)]
    entries = [entry for listing in listings for entry in listing.entries]
    verified = verify(home, entries, progress, by_size=by_size)
    damages = list(verified.damages)
    for kind, listing in zip((BENTO, MODEL), listings, strict=True):
        # Listed again, because another process might have been deleting or replacing the entry.
        again = EntryStore(home, kind).list().problems if listing.problems else ()
        damages += [Finding(kind.noun, "", "", problem) for problem in listing.problems if problem in again]
    damages += [] if by_size else _verify_pool(home, progress)
    return Verified(verified.entries, verified.files, tuple(damages), verified.changes, verified.unknown)


def unhashed(source: Path, form: Form, tag: str) -> list[Finding]:
    """Return the packages of a Bento that aren't pinned with a hash or a commit. Raises BentoError for a bad Bento."""
    texts: dict[str, bytes] = {}
    for item, contents in unpack.read(source, form):
        if (path := item.path.removeprefix("./")) in (BENTO.descriptor, *REQUIREMENTS):
            if item.size > MAX_BYTES:
                raise BentoError(f"{path} exceeds {MAX_BYTES} bytes", place=tag, remedy="Build the Bento again.")
            texts[path] = b"".join(contents)
    path = next((path for path in REQUIREMENTS if path in texts), "")
    if not path or BENTO.descriptor not in texts:
        return []
    from rules_bento.bentos.packages import requirement_syntax

    version = bento_yaml.parse(BENTO, texts[BENTO.descriptor], tag).python_version
    lines = requirement_syntax.installed(
        requirement_syntax.decode(texts[path], f"{tag}/{path}"), f"{tag}/{path}", version
    )
    names = [" ".join(filter(None, line.package)) for line in lines if not (line.hashes or line.is_commit)]
    return [Finding(BENTO.noun, tag, path, f"{name} has no hash") for name in names]


def require_intact(home: Home, entries: list[Entry], noted: import_manifests.ManifestCache | None = None) -> None:
    """Raise a BentoError that lists the damaged files, if any. `noted` is a cache of manifests."""
    damages = verify(home, entries, noted=noted).damages
    if damages:
        raise BentoError("\n".join(["The store is damaged. Import the following entries again:", *map(str, damages)]))


class _Digests:
    """Caches file digests, and reads each hard-linked file only once."""

    def __init__(self, progress: Callable[[int], None] | None = None, *, by_size: bool = False) -> None:
        self._known: dict[tuple[int, int], str] = {}
        self._progress = progress
        self.by_size = by_size

    def of(self, path: Path, status: os.stat_result) -> str:
        key = (status.st_dev, status.st_ino)
        if key not in self._known:
            self._known[key] = digest_of(path, status.st_size)
            if self._progress:
                self._progress(status.st_size)
        return self._known[key]


def digest_of(path: Path, size: int) -> str:
    """Return the hexadecimal BLAKE3 digest of a file with `size` bytes."""
    with path.open("rb", buffering=0) as file:
        return hash_open_file(file.fileno(), size)[2]


def _compare_twice(
    home: Home, entry: Entry, tag: Tag, noted: import_manifests.ManifestCache, digests: _Digests
) -> tuple[TreeManifest | None, list[tuple[bool, str, str]]]:
    """Return an entry's manifest and the differences. If the entry is damaged, reads both again.

    Otherwise, an entry that another process replaces in the meantime could be reported as damaged.
    """
    record = noted.of(entry.kind, tag, entry.path)
    found = _differences(entry.path, record, digests)
    if any(damaging for damaging, _, _ in found):
        record = import_manifests.read(home, entry.kind, tag, entry.path)
        found = _differences(entry.path, record, _Digests(by_size=digests.by_size))
    return record, found


def _differences(directory: Path, record: TreeManifest | None, digests: _Digests) -> list[tuple[bool, str, str]]:
    try:
        return list(_compare(directory, record, digests)) if record else []
    except FileNotFoundError as error:
        return [(True, "", f"{error.filename} was removed during the verification")]


def _compare(directory: Path, record: TreeManifest, digests: _Digests) -> Iterator[tuple[bool, str, str]]:
    """For each difference from the manifest, yield whether the entry is damaged, the path, and a description."""
    expected = {file.path: file for file in record.entries}
    for file in record.entries:
        problem = _damage(directory / file.path, file, digests)
        if problem:
            yield True, file.path, problem
        elif file.blake3 and (file.mode & 0o100) != ((directory / file.path).stat().st_mode & 0o100):
            yield False, file.path, f"is {'no longer' if file.mode & 0o100 else 'now'} executable"
    for path, entry in walk(directory, without=GENERATED):
        if path not in expected and not entry.is_dir(follow_symlinks=False):
            yield False, path, "was added"


def _damage(path: Path, file: File, digests: _Digests) -> str:
    try:
        status = path.lstat()
        if file.blake3 is None:
            if not stat.S_ISLNK(status.st_mode):
                return "is no longer a link"
            target = os.readlink(path)  # noqa: PTH115 - Path.readlink normalizes the target
            return "" if target == file.link else f"is a link to {target!r}, not to {file.link!r}"
        if not stat.S_ISREG(status.st_mode):
            return "is no longer a file"
        if status.st_size != file.size:
            return f"has {status.st_size} bytes, not {file.size}"
        is_equal = digests.by_size or digests.of(path, status) == file.blake3
        return "" if is_equal else "the contents changed"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _verify_pool(home: Home, progress: Callable[[int], None] | None) -> Iterator[Finding]:
    """Yield a finding for each damaged pool file that imports might use. Skips hard links, which `verify` checks."""
    if not home.pool.is_dir():
        return
    for path, entry in walk(home.pool):
        if entry.is_dir(follow_symlinks=False):
            continue
        digest = path.removesuffix("-x").replace("/", "")
        try:
            status = entry.stat(follow_symlinks=False)
            if status.st_nlink > 1 or status.st_mtime_ns != digest_time(digest):  # changed files are never used
                continue
            actual = digest_of(Path(entry.path), status.st_size)
        except FileNotFoundError:  # another process has deleted the file
            continue
        if progress:
            progress(status.st_size)
        if actual != digest:
            yield Finding("pool", digest, "", "the contents changed; to remove the file, run `bento gc`")
