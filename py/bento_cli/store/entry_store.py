"""Manages the entries of one kind as BentoML does, with `NAME/VERSION` directories and `latest` pointers.

BentoML can change the store at any time, and uses no locks. Therefore, a single rename adds or removes an entry, and
the pointer is written before the entry is added. All readers, including BentoML, repair a pointer to a missing entry.
`EntryStore.point_at` decides whether a version becomes the latest.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError, nearest
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.times import newest, parse_time, with_zone
from rules_bento.base.tag import LATEST, Tag, check_word, read_latest
from rules_bento.base.tree_walk import walk
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.assembly import bento_yaml
from rules_bento.bentos.assembly.kinds import BENTO, MODEL, Kind

from bento_cli.store import durable, import_manifests
from bento_cli.store.home import commit_lock, unique

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from rules_bento.bentos.assembly.kinds import Kind
    from rules_bento.bentos.sources.tree_manifest import TreeManifest

    from bento_cli.store.home import Home


@dataclass(frozen=True)
class Summary:
    """The entry fields that listings show."""

    tag: Tag
    creation_time: dt.datetime  # without a time zone if the descriptor has none
    module: str  # only for models
    models: tuple[str, ...]  # tags of the models that a Bento gets from the store

    @classmethod
    def of(cls, description: bento_yaml.Description) -> Summary:
        """Create the summary of an entry from its descriptor."""
        models = tuple(model.tag for model in description.models if model.registry != "huggingface")
        return cls(description.tag, description.creation_time, description.module, models)


class Summaries:
    """Caches the summaries of all entries of one kind, so that a listing doesn't parse thousands of descriptors.

    A summary is valid if its descriptor is unchanged (inode, size, and modification time). The file can be removed
    without loss.
    """

    def __init__(self, home: Home, kind: Kind) -> None:
        self._home, self._kind = home, kind
        self._path = home.summaries(kind)
        self._cached: dict[str, Any] = {}
        self._changed = False
        with suppress(OSError, BentoError):
            self._cached = read_object(self._path.read_bytes(), str(self._path))

    def of(self, directory: Path) -> Summary:
        """Return the summary of the entry in a directory. Raises BentoError if its descriptor is invalid."""
        key = f"{directory.parent.name}/{directory.name}"
        try:
            status = (directory / self._kind.descriptor).stat()
            stamp = [status.st_ino, status.st_size, status.st_mtime_ns]
        except OSError:
            stamp = []  # parsing the descriptor reports the problem
        with suppress(BentoError, ValueError, TypeError, AttributeError, KeyError):  # a damaged file is replaced
            before, tag, created, module, models = self._cached[key]
            if before == stamp:
                return Summary(Tag.parse(tag, ""), parse_time(created), str(module), tuple(map(str, models)))
        description = bento_yaml.of_directory(self._kind, directory)
        summary = Summary.of(description)
        if "creation_time" in description.declared:  # the default is the current time, which must not be cached
            created = summary.creation_time.isoformat()
            self._cached[key] = [stamp, str(summary.tag), created, summary.module, summary.models]
            self._changed = True
        return summary

    def save(self) -> None:  # writes: own, a constant name
        """Write the cache if a summary is new or changed. Omits deleted entries, and ignores write errors."""
        if self._changed:
            root = self._home.entries_dir(self._kind)
            kept = {key: value for key, value in self._cached.items() if (root / key).exists()}
            self._changed = False
            with suppress(OSError, ValueError):
                durable.write(self._home, self._path, json.dumps(kept, separators=(",", ":")).encode())


Messages = list[str]


class NotFoundError(BentoError):
    """Raised if no entry has the requested name or tag."""

    def __init__(self, problem: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(problem, place=place, remedy=remedy, code=4)


@dataclass(frozen=True)
class Entry:
    """A Bento or model in the store. `path` exists until the entry is deleted."""

    kind: Kind
    path: Path
    summary: Summary
    _description: bento_yaml.Description | None = field(default=None, repr=False, compare=False)

    @property
    def description(self) -> bento_yaml.Description:
        """The parsed descriptor. Raises BentoError if BentoML can't load the descriptor."""
        return self._description or bento_yaml.of_directory(self.kind, self.path)

    @property
    def tag(self) -> Tag:
        """The tag: name and version."""
        return self.summary.tag

    @property
    def creation_time(self) -> dt.datetime:
        """The creation time in the descriptor, which might not include a time zone."""
        return self.summary.creation_time

    @property
    def moment(self) -> dt.datetime:
        """The creation time with a time zone. If the time zone is missing, UTC is assumed."""
        return with_zone(self.creation_time)

    @property
    def models(self) -> tuple[str, ...]:
        """The tags of models that a Bento requires from the store."""
        return self.summary.models

    def size(self) -> int:
        """Return the size in bytes as BentoML computes it, including the targets of links to files."""
        return tree_size(self.path)


