"""Decides which declared files a Bento's ``src/`` holds, and where.

BentoML walks a folder; here somebody declares each file (a Bazel target does, or `walk` for a plain folder).
What happens to the files then is BentoML's: a file is kept if ``include`` matches its path, ``exclude`` does
not, the built-in exclusions do not, and no ``.bentoignore`` in a folder above it does, each list on its own.
"""

from __future__ import annotations

import io
import os
import posixpath
from functools import lru_cache
from operator import attrgetter

from rules_bento.errors import BentoError
from rules_bento.records import dataclass, field, replace
from rules_bento.sources.manifest import Entry, Manifest
from rules_bento.sources.opening import read_source
from rules_bento.sources.patterns import BUILT_IN, Filter, Patterns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rules_bento.sources.patterns import Rule

IGNORE_FILE = ".bentoignore"
MAIN_REPOSITORY = "_main"
_EXTERNAL = "external/"  # where the files of other repositories lie; their rules may well have linked them
_EXECUTION_ROOTS = "/execroot/"  # in the target of each link that is Bazel's own
DEPENDENCIES = "deps"  # the attribute whose files may lie outside of the build context


_ALL = ("*",)
_MOST_LINKS = 40  # as Linux has it


@dataclass(frozen=True)
class Declared:
    """Describes one file that a target or a folder declares."""

    path: str  # where it lies in the Bento's src/: POSIX, relative
    source: str  # where to read it
    origin: str  # who declared it (a Bazel label, or a folder); only messages use it
    link: str | None = None  # the target's text, for a symbolic link
    filtered: bool = True  # False for a dependency from outside of the build context: only BUILT_IN applies


@dataclass(frozen=True)
class Selection:
    """Holds the declared files, kept and dropped, each sorted by path."""

    kept: tuple[Declared, ...]
    dropped: tuple[Declared, ...]
    idle: tuple[Rule, ...]  # patterns of include that match no declared file
    _filter: Filter = field(repr=False, compare=False)

    def reason(self, file: Declared) -> str | None:
        """Return which line of which list dropped ``file``, in words; None if it is kept."""
        return self._filter.reason(file.path, filtered=file.filtered)


@dataclass(frozen=True)
class Place:
    """Tells where a declared file lies in the Bento's src/, and whether patterns apply to it (see `Declared`)."""

    path: str
    filtered: bool


def place(short_path: str, *, build_ctx: str, import_roots: Iterable[str] = (), attribute: str, label: str) -> Place:
    """Return where a file of ``attribute`` of the target ``label`` goes.

    ``short_path`` is Bazel's (``svc/a.py``, ``../repo+/a.py``), and so is ``build_ctx``, a folder ("" is the root of
    the main repository). ``import_roots`` are entries of ``PyInfo.imports`` (``_main/lib/src``, ``repo+``); the root
    of each repository is one without being named.

    Files below the build context keep their path in it. Files of ``deps`` that a deeper import root covers, or
    that lie elsewhere, go where Python finds them: below the longest import root.
    Raises BentoError for a file of another attribute that is not below the build context, and for a path or a
    context that is absolute or leaves its repository.
    """
    home, context = _context(build_ctx)
    repository, path = _split_repository(short_path, label, attribute)
    inside = repository == home and _is_below(path, context)
    root = _import_root(repository, path, import_roots) if attribute == DEPENDENCIES else ""
    if inside and len(root) <= len(context):
        return Place(_relative(path, context), filtered=True)
    if attribute != DEPENDENCIES:
        raise BentoError(
            f"{label}: {attribute} has {short_path!r}, which does not lie in the build context, {build_ctx!r}. Set "
            f"build_ctx to a folder above it, or, if it is code of a Python library, put its target into deps."
        )
    return Place(_relative(path, root), filtered=False)


