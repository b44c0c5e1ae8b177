"""Requests to a server that was started on this machine: to its loopback interface, past the caller's proxies."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request

from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK = 0.05  # seconds
_PATIENCE = 60  # seconds for an answer
_PROBE = 5  # seconds for an answer that says whether a server is ready
_MAX_ANSWER = 1 << 24  # bytes
_SHOWN = 4000  # bytes of a refusal
_ERRORS = OSError, http.client.HTTPException  # the first is that of urllib's own; the second, what is no HTTP


class ServerError(Exception):
    """Reports a server that answered with another status than 2xx, or not at all; the message has status and answer."""


def wait(url: str, seconds: float, has_ended: Callable[[], bool]) -> bool:
    """Wait until an address answers; returns whether it does, or else `seconds` are over or the server has ended."""
    deadline = time.monotonic() + seconds
    while not has_ended() and (left := deadline - time.monotonic()) > 0:
        try:
            with _opener().open(url, timeout=min(left, _PROBE)):
                return True
        except _ERRORS:
            time.sleep(_TICK)
    return False


def post(url: str, body: str) -> None:
    """Send a body of JSON. Raises RefusedError for an answer that refuses it, or none."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with _opener().open(request, timeout=_PATIENCE) as answer:
            answer.read(_MAX_ANSWER)
    except urllib.error.HTTPError as error:
        raise ServerError(f"answered {error.code}: {error.read(_SHOWN).decode('utf-8', 'replace')}") from None
    except _ERRORS as error:
        raise ServerError(f"gave no answer ({error})") from None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
