"""Azure, against azurite: AZURITE names its program `azurite-blob`, which npm installs, so that this is run by hand."""

from __future__ import annotations

import os
import socket
import subprocess
import time

import pytest
from bento_cli.transports.address import MissingError

from tests.transports.relay import Fault, Relay
from tests.transports.support import TAG, empty, same

pytestmark = pytest.mark.skipif(
    "AZURITE" not in os.environ, reason="AZURITE doesn't name the program azurite-blob of npm"
)

# That of azurite's documentation; it is no secret.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """That of an azurite with the container `box`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    options = ["--silent", "--skipApiVersionCheck", "--inMemoryPersistence", "--blobPort", str(number)]
    directory = tmp_path_factory.mktemp("azurite")
    with subprocess.Popen([os.environ["AZURITE"], *options], cwd=directory) as process:
        try:
            _wait(number)
            _make_container(number)
            yield number
        finally:
            process.terminate()


def _wait(number):
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", number)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("azurite does not listen")


def _make_container(number):
    import base64
    import hashlib
    import hmac
    import urllib.request
    from email.utils import formatdate

    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = f"PUT\n{chr(10) * 11}{canonical}/devstoreaccount1/devstoreaccount1/box\nrestype:container"
    signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey devstoreaccount1:{base64.b64encode(signature).decode()}"
    url = f"http://127.0.0.1:{number}/devstoreaccount1/box?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, b"", {**headers, "Content-Type": ""}, method="PUT")).close()


@pytest.fixture
def through(monkeypatch):
    """Makes a port the one of the account."""

    def use(number):
        monkeypatch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING",
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};"
            f"BlobEndpoint=http://127.0.0.1:{number}/devstoreaccount1;",
        )

    return use


@pytest.mark.parametrize("name", ["a/hi.bento", "hi.zip", "hi.tar"])
def test_what_is_exported_comes_back(port, through, name, store, other, quick):
    through(port)
    assert str(store.bentos.export(TAG, f"az://box/{name}").path) == f"az://box/{name}"
    other.bentos.import_archive(f"abfs://box/{name}")
    assert same(store, other)


def test_nothing_there(port, through, other, store):
    through(port)
    with pytest.raises(MissingError):
        other.bentos.import_archive("az://box/nothing.bento")
    with pytest.raises(MissingError, match="az://none/x.bento: not found"):
        store.bentos.export(TAG, "az://none/x.bento")
    assert empty(other)


def test_transfers_survive_interruptions_and_server_errors(port, through, store, other, quick):
    with Relay(port, *(Fault(cut_up=size) for size in (1, 5_000, 300_000)), Fault(status=503)) as relay:
        through(relay.port)
        store.bentos.export(TAG, "az://box/cut.tar")
        assert relay.met >= 3
    with Relay(port, *(Fault(cut_down=size) for size in (0, 5_000, 300_000)), Fault(status=503)) as relay:
        through(relay.port)
        other.bentos.import_archive("az://box/cut.tar")
        assert relay.met >= 3
    assert same(store, other)
