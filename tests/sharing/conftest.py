"""Fixtures for all tests of sharing."""

from tests.sharing.support import (
    bento,
    documents_read,
    name,
    other,
    progress,
    reference,
    registries,
    registry_binary,
    second_server,
    server,
    store,
)
from tests.sharing.test_image_command import machine
from tests.sharing.test_native import local, wheels

__all__ = ["bento", "documents_read", "local", "machine", "name", "other", "progress", "reference", "registries"]
__all__ += ["registry_binary", "second_server", "server", "store", "wheels"]
