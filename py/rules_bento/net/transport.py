"""HTTP/1.1 over connections that are kept: one request, one response, nothing tried twice.

The standard library's client, because it is as fast as any: bodies go from file to socket inside the kernel, which
cost less than half of the processor time of urllib3 and a quarter of that of httpx (docs/decisions.md).
"""

from __future__ import annotations

import http.client
import io
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from rules_bento.errors import BentoError
from rules_bento.net import proxy, tls
from rules_bento.net.errors import CutError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

PIECE = 1 << 18
"""Bytes that are read from a connection, or handed to one, at once."""

PATIENCE = 60.0
"""Seconds in which nothing comes and nothing can be sent, after which a connection counts as cut."""

_ANSWER = 5  # times as long for an answer: some registries copy the whole blob before they give it
_SMALL = 16 << 20  # a manifest may have 4 MiB
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a server is: `http` or `https`, host and port."""

    scheme: str
    host: str
    port: int

    @staticmethod
    def of(url: str) -> Origin:
        """The origin of an absolute URL. Raises BentoError for one of another scheme."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise BentoError("The server sent us to an address that cannot be read.") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise BentoError(
                f"The server sent us to an address of the scheme {parts.scheme!r}; we take http and https."
            )
        return Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])

    @property
    def netloc(self) -> str:
        """`host:port`, without the port if it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


class Body(Protocol):
    """What is uploaded: may be written again from its start, to another connection."""

    @property
    def size(self) -> int:
        """How many bytes `write_to` writes."""

    def write_to(self, connection: socket.socket) -> None:
        """Write all of it."""


class Bytes:
    """A body that is at hand."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size(self) -> int:
        """Its length."""
        return len(self._content)

    def write_to(self, connection: socket.socket) -> None:
        """Write all of it."""
        connection.sendall(self._content)


class _Reader(io.BufferedReader):
    """A file that remembers the last line that was read."""

    last = b"\n"

    def readline(self, limit: int | None = -1, /) -> bytes:
        self.last = super().readline(limit)
        return self.last


class _WholeHead(http.client.HTTPResponse):
    """A response that notices headers that were cut off: the standard library takes what came for all there is."""

    def begin(self) -> None:
        """Read the headers. Raises CutError if they have no end."""
        reader = _Reader(self.fp.detach())
        self.fp = reader
        super().begin()
        if reader.last not in (b"\r\n", b"\n"):
            raise CutError("the answer was cut off")


class Response:
    """A status, headers, and a body to be read before the block of `Transport.exchange` ends."""

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
        self._response = response
        self.url = url
        self.status = response.status
        self.headers = response.headers

    @property
    def length(self) -> int | None:
        """`Content-Length`, if it is stated."""
        value = self.headers.get("Content-Length", "")
        return int(value) if value.isdigit() else None

    def read(self) -> bytes:
        """The body of a small response. Raises CutError if it is not whole, BentoError if it is not small."""
        with _cuts():
            content = self._response.read(_SMALL + 1)
            if len(content) > _SMALL:
                raise BentoError(f"{_without_query(self.url)}: an answer of more than {_SMALL} bytes was refused.")
            if self._response.length:
                raise CutError("the answer was cut off")
        return content

    def pieces(self) -> Iterator[memoryview]:
        """The body, as it comes; each piece is good until the next is asked for. Raises CutError if it is not whole."""
        buffer = memoryview(bytearray(PIECE))
        while True:
            with _cuts():
                count = self._read_some(buffer)
            if not count:
                break
            yield buffer[:count]
        if self._response.length:
            raise CutError("the answer was cut off")

    def _read_some(self, buffer: memoryview) -> int:
        """What is there already: `readinto` waits until the buffer is full, and loses what it has if that fails."""
        rest = self._response.length
        if rest is None:  # its end shows by itself
            return self._response.readinto(buffer)
        if not rest:
            return 0
        count = self._response.fp.readinto1(buffer[:rest])
        self._response.length = rest - count
        return count

    @property
    def finished(self) -> bool:
        """Whether the connection can take another request: the body was read, and the server keeps it."""
        if self._response.length == 0:
            self._response.close()
        return self._response.isclosed() and not self._response.will_close


