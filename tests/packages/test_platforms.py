"""A lock that isn't for all platforms: which platforms it lacks, and packages without a file. The reference is uv."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import lock_format as locks
from rules_bento.bentos.packages import lock_subset
from rules_bento.bentos.packages.hub_plan import Closures
from rules_bento.bentos.packages.platforms import PLATFORMS, PYTHON_VERSIONS

from tests.packages import starlark_files
from tests.packages.metadata_index import Index, package, serve

UV = os.environ["RULES_BENTO_UV"]
MINOR = f"3.{sys.version_info[1]}"
_CPYTHON = f"cp3{sys.version_info[1]}"
LINUX, ARM, MACOS = (
    f"{_CPYTHON}-{_CPYTHON}-{machine}"
    for machine in ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64")
)
NAMES_IN_UV = {
    "darwin_arm64": "aarch64-apple-darwin",
    "linux_amd64": "x86_64-unknown-linux-gnu",
    "linux_arm64": "aarch64-unknown-linux-gnu",
}
PROJECT = """\
[project]
name = "own"
version = "1"
requires-python = "=={python}.*"
dependencies = {dependencies}
[tool.uv]
package = false
{settings}
[[tool.uv.index]]
url = "{address}"
default = true
"""


def test_platforms_and_versions_are_those_of_package_hubs():
    versions = starlark_files.load("private/versions.bzl")
    assert (sorted(versions["PLATFORMS"]), versions["PYTHON_VERSIONS"]) == ([*PLATFORMS], [*PYTHON_VERSIONS])


def by_uv(directory, platform: str) -> list[str] | None:
    """Return the packages that uv would install from the lock, or None if uv fails."""
    command = [
        *(UV, "sync", "--frozen", "--dry-run", "--python", sys.executable, "--python-platform", NAMES_IN_UV[platform])
    ]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        problem = " ".join(done.stderr.split())
        assert "can't be installed because" in problem or "not compatible with the lockfile's" in problem, problem
        return None
    return sorted(line.removeprefix(" + ") for line in done.stderr.splitlines() if line.startswith(" + "))


def by_us(lock, platform: str, roots: list[str]) -> list[str] | None:
    """Return the lock subset of a Bento, or None if the hub lacks a root, or the subset is an error."""
    packages = {entry["name"]: [entry] for entry in lock["packages"]}
    closures = Closures("hub", platform, MINOR, packages)
    active = closures.active(lock["roots"])
    if not {entry["name"] for entry, _ in active} >= {*roots}:
        return None
    entries = closures.of(active)
    query = lock_subset.Query(dict.fromkeys(roots, "requirements"))
    target = lock_subset.Target(platform, MINOR, "2.28")
    resolver = lock_subset.Resolver(sys.executable, Path(UV))
    try:
        subset = lock_subset.resolve_subset(query, list(entries.values()), target, resolver)
    except BentoError as error:
        assert f"contains no file of special 1.0 for {platform}" in str(error), error
        return None
    assert "special" not in subset.pinned or "--hash" in subset.pinned_with_hashes.split("special", 1)[1]
    return subset.pinned.splitlines()


@pytest.mark.parametrize(
    ("wheels", "direct"),
    [((LINUX,), True), ((MACOS,), True), ((MACOS,), False), ((ARM, MACOS), False), ((), False)],
    ids=["linux", "macos", "macos-transitive", "arm-transitive", "sdist-transitive"],
)
@pytest.mark.parametrize(
    ("dependency", "settings"),
    [
        ("special", ""),
        ("special ; sys_platform == 'linux'", ""),
        ("special ; platform_machine == 'aarch64'", ""),
        ("special ; sys_platform == 'win32'", ""),
        ("special ; sys_platform == 'linux'", "environments = [\"sys_platform == 'linux'\"]"),
        ("special ; platform_machine == 'aarch64'", "environments = [\"platform_machine == 'x86_64'\"]"),
        ("special ; platform_machine == 'x86_64'", "environments = [\"platform_machine == 'x86_64'\"]"),
        ("special", "environments = [\"sys_platform == 'darwin' and platform_machine == 'arm64'\"]"),
        ("special", "required-environments = [\"sys_platform == 'darwin' and platform_machine == 'arm64'\"]"),
    ],
)
def test_each_platform_has_the_packages_of_uv_or_is_an_error(tmp_path, wheels, dependency, settings, direct):
    packages = [package("special", "1.0", wheels=wheels, sdist=not wheels), package("web", "1.0")]
    packages += [package("app", "1.0", "web", dependency)]
    dependencies = ["web", dependency] if direct else ["app"]
    with serve(Index(packages)) as address:
        text = PROJECT.format(python=MINOR, dependencies=dependencies, settings=settings, address=address)
        (tmp_path / "pyproject.toml").write_text(text, "utf-8")
        command = [UV, "lock", "--python", sys.executable, "--cache-dir", str(tmp_path / "cache")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        if done.returncode:
            assert "No solution found" in done.stderr
            return
        lock = locks.from_uv_lock((tmp_path / "uv.lock").read_text("utf-8"), "uv.lock")
        for platform in NAMES_IN_UV:
            expected = by_uv(tmp_path, platform)
            # A Bento requires only the roots whose markers are true.
            roots = [edge["name"] for edge in lock["roots"]]
            if direct and expected is not None:
                roots = [name for name in roots if any(line.startswith(f"{name}==") for line in expected)]
            assert by_us(lock, platform, roots) == expected, (platform, (tmp_path / "uv.lock").read_text("utf-8"))


@pytest.mark.parametrize("marker", ["nonsense", "sys_platform == 'x' ]", "'" * 20000])
def test_environments_that_are_no_markers_are_an_error(marker):
    text = f'version = 1\nrequires-python = ">=3.11"\nsupported-markers = ["""{marker}"""]\npackage = []\n'
    with pytest.raises(BentoError, match=r"^uv\.lock: supported-markers: .* isn't an environment marker"):
        locks.from_uv_lock(text, "uv.lock")