@dataclass(frozen=True)
class Listing:
    """Entries, sorted by name and version, and messages about other files.

    `problems` has a message for each directory that isn't a valid entry, and `strays` for each file or link where the
    store expects a directory.
    """

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    strays: tuple[str, ...] = ()


class EntryStore:  # writes: own, `Tag` checks the names
    """The entries of one kind in a store. Callers of methods that write must hold `commit_lock`."""

    def __init__(self, home: Home, kind: Kind, directory: Path | None = None) -> None:
        """Manage the entries in `directory`, by default the home's directory for `kind`."""
        self.home = home
        self.kind = kind
        self.directory = directory or home.entries_dir(kind)
        self._summaries: Summaries | None = None

    def path(self, tag: Tag) -> Path:
        """Return the directory of the entry with this tag. The directory might not exist."""
        return self.directory / tag.name / tag.version

    def has(self, tag: Tag) -> bool:
        """Return whether an entry with this exact tag exists."""
        return self.path(tag).is_dir()

    def list(self, text: str = "") -> Listing:
        """Return the entries for a name or tag (default: all). Raises NotFoundError if `text` is an unknown name."""
        if not text:
            strays: Messages = []
            names = _directories(self.directory, strays)
            return self._list([(name, version) for name in names for version in self._versions(name, strays)], strays)
        name, version = self._query(text)
        if version == LATEST:
            version = self._latest(name)
        if version:
            return self._list([(name, version)] if self.has(Tag(name, version)) else [])
        if not (self.directory / name).is_dir():
            raise self._not_found(name, "name")
        strays = []
        return self._list([(name, version) for version in self._versions(name, strays)], strays)

    def find(self, text: str) -> Tag:
        """Return a tag. `text` is `NAME:VERSION`, `NAME:` and a prefix of a version, or `NAME` (latest version).

        Raises NotFoundError if no entry matches, and BentoError if several entries match.
        """
        name, version = self._query(text)
        if version in ("", LATEST):
            return Tag(name, self._latest(name))
        if self.has(Tag(name, version)):
            return Tag(name, version)
        versions = [other for other in self._versions(name) if other.startswith(version)]
        if len(versions) > 1:
            found = ", ".join(versions)
            raise BentoError(f"multiple versions match: {found}", place=text, remedy="Specify a longer version prefix.")
        if not versions:
            raise self._not_found(text, "tag")
        return Tag(name, versions[0])

    def get(self, text: str) -> Entry:
        """Load the entry that `find` selects. Raises BentoError if `find` fails or the descriptor is invalid."""
        path = self.path(self.find(text))
        description = bento_yaml.of_directory(self.kind, path)
        return Entry(self.kind, path, Summary.of(description), description)

    def commit(self, tree: Path, description: bento_yaml.Description, manifest: TreeManifest, *, named: bool) -> Entry:
        """Move the directory `tree` into the store as a new entry. Raises BentoError if the entry exists."""
        tag = description.tag
        target = self.path(tag)
        if self.has(tag):
            remedy = f"Delete the existing {self.kind.noun} first."
            raise BentoError(f"the {self.kind.noun} already exists at {target}", place=str(tag), remedy=remedy)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent.stat().st_dev != tree.stat().st_dev:
            problem = f"{self.directory} and {self.home.own} are on different file systems, so files can't be moved "
            problem += "atomically"
            raise BentoError(problem, remedy="Keep all of BENTOML_HOME on one file system.")
        import_manifests.write(self.home, self.kind, tag, manifest)
        self.point_at(description, named=named)
        try:
            tree.rename(target)
        except OSError as error:
            remedy = "Check the permissions of the parent directory."
            raise BentoError(f"cannot create {target}: {error.strerror}", place=str(tag), remedy=remedy) from error
        durable.flush_directory(self.home, target.parent)
        durable.flush_directory(self.home, self.directory)
        return Entry(self.kind, target, Summary.of(description), description)

    def replace(
        self, tree: Path, description: bento_yaml.Description, manifest: TreeManifest, *, named: bool
    ) -> Entry | None:
        """Swap an entry's directory with `tree`. Returns the new entry, or None if swapping isn't supported."""
        tag = description.tag
        target = self.path(tag)
        if not durable.exchange(tree, target):
            return None
        import_manifests.write(self.home, self.kind, tag, manifest)
        self.point_at(description, named=named)
        durable.flush_directory(self.home, target.parent)
        return Entry(self.kind, target, Summary.of(description), description)

    def point_at(self, description: bento_yaml.Description, *, named: bool) -> None:
        """Make the description's version the latest. The entry can be missing until the caller adds it.

        If `named` is false, the user's last act doesn't decide: as in BentoML, a newer latest version remains.
        """
        name, version = description.tag
        pointer = self.directory / name / LATEST
        latest = read_latest(pointer.parent)
        if not named and pointer.exists():
            others = [latest] if latest not in ("", version) else [*self._versions(name)]
            entries = self._list([(name, other) for other in others if other != version]).entries
            times = {entry.path.name: entry.creation_time for entry in entries} | {version: description.creation_time}
            version = newest(times, times.__getitem__) or version
        if version != latest:
            durable.write(self.home, pointer, version.encode())

    def remove(self, tags: Sequence[Tag], trash: Path) -> Sequence[Path]:
        """Move entries to new directories in the directory `trash`, and return these directories.

        If the latest version is removed, the newest becomes the latest. Raises NotFoundError if an entry is missing.
        """
        for tag in tags:
            if not self.has(tag):
                raise self._not_found(str(tag), "tag")
        removed = []
        for tag in tags:
            removed.append(self.path(tag).rename(unique(trash)))
            import_manifests.remove(self.home, self.kind, tag)
        for name in dict.fromkeys(tag.name for tag in tags):
            directory = self.directory / name
            if read_latest(directory):
                continue
            if latest := self._newest(name, last=True):  # only here, BentoML prefers the last of equal times
                durable.write(self.home, directory / LATEST, latest.path.name.encode())
                continue
            (directory / LATEST).unlink(missing_ok=True)
            with suppress(OSError):  # the directory contains files that BentoML didn't write
                directory.rmdir()
        durable.flush_directory(self.home, self.directory)
        return removed

    def _query(self, text: str) -> tuple[str, str]:
        """Parse a tag. Returns the lowercase name and version. The version can be "". Raises BentoError if invalid."""
        name, colon, version = text.lower().partition(":")
        check_word(name, f"{text!r}: the name")
        if colon and not version:
            remedy = f"For the latest version, use {name} or {name}:latest."
            raise BentoError("the version is missing", place=repr(text), remedy=remedy)
        return name, check_word(version, f"{text!r}: the version") if version else ""

    def _not_found(self, text: str, what: str) -> NotFoundError:
        command = "bento list" if self.kind is BENTO else "bento models list"
        name, _, version = text.lower().partition(":")
        versions = self._versions(name)
        near = nearest(version, versions) if versions else nearest(name, _directories(self.directory, []))
        hint = f" (did you mean {f'{name}:{near}' if versions else near}?)" if near else ""
        problem = f"{self.directory} contains no {self.kind.noun} with this {what}{hint}"
        return NotFoundError(problem, place=text, remedy=f"To list the available tags, run `{command}`.")

    def _versions(self, name: str, strays: Messages | None = None) -> Sequence[str]:
        """Return the sorted versions of the entry `name`. Adds messages to `strays` as `_directories` does."""
        if not (self.directory / name).is_dir():
            return []
        try:
            return _directories(self.directory / name, strays)
        except OSError as error:
            if strays is not None:
                strays.append(
                    f"{self.directory / name}: cannot read the directory: {error.strerror}. Check its permissions."
                )
            return []

    def _list(self, tags: Sequence[tuple[str, str]], strays: Sequence[str] = ()) -> Listing:
        if len(tags) > 1:  # one descriptor is smaller than the file with the summaries of all entries
            self._summaries = self._summaries or Summaries(self.home, self.kind)
        known = self._summaries
        entries: list[Entry] = []
        problems: list[str] = []
        for name, version in tags:
            path = self.directory / name / version
            try:
                summary = known.of(path) if known else Summary.of(bento_yaml.of_directory(self.kind, path))
                entries.append(Entry(self.kind, path, summary))
            except BentoError as error:
                if path.exists():  # otherwise, another process has deleted the entry
                    problems.append(str(error))
        if known:
            known.save()
        return Listing(tuple(entries), tuple(problems), tuple(strays))

    def _latest(self, name: str) -> str:
        if version := read_latest(self.directory / name):
            return version
        latest = self._newest(name)
        if latest is None:
            raise self._not_found(name, "name")
        # The store can be read-only, or its disk full. A process that holds the lock might be writing another version.
        with suppress(OSError), commit_lock(self.home, wait=False) as is_locked:
            if is_locked and not read_latest(self.directory / name):
                durable.write(self.home, self.directory / name / LATEST, latest.path.name.encode())
        return latest.path.name

    def _newest(self, name: str, *, last: bool = False) -> Entry | None:
        """Return the newest version of the entry `name`, or None if no valid version exists.

        If several versions have the same time, returns the version that sorts first, or last if `last` is set.
        """
        entries = self._list([(name, version) for version in self._versions(name)]).entries
        return newest(entries if last else reversed(entries), lambda entry: entry.creation_time)


