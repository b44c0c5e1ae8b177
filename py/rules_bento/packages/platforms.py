"""Translates names of platforms, such as `linux_amd64`, to the names that Python uses."""

from __future__ import annotations

import os
import sys

from rules_bento.typing_lite import Iterable

# From the machine in `uname` to the architecture in names of platforms and in OCI.
ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}
PLATFORMS = ("darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64")  # of package hubs
PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")  # of package hubs
_MACHINES = {"darwin_amd64": "x86_64", "linux_amd64": "x86_64", "linux_arm64": "aarch64"}


def system_and_machine(platform: str) -> tuple[str, str]:
    """Return `sys.platform` of a platform, and its machine in markers and wheel tags."""
    system, _, architecture = platform.partition("_")
    return system, _MACHINES.get(platform, architecture)


def this_platform() -> str:
    """Return the name of this machine's platform."""
    machine = os.uname().machine
    return f"{sys.platform}_{ARCHITECTURES.get(machine, machine)}"


def supported_targets(markers: Iterable[str]) -> set[tuple[str, str]]:
    """Return the platforms and Python versions of package hubs for which one of `markers` (PEP 508) is true.

    Raises ValueError for an invalid marker.
    """
    from packaging.markers import Marker

    parsed = [Marker(marker) for marker in markers]
    found = set()
    for platform in PLATFORMS:
        for version in PYTHON_VERSIONS:
            values = marker_environment(*system_and_machine(platform), version)
            if any(marker.evaluate(values) for marker in parsed):
                found.add((platform, version))
    return found


def marker_environment(system: str, machine: str, version: str) -> dict[str, str]:
    """Return the values of markers for `sys.platform`, a machine, and a Python version (`X.Y`), without an extra."""
    return {
        "os_name": "posix",
        "sys_platform": system,
        "platform_system": system.title(),
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_version": f"{version}.0",
        "extra": "",
        "platform_release": "",  # of no machine
        "platform_version": "",
    }