def walk(folder: str) -> Iterator[Declared]:
    """Yield the files of a plain folder, as BentoML walks it.

    Symbolic links to files stay links, links to folders and empty folders vanish. Folders that the built-in
    exclusions drop in any case are not entered. Raises BentoError for a folder that cannot be read.
    """
    root = os.path.realpath(folder)
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(f"{root}/{prefix}") as scan:
                entries = sorted(scan, key=attrgetter("name"))
        except OSError as error:
            raise BentoError(
                f"{folder}/{prefix} is no folder that can be read ({error.strerror}). Give one that can."
            ) from None
        for entry in entries:
            path = prefix + entry.name
            if not _is_folder(entry):
                # Path.readlink would tidy the target's text.
                link = os.readlink(entry.path) if entry.is_symlink() else None  # noqa: PTH115
                yield Declared(path, entry.path, folder, link)
            elif not entry.is_symlink() and entry.name + "/" not in BUILT_IN:
                pending.append(path + "/")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle, or through what may not be read
        return False


def select(
    files: Sequence[Declared],
    include: Sequence[str] = _ALL,
    exclude: Sequence[str] = (),
    *,
    src_layout: bool = False,
) -> Selection:
    """Apply BentoML's include, exclude and ``.bentoignore`` rules to declared files.

    A ``.bentoignore`` counts because it is declared (with ``filtered``), whether it is kept or not.
    ``src_layout`` strips a leading ``src/`` from the paths that are kept; the patterns see the path before.

    Raises BentoError for a path that is absolute, leaves the Bento, is not UTF-8 or has a line break; for an
    unreadable pattern or ignore file; for two files at one path, or a file where another needs a folder; for
    a link that is absolute, leaves the Bento or leads to nothing declared.
    """
    for file in files:
        _check_path(file)
    _check_include(include)
    rules = Filter(Patterns(include, "include"), Patterns(exclude, "exclude"), _ignored(files))
    kept: list[Declared] = []
    dropped: list[Declared] = []
    for file in files:
        (kept if rules.keeps(file.path, filtered=file.filtered) else dropped).append(file)
    idle = rules.idle() if tuple(include) != _ALL else ()
    if src_layout:
        kept = [_out_of_src(file) for file in kept]
        files = [_out_of_src(file) for file in files]
    ordered = _unique(sorted(kept, key=_by_path))
    _check_names(ordered)
    _check_folders(ordered)
    _check_links(ordered, files, rules)
    return Selection(ordered, tuple(sorted(dropped, key=_by_path)), idle, rules)


def require_kept(selection: Selection, paths: Sequence[str], *, what: str) -> Declared:
    """Return the first of ``paths`` that the selection keeps.

    ``what`` says who needs it ("service 'service:Iris'"). Raises BentoError that tells which line dropped it,
    or that nobody declared it.
    """
    for path in paths:
        for file in selection.kept:
            if file.path == path:
                return file
    wanted = " or ".join(paths)
    for file in selection.dropped:
        if file.path in paths:
            raise BentoError(
                f"{what} needs {file.path} (from {file.origin}), but {selection.reason(file)}. "
                f"Change that list so that it keeps the file."
            )
    raise BentoError(f"{what} needs {wanted}, which is not declared. Add the file to srcs, or its library to deps.")


def digest(kept: Iterable[Declared]) -> Manifest:
    """Read and hash the kept files. Raises BentoError for what is not a readable regular file."""
    return Manifest.of(
        Entry.of_file(file.path, file.source, file.origin) if file.link is None else Entry.of_link(file.path, file.link)
        for file in kept
    )


def content(file: Declared) -> bytes:
    """Return the bytes of a file that is read before it is digested.

    Raises BentoError for more than a reader of text takes, and for what is not a readable regular file.
    """
    try:
        return read_source(file.source, file.path)
    except OSError as error:
        raise BentoError(
            f"{file.path} (from {file.origin}) cannot be read: {error.strerror}. Declare a readable file."
        ) from None


def beginnings(kept: Iterable[Declared], most: int) -> Iterator[tuple[str, bytes]]:
    """Read the first `most` bytes of files that were digested; yields paths in the Bento, and bytes."""
    for file in kept:
        if file.link is None:
            with open(file.source, "rb", buffering=0) as source:  # noqa: PTH123 - see walk
                yield f"src/{file.path}", source.read(most)


def check_followed(kept: Iterable[Declared]) -> None:
    """Refuse files whose content lies outside of Bazel's execution root, where a link leads.

    Links that stay inside are followed: sandboxes are made of links, and Bazel has digested what is behind them.
    """
    for file in kept:
        text = None if file.link is not None or file.source.startswith(_EXTERNAL) else _way_out(file.source)
        if text:
            raise BentoError(
                f"{file.path} (from {file.origin}) is a link to {text!r}, which is absolute or leaves the workspace. "
                f"Put a copy in its place, or exclude it."
            )