def models_of(home: Home, entry: Entry) -> list[Entry]:
    """Return the models that a Bento requires. Raises NotFoundError if a model isn't in the Bento or the store."""
    models = []
    own = EntryStore(home, MODEL, entry.path / "models")
    for tag in entry.models:
        try:
            entries = own if own.directory.is_dir() and _has(own, tag) else EntryStore(home, MODEL)
            models.append(entries.get(tag))
        except NotFoundError:
            problem = f"the required model {tag} isn't in the store"
            raise NotFoundError(problem, place=str(entry.tag), remedy="Import or pull the model first.") from None
    return models


def _has(entries: EntryStore, text: str) -> bool:
    try:
        return entries.has(entries.find(text))
    except BentoError:
        return False


def _directories(directory: Path, strays: Messages | None = None) -> Sequence[str]:
    """Return the names of subdirectories, sorted. For each other file or link, adds a message to `strays`."""
    names = []
    with suppress(FileNotFoundError), os.scandir(directory) as scan:  # another process can delete the directory
        for entry in sorted(scan, key=lambda entry: entry.name):
            try:
                is_directory = entry.is_dir()
            except OSError:  # a link to itself
                is_directory = False
            if is_directory:
                names.append(entry.name)
            elif strays is not None and entry.name != LATEST and not entry.name.startswith("."):
                strays.append(f"{entry.path} isn't a directory. Remove the file or link from the store.")
    return names


def tree_size(directory: Path) -> int:
    """Return the total size in bytes of the files in a directory tree. Doesn't follow links to directories."""
    total = 0
    for _, entry in walk(directory, strict=False):  # another process can delete it
        with suppress(OSError):
            if entry.is_file():
                total += entry.stat().st_size
    return total
