"""Fixtures for all tests of registries."""

import pytest

from tests.registry import servers
from tests.registry.registry_fixtures import (
    home,
    name,
    progress,
    reference,
    registries,
    registry_binary,
    second_server,
    server,
)

__all__ = ["home", "name", "progress", "reference", "registries", "registry_binary", "second_server", "server"]


@pytest.fixture
def tls(tmp_path):
    if not servers.has_openssl():
        pytest.skip("no openssl is here, which makes the certificates")
    return servers.Tls(tmp_path / "tls")
