"""Imports archives into the store: first the models of a Bento, then the Bento, each atomically.

The members of an archive are written to the staging directory while the archive is read. Entries appear in the store
only after the complete archive has been read, verified, and flushed to disk.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from rules_bento.base.archives import tarstream, unpack
from rules_bento.base.archives.tarstream import Member, check_links
from rules_bento.base.archives.unpack import SafeMember
from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.tag import LATEST, Tag, check_version, check_word
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Iterable, Iterator, Literal, Sequence
from rules_bento.bentos.assembly import bento_yaml
from rules_bento.bentos.assembly.kinds import BENTO, MODEL, Kind
from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest

from bento_cli.store import delete, durable, import_manifests, shared_contents
from bento_cli.store.entry_contents import EntryContents, Known, find_same, other_entry
from bento_cli.store.entry_store import Entry, EntryStore
from bento_cli.store.home import Home, commit_lock, staged_directory
from bento_cli.store.shared_contents import Pool

if TYPE_CHECKING:
    from rules_bento.base.archives.unpack import Advance, Contents, Form, Limits


_MODELS = "models"
REPLACE_MODEL = (
    "To replace the model for all Bentos that use it, add --force. To keep both models, import into another "
    "BENTOML_HOME."
)
Action = Literal["add", "keep", "replace"]
Act = Literal["build", "import", "pull"]
# Never shared: BentoML overwrites the Dockerfile in a copy of the tree, and each version has its own descriptor.
_PRIVATE = {"env/docker/Dockerfile", BENTO.descriptor, MODEL.descriptor}


@dataclass(frozen=True)
class Options:
    """Settings for importing archives."""

    limits: Limits = field(default_factory=unpack.Limits)
    models: bool = True  # also import the models of a Bento
    replace: bool = False  # replace an entry with the same tag; otherwise an existing entry is an error
    share: bool = True  # share equal files with other entries; otherwise write each file as a writable copy
    act: Act = "import"  # decides whether a version becomes the latest


PULL = Options(act="pull")


@dataclass(frozen=True)
class Imported:
    """The result of an import. `known` contains the tags of models that the store already contained."""

    entry: Entry
    models: tuple[Entry, ...]  # models that were imported
    known: tuple[Tag, ...]  # models that already existed in the store
    notes: tuple[str, ...]  # warnings
    new: bool  # False if the store already contained the entry


@contextmanager
def import_session(home: Home, options: Options, *, has_force: bool = True) -> Iterator[ImportSession]:
    """Yield a session that imports archives. After the `with` block, removes staged entries that weren't committed.

    An entry can exist in the store if it has the same contents. Another entry with the same tag is an error, unless
    `options.replace` is set. If `has_force` is false, errors don't refer to `--force`.
    """
    with staged_directory(home) as directory:
        yield ImportSession(home, directory, options, has_force=has_force)


def import_archive(
    home: Home,
    kind: Kind,
    source: Path | BinaryIO,
    form: Form,
    options: Options | None = None,
    progress: Advance | None = None,
) -> Imported:
    """Import an archive. Skips entries that the store already contains.

    Raises BentoError if the archive is invalid, if BentoML can't load an entry, or if the store contains another entry
    with the same tag and `options.replace` isn't set.
    """
    with import_session(home, options or Options()) as session:
        staged = session.stage(kind, source, form, progress)
        return session.commit([staged])[0]


@dataclass(frozen=True)
class _Part:
    """A Bento or model that was read from an archive."""

    kind: Kind
    tree: HashedTree
    description: bento_yaml.Description

    @property
    def tag(self) -> Tag:
        """The tag of the entry."""
        return self.description.tag

    @property
    def contents(self) -> EntryContents:
        """The contents of the entry."""
        return EntryContents(self.kind, self.tag, self.description.declared, self.tree.manifest())


@dataclass(frozen=True)
class StagedImport:
    """The entries of a complete archive."""

    where: str  # the archive
    main: _Part
    models: tuple[_Part, ...]
    notes: tuple[str, ...]

    @property
    def parts(self) -> tuple[_Part, ...]:
        """The models and the main entry, in the order in which they are added to the store."""
        return (*self.models, self.main)


class ImportSession:
    """Session in which `stage` reads entries from archives, and `commit` adds them to the store."""

    def __init__(self, home: Home, directory: Path, options: Options, *, has_force: bool) -> None:
        self.options = options
        self._has_force = has_force
        self._home = home
        self._directory = directory
        self._entries = {kind.directory: EntryStore(home, kind) for kind in (BENTO, MODEL)}
        self._pool = Pool(home.pool, directory, None if options.share else "copy")
        self._count = 0
        self._planned: dict[tuple[str, Tag], EntryContents] = {}
        self._replaced: list[delete.Removed] = []

    def stage(
        self,
        kind: Kind,
        source: Path | BinaryIO,
        form: Form,
        progress: Advance | None = None,
        *,
        below: str = "",
        tag: Tag | None = None,
    ) -> StagedImport:
        """Extract an archive to the staging directory, except for entries that the store already contains.

        `below` is the entry's path in the archive, such as `a/b/`. Raises BentoError if the tag isn't `tag`, if set.
        """
        return _Reader(self, kind, tag).read(source, form, progress, below)

    def stage_members(
        self, kind: Kind, tag: Tag, members: Iterable[Member], where: str, progress: Advance | None = None
    ) -> StagedImport:
        """Write the members of an entry to the staging directory, unless the store already contains the entry.

        Calls `progress` with the number of bytes read.
        """
        tree = HashedTree() if self.has(kind, tag) else self.tree()
        descriptor = b""
        for member in tarstream.checked_members(members):
            form: Literal["file", "link"] = "file" if member.link is None else "link"
            item = SafeMember(member.path, form, member.size, bool(member.mode & 0o100), member.link or "")
            contents = tarstream.contents(member)
            tree.add(item, _counted(contents, progress) if progress else contents, private=member.path in _PRIVATE)
            if member.path == kind.descriptor:
                descriptor = member.data or b""
        description = bento_yaml.parse(kind, descriptor, f"{where}: {kind.descriptor}")
        return StagedImport(where, _Part(kind, tree, description), (), description.notes)

    def commit(self, imports: list[StagedImport], known: Iterable[Known] = ()) -> list[Imported]:
        """Add staged imports to the store in the given order. Adds the models of an import before the main entry.

        Raises BentoError, and adds no entries, if the store contains another entry with the same tag and the option
        `replace` isn't set. Also raises BentoError if an entry that was compared was deleted or replaced meanwhile.
        """
        parts = [(part, staged) for staged in imports for part in staged.parts]
        known = [*known, *(self._require_same(*each) for each in parts if not isinstance(each[0].tree, Tree))]
        if written := [path for part, _ in parts for path in part.tree.written]:
            durable.flush_trees(self._home, self._directory, written)
        with commit_lock(self._home):
            for entry in known:
                if not entry.is_current(self._home):
                    raise _changed(entry.kind, entry.tag)
            actions = [[self._action(part, staged) for part in staged.parts] for staged in imports]
            done = [self._commit(*each) for each in zip(imports, actions, strict=True)]
        for removed in self._replaced:
            delete.discard(self._home, removed)
        return done

    def has(self, kind: Kind, tag: Tag) -> bool:
        """Return whether the store contains an entry with this tag that the session doesn't replace."""
        return not self.options.replace and self._entries[kind.directory].has(tag)

    def tree(self) -> Tree:
        """Return a new tree in the staging directory."""
        self._count += 1
        return Tree(self._directory / str(self._count), self._pool)

    def _require_same(self, part: _Part, staged: StagedImport) -> Known:
        """Return the stored entry with the tag of `part`. Raises BentoError if its contents are different."""
        conflict = self.conflict(staged.where, part.kind, part.tag, is_main=part is staged.main)
        known = find_same(self._home, part.kind, part.tag, part.contents.is_same, conflict)
        if known is None:
            raise _changed(part.kind, part.tag)
        return known

    def conflict(self, where: str, kind: Kind, tag: Tag, *, is_main: bool) -> BentoError:
        """Return the error for an entry that the session must not replace."""
        if not self._has_force:
            command = f"bento {'' if kind is BENTO else 'models '}delete {tag}"
            return other_entry(where, kind, tag, f"To replace the {kind.noun}, delete it first with `{command}`.")
        if not is_main:
            return other_entry(where, kind, tag, REPLACE_MODEL)
        return other_entry(where, kind, tag, "To replace it, add --force.")

    def _action(self, part: _Part, staged: StagedImport) -> Action:
        """Return what to do with a part. Raises BentoError for a conflict with the store or with an earlier part."""
        if not isinstance(part.tree, Tree):
            return "keep"
        is_main = part is staged.main
        key, contents = (part.kind.directory, part.tag), part.contents
        earlier = self._planned.get(key)
        self._planned[key] = contents
        if earlier is None and not self._entries[part.kind.directory].has(part.tag):
            return "add"
        if is_main and self.options.replace:
            return "replace"
        if earlier is None and find_same(self._home, part.kind, part.tag, contents.is_same):
            return "keep"
        if earlier is not None and earlier.is_same(contents):
            return "keep"
        if self.options.replace:
            return "replace"
        raise self.conflict(staged.where, part.kind, part.tag, is_main=is_main)

    def _commit(self, staged: StagedImport, actions: Sequence[Action]) -> Imported:
        models: list[Entry] = []
        known, notes = [], list(staged.notes)
        for part, action in zip(staged.models, actions, strict=False):
            if action == "keep":
                known.append(part.tag)
                continue
            models.append(self._place(part, action, named=False))
            if action == "replace":
                notes.append(f"The model {part.tag} in the store was replaced.")
        main, action = staged.main, actions[-1]
        # BentoML's last build is the latest, and BentoML can't import a known tag. Otherwise, BentoML compares times.
        named = self.options.act == "build" or (self.options.act == "import" and action != "add")
        entries = self._entries[main.kind.directory]
        entry = entries.get(str(main.tag)) if action == "keep" else self._place(main, action, named=named)
        if action == "keep" and named:
            entries.point_at(entry.description, named=True)
        return Imported(entry, tuple(models), tuple(known), tuple(notes), new=action != "keep")

    def _place(self, part: _Part, action: Action, *, named: bool) -> Entry:
        """Add or replace an entry. The replacement is atomic if the system supports it."""
        kind, tag, directory = part.kind, part.tag, part.tree.directory
        entries, manifest = self._entries[kind.directory], part.tree.manifest()
        if action == "replace":
            before = delete.recorded(self._home, kind, tag)
            import_manifests.remove(self._home, kind, tag)  # a manifest must never describe another entry
            if entry := entries.replace(directory, part.description, manifest, named=named):
                self._replaced.append(delete.Removed(directory, before))
                return entry
            [removed] = delete.move_to_trash(self._home, kind, [tag])
            self._replaced.append(removed._replace(entries=before))
        return entries.commit(directory, part.description, manifest, named=named)


