"""Lists the files of a project that a build back end sees, copies them, and computes their digest."""

from __future__ import annotations

import os
import re
import stat
from contextlib import nullcontext
from functools import cached_property
from io import BytesIO
from itertools import takewhile
from pathlib import Path

from rules_bento.base import tree_walk
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.own_files import TreeWriter
from rules_bento.base.programs import which
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Iterable, Iterator, Mapping
from rules_bento.bentos.sources.git_repository import find_repository
from rules_bento.bentos.sources.tree_manifest import hash_open_file, open_source

from bento_cli.projects.git_ignore import GitIgnore
from bento_cli.projects.uv_project import PYPROJECT

if TYPE_CHECKING:
    from blake3 import blake3
    from rules_bento.images.wheels.wheel import Wheel

    from bento_cli.projects.uv_project import UvProject

_PIECE = 1 << 20
# Directories that programs write, unless Git tracks files in them: environments with pyvenv.cfg, and caches with a tag.
_ENVIRONMENT, _CACHE = re.compile(r"\..*|env|venv"), re.compile(r"\.(?:.*[-_])?cache|\.(?:hypothesis|nox|tox)")
# What Git needs to read a repository and its submodules, in `.git`, with a slash after directories.
_GIT = re.compile(
    r"(?:modules/(?:.+/)?)?(?:(?:HEAD|index|sharedindex\.[0-9a-f]+|config|config\.worktree|packed-refs|shallow)"
    r"|(?:info|objects|refs|reftable)/.*)?",
    re.DOTALL,
)
_IN_GIT = re.compile(r"(?:.*/)?\.git/.+", re.DOTALL)
_GIT_SETTINGS = re.compile(r"(?:.*/)?\.git/(?:modules/.+/)?config(?:\.worktree)?", re.DOTALL)
_OF_TOOLS = re.compile(
    r"(?i)\..*|tests?|docs?|examples?|(?:authors|change|code|contribut|copying|(?:docker-?)?compose|docker|history|jenkins"
    r"|justfile|licen[cs]e|makefile|notice|procfile|readme|requirements|security|taskfile|.*bazel).*"
    r"|.*\.(?:lock|md|rst|toml)|(?:debian\.lock|package(?:-lock)?)\.json|manifest\.in|mkdocs\.ya?ml"
    r"|(?:mypy|pytest|tox)\.ini|(?:conftest|noxfile|setup)\.py|setup\.cfg"
)
_TIME = 315_532_800 * 10**9  # 1980, as in wheels


