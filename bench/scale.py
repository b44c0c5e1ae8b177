"""What a repository of many services costs: `python bench/scale.py [--workers] [N]...`, one table for each.

N services share one lock (that of e2e/monorepo) and one library; each tenth requires scikit-learn as well. The real
Bazel loads and analyses them in a server that has just started (repositories are there), builds all, builds again
without a change, with another line in one service, with another line in the library, and with another version of a
package of the lock that scikit-learn needs. Counted are the processes that ran, what they wrote, and Bazel's own
seconds; `heap` is what the server holds after the analysis. With `--workers` actions run in persistent workers that
see only what they declare. Needs an index the first time.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "e2e"))
import costs  # noqa: E402 - found by the line above
import workbench  # noqa: E402
from workers import ISOLATED, WORKERS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench import Checkout, Result, Workbench

WORKSPACE = "e2e/scale"
HOURS = 4 * 3600  # seconds that a build may take


def make_services(checkout: Checkout, number: int) -> None:
    """Write the workspace."""
    for path in ("MODULE.bazel", "requirements.lock.json", "lib/BUILD.bazel", "lib/scaling.py"):
        checkout.write(f"{WORKSPACE}/{path}", checkout.read(f"{costs.MONOREPO}/{path}"))
    checkout.write(f"{WORKSPACE}/BUILD.bazel", "")
    costs.write_services(checkout, WORKSPACE, number)


def measured(step: str, result: Result) -> str:
    """A row: processes, bytes written, seconds."""
    written = sum(spawn.written for spawn in result.spawns)
    return f"{step:24}{len(result.spawns):>10}{written / 1000:>12.0f} kB{result.seconds:>10.1f} s"


def measure(bench: Workbench, number: int, given: Sequence[str]) -> None:
    """Print the table of one number of services, built with the options `given`."""
    checkout = bench.checkout(f"of_{number}")
    make_services(checkout, number)

    def build(*options: str) -> Result:
        return checkout.build(costs.SERVICES, *given, *options, workspace=WORKSPACE)

    build("--nobuild")
    checkout.bazel("shutdown", workspace=WORKSPACE)
    analysed = build("--nobuild")
    heap = checkout.bazel("info", "used-heap-size-after-gc", workspace=WORKSPACE).output.strip()
    found = re.search(r"\((\d+) packages loaded, (\d+) targets configured\)", analysed.errors)
    assert found, analysed.told()
    size = f"{found[1]} packages, {found[2]} targets, {heap} heap"
    print(f"\n{number} services: {size}, {analysed.seconds:.1f} s to analyse")
    print(measured("all", build()), flush=True)
    print(measured("nothing changed", build()), flush=True)
    costs.add_line(checkout, f"{WORKSPACE}/services/service_001/service.py")
    print(measured("a line of a service", build()), flush=True)
    costs.add_line(checkout, f"{WORKSPACE}/{costs.LIBRARY}")
    print(measured("a line of the library", build()), flush=True)
    costs.write_newer_package(checkout, WORKSPACE)
    print(measured("a package of the lock", build()), flush=True)
    checkout.close()
    shutil.rmtree(checkout.root / WORKSPACE)


def main() -> None:
    """Measure each number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("numbers", type=int, nargs="*", default=[10, 100, 500], metavar="N")
    options = parser.parse_args()
    workbench.TIME_LIMIT = HOURS
    with workbench.Workbench() as bench:
        for number in options.numbers:
            measure(bench, number, (*WORKERS, *ISOLATED) if options.workers else ())


if __name__ == "__main__":
    main()
