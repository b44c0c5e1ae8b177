"""The repository of a directory is that of Git, and a repository of somebody else leads nowhere."""

import os
import shutil
import subprocess

import pytest
from rules_bento.bentos.sources.git_repository import find_repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
VARIABLES = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ.get("PATH", os.defpath)}
VARIABLES |= {f"GIT_{who}_{what}": "x@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(directory, *words):
    subprocess.run(["git", *words], cwd=directory, env=VARIABLES, check=True, capture_output=True)


def repository(directory):
    directory.mkdir()
    git(directory, "init", "-q")
    git(directory, "commit", "-q", "--allow-empty", "-m", "x")
    return directory


@pytest.mark.parametrize("kind", ["file", "link", "forged", "fifo"])
def test_a_repository_does_not_lead_elsewhere(kind, tmp_path):
    other = repository(tmp_path / "other") / ".git"
    directory = tmp_path / "project"
    own = directory / ".git"
    (directory / "worktrees/x").mkdir(parents=True)
    if kind == "link":
        own.symlink_to(other)
    elif kind == "file":
        own.write_text(f"gitdir: {other}\n")
    else:  # a worktree of the project itself, with the objects of another repository
        own.write_text("gitdir: worktrees/x\n")
        (directory / "worktrees/x/commondir").write_text(f"{other}\n")
        back = directory / "worktrees/x/gitdir"
        back.write_text("../../.git\n") if kind == "forged" else os.mkfifo(back)
    objects = find_repository(directory).objects
    assert objects == (directory / "objects" if kind == "forged" else None)


@pytest.mark.parametrize("kind", ["worktree", "submodule", "reference"])
def test_the_objects_of_a_repository_are_in_another(kind, tmp_path):
    source = repository(tmp_path / "source")
    if kind == "worktree":
        git(source, "worktree", "add", "-q", "--detach", tmp_path / "copy", "HEAD")
        assert find_repository(tmp_path / "copy").objects == source / ".git/objects"
    elif kind == "submodule":
        git(tmp_path, "init", "-q")
        git(tmp_path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", source, "copy")
        assert find_repository(tmp_path / "copy").objects == tmp_path / ".git/modules/copy/objects"
    else:
        git(tmp_path, "clone", "-q", "--shared", source, "copy")
        assert find_repository(tmp_path / "copy").has_alternates
    (tmp_path / "copy/a").mkdir()
    assert find_repository(tmp_path / "copy/a") == find_repository(tmp_path / "copy")


def test_a_repository_of_the_home_directory_is_not_that_of_a_project(tmp_path, monkeypatch):
    """Else, a back end would see all files of the user."""
    directory = repository(tmp_path / "home")
    (directory / "project").mkdir()
    assert find_repository(directory / "project").root == directory
    monkeypatch.setenv("HOME", str(directory))
    assert find_repository(directory / "project") is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change owners")
def test_a_repository_of_another_user_is_not_that_of_a_project(tmp_path):
    """Otherwise, the owner of /tmp/.git decides what a back end sees."""
    directory = repository(tmp_path / "shared")
    (directory / "project").mkdir()
    try:
        os.chown(directory / ".git", 1234, 1234)
    except OSError:
        pytest.skip("a sandbox has one user")
    assert find_repository(directory / "project") is None
    os.chown(directory / "project", 1234, 1234)
    assert find_repository(directory / "project").root == directory


def test_a_directory_without_a_repository(tmp_path):
    assert find_repository(tmp_path) is None
