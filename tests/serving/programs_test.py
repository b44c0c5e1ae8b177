"""What `bento_test` gives its tests: programs with their runfiles, libraries with their import folders, variables."""

import os
import subprocess
import sys
from pathlib import Path

import greetings


def test_a_program_of_data_finds_its_runfiles():
    done = subprocess.run([sys.executable, os.environ["GREETER"]], capture_output=True, text=True, check=True)
    assert done.stdout == "good day\n"


def test_a_library_is_imported_from_its_directory_and_finds_its_data():
    assert greetings.greeting() == "good day\n"


def test_variables_are_filled_in():
    assert Path(os.environ["GREETER"]).name == "greeter.py"
    assert os.environ["MODE"] in {"dbg", "fastbuild", "opt"}
    assert os.environ["DOLLAR"] == "$HOME"
