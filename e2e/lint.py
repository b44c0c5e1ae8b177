"""No Python file escapes ruff and mypy, no test file escapes Bazel, and no Starlark what it has to be."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/toolchains"))

from documents import lost
from starlark import findings
from workbench import LEFT_OUT, REPOSITORY

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

# The cases of the service reader are odd on purpose.
ODD = "tests/services/"


def lint_sees_every_file(bench: Workbench) -> str:
    """What //tests/lint declares and documents name is there; each file of tests is that of a target."""
    starlark = files_that_end_in(".bzl", ".bazel")
    found = [finding for path in starlark for finding in findings(path, (REPOSITORY / path).read_text("utf-8"))]
    assert not found, "\n".join(found)
    assert not lost(REPOSITORY), "\n".join(lost(REPOSITORY))
    there = {path for path in files_that_end_in(".py") if not path.startswith(ODD)}
    seen = files_of(bench.plain, "deps(labels(data, //tests/lint:test_lint), 2)")
    missing = sorted(there - seen)
    assert not missing, f"//tests/lint does not see {', '.join(missing)}: add them to its data"
    tests = {path for path in there if re.search(r"^tests/(.*/)?test_[^/]*\.py$", path)}
    unused = sorted(tests - files_of(bench.plain, "labels(srcs, kind(pytest_test, //tests/...))"))
    assert not unused, f"no target has {', '.join(unused)}: add a pytest_test"
    return f"{len(there)} files, {len(tests)} of them with tests; {len(starlark)} files of Starlark"


def files_of(checkout: Checkout, query: str) -> set[str]:
    """The source files among the labels that a query gives."""
    asked = checkout.bazel("query", f"kind('source file', {query})", "--noimplicit_deps").succeeded()
    labels = (label.removeprefix("//") for label in asked.output.split())
    return {label.replace(":", "/").removeprefix("/") for label in labels}


def files_that_end_in(*suffixes: str) -> list[str]:
    found = []
    pending = [REPOSITORY]
    while pending:
        here = pending.pop()
        entries = [entry for entry in here.iterdir() if not entry.is_symlink()]
        left_out = LEFT_OUT(str(here), [entry.name for entry in entries])
        pending += [entry for entry in entries if entry.is_dir() and entry.name not in left_out]
        found += [entry.relative_to(REPOSITORY).as_posix() for entry in entries if entry.suffix in suffixes]
    return found
