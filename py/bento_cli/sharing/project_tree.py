"""Finds the files that the build back end of a project sees, copies them, and computes their digest."""

from __future__ import annotations

import os
import re
import stat
from contextlib import nullcontext, suppress
from functools import cache
from io import BytesIO
from itertools import takewhile
from pathlib import Path

from rules_bento.base import tree_walk
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.own_files import TreeWriter
from rules_bento.base.programs import which
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Collection, Iterable, Iterator, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.bentos.sources.git_repository import Repository, find_repository
from rules_bento.bentos.sources.tree_manifest import open_source

from bento_cli.projects.git_ignore import GitIgnore
from bento_cli.projects.uv_project import PYPROJECT, read_inside

if TYPE_CHECKING:
    from blake3 import blake3
    from rules_bento.bentos.service.isolated_build import Sources
    from rules_bento.images.wheels.wheel import Wheel

    from bento_cli.projects.uv_project import UvProject

# Beyond these limits, a digest needs about the time of a build.
_MAX_FILES, _MAX_BYTES = 20_000, 256 << 20
_MAX_LISTED = 100_000  # files, for a note on a larger tree
_PIECE = 1 << 20
# Directories that programs write, unless Git tracks files in them: environments with pyvenv.cfg, and caches with a tag.
_ENVIRONMENT, _CACHE = re.compile(r"\..*|env|venv"), re.compile(r"\.(?:.*[-_])?cache|\.(?:hypothesis|nox|tox)")
# What Git needs to read a repository and its submodules, in `.git`, with a slash after directories.
_GIT = re.compile(
    r"(?:modules/(?:.+/)?)?(?:(?:HEAD|index|sharedindex\.[0-9a-f]+|config|config\.worktree|packed-refs|shallow)"
    r"|(?:info|objects|refs|reftable)/.*)?",
    re.DOTALL,
)
_IN_GIT = re.compile(r"(?:.*/)?\.git/(.+)", re.DOTALL)
_GIT_SETTINGS = re.compile(r"(?:.*/)?\.git/(?:modules/.+/)?config(?:\.worktree)?", re.DOTALL)
# Back ends that read only the project's directory, and no files of Git but .gitignore, unless a setting, or a program
# of the project, lets them.
_BACK_ENDS = {"flit-core", "hatchling", "pdm-backend", "setuptools", "uv-build", "wheel"}
_PROGRAMS = ("MANIFEST.in", "hatch.toml", "pdm_build.py", "setup.cfg", "setup.py")
_LEADS_OUT = re.compile(rb"\\|hook|setup-script|(?<!\.)\.\.(?!\.)")
_ABOVE = (".gitignore", ".hgignore")  # which hatchling looks for in parent directories, up to one with `.git`
_OF_TOOLS = re.compile(
    r"(?i)\..*|tests?|docs?|examples?|(?:authors|change|code|contribut|copying|(?:docker-?)?compose|docker|history|jenkins"
    r"|justfile|licen[cs]e|makefile|notice|procfile|readme|requirements|security|taskfile|.*bazel).*"
    r"|.*\.(?:lock|md|rst|toml)|(?:debian\.lock|package(?:-lock)?)\.json|manifest\.in|mkdocs\.ya?ml"
    r"|(?:mypy|pytest|tox)\.ini|(?:conftest|noxfile|setup)\.py|setup\.cfg"
)
_VERSION_FILE = re.compile(r"_*version_*\.py")  # which builds write
_TIME = 315_532_800 * 10**9  # 1980, as in wheels


class _Listing(NamedTuple):
    """What a build sees: files, links, and empty directories."""

    files: dict[str, str]  # the path on this machine by the path in the tree
    hidden: list[str]  # paths in the tree
    is_large: bool  # whether a digest needs too long; then, `files` can be incomplete
    has_times: bool  # whether the build sees the times of tracked files, which Git compares with its index
    leads_out: bool  # whether a link leads out of the directory


