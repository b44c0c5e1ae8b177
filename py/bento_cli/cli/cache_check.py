"""Measures a remote cache for `bento doctor --cache`."""

from __future__ import annotations

import hashlib
import os
import time

from rules_bento.errors import BentoError
from rules_bento.net.transport import Transport
from rules_bento.typing_lite import Iterator

from bento_cli.cli.diagnosis import ERROR, OK, WARNING, Finding

_PIECE = 1 << 20  # bytes
_LARGEST = 256  # pieces
_PATIENCE = 600  # seconds
_LARGE_BLOB = 2000  # MB, such as a file of weights


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
    """Upload blobs of 1 to 256 MiB to an HTTP cache until it rejects one, and return the flags that it needs."""
    if not url.startswith(("http://", "https://")):
        raise BentoError(
            f"expected an http or https URL, got {url!r}. Caches with gRPC aren't measured.",
            place="--cache",
        )
    transport, accepted, seconds, problem = Transport(_PATIENCE), 0, 0.0, ""
    try:
        while accepted < _LARGEST and not problem:
            blob = _Blob(accepted * 2 or 1)
            began = time.monotonic()
            try:
                with transport.exchange("PUT", f"{url.rstrip('/')}/cas/{blob.digest}", {}, blob) as response:
                    problem = "" if response.status < 300 else f"status {response.status}"
            except BentoError as error:
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
