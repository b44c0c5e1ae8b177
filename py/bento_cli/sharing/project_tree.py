"""Finds the files that the build back end of a project sees, and computes their digest."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from functools import cache
from itertools import islice, takewhile
from pathlib import Path

from rules_bento.base import tree_walk
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.programs import which
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterator, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.bentos.sources.commit_time import Repository, find_repository
from rules_bento.bentos.sources.tree_manifest import open_source

from bento_cli.projects.git_ignore import GitIgnore
from bento_cli.projects.uv_project import PYPROJECT, read_inside

if TYPE_CHECKING:
    from rules_bento.images.wheels.wheel import Wheel

    from bento_cli.projects.uv_project import UvProject

# Beyond these limits, a digest needs about the time of a build.
_MAX_FILES, _MAX_BYTES = 20_000, 256 << 20
_PIECE = 1 << 20
_SKIPPED = tree_walk.GENERATED | {".git"}
_MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")  # of caches and virtual environments, but not if a package could contain them
_UNPACKAGED = re.compile(r"\..*|env|venv")
# Back ends that read only the project's directory, and no files of Git but .gitignore, unless a setting, or a program
# of the project, lets them.
_BACK_ENDS = {"flit-core", "hatchling", "pdm-backend", "setuptools", "uv-build", "wheel"}
_PROGRAMS = ("MANIFEST.in", "hatch.toml", "pdm_build.py", "setup.cfg", "setup.py")
_LEADS_OUT = re.compile(rb"\\|hook|setup-script|(?<!\.)\.\.(?!\.)")
_ABOVE = (".git", ".gitignore", ".hgignore")  # which hatchling looks for in parent directories
_GIT_FILES = ("config", "info/exclude", "packed-refs", "shallow")
_VERSION_FILE = re.compile(r"_*version_*\.py")  # which builds write
_MAX_SEARCHED = 100_000  # files, for a note


class ProjectTree(NamedTuple):
    """The files of a project, and those around it: of its Git repository or workspace, whichever is larger."""

    root: Path
    directory: Path  # of the project, in `root`. Both are without links.
    repository: Repository | None = None
    written: frozenset[str] = frozenset()  # directories of this command, which aren't the project's
    removed: Sequence[str] = ()  # those of them that a build removes first from its own view, relative to `root`

    @staticmethod
    def find(project: UvProject, outputs: Sequence[str], own: Sequence[Path]) -> ProjectTree:
        """Return the tree of a project, which can contain `outputs`, and directories `own` of this command."""
        directory = root = project.directory.resolve()
        repository = find_repository(directory)
        for larger in (project.root.resolve(), repository.root if repository else root):
            root = larger if root.is_relative_to(larger) else root
        paths = {path for path in map(os.path.realpath, outputs) if Path(path, "oci-layout").is_file()}
        paths -= {str(root), str(directory)}
        removed = sorted(os.path.relpath(path, root) for path in paths if Path(path).is_relative_to(root))
        return ProjectTree(root, directory, repository, frozenset([*paths, *map(os.path.realpath, own)]), removed)

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
    def visible(self) -> list[str]:
        """The directories that a build sees at their own paths: of absolute links, and of a worktree's repository."""
        objects = self.repository.objects if self.repository else None
        return [str(self.root), *([str(objects.parent)] if objects and not objects.is_relative_to(self.root) else [])]

    @property
    def places(self) -> list[Path]:
        """The directories that contain the project, and the Git repository of a worktree that it refers to."""
        repository = self.repository
        return [self.root, *([repository.objects.parent] if repository and repository.objects else [])]

    def texts(self) -> dict[str, str]:
        """Return the paths of the settings of Git that can contain logins, and their contents without these."""
        repository = self.repository
        if not (repository and repository.git and repository.objects):
            return {}
        common = repository.objects.parent
        paths = [repository.git / "config.worktree", common / "config", *(common / "modules").glob("**/config")]
        return {
            str(path): _without_logins(read_file(path).decode(errors="replace")) for path in paths if path.is_file()
        }

    def key(self, project: UvProject) -> object:
        """Return a key for everything in the tree that can affect the wheel, or None if it's too large."""
        if _is_declarative(project):
            digest, leads_out = _digest(self.directory, self.written)
            if digest is None or not leads_out:
                above = [each for each in (self.directory, *self.directory.parents) if each.is_relative_to(self.root)]
                return digest and ["project", digest, [_file(f"{each}/{name}") for each in above for name in _ABOVE]]
        digest, _ = _digest(self.root, self.written)
        return digest and ["tree", digest, self.place, self._git_key(), _git_program()]

    def _git_key(self) -> list[object]:
        """Return a key for what Git reports on the checked out commit."""
        if not (self.repository and self.repository.git and self.repository.objects):
            return []
        git, common = self.repository.git, self.repository.objects.parent
        names = [git / "HEAD", git / "index", *(common / each for each in _GIT_FILES)]
        return [*(_file(str(each)) for each in names), *_digest(common / "refs", self.written)]

    def describe(self, wheel: Wheel) -> dict[str, tuple[str, bool]]:
        """Return the files in the tree that files of a wheel could be copies of, and whether only this clone has them.

        The files have equal names and sizes. Another clone can lack a file that Git ignores.
        """
        found: dict[tuple[str, int], list[str]] = {}
        names = {_name(member.path) for member in wheel.members}
        for path, entry in islice(_walk(str(self.root), self.written), _MAX_SEARCHED):
            if entry.name in names and path.isprintable() and entry.is_file():
                found.setdefault((entry.name, entry.stat().st_size), []).append(path)
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

    def _ignored(self) -> Callable[[str], bool]:
        """Return a function that returns whether Git ignores a file in the tree, and doesn't track it."""
        if not (self.repository and self.repository.git and self.repository.objects):
            return lambda _: False
        root, common = self.repository.root, self.repository.objects.parent
        ignore, index = GitIgnore(root, common / "info/exclude"), self.repository.git / "index"
        tracked = index.read_bytes() if index.is_file() else b""  # in version 4, paths aren't complete

        def is_ignored(path: str) -> bool:
            path = os.path.relpath(self.root / path, root)
            is_in_git = not path.startswith("../") and not _VERSION_FILE.fullmatch(_name(path))
            with suppress(BentoError):  # a link out of the project, which Git doesn't read, either
                return is_in_git and os.fsencode(f"{path}\0") not in tracked and ignore.ignores_below(path)
            return False

        return is_ignored


