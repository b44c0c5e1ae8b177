"""Counts the cost of a fixed set of changes: `python bench/gate.py [--write]`.

Six services with one lock and one library, and a service with a model, are built from scratch, without a change, and
after each change. Bazel counts the processes, their inputs, the bytes that a cache doesn't have, and the configured
targets. No figure is a time, so the figures are the same on every machine. The program prints the figures that exceed
bench/gate.json; `--write` replaces this file in a commit, whose diff is reviewed. The e2e scenario `gate` compares the
same figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import costs
import workbench


def main() -> int:
    """Count the costs, and compare or write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="Replace bench/gate.json")
    options = parser.parse_args()
    with workbench.Workbench() as bench:
        counted = costs.count(bench)
    if options.write:
        costs.COMMITTED.write_text(costs.dumped(counted), "utf-8")
        return 0
    worse = costs.compared(json.loads(costs.COMMITTED.read_text("utf-8")), counted)
    print("\n".join(worse) or "no figure is more than in bench/gate.json")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
