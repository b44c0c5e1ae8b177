"""Measures the startup of the helper, which each action requires.

    tools/bazel run //bench:startup [-- --runs N]

Prints a table (milliseconds, best of the runs): from the start of the process to the first line of `main`, and to the
first line of each subcommand, for the bytecode that actions start and for its sources. Subcommands use the packages
that the benchmark can import. Without Bazel, `python3 bench/startup.py` measures the Python that runs it.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PY = Path(__file__).resolve().parent.parent / "py"
# As in private/helper.bzl.
FLAGS = ("-I", "-S", "-B", "-X", "utf8")
PACKAGES = ("blake3", "yaml", "zstandard")
# All processes share the reference point of the clock.
STAMP = "import os, time; os.write(1, str(time.monotonic_ns()).encode()); os._exit(0)"


class Helper:
    """Copies the helper, and changes the copy to print the time at the first line of a function and exit."""

    def __init__(self, python: str, directory: Path, functions: Mapping[str, str]) -> None:
        """Copy the helper, insert the time stamp into the functions, and pack it as the toolchain does."""
        shutil.copytree(PY, directory, ignore=shutil.ignore_patterns("__pycache__"))
        for function, source in functions.items():
            put_stamp(directory / source, function)
        self.program = directory / "helper.zip"
        self.main = directory / "main.py"
        modules = sorted(directory.glob("rules_bento/**/*.py"))
        words = [directory / "compile.py", self.program, self.main, *modules]
        subprocess.run([python, *FLAGS, *map(str, words)], check=True)


def put_stamp(source: Path, function: str) -> None:
    """Insert the time stamp as the first statement of a function."""
    text = source.read_text("utf-8")
    [found] = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == function]
    first = found.body[1] if ast.get_docstring(found) else found.body[0]
    lines = text.splitlines(keepends=True)
    lines.insert(first.lineno - 1, f"{' ' * first.col_offset}{STAMP}\n")
    source.write_text("".join(lines), "utf-8")


def package_directories() -> list[str]:
    """Return the directories of the helper's third-party packages."""
    found = [importlib.util.find_spec(name) for name in PACKAGES]
    return list(dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in found if spec and spec.origin))


def measure(command: list[str], runs: int) -> str:
    """Return the milliseconds until the time stamp, or the error if the time stamp is missing."""
    times = []
    for _ in range(runs):
        began = time.monotonic_ns()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={}, check=False)
        if done.returncode or not done.stdout:
            return (done.stderr.strip().splitlines() or ["no stamp"])[-1]
        times.append(int(done.stdout) - began)
    return f"{min(times) / 1e6:.1f}"


def required_options(subcommand: str) -> list[str]:
    """Return the options without which a subcommand doesn't start."""
    from rules_bento.actions.subcommands import find
    from rules_bento.base.errors import BentoError
    from rules_bento.base.subcommand_arguments import decode

    function = find(subcommand)
    assert function
    words: list[str] = []
    while True:
        try:
            decode(function, words)
        except BentoError as error:
            words += [str(error).rpartition(" ")[2].rstrip("."), "0"]
        else:
            return words


def main() -> None:
    """Print the table."""
    sys.path.insert(0, str(PY))
    from rules_bento.actions.subcommands import MODULES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="Measure this interpreter")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    start = [options.python, *FLAGS]
    given = [word for directory in package_directories() for word in ("--packages", directory)]
    subcommands = {
        subcommand: f"rules_bento/{module.replace('.', '/')}.py" for subcommand, module in sorted(MODULES.items())
    }
    with tempfile.TemporaryDirectory() as scratch:
        at_main = Helper(options.python, Path(scratch, "main"), {"main": "main.py"})
        at_subcommand = Helper(options.python, Path(scratch, "subcommand"), subcommands)
        rows: list[tuple[str, list[str], list[str]]] = [("interpreter alone", [*start, "-c", STAMP], [])]
        rows.append(("main", [*start, str(at_main.program)], [*start, str(at_main.main)]))
        for subcommand in subcommands:
            words = [*given, subcommand, *required_options(subcommand)]
            rows.append(
                (subcommand, [*start, str(at_subcommand.program), *words], [*start, str(at_subcommand.main), *words])
            )
        print(f"{'first line of':24}{'program':>10}{'sources':>10}")
        for name, program, sources in rows:
            slow = measure(sources, max(options.runs // 4, 1)) if sources else ""
            print(f"{name:24}{measure(program, options.runs):>10}{slow:>10}", flush=True)


if __name__ == "__main__":
    main()
