"""Translates names of platforms, such as `linux_amd64`, to the names that Python uses."""

from __future__ import annotations

import os
import sys

# From the machine in `uname` to the architecture in names of platforms and in OCI.
ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}
_MACHINES = {"darwin_amd64": "x86_64", "linux_amd64": "x86_64", "linux_arm64": "aarch64"}


def system_and_machine(platform: str) -> tuple[str, str]:
    """Return `sys.platform` of a platform, and its machine in markers and wheel tags."""
    system, _, architecture = platform.partition("_")
    return system, _MACHINES.get(platform, architecture)


def this_platform() -> str:
    """Return the name of this machine's platform."""
    machine = os.uname().machine
    return f"{sys.platform}_{ARCHITECTURES.get(machine, machine)}"
