"""Runs parsers on randomly mutated inputs. Each result except success or BentoError is a finding.

    python bench/fuzz.py [TARGET]... [--runs N] [--seed S] [--keep DIRECTORY] [--list]

Each input is read in a child process with 1 GB of memory and 10 seconds. Other findings are files outside of the
directory, incomplete files, and open descriptors that remain, and processes that need more than 500 MB. Without a
TARGET, all targets are run. `--keep` saves the inputs of findings by target, seed, and number. The exit code is 1 if
there is a finding.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / directory) for directory in ("py", ".")]

from tests.hostile.limited import Outcome, run  # noqa: E402 - the paths stand above
from tests.hostile.mutations import mutate  # noqa: E402
from tests.hostile.targets import READERS  # noqa: E402

_BATCH = 500


def tried(target: str, runs: int, seed: int) -> Iterator[tuple[int, bytes, Outcome]]:
    """Yield the number, the bytes, and the outcome of each input."""
    reader = READERS[target]
    seeds = reader.seeds()
    random = Random(f"{target} {seed}")
    for start in range(0, runs, _BATCH):
        inputs = [mutate(reader.kind, seeds, random) for _ in range(min(_BATCH, runs - start))]
        for number, (data, outcome) in enumerate(zip(inputs, run(reader, inputs), strict=True), start):
            yield number, data, outcome


def report(target: str, options: argparse.Namespace) -> int:
    """Run a target, and print a line for the target and for each kind of finding. Returns the number of findings."""
    start = time.monotonic()
    kinds: collections.Counter[str] = collections.Counter()
    found: dict[tuple[str, str], int] = {}
    most, slowest = 0, 0.0
    for number, data, outcome in tried(target, options.runs, options.seed):
        kinds[outcome.kind] += 1
        most, slowest = max(most, outcome.megabytes), max(slowest, outcome.seconds)
        if outcome.is_fine:
            continue
        place = (outcome.kind, outcome.message.partition(": ")[0])
        if place not in found:
            print(f"  {target} {options.seed} {number}: {outcome.kind}: {outcome.message}", flush=True)
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{target}-{options.seed}-{number}").write_bytes(data)
        found[place] = found.get(place, 0) + 1
    seconds = time.monotonic() - start
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    print(f"{target}: {options.runs} runs, {seconds:.1f} s, {most} MB, slowest {slowest:.2f} s: {counts}", flush=True)
    return sum(found.values())


def main() -> int:
    """Run the selected targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(READERS))
        return 0
    for target in options.targets:
        if target not in READERS:
            parser.error(f"no target {target!r}; --list names them")
    return int(sum([report(target, options) for target in options.targets or READERS]) > 0)


if __name__ == "__main__":
    sys.exit(main())