class ProjectTree(NamedTuple):
    """The files of a project, and those around it: of its Git repository or workspace, whichever is larger."""

    root: Path
    directory: Path  # of the project, in `root`. Both are without links.
    repository: Repository | None = None
    written: frozenset[str] = frozenset()  # directories of this command, which aren't the project's
    archive: str = ""  # the SHA-256 of the archive that only this command has unpacked to `root`

    @staticmethod
    def find(project: UvProject, outputs: Sequence[str], own: Sequence[Path]) -> ProjectTree:
        """Return the tree of a project, which can contain `outputs`, and directories `own` of this command."""
        directory = root = project.directory.resolve()
        repository = find_repository(directory)
        for larger in (project.root.resolve(), repository.root if repository else root):
            root = larger if root.is_relative_to(larger) else root
        paths = {path for path in map(os.path.realpath, outputs) if Path(path, "oci-layout").is_file()}
        paths -= {str(root), str(directory)}
        return ProjectTree(root, directory, repository, frozenset([*paths, *map(os.path.realpath, own)]))

    @property
    def place(self) -> str:
        """The path of the project in the tree."""
        return os.path.relpath(self.directory, self.root)

    @property
    def has_git(self) -> bool:
        """Whether the programs of a build can read the Git repository."""
        repository = self.repository
        return bool(repository and repository.git and not repository.has_alternates and _git_program())

    @property
    def places(self) -> list[Path]:
        """The directories that contain the project, and the Git repository that a worktree or submodule refers to."""
        return [self.root, *([self.common] if self.common else [])]

    @property
    def common(self) -> Path | None:
        """The directory with the objects and settings of the Git repository."""
        return self.repository.objects.parent if self.repository and self.repository.objects else None

    def key(self, project: UvProject) -> object:
        """Return a key for everything that a build sees of the tree, or None if it's too large."""
        listing = None if self.archive else self._listing(project)
        return self._key(listing) if listing and not listing.is_large else self.archive or None

    def prepare(self, project: UvProject, copy: Path) -> tuple[object, Sources]:
        """Return what a build sees, and its key. A tree that isn't too large for a key is copied.

        `copy` is an empty directory. In a larger tree, the build hides from itself what it doesn't see.
        """
        from rules_bento.bentos.service.isolated_build import Sources

        if self.archive:
            return self.archive, Sources(self.root, self.place)
        listing, common = self._listing(project), self.common
        if not listing.is_large or self.is_of_another_user:
            key = self._key(listing, copy)
            return None if listing.is_large else key, Sources(copy, self.place)
        elsewhere = [str(common)] if common and not common.is_relative_to(self.root) else []
        return None, Sources(self.root, self.place, listing.hidden, elsewhere, _texts(listing))

    @property
    def is_of_another_user(self) -> bool:
        """Whether the build couldn't read all files: in a namespace, root can't read private files of others."""
        return os.geteuid() == 0 and any(each.stat().st_uid for each in (self.root, self.directory))

    def _listing(self, project: UvProject) -> _Listing:
        own = _list(self, self.directory, has_git=False) if _is_declarative(project) else None
        if own is None or own.is_large or own.leads_out:
            return _list(self, self.root, has_git=True)
        files = dict(own.files)
        for each in (self.directory, *self.directory.parents):
            if each.is_relative_to(self.root):
                place = os.path.relpath(each, self.root)
                found = [name for name in _ABOVE if os.path.lexists(each / name)]
                files |= {os.path.normpath(f"{place}/{name}"): f"{each}/{name}" for name in found}
                if os.path.lexists(each / ".git"):
                    files[os.path.normpath(f"{place}/.git")] = str(each)  # an empty directory
        return own._replace(files=files)

    def _key(self, listing: _Listing, copy: Path | None = None) -> object:  # writes: own, a directory of this build
        """Return a key for the files of a listing, as they are copied to `copy`."""
        from blake3 import blake3

        hasher = blake3()
        with TreeWriter(copy) if copy else nullcontext() as writer:
            for path, source in listing.files.items():
                is_timed = listing.has_times and (path in _tracked(self) or path.endswith(".git/index"))
                time = None if is_timed else _TIME
                hasher.update(os.fsencode(f"{path}\0{self._copy(path, source, writer, time)}\0"))
        return ["tree", hasher.hexdigest(), self.place, _git_program()]

    def _copy(  # writes: own, below the directory of `writer`
        self, path: str, source: str, writer: TreeWriter | None, time: int | None
    ) -> str:
        """Return all that a build sees of a file, link, or empty directory, as a string. Copies it with `writer`."""
        from blake3 import blake3

        try:
            status = os.lstat(source)
            is_compared, time = time is None, status.st_mtime_ns if time is None else time  # by Git
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(source)  # noqa: PTH115 - Path.readlink normalizes the target
                if f"{target}/".startswith(f"{self.root}/") and not is_compared:
                    target = os.path.relpath(target, os.path.dirname(source))  # noqa: PTH120 - fast
                if writer:
                    writer.link(path, target, time)
                return f"link {time} {target}"
            if stat.S_ISDIR(status.st_mode):
                if writer:
                    writer.directory(path)
                return "directory"
            is_settings = _GIT_SETTINGS.fullmatch(path)
            file = BytesIO(_without_logins(source).encode()) if is_settings else open_source(source)
        except OSError:  # the build doesn't see it, either
            return ""
        hasher, mode = blake3(), status.st_mode & 0o777
        with file:
            pieces = _hashed(file, hasher)
            if writer:
                writer.file(path, pieces, mode, time)
            for _ in pieces:
                pass
        return f"{mode} {time} {hasher.hexdigest()}"

    def walk(self, top: Path, prefix: str, without: Collection[str]) -> Iterator[tuple[str, os.DirEntry[str], bool]]:
        """Yield each file, link, and directory below `top`, with its path in the tree, and whether builds see it.

        They don't see `written`, special files, and, unless Git tracks them, caches and environments.
        """
        hidden, mixed = set[str](), set[str]()  # directories; of `mixed`, builds see only files that Git tracks

        def enter(entry: os.DirEntry[str]) -> bool:
            return entry.path not in hidden

        for below, entry in tree_walk.walk(top, without=without, enter=enter, strict=False):
            path, is_directory = prefix + below, entry.is_dir(follow_symlinks=False)
            if in_git := _IN_GIT.fullmatch(path):
                is_seen = _GIT.fullmatch(in_git[1] + "/" * is_directory) is not None
            elif os.path.dirname(entry.path) in mixed or _is_generated(entry):  # noqa: PTH120 - fast
                is_seen = path in _tracked(self)
                mixed |= {entry.path} if is_seen and is_directory else set()
            else:
                is_seen = True
            is_seen &= entry.path not in self.written
            is_seen &= is_directory or entry.is_symlink() or entry.is_file(follow_symlinks=False)
            hidden |= {entry.path} if is_directory and not is_seen else set()
            yield path, entry, is_seen

    def describe(self, project: UvProject, wheel: Wheel) -> dict[str, tuple[str, bool]]:
        """Return the files in the tree that files of a wheel could be copies of, and whether only this clone has them.

        The files have equal names and sizes. Another clone can lack a file that Git ignores.
        """
        found: dict[tuple[str, int], list[str]] = {}
        names = {_name(member.path) for member in wheel.members}
        for path, source in self._listing(project).files.items():
            is_named = _name(path) in names and path.isprintable() and not _IN_GIT.fullmatch(path)
            if is_named and (file := Path(source)).is_file():
                found.setdefault((_name(path), file.stat().st_size), []).append(path)
        is_ignored = self._ignored()
        result = {}
        for member in wheel.members:
            paths = found.get((_name(member.path), member.size), [])
            alike = {path: _common_parts(path, member.path) for path in paths}
            nearest = [path for path in paths if alike[path] == max(alike.values())]
            if nearest:
                path = next((path for path in nearest if not is_ignored(path)), "")
                result[member.path] = path or nearest[0], not path
        return result

    def others(self, sources: Iterable[str]) -> list[str]:
        """Return what Git tracks in the project's directory, apart from tests, documentation, and files of tools.

        Omits directories with one of the files `sources`, whose paths are in the tree, and with other projects.
        Directories have a slash at the end.
        """
        prefix = f"{self.place}/".removeprefix("./")
        tracked = [path.removeprefix(prefix) for path in _tracked(self) if path.startswith(prefix)]
        used = [path.removeprefix(prefix) for path in sources if path.startswith(prefix)]
        used += [path for path in tracked if path.endswith(f"/{PYPROJECT}")]
        parents = {path.partition("/")[0] for path in tracked if "/" in path}
        names = {path.partition("/")[0] for path in tracked} - {path.partition("/")[0] for path in used}
        return [name + "/" * (name in parents) for name in sorted(names) if not _OF_TOOLS.fullmatch(name)]

    def _ignored(self) -> Callable[[str], bool]:
        """Return a function that returns whether Git ignores a file in the tree, and doesn't track it."""
        if not (self.common and self.repository and self.repository.git):
            return lambda _: False
        root, ignore = self.repository.root, _git_files(self)

        def is_ignored(path: str) -> bool:
            path = os.path.relpath(self.root / path, root)
            is_in_git = not path.startswith("../") and not _VERSION_FILE.fullmatch(_name(path))
            with suppress(BentoError):  # a link out of the project, which Git doesn't read, either
                return is_in_git and bool(ignore.ignores(path, is_directory=False))
            return False

        return is_ignored


