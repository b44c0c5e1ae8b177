"""Streams blobs from the build's remote cache to a registry, without storing them on the local disk.

Remote caches identify the outputs of actions by SHA-256 and size, and images identify layers in the same way. Two
protocols of Bazel's `--remote_cache` are supported:

- `http://`, `https://`: GET `<path>/cas/<sha256>` (Bazel's HTTP caching protocol);
- `grpc://`, `grpcs://`: `google.bytestream.ByteStream/Read` of `<instance>/blobs/<sha256>/<size>` (Remote Execution
  API v2). Blobs are requested without compression, because layers are already compressed.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError
from rules_bento.base.formats.json import read_object
from rules_bento.base.net import ConnectionLostError, SourceLostError, host_settings, limits
from rules_bento.base.net.http_headers import parse_nonnegative_int
from rules_bento.base.net.transport import Transport
from rules_bento.base.programs import which
from rules_bento.base.subcommand_arguments import Arguments, Strings
from rules_bento.base.typing_lite import Generator, Iterable, Iterator, Sequence
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import BlobSource, FileSource, limit_pieces


class CacheOptions(Arguments):
    """Bazel's flags, so that a push accepts a build's options unchanged. Their values are never printed."""

    credential_helper: Strings  # a program, or `domain=program`: returns headers, called as Bazel calls it
    remote_cache: str = ""
    remote_header: Strings  # NAME=VALUE
    remote_instance_name: str = ""
    tls_certificate: str = ""  # of the authority that signed the server's certificate
    tls_client_certificate: str = ""
    tls_client_key: str = ""


_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
_DEFAULT = "grpcs"  # Bazel's default for an address without a scheme
_READ = "/google.bytestream.ByteStream/Read"
_WINDOW = 16 << 20  # bytes that a server can send before we read
_HELPER_TIME = 60  # seconds
_OK, _NOT_FOUND, _DENIED = 0, 5, {7: "PERMISSION_DENIED", 16: "UNAUTHENTICATED"}
_CLOSED = "the remote cache closed the connection"
_RETRIED = {4, 8, 10, 13, 14}  # gRPC: deadline exceeded, exhausted, aborted, internal, unavailable


@dataclass(frozen=True)
class Settings:
    """The address and credentials of a remote cache. The repr omits the credentials."""

    scheme: str
    host: str
    port: int
    path: str = ""
    instance: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    authority: str = ""
    certificate: str = ""
    key: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def settings(options: CacheOptions) -> Settings | None:
    """Return the cache settings from the user's flags, or None if `--remote_cache` isn't set.

    Raises BentoError for an invalid address or header, or if a credential helper fails.
    """
    address = options.remote_cache
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"{_DEFAULT}://{address}")
    if parts.scheme not in _PORTS or not parts.hostname:
        problem = "--remote_cache: expected a grpc, grpcs, http, or https URL such as grpcs://HOST:PORT"
        raise BentoError(problem, remedy="Use the same value as in the build.")
    headers = [_header(text) for text in options.remote_header]
    if parts.username is not None and parts.scheme.startswith("http"):
        headers.append(("authorization", host_settings.url_authorization(parts)))
    headers += _from_helper(options.credential_helper, parts.scheme, parts.hostname)
    port, path = parts.port or _PORTS[parts.scheme], parts.path.rstrip("/")
    tls = options.tls_certificate, options.tls_client_certificate, options.tls_client_key
    return Settings(parts.scheme, parts.hostname, port, path, options.remote_instance_name, tuple(headers), *tls)


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BentoError("--remote_header: expected NAME=VALUE.")
    return name.lower(), value


def _from_helper(helpers: Sequence[str], scheme: str, host: str) -> list[tuple[str, str]]:
    """Return the headers from the last credential helper that matches `host`, or [] if none matches."""
    program = ""
    for text in helpers:
        domain, equals, named = text.partition("=")
        if not equals:
            program = text
        elif domain == host or (domain.startswith("*.") and host.endswith(domain[1:])):
            program = named
    if not program:
        return []
    path = program if "/" in program else which(program) or os.devnull
    request = json.dumps({"uri": f"{'https' if scheme.endswith('s') else 'http'}://{host}"})
    try:
        done = subprocess.run(
            [path, "get"], input=request, capture_output=True, text=True, timeout=_HELPER_TIME, check=True
        )
        headers: dict[str, list[str]] = read_object(done.stdout or "{}", program).get("headers", {})
        return [(name.lower(), value) for name, values in headers.items() for value in values]
    except (OSError, FormatError, ValueError, AttributeError, subprocess.SubprocessError):
        remedy = f"To print the error, run `echo '{request}' | {program} get`."
        raise BentoError(f"--credential_helper: {program} returned no headers for {host}", remedy=remedy) from None


@dataclass(frozen=True)
class BuiltSource:
    """A blob that an action wrote. The blob is in Bazel's output directory, or only in the remote cache."""

    file: Path
    digest: str
    size: int
    cache: Settings | None

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` to `end` as they arrive.

        Raises BentoError if neither this machine nor the cache has the blob, or SourceLostError if the blob ends early.
        """
        if here := self._downloaded():
            yield from here.pieces(start, end)
            return
        if self.cache is None:
            problem = "the build didn't download the blob, and no remote cache is set"
            remedy = "Pass the build's --remote_cache after `--`, or run without --@rules_bento//rules:push_from=cache."
            raise BentoError(problem, place=self.digest, remedy=remedy)
        yield from self._cached(self.cache, start, end)

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the blob doesn't match `digest`. Doesn't check remote blobs if no cache is reachable."""
        if here := self._downloaded():
            here.check(digest, size)
        elif self.cache:
            digester = oci.new_hash(digest)
            try:
                for piece in self._cached(self.cache, 0, self.size):
                    digester.update(piece)
            except ConnectionLostError:
                return
            if digester.hexdigest() != digest.partition(":")[2]:
                remedy = "Remove the blob from the cache, run `bazel clean`, and build again."
                raise BentoError(f"blob {digest} is corrupt", place=str(self.cache), remedy=remedy)

    def _cached(self, cache: Settings, start: int, end: int) -> Iterator[bytes | memoryview]:
        def truncated(missing: int) -> Exception:
            return ConnectionLostError(f"{end - missing} of {self.size} bytes")

        read = _read_http if cache.scheme.startswith("http") else _read_grpc
        try:
            pieces = read(cache, self.digest.partition(":")[2], self.size, start)
            yield from limit_pieces(pieces, end - start, truncated)
        except ConnectionLostError as error:
            raise SourceLostError(f"the remote cache {cache} sent an incomplete blob ({error})") from error

    def _downloaded(self) -> BlobSource | None:
        with_size = self.file.is_file() and self.file.stat().st_size == self.size
        return FileSource(self.file) if with_size else None


def built_file(path: str) -> Path:
    """Return the path of an output. The file might not exist. `path` is relative to the execution root."""
    return Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."), path)


def _read_http(where: Settings, digest: str, _size: int, start: int) -> Iterator[bytes | memoryview]:
    context = _tls(where) if where.scheme == "https" else None
    headers = dict(where.headers) | ({"range": f"bytes={start}-"} if start else {})
    address = f"{where}{where.path}/cas/{digest}"
    with (
        closing(Transport(context=context, direct=True)) as transport,
        transport.exchange("GET", address, headers) as response,
    ):
        if response.status not in (200, 206):
            raise _refused(where, digest, f"HTTP {response.status}", missing=response.status == 404)
        yield from response.pieces(start)


def _read_grpc(where: Settings, digest: str, size: int, start: int) -> Iterator[bytes]:
    resource = "/".join(filter(None, (where.instance, "blobs", digest, str(size))))
    response = call(where, _READ, [_read_request(resource, start)])
    received = bytearray()
    try:
        while True:
            received += next(response)
            yield from _contents(received)
    except StopIteration as end:
        status = end.value.get(b"grpc-status", b"0")
    _check_status(where, digest, parse_nonnegative_int(status.decode("latin-1")))


def call(where: Settings, path: str, messages: Iterable[bytes]) -> Generator[bytes, None, dict[bytes, bytes]]:
    """Send the messages of a gRPC request, and yield the data of the response. Returns its headers and trailers.

    Raises ConnectionLostError if the connection fails, or BentoError if the server's certificate isn't trusted.
    """
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
    from h2.exceptions import ProtocolError
    from h2.settings import SettingCodes

    remaining, waiting = iter(messages), memoryview(b"")
    headers: dict[bytes, bytes] = {}
    is_sent = ended = False
    with _retried_errors(where), closing(connect(where)) as channel:
        http2 = H2Connection(config=H2Configuration())
        http2.initiate_connection()
        http2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        http2.increment_flow_control_window(_WINDOW)
        stream = http2.get_next_available_stream_id()
        http2.send_headers(stream, _request_headers(where, path))
        end = time.monotonic() + limits.PATIENCE
        while not ended:
            while not is_sent and (room := http2.local_flow_control_window(stream)) > 0:
                waiting = waiting or memoryview(next(remaining, b""))
                is_sent = not waiting
                room = min(room, http2.max_outbound_frame_size)
                http2.send_data(stream, waiting[:room].tobytes(), end_stream=is_sent)
                waiting = waiting[room:]
                channel.sendall(http2.data_to_send())
                end = time.monotonic() + limits.PATIENCE
            channel.sendall(http2.data_to_send())
            if time.monotonic() > end:
                raise ConnectionLostError("the remote cache stopped sending the blob")
            if not (data := channel.recv(limits.PIECE)):
                raise ConnectionLostError(_CLOSED)
            try:
                events = http2.receive_data(data)
            except ProtocolError as error:
                raise ConnectionLostError(f"the remote cache sent invalid HTTP/2 data: {error}") from None
            received = b""
            for event in events:
                if isinstance(event, (ResponseReceived, TrailersReceived)):
                    headers |= dict(event.headers)
                elif isinstance(event, DataReceived):
                    received += event.data
                    end = time.monotonic() + limits.PATIENCE if event.data else end
                    http2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, StreamReset):
                    raise ConnectionLostError("the remote cache reset the stream")
                ended = ended or isinstance(event, StreamEnded)
            channel.sendall(http2.data_to_send())
            since = time.monotonic()
            yield received
            end += time.monotonic() - since  # the registry might read slowly
    return headers


def _request_headers(where: Settings, path: str) -> list[tuple[str, str]]:
    """Return the HTTP/2 headers of a gRPC request."""
    return [
        (":method", "POST"),
        (":scheme", "https" if where.scheme == "grpcs" else "http"),
        (":path", path),
        (":authority", f"{where.host}:{where.port}"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *where.headers,
    ]


def _check_status(where: Settings, digest: str, status: int | None) -> None:
    if status is None:
        raise ConnectionLostError("the remote cache returned an invalid gRPC status")
    if status in _RETRIED:
        raise ConnectionLostError(f"the remote cache returned gRPC status {status}")
    if status != _OK:
        reason = _DENIED.get(status, f"gRPC status {status}")
        raise _refused(where, digest, reason, missing=status == _NOT_FOUND)


def _refused(where: Settings, digest: str, reason: str, *, missing: bool) -> BentoError:
    if missing:
        remedy = "Run `bazel clean` and build again, or run without --@rules_bento//rules:push_from=cache."
        return BentoError(f"blob sha256:{digest} isn't in the cache anymore", place=str(where), remedy=remedy)
    return BentoError(
        f"cannot read blob sha256:{digest}: {reason}",
        place=str(where),
        remedy="If the cache requires authentication, pass the build's --remote_header, --credential_helper, or "
        "--tls_client_certificate after `--`.",
    )


def connect(where: Settings) -> socket.socket:
    """Connect to a gRPC server."""
    channel = socket.create_connection((where.host, where.port), timeout=limits.PATIENCE)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if where.scheme != "grpcs":
        return channel
    context = _tls(where)
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(channel, server_hostname=where.host)


def _tls(where: Settings) -> ssl.SSLContext:
    """Return the TLS settings for the cache. Raises BentoError for a file that can't be loaded."""
    context = host_settings.tls_context(f"{where.host}:{where.port}")
    try:
        if where.authority:
            context.load_verify_locations(where.authority)
        if where.certificate:
            context.load_cert_chain(where.certificate, where.key or None)
    except OSError as error:
        problem = f"--tls_certificate, --tls_client_certificate, --tls_client_key: cannot load the files: {error}"
        remedy = "Check that the files exist and are PEM files, and that the key belongs to the certificate."
        raise BentoError(problem, remedy=remedy) from None
    return context


@contextmanager
def _retried_errors(where: Settings) -> Iterator[None]:
    """Convert certificate errors to BentoError, and other connection errors to ConnectionLostError."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        remedy = "For a private CA, pass --tls_certificate."
        problem = f"the certificate isn't trusted: {error.verify_message}"
        raise BentoError(problem, place=str(where), remedy=remedy) from None
    except (BrokenPipeError, ConnectionResetError) as error:
        raise ConnectionLostError(_CLOSED) from error
    except OSError as error:
        raise ConnectionLostError(repr(error)) from error


def _read_request(resource: str, start: int) -> bytes:
    """Encode a `google.bytestream.ReadRequest` (resource_name: field 1, read_offset: field 2) as a gRPC message."""
    name = resource.encode()
    message = b"\x0a" + varint(len(name)) + name + (b"\x10" + varint(start) if start else b"")
    return b"\0" + len(message).to_bytes(4, "big") + message  # the frame: uncompressed, and the size


def _contents(received: bytearray) -> Iterator[bytes]:
    """Remove complete messages from `received`, and yield the data (field 10) of each `ReadResponse`.

    Raises BentoError for a compressed or oversized message, and ConnectionLostError for an invalid message.
    """
    while len(received) >= 5:
        length = int.from_bytes(received[1:5], "big")
        if received[0] or length > limits.MESSAGE:
            problem = f"a message of {length} bytes, but the limit is {limits.MESSAGE} bytes"
            raise BentoError(
                "--remote_cache: the remote cache sent "
                f"{'an unsupported compressed message' if received[0] else problem}",
                remedy="Run without --@rules_bento//rules:push_from=cache.",
            )
        if len(received) < 5 + length:
            return
        message = bytes(received[5 : 5 + length])
        del received[: 5 + length]
        at = 0
        while at < len(message):
            key, at = _number(message, at)
            size, at = _number(message, at)
            if key & 7 != 2 or at + size > len(message):
                raise ConnectionLostError("the remote cache sent an invalid message")
            if key >> 3 == 10 and size:
                yield message[at : at + size]
            at += size


def varint(value: int) -> bytes:
    """Encode a number as in protocol buffers."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*groups, value))


def _number(message: bytes, at: int) -> tuple[int, int]:
    """Return the varint at `at`, and the next position. Raises ConnectionLostError for an invalid varint."""
    value = shift = 0
    for end in range(at, min(at + 10, len(message))):  # of 64 bits
        value |= (message[end] & 0x7F) << shift
        shift += 7
        if message[end] < 0x80:
            return value, end + 1
    raise ConnectionLostError("the remote cache sent an invalid message")
