"""Runs servers on the loopback interface, from unpacked programs that aren't installed."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

# The limit of all scenarios for a server, a request, and an end, on a machine that is ten times slower and busy.
SECONDS = 600
SECONDS_TO_REMOVE = 20
UNPACKING = threading.Lock()


class Server(ABC):
    """Runs a server program until the end of the `with` block."""

    def __init__(self, directory: Path) -> None:
        """Create the directory `folder` for the program, its settings, and its data."""
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Provision the program, and return the command that starts it."""

    def variables(self) -> dict[str, str]:
        """Return environment variables for the program, in addition to the environment of the caller."""
        return {}

    def __enter__(self) -> Self:
        self.directory.mkdir()
        command = self.command()
        log = self.directory / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=os.environ | self.variables(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + SECONDS
        while not listens(self.port):
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"nothing listens on port {self.port}\n{log.read_text()}"
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_REMOVE)
        except subprocess.TimeoutExpired:  # the server is still removing files, which the scenario removes anyway
            self._process.kill()
            self._process.wait()


def unpacked_package(package: str, directory: Path) -> Path:
    """Return the files of a Debian package, which the first caller fetches and unpacks into the directory."""
    files = directory / f"{package}_files"
    with UNPACKING:
        if not files.exists():
            fetched = directory / f"{package}_fetched"
            fetched.mkdir(exist_ok=True)
            download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", package]
            if subprocess.run(download, cwd=fetched, check=False, capture_output=True).returncode:
                subprocess.run(["apt-get", "-qq", "update"], check=True, capture_output=True)
                subprocess.run(download, cwd=fetched, check=True, capture_output=True)
            [archive] = fetched.glob(f"{package}_*.deb")
            subprocess.run(["dpkg-deb", "--extract", archive, files], check=True)
    return files


def free_port() -> int:
    """Return an unused port, below the ports that Linux gives to the connections of other programs meanwhile."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Return whether a program listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
