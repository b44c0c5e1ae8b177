"""Imports archives into the store: first the models of a Bento, then the Bento, each atomically.

The members of an archive are written to the staging directory while the archive is read. Entries appear in the store
only after the complete archive has been read, verified, and flushed to disk.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from rules_bento.archives import unpack
from rules_bento.archives.tarstream import check_links
from rules_bento.bento import descriptors
from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.sources.manifest import TreeEntry, TreeManifest
from rules_bento.tag import LATEST, Tag, check_version, check_word
from rules_bento.tree_walk import GENERATED, walk
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterable, Iterator

from bento_cli.store import delete, durable, import_manifests, pool
from bento_cli.store.entry_store import EntryStore
from bento_cli.store.home import commit_lock, staging_lock, unique
from bento_cli.store.pool import Pool
from bento_cli.store.verification import digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.archives.unpack import Advance, Contents, Form, Limits, SafeMember
    from rules_bento.bento.kinds import Kind

    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home

_MODELS = "models"
# Never shared: BentoML overwrites the Dockerfile in a copy of the tree, and each version has its own descriptor.
_PRIVATE = {"env/docker/Dockerfile", BENTO.descriptor, MODEL.descriptor}


@dataclass(frozen=True)
class Options:
    """Settings for importing archives."""

    limits: Limits = field(default_factory=unpack.Limits)
    models: bool = True  # also import the models of a Bento
    replace: bool = False  # replace an entry with the same tag; otherwise an existing entry is an error
    share: bool = True  # share equal files with other entries; otherwise write each file as a writable copy


@dataclass(frozen=True)
class Imported:
    """The result of an import. `known` contains the tags of models that the store already contained."""

    entry: Entry
    models: tuple[Entry, ...]  # models that were imported
    known: tuple[Tag, ...]  # models that already existed in the store
    notes: tuple[str, ...]  # warnings


@contextmanager
def import_session(home: Home, options: Options) -> Iterator[ImportSession]:
    """Yield a session that imports archives. After the `with` block, removes staged entries that weren't committed."""
    import shutil

    with staging_lock(home):
        directory = unique(home.staging)
        directory.mkdir(mode=0o700, parents=True)
        try:
            yield ImportSession(home, directory, options)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def import_archive(
    home: Home,
    kind: Kind,
    source: Path | BinaryIO,
    form: Form,
    options: Options | None = None,
    progress: Advance | None = None,
) -> Imported:
    """Import an archive. Skips models that the store already contains.

    Raises BentoError if the archive is invalid, if BentoML can't load an entry, or if the store already contains the
    main entry and `options.replace` isn't set.
    """
    with import_session(home, options or Options()) as session:
        staged = session.stage(kind, source, form, progress)
        return session.commit([staged])[0]


@dataclass(frozen=True)
class _Part:
    """A Bento or model in the staging directory."""

    kind: Kind
    tree: Tree
    description: descriptors.Description


@dataclass(frozen=True)
class StagedImport:
    """The staged entries of a complete archive. `known` contains the tags of models that the store already contains."""

    main: _Part
    models: tuple[_Part, ...]
    known: tuple[Tag, ...]
    notes: tuple[str, ...]

    @property
    def tag(self) -> Tag:
        """The tag of the archive's main entry."""
        return self.main.description.tag


class ImportSession:
    """Session in which `stage` reads entries from archives, and `commit` adds them to the store."""

    def __init__(self, home: Home, directory: Path, options: Options) -> None:
        self._home = home
        self._directory = directory
        self._options = options
        self._pool = Pool(home.pool, directory, None if options.share else "copy")
        self._count = 0
        self._replaced: list[delete.Removed] = []

    def stage(
        self, kind: Kind, source: Path | BinaryIO, form: Form, progress: Advance | None = None, below: str = ""
    ) -> StagedImport:
        """Extract an archive to the staging directory. `below` is the entry's path in the archive, such as `a/b/`."""
        return _Reader(self._home, kind, self._tree, self._options).read(source, form, progress, below)

    def commit(self, imports: list[StagedImport]) -> list[Imported]:
        """Add staged imports to the store in the given order. Adds the models of an import before the main entry.

        Raises BentoError if the store already contains a main entry and the option `replace` isn't set. Also raises
        BentoError if the import skipped a model that was deleted from the store afterward.
        """
        trees = [part.tree for staged in imports for part in (staged.main, *staged.models)]
        durable.flush_trees(self._home, self._directory, [path for tree in trees for path in tree.written])
        with commit_lock(self._home):
            done = [self._commit(staged) for staged in imports]
        for removed in self._replaced:
            delete.discard(self._home, removed)
        return done

    def _commit(self, staged: StagedImport) -> Imported:
        entries = EntryStore(self._home, MODEL)
        gone = [tag for tag in staged.known if not entries.has(tag)]
        if gone:
            raise BentoError(f"{gone[0]}: the model was deleted during the Bento's import. Import the Bento again.")
        models: list[Entry] = []
        known, notes = list(staged.known), list(staged.notes)
        for part in sorted(staged.models, key=lambda part: part.description.tag):  # as BentoML adds models
            tag = part.description.tag
            if not entries.has(tag):
                models.append(self._place(part))
            elif _contents_of(part.tree.manifest()) == _stored_contents(self._home, tag):
                known.append(tag)
            elif self._options.replace:
                models.append(self._replace(part))
                notes.append(f"The model {tag} in the store was replaced.")
            else:
                raise other_model(str(staged.tag), tag)
        exists = self._options.replace and EntryStore(self._home, staged.main.kind).has(staged.tag)
        entry = self._replace(staged.main) if exists else self._place(staged.main)
        return Imported(entry, tuple(models), tuple(known), tuple(notes))

    def _replace(self, part: _Part) -> Entry:
        """Replace an entry. The replacement is atomic if the system supports it."""
        kind, tag, tree = part.kind, part.description.tag, part.tree
        before = delete.recorded(self._home, kind, tag)
        import_manifests.remove(self._home, kind, tag)  # a manifest must never describe another entry
        entry = EntryStore(self._home, kind).replace(tree.directory, part.description, tree.manifest())
        if entry:
            self._replaced.append(delete.Removed(tree.directory, before))
            return entry
        self._replaced.append(delete.move_to_trash(self._home, kind, tag)._replace(entries=before))
        return self._place(part)

    def _place(self, part: _Part) -> Entry:
        entries = EntryStore(self._home, part.kind)
        return entries.commit(part.tree.directory, part.description, part.tree.manifest())

    def _tree(self) -> Tree:
        self._count += 1
        return Tree(self._directory / str(self._count), self._pool)


