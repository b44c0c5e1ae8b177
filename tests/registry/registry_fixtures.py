"""Fixtures for tests: registries, clients that don't wait, and a user without credentials."""

import pytest
from rules_bento.base.net.transfers import Progress
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.reference import Reference

from tests.registry import servers

_VARIABLES = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "NETRC", "SSL_CERT_FILE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Return the home directory of a user without credentials, proxies, and certificates."""
    directory = tmp_path / "user"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    for name in (*_VARIABLES, *_PROXIES, *map(str.upper, _PROXIES), "BENTOML_HOME"):
        monkeypatch.delenv(name, raising=False)
    return directory


@pytest.fixture(scope="session")
def registry_binary(tmp_path_factory):
    binary = servers.find_binary(tmp_path_factory.mktemp("docker-registry"))
    if not binary:
        pytest.skip("no docker-registry is here: it comes with Bazel")
    return binary


@pytest.fixture(scope="session")
def server(registry_binary, tmp_path_factory):
    """Yield a registry without authentication."""
    with servers.serve(registry_binary, tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def second_server(registry_binary, tmp_path_factory):
    """Yield another registry without authentication."""
    with servers.serve(registry_binary, tmp_path_factory.mktemp("second")) as running:
        yield running


@pytest.fixture
def registries():
    with Registries(sleep=lambda _: None) as made:
        yield made


@pytest.fixture
def progress():
    return Progress("test")


@pytest.fixture
def name(request):
    """Return a repository name that is unique for the test."""
    text = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    return text.strip("-")[-100:].lstrip("-")


@pytest.fixture
def reference(server, name):
    return Reference.parse(f"{server.host}/t/{name}")
