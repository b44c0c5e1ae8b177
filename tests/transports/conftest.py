"""Fixtures for all tests of transports."""

from tests.transports.support import archive, files, other, quick, running, serve, store

__all__ = ["archive", "files", "other", "quick", "running", "serve", "store"]
