"""The files that .gitignore files match are those that Git ignores."""

import os
import random
import shutil
import subprocess
import time

import pytest
from bento_cli.projects import git_ignore
from bento_cli.projects.git_ignore import GitIgnore
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources.git_repository import find_repository

VARIABLES = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ.get("PATH", os.defpath)}
CASE = "core.ignorecase=false"  # as on Linux, so that a project has the same files on each system
NAMES = ["a", "A", "b", "ab", "x.py", "y.txt", ".e", "foo", "a b", "#h", "!n", "k]", "é"]
SEGMENTS = [
    *("a", "A", "b", "ab", "*", "**", "*.py", "x.*", "?", "[ab]", "[!a]", "[^b]*", "f*o", "*o*", "foo", "\\a", "[a-c]b"),
    *("[[:alpha:]]", "k]", "*a*", "y.???", "\\#h", "\\!n", "a\\ b", "a b", ".*", "[]a]", "[\\]a]*", "[z-a]", "*[o]*"),
]  # fmt: skip


def write(directory, random):
    """Write a tree with random .gitignore files."""
    directories = [directory]
    for _ in range(14):
        path = random.choice(directories) / random.choice(NAMES)
        if not path.exists():
            if random.random() < 0.55:
                path.mkdir()
                directories.append(path)
            else:
                path.touch()

    def pattern():
        path = "/".join(random.choice(SEGMENTS) for _ in range(random.choice([1, 1, 1, 2, 2, 3, 4])))
        return random.choice(["", "", "/", "!", "!/"]) + path + random.choice(["", "", "/", " ", "\r"])

    for each in directories:
        (each / "file").touch()
    for each in [directory, *random.sample(directories, min(2, len(directories)))]:
        lines = [pattern() for _ in range(random.randint(1, 5))]
        (each / ".gitignore").write_text("\n".join(["", "# comment", *lines, ""]))
    (directory / ".git/info/exclude").write_text(pattern())


def git(directory, *words):
    words = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "protocol.file.allow=always", "-c", CASE, *words]
    return subprocess.run(words, cwd=directory, env=VARIABLES, check=True, capture_output=True, text=True).stdout


