"""Selects files for a Bento's ``src/``, and determines the path of each file in ``src/``.

BentoML walks a directory. In rules_bento, a Bazel target declares each file, or `walk` declares the files of a
directory. As in BentoML, a file is selected if ``include`` matches its path, and none of these lists match:
``exclude``, the built-in exclusions, and the ``.bentoignore`` file of each parent directory.
"""

from __future__ import annotations

import io
import os
import posixpath
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType

from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import TreeWriter
from rules_bento.base.tree_walk import BUILT_IN, GENERATED, open_below
from rules_bento.base.tree_walk import walk as walk_tree
from rules_bento.base.typing_lite import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.sources import tree_manifest
from rules_bento.bentos.sources.patterns import Patterns, Rule, SourceFilter
from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest, open_source

IGNORE_FILE = ".bentoignore"
MAIN_REPOSITORY = "_main"
MAX_BYTES = 16 << 20  # size limit of text files
# git-lfs/docs/spec.md: the first line of a pointer, and the bytes that a pointer never has
LFS_POINTER, MAX_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1", 1024  # and LF, or CR LF by Git
_EXTERNAL = "external/"  # directory of other repositories, whose rules can create links
_EXECUTION_ROOTS = "/execroot/"  # part of the target of each link that Bazel creates
DEPENDENCIES = "deps"  # the attribute whose files can be outside of the build context
_COPY_LINK = "Replace the link with a copy, or exclude the link."
_ALL = ("*",)
_MAX_LINKS = 40  # the limit of Linux


@dataclass(frozen=True)
class DeclaredFile:
    """A file or link, declared by a Bazel target or found in a directory by `walk`.

    ``source`` is the path to read. Only messages use ``origin``. If ``filtered`` is false, no pattern applies.
    """

    path: str  # path in the Bento's src/: POSIX, relative
    source: str  # path to read it from
    origin: str  # the declaring Bazel label or directory; only for messages
    link: str | None = None  # the target, for a symbolic link
    filtered: bool = True  # False for a dependency from outside of the build context
    context_path: str = ""  # for a copy of a file in the build context: the path there, to which patterns apply
    loaded_from: str = ""  # for a module that src/ has elsewhere: its path there (see `library_paths`)
    content: bytes | None = None  # what the Bento contains, for a loader; `source` is the module that it loads
    below: str = ""  # a directory: no link below it leads to `source`

    def __str__(self) -> str:
        return f"{self.path} (from {self.origin})"

    @property
    def in_context(self) -> bool:
        """Whether the path is relative to the build context."""
        return self.filtered and not self.context_path


@dataclass(frozen=True)
class Selection:
    """The result of `select`: the kept and the dropped files, both sorted by path, and the unused patterns."""

    kept: tuple[DeclaredFile, ...]
    dropped: tuple[DeclaredFile, ...]
    idle: Sequence[Rule]  # patterns of include, exclude, and ignore files that match no declared file
    rules: SourceFilter = field(repr=False, compare=False)  # of the patterns
    _src_layout: bool = False

    def find_dropped(self, paths: Sequence[str]) -> DeclaredFile | None:
        """Return the first dropped file whose path in the Bento is one of `paths`, or None if no file matches."""
        files = (file for file in self.dropped if (_out_of_src(file) if self._src_layout else file).path in paths)
        return next(files, None)

    def reason(self, file: DeclaredFile) -> str | None:
        """Return the reason why ``file`` was dropped, for example a pattern. Returns None if the file was kept."""
        return self.rules.reason(file.context_path or file.path)


def place(short_path: str, *, build_ctx: str, attribute: str, label: str) -> str:
    """Return the path in the Bento of a file in ``srcs`` or ``data``, which is relative to the build context.

    The target ``label`` lists the file in its attribute ``attribute``. ``short_path`` and ``build_ctx`` are Bazel short
    paths (``svc/a.py``, ``../repo+/a.py``). ``build_ctx`` is a directory ("" is the root of the main repository).
    Raises BentoError if the file is outside the build context, or if a path or the build context is absolute or leaves
    its repository.
    """
    home, context = context_directory(build_ctx)
    repository, path = split_short_path(short_path, attribute, label)
    if repository == home and is_below(path, context):
        return relative_path(path, context)
    problem = f"{attribute} contains {short_path!r}, which is outside the build context {build_ctx!r}"
    remedy = "Set build_ctx to a directory that contains the file, or add the library that contains the file to deps."
    raise BentoError(problem, place=label, remedy=remedy)


