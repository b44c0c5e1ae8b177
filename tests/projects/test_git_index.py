"""`git_index` finds the paths that `git ls-files` lists, and reads hostile indexes in bounded time."""

import os
import random
import shutil
import struct
import subprocess
from contextlib import suppress

import pytest
from bento_cli.projects.git_index import tracked_paths
from rules_bento.base.errors import BentoError

GIT = shutil.which("git")
# Short and long names, names with shared beginnings, and bytes that aren't UTF-8 or end a line
NAMES = [
    "a",
    "a.b",
    "b/a",
    "dir/a\nb",
    "dir/caf\u00e9",
    os.fsdecode(b"dir/\xff"),
    "x" * 255,
    "/".join(["long" * 30] * 9),
]
NAMES += [f"src/module_{number}/__init__.py" for number in range(200)]
pytestmark = pytest.mark.skipif(GIT is None, reason="git is missing")


def git(directory, *words):
    variables = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    words = [GIT, "-c", "user.name=x", "-c", "user.email=x@x", *words]
    return subprocess.run(words, cwd=directory, env=variables, check=True, capture_output=True).stdout


@pytest.fixture(params=["sha1", "sha256"])
def repository(request, tmp_path):
    git(tmp_path, "init", f"--object-format={request.param}")
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(os.fsencode(name))
    git(tmp_path, "add", "-A")
    return tmp_path


def listed(directory):
    return {os.fsdecode(path) for path in git(directory, "ls-files", "-z").split(b"\0") if path}


def reason(index):
    """Return the first sentence of the error for an index."""
    with pytest.raises(BentoError) as error:
        tracked_paths(index)
    return str(error.value).partition(". ")[0]


def version(directory):
    return struct.unpack(">I", (directory / ".git/index").read_bytes()[4:8])[0]


@pytest.mark.parametrize("number", [2, 3, 4])
def test_the_paths_are_those_of_git(number, repository):
    git(repository, "update-index", f"--index-version={number}")
    if number > 2:
        git(repository, "update-index", "--skip-worktree", "b/a")  # version 3 has a second field of flags
    assert version(repository) == number
    assert tracked_paths(repository / ".git/index") == listed(repository) == {*NAMES}


def test_a_conflict_and_a_removed_file(repository):
    git(repository, "commit", "-m", "x")
    git(repository, "checkout", "-b", "other")
    for branch, text in (("other", "1"), ("-", "2")):
        git(repository, "checkout", branch)
        (repository / "a").write_text(text)
        git(repository, "commit", "-am", "x")
    subprocess.run([GIT, "merge", "other"], cwd=repository, check=False, capture_output=True)
    git(repository, "rm", "--cached", "b/a")
    assert tracked_paths(repository / ".git/index") == listed(repository) == {*NAMES} - {"b/a"}


def test_a_split_index(repository):
    git(repository, "update-index", "--split-index")
    (repository / "new").touch()
    git(repository, "add", "new")
    git(repository, "update-index", "--chmod=+x", "a")
    git(repository, "rm", "--cached", *NAMES[70:180:2], "dir/a\nb")
    names = {*NAMES, "new"} - {*NAMES[70:180:2], "dir/a\nb"}
    assert tracked_paths(repository / ".git/index") == listed(repository) == names
    [shared] = [each for each in (repository / ".git").glob("sharedindex.*") if each.stat().st_size > 10_000]
    shared.unlink()
    assert reason(repository / ".git/index").endswith(f"{shared.name}: the index of Git is damaged, or isn't supported")
    shared.symlink_to("index")  # no loop
    assert "new" in tracked_paths(repository / ".git/index")


def test_what_is_not_an_index(tmp_path):
    for content in (b"", b"DIRC", b"DIRC\0\0\0\x02\xff\xff\xff\xff", b"DIRC\0\0\0\x05\0\0\0\0" + bytes(20)):
        (tmp_path / "index").write_bytes(content)
        assert "damaged" in reason(tmp_path / "index")
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in reason(tmp_path / "pipe")
    assert "not a regular file" in reason(tmp_path)
    assert tracked_paths(tmp_path / "absent") == set()  # before the first `git add`


def test_changed_indexes_are_read_or_not(tmp_path):
    git(tmp_path, "init")
    for name in NAMES[:20]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    git(tmp_path, "add", "-A")
    index, numbers = tmp_path / "changed", random.Random(1)
    for form in (2, 4):
        git(tmp_path, "update-index", f"--index-version={form}")
        content = (tmp_path / ".git/index").read_bytes()
        for number in range(1500):
            changed = bytearray(content[: numbers.randrange(1, len(content))] if number % 3 == 0 else content)
            for _ in range(number % 4):
                changed[numbers.randrange(len(changed))] = numbers.randrange(256)
            index.write_bytes(changed)
            with suppress(BentoError):
                assert all(len(path) <= 4096 for path in tracked_paths(index))


def test_compressed_paths_are_limited(tmp_path, monkeypatch):
    """An entry of version 4 needs few bytes for a long path."""
    long, entry = b"x" * 4000, struct.pack(">40x20xH", 4000)
    content = (
        entry + b"\0" + long + b"\0" + b"".join(entry + b"\1" + b"%c\0" % (97 + number % 26) for number in range(999))
    )
    (tmp_path / "index").write_bytes(b"DIRC" + struct.pack(">II", 4, 1000) + content + bytes(20))
    assert len(tracked_paths(tmp_path / "index")) > 20
    monkeypatch.setattr("bento_cli.projects.git_index._MAX_BYTES", 1_000_000)
    assert "damaged" in reason(tmp_path / "index")
