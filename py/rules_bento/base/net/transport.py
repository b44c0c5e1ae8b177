"""Sends HTTP requests with urllib3, and applies our proxies, certificates, and limits.

Only code that uses the network imports this module: the build's actions have no urllib3.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from rules_bento.base import private
from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, host_settings, limits, terminal, transfers
from rules_bento.base.net.http_headers import parse_nonnegative_int
from rules_bento.base.net.urls import Origin, display_url
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Protocol

if TYPE_CHECKING:
    from urllib3.response import HTTPResponse

_HEADER = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_HEAD_ENDS = (b"\r\n", b"\n")
_WRITES = ("PATCH", "POST", "PUT")
_MAX_IDLE = 100  # connections to one server that wait for another request


class Body(Protocol):
    """Interface for the bodies of uploads. An iteration yields the bytes again from the beginning."""

    @property
    def size(self) -> int:
        """The number of bytes in the body."""

    def __iter__(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes in pieces."""


class _HeadError(Exception):
    """Raised for headers that exceed the limits, in bytes or seconds. `translate_errors` converts the error."""


class _HeadReader(io.BufferedReader):
    """Reader that limits the size of each header line, and size and time of all lines. `last` is the latest line."""

    last = b"\n"
    _lines = 0
    _deadline = 0.0  # of the lines until the next empty line

    def readline(self, limit: int | None = -1, /) -> bytes:
        self.last = super().readline(limits.HEADER + 1)
        self._lines += len(self.last)
        now = time.monotonic()
        if len(self.last) > limits.HEADER or self._lines > limits.HEAD or 0 < self._deadline < now:
            raise _HeadError
        self._deadline = 0.0 if self.last in _HEAD_ENDS else self._deadline or now + limits.PATIENCE
        return self.last

    def read1(self, size: int = -1, /) -> bytes:
        self._lines, self._deadline = 0, 0.0  # the sizes of chunks don't count together
        return super().read1(size)


class _BoundedResponse(http.client.HTTPResponse):
    """HTTP response with a size limit for the headers. Unlike the base class, rejects truncated headers."""

    def begin(self) -> None:
        reader = private.replace_reader(self, _HeadReader)
        super().begin()
        if reader.last not in _HEAD_ENDS:
            raise ConnectionLostError("the response was truncated")


class _Connection(HTTPConnection):
    response_class = _BoundedResponse

    def request(self, *args: Any, **options: Any) -> None:
        with transfers.interruptible(lambda: _shut(self.sock)):
            super().request(*args, **options)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        return _receive_head(self, super().getresponse)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _receive_head(connection: HTTPConnection, receive: Callable[[], HTTPResponse]) -> HTTPResponse:
    """Return the response that `receive` returns. Sets its attribute `channel` to the socket."""
    channel = connection.sock
    if channel is None:
        raise ConnectionLostError("the connection was closed")
    with _in_time(channel, connection.host):
        response = receive()
    channel.settimeout(connection.timeout or limits.PATIENCE)
    response.channel = channel  # type: ignore[attr-defined]
    return response


