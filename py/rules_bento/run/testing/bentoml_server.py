"""Starts a BentoML server for an unpacked Bento, on a free port of the loopback interface, and sends requests to it."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

from rules_bento.base.comparison_program import MARK
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.own_files import own_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping
from rules_bento.run.testing import real_service

if TYPE_CHECKING:
    from pathlib import Path

_STOPPING_SECONDS = 60
_SETTLED, _LATER = 10, (408, 425, 429, 502, 503, 504)
_HOST = "127.0.0.1"
# A port is free when chosen; another test might use it when BentoML binds it.
_PORTS_TO_TRY = 5
# After these lines of a worker, BentoML starts the worker again, without end.
_FAILED = re.compile(rb"Application startup failed\. Exiting\.|bentoml\.exceptions\.ImportServiceError: ")


class Server(NamedTuple):
    """The URL and the log file of a running server."""

    url: str
    log: Path


class NotReadyError(Exception):
    """Raised if a server exits before it is ready, or isn't ready in time. The message contains the server's log."""


@contextmanager
def serve(
    python: Path,
    bento: Path,
    directory: Path,
    *,
    seconds: float,
    options: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Server]:  # writes: own, a constant name
    """Run a server for the Bento in the directory `bento`, with BentoML from the environment of `python`.

    Creates `directory` for the log. `options` are passed to `bentoml serve`; `variables` extend the environment
    variables. The server is ready when the `with` block begins, and is stopped when the `with` block ends. Raises
    NotReadyError if the server isn't ready within `seconds`, if its service fails to start, or if the service differs
    from bento.yaml.
    """
    directory.mkdir(parents=True)
    log = directory / "server.log"
    # Services of a Bento use sockets in TMPDIR. Their paths have at most 103 characters; TMPDIR of macOS has 49.
    with own_directory("b-") as scratch:
        # Without -I, because services can read PYTHON* variables. `_start` selects a directory without modules.
        command = [str(python), "-m", "bentoml", "serve", str(bento), "--host", _HOST, *options]
        environment = os.environ | {"TMPDIR": str(scratch)} | dict(variables or {})
        process, url = _start(command, environment, log, time.monotonic() + seconds)
        try:
            yield Server(url, log)
        finally:
            _stop(process)


def _start(
    command: list[str], environment: Mapping[str, str], log: Path, deadline: float
) -> tuple[subprocess.Popen[bytes], str]:  # writes: own, a constant name
    for _ in range(_PORTS_TO_TRY):
        port = _free_port()
        with log.open("wb") as output:
            # From a directory without modules, because BentoML prefers such modules to the Bento.
            process = subprocess.Popen(
                [*command, "--port", str(port)], cwd=log.parent, env=environment, stdout=output, stderr=output
            )
        url = f"http://{_HOST}:{port}"
        began = time.monotonic()
        try:
            not_ready = wait(lambda: [f"{url}/readyz"], deadline - began, lambda: _has_ended(process, log))[1]  # noqa: B023
            differences = real_service.problems(log.read_text("utf-8", "replace"))
            if not not_ready and not differences:
                return process, url
        except BaseException:
            _stop(process)
            raise
        ended, waited = process.poll(), time.monotonic() - began
        _stop(process)
        if differences:
            raise NotReadyError("\n".join([*differences, real_service.REMEDY]))
        written = log.read_text("utf-8", "replace")
        if f"Could not bind {_HOST}:{port}" not in written:
            reason = f"didn't respond within {waited:.0f} s" if ended is None else f"ended with status {ended}"
            reason = "can't start the service" if _FAILED.search(written.encode()) else reason
            raise NotReadyError(f"the server {reason}. Server log:\n{written}")
    raise NotReadyError(f"the server found no free port in {_PORTS_TO_TRY} attempts. Server log:\n{written}")


def _has_ended(process: subprocess.Popen[bytes], log: Path) -> bool:
    written = log.read_bytes()
    return process.poll() is not None or bool(_FAILED.search(written)) or MARK.encode() in written


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


_TICK = 0.05  # seconds
_PATIENCE = 60  # seconds for an answer
_PROBE = 5  # seconds for a response to the readiness check
_FIRST_ERROR = 400  # the lowest status of an error
_MAX_ANSWER = 1 << 24  # bytes
_SHOWN = 4000  # bytes of an error response
_ERRORS = OSError, http.client.HTTPException  # errors from urllib, and errors for an invalid HTTP response


class ServerError(Exception):
    """Raised if the server doesn't respond, or if the status of the response isn't 2xx."""


def wait(urls: Callable[[], Iterable[str]], seconds: float, has_ended: Callable[[], object]) -> tuple[str, str]:
    """Wait until a response for one of the URLs has a status below 400, and return the URL and "".

    For `tcp://HOST:PORT`, a connection is sufficient. After `seconds`, after `has_ended` returns a true value, or
    `_SETTLED` seconds after a status that doesn't mean "later", returns "" and a description of the last response.
    """
    last = "no response"
    deadline = time.monotonic() + seconds
    while not has_ended() and time.monotonic() < deadline:
        for url in urls():
            try:
                with _probe(url, max(min(deadline - time.monotonic(), _PROBE), _TICK)):
                    return url, ""
            except _ERRORS as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                    if error.code < _FIRST_ERROR:
                        return url, ""
                    if not last.startswith("last") and error.code not in _LATER:
                        deadline = min(deadline, time.monotonic() + _SETTLED)
                    last = f"last response: status {error.code}"
        time.sleep(_TICK if last == "no response" else 10 * _TICK)  # answers are in the log
    return "", last


def _probe(url: str, seconds: float) -> Any:
    if url.startswith("tcp:"):
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), seconds)
    headers = {"Host": f"localhost:{urllib.parse.urlsplit(url).port}"}  # which programs allow rather than 127.0.0.1
    return _opener(_NoRedirects()).open(urllib.request.Request(url, headers=headers), timeout=seconds)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Reports a redirect as an HTTPError, because its target can be another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: str) -> None:
    """Send a POST request with a JSON body. Raises ServerError for an error response or no response."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with _opener().open(request, timeout=_PATIENCE) as answer:
            answer.read(_MAX_ANSWER)
    except urllib.error.HTTPError as error:
        raise ServerError(f"responded with {error.code}: {error.read(_SHOWN).decode('utf-8', 'replace')}") from None
    except _ERRORS as error:
        raise ServerError(f"didn't respond ({error})") from None


def _opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)
