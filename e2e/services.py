"""Compares static analysis of each service of the repository with an import by BentoML."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from workbench import REPOSITORY

if TYPE_CHECKING:
    from workbench import Workbench

DIRECTORIES = ("bench", "e2e", "examples", "tests")


def services_are_analyzed_as_imported(bench: Workbench) -> str:
    """Check that static analysis of services gives the metadata of an import, or rejects them."""
    subprocess.run([sys.executable, "-m", "venv", bench.directory / "bentoml"], check=True)
    python = str(bench.directory / "bentoml/bin/python")
    packages = ("bentoml==1.4.39", "fastapi", "pandas", "scikit-learn")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, stdin=subprocess.DEVNULL)
    program = [sys.executable, "bench/public_services.py", "--import", python, *DIRECTORIES]
    done = subprocess.run(program, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    compared = int(re.findall(r"'compared': (\d+)", done.stdout)[0])
    assert compared >= 25, done.stdout  # the services of tests/services/services.txt have records of an import
    return done.stdout.splitlines()[-1]
