"""What tests of several kinds share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from rules_bento.packages.virtualenv import make_environment


class Bentoml:
    """The real BentoML, in an environment of the locked wheels, with a store of its own."""

    def __init__(self, folder: Path) -> None:
        roots = [Path(root) for root in os.environ["RULES_BENTO_ROOTS"].split(os.pathsep)]
        self.python = make_environment(folder / "environment", roots)
        self.home = folder / "home"
        self.folder = folder / "elsewhere"  # BentoML imports modules of the current folder
        self.folder.mkdir()
        # Services of a Bento talk over sockets there, whose paths may have 103 characters.
        self.scratch = tempfile.TemporaryDirectory(prefix="bento-")
        self.variables = {
            "BENTOML_HOME": str(self.home),
            "COLUMNS": "1000",  # else it breaks long paths
            "BENTOML_DO_NOT_TRACK": "true",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "PYTHONPYCACHEPREFIX": str(folder.parent / "bytecode"),  # one for all tests, for wheels are read-only
            "TMPDIR": self.scratch.name,
        }

    def run(self, *arguments: str, program: str = "bentoml") -> str:
        """The standard output of a command; it must succeed."""
        command = [str(self.python.parent / program), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.variables, check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str):
        return json.loads(self.run(*arguments, "-o", "json"))

    @contextmanager
    def serve(self, *arguments: str):
        """The address of a server that runs for the block, and stops with success."""
        port = free_port()
        command = [str(self.python.parent / "bentoml"), "serve", *arguments, "--host", "127.0.0.1", "--port", str(port)]
        log = self.folder / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(command, cwd=self.folder, env=self.variables, stdout=output, stderr=output)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(address, server, log)
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0, log.read_text()


def wait_until_ready(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"no answer:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(url: str, body: object):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.fixture
def bentoml(tmp_path: Path):
    """A real BentoML with an empty store."""
    if "RULES_BENTO_ROOTS" not in os.environ:
        pytest.skip("the wheels of BentoML come with Bazel")
    made = Bentoml(tmp_path)
    yield made
    made.scratch.cleanup()
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
