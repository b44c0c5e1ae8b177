"""Machines that share a cache in a registry, and the notes in it."""

import gzip
import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from bento_cli.sharing import registry_cache
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rules_bento.base.formats.oci import MANIFEST, digest_of
from rules_bento.base.net.transfers import Progress
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.registry.blob_sources import BytesSource
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.descriptor import Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_to_registry import push, upload
from rules_bento.images.registry.reference import Reference

from tests.helpers.loopback import Handler, running
from tests.sharing.image_support import make_base, read_facts, sha

PROJECT = """\
[project]
name = "web"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["acme-tools", "bentoml", "large", "tiny"]
"""


@contextmanager
def json_index(directory):
    """An index that states sizes, as PyPI does. Yields the address, the names of downloaded wheels, and a list.

    If a test adds an item to the list, the addresses of wheels expire.
    """
    downloaded, expired = [], []

    class Pages(Handler):
        def do_GET(self):
            place, name = self.path.strip("/").split("/")[-2:]
            if place == f"files{len(expired)}":
                downloaded.append(name)
                self.send(200, (directory / name).read_bytes(), {"Content-Type": "application/octet-stream"})
                return
            found = [path for path in directory.iterdir() if path.name.startswith(f"{name.replace('-', '_')}-")]
            files = [
                {"filename": each.name, "url": f"/files{len(expired)}/{each.name}", "hashes": {"sha256": sha(each)}}
                | {"size": each.stat().st_size}
                for each in found
            ]
            body = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
            form = "application/vnd.pypi.simple.v1+json"
            self.send(200 if found else 404, json.dumps(body).encode(), {"Content-Type": form})

        def do_HEAD(self):
            self.send_error(405)  # uv then reads metadata from the complete wheel

    with running(Pages) as running_server:
        yield f"http://{running_server.host}/simple", downloaded, expired


class Machines:
    """Machines that build a project of one index for one registry. Each has an empty cache."""

    def __init__(self, bento, tmp_path, monkeypatch, host, downloaded, expired):
        self.bento, self.tmp_path, self.monkeypatch = bento, tmp_path, monkeypatch
        self.host, self.downloaded, self.expired = host, downloaded, expired
        self.base = make_base(tmp_path / "base")
        self.number = 0

    @property
    def cache(self):
        """The cache of the last machine."""
        return self.tmp_path / f"cache-{self.number}/rules_bento/native"

    def build(self, *words, tag="web:v1", new=True, code=0, push=True):
        """Build, by default on a new machine. Returns the digest, the downloaded wheels, and the notes."""
        self.number += new
        self.monkeypatch.setenv("XDG_CACHE_HOME", str(self.tmp_path / f"cache-{self.number}"))
        self.downloaded.clear()
        words = ["-t", f"{self.host}/{tag}", *(["--push"] if push else []), *words]
        base = self.base if isinstance(self.base, str) else f"oci:{self.base}"
        words = ["image", self.tmp_path / "project", "--base", base, *words]
        told = self.bento(*words, *(["-o", "json"] if code == 0 else []), code=code)
        return (read_facts(told)["digest"] if code == 0 else ""), sorted(self.downloaded), told


@pytest.fixture
def machines(local, wheels, bento, tmp_path, monkeypatch, server):
    uv = os.environ["RULES_BENTO_UV"]
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with json_index(wheels) as (address, downloaded, expired):
        os.environ.pop("UV_FIND_LINKS", None)
        monkeypatch.setenv("UV_DEFAULT_INDEX", address)
        project = tmp_path / "project"
        project.mkdir()
        (project / "pyproject.toml").write_text(PROJECT)
        (project / "main.py").write_text("print(1)\n")
        words = [uv, "lock", "-q", "--python", sys.executable]
        done = subprocess.run(words, cwd=project, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "size = " in (project / "uv.lock").read_text()
        yield Machines(bento, tmp_path, monkeypatch, server.host, downloaded, expired)


def put_note(host, repository, key, content, layer=b""):
    """Write a note as its repository's owner can, with any content."""
    with Registries() as registries:
        target = registries.repository(Reference.parse(f"{host}/{repository}"))
        for blob in (content, layer):
            upload(target, digest_of(blob), len(blob), BytesSource(blob), Progress())
        config = {"mediaType": registry_cache._CONFIG, "digest": digest_of(content), "size": len(content)}
        layers = [{"mediaType": MEDIA_TYPES["gzip"], "digest": digest_of(layer), "size": len(layer)}]
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        target.put_manifest(Manifest.read(json.dumps(document).encode(), MANIFEST, "x"), key)


def get_notes(host, repository):
    """Return the fields of the notes in a repository, by key."""
    with Registries() as registries:
        source = registries.repository(Reference.parse(f"{host}/{repository}"))
        manifests = {tag: source.get_manifest(tag) for tag in source.tags()}
        return {tag: json.loads(gzip.decompress(source.read_blob(each.config))) for tag, each in manifests.items()}


def push_base(machines, name, base=None):
    """Push the base of the machines, which then use it. Returns its digests: of the image, and of its layer."""
    package = Layout.open(base or machines.base).pushable()
    machines.base = f"{machines.host}/{name}-base:v1"
    with Registries() as registries:
        push(package, [Reference.parse(machines.base)], registries, Progress())
    return package.root.descriptor.digest, package.root.layers()[0].digest


def has_base(machines, layer):
    """Whether the last machine has a layer of the base, and facts that it read from the layer."""
    found = [*machines.cache.glob(f"bases/*/blobs/*/{layer[7:]}")], [*machines.cache.glob("bases/*-contents.json")]
    assert bool(found[0]) is bool(found[1])
    return bool(found[0])


@pytest.fixture
def keys(tmp_path):
    """The paths of a private key, of its public key, and of another public key and its private key."""
    paths = [tmp_path / name for name in ("cosign.key", "cosign.pub", "other.pub", "other.key")]
    pem, public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    for private, path in ((paths[0], paths[1]), (paths[3], paths[2])):
        made = ec.generate_private_key(ec.SECP256R1())
        private.write_bytes(made.private_bytes(pem, form, none))
        path.write_bytes(made.public_key().public_bytes(pem, public))
    return paths