class _Reader:
    """Reads one archive, and writes the main entry and each model to a separate tree."""

    def __init__(self, home: Home, kind: Kind, make_tree: Callable[[], Tree], options: Options) -> None:
        self._home = home
        self._kind = kind
        self._make_tree = make_tree
        self._options = options
        self._main = make_tree()
        self._description: descriptors.Description | None = None
        self._models: dict[Tag, Tree] = {}
        self._known: dict[Tag, dict[str, str]] = {}  # digests of files and targets of links, by path
        self._links: dict[Tag, dict[str, str]] = {}
        self._main_links: list[SafeMember] = []
        self._tops: set[str] = set()

    def read(self, source: Path | BinaryIO, form: Form, progress: Advance | None, below: str = "") -> StagedImport:
        where = unpack.source_name(source)
        for member, contents in unpack.read(source, form, self._options.limits, progress):
            if not member.path.startswith(below):
                if member.kind == "folder" and below.startswith(f"{member.path}/"):
                    continue
                raise BentoError(
                    f"{where}: the path of the archive member {member.path!r} doesn't begin with {below}. Push the "
                    f"{self._kind.noun} again."
                )
            item = member._replace(path=member.path.removeprefix(below))
            self._tops.add(item.path.partition("/")[0])
            if self._kind is BENTO and item.path.partition("/")[0] == _MODELS:
                self._take_of_model(item, contents, where)
            elif item.kind == "link":
                self._main_links.append(item)
            else:
                self._add(item, contents, where)
        check_links({item.path: item.link for item in self._main_links}, where)
        for item in self._main_links:
            self._add(item, iter(()), where)
        if self._description is None:
            raise BentoError(self._missing(where))
        parts = tuple(self._model_part(tag, tree, where) for tag, tree in self._models.items())
        for tag, contents_of_model in self._known.items():
            if contents_of_model != _stored_contents(self._home, tag):
                raise other_model(where, tag)
        main = _Part(self._kind, self._main, self._description)
        return StagedImport(main, parts, tuple(self._known), self._description.notes)

    def _add(self, item: SafeMember, contents: Contents, where: str) -> None:
        if item.path == self._kind.descriptor:
            descriptors.check_size(item.size, f"{where}: {item.path}")
        self._main.add(item, contents, private=item.path in _PRIVATE)
        if item.path == self._kind.descriptor:
            self._description = self._describe(where)

    def _describe(self, where: str) -> descriptors.Description:
        """Parse the staged descriptor of the main entry. Raises BentoError if the entry can't be imported."""
        data = descriptors.read(self._kind, self._main.directory / self._kind.descriptor)
        description = descriptors.parse(self._kind, data, f"{where}: {self._kind.descriptor}")
        if EntryStore(self._home, self._kind).has(description.tag) and not self._options.replace:
            raise BentoError(
                f"{where}: {description.tag} is already in the store. To replace the existing version, add --force."
            )
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
        if not self._options.models:
            return
        if not path:
            if item.kind != "folder" and (not version or version != LATEST):
                raise BentoError(
                    f"{where}: unexpected {item.kind} {item.path!r}. In an archive, models must be in "
                    f"models/NAME/VERSION. Remove the {item.kind}."
                )
            if version and item.kind == "folder":
                self._tree_of(Tag(name, version), where)
            return
        tag = Tag(name, version)
        tree = self._tree_of(tag, where)
        if path == MODEL.descriptor:
            descriptors.check_size(item.size, f"{where}: {item.path}")
        item = item._replace(path=path)
        if item.kind == "link":
            self._links.setdefault(tag, {})[path] = item.link
        if tree:
            tree.add(item, contents, private=path == MODEL.descriptor)
        elif item.kind == "file":
            self._known[tag][path] = digest(contents)
        elif item.kind == "link":
            self._known[tag][path] = f"-> {item.link}"

    def _tree_of(self, tag: Tag, where: str) -> Tree | None:
        """Return the tree for a model, or None if the store contains the model and the option `replace` isn't set.

        Raises BentoError for invalid tags.
        """
        if tag in self._known:
            return None
        if tag not in self._models:
            check_word(tag.name, f"{where}: the name of a model")
            check_version(tag.version, f"{where}: the version of a model")
            if EntryStore(self._home, MODEL).has(tag) and not self._options.replace:
                self._known[tag] = {}
                return None
            self._models[tag] = self._make_tree()
        return self._models[tag]

    def _model_part(self, tag: Tag, tree: Tree, where: str) -> _Part:
        place = f"{where}: {_MODELS}/{tag.name}/{tag.version}"
        # Links that are safe in the archive might not be safe in the store, where the model has another location.
        check_links(self._links.get(tag, {}), place)
        if not (tree.directory / MODEL.descriptor).is_file():
            raise BentoError(f"{place}: {MODEL.descriptor} is missing. Add the file, or use --no-models.")
        data = descriptors.read(MODEL, tree.directory / MODEL.descriptor)
        description = descriptors.parse(MODEL, data, f"{place}/{MODEL.descriptor}")
        if description.tag != tag:
            expected = f"{_MODELS}/{str(description.tag).replace(':', '/')}"
            raise BentoError(
                f"{place}: the path doesn't match the tag {description.tag}. Rename the directory to {expected}."
            )
        return _Part(MODEL, tree, description)


