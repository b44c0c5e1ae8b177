"""Counts the CPU time of all processes that scenarios start, also of isolated and killed ones, in cgroups."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

# Scenarios run in threads. Only in version 1 can a thread be in a cgroup without the other threads.
_HIERARCHY = Path("/sys/fs/cgroup/cpuacct")
_TICKS = os.sysconf("SC_CLK_TCK")


class Meter:
    """Counts the CPU time of the scenarios in a row, which run in one thread.

    Processes that outlive a scenario, such as Bazel's servers, are counted for the next one.
    """

    def __init__(self) -> None:
        self._group: Path | None = None
        self._servers: dict[str, float] = {}

    def start(self, name: str) -> None:
        """Count what this thread starts from now on. Counts nothing if this process can't create cgroups."""
        own = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
        at = next((line.partition(":/")[2] for line in own if "cpuacct" in line.split(":")[1].split(",")), None)
        before = self._group
        if at is None or not os.access(_HIERARCHY / "tasks", os.W_OK):
            return
        # Below the cgroup of the first thread. This thread can still be in the cgroup of an earlier row.
        self._group = _HIERARCHY / at.lstrip("/") / f"{name}-{os.getpid()}"
        self._group.mkdir(exist_ok=True)
        for process in _processes(before) if before else []:
            _move(process, self._group / "cgroup.procs")
        _move(str(threading.get_native_id()), self._group / "tasks")
        if before:
            with suppress(OSError):  # a process has just begun or is ending
                before.rmdir()
        self._servers = _servers(self._group)

    def __str__(self) -> str:
        """Return the CPU time since the start, and that of Bazel's servers, or nothing if it isn't counted."""
        if not self._group:
            return ""
        used = int((self._group / "cpuacct.usage").read_text("ascii")) / 1e9
        servers = sum(now - self._servers.get(process, 0) for process, now in _servers(self._group).items())
        return f", CPU {used:6.1f} s, servers {servers:6.1f} s"


def _processes(group: Path) -> list[str]:
    return [process for process in (group / "cgroup.procs").read_text("ascii").split() if process != str(os.getpid())]


def _move(identity: str, target: Path) -> None:
    try:
        target.write_text(identity, "ascii")
    except OSError:  # the process has ended
        return


def _servers(group: Path) -> dict[str, float]:
    """Return the own CPU seconds of each server, without those of its actions."""
    found = {}
    for process in _processes(group):
        try:
            name, _, values = Path(f"/proc/{process}/stat").read_text("utf-8").partition("(")[2].rpartition(") ")
        except OSError:
            continue
        if name.startswith(("bazel", "java")):
            found[process] = sum(map(int, values.split()[11:13])) / _TICKS
    return found
