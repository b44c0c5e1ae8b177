"""Translates names of platforms, such as `linux_amd64`, to the names that Python uses."""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache

from rules_bento.base.typing_lite import Iterable

# From the machine in `uname` to the architecture in names of platforms and in OCI.
ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}
PLATFORMS = ("darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64")  # of package hubs
PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")  # of package hubs
# From each machine to the suffixes of the platform tags that it supports.
_MACOS_MACHINES = {
    "arm64": ("_arm64", "_universal2"),
    "x86_64": ("_x86_64", "_intel", "_fat32", "_fat64", "_universal", "_universal2"),
}
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
    """Return the values of markers for `sys.platform`, a machine, and a Python (`X.Y[.Z]`), without an extra."""
    full = version if version.count(".") > 1 else f"{version}.0"
    return {
        "os_name": "posix",
        "sys_platform": system,
        "platform_system": system.title(),
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": ".".join(version.split(".")[:2]),
        "python_full_version": full,
        "implementation_version": full,
        "extra": "",
        "platform_release": "",  # of no machine
        "platform_version": "",
    }


def includes_python(specifiers: str, version: str) -> bool:
    """Return whether a range such as `>=3.10,<4` includes a Python version or, for `X.Y`, any of its patch versions."""
    from packaging.specifiers import SpecifierSet

    releases = [version] if version.count(".") > 1 else [f"{version}.{patch}" for patch in range(100)]
    try:
        known = SpecifierSet(re.sub(r"([<>]=?[\s\d.]*)\.\*", r"\1", specifiers))  # old packages contain `>=3.6.*`
        return any(known.contains(release) for release in releases)
    except ValueError:
        return True  # as installers do


@lru_cache(maxsize=1024)  # thousands of wheels have few different tags
def matches_platform(tags: str, platform: str) -> bool:
    """Return whether `platform` supports wheels with the platform tags `tags`, such as `manylinux_2_28_x86_64`."""
    system, machine = system_and_machine(platform)
    return any(
        tag == "any"
        or (system == "linux" and "linux" in tag and tag.endswith(f"_{machine}"))
        or (system == "darwin" and tag.startswith("macosx") and tag.endswith(_MACOS_MACHINES[machine]))
        for tag in tags.split(".")
    )