def _changed(kind: Kind, tag: Tag) -> BentoError:
    problem = f"the {kind.noun} was deleted or replaced meanwhile"
    return BentoError(problem, place=str(tag), remedy="Run the command again.")


class _Reader:
    """Reads one archive, and writes the main entry and each model to a separate tree.

    Doesn't write entries that the store contains and the session keeps, but compares their contents.
    """

    def __init__(self, session: ImportSession, kind: Kind, tag: Tag | None) -> None:
        self._session = session
        self._kind = kind
        self._tag = tag
        is_known = tag is not None and session.has(kind, tag)
        self._main = HashedTree() if is_known else session.tree()
        self._descriptors: dict[Tag | None, bytes] = {}
        self._description: bento_yaml.Description | None = None
        self._models: dict[Tag, HashedTree] = {}
        self._links: dict[Tag, dict[str, str]] = {}
        self._main_links: list[SafeMember] = []
        self._tops: set[str] = set()

    def read(self, source: Path | BinaryIO, form: Form, progress: Advance | None, below: str = "") -> StagedImport:
        where = unpack.source_name(source)
        for member, contents in unpack.read(source, form, self._session.options.limits, progress):
            if not member.path.startswith(below):
                if member.kind == "folder" and below.startswith(f"{member.path}/"):
                    continue
                problem = f"the path of the archive member {member.path!r} doesn't begin with {below}"
                raise BentoError(problem, place=where, remedy=f"Push the {self._kind.noun} again.")
            item = member._replace(path=member.path.removeprefix(below)) if below else member
            self._tops.add(item.path.partition("/")[0])
            if self._kind is BENTO and item.path.partition("/")[0] == _MODELS:
                self._take_of_model(item, contents, where)
            elif item.kind == "link":
                self._main_links.append(item)
            else:
                self._add(None, item, contents, f"{where}: {item.path}")
                if item.path == self._kind.descriptor and item.kind == "file":
                    self._description = self._describe(where)
        check_links({item.path: item.link for item in self._main_links}, where)
        for item in self._main_links:
            self._main.add(item, iter(()))
        if self._description is None:
            raise BentoError(self._missing(where))
        main = _Part(self._kind, self._main, self._description)
        models = [self._model_part(tag, where) for tag in sorted(self._models)]  # as BentoML adds models
        return StagedImport(where, main, tuple(models), self._description.notes)

    def _add(self, tag: Tag | None, item: SafeMember, contents: Contents, place: str) -> None:
        """Add a member to the tree of the model `tag`, or of the main entry if `tag` is None."""
        kind, tree = (self._kind, self._main) if tag is None else (MODEL, self._models[tag])
        if item.path == kind.descriptor and item.kind == "file":
            bento_yaml.check_size(item.size, place)
            self._descriptors[tag] = b"".join(contents)
            contents = iter((self._descriptors[tag],))
        tree.add(item, contents, private=item.path in _PRIVATE)

    def _describe(self, where: str) -> bento_yaml.Description:
        """Parse the descriptor of the main entry. Raises BentoError if the entry can't be imported."""
        place = f"{where}: {self._kind.descriptor}"
        description = bento_yaml.parse(self._kind, self._descriptors[None], place)
        if self._tag not in (None, description.tag):
            problem = f"expected the tag {self._tag}, but the archive contains {description.tag}"
            raise BentoError(problem, place=where, remedy=f"Push the {self._kind.noun} again.")
        return description

    def _missing(self, where: str) -> str:
        text = (
            f"{where}: not a {self._kind.noun}, because {self._kind.descriptor} isn't at the top level of the archive."
        )
        if len(self._tops) == 1:
            return f"{text} Pack the contents of the directory {self._tops.pop()!r} instead of the directory."
        return f"{text} Use an archive from `bentoml export` or `bento export`."

    def _take_of_model(self, item: SafeMember, contents: Contents, where: str) -> None:
        """Add a member of `models/NAME/VERSION/`. Ignores `latest` pointers. Raises BentoError for any other path."""
        _, name, version, path = (*item.path.split("/", 3), "", "", "")[:4]
        if not self._session.options.models:
            return
        if not path:
            if item.kind != "folder" and (not version or version != LATEST):
                remedy = f"In an archive, models must be in models/NAME/VERSION. Remove the {item.kind}."
                raise BentoError(f"unexpected {item.kind} {item.path!r}", place=where, remedy=remedy)
            if version and item.kind == "folder":
                self._tree_of(Tag(name, version), where)
            return
        tag = Tag(name, version)
        self._tree_of(tag, where)
        if item.kind == "link":
            self._links.setdefault(tag, {})[path] = item.link
        self._add(tag, item._replace(path=path), contents, f"{where}: {item.path}")

    def _tree_of(self, tag: Tag, where: str) -> None:
        """Create the tree for a model. Raises BentoError for invalid tags."""
        if tag not in self._models:
            check_word(tag.name, f"{where}: the name of a model")
            check_version(tag.version, f"{where}: the version of a model")
            self._models[tag] = HashedTree() if self._session.has(MODEL, tag) else self._session.tree()

    def _model_part(self, tag: Tag, where: str) -> _Part:
        place = f"{where}: {_MODELS}/{tag.name}/{tag.version}"
        # Links that are safe in the archive might not be safe in the store, where the model has another location.
        check_links(self._links.get(tag, {}), place)
        if tag not in self._descriptors:
            raise BentoError(f"{MODEL.descriptor} is missing", place=place, remedy="Add the file, or use --no-models.")
        description = bento_yaml.parse(MODEL, self._descriptors[tag], f"{place}/{MODEL.descriptor}")
        if description.tag != tag:
            expected = f"{_MODELS}/{str(description.tag).replace(':', '/')}"
            remedy = f"Rename the directory to {expected}."
            raise BentoError(f"the path doesn't match the tag {description.tag}", place=place, remedy=remedy)
        return _Part(MODEL, self._models[tag], description)


