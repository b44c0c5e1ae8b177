"""The files that .gitignore files match are those that Git ignores."""

import os
import random
import shutil
import subprocess
import time

import pytest
from bento_cli.projects.git_ignore import GitIgnore

VARIABLES = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ.get("PATH", os.defpath)}
NAMES = ["a", "b", "ab", "x.py", "y.txt", ".e", "foo", "a b", "#h", "!n", "k]", "é"]
SEGMENTS = [
    *("a", "b", "ab", "*", "**", "*.py", "x.*", "?", "[ab]", "[!a]", "[^b]*", "f*o", "*o*", "foo", "\\a", "[a-c]b"),
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


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
@pytest.mark.parametrize("seed", range(20))
def test_git_ignores_the_same_files(seed, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=VARIABLES, check=True)
    write(tmp_path, random.Random(seed))
    words = ["git", "ls-files", "-z", "--others", "--exclude-standard"]
    done = subprocess.run(words, cwd=tmp_path, env=VARIABLES, check=True, capture_output=True, text=True)
    ignore = GitIgnore(tmp_path, tmp_path / ".git/info/exclude")
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    kept = [path for path in files if not path.startswith(".git/") and not ignore.ignores_below(path)]
    assert sorted(kept) == sorted(done.stdout.split("\0")[:-1])


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
    ignore = GitIgnore(tmp_path)
    kept = [name for name in (*names, ".gitignore") if not ignore.ignores_below(name)]
    assert sorted(kept) == sorted(done.stdout.split("\0")[:-1])


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
