"""No Python file escapes ruff and mypy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench import LEFT_OUT, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Workbench

# The cases of the service reader are odd on purpose.
ODD = "tests/services/"


def lint_sees_every_file(bench: Workbench) -> str:
    """What //tests/lint declares is what is there."""
    files = r"filter('\.py$', kind('source file', deps(labels(data, //tests/lint:test_lint), 1)))"
    asked = bench.plain.bazel("query", files, "--noimplicit_deps")
    labels = asked.succeeded().output.split()
    seen = {label[2:].replace(":", "/").lstrip("/") for label in labels if label.startswith("//")}
    there = {path for path in python_files(REPOSITORY) if not path.startswith(ODD)}
    missing = sorted(there - seen)
    assert not missing, f"//tests/lint does not see {', '.join(missing)}: add them to its data"
    return f"{len(there)} files"


def python_files(folder: Path) -> list[str]:
    found = []
    pending = [folder]
    while pending:
        here = pending.pop()
        entries = [entry for entry in here.iterdir() if not entry.is_symlink()]
        left_out = LEFT_OUT(str(here), [entry.name for entry in entries])
        pending += [entry for entry in entries if entry.is_dir() and entry.name not in left_out]
        found += [entry.relative_to(REPOSITORY).as_posix() for entry in entries if entry.suffix == ".py"]
    return found
