"""Runs the scenarios: `python3 e2e/run.py [--keep] [--weekly] [SCENARIO]...`.

Each scenario runs `tools/bazel` in separate checkouts in a temporary directory, which is removed at the end. The
program prints one line for each scenario, with its CPU time where Linux counts it, and that of Bazel's servers without
their actions. It prints `N skipped` if the machine lacks what a scenario requires, and `N ran twice` if scenarios with
servers failed at first, because a slow machine isn't an error of the product. The last line is `N passed, N failed`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1]))  # tests/ has servers and readers that scenarios use

from bases import images_build_on_pulled_bases
from bentofile import bentofile_is_built
from builders import builders_build_equal_images
from canaries import secrets_do_not_leak
from command import command_installs_with_pip
from container import a_container_serves_a_prediction
from costs import changes_match_committed_costs
from cpu import Meter
from delivery import bentos_are_delivered
from distribution import images_are_loaded, images_are_pushed_and_pulled
from dockerfile import dockerfiles_build_serving_images
from errors import builds_report_errors
from forms import hubs_match_uv, lock_formats_create_equal_hubs
from hubs import hubs_report_missing_locks_and_platforms
from identities import keyless_signatures_are_compatible_with_cosign
from incremental import changes_rerun_only_dependents
from indexes import private_index_keeps_its_password
from interpreters import interpreters_write_equal_bytes
from lint import lint_sees_every_file
from models import models_are_fetched
from monorepo import a_monorepo_builds_without_a_wheel, changes_update_only_dependents
from next import next_bazel_flags_are_supported
from offline import a_second_checkout_downloads_nothing
from pip_parse import pip_parse_works
from recording import coverage_reaches_into_servers
from remote_cache import two_machines_share_a_cache
from remote_execution import actions_run_on_minimal_workers
from reproducibility import checkouts_build_equal_bytes
from resolution import modules_resolve_with_a_registry
from rules_python import current_rules_python_is_supported, teams_share_a_repository
from schemas import documents_follow_their_schemas
from services import services_are_analyzed_as_imported
from serving import bentos_are_served
from sources import wheels_are_built_from_locked_sources
from stamping import a_new_commit_rebuilds_little
from tutorial import tutorial_works
from unfit import invalid_images_fail_the_build
from workbench import SkippedError, Workbench
from workers import workers_write_equal_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

# Rows of scenarios. Some rows run in parallel, because one Bazel mostly uses one core, or waits for other machines.
# In a row, each scenario continues with the checkouts and the servers of the previous scenarios. The first row contains
# the scenarios on the unchanged checkout. Long rows are first.
ROWS: tuple[dict[str, Callable[[Workbench], str]], ...] = (
    {
        "incremental": changes_rerun_only_dependents,
        "canaries": secrets_do_not_leak,
        "stamping": a_new_commit_rebuilds_little,
        "errors": builds_report_errors,
        "container": a_container_serves_a_prediction,
        "distribution": images_are_pushed_and_pulled,
        "load": images_are_loaded,
        "delivery": bentos_are_delivered,
        "builders": builders_build_equal_images,
        "schemas": documents_follow_their_schemas,
        "identities": keyless_signatures_are_compatible_with_cosign,
        "unfit": invalid_images_fail_the_build,
        "serving": bentos_are_served,
        "coverage": coverage_reaches_into_servers,
        "bases": images_build_on_pulled_bases,
        "lint": lint_sees_every_file,
    },
    {
        "remote_cache": two_machines_share_a_cache,
        "reproducibility": checkouts_build_equal_bytes,
        "remote_execution": actions_run_on_minimal_workers,
    },
    {
        "monorepo": a_monorepo_builds_without_a_wheel,
        "monorepo_changes": changes_update_only_dependents,
        "gate": changes_match_committed_costs,
        "workers": workers_write_equal_bytes,
        "interpreters": interpreters_write_equal_bytes,
        "dockerfile": dockerfiles_build_serving_images,
    },
    {"pip_parse": pip_parse_works, "tutorial": tutorial_works},
    {"teams": teams_share_a_repository},
    {
        "hubs": hubs_report_missing_locks_and_platforms,
        "sources": wheels_are_built_from_locked_sources,
        "models": models_are_fetched,
        "indexes": private_index_keeps_its_password,
        "bentofile": bentofile_is_built,
        "lock_forms": lock_formats_create_equal_hubs,
        "lock_closures": hubs_match_uv,
    },
    {"rules_python": current_rules_python_is_supported},
    {"offline": a_second_checkout_downloads_nothing},
    {"next": next_bazel_flags_are_supported},
    {"services": services_are_analyzed_as_imported},
    {"command": command_installs_with_pip},
    {"resolution": modules_resolve_with_a_registry},
)
SCENARIOS = {name: scenario for row in ROWS for name, scenario in row.items()}
# Scenarios of `.ci/weekly` only, with what covers their code in each run. They are the most expensive of those that
# found no error for a long time. A change of what they test runs them.
WEEKLY = {
    "dockerfile": "`builders` runs buildah and podman, and tests/differential compares build options with BentoML's",
    "interpreters": "`reproducibility` and `remote_execution` compare the bytes of one interpreter in several places",
    "load": "`container` runs the same image, and `remote_cache` verifies what a load passes to docker",
    "offline": "`monorepo` counts the fetched wheels, and `remote_cache` builds an image without downloads",
    "teams": "`rules_python` tests the layouts of libraries, and `pip_parse` serves images of two Pythons",
}
# Scenarios that wait for servers and containers. One that fails runs a second time, with checkouts of its own.
WAITING = frozenset(
    {"command", "container", "coverage", "delivery", "distribution", "dockerfile", "indexes", "load", "models"}
    | {"monorepo", "pip_parse", "remote_cache", "remote_execution", "serving", "teams", "tutorial", "workers"}
)
LANES = 4
STOPPED = threading.Event()
AGAIN: list[str] = []


def stop(*_: object) -> None:
    """Handle a signal: stop the running scenario and all servers, and start no other scenario."""
    STOPPED.set()
    subprocess.run(["pkill", "-TERM", "-P", str(os.getpid())], check=False)


def passes(name: str, bench: Workbench, meter: Meter) -> bool | None:
    """Run one scenario, and print the result. Returns None for a skipped scenario."""
    began = time.monotonic()
    meter.start(name)
    verdict, remark = outcome(name, bench)
    if verdict == "FAIL" and name in WAITING and not STOPPED.is_set():
        print(f"slow {time.monotonic() - began:6.1f} s  {name} runs again: {remark}", flush=True)
        AGAIN.append(name)
        with bench.another() as other:
            verdict, remark = outcome(name, other)
    print(f"{verdict} {time.monotonic() - began:6.1f} s{meter}  {name}: {remark}", flush=True)
    return None if verdict == "skip" else verdict != "FAIL"


def outcome(name: str, bench: Workbench) -> tuple[str, str]:
    """Run a scenario. Returns the verdict, and its result or error in words."""
    try:
        return "ok  ", SCENARIOS[name](bench)
    except SkippedError as error:
        return "skip", str(error)
    except AssertionError as error:
        return "FAIL", str(error) or traceback.format_exc()
    except (OSError, subprocess.SubprocessError, KeyError, ValueError):
        return "FAIL", traceback.format_exc()


def run_row(row: list[str], bench: Workbench) -> list[bool | None]:
    meter = Meter()
    return [passes(name, bench, meter) for name in row if not STOPPED.is_set()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="Keep the temporary directory, and print its path")
    parser.add_argument("--weekly", action="store_true", help="Run the scenarios that only .ci/weekly runs by default")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"One or more of {', '.join(SCENARIOS)}")
    options = parser.parse_args()
    unknown = set(options.scenarios) - SCENARIOS.keys()
    if unknown:
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}")
    chosen = options.scenarios or [name for name in SCENARIOS if (name in WEEKLY) == options.weekly]
    signal.signal(signal.SIGTERM, stop)
    with Workbench(keep=options.keep) as bench:
        rows = [[name for name in row if name in chosen] for row in ROWS]
        bench.downloads  # noqa: B018 - found once, before all ask for it
        with ThreadPoolExecutor(LANES) as threads:
            passed = [how for row in threads.map(lambda row: run_row(row, bench), rows) for how in row]
    if None in passed:
        print(f"{passed.count(None)} skipped")
    if AGAIN:
        print(f"{len(AGAIN)} ran twice: {', '.join(sorted(AGAIN))}")
    print(f"{passed.count(True)} passed, {passed.count(False)} failed", flush=True)
    return 0 if False not in passed and not STOPPED.is_set() else 1


if __name__ == "__main__":
    sys.exit(main())
