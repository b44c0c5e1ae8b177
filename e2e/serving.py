"""Serves Bentos with `bazel run`: BentoML reloads edits, and no process remains when it is stopped."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from container import wait
from server import SECONDS, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from workbench import Checkout, Workbench

MARK = "RULES_BENTO_SERVING"
UV_SECONDS = 5  # for the creation of an environment
# A client of BentoML's gRPC API.
CLIENT = """\
import sys
import grpc
from bentoml.grpc.v1 import service_pb2, service_pb2_grpc
from google.protobuf import wrappers_pb2

with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
    grpc.channel_ready_future(channel).result(timeout=600)
    request = service_pb2.Request(api_name="shout", text=wrappers_pb2.StringValue(value="hello"))
    print(service_pb2_grpc.BentoServiceStub(channel).Call(request, timeout=600).text.value)
"""
CLIENT_BUILD = """\
load("@rules_python//python:defs.bzl", "py_binary")

py_binary(name = "client", srcs = ["client.py"], deps = ["@pypi//bentoml:grpc"])
"""
STUDIO = "//examples/studio:studio_bento"
SERVICE = "examples/studio/service.py"
EDIT = ("return len(self.drawings)", "return -len(self.drawings)")


def bentos_are_served(bench: Workbench) -> str:
    """Serve two services and a legacy service over HTTP and gRPC. Stop them with SIGINT, SIGTERM, and SIGHUP."""
    checkout = bench.plain
    checkout.write("asking/client.py", CLIENT)
    checkout.write("asking/BUILD.bazel", CLIENT_BUILD)
    checkout.build(STUDIO, "//tests/serving:legacy", "//asking:client")
    bench.directory.joinpath("served").mkdir()
    serving = Serving(checkout, bench.directory / "served")
    for number, options in (
        (signal.SIGINT, ["serve", "--timeout", "30", "--api-workers", "2"]),
        (signal.SIGTERM, ["--development"]),
        (signal.SIGHUP, ["--host", "127.0.0.1", "--reload"]),
    ):
        port = free_port()
        with serving.of(STUDIO, *options, "--port", str(port), until=number):
            serving.wait_until_ready(port)
            assert answer(port, "size", {}) == 2048
            if "--reload" in options:
                serving.is_edited(port)
    serving.stop_early()
    port = free_port()
    options = ["serve-grpc", "--host", "127.0.0.1", "--port", str(port)]
    with serving.of("//tests/serving:legacy", *options, until=signal.SIGINT):
        asked = checkout.bazel("run", "//asking:client", "--", str(port))
        assert asked.output.splitlines()[-1:] == ["HELLO"], asked.told() + serving.written()
    return "over HTTP and gRPC, edits; three signals, and one while installing, leave nothing"


class Serving:
    """Starts servers that write to a directory, which must be empty before and after."""

    def __init__(self, checkout: Checkout, directory: Path) -> None:
        self._checkout = checkout
        self._directory = directory
        self._log = directory.with_name("served.log")
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def of(self, target: str, *options: str, until: signal.Signals) -> Iterator[None]:
        """Serve until the block ends, and stop the server with the signal."""
        process = self._start(target, *options)
        try:
            yield
        finally:
            process.send_signal(until)
            status = process.wait(SECONDS)
        assert status in (0, 128 + until), f"status {status} after {until!r}\n{self.written()}"
        self._nothing_is_left()

    def stop_early(self) -> None:
        """Stop the program before the server is started."""
        process = self._start(STUDIO)
        # Not at a file: Python's tempfile writes one to see whether it can, and would leave it if killed there.
        while not any(path.is_dir() for path in self._directory.iterdir()):
            assert process.poll() is None, self.written()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM, self.written()
        self._nothing_is_left()
        assert "Traceback" not in self.written()

    def wait_until_ready(self, port: int) -> None:
        process = self._process
        assert process
        wait(f"http://127.0.0.1:{port}/readyz", lambda: process.poll() is None, self.written)

    def is_edited(self, port: int) -> None:
        """Change a line of a service that another service calls. Both serve the change, and no action runs.

        Requests might fail while a worker is replaced.
        """
        self._checkout.edit(SERVICE, *EDIT)
        try:
            deadline = time.monotonic() + SECONDS
            size = 2048
            while size != -2048:
                assert time.monotonic() < deadline, self.written()
                time.sleep(0.1)
                with suppress(urllib.error.URLError, ConnectionError):
                    size = answer(port, "size", {})
        finally:
            self._checkout.edit(SERVICE, *reversed(EDIT))

    def written(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def _start(self, target: str, *options: str) -> subprocess.Popen[bytes]:
        variables = {"TMPDIR": str(self._directory), MARK: "1"}
        self._process = self._checkout.start(target, *options, log=self._log, **variables)
        return self._process

    def _nothing_is_left(self) -> None:
        # A signal while uv is started doesn't reach uv, which ends on its own.
        deadline = time.monotonic() + UV_SECONDS
        while marked() and time.monotonic() < deadline:
            time.sleep(0.1)
        left = sorted(path.name for path in self._directory.iterdir())
        assert not left, f"{left} is left\n{self.written()}"
        assert not marked(), f"{marked()} runs still\n{self.written()}"


def marked() -> list[str]:
    """Return the command lines of the servers' processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}=1".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def answer(port: int, route: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{route}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        return json.load(response)
