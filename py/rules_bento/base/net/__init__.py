"""Sends requests with urllib3, with retries, parallel transfers, and progress lines.

The package is independent of registries, stores, and Bentos.
"""

from __future__ import annotations

from rules_bento.base.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.base.errors import BentoError


class ConnectionLostError(Exception):
    """Raised if a connection or response is interrupted, or for the status of a transient error.

    Callers retry after at least `retry_after` seconds, or raise `error` (if set).
    """

    timed_out = False
    without_tls = False  # the server answered without TLS

    def __init__(self, message: str, error: BentoError | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.retry_after = retry_after


class SourceLostError(ConnectionLostError):
    """Raised if the connection to the source of an upload is lost. The message names the source."""