def belongs(directory):
    """Return the files that Git tracks, and those that it doesn't ignore."""
    return {*git(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")} - {""}


def kept(directory):
    """Return the files that `GitIgnore` doesn't ignore."""
    ignore = GitIgnore(directory, find_repository(directory))
    files = [path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()]
    own = [path for path in files if ".git" not in path.split("/")]
    return {path for path in own if not ignore.ignores(path, is_directory=False)}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
@pytest.mark.parametrize("seed", range(20))
def test_git_ignores_the_same_files(seed, tmp_path):
    numbers = random.Random(seed)
    git(tmp_path, "init", "-q")
    if seed % 4 == 0:
        git(tmp_path, "config", "core.ignorecase", "true")
    write(tmp_path, numbers)
    assert kept(tmp_path) == belongs(tmp_path)
    paths = sorted(path for path in tmp_path.rglob("*") if ".git" not in path.parts)
    git(tmp_path, "add", "-f", *map(str, numbers.sample(paths, 5)))
    git(tmp_path, "update-index", f"--index-version={2 + seed % 3}", *["--split-index"][seed % 2 :])
    (tmp_path / "later").touch()
    git(tmp_path, "add", "-f", "later")
    git(tmp_path, "rm", "-q", "--cached", *numbers.sample(git(tmp_path, "ls-files", "-z").split("\0")[:-1], 2))
    assert kept(tmp_path) == belongs(tmp_path)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
def test_repositories_in_a_repository(tmp_path):
    """As after `git clone --recurse-submodules`: a submodule's own index says what belongs to it."""
    for name in ("other", "main", "main/nested"):
        git(tmp_path, "init", "-q", name)
        (tmp_path / name / ".gitignore").write_text("*.csv\nlib/\n")
        (tmp_path / name / "lib").mkdir()
        for path in ("tracked.csv", "lib/tracked"):
            (tmp_path / name / path).touch()
        git(tmp_path / name, "add", "-f", ".")
        git(tmp_path / name, "commit", "-qm", "x")
    git(tmp_path / "main", "submodule", "--quiet", "add", str(tmp_path / "other"), "sub")
    git(tmp_path / "main", "commit", "-qm", "x")
    git(tmp_path / "main", "worktree", "add", "-q", str(tmp_path / "copy"))
    git(tmp_path / "copy", "submodule", "--quiet", "update", "--init")
    for directory in ("main/sub", "copy/sub"):
        assert kept(tmp_path / directory) == kept(tmp_path / "other")
        assert kept(tmp_path / directory) <= {path.removeprefix("sub/") for path in kept(tmp_path / directory / "..")}
    for directory in ("", "lib/", "sub/", "sub/lib/", "nested/", "nested/lib/"):
        (tmp_path / "main" / directory / "new.csv").touch()
    ours = {path for path in kept(tmp_path / "main") if path.endswith(("csv", "tracked"))}
    assert ours == {f"{top}{path}" for top in ("", "sub/", "nested/") for path in ("tracked.csv", "lib/tracked")}
    (tmp_path / "main/sub/.git").write_text(f"gitdir: {tmp_path}/other/.git\n")  # not of this repository
    assert "sub/tracked.csv" not in kept(tmp_path / "main")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
def test_a_damaged_index_is_an_error(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a").touch()
    git(tmp_path, "add", "a")
    index = tmp_path / ".git/index"
    index.write_bytes(index.read_bytes()[:40])
    with pytest.raises(BentoError, match="index: the index of Git is damaged, or isn't supported. To write the"):
        kept(tmp_path)
    index.unlink()  # as the message says
    git(tmp_path, "reset")
    assert kept(tmp_path) == {"a"}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
def test_paths_in_an_index_have_a_limit_with_their_directories(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    for name in ("e", "f"):
        (tmp_path / "a/b/c/d" / name).touch()
    git(tmp_path, "add", "-A")
    monkeypatch.setattr(git_ignore, "_MAX_TRACKED", len("a/b/c/d/e" + "a/b/c/d/f" + "a/b/c/d" + "a/b/c" + "a/b" + "a"))
    assert len(kept(tmp_path)) == 2
    monkeypatch.setattr(git_ignore, "_MAX_TRACKED", git_ignore._MAX_TRACKED - 1)
    with pytest.raises(BentoError, match="index: the paths in the index of Git are too long"):
        kept(tmp_path)


SETS = [
    *("[a--b]", "[!a--b]", "[a-]", "[-a]", "[z-a]", "[!z-a]", "[a&&b]", "[a||b]", "[a~~b]", "[[a]", "[--9]", "[a-c-e]"),
    *("[\\]-a]", "[a-\\c]", "[\\--9]", "[[:digit:]-x]", "[a-[:digit:]]", "[[:foo]", "[[:FOO:]]", "[[:alpha:]", "[[::]]"),
    *("[]-a]", "[^]a]", "[!-a]", "[a-c&&b]", "[a\\-c]", "[^^-a]", "[#-&]", "/a[+-0]b", "/a[!x]b", "[[-a]", "[ -~]"),
]  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
@pytest.mark.parametrize("pattern", SETS)
def test_a_set_has_the_same_characters_as_in_git(pattern, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=VARIABLES, check=True)
    (tmp_path / "a").mkdir()
    names = ["a/b", "acb", *(chr(number) for number in range(33, 127) if chr(number) not in "./a")]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text(pattern)
    words = ["git", "ls-files", "-z", "--others", "--exclude-standard"]
    done = subprocess.run(words, cwd=tmp_path, env=VARIABLES, check=True, capture_output=True, text=True)
    assert sorted(kept(tmp_path)) == sorted(done.stdout.split("\0")[:-1])


SLOW = [
    "*a" * 60 + "b",
    "/" + "**/a/" * 60 + "b",
    "x/" + "a*" * 60 + "b/*",
    "[" + "[:" * 20_000,
    "[[:a" * 20_000 + ":]",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_no_pattern_needs_exponential_time(pattern, tmp_path):
    (tmp_path / ".gitignore").write_text(pattern)
    begin = time.process_time()
    ignore = GitIgnore(tmp_path)
    for path in ("a" * 250, "a/" * 200 + "a", "x/" + "a" * 250):
        assert not ignore.ignores(path, is_directory=False)
    assert time.process_time() - begin < 2
