"""A BentoML server of an unpacked Bento, on a free port of the loopback interface."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STOPPING_SECONDS = 60


class Server(NamedTuple):
    """A server that answers, and where it writes what it does."""

    url: str
    log: Path


class NotReadyError(Exception):
    """The server ended, or did not answer in time; the message has its log."""


@contextmanager
def serve(
    python: Path, bento: Path, folder: Path, *, seconds: float, options: tuple[str, ...] = ()
) -> Iterator[Server]:
    """Serve the Bento in the folder `bento` with the BentoML of an environment's interpreter.

    `folder` takes its store, its temporary files and its log. The server answers when the block begins and has stopped
    when it ends. Raises NotReadyError if it is not ready within `seconds`.
    """
    folder.mkdir(parents=True)
    log = folder / "server.log"
    port = _free_port()
    command = [str(python), "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port), *options]
    variables = os.environ | {
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(folder / "home"),
        "HOME": str(folder),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "TMPDIR": str(folder),
    }
    with log.open("wb") as output:
        # From a folder without modules, for BentoML prefers those to the Bento.
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, log, seconds)
        yield Server(url, log)
    finally:
        _stop(process)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    ended = process.poll()
    reason = f"did not answer within {seconds:.0f} s" if ended is None else f"ended with status {ended}"
    raise NotReadyError(f"the server {reason}; its log:\n{log.read_text('utf-8', 'replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
