"""Every Python file of the repository passes ruff and mypy, which come from the lock as all else does.

What is checked are the files that this test declares; e2e/lint.py holds that these are all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from rules_bento.packages.virtualenv import make_environment

ROOTS = [Path(root) for root in os.environ["RULES_BENTO_ROOTS"].split(os.pathsep)]
# The product is typed throughout, other code where it has types.
STRICT = ("py", "toolchains", "tools")
LENIENT = ("bench", "e2e", "examples", "tests")
LENIENT_FLAGS = (
    "--allow-any-generics",
    "--allow-incomplete-defs",
    "--allow-untyped-calls",
    "--allow-untyped-decorators",
    "--allow-untyped-defs",
    # What a test has made a line above is what it takes it for.
    "--disable-error-code=arg-type",
    "--disable-error-code=assignment",
    "--disable-error-code=call-overload",
    "--disable-error-code=attr-defined",
    "--disable-error-code=import-not-found",
    "--disable-error-code=import-untyped",
    "--disable-error-code=index",
    "--disable-error-code=list-item",
    "--disable-error-code=misc",
    "--disable-error-code=operator",
    "--disable-error-code=union-attr",
    "--no-check-untyped-defs",
    "--no-warn-unused-ignores",
    "--no-warn-return-any",
)


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """The declared files, copied: runfiles are links, which the tools do not walk."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copy("pyproject.toml", root)
    for folder in STRICT + LENIENT:
        for source in Path(folder).rglob("*.py"):
            (root / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / source)
    return root


def passes(command, tree, **variables):
    done = subprocess.run(
        command, cwd=tree, env={"HOME": str(tree), **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def ruff():
    [program] = [program for root in ROOTS for program in root.glob("ruff-*.data/scripts/ruff")]
    return str(program)


def test_ruff_finds_nothing(ruff, tree):
    passes([ruff, "check", "--no-cache", "."], tree)


def test_ruff_would_format_nothing(ruff, tree):
    assert "files already formatted" in passes([ruff, "format", "--check", "--no-cache", "."], tree)


@pytest.mark.parametrize(("folders", "flags"), [(STRICT, ()), (LENIENT, LENIENT_FLAGS)], ids=["strict", "lenient"])
def test_mypy_finds_nothing(folders, flags, tree, tmp_path):
    python = make_environment(tmp_path / "environment", ROOTS)
    command = [str(python), "-m", "mypy", "--cache-dir", str(tmp_path), "--explicit-package-bases", "--no-incremental"]
    command += ["--exclude", "^tests/services/", *flags, *(folder for folder in folders if (tree / folder).exists())]
    report = passes(command, tree, MYPYPATH="py:tests:e2e:tools")
    assert "Success: no issues found in " in report
