"""Measures a remote cache for `bento doctor --cache`."""

from __future__ import annotations

import hashlib
import os
import time
from urllib.parse import unquote_to_bytes

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError, missing_package
from rules_bento.base.net import ConnectionLostError
from rules_bento.base.net.transport import Transport
from rules_bento.base.typing_lite import Callable, Iterator
from rules_bento.run import remote_cache

from bento_cli.cli.diagnosis import ERROR, OK, WARNING, Finding

_PIECE = 1 << 20  # bytes
_LARGEST = 256  # pieces
_PATIENCE = 600  # seconds
_LARGE_BLOB = 2000  # MB, such as a file of weights
_WRITE = "/google.bytestream.ByteStream/Write"


class _Blob:
    def __init__(self, count: int) -> None:
        self.count = count
        self.piece = os.urandom(_PIECE)

    @property
    def size(self) -> int:
        return len(self.piece) * self.count

    @property
    def digest(self) -> str:
        digest = hashlib.sha256()
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        return iter([self.piece] * self.count)


def check(url: str) -> Finding:
    """Upload blobs of 1 to 256 MiB to a cache until it rejects one, and return the flags that it needs."""
    scheme = url.partition("://")[0]
    if scheme not in ("http", "https", "grpc", "grpcs"):
        raise BentoError(f"expected a URL with grpc, grpcs, http, or https, got {url!r}.", place="--cache")
    transport, accepted, seconds, problem = Transport(_PATIENCE), 0, 0.0, ""
    upload = _grpc(url) if scheme.startswith("grpc") else _http(url, transport)
    try:
        while accepted < _LARGEST and not problem:
            blob = _Blob(accepted * 2 or 1)
            began = time.monotonic()
            try:
                problem = upload(blob)
            except (BentoError, ConnectionLostError) as error:
                problem = str(error)
            if not problem:
                accepted, seconds = blob.count, max(time.monotonic() - began, 0.001)
    finally:
        transport.close()
    if not accepted:
        return Finding("cache", ERROR, f"{url} doesn't accept uploads ({problem})", "Check the URL and credentials.")
    speed = accepted * _PIECE / 1e6 / seconds
    text = f"{url} accepts blobs of {accepted} MiB, with {speed:,.0f} MB/s"
    remedy = f"Add to .bazelrc: common --remote_timeout={max(60, round(2 * _LARGE_BLOB / speed))}s"
    if not problem:
        return Finding("cache", OK, text, remedy)
    remedy += ". Raise the limit of the cache and of proxies."
    return Finding("cache", WARNING, f"{text}, but not of {accepted * 2} MiB ({problem})", remedy)


def _http(url: str, transport: Transport) -> Callable[[_Blob], str]:
    """Return a function that uploads a blob, and returns the problem, or an empty string."""

    def upload(blob: _Blob) -> str:
        with transport.exchange("PUT", f"{url.rstrip('/')}/cas/{blob.digest}", {}, blob) as response:
            return "" if response.status < 300 else f"status {response.status}"

    return upload


def _grpc(url: str) -> Callable[[_Blob], str]:
    """Return the same function for a cache with gRPC. The path of the URL is the name of the instance."""
    try:
        import h2  # noqa: F401
    except ImportError:
        raise missing_package("--cache: measuring a cache with gRPC", "h2") from None
    where = remote_cache.settings(remote_cache.CacheOptions.from_user([f"--remote_cache={url}"]))
    assert where
    where = replace(where, instance=where.path.strip("/"))
    return lambda blob: _write(where, blob)


def _write(where: remote_cache.Settings, blob: _Blob) -> str:
    response = remote_cache.call(where, _WRITE, _messages(where, blob))
    while True:
        try:
            next(response)
        except StopIteration as end:
            return _problem(end.value)


def _problem(answer: dict[bytes, bytes]) -> str:
    status = answer.get(b"grpc-status", b"").decode("latin-1")
    if not status:
        return f"status {answer.get(b':status', b'missing').decode('latin-1')}, without gRPC"
    message = unquote_to_bytes(answer.get(b"grpc-message", b"")).decode(errors="replace")[:200]
    return "" if status == "0" else f"gRPC status {status}{message and ': '}{message}"


def _messages(where: remote_cache.Settings, blob: _Blob) -> Iterator[bytes]:
    """Yield a `google.bytestream.WriteRequest` for each piece, as gRPC messages.

    Fields: resource_name 1 (only in the first request), write_offset 2, finish_write 3, and data 10.
    """
    from uuid import uuid4

    parts = (where.instance, "uploads", str(uuid4()), "blobs", blob.digest, str(blob.size))
    name = "/".join(filter(None, parts)).encode()
    for number, piece in enumerate(blob):
        message = b"" if number else b"\x0a" + remote_cache.varint(len(name)) + name
        message += b"\x10" + remote_cache.varint(number * len(piece))
        message += b"\x18\x01" if number == blob.count - 1 else b""
        message += b"\x52" + remote_cache.varint(len(piece)) + piece
        yield b"\0" + len(message).to_bytes(4, "big") + message
