"""Fixtures for all tests of sharing."""

from tests.sharing.build_support import builds
from tests.sharing.cache_support import keys, machines
from tests.sharing.debian_support import mirror
from tests.sharing.hub_support import hub, served
from tests.sharing.image_support import local, machine, wheels
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
    stub,
)

__all__ = ["bento", "builds", "documents_read", "hub", "keys", "local", "machine", "machines", "mirror", "name"]
__all__ += [
    "other",
    "progress",
    "reference",
    "registries",
    "registry_binary",
    "second_server",
    "served",
    "server",
    "store",
    "stub",
    "wheels",
]
