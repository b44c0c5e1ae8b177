"""A build back end sees the files of a fresh clone, in which it writes the wheel of `uv build`."""

import os
import shutil

import pytest
from bento_cli.projects.project_tree import ProjectTree
from bento_cli.projects.uv_project import UvProject

from tests.helpers.project_wheels import CASES, git, make, write

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")


def member(root, place=""):
    return UvProject(root, root / place, {}, True, {}, {})


def files(root):
    """The contents of files, executable bits, and targets of links, by path."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if ".git" not in path.parts}
    return {
        name: path.readlink() if path.is_symlink() else (path.read_bytes(), os.access(path, os.X_OK))
        for name, path in found.items()
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize(("end", "kind"), CASES)
def test_a_back_end_sees_the_files_of_a_fresh_clone(end, kind, tmp_path):
    place = make(tmp_path / "one", end, kind)
    git(tmp_path, "clone", "one", "two")
    tree = ProjectTree(tmp_path / "one")
    before = tree.key(member(tmp_path / "one", place))
    assert tree.key(member(tmp_path / "one", place), tmp_path / "copy") == before
    assert files(tmp_path / "copy") == files(tmp_path / "two")


def test_a_repository_that_ignores_the_project_decides_the_rest(tmp_path):
    """Such as a project in a directory for builds."""
    make(tmp_path, "uv", "ignored")
    write(tmp_path, {".gitignore": "/tmp/\n*.log\n", "tmp/a/pyproject.toml": "", "tmp/a/x.log": "", "tmp/b": ""})
    tree = ProjectTree(tmp_path / "tmp/a")
    found = {path for path in tree.files if not path.startswith((".git/", "src"))}
    assert found == {".gitignore", "pyproject.toml", "tmp/a/pyproject.toml", "tmp/b"}
