"""Compares selecting and hashing the files of a Bento with pathspec and BentoML.

    python bench/snapshot.py [--bentoml PYTHON] [--rounds N]

Prints a table (milliseconds, best of the rounds) for 1,000 and 10,000 files, 20 exclude patterns, and two ignore files.
All columns walk the same directory with the same patterns and must select the same files. `--bentoml` specifies an
interpreter that can import BentoML; without it, this column is empty.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "py"))

from rules_bento.bentos.sources.snapshot import digest, select, walk

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

INCLUDE = ["*.py", "*.json", "*.txt", "*.bin", "assets/"]
EXCLUDE = [
    "*.pyc", "*.log", "*.tmp", "*.egg-info/", "tests/", "/docs/", "node_modules/", "dist/", "build/", ".idea/",
    "*.ipynb", "!keep.ipynb", "data/raw/**", "**/scratch/*.txt", "*_test.py", "test_*.py", "*.sw[op]", "*~",
    "pkg_1/**/generated_*.py", "coverage.*",
]  # fmt: skip
IGNORE_FILES = {".bentoignore": "*.csv\n*.parquet\n/local/\n", "pkg_0/.bentoignore": "module_1*.json\n"}
NAMES = ["module_{}.py", "test_{}.py", "module_{}.json", "notes_{}.txt", "run_{}.log", "weights_{}.bin", "table_{}.csv"]
DIRECTORIES = ["pkg_{}", "pkg_{}/core", "pkg_{}/core/scratch", "pkg_{}/tests", "assets/pkg_{}"]

# Selects files as `bentoml build` does, without copying them (bentoml/_internal/bento/bento.py).
BENTOML = """
import json, os, sys, time
from bentoml._internal.bento.build_config import BentoPathSpec
folder, include, exclude, rounds = json.loads(sys.argv[1])
best, kept = 1e9, 0
for _ in range(rounds):
    begin = time.perf_counter()
    specs = BentoPathSpec(include, exclude, folder)
    kept = 0
    for root, _, files in os.walk(folder):
        for name in files:
            kept += specs.includes(os.path.join(os.path.relpath(root, folder), name))
    best = min(best, time.perf_counter() - begin)
print(json.dumps([best, kept]))
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bentoml", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # pathspec deprecates the pattern's name that BentoML uses
    print("| files | kept | walk | select | hash | walk + select | pathspec | BentoML | BentoML / ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as directory:
            make_tree(Path(directory), count)
            print(row(directory, count, options.rounds, options.bentoml))


def make_tree(root: Path, count: int) -> None:
    """Write `count` small files similar to a project, and the ignore files."""
    for index in range(count):
        directory = root / DIRECTORIES[index % len(DIRECTORIES)].format(index % 40)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / NAMES[index % len(NAMES)].format(index)).write_text(f"# {index}\n" * (index % 200))
    for path, lines in IGNORE_FILES.items():
        (root / path).write_text(lines)


def row(directory: str, count: int, rounds: int, bentoml: str | None) -> str:
    """Return one row of the table."""
    walked, files = best(rounds, lambda: list(walk(directory)))
    selected, selection = best(rounds, lambda: select(files, INCLUDE, EXCLUDE))
    hashed, _ = best(rounds, lambda: digest(selection.kept))
    peer, peer_kept = best(rounds, lambda: plain_pathspec(directory))
    assert peer_kept == len(selection.kept)
    figures = [walked, selected, hashed, walked + selected, peer]
    cells = [f"{count:,}", f"{len(selection.kept):,}", *(f"{seconds * 1e3:.1f}" for seconds in figures)]
    if bentoml is None:
        return f"| {' | '.join(cells)} | | |"
    arguments = json.dumps([directory, INCLUDE, EXCLUDE, rounds])
    result = subprocess.run([bentoml, "-W", "ignore", "-c", BENTOML, arguments], check=True, capture_output=True)
    theirs, kept = json.loads(result.stdout)
    assert kept == len(selection.kept)
    return f"| {' | '.join(cells)} | {theirs * 1e3:.1f} | {theirs / (walked + selected):.1f} |"


def plain_pathspec(directory: str) -> int:
    """Walk and match with pathspec, each ignore file only in its directory. Return the number of selected files."""
    from pathspec import PathSpec
    from rules_bento.bentos.sources.patterns import BUILT_IN

    include, exclude, built_in = (PathSpec.from_lines("gitwildmatch", lines) for lines in (INCLUDE, EXCLUDE, BUILT_IN))
    ignored = [
        (path.rpartition("/")[0], PathSpec.from_lines("gitwildmatch", lines.splitlines()))
        for path, lines in IGNORE_FILES.items()
    ]
    kept = 0
    for root, _, names in os.walk(directory):
        prefix = root[len(directory) + 1 :]
        inside = [(len(top) + 1 if top else 0, spec) for top, spec in ignored if f"{prefix}/".startswith(top)]
        for name in names:
            path = f"{prefix}/{name}" if prefix else name
            kept += (
                include.match_file(path)
                and not exclude.match_file(path)
                and not built_in.match_file(path)
                and not any(spec.match_file(path[length:]) for length, spec in inside)
            )
    return kept


def best(rounds: int, work: Callable[[], T]) -> tuple[float, T]:
    """Return the shortest time of `work` in seconds, and the result."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds), result


if __name__ == "__main__":
    main()
