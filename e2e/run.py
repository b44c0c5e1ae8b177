"""Runs the scenarios: `python3 e2e/run.py [--keep] [SCENARIO]...`.

Each scenario runs `tools/bazel` in separate checkouts in a temporary directory, which is removed at the end. The
program prints one line for each scenario; the last line is `N passed, N failed`.
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
from typing import TYPE_CHECKING

from bases import images_are_built_on_pulled_bases
from bentofile import a_project_moves_over
from builders import builders_make_the_same_image
from canaries import the_callers_secrets_go_nowhere
from command import the_command_is_installed_by_pip
from container import a_container_serves_a_prediction
from costs import changes_cost_what_is_committed
from delivery import bentos_are_delivered
from distribution import images_are_loaded, images_travel_by_registries
from dockerfile import dockerfiles_make_images_that_serve
from errors import builds_say_what_is_wrong
from forms import all_forms_of_a_lock_are_one_hub, hubs_hold_what_uv_resolves
from hermetic import variables_of_the_caller_rerun_nothing
from hubs import hubs_say_what_is_missing
from incremental import changes_rerun_what_they_must
from indexes import a_private_index_wins_and_keeps_its_password
from interpreters import interpreters_make_the_same
from lint import lint_sees_every_file
from misfits import misfits_are_told_of_when_they_are_built
from models import models_come_from_elsewhere
from monorepo import a_monorepo_builds_without_a_wheel, changes_touch_what_they_must
from next import the_next_bazel_is_met
from offline import a_second_checkout_downloads_nothing
from recording import coverage_reaches_into_servers
from remote_cache import two_machines_share_a_cache
from remote_execution import actions_run_where_there_is_nothing
from reproducibility import two_places_give_the_same_bytes
from resolution import the_modules_resolve_by_a_registry
from schemas import documents_follow_their_schemas
from serving import bentos_are_served
from sharing import each_wheel_is_converted_once
from sources import wheels_are_built_from_locked_sources
from stamping import a_new_commit_rebuilds_little
from tutorial import the_tutorial_is_walked_through
from unfit import images_that_cannot_run_fail_the_build
from weights import weights_rerun_what_holds_them
from workbench import Workbench
from workers import workers_make_the_same

if TYPE_CHECKING:
    from collections.abc import Callable

# Rows of scenarios, four at a time side by side: a Bazel is mostly busy with one thing, and waits for others' machines
# as often as for a processor. In a row, one goes on with what those before it have made: the first is of the scenarios
# on the plain checkout. Long rows come first.
ROWS: tuple[dict[str, Callable[[Workbench], str]], ...] = (
    {
        "incremental": changes_rerun_what_they_must,
        "weights": weights_rerun_what_holds_them,
        "hermetic": variables_of_the_caller_rerun_nothing,
        "canaries": the_callers_secrets_go_nowhere,
        "stamping": a_new_commit_rebuilds_little,
        "errors": builds_say_what_is_wrong,
        "container": a_container_serves_a_prediction,
        "distribution": images_travel_by_registries,
        "load": images_are_loaded,
        "delivery": bentos_are_delivered,
        "builders": builders_make_the_same_image,
        "bases": images_are_built_on_pulled_bases,
        "schemas": documents_follow_their_schemas,
        "unfit": images_that_cannot_run_fail_the_build,
        "sharing": each_wheel_is_converted_once,
        "serving": bentos_are_served,
        "coverage": coverage_reaches_into_servers,
        "lint": lint_sees_every_file,
    },
    {
        "monorepo": a_monorepo_builds_without_a_wheel,
        "monorepo_changes": changes_touch_what_they_must,
        "gate": changes_cost_what_is_committed,
        "workers": workers_make_the_same,
        "interpreters": interpreters_make_the_same,
        "dockerfile": dockerfiles_make_images_that_serve,
    },
    {
        "remote_cache": two_machines_share_a_cache,
        "reproducibility": two_places_give_the_same_bytes,
        "remote_execution": actions_run_where_there_is_nothing,
    },
    {"offline": a_second_checkout_downloads_nothing},
    {"tutorial": the_tutorial_is_walked_through},
    {"lock_forms": all_forms_of_a_lock_are_one_hub, "lock_closures": hubs_hold_what_uv_resolves},
    {"bentofile": a_project_moves_over},
    {"resolution": the_modules_resolve_by_a_registry},
    {"indexes": a_private_index_wins_and_keeps_its_password},
    {"models": models_come_from_elsewhere},
    {"command": the_command_is_installed_by_pip},
    {"hubs": hubs_say_what_is_missing},
    {"misfits": misfits_are_told_of_when_they_are_built},
    {"sources": wheels_are_built_from_locked_sources},
    {"next": the_next_bazel_is_met},
)
SCENARIOS = {name: scenario for row in ROWS for name, scenario in row.items()}
# Servers of scenarios end before what a compiler for long runs and a collector for many cores do has paid.
SHORT_LIVED = ("--host_jvm_args=-XX:TieredStopAtLevel=1", "--host_jvm_args=-XX:+UseSerialGC")
LANES = 4
STOPPED = threading.Event()


def stop(*_: object) -> None:
    """Handle a signal: stop the running scenario and all servers, and start no other scenario."""
    STOPPED.set()
    subprocess.run(["pkill", "-TERM", "-P", str(os.getpid())], check=False)


def passes(name: str, bench: Workbench) -> bool:
    """Run one scenario, and print the result."""
    began = time.monotonic()
    try:
        verdict, remark = "ok  ", SCENARIOS[name](bench)
    except AssertionError as error:
        verdict, remark = "FAIL", str(error) or traceback.format_exc()
    except (OSError, subprocess.SubprocessError, KeyError, ValueError):
        verdict, remark = "FAIL", traceback.format_exc()
    print(f"{verdict} {time.monotonic() - began:6.1f} s  {name}: {remark}", flush=True)
    return verdict != "FAIL"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder, and say where it is")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    options = parser.parse_args()
    unknown = set(options.scenarios) - SCENARIOS.keys()
    if unknown:
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}")
    chosen = options.scenarios or list(SCENARIOS)
    signal.signal(signal.SIGTERM, stop)
    with Workbench(keep=options.keep, startup=SHORT_LIVED) as bench:
        rows = [[name for name in row if name in chosen] for row in ROWS]
        bench.downloads  # noqa: B018 - found once, before all ask for it
        with ThreadPoolExecutor(LANES) as threads:
            told = threads.map(lambda row: [passes(name, bench) for name in row if not STOPPED.is_set()], rows)
            passed = [how for row in told for how in row]
    print(f"{passed.count(True)} passed, {passed.count(False)} failed", flush=True)
    return 0 if all(passed) and not STOPPED.is_set() else 1


if __name__ == "__main__":
    sys.exit(main())
