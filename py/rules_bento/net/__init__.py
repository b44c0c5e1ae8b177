"""HTTP client: connections, TLS, proxies, retries, parallel transfers, and progress lines.

The package is independent of registries, stores, and Bentos.
"""

from __future__ import annotations


class ConnectionLostError(Exception):
    """Raised if a connection or response is interrupted. The caller can retry. Users never see this error."""


class SourceLostError(ConnectionLostError):
    """Raised if the connection to the source of an upload is lost. Users see the message, which names the source."""
