"""Launchers hand on what attributes and labels say; the shell that starts them makes nothing else of it."""

import os
import string
import subprocess
from pathlib import Path

import pytest

DIRECTORY = Path("tests/launchers")
PUSH = "push $HOME '$(id)'"

pytestmark = pytest.mark.skipif("TEST_SRCDIR" not in os.environ, reason="Bazel makes the programs")


def run(program, directory, **variables):
    """Run a target's program as `bazel run` does from `folder`; its status, and what it says."""
    environment = os.environ | {"BUILD_WORKING_DIRECTORY": str(directory)} | variables
    done = subprocess.run(
        [(DIRECTORY / program).resolve()], capture_output=True, text=True, cwd="/", env=environment, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_words_are_what_they_were():
    done = subprocess.run(["/bin/sh", DIRECTORY / "printable"], capture_output=True, text=True, check=True)
    printable = [chr(code) for code in range(ord(" "), ord("~") + 1)]
    assert set(printable) == set(string.printable) - set("\t\n\r\x0b\x0c")
    words = [word for character in printable for word in (character, f"a{character}b", character * 2)]
    words += ["", "".join(printable), "é ✓", "\t", "$(id)", "${HOME}", "`id`", "'; id; '"]
    assert done.stdout.split("\n") == [*words, ""]


def test_repositories_and_tags_are_rejected_as_they_stand_there(tmp_path):
    status, said = run(PUSH, tmp_path)
    assert status == 1
    assert "$(id)`id`$HOME" in said or "v$(id -un)" in said
    assert "uid=" not in said
    assert "Traceback" not in said


def python(directory: Path, name: str, version: str) -> Path:
    """Make a program that says that it is this version of Python, and with which words it was started."""
    directory.mkdir(exist_ok=True)
    program = directory / name
    program.write_text(f'#!/bin/sh\n[ "$1" = run ] && echo "$0 runs" || echo {version}\n')
    program.chmod(0o755)
    return program


def foreign(program="foreign", **variables) -> tuple[int, str]:
    """Start a program that was built on a machine with another Python than this one has."""
    command = ["/bin/sh", DIRECTORY / program]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    return done.returncode, done.stdout + done.stderr


def test_another_python_of_the_version_is_found_on_path(tmp_path):
    found = python(tmp_path / "bin", "python3.99", "3.99")
    assert foreign(PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin") == (0, f"{found} runs\n")
    named = python(tmp_path, "own", "3.99")
    assert foreign(PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin", BENTO_PYTHON=str(named)) == (0, f"{named} runs\n")


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [("python3.99", "3.98", "is 3.98"), ("python3.9", "3.9", "is none"), ("python3.99", "", "is none")],
)
def test_a_machine_without_the_interpreter_is_told_what_to_do(tmp_path, name, version, said):
    python(tmp_path, name, version)
    status, message = foreign(PATH=f"{tmp_path}:/usr/bin:/bin")
    assert status == 1
    assert message.startswith("foreign: the build ran in Python 3.99, and ")
    assert f"of this machine {said}. Install python3.99, set BENTO_PYTHON to its path, or include the inter" in message
    assert message.count("\n") == 1


def test_an_interpreter_that_is_named_and_does_not_fit_is_rejected(tmp_path):
    python(tmp_path, "python3.99", "3.99")
    other = python(tmp_path, "other", "3.9")
    for named, said in ((other, "3.9"), (tmp_path / "gone", "none")):
        status, message = foreign(PATH=f"{tmp_path}:/usr/bin:/bin", BENTO_PYTHON=str(named))
        assert (status, f"{named} of this machine is {said}. " in message) == (1, True)


def test_a_path_of_another_python_on_this_machine_is_rejected():
    status, message = foreign("same_path", PATH="/usr/bin:/bin")
    assert status == 1
    assert message.startswith("same_path: the build ran in Python 3.99, and /bin/sh of this machine is none. Install ")
