"""Sends requests to a server on the loopback interface of this machine, without a proxy."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request

from rules_bento.typing_lite import Any, Callable

_TICK = 0.05  # seconds
_PATIENCE = 60  # seconds for an answer
_PROBE = 5  # seconds for a response to the readiness check
_MAX_ANSWER = 1 << 24  # bytes
_SHOWN = 4000  # bytes of an error response
_ERRORS = OSError, http.client.HTTPException  # errors from urllib, and errors for an invalid HTTP response


class ServerError(Exception):
    """Raised if the server doesn't respond, or if the status of the response isn't 2xx."""


def wait(url: str, seconds: float, has_ended: Callable[[], object]) -> str:
    """Wait until a request for `url` succeeds, and return "". For `tcp://HOST:PORT`, a connection is sufficient.

    After `seconds`, or after `has_ended` returns a true value, returns a description of the last response.
    """
    last = "no response"
    deadline = time.monotonic() + seconds
    while not has_ended() and (left := deadline - time.monotonic()) > 0:
        try:
            with _probe(url, min(left, _PROBE)):
                return ""
        except _ERRORS as error:
            if isinstance(error, urllib.error.HTTPError):
                last = f"last response: status {error.code}"
            time.sleep(_TICK)
    return last


def _probe(url: str, seconds: float) -> Any:
    if url.startswith("tcp:"):
        host, _, port = url.removeprefix("tcp://").partition(":")
        return socket.create_connection((host, int(port)), seconds)
    return _opener().open(url, timeout=seconds)


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


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