@cache
def _list(tree: ProjectTree, top: Path, *, has_git: bool) -> _Listing:
    """List what a build sees of the directory `top`, which is the root of the tree if the build sees its repository."""
    files, hidden, number, size, is_large, leads_out = dict[str, str](), list[str](), 0, 0, False, False
    sources, repository = [(top, "" if top == tree.root else f"{tree.place}/")], tree.repository
    git = os.path.normpath(f"{os.path.relpath(repository.root, tree.root)}/.git") if repository else ""
    if has_git and tree.common and repository and repository.git and (repository.root / ".git").is_file():
        # of a worktree or a submodule
        sources += [(each, f"{git}/") for each in dict.fromkeys((tree.common, repository.git))]
    for source, prefix in sources:
        for path, entry, is_seen in tree.walk(source, prefix, () if has_git else (".git",)):
            if not is_seen:
                hidden.append(path)
                continue
            if entry.is_symlink():
                leads_out |= not Path(os.path.realpath(entry.path)).is_relative_to(top)
            elif entry.is_file(follow_symlinks=False):
                size += entry.stat(follow_symlinks=False).st_size
            elif not _is_empty(entry.path):
                continue
            number += 1
            is_large |= number > _MAX_FILES or size > _MAX_BYTES
            if number <= _MAX_LISTED or tree.is_of_another_user or _GIT_SETTINGS.fullmatch(path):
                files[path] = entry.path
    if len(sources) > 1:
        files.pop(git, None)  # the copy of a worktree is like that of a clone
    return _Listing(files, hidden, is_large, has_git and tree.has_git, leads_out)


