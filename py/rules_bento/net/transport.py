"""Implements an HTTP/1.1 client with persistent connections. Retries a request only if a reused connection fails.

Uses `http.client`, so that the kernel can copy a file to a socket. urllib3 needs more than twice as much CPU time as
`http.client`, and httpx four times as much (see docs/contributing/adr).
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
from urllib.parse import quote, urljoin, urlsplit

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, host_settings, limits, transfers
from rules_bento.net.headers import parse_nonnegative_int
from rules_bento.typing_lite import Any, Iterator, Mapping, Protocol

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSENDABLE = re.compile(r"[^\x21-\x7e]+")


class Origin(NamedTuple):
    """The scheme (`http` or `https`), host, and port of a server."""

    scheme: str
    host: str
    port: int

    @staticmethod
    def from_url(url: str) -> Origin:
        """Return the origin of an absolute URL. Raises BentoError for an invalid URL or an unsupported scheme."""
        try:
            parts = urlsplit(url)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode()
        except ValueError:  # includes UnicodeError
            raise _invalid_url(url) from None
        if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or _CONTROL.search(url):
            raise _invalid_url(url)
        return Origin(parts.scheme, host, port or _PORTS[parts.scheme])

    @property
    def netloc(self) -> str:
        """The host and port, or only the host if the port is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


class Body(Protocol):
    """Interface for request bodies. `Transport` retries a request only if the body is a `BytesBody` or None."""

    @property
    def size(self) -> int:
        """The number of bytes that `write_to` writes."""

    def write_to(self, connection: socket.socket) -> None:
        """Write the complete body to `connection`."""


class BytesBody(NamedTuple):
    """A request body in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """The number of bytes that `write_to` writes."""
        return len(self.content)

    def write_to(self, connection: socket.socket) -> None:
        """Write the complete body to `connection`."""
        connection.sendall(self.content)


class LongHeadError(Exception):
    """Raised for a response whose headers exceed the limits. `translate_errors` converts this error to BentoError."""


class SlowAnswerError(Exception):
    """Raised for a response that arrives too slowly. `translate_errors` converts this error to BentoError."""


class _Wire(io.RawIOBase):
    """Raw stream of a connection. A read after the monotonic time `end` (None: no limit) raises SlowAnswerError."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw = raw
        self.end: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self.end is not None and time.monotonic() > self.end:
            raise SlowAnswerError
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _HeadReader(io.BufferedReader):
    """Reader that limits the size of each header line and of all lines together. `last` is the latest line."""

    last = b"\n"
    _lines = 0

    def readline(self, limit: int | None = -1, /) -> bytes:
        self.last = super().readline(limits.HEADER + 1)
        self._lines += len(self.last)
        if len(self.last) > limits.HEADER or self._lines > limits.HEAD:
            raise LongHeadError
        return self.last

    def read(self, size: int | None = -1, /) -> bytes:
        self._lines = 0  # the sizes of chunks don't count together
        return super().read(size)


class BoundedResponse(http.client.HTTPResponse):
    """HTTP response with a size limit for the headers. Unlike the base class, rejects truncated headers."""

    def begin(self) -> None:
        """Read the headers. Raises ConnectionLostError, LongHeadError, or SlowAnswerError on failure."""
        wire = _Wire(self.fp.detach())
        self.fp = reader = _HeadReader(wire)
        wire.end = time.monotonic() + limits.ANSWER
        super().begin()
        wire.end = None
        if reader.last not in (b"\r\n", b"\n"):
            raise ConnectionLostError("the response was truncated")


