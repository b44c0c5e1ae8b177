"""The packages of the command are one folder, and each is there whole."""

from __future__ import annotations

import pytest
from verbs import Actions, Outcome


@pytest.fixture
def actions(tmp_path):
    return Actions(tmp_path)


def gather(actions: Actions, *folders: str) -> Outcome:
    """BentoCommandPackages of some folders."""
    words = [word for folder in folders for word in ("--packages-folder", folder)]
    return actions.run("gather_packages", [*words, "--output", "bazel-out/all"], {})


def test_all_files_are_there_under_their_names(actions):
    actions.write("a/one/__init__.py", "one = 1\n")
    actions.write("a/one/größe/__init__.py", "")
    actions.write("b/two.so", b"\x7fELF\0")
    actions.write("kept.py", "three = 3\n")
    actions.link("b/three.py", "../kept.py")
    actions.write("elsewhere/four.py", "four = 4\n")
    actions.link("b/linked", "../elsewhere")
    done = gather(actions, "a", "b")
    assert done.code == 0, done.errors
    gathered = actions.root / "bazel-out/all"
    files = {str(path.relative_to(gathered)): path.read_bytes() for path in gathered.rglob("*") if path.is_file()}
    assert files == {
        "linked/four.py": b"four = 4\n",
        "one/__init__.py": b"one = 1\n",
        "one/größe/__init__.py": b"",
        "three.py": b"three = 3\n",
        "two.so": b"\x7fELF\0",
    }
    assert not any(path.is_symlink() for path in gathered.rglob("*"))


def test_a_module_of_two_packages_is_refused(actions):
    actions.write("a/one.py", "one = 1\n")
    actions.write("b/one.py", "one = 2\n")
    done = gather(actions, "a", "b")
    assert done.code == 1
    assert "b: 'one.py' is in another package, too" in done.errors
    assert not (actions.root / "bazel-out/all").exists()


def test_a_folder_that_is_not_there_is_refused(actions):
    actions.write("a/one.py")
    done = gather(actions, "a", "b")
    assert done.code == 1
    assert "b: is no folder" in done.errors


def test_a_folder_that_cannot_be_walked_is_refused(actions):
    actions.write("a/one.py")
    actions.link("a/round", "../a")
    done = gather(actions, "a")
    assert done.code == 1
    assert "symbolic links" in done.errors
    assert not (actions.root / "bazel-out/all").exists()
