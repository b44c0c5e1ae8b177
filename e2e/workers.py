"""Checks that persistent workers write the same bytes as other processes, and that workers can be killed."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD
from typing import TYPE_CHECKING

from remote_cache import documented_bazelrc, ours
from server import SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench import Checkout, Result, Spawn, Workbench

BENTO = "//examples/iris:iris_bento"
TARGETS = (BENTO, "//examples/iris:iris_image")
SOURCE = "examples/iris/service.py"
WORKERS = ("--@rules_bento//rules:persistent_workers", "--spawn_strategy=worker,linux-sandbox")
# Paths are mapped only in a sandbox.
MAPPED = "--experimental_output_paths=strip"
ISOLATED = ("--worker_sandboxing", MAPPED)
# For workspaces that are not below /tmp.
HARDENED = "--experimental_worker_sandbox_hardening"
# These actions build the programs of workers, or run before the programs exist.
NEVER = {"BentoCompile", "BentoHelperPackages", "BentoInterpreter", "BentoToolModules"}
MISTAKE = "\ndef (\n"
REFUSED = "//examples/iris:iris_bento: service.py:"
DIED = "Worker process did not return a WorkResponse"
# The subcommand that analyzes services.
READS = b"snapshot"
# After a restart of the server, a build has new workers and doesn't report the old workers.
ATTEMPTS = 3


def workers_write_equal_bytes(bench: Workbench) -> str:
    """Build with and without workers: cache keys, bytes, and errors are the same."""
    checkout = bench.spare
    checkout.bazel("clean").succeeded()  # other scenarios have built some of the outputs
    cold = ours(checkout.build(*TARGETS))
    isolated = in_workers(checkout, *documented_options(), MAPPED)
    assert contents(isolated) == contents(cold), "workers in a sandbox make other bytes"
    cache = f"--disk_cache={bench.directory}/workers-cache"
    warm = in_workers(checkout, cache)
    assert contents(warm) == contents(cold), "workers make other bytes"
    found = {spawn.runner for spawn in ours(checkout.build(*TARGETS, cache)) if spawn.mnemonic not in NEVER}
    assert found == {"disk cache hit"}, f"what workers made is not found: {found}"
    errors_are_equal_with_workers(checkout)
    killed_workers_are_restarted(checkout)
    servers_for_one_build_start(checkout)
    return f"{len(isolated)} actions in sandboxed workers with mapped paths, {len(warm)} in others: the same bytes"


def documented_options() -> list[str]:
    """Return the options for workers in docs/ci.md."""
    [_, lines, _] = documented_bazelrc()
    options = re.findall(r"^common (--.*)$", lines, re.MULTILINE)
    assert HARDENED in options, lines
    return [option for option in options if option != HARDENED]


def servers_for_one_build_start(checkout: Checkout) -> None:
    """Start a server with the options of docs/ci.md for machines without existing state."""
    [*_, lines] = documented_bazelrc()
    startup, common = (re.findall(rf"^{kind} (--.*)$", lines, re.MULTILINE) for kind in ("startup", "common"))
    assert startup, lines
    assert common, lines
    checkout.bazel("info", "server_pid", *common, startup=startup).succeeded()


def in_workers(checkout: Checkout, *options: str) -> list[Spawn]:
    """Build all targets with workers. Bazel builds again, because options are part of the action key."""
    spawns = ours(checkout.build(*TARGETS, *WORKERS, *options))
    elsewhere = {spawn.mnemonic for spawn in spawns if spawn.runner != "worker"}
    assert elsewhere <= NEVER, f"did not run in a worker: {elsewhere}"
    return spawns


def contents(spawns: list[Spawn]) -> list[tuple[str, str, list[str]]]:
    """Return the outputs of actions without paths."""
    made = [spawn for spawn in spawns if spawn.mnemonic not in NEVER]
    return sorted((spawn.mnemonic, spawn.target, sorted(spawn.outputs.values())) for spawn in made)


def errors_are_equal_with_workers(checkout: Checkout) -> None:
    """Build with an error: the message is the same with and without workers, and the worker remains running."""
    right = checkout.read(SOURCE)
    seen = []
    for attempt in range(ATTEMPTS):
        checkout.write(SOURCE, right + MISTAKE)
        told = []
        for options in ((), WORKERS):
            refused = checkout.bazel("build", BENTO, *options)
            assert refused.code != 0, refused.told()
            told.append([line for line in refused.errors.splitlines() if line.startswith(REFUSED)])
        assert told[0], "nothing is told"
        assert told[0] == told[1]
        before = workers(checkout, READS)
        assert before, refused.told()
        checkout.write(SOURCE, f"{right}\n# One more line, {attempt}.\n")
        server = checkout.bazel("info", "server_pid").succeeded().output.strip()
        again = checkout.build(BENTO, *WORKERS)
        after = workers(checkout, READS)
        if before & after:
            return
        seen.append((server, before, after, again.errors))
    raise AssertionError(f"a worker that tells of a mistake does not go on: {seen}")


def killed_workers_are_restarted(checkout: Checkout) -> None:
    """Kill workers. Between requests, no build fails; during a request, the build fails and the next one succeeds."""
    send(workers(checkout), signal.SIGKILL)
    checkout.write(SOURCE, checkout.read(SOURCE) + "\n# Another line.\n")
    checkout.build(BENTO, *WORKERS)
    for attempt in range(ATTEMPTS):
        checkout.write(SOURCE, checkout.read(SOURCE) + f"\n# And another, {attempt}.\n")
        if (died := killed_during_requests(checkout)).code != 0:
            break
    assert DIED in died.errors, died.told()
    checkout.build(BENTO, *WORKERS)


def killed_during_requests(checkout: Checkout) -> Result:
    """Build, and kill the workers as soon as one has a request. A restarted server has other workers."""
    stopped = workers(checkout)
    send(stopped, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(checkout.bazel, "build", BENTO, *WORKERS)
        wait_until(lambda: any(is_asked(pid) for pid in stopped) or building.done())
        send(stopped, signal.SIGKILL)
        return building.result()


def workers(checkout: Checkout, verb: bytes = b"--persistent_worker") -> set[int]:
    """Return the processes of a checkout that are workers, or only the workers of one subcommand."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, directory = (process / "cmdline").read_bytes().split(b"\0"), (process / "cwd").readlink()
        except OSError:  # it has ended
            continue
        if {b"--persistent_worker", verb} <= set(words) and directory.is_relative_to(checkout.root.parent):
            found.add(int(process.name))
    return found


def send(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(pid, number)


def is_asked(pid: int) -> bool:
    """Return whether a request is waiting for a worker. Forks of a worker have another standard input."""
    stdin = Path(f"/proc/{pid}/fd/0")
    if not stdin.is_fifo():
        return False
    with stdin.open("rb", buffering=0) as file:
        return any(ioctl(file, FIONREAD, bytes(4)))  # how many bytes


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until, "it does not come to pass"
        time.sleep(0.05)
