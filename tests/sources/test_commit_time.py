"""The time of a commit is what Git says, and a repository of somebody else runs nothing and leads nowhere."""

import os
import shutil
import subprocess
import zlib
from itertools import pairwise

import pytest
from rules_bento.bentos.sources.commit_time import commit_time, find_repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
VARIABLES = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ.get("PATH", os.defpath)}
VARIABLES |= {f"GIT_{who}_{what}": "x@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(directory, *words, date="1800000000 -0200"):
    times = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), date)
    return subprocess.run(
        ["git", *words], cwd=directory, env=VARIABLES | times, check=True, capture_output=True, text=True
    ).stdout.strip()


def repository(directory, *words, commits=1):
    directory.mkdir()
    git(directory, "init", "-q", *words)
    for number in range(commits):
        text = f"{number}\n" + "a long message that deltas can share\n" * 400
        git(directory, "commit", "-q", "--allow-empty", "-m", text, date=f"{1700000000 + number * 977} +0530")
    return directory


REPACK = ("repack", "-adfq", "--depth=40", "--window=50")


@pytest.mark.parametrize("words", [(), ("--object-format=sha256",)])
@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("checkout", "-q", "--detach", "HEAD~1")],
        [("gc", "-q")],
        [REPACK, ("pack-refs", "--all")],
        [("config", "repack.useDeltaBaseOffset", "false"), REPACK],
        [("config", "pack.indexVersion", "2"), ("repack", "-dq"), ("commit", "-q", "--allow-empty", "-m", "x", "--no-gpg-sign")],
    ],
)  # fmt: skip
def test_the_time_is_that_of_git(words, steps, tmp_path):
    directory = repository(tmp_path / "repository", *words, commits=30)
    for step in steps:
        git(directory, *step)
    (directory / "a/b").mkdir(parents=True)
    for back in range(12):
        git(directory, "checkout", "-q", "--detach", "HEAD" if not back else "HEAD~1")
        assert commit_time(directory / "a/b") == int(git(directory, "log", "-1", "--format=%ct"))


def test_deltas_are_among_the_commits(tmp_path):
    """Otherwise, the test above doesn't test them."""
    directory = repository(tmp_path / "repository", commits=30)
    git(directory, *REPACK)
    bases = git(directory, "cat-file", "--batch-check=%(deltabase)", "--batch-all-objects").split()
    assert sum(base != "0" * 40 for base in bases) > 5


def test_the_repository_has_no_say(tmp_path):
    canary = tmp_path / "canary"
    directory = repository(tmp_path / "repository")
    command = f"touch {canary}"
    for name in ("core.fsmonitor", "core.sshCommand", "core.pager", "gpg.program", "core.alternateRefsCommand"):
        git(directory, "config", name, command)
    git(directory, "config", "log.showSignature", "true")
    git(directory, "config", "remote.origin.url", f"ext::sh -c '{command}'")
    git(directory, "config", "extensions.partialClone", "origin")
    assert commit_time(directory) == 1700000000
    for path in (directory / ".git/objects").glob("??"):
        shutil.rmtree(path)
    assert commit_time(directory) is None
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["file", "link", "objects", "refs", "head", "traversal", "fifo", "huge", "forged"])
def test_a_repository_does_not_lead_elsewhere(kind, tmp_path):
    other = repository(tmp_path / "other") / ".git"
    directory = tmp_path / "project"
    own = (repository(directory) if kind not in ("file", "forged", "link") else directory) / ".git"
    directory.mkdir(exist_ok=True)
    if kind == "file":
        own.write_text(f"gitdir: {other}\n")
    elif kind == "forged":  # a worktree of the project itself, with the objects of another repository
        (directory / "worktrees/x").mkdir(parents=True)
        own.write_text("gitdir: worktrees/x\n")
        for name, text in (
            ("gitdir", "../../.git\n"),
            ("commondir", f"{other}\n"),
            ("HEAD", "ref: refs/heads/master\n"),
        ):
            (directory / "worktrees/x" / name).write_text(text)
    elif kind == "link":
        own.symlink_to(other)
    elif kind in ("objects", "refs"):
        shutil.rmtree(own / kind)
        (own / kind).symlink_to(other / kind)
    elif kind == "head":
        (own / "HEAD").unlink()
        (own / "HEAD").symlink_to(other / "HEAD")
    elif kind == "traversal":
        (own / "HEAD").write_text("ref: refs/../../../other/.git/refs/heads/master\n")
    elif kind == "fifo":
        (own / "HEAD").unlink()
        os.mkfifo(own / "HEAD")
    else:
        name = git(directory, "rev-parse", "HEAD")
        path = own / "objects" / name[:2] / name[2:]
        path.unlink()
        path.write_bytes(zlib.compress(b"commit 9\0" + b"\0" * (64 << 20)))
    assert commit_time(directory) is None
    objects = find_repository(directory).objects
    assert objects is None if kind in ("file", "link") else objects.is_relative_to(directory)


@pytest.mark.parametrize("kind", ["worktree", "submodule", "reference", "two references"])
def test_the_objects_of_a_repository_are_in_another(kind, tmp_path):
    source = repository(tmp_path / "source", commits=2)
    if kind == "worktree":
        git(source, "worktree", "add", "-q", "--detach", tmp_path / "copy", "HEAD~1")
        assert find_repository(tmp_path / "copy").objects == source / ".git/objects"
    elif kind == "submodule":
        git(tmp_path, "init", "-q")
        git(tmp_path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", source, "copy")
        assert find_repository(tmp_path / "copy").objects == tmp_path / ".git/modules/copy/objects"
    else:
        names = ["source", *(["middle"] if kind == "two references" else []), "copy"]
        for of, to in pairwise(names):
            git(tmp_path, "clone", "-q", "--shared", tmp_path / of, to)
        assert not list((tmp_path / "copy/.git/objects").glob("??"))
        assert find_repository(tmp_path / "copy").has_alternates
    assert commit_time(tmp_path / "copy") == int(git(tmp_path / "copy", "log", "-1", "--format=%ct"))


def test_alternates_of_a_repository_end(tmp_path):
    directory = repository(tmp_path / "project")
    name = git(directory, "rev-parse", "HEAD")
    (directory / ".git/objects/info/alternates").write_text("../../.git/objects\n" * 9)
    (directory / ".git/objects" / name[:2] / name[2:]).unlink()
    assert commit_time(directory) is None


def test_a_repository_of_the_home_directory_is_not_that_of_a_project(tmp_path, monkeypatch):
    """Else, a back end would see all files of the user."""
    directory = repository(tmp_path / "home")
    (directory / "project").mkdir()
    assert find_repository(directory / "project").root == directory
    monkeypatch.setenv("HOME", str(directory))
    assert find_repository(directory / "project") is None
    assert commit_time(directory / "project") is None


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


def test_a_directory_without_a_commit(tmp_path):
    assert commit_time(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert commit_time(tmp_path) is None
