"""Fixtures with stores and servers for the tests of transports."""

from __future__ import annotations

import os
import random

import pytest
from bento_cli.library import Store
from rules_bento.base.net import transfers, transport

from tests.helpers.store_support import bento_files, model_files, write_archive
from tests.transports.dropbox_stand_in import Dropbox
from tests.transports.servers import S3, Ftp, Ftps, Gcs, Http, Sftp

KINDS = {"s3": S3, "gs": Gcs, "ftp": Ftp, "ftps": Ftps, "sftp": Sftp, "http": Http, "dropbox": Dropbox}
WRITABLE = [name for name in KINDS if name != "http"]
TAG = "hi:v1"


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """Yield a function that returns the server of a kind, and starts the server on its first use."""
    found = {}

    def start(kind):
        if kind not in found:
            found[kind] = KINDS[kind](tmp_path_factory.mktemp(kind))
        return found[kind]

    yield start
    for server in found.values():
        server.close()


@pytest.fixture
def serve(running, monkeypatch):
    """Return a function that clears the server of a kind and sets the environment variables for clients."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "DROPBOX_", "GOOGLE_", "STORAGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    known = set()

    def start(kind, port=0):
        server = running(kind)
        if kind not in known:
            known.add(kind)
            server.clear()
        for name, value in server.environment(port).items():
            monkeypatch.setenv(name, value)
        return server

    return start


@pytest.fixture
def quick(monkeypatch):
    """Use short waits, and timeouts that also a slow machine meets."""
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(transport.Transport.__init__, "__defaults__", (5.0,))


def noise(size, seed=1):
    """Return incompressible bytes."""
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="session")
def files():
    """Return the files of a Bento with a model: about 1 MB of incompressible data."""
    model = model_files("clf:v1", payload=noise(800_000))
    return bento_files(TAG, models={"clf:v1": model}, src__data=noise(200_000, 2))


@pytest.fixture(scope="session")
def archive(tmp_path_factory, files):
    """Return the archive of the Bento, exported once because compression is slow."""
    directory = tmp_path_factory.mktemp("archive")
    made = Store(directory / "store", durable=False)
    made.bentos.import_archive(write_archive(directory / "source.bento", files))
    return made.bentos.export(TAG, str(directory / "packed.bento")).path


@pytest.fixture
def store(tmp_path, archive):
    """Return a store with the Bento."""
    found = Store(tmp_path / "ours", durable=False)
    found.bentos.import_archive(archive)
    return found


@pytest.fixture
def other(tmp_path):
    """Return an empty store."""
    return Store(tmp_path / "other", durable=False)


def same(one, two):
    """Return whether two stores have the same Bento and the same model."""
    return one.bentos.list() != () and all(
        _tree(one.section(kind).get(tag).path) == _tree(two.section(kind).get(tag).path)
        for kind, tag in ((one.bentos.kind, TAG), (one.models.kind, "clf:v1"))
    )


def _tree(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def empty(store):
    """Return whether a store contains nothing, not even staged files."""
    directories = [store.home.root / "bentos", store.home.root / "models", store.home.staging]
    return not any(path for entries in directories if entries.exists() for path in entries.iterdir())