_SMALL = 1 << 20  # bytes; smaller files are hashed before they are written, because the pool might already contain them


class HashedTree:
    """Hashes the members of an entry, without storing their contents."""

    def __init__(self) -> None:
        self.directory = Path()
        self.written: list[str] = []  # new files that must be flushed to disk
        self._entries: list[TreeEntry] = []

    def add(self, item: SafeMember, contents: Contents, *, private: bool = False) -> None:
        """Add a member. The caller must ensure that paths are unique and inside of the tree."""
        if item.kind == "link":
            self._entries.append(TreeEntry.of_link(item.path, item.link))
        elif item.kind == "file":
            self._entries.append(TreeEntry(item.path, item.size, mode_of(item), digest(contents)))

    def manifest(self) -> TreeManifest:
        """Return the manifest of the members."""
        return TreeManifest.of(self._entries)


class Tree(HashedTree):  # writes: own, each directory is new, and _NEW follows no link
    """Writes the members of an entry to a directory."""

    def __init__(self, directory: Path, shared: Pool) -> None:
        """Create `directory` and its parents. `directory` must not exist."""
        super().__init__()
        self.directory = directory
        self._root = str(directory)
        self._pool = shared
        directory.mkdir(mode=0o700, parents=True)  # the mode of BentoML's directories
        self._directories = {""}

    def add(self, item: SafeMember, contents: Contents, *, private: bool = False) -> None:
        """Write a member. A `private` file isn't shared through the pool. Raises BentoError if writing fails."""
        target = f"{self._root}/{item.path}"  # not a path object, because an entry can have many files
        try:
            self._make_directory(item.path if item.kind == "folder" else item.path.rpartition("/")[0])
            if item.kind == "link":
                Path(target).symlink_to(item.link)
                self._entries.append(TreeEntry.of_link(item.path, item.link))
            elif item.kind == "file":
                digest = self._file(item, contents, target, private=private)
                self._entries.append(TreeEntry(item.path, item.size, mode_of(item), digest))
        except OSError as error:
            problem = f"cannot write the file: {error.strerror or error}"
            remedy = "Check the permissions and the free disk space."
            raise BentoError(problem, place=item.path, remedy=remedy) from error

    def _file(self, item: SafeMember, contents: Contents, target: str, *, private: bool) -> str:
        new = True
        if private:
            digest = shared_contents.write(target, contents, executable=item.executable)
        elif item.size <= _SMALL:
            digest, new = self._pool.put(b"".join(contents), target, executable=item.executable)
        else:
            digest, new = self._pool.add(contents, item.size, target, executable=item.executable)
        if new:
            self.written.append(target)
        return digest

    def _make_directory(self, path: str) -> None:
        if path in self._directories:
            return
        self._make_directory(path.rpartition("/")[0])
        (self.directory / path).mkdir(mode=0o755)
        self._directories.add(path)


def mode_of(item: SafeMember) -> int:
    """Return the mode of a file in a manifest."""
    return 0o755 if item.executable else 0o644


def _counted(contents: Contents, progress: Advance) -> Contents:
    for piece in contents:
        yield piece
        progress(len(piece))


def digest(contents: Iterable[bytes | memoryview]) -> str:
    """Return the hexadecimal BLAKE3 digest of a file's contents, without storing the contents."""
    from blake3 import blake3

    hasher = blake3()
    for piece in contents:
        hasher.update(piece)
    return hasher.hexdigest()
