"""HTTP for all who speak it: connections, TLS, proxies, retries, parallel transfers, progress.

It knows nothing of registries, stores or Bentos.
"""

from __future__ import annotations


class ConnectionLostError(Exception):
    """Reports that the connection, or what came over it, ended too early: worth another try. Never reaches people."""


class SourceLostError(ConnectionLostError):
    """Reports a lost connection from which bytes to be sent are read. The text says which, and reaches people."""
