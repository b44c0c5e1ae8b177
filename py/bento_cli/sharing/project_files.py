"""Selects the files of a project without a build system, and checks the files of projects for secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rules_bento.base import tree_walk
from rules_bento.base.display import some
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Iterator, Sequence
from rules_bento.bentos.sources import secrets as scanner
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.snapshot import DeclaredFile

from bento_cli.projects.uv_project import DEBIAN_LOCK, LOCK, find_locks

if TYPE_CHECKING:
    from bento_cli.projects.project_tree import ProjectTree
    from bento_cli.projects.uv_project import UvProject

# Files and directories of tools, which programs don't read.
_TOOLS = re.compile(
    r"\.(cache|circleci|claude|cursor|devcontainer|dvc|editorconfig|eggs|env|flake8|git\w*|github|gitlab|husky|"
    r"hypothesis|idea|ipynb_checkpoints|nox|pixi|python-version|terraform|tox|uv|venv|vscode|zed|"
    r"\w+_cache|\w+ignore|\w*rc|coverage\b.*|env\..*|gitlab-ci.*|pre-commit-.*)"
)
_NESTED_TOOLS = re.compile(r"\.(cache|git\w*|idea|ipynb_checkpoints|keep|vscode|\w+_cache)")


def select(
    project: UvProject, tree: ProjectTree, outputs: Sequence[str], notes: list[str], added: Collection[str] = ()
) -> tuple[DeclaredFile, ...]:
    """Return a project's own files. Excludes locks, files that Git or .bentoignore ignores, and dotted files.

    Also excludes the directories `outputs`. Links to directories of the project remain links. Adds notes about files
    that a program could miss, unless the image has them as `added`. Raises BentoError for files that an image can't
    contain.
    """
    top = project.directory.resolve()
    walk = _Walk(top, tree, {os.path.realpath(path) for path in outputs} - {str(top)})
    declared = [*snapshot.walk(str(top), walk.keeps)]
    excluded = walk.excluded if any(file.link is not None for file in declared) else ()  # targets of links
    selection = snapshot.select(declared, exclude=(snapshot.IGNORE_FILE, *excluded))
    for file in selection.kept:
        if file.path in walk.others:  # the tree contains the other files, because the walk follows no link
            snapshot.check_inside(file, str(top))
    directories = {each for file in selection.kept for each in _above(file.path)} if walk.links else set()
    links, lost = [], []
    for path, target in walk.links.items():
        if not selection.rules.keeps(path):
            continue
        if (inside := os.path.relpath(target, top)) in directories:
            text = os.path.relpath(target, os.path.realpath(top / Path(path).parent))
            links.append(DeclaredFile(path, str(top / path), str(top), text))
        else:
            lost.append(f"{path} (a link to {target if inside.startswith('../') else inside})")
    remedy = "To include one, replace the link with a copy of files that Git doesn't ignore."
    notes += _note("Linked directories", lost, remedy)
    dotted = [name for name in walk.dotted if not any(each.startswith(str(top / name)) for each in added)]
    hidden = [name for name in dotted if selection.rules.keeps(name.rstrip("/"))]
    remedy = f"To include one, add a line such as !{hidden[0] if hidden else ''} to .gitignore."
    notes += [*_note("Dotted files", hidden, remedy), *snapshot.artifact_notes(selection.kept, str(top))]
    return tuple(sorted([*selection.kept, *links], key=lambda file: file.path))


class _Walk:
    """Decides which files of a project are in the image, and records what it finds besides."""

    def __init__(self, top: Path, tree: ProjectTree, outputs: set[str]) -> None:
        self._top, self._tree, self._outputs = top, tree, outputs
        self._locks = {LOCK, DEBIAN_LOCK, *find_locks(top)}
        self._place = "" if tree.root == top else f"{os.path.relpath(top, tree.root)}/"
        self.dotted: list[str] = []
        self.excluded: list[str] = []  # patterns of files and directories
        self.links: dict[str, str] = {}  # to directories, by path
        self.others = set[str]()  # what isn't a regular file

    def keeps(self, path: str, entry: os.DirEntry[str]) -> bool:
        """Return whether to declare a file, or what a directory contains."""
        if not self._belongs(path, entry):
            return entry.name == snapshot.IGNORE_FILE
        if not entry.is_file(follow_symlinks=False):
            self.others.add(path)
            if entry.is_symlink() and Path(entry.path).is_dir():
                self.links[path] = os.path.realpath(entry.path)
        return True

    def _belongs(self, path: str, entry: os.DirEntry[str]) -> bool:
        """Return whether the image contains a file, or a directory whose parents it contains."""
        is_directory = entry.is_dir(follow_symlinks=False)
        end, place = "/" * is_directory, self._place + path
        if f"{entry.name}{end}" in tree_walk.BUILT_IN or path in self._locks or entry.path in self._outputs:
            return False
        is_ignored = self._tree.git.ignores(place, is_directory=is_directory)
        if self._tree.is_generated(place, entry):
            return False
        above = path.rpartition("/")[0]
        if is_ignored is None and entry.name.startswith(".") and not re.search(r"(^|/)\.", above):
            is_ignored = True
            if not (_NESTED_TOOLS if above else _TOOLS).fullmatch(entry.name):
                self.dotted.append(path + end)
        if is_ignored:
            self.excluded.append("/" + re.sub(r"([*?\[\\\s!#])", r"\\\1", path) + end)
        return not is_ignored


def _above(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path or "."


def _note(what: str, names: Sequence[str], remedy: str) -> list[str]:
    return [f"{what} aren't in the image: {some(names)}. {remedy}"] if names else []


def check_secrets(
    project: UvProject, contents: Iterable[tuple[str, bytes]], allowed: Sequence[str], *, is_own: bool = True
) -> None:
    """Raise BentoError for a file that might contain a secret, unless `allowed` contains its path.

    If the project isn't the image's own, other paths in `allowed` are of other projects.
    """
    known: list[str] = []

    def read() -> Iterator[tuple[str, bytes]]:
        for path, content in contents:
            known.append(path)
            yield path, content

    findings = [*scanner.scan_files(read())]
    others = [path for path in allowed if path not in known]
    elsewhere = [
        path
        for path in others
        if not is_own or any((each / path).is_file() for each in (project.root, project.directory))
    ]
    words = scanner.OptionNames("--allow-secret", "--no-secrets-check", "the project")
    scanner.check(findings, [path for path in allowed if path not in elsewhere], known, words)