def _without_logins(settings: str) -> str:
    """Return the sections of Git's settings that reading a repository needs, and no addresses and headers."""
    kept, is_needed = [], False
    for line in settings.splitlines():
        if line.lstrip().startswith("["):
            is_needed = re.match(r"\s*\[(core|extensions)\]", line, re.IGNORECASE) is not None
        kept += [line] if is_needed else []
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


def _walk(top: str, written: frozenset[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield all files, links, and directories. Omits contents of caches, virtual environments, and `written`."""

    def enter(entry: os.DirEntry[str]) -> bool:
        is_own = not _UNPACKAGED.fullmatch(entry.name)
        return entry.path not in written and (
            is_own or not any(os.path.lexists(f"{entry.path}/{mark}") for mark in _MARKS)
        )

    return tree_walk.walk(top, without=_SKIPPED, enter=enter, strict=False)


@cache
def _digest(top: Path, written: frozenset[str]) -> tuple[str | None, bool]:
    """Return the digest of the tree `top`, or None if it is too large, and whether a link in it leads out of it."""
    from blake3 import blake3

    hasher, size, leads_out = blake3(), 0, False
    for number, (path, entry) in enumerate(_walk(str(top), written)):
        if entry.is_symlink():
            leads_out |= not Path(os.path.realpath(entry.path)).is_relative_to(top)
        elif entry.is_file(follow_symlinks=False):
            size += entry.stat(follow_symlinks=False).st_size
        if number >= _MAX_FILES or size > _MAX_BYTES:
            return None, leads_out
        # Other directories are new if only `written` ones are in them.
        if not entry.is_dir(follow_symlinks=False) or _is_empty(entry.path):
            hasher.update(os.fsencode(f"{path}\0{_file(entry.path)}\0"))
    return hasher.hexdigest(), leads_out


def _is_empty(path: str) -> bool:
    try:
        return next(Path(path).iterdir(), None) is None
    except OSError:
        return False


def _file(path: str) -> str:
    """Return the kind, mode, and digest of a file, the target of a link, or "" if there is none."""
    from blake3 import blake3

    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return f"link {os.readlink(path)}"  # noqa: PTH115 - Path.readlink normalizes the target
        if not stat.S_ISREG(status.st_mode):
            return f"{status.st_mode}"
        hasher = blake3()
        with open_source(path) as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
        return f"{status.st_mode} {hasher.hexdigest()}"
    except FileNotFoundError:
        return ""
    except OSError as error:  # the build can't read the file, either
        return f"{error.errno}"
