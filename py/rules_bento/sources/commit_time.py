"""Reads the time of the commit that is checked out in a directory.

Nothing in the repository runs, and no setting of it has an effect: hooks, filters, fetches, or other directories.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.programs import which
from rules_bento.sources.manifest import open_source

_HEAD = re.compile(rb"(?:ref: (refs/[\w./-]+)|([0-9a-f]{40}|[0-9a-f]{64}))\s*")
_COMMITTER = re.compile(rb"(?:(?!committer )[^\n]*\n)*committer [^\n]*> ([0-9]{1,12}) [-+][0-9]{4}\n")
_MAX_TEXT, _MAX_REFS = 4096, 16 << 20
_MAX_OBJECT = 1 << 20  # bytes of a commit
_SECONDS = 60  # for Git to read a commit
_MAX_TIME = 253_402_300_799  # in the year 9999
_REMEDY = "Install Git, or set SOURCE_DATE_EPOCH."
_SETTINGS = "[core]\nrepositoryFormatVersion = 1\n[extensions]\nobjectFormat = {}\n"


def commit_time(directory: Path) -> int | None:
    """Return the time of the commit that is checked out in a directory or its parents, in seconds since 1970.

    Returns None if there is none, and for a repository whose files are in another directory, such as of `git worktree`.
    Raises BentoError if Git can't be run: whether a machine has Git must not decide about the bytes of an image.
    """
    for parent in (directory, *directory.parents):
        git = parent / ".git"
        if os.path.lexists(git):
            break
    else:
        return None
    try:
        is_own = stat.S_ISDIR(git.lstat().st_mode)
        git = git.resolve()
        name = _head(git) if is_own else ""
        match = _COMMITTER.match(_commit(git / "objects", name)) if name else None
    except (OSError, ValueError):
        return None
    return int(match[1]) if match and int(match[1]) <= _MAX_TIME else None


def _head(git: Path) -> str:
    """Return the name of the commit in HEAD, or ""."""
    match = _HEAD.fullmatch(_read(git / "HEAD", _MAX_TEXT))
    reference = match[1].decode() if match and match[1] else ""
    if reference and ".." not in reference:
        try:
            match = _HEAD.fullmatch(_read(git / reference, _MAX_TEXT))
        except OSError:
            packed = _read(git / "packed-refs", _MAX_REFS)
            match = re.search(rb"(?m)^()([0-9a-f]{40,64}) " + re.escape(reference.encode()) + rb"$", packed)
    return match[2].decode() if match and match[2] else ""


def _read(path: Path, limit: int) -> bytes:
    """Return the beginning of a regular file whose path contains no links."""
    if path.resolve() != path:
        raise ValueError(path)
    with open_source(str(path)) as file:
        return file.read(limit)


def _commit(objects: Path, name: str) -> bytes:
    """Return a commit, or b"". Git reads the objects with the settings of an empty repository."""
    program = which("git")
    if objects.is_symlink() or os.path.lexists(objects / "info/alternates"):
        return b""
    if program is None:
        raise BentoError(f"{objects.parent}: Git isn't installed, so the time of the commit is unknown", remedy=_REMEDY)
    with tempfile.TemporaryDirectory(prefix="rules_bento-git-") as empty:
        Path(empty, "refs").mkdir()
        Path(empty, "HEAD").write_text("ref: refs/heads/main\n", "utf-8")
        Path(empty, "config").write_text(_SETTINGS.format("sha1" if len(name) == 40 else "sha256"), "utf-8")
        variables = {"GIT_DIR": empty, "GIT_OBJECT_DIRECTORY": str(objects)}

        def read(option: str) -> bytes:
            command = (program, "cat-file", option, name)
            try:
                return subprocess.run(command, check=False, capture_output=True, env=variables, timeout=_SECONDS).stdout
            except subprocess.TimeoutExpired:
                problem = f"Git doesn't read the commit {name} in {_SECONDS} seconds"
                raise BentoError(f"{objects.parent}: {problem}", remedy=_REMEDY) from None

        return read("commit") if int(read("-s") or -1) in range(_MAX_OBJECT) else b""