class ProjectTree:
    """The files around the projects of a lock: of their Git repository, or, if it is larger, of their workspace."""

    def __init__(self, directory: Path, outputs: Iterable[str] = (), own: Iterable[Path] = ()) -> None:
        """Find the tree of a lock's directory. It can contain `outputs`, and directories `own` of this command."""
        self.top = directory.resolve()  # of the lock
        self.repository = find_repository(self.top)
        self.root = self.repository.root if self.repository else self.top
        layouts = {path for path in map(os.path.realpath, outputs) if Path(path, "oci-layout").is_file()}
        self._written = {*layouts, *map(os.path.realpath, own)} - {str(self.root), str(self.top)}
        self._mixed = set[str]()  # generated directories with files that Git tracks
        self._copied = ""  # the directory with the copy
        self.ignored: list[str] = []  # files, and directories with a slash

    def place(self, project: UvProject) -> str:
        """Return the path of a project in the tree."""
        return os.path.relpath(project.directory.resolve(), self.root)

    @property
    def has_git(self) -> bool:
        """Whether the programs of a build can read the Git repository."""
        repository = self.repository
        return bool(repository and repository.git and not repository.has_alternates and _git_program())

    @property
    def places(self) -> list[Path]:
        """The directories that contain the projects, and the Git repository that a worktree or submodule refers to."""
        return [self.root, *([self._common] if self._common else [])]

    @property
    def _common(self) -> Path | None:
        """The directory with the objects and settings of the Git repository."""
        return self.repository.objects.parent if self.repository and self.repository.objects else None

    @cached_property
    def git(self) -> GitIgnore:
        """What Git tracks and ignores in the tree."""
        return GitIgnore(self.root, self.repository, self.top)

    def is_generated(self, path: str, entry: os.DirEntry[str]) -> bool:
        """Return whether a program wrote a file or directory, and Git doesn't track it. `path` is in the tree.

        Ask about a directory before its contents, and after Git's verdict on it, which reads indexes of submodules.
        """
        if path.rpartition("/")[0] not in self._mixed and not _is_generated(entry):
            return entry.path in self._written
        if is_tracked := path in self.git.tracked:
            self._mixed.add(path)
        return not is_tracked

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The files and links that builds see, and directories of Git: paths on this machine, by paths in the tree.

        As in a commit of all changes, these are the files that Git tracks or doesn't ignore. Without a repository,
        nothing is ignored.
        """

        def keeps(path: str, entry: os.DirEntry[str]) -> bool:
            is_directory = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git":
                gits[path] = [Path(entry.path)] if is_directory else []
            is_ignored = self.repository and self.git.ignores(path, is_directory=is_directory)
            if (entry.name == ".git" and is_directory) or self.is_generated(path, entry):
                return False
            self.ignored += [path + "/" * is_directory] if is_ignored else []
            return not is_ignored

        gits = dict[str, list[Path]]()
        found = tree_walk.walk(self.root, keeps=keeps, strict=False)
        files = {path: entry.path for path, entry in found if entry.is_symlink() or entry.is_file()}
        if self._common and self.repository and self.repository.git and not gits.get(".git"):
            gits[".git"] = [self._common, self.repository.git]  # of a worktree or a submodule, whose copy is a clone's
            files.pop(".git", None)
        for place, directories in gits.items():
            files |= {f"{place}/{path}": source for each in directories for path, source in _files_of_git(each)}
        return files

    def key(self, project: UvProject, copy: Path | None = None) -> object:
        """Return a key for everything that the build of a project sees: the digest of `files`.

        If `copy` is set, copies the tree to this empty directory, unless a copy exists, whose key it then is.
        """
        is_seen = f"{self.place(project)}/{PYPROJECT}".removeprefix("./") in self.files
        if not is_seen and (project.directory / PYPROJECT).is_file():
            remedy = f"Run `git add -f {PYPROJECT}` in the directory."
            raise BentoError("Git ignores the file", place=project.path, remedy=remedy)
        if copy and not self._copied:
            self._digest, self._copied = self._hash(copy), str(copy)
        return ["files", self._digest, self.place(project), _git_program()]

    @property
    def copied(self) -> Path | None:
        """The directory with the copy, which builds of other projects of the tree can use."""
        return Path(self._copied) if self._copied else None

    @cached_property
    def _digest(self) -> str:
        return self._hash()

    def _hash(self, copy: Path | None = None) -> str:  # writes: own, a directory of this build
        """Return the digest of the files, as they are copied to `copy`."""
        from blake3 import blake3

        hasher, has_git = blake3(), self.has_git
        with TreeWriter(copy) if copy else nullcontext() as writer:
            for path, source in self.files.items():
                is_timed = has_git and (path in self.git.tracked or path.endswith(".git/index"))
                hasher.update(os.fsencode(f"{path}\0{self._copy(path, source, writer, is_timed=is_timed)}\0"))
        return hasher.hexdigest()

    def _copy(  # writes: own, below the directory of `writer`
        self, path: str, source: str, writer: TreeWriter | None, *, is_timed: bool
    ) -> str:
        """Return all that a build sees of a file, link, or empty directory, as a string. Copies it with `writer`.

        If `is_timed`, Git compares its time with the index.
        """
        from blake3 import blake3

        try:
            status = os.lstat(source)
            time = status.st_mtime_ns if is_timed else _TIME
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(source)  # noqa: PTH115 - Path.readlink normalizes the target
                if f"{target}/".startswith(f"{self.root}/") and not is_timed:
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
        mode = status.st_mode & 0o777
        with file:
            if not writer and not is_settings:
                return f"{mode} {time} {hash_open_file(file.fileno(), status.st_size)[2]}"
            hasher = blake3()
            pieces = _hashed(file, hasher)
            if writer:
                writer.file(path, pieces, mode, time)
            for _ in pieces:
                pass
        return f"{mode} {time} {hasher.hexdigest()}"

    def compare(self, project: UvProject, wheel: Wheel) -> tuple[dict[str, str], list[str], list[str]]:
        """Return the files in the tree that files of a wheel could be copies of, and what of a project it lacks.

        A copy has the same name and size. The wheel lacks what Git tracks in the project's directory, apart from tests,
        documentation, files of tools, other projects, and directories with copied files; and what Git ignores in
        directories of packages, apart from dotted files. Directories have a slash at the end.
        """
        named: dict[str, list[tuple[int, str]]] = {_name(member.path): [] for member in wheel.members}
        for path, source in self.files.items():
            is_named = _name(path) in named and path.isprintable() and not _IN_GIT.fullmatch(path)
            if is_named and (file := Path(source)).is_file():
                named[_name(path)].append((file.stat().st_size, path))
        copies = {}
        for member in wheel.members:
            alike = [path for size, path in named[_name(member.path)] if size == member.size]
            if alike:
                copies[member.path] = max(alike, key=lambda path: _common_parts(path, member.path))
        prefix = f"{self.place(project)}/".removeprefix("./")
        tracked = [path.removeprefix(prefix) for path in self.git.tracked if path.startswith(prefix)]
        used = [path.removeprefix(prefix) for path in copies.values() if path.startswith(prefix)]
        used += [path for path in tracked if path.endswith(f"/{PYPROJECT}")]
        parents = {path.partition("/")[0] for path in tracked if "/" in path}
        names = {path.partition("/")[0] for path in tracked} - {path.partition("/")[0] for path in used}
        others = [name + "/" * (name in parents) for name in sorted(names) if not _OF_TOOLS.fullmatch(name)]
        packages = {os.path.dirname(source) for source in copies.values()} - {prefix.rstrip("/")}  # noqa: PTH120
        ignored = (path for path in self.ignored if not packages.isdisjoint(map(str, Path(path).parents)))
        unseen = [path for path in ignored if _name(path) not in named and not _name(path.rstrip("/")).startswith(".")]
        return copies, others, unseen


class UnpackedArchive(ProjectTree):
    """The files of a source archive, which only this command has unpacked to a directory."""

    def __init__(self, directory: Path, sha256: str) -> None:
        super().__init__(directory)
        self.root, self.repository, self._copied, self._digest = self.top, None, str(self.top), sha256


def _files_of_git(directory: Path) -> Iterator[tuple[str, str]]:
    """Yield the paths in `.git` of what Git needs to read a repository, and the paths on this machine.

    Git needs two directories, even if they are empty.
    """

    def keeps(path: str, entry: os.DirEntry[str]) -> bool:
        return _GIT.fullmatch(path + "/" * entry.is_dir(follow_symlinks=False)) is not None

    for path, entry in tree_walk.walk(directory, keeps=keeps, strict=False):
        if entry.is_symlink() or entry.is_file() or entry.name in ("objects", "refs"):
            yield path, entry.path


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


def _without_logins(path: str) -> str:
    """Return the sections of Git's settings that reading a repository needs, and no addresses and headers."""
    kept, is_needed = [], False
    for line in read_file(path).decode(errors="replace").splitlines():
        if line.lstrip().startswith("["):
            is_needed = re.match(r"\s*\[(core|extensions)\]", line, re.IGNORECASE) is not None
        # A worktree of a bare repository isn't bare, and neither is its copy. A submodule's copy is in another place.
        kept += [line] if is_needed and not re.match(r"\s*(bare|worktree)\b", line, re.IGNORECASE) else []
    return "".join(f"{line}\n" for line in kept)


def _git_program() -> str | None:
    return which("git", "/usr/bin:/bin")  # as in builds


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _common_parts(one: str, other: str) -> int:
    """Return the number of parts that the ends of two paths have in common."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