def runfiles_path(short_path: str) -> str:
    """Convert a file's short path to the path in Bazel's runfiles, `<repository>/<path>`."""
    return "/".join(_split(short_path))


def split_short_path(short_path: str, attribute: str, label: str) -> tuple[str, str]:
    """Return the repository's name and the path in the repository of a file that ``label`` has in ``attribute``.

    Raises BentoError for a path that is absolute or leaves its repository.
    """
    repository, path = _split(short_path)
    if not repository or not _is_clean(path):
        problem = f"{attribute} contains {short_path!r}, which is absolute or outside the repository"
        raise BentoError(problem, place=label, remedy="Use a file in the repository, or a target.")
    return repository, path


def is_below(path: str, directory: str) -> bool:
    """Return whether a directory contains a path. The empty string is the root, which contains all paths."""
    return not directory or path.startswith(directory + "/")


def relative_path(path: str, directory: str) -> str:
    """Return the path relative to a directory that contains the path."""
    return path[len(directory) + 1 :] if directory else path


def context_directory(build_ctx: str) -> tuple[str, str]:
    """Split ``build_ctx`` into repository and directory. Raises BentoError for a directory outside the repository."""
    repository, context = _split(build_ctx.rstrip("/"))
    if context in ("", "."):
        return repository, ""
    if not _is_clean(context):
        remedy = "Use a path relative to the repository root."
        raise BentoError(f"{build_ctx!r} is absolute or outside the repository", place="build_ctx", remedy=remedy)
    return repository, context


def _is_of_bento(_: str, entry: os.DirEntry[str]) -> bool:
    return f"{entry.name}/" not in BUILT_IN or not entry.is_dir(follow_symlinks=False)


def walk(directory: str, keeps: Callable[[str, os.DirEntry[str]], bool] = _is_of_bento) -> Iterator[DeclaredFile]:
    """Yield the files in ``directory`` and its subdirectories for which ``keeps`` is true (see `tree_walk.walk`).

    The default is as BentoML does when it builds a Bento, without directories that the built-in exclusions always drop.
    Yields symbolic links to files as links. Omits empty directories, and links to directories. Raises BentoError for a
    directory that can't be read.
    """
    root = os.path.realpath(directory)
    try:
        for path, entry in walk_tree(root, keeps=keeps):
            if not _is_directory(entry):
                yield DeclaredFile(path, entry.path, directory, _link(entry))
    except OSError as error:
        raise _unreadable(directory, root, error) from None


