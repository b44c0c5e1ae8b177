"""Counts what a fixed set of changes costs: `python bench/gate.py [--write]`.

Six services over one lock and one library, and one with a model, are built from nothing, without a change, and after
each of the changes; the real Bazel counts processes, their inputs, bytes that a cache has not yet, and configured
targets, of a first build and again after each change. None of these is a time, so they are the same on every machine.
Printed is what is more than bench/gate.json has; `--write` replaces that file, for a commit whose reviewer reads the
diff. The scenario `gate` of e2e holds the same.
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
    """Count, and compare or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace bench/gate.json")
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