class Transport:
    """Connections to whatever servers a registry sends us to. To be used by several threads at once."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._idle: dict[Origin, list[http.client.HTTPConnection]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    @contextmanager
    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None
    ) -> Iterator[Response]:
        """Send a request and give the response for the block.

        Raises CutError where the connection fails, and BentoError where it always would: a certificate that is not
        believed.
        """
        origin = Origin.of(url)
        connection = self._take(origin)
        reusable = False
        try:
            response = self._send(connection, origin, method, url, headers, body)
            yield response
            reusable = response.finished and connection.sock is not None
        finally:
            if reusable:
                self._give(origin, connection)
            else:
                connection.close()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        origin: Origin,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
    ) -> Response:
        reused = connection.sock is not None
        try:
            return Response(_request(connection, method, _target(origin, url), headers, body), url)
        except CutError:
            if not reused or not isinstance(body, Bytes | None):
                raise
        # The server may have closed a connection that it had kept for a while: that is no failure.
        connection.close()
        return Response(_request(connection, method, _target(origin, url), headers, body), url)

    def _take(self, origin: Origin) -> http.client.HTTPConnection:
        with self._lock:
            idle = self._idle.get(origin)
            if idle:
                return idle.pop()
            context = self._context(origin.netloc) if origin.scheme == "https" else None
        return _connection(origin, context, self._patience)

    def _give(self, origin: Origin, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.setdefault(origin, []).append(connection)

    def _context(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            self._contexts[host] = tls.context_for(host)
        return self._contexts[host]


def _connection(origin: Origin, context: ssl.SSLContext | None, patience: float) -> http.client.HTTPConnection:
    through = proxy.proxy_for(origin.scheme, origin.host, origin.port)
    host, port = (through.host, through.port) if through else (origin.host, origin.port)
    if context is None:
        connection = http.client.HTTPConnection(host, port, timeout=patience)
    else:
        connection = http.client.HTTPSConnection(host, port, timeout=patience, context=context)
    connection.response_class = _WholeHead
    if through and context:
        opened = {"Proxy-Authorization": through.authorization} if through.authorization else {}
        connection.set_tunnel(origin.host, origin.port, opened)
    return connection


def _target(origin: Origin, url: str) -> tuple[str, str, str]:
    """The request's target, its `Host`, and the header that a proxy needs to be told (or nothing)."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    through = proxy.proxy_for(origin.scheme, origin.host, origin.port) if origin.scheme == "http" else None
    if through:
        return f"{origin}{path}", origin.netloc, through.authorization
    return path, origin.netloc, ""


def _request(
    connection: http.client.HTTPConnection,
    method: str,
    target: tuple[str, str, str],
    headers: Mapping[str, str],
    body: Body | None,
) -> http.client.HTTPResponse:
    path, host, proxy_authorization = target
    patience = connection.timeout or PATIENCE
    with _cuts():
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        for name, value in headers.items():
            connection.putheader(name, value)
        if proxy_authorization:
            connection.putheader("Proxy-Authorization", proxy_authorization)
        if body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(body.size if body else 0))
        connection.endheaders()
        if connection.sock is None:
            raise CutError("the connection was closed")
        unwanted = False
        if body is not None:
            try:
                body.write_to(connection.sock)
            except (BrokenPipeError, ConnectionResetError):
                unwanted = True  # perhaps the server has said why, before it closed
        connection.sock.settimeout(_ANSWER * patience)
        response = connection.getresponse()
        response.will_close |= unwanted
        if connection.sock is not None:
            connection.sock.settimeout(patience)
        return response


@contextmanager
def _cuts() -> Iterator[None]:
    """Turns what a connection can do to us into CutError, and what will not pass into BentoError."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise BentoError(
            f"The server's certificate is not believed: {error.verify_message}. Put its authority into the file that "
            f"SSL_CERT_FILE names, or into /etc/docker/certs.d/HOST:PORT/ca.crt."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise CutError(str(error) or type(error).__name__) from error


def _without_query(url: str) -> str:
    """A URL for people: what is behind the `?` may be a secret."""
    return url.partition("?")[0]
