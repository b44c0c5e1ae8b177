"""HTTP client: connections, TLS, proxies, retries, parallel transfers, and progress lines.

The package is independent of registries, stores, and Bentos.
"""

from __future__ import annotations


class ConnectionLostError(Exception):
    """An interrupted connection or response. The caller can retry. Users never see this error."""


class SourceLostError(ConnectionLostError):
    """A lost connection to the source of an upload. Users see the message, which names the source."""
