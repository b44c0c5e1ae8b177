"""Measures a repository of many services: `python bench/scale.py [--workers] [--flag FLAG] [--against COMMIT] [N]...`.

N services share one lock (of e2e/monorepo) and one library; every tenth service also requires scikit-learn. Bazel loads
and analyzes the services in a new server (repositories are already fetched), builds all services, and builds again
without a change, after a change of one service, after a change of the library, and with another version of a locked
package that scikit-learn requires. The table contains the number of processes, the bytes that they wrote, and Bazel's
elapsed time; `heap` is the server's memory after the analysis. With `--workers`, actions run in sandboxed persistent
workers, two for each core. `--flag` adds an option of Bazel. With `--against`, each step also builds the services of
another commit of this repository, so that the state of the machine is the same for both. Requires a package index for
the first run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "e2e"), str(REPOSITORY)]
import costs  # noqa: E402 - found by the line above
import workbench  # noqa: E402
from workers import ISOLATED, WORKERS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workbench import Checkout, Result

WORKSPACE = "e2e/scale"
# As in docs/ci.md: while Bazel waits for a worker, another worker runs.
OVERLAPPING = ("--jobs=HOST_CPUS*2", "--local_resources=cpu=HOST_CPUS*2")
HOURS = 4 * 3600  # maximum time of a build in seconds


def make_services(checkout: Checkout, number: int) -> None:
    """Write the workspace."""
    for path in ("MODULE.bazel", "requirements.lock.json", "lib/BUILD.bazel", "lib/scaling.py"):
        checkout.write(f"{WORKSPACE}/{path}", checkout.read(f"{costs.MONOREPO}/{path}"))
    checkout.write(f"{WORKSPACE}/BUILD.bazel", "")
    costs.write_services(checkout, WORKSPACE, number)


class Repository:
    """Builds the services of one checkout, with given options."""

    def __init__(self, name: str, checkout: Checkout, options: Sequence[str]) -> None:
        """Set the name for the rows."""
        self.name = name
        self.checkout = checkout
        self._options = options

    def build(self, *options: str) -> Result:
        """Build all services."""
        return self.checkout.build(costs.SERVICES, *self._options, *options, workspace=WORKSPACE)

    def analyse(self) -> Result:
        """Load and analyze all services in a new server, and print the counts and the heap size."""
        self.build("--nobuild")
        self.checkout.bazel("shutdown", workspace=WORKSPACE)
        analysed = self.build("--nobuild")
        heap = self.checkout.bazel("info", "used-heap-size-after-gc", workspace=WORKSPACE).output.strip()
        found = re.search(r"\((\d+) packages loaded, (\d+) targets configured\)", analysed.errors)
        assert found, analysed.told()
        print(f"{self.name}: {found[1]} packages, {found[2]} targets, {heap} heap")
        return analysed


def measured(step: str, name: str, result: Result) -> str:
    """Format a row: processes, bytes written, seconds."""
    written = sum(spawn.written for spawn in result.spawns)
    return f"{step:24}{name:10}{len(result.spawns):>8}{written / 1000:>10.0f} kB{result.seconds:>10.1f} s"


def change_service(checkout: Checkout) -> None:
    """Add a line to a service."""
    costs.add_line(checkout, f"{WORKSPACE}/services/service_001/service.py")


def change_library(checkout: Checkout) -> None:
    """Add a line to the library."""
    costs.add_line(checkout, f"{WORKSPACE}/{costs.LIBRARY}")


def change_lock(checkout: Checkout) -> None:
    """Change the locked version of a package."""
    costs.write_newer_package(checkout, WORKSPACE)


STEPS: dict[str, Callable[[Checkout], None] | None] = {
    "all": None,
    "nothing changed": None,
    "a line of a service": change_service,
    "a line of the library": change_library,
    "a package of the lock": change_lock,
}


def measure(repositories: Sequence[Repository], number: int) -> None:
    """Print the table for one number of services. Each step runs in one repository after the other."""
    print(f"\n{number} services")
    for repository in repositories:
        make_services(repository.checkout, number)
    show("load and analyse", {repository.name: repository.analyse() for repository in repositories})
    for step, change in STEPS.items():
        results = {}
        for repository in repositories:
            if change:
                change(repository.checkout)
            results[repository.name] = repository.build()
        show(step, results)
    for repository in repositories:
        repository.checkout.close()
        shutil.rmtree(repository.checkout.root / WORKSPACE)


def show(step: str, results: dict[str, Result]) -> None:
    """Print the cost of a step, and the ratio of the first repository to the last."""
    for name, result in results.items():
        print(measured(step, name, result), flush=True)
    if len(results) > 1:
        seconds = [result.seconds for result in results.values()]
        print(f"{step:24}{'ratio':10}{seconds[0] / seconds[-1]:>31.2f}", flush=True)


def exported(commit: str, directory: Path) -> Path:
    """Write the files of a commit to a directory, including files that a release archive excludes."""
    directory.mkdir()
    index = {**os.environ, "GIT_INDEX_FILE": str(directory.with_name(f"{directory.name}.index"))}
    for command in (["read-tree", commit], ["checkout-index", "--all", f"--prefix={directory}/"]):
        subprocess.run(["git", *command], cwd=REPOSITORY, env=index, check=True)
    return directory


def main() -> None:
    """Measure each number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("--against", metavar="COMMIT", help="Also measure this commit, in turn at each step")
    parser.add_argument("--flag", action="append", default=[], help="Build with this option of Bazel (repeatable)")
    parser.add_argument("numbers", type=int, nargs="*", default=[10, 100, 500], metavar="N")
    options = parser.parse_args()
    workbench.TIME_LIMIT = HOURS
    given = (*((*WORKERS, *ISOLATED, *OVERLAPPING) if options.workers else ()), *options.flag)
    with workbench.Workbench() as bench:
        sources = {"now": REPOSITORY}
        if options.against:
            sources = {options.against: exported(options.against, bench.directory / "exported"), **sources}
        for number in options.numbers:
            checkouts = {name: bench.checkout(f"{name}_of_{number}", source=source) for name, source in sources.items()}
            measure([Repository(name, checkout, given) for name, checkout in checkouts.items()], number)


if __name__ == "__main__":
    main()
