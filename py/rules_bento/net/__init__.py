"""Implements an HTTP client with TLS, proxies, retries, parallel transfers, and progress lines.

The package is independent of registries, stores, and Bentos.
"""

from __future__ import annotations


class ConnectionLostError(Exception):
    """Raised if a connection or response is interrupted. Callers retry, or convert the error to a BentoError."""


class SourceLostError(ConnectionLostError):
    """Raised if the connection to the source of an upload is lost. The message names the source."""
