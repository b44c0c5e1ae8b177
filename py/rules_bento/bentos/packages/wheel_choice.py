"""Selects the wheel of a release for a platform and a Python version, as installers do (PEP 425, 600, and 656)."""

from __future__ import annotations

import re
from functools import lru_cache

from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Mapping, Sequence
from rules_bento.bentos.packages.platforms import system_and_machine

if TYPE_CHECKING:
    from packaging.tags import Tag

_OLDEST_GLIBC = {"aarch64": 17, "x86_64": 5}  # minor versions of glibc 2 that support a machine
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_REQUIRED_SYSTEM = {
    "darwin": re.compile(r"macosx_(\d+)_(\d+)_()"),
    "linux": re.compile(r"manylinux_(\d+)_(\d+)_|(manylinux(?:1|20\d+))_"),
}
# A name, a version, a build tag, and tags. Versions in names of files aren't always valid (PEP 440).
_WHEEL = re.compile(r"[^-]+-[^-]+(?:-(\d+)([^-]*))?-([^-]+-[^-]+-[^-]+)\.whl")


def linux_platforms(machine: str, glibc: int) -> list[str]:
    """Return the platform tags of Linux wheels for a machine with glibc 2.`glibc`, best first."""
    platforms: list[str] = []
    for minor in range(glibc, _OLDEST_GLIBC.get(machine, 17) - 1, -1):
        platforms.append(f"manylinux_2_{minor}_{machine}")
        platforms += [f"{_LEGACY[minor]}_{machine}"] if minor in _LEGACY else []
    return [*platforms, f"linux_{machine}"]


def supported_tags(python_version: str, platforms: Sequence[str]) -> list[Tag]:
    """Return the tags of wheels for CPython `python_version` (`X.Y`) and platform tags, best first."""
    from packaging.tags import compatible_tags, cpython_tags

    version = tuple(map(int, python_version.split(".")))
    native = f"cp{''.join(map(str, version))}"
    return [*cpython_tags(version, [native], platforms), *compatible_tags(version, native, platforms)]


@lru_cache(maxsize=64)
def _ranks(platform: str, python_version: str, newest: str) -> dict[Tag, int]:
    """Return the rank of each tag for a platform whose glibc or macOS has the version `newest`. The best is highest."""
    from packaging.tags import mac_platforms

    system, machine = system_and_machine(platform)
    major, minor = map(int, newest.split("."))
    platforms = [*mac_platforms((major, minor), machine)] if system == "darwin" else linux_platforms(machine, minor)
    return {tag: -rank for rank, tag in enumerate(supported_tags(python_version, platforms))}


@lru_cache(maxsize=4096)  # each platform and Python version has the same files
def _tags(text: str) -> frozenset[Tag]:
    from packaging.tags import parse_tag

    return parse_tag(text)


def best_wheel(files: Iterable[str], platform: str, python_version: str, newest: str) -> str | None:
    """Return the name of the wheel that an installer would select from the files of a release, or None.

    `python_version` is `X.Y` or `X.Y.Z`, and `newest` the newest version of glibc or macOS (`X.Y`) to require.
    """
    return best_of(files, _ranks(platform, ".".join(python_version.split(".")[:2]), newest))


def best_of(files: Iterable[str], ranks: Mapping[Tag, int]) -> str | None:
    """Return the name of the wheel with the highest rank of one of its tags, or None if no tag has a rank."""
    candidates = []
    for file in sorted(files):  # `max` returns the first of equal wheels
        if match := _WHEEL.fullmatch(file):
            build = (int(match[1]), match[2]) if match[1] else ()
            candidates += [(ranks[tag], build, file) for tag in _tags(match[3]) if tag in ranks]
    return max(candidates, key=lambda candidate: candidate[:2])[2] if candidates else None


def required_systems(tags: str, system: str) -> list[tuple[int, int]]:
    """Return the versions of glibc (`system` is `linux`) or macOS (`darwin`) that platform tags require."""
    legacy = {name: (2, minor) for minor, name in _LEGACY.items()}
    found = _REQUIRED_SYSTEM[system].findall(tags)
    return [(int(major), int(minor)) if major else legacy.get(name, (2, 0)) for major, minor, name in found]


def oldest_system(files: Iterable[str], platform: str, python_version: str) -> str | None:
    """Return the oldest version of glibc or macOS with which a wheel of a release is compatible, or None."""
    required = {(each, file) for file in files for each in required_systems(file, system_and_machine(platform)[0])}
    found = ((".".join(map(str, system)), file) for system, file in sorted(required))
    return next((system for system, file in found if best_wheel([file], platform, python_version, system)), None)
