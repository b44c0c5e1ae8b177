"""Builds without a network: from a shared download cache, or from vendored files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from remote_cache import UNCACHED
from workbench import Surroundings

if TYPE_CHECKING:
    from workbench import Workbench

WORKSPACE = "e2e/smoke"  # its test imports the Bento


def a_second_checkout_downloads_nothing(bench: Workbench) -> str:
    """Build with the download cache of the first checkout, without a network or the caches of uv and pip."""
    first = bench.checkout("consumer", cache=bench.directory / "fresh")
    first.bazel("test", "//...", workspace=WORKSPACE).succeeded()
    cut_off = Surroundings(
        {name: str(bench.directory / "forgetful") for name in ("PIP_CACHE_DIR", "UV_CACHE_DIR")}, network=False
    )
    second = bench.checkout("offline", cache=bench.directory / "fresh", surroundings=cut_off)
    # A server in one network namespace isn't reachable from another, so start without a server.
    cached = f"--disk_cache={bench.directory / 'offline-cache'}"
    tested = second.bazel("test", cached, "//...", workspace=WORKSPACE, startup=("--batch",)).succeeded()
    assert "TestRunner" in tested.ran, tested.told()
    archive = f"{WORKSPACE}/bazel-bin/hello.bento"
    assert first.digest(archive) == second.digest(archive)

    empty = bench.checkout("nothing", cache=bench.directory / "empty", surroundings=cut_off)
    failed = empty.bazel("build", "//...", workspace=WORKSPACE, startup=("--batch",))
    assert failed.code != 0, "the build with an empty cache succeeded, so the network is reachable"
    vendored = f"--vendor_dir={bench.directory / 'vendored'}"
    second.bazel("vendor", vendored, "//...", workspace=WORKSPACE, startup=("--batch",)).succeeded()
    built = empty.bazel("build", vendored, cached, "//...", workspace=WORKSPACE, startup=("--batch",)).succeeded()
    # The actions are the same, so all files that they read are.
    ran = {spawn.mnemonic for spawn in built.spawns if spawn.runner != "disk cache hit"}
    assert built.spawns, "no action is in the log"
    assert ran <= {UNCACHED}, f"with vendored files, other actions ran: {ran}"
    assert first.digest(archive) == empty.digest(archive)
    kept = sum(len(files) for _, _, files in os.walk(bench.directory / "fresh"))
    return f"{kept} files of the cache sufficed, and so did what is vendored; without them nothing is built"
