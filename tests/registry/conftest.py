"""Registries for tests, and clients that wait for nothing."""

from __future__ import annotations

import pytest
import servers
from rules_bento.registry.client import Registries
from rules_bento.registry.progress import Progress
from rules_bento.registry.reference import Reference

_VARIABLES = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "NETRC", "SSL_CERT_FILE")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="session")
def registry_binary(tmp_path_factory):
    binary = servers.find_binary(tmp_path_factory.mktemp("docker-registry"))
    if not binary:
        pytest.skip("no docker-registry is here: it comes with Bazel")
    return binary


@pytest.fixture(scope="session")
def server(registry_binary, tmp_path_factory):
    """A registry that wants to see nothing."""
    with servers.serve(registry_binary, tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def second_server(registry_binary, tmp_path_factory):
    """Another one."""
    with servers.serve(registry_binary, tmp_path_factory.mktemp("second")) as running:
        yield running


@pytest.fixture
def tls(tmp_path):
    if not servers.has_openssl():
        pytest.skip("no openssl is here, which makes the certificates")
    return servers.Tls(tmp_path / "tls")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user without credentials, proxies and certificates."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return folder


@pytest.fixture
def registries():
    with Registries(sleep=lambda _: None) as made:
        yield made


@pytest.fixture
def progress():
    return Progress("test")


@pytest.fixture
def name(request):
    """A repository of the test's own."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower()).strip("-")[-100:]


@pytest.fixture
def reference(server, name):
    return Reference.parse(f"{server.host}/t/{name.lstrip('-')}")