def _contents_of(manifest: TreeManifest) -> dict[str, str]:
    return {entry.path: entry.blake3 or f"-> {entry.link}" for entry in manifest.entries}


def _stored_contents(home: Home, tag: Tag) -> dict[str, str]:
    """Return the digests of a stored model's files and the targets of its links. Reads files without a manifest."""
    directory = EntryStore(home, MODEL).path(tag)
    if manifest := import_manifests.read(home, MODEL, tag, directory):
        return _contents_of(manifest)
    found = {}
    for path, file in walk(directory, without=GENERATED):
        if file.is_symlink():
            found[path] = f"-> {os.readlink(file.path)}"  # noqa: PTH115
        elif not file.is_dir():
            found[path] = digest_of(directory / path, file.stat().st_size)
    return found


def other_model(where: str, tag: Tag) -> BentoError:
    """Return the error for a Bento whose model differs from the stored model with the same tag."""
    return BentoError(
        f"{where}: the store contains another model {tag}. To replace the model for all Bentos that use it, add "
        "--force. To keep both models, import into another BENTOML_HOME."
    )


_SMALL = 1 << 20  # bytes; smaller files are hashed before they are written, because the pool might already contain them


class Tree:
    """Writes a directory tree. The caller must ensure that paths are unique and inside of the tree."""

    def __init__(self, directory: Path, shared: pool.Pool) -> None:
        """Create `directory` and its parents. `directory` must not exist."""
        self.directory = directory
        self._pool = shared
        self._entries: list[TreeEntry] = []
        self.written: list[Path] = []  # new files that must be flushed to disk
        directory.mkdir(mode=0o700, parents=True)  # the mode of BentoML's directories
        self._directories = {""}

    def add(self, item: SafeMember, contents: Contents, *, private: bool = False) -> None:
        """Write a member. A `private` file isn't shared through the pool. Raises BentoError if writing fails."""
        target = self.directory / item.path
        try:
            self._make_directory(item.path if item.kind == "folder" else item.path.rpartition("/")[0])
            if item.kind == "link":
                target.symlink_to(item.link)
                self._entries.append(TreeEntry.of_link(item.path, item.link))
            elif item.kind == "file":
                digest = self._file(item, contents, target, private=private)
                mode = 0o755 if item.executable else 0o644
                self._entries.append(TreeEntry(item.path, item.size, mode, digest))
        except OSError as error:
            problem = f"cannot write the file: {error.strerror or error}"
            raise BentoError(f"{item.path}: {problem}. Check the permissions and the free disk space.") from error

    def manifest(self) -> TreeManifest:
        """Return the manifest of the members written so far."""
        return TreeManifest.of(self._entries)

    def _file(self, item: SafeMember, contents: Contents, target: Path, *, private: bool) -> str:
        new = True
        if private:
            digest = pool.write(target, contents, executable=item.executable)
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


def digest(contents: Iterable[bytes | memoryview]) -> str:
    """Return the hexadecimal BLAKE3 digest of a file's contents, without storing the contents."""
    from blake3 import blake3

    hasher = blake3()
    for piece in contents:
        hasher.update(piece)
    return hasher.hexdigest()
