"""What requirements files, pyproject.toml and bentofile.yaml ask for, and what a stale lock is told by."""

from __future__ import annotations

import json

import pytest
from rules_bento.errors import BentoError
from rules_bento.packages import lock as locks
from rules_bento.packages import resolution
from rules_bento.packages.indexes import Indexes, split_index
from rules_bento.packages.stated import Source, read
from rules_bento.verbs import run

PROJECT = """\
[project]
name = "own"
dependencies = ["flask>=2", "tool ; sys_platform == 'linux'"]
[project.optional-dependencies]
gpu = ["torch"]
all = ["own[gpu]", "rich"]
[dependency-groups]
test = ["pytest", { include-group = "lint" }]
lint = ["ruff"]
[tool.uv.sources]
tool = { git = "https://host/tool", rev = "v1", subdirectory = "py" }
"""


def write(folder, name: str, text: str) -> Source:
    (folder / name).write_text(text, "utf-8")
    return Source(folder / name, name)


def test_requirements_files_include_others_and_have_constraints(tmp_path):
    write(tmp_path, "more.txt", "numpy<3  # why\n--index-url https://host/simple\n")
    write(tmp_path, "limits.txt", "idna<4\n")
    stated = read([write(tmp_path, "r.in", "-r more.txt\n-c limits.txt\nnumpy<3\nflask [async] >= 2\n")])
    assert list(stated.requirements) == ["numpy<3", "flask [async] >= 2"]
    assert stated.requirements["flask [async] >= 2"] == "r.in:4"
    assert list(stated.constraints) == ["idna<4"]
    assert [option.value for option in stated.options] == ["https://host/simple"]


def test_a_pyproject_brings_dependencies_extras_and_groups(tmp_path):
    source = write(tmp_path, "pyproject.toml", PROJECT)
    tool = "tool @ git+https://host/tool@v1#subdirectory=py ; sys_platform == 'linux'"
    assert list(read([source]).requirements) == ["flask>=2", tool, "torch", "rich", "ruff", "pytest"]
    assert list(read([source], ["gpu"], ["lint"]).requirements) == ["flask>=2", tool, "torch", "ruff"]
    with pytest.raises(BentoError, match=r"pyproject.toml: extras: there is no cpu; there are all, gpu\."):
        read([source], ["cpu"])


def test_a_bentofile_brings_its_packages(tmp_path):
    write(tmp_path, "requirements.txt", "pandas\n")
    text = "service: a:B\npython:\n  packages: [scikit-learn, 'numpy<3']\n  requirements_txt: requirements.txt\n"
    stated = read([write(tmp_path, "bentofile.yaml", text + "  extra_index_url: https://host/simple\n")])
    assert list(stated.requirements) == ["scikit-learn", "numpy<3", "pandas"]
    assert [(option.flag, option.value) for option in stated.options] == [("--extra-index-url", "https://host/simple")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-r absent.txt\n", r"r\.in:1: absent\.txt is not among the sources\. Add it to srcs\."),
        ("flask\n-e .\n", r"r\.in:2: a lock has no use for the option -e"),
        ("flask\n==1\n", r"r\.in:2: '==1' is not a requirement"),
        ("a @ https://user:secret@host/a.whl\n", r"r\.in:1: a @ https://host/a\.whl has credentials"),
    ],
)
def test_what_cannot_be_locked_is_named(tmp_path, text, message):
    with pytest.raises(BentoError, match=message) as caught:
        read([write(tmp_path, "r.in", text)])
    assert "secret" not in str(caught.value)


def test_indexes_have_no_credentials_and_known_names():
    assert split_index("corp=https://host/simple?a=b") == ("corp", "https://host/simple?a=b")
    assert split_index("https://host/simple?a=b") == ("", "https://host/simple?a=b")
    with pytest.raises(BentoError, match="explicit: mine is to come from the index 'corp', but indexes has none"):
        Indexes.from_json(json.dumps({"explicit": {"mine": "corp"}}), "//:t")
    with pytest.raises(BentoError, match="//:t: corp=https://host/simple has credentials") as caught:
        Indexes.from_json(json.dumps({"extra": ["corp=https://token@host/simple"]}), "//:t")
    assert "token" not in str(caught.value)


def check(folder, lock: dict, *flags: str) -> int:
    """The status of the test target's program."""
    (folder / "lock.json").write_text(locks.dumps(lock), "utf-8")
    arguments = ["check_requirements", "--target", "//:test", "--update", "//:update", "--requires-python", ">=3.10"]
    arguments += ["--lock", str(folder / "lock.json"), "lock.json", "--source", str(folder / "r.in"), "r.in", *flags]
    return run(arguments)


@pytest.fixture
def locked(tmp_path):
    """A lock of `web`, and its source."""
    stated = read([write(tmp_path, "r.in", "web>=2\n")])
    return {
        "lock": 1,
        "requires_python": ">=3.10",
        "stated": resolution.stated_in_lock(stated, Indexes(), []),
        "roots": [{"name": "web"}],
        "packages": [
            {"name": "web", "version": "2.0", "dependencies": [{"name": "core"}], "files": {}},
            {"name": "core", "version": "3.1", "files": {}},
        ],
    }


def test_a_lock_is_fresh_whatever_the_comments(tmp_path, locked, capsys):
    assert check(tmp_path, locked) == 0
    write(tmp_path, "r.in", "# a comment\n\nweb>=2  # another\n")
    assert check(tmp_path, locked) == 0
    assert capsys.readouterr().err == ""


def test_a_stale_lock_is_told_by_what_changed(tmp_path, locked, capsys):
    write(tmp_path, "r.in", "# first\nweb>=3\n")
    assert check(tmp_path, locked, "--platform", "linux_x86_64") == 1
    assert capsys.readouterr().err == (
        "//:test: lock.json is stale:\n"
        "  r.in:2: web>=3 is not locked\n"
        "  web>=2 is locked, but nobody asks for it any more\n"
        "  the platforms are others\n"
        "Write it again: bazel run //:update\n"
    )


def test_a_lock_from_a_careless_merge_is_told(tmp_path, locked, capsys):
    del locked["packages"][1]
    locked["packages"].append({"name": "left-over", "version": "1", "files": {}})
    assert check(tmp_path, locked) == 1
    shown = capsys.readouterr().err
    assert "web needs core, which is not in the lock" in shown
    assert "left-over 1 is in the lock, but nothing needs it" in shown


def test_a_lock_that_was_never_written_is_stale(tmp_path, locked, capsys):
    (tmp_path / "r.in").write_text("web>=2\n", "utf-8")
    (tmp_path / "lock.json").write_text("", "utf-8")
    arguments = ["check_requirements", "--target", "//:test", "--update", "//:update", "--requires-python", ">=3.10"]
    arguments += ["--lock", str(tmp_path / "lock.json"), "lock.json", "--source", str(tmp_path / "r.in"), "r.in"]
    assert run(arguments) == 1
    assert "r.in:1: web>=2 is not locked" in capsys.readouterr().err
