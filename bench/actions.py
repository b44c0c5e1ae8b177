"""Measures the inputs, the outputs, and the time of each action: `python bench/actions.py [--rounds N] [--isolated]`.

Bazel builds the examples with all output groups, and additional test targets, one action at a time: in separate
sandboxed processes, and in persistent workers that are already running. Each round repeats the actions that can run in
a worker. The table contains medians over the rounds and the actions of a kind. Inputs exclude the interpreter. Times
are from Bazel's log, and include the creation of sandboxes. Actions that run foreign code or build the helper never run
in a worker. Requires a package index, for a package without a wheel.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "e2e"), str(REPOSITORY)]
import sources  # noqa: E402 - found by the line above
import workbench  # noqa: E402
from workers import ISOLATED, WORKERS  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workbench import Checkout, Spawn, Workbench

TARGETS = (
    "//examples/...",
    "//tests/analysis:environment",
    "//tests/analysis:stamped",
    "//tests/analysis:with_data",
    "//tests/images:data_image",
    "//tests/wheels:bento",
)
GROUPS = "--output_groups=+docker_archive,+oci_layout,+report,+sbom,+summary"
NEVER = "never"  # doesn't run in a worker


def build(checkout: Checkout, rounds: int, options: Sequence[str]) -> tuple[list[Spawn], list[Spawn]]:
    """Build in rounds. Return the processes of cold actions and the processes of workers."""
    checkout.write("status.sh", "#!/bin/sh\necho STABLE_GIT_COMMIT abc\n")
    (checkout.root / "status.sh").chmod(0o755)
    status = f"--workspace_status_command={checkout.root}/status.sh"
    command = (*TARGETS, GROUPS, "--jobs=1", "--stamp", status)
    cold, warm = checkout.build(*command).spawns, []
    for number in range(rounds + 1):
        worked = checkout.build(*command, *WORKERS, *options).spawns
        warm += worked if number else []  # workers start in the first round
        cold += checkout.build(*command, *(option for option in options if "sandboxing" not in option)).spawns
    return cold, warm


def build_wheels(checkout: Checkout) -> list[Spawn]:
    """Build the wheels of locked sources, and return the processes."""
    sources.write_workspace(checkout, "antlr4-python3-runtime==4.9.3\n")
    for target in ("//:requirements.update", "//:build.update"):
        checkout.bazel("run", target, workspace=sources.WORKSPACE).succeeded()
    return checkout.build(sources.WHEELS[1], workspace=sources.WORKSPACE).spawns


def of_kinds(spawns: Iterable[Spawn]) -> dict[str, list[Spawn]]:
    """Group the processes of the rules' actions by mnemonic."""
    found: dict[str, list[Spawn]] = defaultdict(list)
    for spawn in spawns:
        if spawn.mnemonic.startswith("Bento"):
            found[spawn.mnemonic].append(spawn)
    return found


def size(count: float) -> str:
    """Format a number of bytes with a unit."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def milliseconds(spawns: list[Spawn]) -> str:
    """Return the median of the processes' times, or a dash if there are no processes."""
    return f"{1000 * median(spawn.seconds for spawn in spawns):.0f}" if spawns else NEVER


def measure(bench: Workbench, rounds: int, options: Sequence[str]) -> None:
    """Print the table."""
    checkout = bench.checkout("actions")
    cold, warm = (of_kinds(spawns) for spawns in build(checkout, rounds, options))
    print("| action | inputs | written | ms | ms in a worker |\n|---|---|---|---|---|")
    for kind, spawns in sorted((of_kinds(build_wheels(checkout)) | cold).items()):
        own = [sum("bento_python" not in path for path in spawn.inputs) for spawn in spawns]
        written = size(median(spawn.written for spawn in spawns))
        worked = [spawn for spawn in warm.get(kind, []) if spawn.runner == "worker"]
        print(f"| `{kind}` | {median(own):.0f} | {written} | {milliseconds(spawns)} | {milliseconds(worked)} |")


def main() -> None:
    """Parse the options, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--isolated", action="store_true", help="Use sandboxed workers and mapped paths in all rounds")
    options = parser.parse_args()
    with workbench.Workbench() as bench:
        measure(bench, options.rounds, ISOLATED if options.isolated else ())


if __name__ == "__main__":
    main()