def check_inside(file: Declared, folder: str) -> None:
    """Refuse a file of a plain folder that is a link out of it, or no regular file.

    What `walk` finds and no pattern keeps is held against nothing else, and an option may name it.
    """
    root, real = os.path.realpath(folder), os.path.realpath(file.source)
    if not real.startswith(f"{root.rstrip('/')}/"):
        raise BentoError(f"{file.path} is a link to {real!r}, which is outside of {folder}. Put a copy in its place.")
    if os.path.exists(real) and not os.path.isfile(real):  # noqa: PTH110, PTH113 - as in walk
        raise BentoError(f"{file.path} is a pipe, a socket or a device. Put a file in its place.")


_by_path = attrgetter("path")


def _split_repository(short_path: str, label: str, attribute: str) -> tuple[str, str]:
    repository, path = MAIN_REPOSITORY, short_path
    if short_path.startswith("../"):
        repository, _, path = short_path[len("../") :].partition("/")
    if not repository or not _is_clean(path):
        raise BentoError(
            f"{label}: {attribute} has the path {short_path!r}, which is absolute or leaves its repository. "
            f"Declare a file of the workspace, or a target."
        )
    return repository, path


def _context(build_ctx: str) -> tuple[str, str]:
    """Split ``build_ctx`` into the repository and the folder in it. Raises BentoError if it leaves the repository."""
    repository, context = MAIN_REPOSITORY, build_ctx.rstrip("/")
    if context.startswith("../"):
        repository, _, context = context[len("../") :].partition("/")
    if context in ("", "."):
        return repository, ""
    if not _is_clean(context):
        raise BentoError(
            f"build_ctx is {build_ctx!r}, which is absolute or leaves its repository. Give a folder relative to the "
            f"root of the repository."
        )
    return repository, context


def _import_root(repository: str, path: str, import_roots: Iterable[str]) -> str:
    """Return the deepest folder above ``path`` that is an import root; "" is the root of the repository."""
    roots = _normalised(tuple(import_roots))
    folder = path.rpartition("/")[0]
    while folder and f"{repository}/{folder}" not in roots:
        folder = folder.rpartition("/")[0]
    return folder


@lru_cache(maxsize=8)  # asked for each file, with the same roots
def _normalised(import_roots: tuple[str, ...]) -> frozenset[str]:
    return frozenset([posixpath.normpath(root) for root in import_roots])


def _is_clean(path: str) -> bool:
    padded = f"/{path}/"
    return "//" not in padded and "/./" not in padded and "/../" not in padded


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(folder + "/")


def _relative(path: str, folder: str) -> str:
    return path[len(folder) + 1 :] if folder else path


def _way_out(source: str) -> str | None:
    """Return the target of the link by which ``source`` leaves the execution root; None if it stays inside."""
    root, path, in_workspace = "", source, False
    for _ in range(_MOST_LINKS):
        try:
            text = os.readlink(root + path)  # noqa: PTH115 - see walk
        except OSError:  # no link, or nothing there, which whoever reads it will say
            return None
        before, own, after = text.rpartition(_EXECUTION_ROOTS)
        if own and text.startswith("/"):
            workspace, _, path = after.partition("/")
            root = f"{before}{own}{workspace}/"
        elif text.endswith(f"/{path}") and text.startswith("/") and "/" not in path and not in_workspace:
            # What lies at the top of the workspace, Bazel links into the execution root.
            root, in_workspace = text.removesuffix(path), True
        else:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
            if path.startswith(("/", "../")) or path == "..":
                return text
    return None


def _check_path(file: Declared) -> None:
    if not _is_clean(file.path):
        raise BentoError(
            f"{file.origin} declares {file.path!r}, which is absolute or leaves the Bento. A file needs a "
            f"relative path without '.' and '..'."
        )


def _check_include(include: Sequence[str]) -> None:
    for pattern in include:
        if pattern.startswith("../"):
            raise BentoError(
                f"include has {pattern!r}, but a Bento takes nothing from outside of its build context. Set "
                f"build_ctx to a folder above it, or declare the files of a library in deps."
            )


