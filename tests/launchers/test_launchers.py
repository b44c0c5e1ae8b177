"""Launchers hand on what attributes and labels say; the shell that starts them makes nothing else of it."""

from __future__ import annotations

import os
import string
import subprocess
from pathlib import Path

import pytest

FOLDER = Path("tests/launchers")
EXPORT = "export $HOME '$(id)'"

pytestmark = pytest.mark.skipif("TEST_SRCDIR" not in os.environ, reason="Bazel makes the programs")


def run(program, folder, **variables):
    """Run a target's program as `bazel run` does from `folder`; its status, and what it says."""
    environment = os.environ | {"BUILD_WORKING_DIRECTORY": str(folder)} | variables
    done = subprocess.run(
        [(FOLDER / program).resolve()], capture_output=True, text=True, cwd="/", env=environment, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_words_are_what_they_were():
    done = subprocess.run(["/bin/sh", FOLDER / "printable"], capture_output=True, text=True, check=True)
    printable = [chr(code) for code in range(ord(" "), ord("~") + 1)]
    assert set(printable) == set(string.printable) - set("\t\n\r\x0b\x0c")
    words = [word for character in printable for word in (character, f"a{character}b", character * 2)]
    words += ["", "".join(printable), "é ✓", "\t", "$(id)", "${HOME}", "`id`", "'; id; '"]
    assert done.stdout.split("\n") == [*words, ""]


def test_a_path_has_the_name_that_the_attribute_says(tmp_path):
    status, said = run(EXPORT, tmp_path)
    assert status == 0, said
    assert [file.name for file in tmp_path.iterdir()] == ["a $(id) `id` $HOME \"b\" 'c' \\d.bento"]


def test_repositories_and_tags_are_refused_as_they_stand_there(tmp_path):
    status, said = run("push", tmp_path)
    assert status == 1
    assert "$(id)`id`$HOME" in said or "v$(id -un)" in said
    assert "uid=" not in said
    assert "Traceback" not in said


def test_a_machine_without_the_interpreter_is_told_what_to_set(tmp_path):
    launcher = (FOLDER / "push").resolve()
    if "BENTO_PYTHON" not in launcher.read_text("utf-8"):
        pytest.skip("the interpreter is among the runfiles")
    status, said = run("push", tmp_path, BENTO_PYTHON=str(tmp_path / "python3"))
    assert status == 1
    assert said.startswith(f"//tests/launchers:push: this machine has no {tmp_path}/python3")
    assert "set BENTO_PYTHON to the path of a Python 3." in said
    assert "bento_tools.python(debian_lock = ...)" in said
    assert said.count("\n") == 1