class Response:
    """The status, headers, and body of a response. Read the body in the `with` block of `Transport.exchange`."""

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
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
        end = time.monotonic() + limits.ANSWER
        while len(content) < wanted:
            rest = self._response.length  # None: unknown until the end
            if rest == 0:
                break
            with translate_errors():
                size = min(wanted - len(content), limits.PIECE, limits.PIECE if rest is None else rest)
                piece = self._response.read1(size) if rest is None else self._response.fp.read1(size)
                if time.monotonic() > end:
                    raise SlowAnswerError
            if not piece:
                if rest:
                    raise ConnectionLostError("the response was truncated")
                break
            content += piece
            if rest is not None:
                self._response.length = rest - len(piece)
        if len(content) > most and not is_refusal:
            raise BentoError(f"{display_url(self.url)}: the response exceeds the limit of {most} bytes. Check the URL.")
        return bytes(content)

    def pieces(self) -> Iterator[memoryview]:
        """Yield pieces of the body in a reused buffer. Raises ConnectionLostError if the connection is lost."""
        buffer = memoryview(bytearray(limits.PIECE))
        while True:
            with translate_errors():
                count = self._read_some(buffer)
            if not count:
                break
            yield buffer[:count]

    def pieces_from(self, start: int) -> Iterator[memoryview]:
        """Yield pieces from byte `start`. Skips earlier bytes of a 200 response. Raises the same errors as `pieces`."""
        skipped = 0 if self.status == 206 else start
        for piece in self.pieces():
            if len(piece) > skipped:
                yield piece[skipped:]
            skipped = max(0, skipped - len(piece))
        if self._response.length:
            raise ConnectionLostError("the response was truncated")

    def _read_some(self, buffer: memoryview) -> int:
        """Read a piece of the body into `buffer`. Returns the number of bytes, or 0 at the end of the body."""
        rest = self._response.length
        if rest is None:  # unknown until the end
            return self._response.readinto(buffer)
        if not rest:
            return 0
        count = self._response.fp.readinto1(buffer[:rest])
        self._response.length = rest - count
        return count

    @property
    def finished(self) -> bool:
        """Whether the body was read completely and the server keeps the connection open for another request."""
        if self._response.length == 0:
            self._response.close()
        return self._response.isclosed() and not self._response.will_close


class Transport:
    """Thread-safe client that sends requests and reuses idle connections."""

    def __init__(self, patience: float = limits.PATIENCE) -> None:
        self._patience = patience
        self._idle: dict[Origin, list[http.client.HTTPConnection]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    @contextmanager
    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None
    ) -> Iterator[Response]:
        """Send a request. On failure, raises ConnectionLostError if a retry can help, and BentoError otherwise."""
        origin = Origin.from_url(url)
        connection = self._take(origin)
        reusable = False
        try:
            with transfers.interruptible(lambda: _shut(connection)):
                send = partial(_request, connection, method, _target(origin, url), headers, body)
                was_open = connection.sock is not None
                try:
                    answer = send()
                except ConnectionLostError:
                    if not was_open or not isinstance(body, BytesBody | None):
                        raise
                    connection.close()  # the server might have closed an idle connection, which isn't a failure
                    answer = send()
                response = Response(answer, url)
                yield response
                reusable = response.finished and connection.sock is not None
        finally:
            if reusable:
                with self._lock:
                    self._idle.setdefault(origin, []).append(connection)
            else:
                connection.close()

    def _take(self, origin: Origin) -> http.client.HTTPConnection:
        with self._lock:
            idle = self._idle.get(origin)
            if idle:
                return idle.pop()
            context = None
            if origin.scheme == "https":
                context = self._contexts.get(origin.netloc) or host_settings.tls_context(origin.netloc)
                self._contexts[origin.netloc] = context
        through = host_settings.proxy_for(origin.scheme, origin.host, origin.port)
        host, port = (through.host, through.port) if through else (origin.host, origin.port)
        if context is None:
            connection = http.client.HTTPConnection(host, port, timeout=self._patience)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=self._patience, context=context)
        connection.response_class = BoundedResponse
        if through and context:
            opened = {"Proxy-Authorization": through.authorization} if through.authorization else {}
            connection.set_tunnel(origin.host, origin.port, opened)
        return connection


def get_over(channel: socket.socket, url: str, headers: Mapping[str, str]) -> Response:
    """Send a GET request over a connected socket. Raises the same errors as `Transport.exchange`."""
    origin = Origin.from_url(url)
    connection = http.client.HTTPConnection(origin.host, origin.port, timeout=limits.PATIENCE)
    connection.response_class = BoundedResponse
    connection.sock = channel
    target = percent_encode(urlsplit(url).path or "/"), origin.netloc, ""
    return Response(_request(connection, "GET", target, headers, None), url)