@cache
def _tracked(tree: ProjectTree) -> set[str]:
    """Return the paths in the tree that Git tracks, and the directories that contain them."""
    root = tree.repository.root if tree.repository else tree.root
    prefix = f"{os.path.relpath(root, tree.root)}/".removeprefix("./")
    return {prefix + path for path in _git_files(tree).tracked}


@cache
def _git_files(tree: ProjectTree) -> GitIgnore:
    return GitIgnore(tree.repository.root if tree.repository else tree.root, tree.repository)


def _is_generated(entry: os.DirEntry[str]) -> bool:
    """Return whether a program wrote a file or directory, so that nothing in it is the project's."""
    marks = ((_ENVIRONMENT, "pyvenv.cfg"), (_CACHE, "CACHEDIR.TAG"))
    return entry.name in tree_walk.GENERATED or any(
        pattern.fullmatch(entry.name) and os.path.lexists(f"{entry.path}/{mark}") for pattern, mark in marks
    )


def _hashed(file: BinaryIO, hasher: blake3) -> Iterator[bytes]:
    """Yield the content of a file in pieces, which `hasher` gets."""
    while piece := file.read(_PIECE):
        hasher.update(piece)
        yield piece


def _texts(listing: _Listing) -> dict[str, str]:
    """Return the paths of the settings of Git that can contain logins, and their contents without these."""
    settings = (Path(source) for path, source in listing.files.items() if _GIT_SETTINGS.fullmatch(path))
    return {str(path): _without_logins(path) for path in settings if path.is_file() and not path.is_symlink()}


def _without_logins(path: str | Path) -> str:
    """Return the sections of Git's settings that reading a repository needs, and no addresses and headers."""
    kept, is_needed = [], False
    for line in read_file(path).decode(errors="replace").splitlines():
        if line.lstrip().startswith("["):
            is_needed = re.match(r"\s*\[(core|extensions)\]", line, re.IGNORECASE) is not None
        # A worktree of a bare repository isn't bare, and neither is its copy. A submodule's copy is in another place.
        kept += [line] if is_needed and not re.match(r"\s*(bare|worktree)\b", line, re.IGNORECASE) else []
    return "".join(f"{line}\n" for line in kept)


def _is_declarative(project: UvProject) -> bool:
    """Return whether the wheel depends only on the files in the project's directory, and ignore files above it."""
    system = project.build_system
    names = {normalize_name(re.split(r"[^\w.-]", each.strip())[0]) for each in system.get("requires", ())}
    is_known = names <= _BACK_ENDS and "backend-path" not in system and not project.is_version_dynamic
    is_plain = is_known and not any((project.directory / name).exists() for name in _PROGRAMS)
    return is_plain and not _LEADS_OUT.search(read_inside(project.directory / PYPROJECT))


@cache
def _git_program() -> str | None:
    return which("git", "/usr/bin:/bin")  # as in builds


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _common_parts(one: str, other: str) -> int:
    """Return the number of parts that the ends of two paths have in common."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _is_empty(path: str) -> bool:
    try:
        return next(Path(path).iterdir(), None) is None
    except OSError:
        return False