def _ignored(files: Sequence[Declared]) -> dict[str, Patterns]:
    by_path: dict[str, Declared] = {}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        if name == IGNORE_FILE and file.filtered:
            _check_same(by_path.setdefault(folder, file), file)
    return {folder: _read_ignore_file(by_path[folder], files) for folder in by_path}


def _read_ignore_file(file: Declared, files: Sequence[Declared]) -> Patterns:
    source = file
    for _ in range(_MOST_LINKS):
        if source.link is None:
            break
        target = _target(source)
        source = next((other for other in files if other.path == target), file)
    if source.link is not None:
        raise BentoError(
            f"{file.path} (from {file.origin}) is a link to {file.link!r}, but no file lies there. Put a copy of the "
            f"file in its place."
        )
    check_followed([source])
    # Line breaks as BentoML reads them: LF, CRLF and CR, and no other.
    lines = io.TextIOWrapper(io.BytesIO(content(replace(source, path=file.path))), encoding="utf-8")
    try:
        return Patterns(lines, file.path, unit="line")
    except UnicodeDecodeError:
        raise BentoError(
            f"{file.path} (from {file.origin}) is not UTF-8 text. Save it as UTF-8, or remove it from srcs."
        ) from None


def _out_of_src(file: Declared) -> Declared:
    if file.filtered and file.path.startswith("src/"):
        return replace(file, path=file.path[len("src/") :])
    return file


def _check_same(one: Declared, other: Declared) -> None:
    if (one.source, one.link) != (other.source, other.link):
        raise BentoError(
            f"Two files want the path {one.path} in the Bento: {one.source} (from {one.origin}) and "
            f"{other.source} (from {other.origin}). Remove one from srcs, data or deps, or exclude it."
        )


def _unique(ordered: list[Declared]) -> tuple[Declared, ...]:
    kept = ordered[:1]
    for file in ordered[1:]:
        if file.path == kept[-1].path:
            _check_same(kept[-1], file)
        else:
            kept.append(file)
    return tuple(kept)


def _check_names(kept: Iterable[Declared]) -> None:
    # Names that differ in case only are left alone: a Bento runs on Linux, and BentoML takes them too.
    for file in kept:
        name = file.path if file.link is None else f"{file.path} -> {file.link}"
        if "\n" in name or not _is_utf8(name):
            raise BentoError(
                f"{file.origin} declares {name!r}: not UTF-8, or with a line break. Rename it, or exclude it."
            )


def _is_utf8(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_folders(kept: Iterable[Declared]) -> None:
    within: dict[str, Declared] = {}
    for file in kept:
        folder = file.path.rpartition("/")[0]
        while folder and folder not in within:
            within[folder] = file
            folder = folder.rpartition("/")[0]
    for file in kept:
        if file.path in within:
            other = within[file.path]
            raise BentoError(
                f"{file.path} is a file (from {file.origin}), and a folder because of {other.path} (from "
                f"{other.origin}). Rename one, or exclude it."
            )


def _check_links(kept: Iterable[Declared], files: Sequence[Declared], rules: Filter) -> None:
    links = {file.path: file for file in kept if file.link is not None}
    if not links:
        return
    declared = {file.path for file in files}
    for path, file in links.items():
        target = _target(file)
        # A target that the patterns drop is let pass, for BentoML keeps such a link, too.
        if target not in declared and rules.keeps(target, filtered=False):
            raise BentoError(
                f"{path} (from {file.origin}) is a link to {file.link!r}, but no file lies there. "
                f"Declare {target}, or exclude the link."
            )
        passed = {path}
        while target in links:
            if target in passed:
                raise BentoError(
                    f"{path} (from {file.origin}) is a link to {file.link!r}, which leads in a circle. Exclude it."
                )
            passed.add(target)
            target = _target(links[target])


def _target(file: Declared) -> str:
    link = file.link or ""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), link))
    if not link or link.startswith("/") or target == ".." or target.startswith("../"):
        raise BentoError(
            f"{file.path} (from {file.origin}) is a link to {link!r}, which is absolute or leaves the Bento. "
            f"Put a copy in its place, or exclude it."
        )
    return target
