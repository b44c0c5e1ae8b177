"""Sends HTTP requests: connections, TLS, proxies, retries, parallel transfers, and progress lines.

The package is independent of registries, stores, and Bentos.
"""

from __future__ import annotations


class ConnectionLostError(Exception):
    """Reports an interrupted connection or response. The caller can retry. Users never see this error."""


class SourceLostError(ConnectionLostError):
    """Reports a lost connection to the source of an upload. Users see the message, which names the source."""
