"""Changes random covered lines, and counts the changes that the tests of the nearest directory notice.

    pip install cosmic-ray
    python bench/mutants.py [DIRECTORY]... [--seed S] [--count N] [--minutes M]

A DIRECTORY is a package of `py/`, such as `archives` or `store`; its tests are those of the same name below `tests/`.
They run once in a copy of the checkout, with coverage, which says for each line the tests that ran it. The coverage
remains in the directory of temporary files for other seeds, until a file of py/ or tests/ changes. Then lines are
drawn, and a change of each (operators of cosmic-ray). The tests that ran the line judge, and if all of them pass, the
others of the directory. A test that doesn't end counts as failed. The last line is `K of N killed`; each survivor is
printed as a difference, because some changes are equivalent, and only a reader can say which.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
_DIRECTORIES = ("archives", "store", "packages", "images", "registry")
# The command line of a process is limited, and the rest of a directory is run anyway.
_MOST_TESTS = 400
_NOT_COPIED = (".git", ".venv", ".*_cache", "bazel-*", "__pycache__")
_LEFT_OUT = (
    # `|` and `&` are mostly in annotations, which nothing evaluates.
    *("BitOr", "BitAnd", "BitXor", "LShift", "RShift", "_Pow"),
    # For strings and None, `is` and `==` are the same.
    *("Eq_Is", "E_Is", "Gt_Is", "Lt_Is", "Is_Eq", "IsNot_NotEq"),
    # Most results don't run at all.
    *("core/Variable", "core/RemoveDecorator"),
)


class Change(NamedTuple):
    """A change of one place of a module."""

    operator: str
    occurrence: int
    line: int


def pytest_runtest_logstart(nodeid: str, location: object) -> None:
    """Record the lines of each test under its name (a hook, as this module is also a plugin of pytest)."""
    import coverage

    if running := coverage.Coverage.current():
        running.switch_context(nodeid)


def covered(directory: str, copy: Path) -> dict[Path, dict[int, list[str]]]:
    """Return the names of tests by line and module of a directory of a copy."""
    import coverage

    package = next(path for name in ("rules_bento/**", "*") for path in copy.glob(f"py/{name}/{directory}"))
    kept = Path(tempfile.gettempdir(), f"mutants-{_digest()}-{directory}.coverage")
    if not kept.exists():
        data = copy.with_name(f"{directory}.coverage")
        arguments = ["run", f"--source={package}", f"--data-file={data}", "-m", "pytest", "-q", "-p", "bench.mutants"]
        subprocess.run(
            [sys.executable, "-m", "coverage", *arguments, "--no-header", f"tests/{directory}"],
            cwd=copy,
            env=_environment(copy),
            stdout=sys.stderr,
            check=True,
        )
        shutil.copyfile(data, kept)
    found = coverage.CoverageData(str(kept))
    found.read()
    return {
        Path(name.partition("/copy/")[2]): {  # of the copy of the first run
            line: tests
            for line, contexts in found.contexts_by_lineno(name).items()
            if (tests := sorted(context for context in contexts if "::" in context))
        }
        for name in sorted(found.measured_files())
    }


def _digest() -> str:
    """Return a digest of all Python files that the tests run."""
    files = [path for directory in ("py", "tests") for path in sorted((ROOT / directory).rglob("*.py"))]
    return hashlib.sha256(b"".join(bytes(path) + path.read_bytes() for path in files)).hexdigest()[:16]


def changes(source: str) -> Iterator[Change]:
    """Yield each change of a module that cosmic-ray knows."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import Visitor, get_ast

    class Places(Visitor):
        """Collects the lines of one operator's places, in the order in which cosmic-ray numbers them."""

        def __init__(self, operator: object) -> None:
            self.operator = operator
            self.lines: list[int] = []

        def visit(self, node: object) -> object:
            self.lines += [start[0] for start, _ in self.operator.mutation_positions(node)]  # type: ignore[attr-defined]
            return node

    tree = get_ast(source)
    for name in sorted(plugins.operator_names()):
        if not any(part in name for part in _LEFT_OUT):
            places = Places(plugins.get_operator(name)())
            places.walk(tree)
            yield from (Change(name, occurrence, line) for occurrence, line in enumerate(places.lines))


def changed(source: str, change: Change) -> str:
    """Return the text of a module with a change."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    return str(mutate_code(source, plugins.get_operator(change.operator)(), change.occurrence))


def is_killed(copy: Path, tests: list[str], directory: str) -> bool:
    """Whether a test notices what was changed in this copy of the repository."""
    for arguments in (tests[:_MOST_TESTS], [f"tests/{directory}"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *arguments],
            cwd=copy,
            env=_environment(copy),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if process.wait(timeout=600) != 0:
                return True
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return True
    return False


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{root}:{root / 'py'}", "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> int:
    """Run the changes, and print the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="*", metavar="DIRECTORY", default=list(_DIRECTORIES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100, help="changes in all")
    parser.add_argument("--minutes", type=float, default=240, help="begin no change after this time")
    options = parser.parse_args()
    random = Random(options.seed)
    end = time.monotonic() + 60 * options.minutes
    killed = tried = 0
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary).resolve() / "copy"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        lines = [
            (directory, module, line, tests)
            for directory in sorted(options.directories)
            for module, by_line in covered(directory, copy).items()
            for line, tests in sorted(by_line.items())
        ]
        random.shuffle(lines)
        known: dict[Path, list[Change]] = {}
        for directory, module, line, tests in lines:
            if tried == options.count or time.monotonic() > end:
                break
            source = (copy / module).read_text(encoding="utf-8")  # the checkout can change meanwhile
            here = [change for change in known.setdefault(module, list(changes(source))) if change.line == line]
            if not here:
                continue
            change = random.choice(here)
            text = changed(source, change)
            (copy / module).write_text(text, encoding="utf-8")
            noticed = is_killed(copy, tests, directory)
            (copy / module).write_text(source, encoding="utf-8")
            tried += 1
            killed += noticed
            print(f"{'killed  ' if noticed else 'SURVIVED'} {module}:{line} {change.operator}", flush=True)
            if not noticed:
                difference = difflib.unified_diff(source.splitlines(), text.splitlines(), lineterm="", n=1)
                print("\n".join(list(difference)[2:]), flush=True)
    print(f"{killed} of {tried} killed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