def expand(files: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield the path to read, Bazel's short path, and the label of each file, also in declared source directories."""
    for source, short_path, label in files:
        if not os.path.isdir(source):  # noqa: PTH112 - as in walk
            yield source, short_path, label
            continue
        for path, entry in walk_tree(source):
            if not _is_directory(entry):
                yield f"{source}/{path}", f"{short_path}/{path}", label


def artifact_notes(files: Iterable[DeclaredFile], directory: str) -> list[str]:
    """Return notes about Bento archives and OCI image layouts in ``files``, which `walk` found in ``directory``."""
    sources, root = {file.source for file in files}, f"{os.path.realpath(directory)}/"
    found = {source: "a Bento archive" for source in sources if source.endswith(".bento")}
    for source in sources:
        layout = source.removesuffix("oci-layout")
        if source.endswith("/oci-layout") and f"{layout}index.json" in sources and layout != root:
            found[layout] = "an OCI image layout"
    paths = {source.removeprefix(root): kind for source, kind in sorted(found.items())}
    return [
        f"src contains {path} ({kind}). To exclude it, add {path} to {IGNORE_FILE}." for path, kind in paths.items()
    ]


def walk_entry(directory: str) -> Iterator[DeclaredFile]:
    """Yield all files and links of the store entry in ``directory``. Raises BentoError for an unreadable directory."""
    try:
        for path, entry in walk_tree(directory, without=GENERATED):
            if not entry.is_dir(follow_symlinks=False):
                yield DeclaredFile(path, entry.path, directory, _link(entry))
    except OSError as error:
        raise _unreadable(directory, directory, error) from None


def copy(files: Iterable[DeclaredFile], directory: Path) -> None:  # writes: own, a new directory of the caller
    """Copy files to a new directory, with their links. Raises OSError if a file can't be copied."""
    with TreeWriter(directory) as tree:
        for file in files:
            tree.link(file.path, file.link) if file.link is not None else tree.copy(file.path, Path(file.source))


def readable(kept: Iterable[DeclaredFile]) -> dict[str, DeclaredFile]:
    """Return the file that each path of kept files leads to, with links inside the Bento."""
    files = {file.path: file for file in kept}
    found = {path: file for path, file in files.items() if file.link is None}
    for path, file in files.items():
        for _ in files if file.link is not None else ():
            file = files.get(_target(file), file)
            if file.link is None:
                found[path] = file
                break
    return found


def _link(entry: os.DirEntry[str]) -> str | None:
    return os.readlink(entry.path) if entry.is_symlink() else None  # noqa: PTH115 - Path.readlink normalizes the target


def _unreadable(directory: str, root: str, error: OSError) -> BentoError:
    place = f"{directory}{str(error.filename).removeprefix(root)}"
    remedy = "Check the path and permissions."
    return BentoError(f"cannot read the directory: {error.strerror}", place=place, remedy=remedy)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # circular links, or an unreadable directory
        return False


def select(
    files: Sequence[DeclaredFile],
    include: Sequence[str] = _ALL,
    exclude: Sequence[str] = (),
    *,
    src_layout: bool = False,
) -> Selection:
    """Select files with BentoML's ``include``, ``exclude``, and ``.bentoignore`` rules.

    A declared ``.bentoignore`` whose ``filtered`` is true applies even if the file itself isn't kept. ``src_layout``
    removes a leading ``src/`` from the paths of files whose ``filtered`` is true, after the patterns are applied.

    Raises BentoError for unreadable ignore files, conflicting paths, or an invalid path, pattern, or link. Paths must
    be UTF-8 without line breaks. Paths and link targets must be relative and inside the Bento. The target of a link
    must be declared, or match a built-in exclusion.
    """
    for file in files:
        _check_path(file)
    for pattern in include:
        if pattern.startswith("../"):
            remedy = "Use a parent directory as the build context. In Bazel, set build_ctx to this directory, or "
            remedy += "add a library that contains the files to deps."
            raise BentoError(f"{pattern!r} is outside the build context", place="include", remedy=remedy)
    rules = SourceFilter(Patterns(include, "include"), Patterns(exclude, "exclude"), _ignored(files))
    kept: list[DeclaredFile] = []
    dropped: list[DeclaredFile] = []
    for file in files:
        (kept if not file.filtered or rules.keeps(file.context_path or file.path) else dropped).append(file)
    idle = rules.idle()
    if src_layout:
        kept = [_out_of_src(file) for file in kept]
        files = [_out_of_src(file) for file in files]
    ordered = _unique(sorted(kept, key=_by_path))
    _check_names(ordered)
    _check_directories(ordered)
    _check_links(ordered, files, rules)
    return Selection(ordered, tuple(sorted(dropped, key=_by_path)), idle, rules, src_layout)


def require_kept(selection: Selection, paths: Sequence[str], *, what: str) -> DeclaredFile:
    """Return the first file in ``paths`` that the selection keeps. Raises BentoError if the selection keeps none.

    Messages begin with ``what``, such as "service 'service:Iris'", and contain the reason if a file was dropped.
    """
    for path in paths:
        for file in selection.kept:
            if file.path == path:
                return file
    wanted = " or ".join(paths)
    if dropped := selection.find_dropped(paths):
        remedy = "Change include or exclude to keep the file."
        raise BentoError(f"{what} requires {dropped}, but {selection.reason(dropped)}", remedy=remedy)
    remedy = "Add the file to srcs, or add to deps the library that contains the file."
    raise BentoError(f"{what} requires {wanted}, which isn't declared", remedy=remedy)


def digest(
    kept: Iterable[DeclaredFile], *, is_model: bool = False, known: Mapping[str, TreeEntry] = MappingProxyType({})
) -> TreeManifest:
    """Return the manifest of the kept files. Raises BentoError for an unreadable or special file.

    `known` has results of `read_entry` by path: the other files are read.

    Also raises BentoError for a pointer of Git LFS, except for models, whose weights are checked.
    """
    return TreeManifest.of(known.get(file.path) or _entry(file, is_model=is_model) for file in kept)


def _entry(file: DeclaredFile, *, is_model: bool) -> TreeEntry:
    if file.link is not None:
        return TreeEntry.of_link(file.path, file.link)
    if file.content is not None:
        return TreeEntry.of_bytes(file.path, file.content)
    return read_entry(file, is_model=is_model)[0]


def read_entry(file: DeclaredFile, *, is_model: bool = False) -> tuple[TreeEntry, bytes, os.stat_result]:
    """Return the entry of a file with its first bytes and its status. Raises the same errors as `digest`."""
    entry, beginning, status = tree_manifest.read_entry(file.path, file.source, file.origin, file.below)
    if entry.size < MAX_LFS_POINTER and not is_model:
        check_lfs(str(file), beginning)
    return entry, beginning, status


def check_lfs(name: str, content: bytes) -> None:
    """Raise BentoError for a pointer of Git LFS, which a clone without git-lfs has in place of a file."""
    if content.startswith(LFS_POINTER) and len(content) < MAX_LFS_POINTER:
        remedy = "Run `git lfs pull`, or remove the file."
        raise BentoError(f"{name} is a pointer of Git LFS, not the file", remedy=remedy)


def members(kept: Iterable[DeclaredFile], manifest: TreeManifest) -> list[Member]:
    """Return the files as archive members below `src/`, with sizes and modes from the manifest."""
    entries = {entry.path: entry for entry in manifest.entries}
    return [
        Member.symlink(f"src/{file.path}", file.link)
        if file.link is not None
        else Member.inline(f"src/{file.path}", file.content)
        if file.content is not None
        else Member.file(f"src/{file.path}", file.source, size=entries[file.path].size, mode=entries[file.path].mode)
        for file in kept
    ]


def content(file: DeclaredFile) -> bytes:
    """Return the content of a file. Raises BentoError if the file isn't regular, is unreadable, or is too large."""
    try:
        with open_source(file.source) as source:
            data = source.read(MAX_BYTES + 1)
    except OSError as error:
        remedy = "Check the file's path and permissions."
        raise BentoError(f"{file} can't be read: {error.strerror}", remedy=remedy) from None
    if len(data) > MAX_BYTES:
        remedy = "Exclude the file."
        raise BentoError(f"the file exceeds the limit of {MAX_BYTES >> 20} MiB", place=file.path, remedy=remedy)
    return data


def read_prefixes(kept: Iterable[DeclaredFile], most: int) -> Iterator[tuple[str, bytes]]:
    """For each kept file, yield the path in the Bento and the first `most` bytes. Skips links."""
    for file in kept:
        if file.link is None:
            with os.fdopen(open_below(file.source, file.below), "rb", 0) as source:
                yield f"src/{file.path}", source.read(most)


def check_followed(kept: Iterable[DeclaredFile]) -> None:
    """Raise BentoError if a kept file is a link to a target outside of Bazel's execution root.

    Links to targets in the execution root are allowed, because Bazel's sandboxes consist of links.
    """
    for file in kept:
        text = None if file.link is not None or file.source.startswith(_EXTERNAL) else _escaping_target(file.source)
        if text:
            raise BentoError(f"{file} is a link to {text!r}, which is absolute or outside the workspace. {_COPY_LINK}")


def check_inside(file: DeclaredFile, directory: str) -> None:
    """Raise BentoError if a file is a special file, or is a link to a target outside of ``directory``.

    Use this check for files to which options refer. `select` checks only selected files.
    """
    root, real = os.path.realpath(directory), os.path.realpath(file.source)
    if not real.startswith(f"{root.rstrip('/')}/"):
        remedy = "Replace the link with a copy."
        raise BentoError(f"{file.path} is a link to {real!r}, which is outside {directory}", remedy=remedy)
    if os.path.exists(real) and not os.path.isfile(real):  # noqa: PTH110, PTH113 - as in walk
        remedy = "Replace the entry with a regular file."
        raise BentoError(f"{file.path} is a pipe, a socket, or a device", remedy=remedy)


_by_path = attrgetter("path")


def _split(short_path: str) -> tuple[str, str]:
    """Split a Bazel short path into the repository name, and the path in the repository."""
    if not short_path.startswith("../"):
        return MAIN_REPOSITORY, short_path
    repository, _, path = short_path.removeprefix("../").partition("/")
    return repository, path


def _is_clean(path: str) -> bool:
    padded = f"/{path}/"
    return "//" not in padded and "/./" not in padded and "/../" not in padded


def _escaping_target(source: str) -> str | None:
    """Follow links from ``source``. Returns the first target outside the execution root, or None if all are inside."""
    root, path, in_workspace = "", source, False
    for _ in range(_MAX_LINKS):
        text = _link_target(root + path)
        if text is None:  # also a missing file, which a later read reports
            return None
        before, own, after = text.rpartition(_EXECUTION_ROOTS)
        if own and text.startswith("/"):
            workspace, _, path = after.partition("/")
            root = f"{before}{own}{workspace}/"
        elif text.endswith(f"/{path}") and text.startswith("/") and "/" not in path and not in_workspace:
            # Bazel links the top level of the workspace into the execution root.
            root, in_workspace = text.removesuffix(path), True
        else:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
            path = _path_below(root, path) if root and not in_workspace and path.startswith("/") else path
            if path.startswith(("/", "../")) or path == "..":
                return text
    return None


def _link_target(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - see walk
    except OSError:
        return None


def _path_below(root: str, target: str) -> str:
    """Return the path in the execution root of a source, which Bazel's symlink actions name by its absolute path.

    Returns `target` for other files.
    """
    parts = target.split("/")
    for tail in ("/".join(parts[number:]) for number in range(1, len(parts))):
        directory, _, name = f"{root}{tail}".rpartition("/")
        places = (f"{os.path.realpath(directory)}/{name}", _link_target(root + tail))
        if target in places:
            return tail
    return target


def _check_path(file: DeclaredFile) -> None:
    if not _is_clean(file.path):
        remedy = "Use a relative path without '.' and '..'."
        raise BentoError(f"{file.origin} declares {file.path!r}, which is absolute or outside the Bento", remedy=remedy)


def _ignored(files: Sequence[DeclaredFile]) -> dict[str, Patterns]:
    by_path: dict[str, DeclaredFile] = {}
    for file in files:
        directory, _, name = file.path.rpartition("/")
        if name == IGNORE_FILE and file.in_context:
            _check_same(by_path.setdefault(directory, file), file)
    return {directory: _read_ignore_file(by_path[directory], files) for directory in by_path}


def _read_ignore_file(file: DeclaredFile, files: Sequence[DeclaredFile]) -> Patterns:
    source = file
    for _ in range(_MAX_LINKS):
        if source.link is None:
            break
        target = _target(source)
        source = next((other for other in files if other.path == target), file)
    if source.link is not None:
        remedy = "Replace the link with a file."
        raise BentoError(f"{file} is a link to {file.link!r}, which doesn't exist", remedy=remedy)
    check_followed([source])
    # Line breaks as BentoML reads them: only LF, CRLF, and CR.
    lines = io.TextIOWrapper(io.BytesIO(content(replace(source, path=file.path))), encoding="utf-8")
    try:
        return Patterns(lines, file.path, unit="line")
    except UnicodeDecodeError:
        remedy = "Save the file as UTF-8, or remove the file from srcs."
        raise BentoError(f"{file} isn't valid UTF-8", remedy=remedy) from None


def _out_of_src(file: DeclaredFile) -> DeclaredFile:
    if file.in_context and file.path.startswith("src/"):
        return replace(file, path=file.path[len("src/") :])
    return file


def _check_same(one: DeclaredFile, other: DeclaredFile) -> None:
    if (one.source, one.link) != (other.source, other.link) and not _have_equal_content(one, other):
        raise BentoError(
            f"two files have the path {one.path} in the Bento: {one.source} (from {one.origin}) and {other.source} "
            f"(from {other.origin})",
            remedy="Remove or exclude one of the files, or change the imports of the library that contains the file.",
        )


def _have_equal_content(one: DeclaredFile, other: DeclaredFile) -> bool:
    """Compare two files, such as empty __init__.py files, or a file that Bazel generates in two configurations."""
    if one.link is not None or other.link is not None:
        return False
    check_followed([one, other])
    try:
        with open_source(one.source) as first, open_source(other.source) as second:
            if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
                return False
            while block := first.read(1 << 20):
                if block != second.read(len(block)):
                    return False
    except OSError:  # unreadable files are reported later
        return False
    return True


def _unique(ordered: list[DeclaredFile]) -> tuple[DeclaredFile, ...]:
    kept = ordered[:1]
    for file in ordered[1:]:
        if file.path == kept[-1].path:
            _check_same(kept[-1], file)
        else:
            kept.append(file)
    return tuple(kept)


def _check_names(kept: Iterable[DeclaredFile]) -> None:
    # Names that differ only in case are allowed: a Bento runs on Linux, and BentoML accepts them.
    for file in kept:
        name = file.path if file.link is None else f"{file.path} -> {file.link}"
        if "\n" in name or name.encode(errors="ignore").decode() != name:
            problem = "contains a line break" if "\n" in name else "isn't valid UTF-8"
            raise BentoError(f"{file.origin} declares {name!r}, which {problem}", remedy="Rename or exclude the file.")


def _check_directories(kept: Iterable[DeclaredFile]) -> None:
    within: dict[str, DeclaredFile] = {}
    for file in kept:
        directory = file.path.rpartition("/")[0]
        while directory and directory not in within:
            within[directory] = file
            directory = directory.rpartition("/")[0]
    for file in kept:
        if file.path in within:
            other = within[file.path]
            problem = f"{file.path} (from {file.origin}) is a file, but {other.path} (from {other.origin}) requires a "
            problem += "directory with this path"
            raise BentoError(problem, remedy="Rename or exclude one of the files.")


def _check_links(kept: Iterable[DeclaredFile], files: Sequence[DeclaredFile], rules: SourceFilter) -> None:
    links = {file.path: file for file in kept if file.link is not None}
    if not links:
        return
    declared = {file.path for file in files}
    for path, file in links.items():
        target = _target(file, declared)
        # A target that the patterns drop is allowed, because BentoML keeps such a link.
        if target not in declared and not rules.always_excludes(target):
            remedy = f"Add {target} (in Bazel, to the attribute that contains the link), or exclude the link."
            raise BentoError(f"{file} is a link to {file.link!r}, but {target} is missing", remedy=remedy)
        passed = {path}
        while target in links:
            if target in passed:
                raise BentoError(f"{file} is a circular link to {file.link!r}", remedy="Exclude the link.")
            passed.add(target)
            target = _target(links[target], declared)


def _target(file: DeclaredFile, declared: Collection[str] = ()) -> str:
    link = file.link or ""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), link))
    if not link or link.startswith("/") or target == ".." or target.startswith("../"):
        problem = f"{file} is a link to {link!r}, which is absolute or outside the Bento. {_COPY_LINK}"
        above = posixpath.dirname(posixpath.dirname(file.path))
        if f"{above}/pyvenv.cfg" in declared:
            problem = f"{above} is a virtual environment. To exclude it, add the line `{above}/` to .bentoignore."
        raise BentoError(problem)
    return target