def _target(origin: Origin, url: str) -> tuple[str, str, str]:
    """Return the request target, the `Host` header, and the `Proxy-Authorization` header (can be empty)."""
    parts = urlsplit(url)
    path = percent_encode((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    through = host_settings.proxy_for(origin.scheme, origin.host, origin.port) if origin.scheme == "http" else None
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
    patience = connection.timeout or limits.PATIENCE
    with translate_errors(host):
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        for name, value in headers.items():
            _put_header(connection, name, value)
        if proxy_authorization:
            connection.putheader("Proxy-Authorization", proxy_authorization)
        if body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(body.size if body else 0))
        connection.endheaders()
        if connection.sock is None:
            raise ConnectionLostError("the connection was closed")
        unwanted = False
        if body is not None:
            try:
                body.write_to(connection.sock)
            except (BrokenPipeError, ConnectionResetError):
                unwanted = True  # the server might have sent an error before it closed
        connection.sock.settimeout(patience * limits.ANSWER / limits.PATIENCE)
        response = connection.getresponse()
        response.will_close |= unwanted
        if connection.sock is not None:
            connection.sock.settimeout(patience)
        return response


def _shut(connection: http.client.HTTPConnection) -> None:
    channel = connection.sock
    if channel is not None:
        with suppress(OSError):
            socket.socket.shutdown(channel, socket.SHUT_RDWR)  # SSLSocket's method would continue in plain text


def _put_header(connection: http.client.HTTPConnection, name: str, value: str) -> None:
    """Add a header to a request. Raises BentoError for an invalid value."""
    try:
        connection.putheader(name, value)
    except ValueError:  # a line break; includes UnicodeError
        raise BentoError(
            f"{connection.host}: invalid characters in the header {name}. Check the URL and the credentials."
        ) from None


@contextmanager
def translate_errors(host: str = "") -> Iterator[None]:
    """Convert connection errors to ConnectionLostError, or to BentoError if a retry can't help."""
    try:
        yield
    except LongHeadError:
        raise BentoError(
            f"{host or 'The server'}: the response headers are too large (limit: {limits.HEADER} bytes each, "
            f"{limits.HEAD} bytes in total). Check the URL, and check for a proxy that modifies responses."
        ) from None
    except SlowAnswerError:  # another attempt would be as slow
        raise BentoError(
            f"{host or 'The server'}: the response took more than {limits.ANSWER:.0f} s. Try again later."
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise BentoError(
            f"{host or 'The server'}: the certificate isn't trusted: {error.verify_message}. For a private CA, add its "
            "certificate to the file in SSL_CERT_FILE, or to /etc/docker/certs.d/HOST:PORT/ca.crt."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionLostError(str(error).strip() or type(error).__name__) from error


def resolve(base: str, reference: str) -> str:
    """Resolve the URL reference in a header such as `Location` against `base`. Raises BentoError for an invalid URL."""
    try:
        url = urljoin(base, percent_encode(reference.strip(), "latin-1"))
    except ValueError:
        raise _invalid_url(reference) from None
    Origin.from_url(url)
    return url


def percent_encode(text: str, encoding: str = "utf-8") -> str:
    """Replace spaces and non-ASCII characters in a URL with `%XX`. Use `latin-1` for URLs from response headers."""
    return _UNSENDABLE.sub(lambda match: quote(match[0].encode(encoding, "surrogateescape")), text)


def display_url(url: str) -> str:
    """Return a URL for messages. Omits the credentials and the query, because they might be secret."""
    text = re.sub(r"^([^/]{0,20}//|)[^/]*@", r"\1", url.partition("?")[0])
    return "".join(character if character.isprintable() else "?" for character in text[:200])


def _invalid_url(url: str) -> BentoError:
    return BentoError(f"{display_url(url)!r}: invalid URL. Use an http:// or https:// URL with a host and a path.")
