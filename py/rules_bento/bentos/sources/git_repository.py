"""Finds the Git repository of a directory, without Git.

Nothing in the repository runs, and no setting of it has an effect: hooks, filters, fetches, or other directories.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple

_WORKTREE = re.compile(r'^\s*worktree = "?([^"\n]+)"?$', re.MULTILINE)  # in the settings of a submodule
_MAX_TEXT = 4096


class Repository(NamedTuple):
    """A Git repository: the directory that contains `.git`, and the directories of HEAD and of the objects.

    `git` and `objects` are None if they are in another directory that doesn't refer back to this repository.
    """

    root: Path
    git: Path | None
    objects: Path | None

    @property
    def has_alternates(self) -> bool:
        """Whether objects can be in other directories, as after `git clone --reference`."""
        return self.objects is not None and os.path.lexists(self.objects / "info/alternates")


def find_repository(directory: Path) -> Repository | None:
    """Return the repository that contains a directory, or None.

    Ignores repositories of other users, such as in a shared directory, and of the user's home directory.
    """
    for root in (directory, *directory.parents):
        git = root / ".git"
        if os.path.lexists(git):
            break
    else:
        return None
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.expanduser fails for a user without a home directory
    is_home = root != directory and home.resolve().is_relative_to(root.resolve())
    if is_home or git.lstat().st_uid not in (os.getuid(), directory.stat().st_uid):
        return None
    try:
        mode = git.lstat().st_mode
        if stat.S_ISDIR(mode):
            git = git.resolve()
            return Repository(root, git, git / "objects")
        if stat.S_ISREG(mode):
            git, common = _elsewhere(git.resolve())
            return Repository(root, git, common / "objects")
    except (OSError, ValueError):
        pass
    return Repository(root, None, None)


def _elsewhere(file: Path) -> tuple[Path, Path]:
    """Return the directory of HEAD of a worktree or submodule, and the directory of its branches.

    Raises ValueError unless this directory refers back. Otherwise, a project from elsewhere could name any repository
    of the user.
    """
    git = Path(file.parent, _read(file).removeprefix("gitdir: ").rstrip("\n")).resolve()
    if is_worktree := git.parent.name == "worktrees":
        back = Path(git, _read(git / "gitdir").rstrip("\n"))
    else:
        match = _WORKTREE.search(_read(git / "config"))
        back = Path(git, match[1] if match else "", ".git")
    if back.resolve() != file:
        raise ValueError(git)
    return git, git.parent.parent if is_worktree else git


def _read(path: Path) -> str:
    """Return the beginning of a regular file whose path contains no links."""
    if path.parent.resolve() != path.parent:
        raise ValueError(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(path)
        return file.read(_MAX_TEXT).decode()
