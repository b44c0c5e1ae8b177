"""bench/sizes.py counts the sizes of the repository, which no commit raises without a reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path()  # of the runfiles
sys.path += ["bench", "tools"]

import sizes  # noqa: E402


@pytest.fixture
def checkout(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    def commit(body, **committed):
        (tmp_path / "bench").mkdir(exist_ok=True)
        (tmp_path / sizes.FILE).write_text(json.dumps({name.replace("_", " "): n for name, n in committed.items()}))
        git("add", ".")
        git("commit", "-q", "--allow-empty", "-m", "feat: grow", "-m", body)

    git("init", "-q")
    commit("", py_net=10, py_tag=10, starlark_bytes=10)
    return commit


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs all files: run it in a checkout")
def test_no_size_exceeds_the_committed_one():
    committed = json.loads((ROOT / sizes.FILE).read_text("utf-8"))
    assert not sizes.increases(committed, sizes.count(ROOT)), "smaller, or `python bench/sizes.py --write` and `sizes:`"


def test_lines_count_by_package(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    long = "def f():\n" + "    pass\n" * 60
    files = {
        "py/rules_bento/net/http.py": long,
        "py/rules_bento/net/deep/tls.py": "\n",
        "py/rules_bento/tag.py": "\n\n",
        "tests/test_tag.py": "def test_a():\n    pass\n",
        "private/target.bzl": f"a = transition(b)\n# {'é' * 119}\n",
        "README.md": "two words",
        "docs/reference.md": "not counted",
        "docs/contributing/page.md": "not counted",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    counted = sizes.count(tmp_path)
    assert counted == {
        "public attributes": 0,
        "public rules": 1,
        "py functions over 60 lines": 1,
        "py rules_bento": 2,
        "py rules_bento/net": 62,
        "starlark bytes": 18 + 2 + 2 * 119 + 1,
        "starlark lines": 2,
        "starlark lines over 120 columns": 1,
        "starlark transitions": 1,
        "tests functions": 1,
        "tests lines": 2,
        "words of user pages": 2,
    }
    assert not sizes.increases(counted, counted)
    assert sizes.increases(counted | {"starlark lines": 1}, counted) == [
        f"starlark lines: 2, at most 1 in {sizes.FILE}"
    ]
    assert sizes.increases({}, {"py new": 1}) == [f"py new: 1, at most 0 in {sizes.FILE}"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("sizes: py +2, starlark bytes +5, because hashes.", ""),
        ("Why.\n\nsizes: starlark bytes +5,\npy +2, because hashes.\n", ""),
        ("", "`sizes: py +2, starlark bytes +5, because …`"),
        ("sizes: py +2, because hashes.", "`sizes: starlark bytes +5, because …`"),
        ("sizes: py +2, starlark bytes +50, because hashes.", "`sizes: starlark bytes +5, because …`"),
        ("sizes: py +2, starlark bytes +5", "`sizes: py +2, starlark bytes +5, because …`"),
    ],
)
def test_a_commit_names_what_it_raises(tmp_path, checkout, body, problem):
    """Packages of py/ count together, so that a move between them needs no reason."""
    checkout(body, py_net=5, py_tag=17, starlark_bytes=15)
    [found] = sizes.unexplained(tmp_path, "HEAD") or [""]
    assert found.endswith(f"the body needs the line {problem}" if problem else "")
    assert bool(found) == bool(problem)


def test_a_commit_that_lowers_sizes_needs_no_line(tmp_path, checkout):
    checkout("", py_net=5, starlark_bytes=10)
    assert not sizes.unexplained(tmp_path, "HEAD")