@contextmanager
def _in_time(channel: socket.socket, host: str) -> Iterator[None]:
    """Interrupt a block that receives from `channel` after `limits.ANSWER` seconds, or if a parallel transfer fails."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        _shut(channel)

    timer = threading.Timer(limits.ANSWER, stop)
    timer.daemon = True
    timer.start()
    try:
        with transfers.interruptible(partial(_shut, channel)):
            yield
    finally:
        timer.cancel()
        if late.is_set():  # another attempt would be as slow
            remedy = "Try again later."
            raise BentoError(f"the response took more than {limits.ANSWER:.0f} s", place=host, remedy=remedy) from None


def _shut(channel: socket.socket | None) -> None:
    if channel is not None:
        with suppress(OSError):
            socket.socket.shutdown(channel, socket.SHUT_RDWR)  # SSLSocket's method would continue in plain text


class Response:
    """The status, headers, and body of a response. Read the body in the `with` block of `Transport.exchange`."""

    def __init__(self, response: HTTPResponse, url: str) -> None:
        self._response = response
        self.url = url
        self.status = response.status
        self.headers = response.headers

    @property
    def length(self) -> int | None:
        """The value of the `Content-Length` header, or None if the header is missing or invalid."""
        return parse_nonnegative_int(self.headers.get("Content-Length"))

    def read(self, most: int) -> bytes:
        """Return the body. Raises BentoError if the body exceeds `most` bytes.

        Truncates the body of an error response to `limits.REFUSAL`. Raises ConnectionLostError for an incomplete body.
        """
        is_refusal = not 200 <= self.status < 300
        wanted = limits.REFUSAL if is_refusal else most + 1
        content = bytearray()
        host = Origin.from_url(self.url).netloc
        with translate_errors(host), _in_time(self._response.channel, host):  # type: ignore[attr-defined]
            while len(content) < wanted and (piece := self._response.read1(wanted - len(content))):
                content += piece
        if len(content) > most and not is_refusal:
            problem = f"the response exceeds the limit of {most} bytes"
            raise BentoError(problem, place=display_url(self.url), remedy="Check the URL.")
        return bytes(content)

    def pieces(self, start: int = 0) -> Iterator[memoryview]:
        """Yield pieces of the body. Skips the first `start` bytes of a 200 response.

        Raises ConnectionLostError if the connection is lost.
        """
        skipped = 0 if self.status == 206 else start
        while True:
            with translate_errors(Origin.from_url(self.url).netloc):
                piece = memoryview(self._response.read1(limits.PIECE))
            if not piece:
                return
            if len(piece) > skipped:
                yield piece[skipped:]
            skipped = max(0, skipped - len(piece))


class Transport:
    """Thread-safe client that sends requests and reuses idle connections.

    `context` replaces the TLS settings of this machine. If `direct` is true, connections use no proxy.
    """

    def __init__(
        self, patience: float = limits.PATIENCE, *, context: ssl.SSLContext | None = None, direct: bool = False
    ) -> None:
        self._patience = patience
        self._context = context
        self._direct = direct
        self._managers: dict[Origin, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    @contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Body | None = None,
        patience: float | None = None,
    ) -> Iterator[Response]:
        """Send a request. On failure, raises ConnectionLostError if a retry can help, and BentoError otherwise."""
        origin, parts = Origin.from_url(url), urlsplit(url)
        sent = dict(headers)
        for name, value in headers.items():
            if not _HEADER.fullmatch(value):
                remedy = "Check the URL and the credentials."
                raise BentoError(f"invalid characters in the header {name}", place=origin.netloc, remedy=remedy)
        if body is not None and not isinstance(body, bytes):
            sent["Content-Length"] = str(body.size)
        patience = patience or self._patience
        # Some registries copy the whole blob before they respond. `_in_time` limits the time.
        timeout = urllib3.Timeout(connect=patience, read=None if method in _WRITES else patience)
        target = f"{origin}{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        with translate_errors(origin.netloc):
            response = self._manager(origin).urlopen(
                method,
                target,
                body=body,
                headers=sent,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        # Neither the query, which can contain a signature, nor headers are printed.
        terminal.step(f"{method} {origin}{parts.path or '/'}: {response.status}", 2)
        try:
            with transfers.interruptible(partial(_shut, response.channel)):  # type: ignore[attr-defined]
                yield Response(response, url)  # type: ignore[arg-type]
        finally:
            response.close()

    def _manager(self, origin: Origin) -> urllib3.PoolManager:
        with self._lock:
            if origin not in self._managers:
                self._managers[origin] = self._new_manager(origin)
            return self._managers[origin]

    def _new_manager(self, origin: Origin) -> urllib3.PoolManager:
        options: dict[str, Any] = {"maxsize": _MAX_IDLE}
        if origin.scheme == "https":
            options["ssl_context"] = self._context or host_settings.tls_context(origin.netloc)
        through = None if self._direct else host_settings.proxy_for(origin.scheme, origin.host, origin.port)
        if through is None:
            manager = urllib3.PoolManager(**options)
        else:
            login = {"Proxy-Authorization": through.authorization} if through.authorization else {}
            manager = urllib3.ProxyManager(through.url, proxy_headers=login, **options)
        private.set_pools(manager, {"http": _Pool, "https": _TlsPool})
        return manager


@contextmanager
def translate_errors(host: str) -> Iterator[None]:
    """Convert connection errors to ConnectionLostError, or to BentoError if a retry can't help."""
    try:
        yield
    except (_HeadError, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        cause = _cause(error)
        if type(cause) in (_HeadError, http.client.HTTPException):  # http.client raises the latter for over 100 headers
            problem = f"the response headers are too large or too slow (limit: {limits.HEADER} bytes each, "
            problem += f"{limits.HEAD} bytes and {limits.PATIENCE:.0f} s in total)"
            remedy = "Check the URL, and check for a proxy that modifies responses."
            raise BentoError(problem, place=host, remedy=remedy) from None
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem = f"the certificate isn't trusted: {cause.verify_message}"
            remedy = "For a private CA, add its certificate to the file in SSL_CERT_FILE, or to "
            remedy += "/etc/docker/certs.d/HOST:PORT/ca.crt."
            raise BentoError(problem, place=host, remedy=remedy) from None
        text = "the host name can't be resolved" if isinstance(cause, socket.gaierror) else str(cause).strip()
        without_tls = getattr(cause, "reason", "") in ("RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER")
        cut = ConnectionLostError("the server doesn't use TLS" if without_tls else text or type(cause).__name__)
        cut.without_tls = without_tls
        cut.timed_out = isinstance(cause, TimeoutError)
        raise cut from error


def _cause(error: BaseException) -> BaseException:
    """Return the first error in the chain of errors that urllib3 has wrapped."""
    inner = next((item for item in error.args if isinstance(item, BaseException)), error.__cause__)
    return _cause(inner) if inner else error
