"""Determines which files Git ignores, from .gitignore files and the index."""

from __future__ import annotations

import os
import re
from functools import partial
from itertools import count
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable

from bento_cli.projects.git_index import tracked_paths
from bento_cli.projects.uv_project import read_inside

if TYPE_CHECKING:
    from rules_bento.bentos.sources.git_repository import Repository

_SPECIAL = re.compile(r"[*?\[\\]")
_CLASSES = {"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "space": " \t-\r", "upper": "A-Z"}
_TOKEN = re.compile(r"(?P<stars>\*+)|(?P<one>\?)|(?P<set>\[[!^]?)|\\(?P<escaped>.)|(?P<plain>[^\\])", re.DOTALL)
# Of a set of characters: a class, a range, or one character. A set can begin with `]`.
_ITEM = re.compile(r"\[:(?P<name>[^][]*):\]|\\?(?P<first>.)(?:-(?!\])\\?(?P<last>.))?", re.DOTALL)
_numbers = count()  # of groups
_MAX_TRACKED = 256 << 20  # characters of all tracked paths: a path of 4 KiB can be in 2,000 directories of its own


class _Rule(NamedTuple):
    """A line of a .gitignore file. `matches` gets a name, or, if `is_anchored`, a path relative to the file."""

    is_negated: bool
    is_directory: bool  # whether only directories match
    is_anchored: bool
    matches: Callable[[str], object]


class GitIgnore:
    """What Git ignores in a directory: what its patterns match, and neither it nor a repository in it tracks.

    The patterns are in .gitignore files of the directory, of its subdirectories, and in `info/exclude`.
    """

    def __init__(self, root: Path, repository: Repository | None = None, project: Path | None = None) -> None:
        """Without a `repository`, nothing is tracked. No pattern matches the directory `project` and its parents.

        Raises BentoError for an index that can't be read.
        """
        self._root = root
        common = repository.objects.parent if repository and repository.objects else None
        exclude = common and common / "info/exclude"
        git = (common, repository and repository.git)  # which differ in a worktree, with submodules of its own
        self._modules = [each / "modules" for each in git if each]
        self._own = _read(exclude) if exclude and not exclude.is_symlink() else []
        self._rules: dict[str, list[_Rule]] = {}
        place = os.path.relpath(project or root, root)
        self._kept = {place[: match.start()] for match in re.finditer("/|$", place)}
        self._matched = {"": False}  # directories, and whether a pattern matches one of their parts
        self.tracked: set[str] = set()  # files, and the directories that contain them
        self._left = _MAX_TRACKED
        if repository and repository.git:
            self._track("", repository.git / "index")

    def ignores(self, path: str, *, is_directory: bool) -> bool | None:
        """Return whether Git ignores a file, or a directory and all that it contains.

        `path` is relative to the root. Returns None if no pattern matches, or for a tracked path that a pattern
        matches. Raises BentoError for a .gitignore that is a link to a file elsewhere.
        """
        parent = path.rpartition("/")[0]
        for end in (match.start() for match in re.finditer("/", path) if parent not in self._matched):
            if path[:end] not in self._matched:
                above = self._matched[path[:end].rpartition("/")[0]]
                self._matched[path[:end]] = above or bool(self._match(path[:end], is_directory=True))
        is_matched = self._matched[parent] or self._match(path, is_directory=is_directory)
        return None if is_matched and path in self.tracked else is_matched

    def _match(self, path: str, *, is_directory: bool) -> bool | None:
        """Return whether the last pattern that matches a path, whose parents don't match, isn't negated."""
        if path in self._kept:
            return None
        top, _, name = path.rpartition("/")
        name = _as_bytes(name)
        while True:
            below = _as_bytes(path[len(top) + 1 :] if top else path)
            rules = self._rules.get(top)
            if rules is None:
                rules = _read(self._root / top / ".gitignore")
                self._rules[top] = rules = rules if top else [*rules, *self._own]
                if top and (index := self._nested_index(self._root / top / ".git")):
                    self._track(f"{top}/", index)
            for rule in rules:
                if (is_directory or not rule.is_directory) and rule.matches(below if rule.is_anchored else name):
                    return not rule.is_negated
            if not top:
                return None
            top = top.rpartition("/")[0]

    def _track(self, prefix: str, index: Path) -> None:
        for path in tracked_paths(index):
            path = prefix + path
            while path and path not in self.tracked:
                self.tracked.add(path)
                self._left -= len(path)
                path = path.rpartition("/")[0]
            if self._left < 0:
                remedy = "Use a repository with fewer directories."
                raise BentoError("the paths in the index of Git are too long", place=str(index), remedy=remedy)

    def _nested_index(self, git: Path) -> Path | None:
        """Return the index of a repository in this one, or of a submodule, whose `.git` is a file with a path."""
        if not git.is_file():
            return git / "index" if git.is_dir() else None
        path = re.match(rb"gitdir: ([^\0\n]+)", read_file(git))
        module = Path(os.path.realpath(git.parent / os.fsdecode(path[1]))) if path else git
        return module / "index" if any(map(module.is_relative_to, self._modules)) else None


def _as_bytes(path: str) -> str:
    """Return a string with a character for each byte, which Git compares."""
    return path if path.isascii() else os.fsencode(path).decode("latin-1")


def _read(path: Path) -> list[_Rule]:
    """Return the rules of a file, the last one first. As Git, ignores an unreadable file, and invalid lines."""
    try:
        text = read_inside(path) if path.is_file() else b""
    except OSError:
        return []
    lines = text.removeprefix(b"\xef\xbb\xbf").decode("latin-1").split("\n")
    return [*reversed([rule for line in lines if (rule := _parse(line.removesuffix("\r")))])]


def _parse(line: str) -> _Rule | None:
    text = re.sub(r"(?<!\\) +$", "", line)
    if not text or text.startswith("#"):
        return None
    is_negated = text.startswith("!")
    pattern = text.removeprefix("!")
    is_directory = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    is_anchored = "/" in pattern
    pattern = pattern.removeprefix("/")
    if not pattern:
        return None
    matches: Callable[[str], object]
    if not _SPECIAL.search(pattern):
        matches = pattern.__eq__
    elif pattern[0] == "*" and not is_anchored and not _SPECIAL.search(pattern, 1):
        matches = partial(_ends, pattern[1:])
    else:
        try:
            expression = _expression(pattern) if is_anchored else _segment(pattern, ".")
            matches = re.compile(expression, re.DOTALL).fullmatch
        except (KeyError, ValueError):
            return None
    return _Rule(is_negated, is_directory, is_anchored, matches)


def _ends(suffix: str, name: str) -> bool:
    return name.endswith(suffix)


def _expression(pattern: str) -> str:
    """Return the expression of a pattern with slashes. Matching needs no exponential time.

    As in `fnmatch`, each part between stars only matches at its first place.
    """
    blocks: list[list[str]] = [[]]
    for segment in pattern.split("/"):
        if segment == "**":
            blocks.append([])
        else:
            blocks[-1].append(_segment(segment, "[^/]"))
    first, *middle = ["/".join(block) for block in blocks]
    if not middle:
        return first
    *middle, last = middle
    found = f"{first}/" if first else ""
    for block in filter(None, middle):
        found += _first(f"(?:[^/]+/)*?{block}/")
    return found + (f"(?:[^/]+/)*{last}" if last else ".+")


def _segment(text: str, any_of: str) -> str:
    """Return the expression of a part of a pattern without slashes.

    Raises ValueError for an unclosed `[`, and KeyError for an unknown class of characters.
    """
    parts, at = [""], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(text)
        at = match.end()
        if match["stars"]:
            parts.append("")
        elif match["one"]:
            parts[-1] += any_of
        elif match["set"]:
            expression, at = _set(text, at, match["set"])
            parts[-1] += expression
        else:
            parts[-1] += re.escape(match["escaped"] or match["plain"])
    first, *others = parts
    if not others:
        return first
    *middle, last = others
    return first + "".join(_first(f"{any_of}*?{part}") for part in middle if part) + f"{any_of}*{last}"


def _first(expression: str) -> str:
    """Return an expression for only the first match of an expression: an atomic group, which Python 3.10 lacks."""
    name = f"g{next(_numbers)}"
    return f"(?=(?P<{name}>{expression}))(?P={name})"


def _set(text: str, at: int, start: str) -> tuple[str, int]:
    """Return the expression of a set of characters, whose first one is at `at`, and the place after the set.

    As in Git, a range contains its first character even if the last one is less, and no set contains a slash.
    """
    found = ""
    while match := _ITEM.match(text, at):
        at = match.end()
        if match["name"] is not None:
            found += _CLASSES[match["name"]]
        else:
            found += re.escape(match["first"])
            if match["last"] and match["first"] < match["last"]:
                found += f"-{re.escape(match['last'])}"
        if text.startswith("]", at):
            return f"[^/{found}]" if start != "[" else f"(?!/)[{found}]", at + 1
    raise ValueError(text)
