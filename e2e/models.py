"""Fetches models from local servers: files and exports over HTTP, a fake Hugging Face Hub, and a registry."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import tarfile
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from indexes import files_with
from registry_server import RegistryServer
from server import SECONDS
from workbench import with_python_here

from tests.helpers.loopback import Handler, running

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

TOKEN = "hf_secretOfTheHub"
REVISION = "0123456789abcdef0123456789abcdef01234567"
# Bazel's download cache finds a file by its hash, so the files of each run differ.
RUN = secrets.token_bytes(8)
FILES = {"config.json": f'{{"model_type": "{RUN.hex()}"}}'.encode(), "deep/weights 1.pt": RUN * 128_000}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MODEL_YAML = """\
name: exported
version: v7
module: ''
labels: {stage: prod}
options: {}
metadata: {accuracy: 0.9}
context: {framework_name: '', framework_versions: {}, bentoml_version: 1.4.39, python_version: '3.11'}
signatures: {}
api_version: v1
creation_time: '2026-01-02T03:04:05+00:00'
"""
MODULE = """\
module(name = "models")
bazel_dep(name = "rules_bento", version = "0.1.0")
local_path_override(module_name = "rules_bento", path = "../..")
bento_files = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_files")
bento_files.hugging_face_model(name = "hub", repository = "acme/tiny", revision = "{revision}", files = {files})
bento_files.http_model(name = "plain", url = "{address}/plain", files = {files}, tag = "plain:v1")
bento_files.model_archive(name = "exported", url = "{address}/exported.bentomodel", sha256 = "{archive}")
bento_files.http_model(name = "changed", url = "{address}/plain", files = {{"config.json": "{wrong}"}})
bento_files.oci_model(name = "pushed", image = "127.0.0.1:{port}/plain", digest = "{digest}")
bento_files.hugging_face_model(name = "branch", repository = "acme/tiny", revision = "main", files = {files})
use_repo(bento_files, "branch", "changed", "exported", "hub", "plain", "pushed")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_package", "bento_push")

bento_push(name = "push", src = "@plain", remote_tags = ["v1"])

[
    bento_package(
        name = name,
        srcs = ["service.py"],
        models = models,
        requirement_specifiers = ["bentoml==1.4.39"],
        service = "service:Service",
    )
    for name, models in {
        "without": [],
        "all": ["@exported", "@hub", "@plain"],
        "wrong": ["@changed"],
        "moving": ["@branch"],
        "from_registry": ["@pushed"],
    }.items()
]
"""
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Service:\n    pass\n"


def models_are_fetched(bench: Workbench) -> str:
    """Fetch models only for targets that require them, and verify their hashes. The token is sent but never stored."""
    checkout = bench.consumer()
    archive = exported()
    with server(archive) as (address, asked):
        write_workspace(checkout, address, archive)
        checkout.build("//:without")
        assert not asked, f"downloaded, but not required: {asked}"
        # In a separate build, because a public model would store the same contents in the repository cache.
        without = checkout.bazel("build", "@hub", HF_ENDPOINT=address, HF_TOKEN=TOKEN)
        assert without.code != 0, "the token of the Hub was sent to another server"
        home = bench.directory / "models-home"
        home.mkdir()
        (home / ".netrc").write_text(f"machine 127.0.0.1 login user password {TOKEN}\n", "utf-8")
        built = checkout.build("//:all", HF_ENDPOINT=address, HOME=str(home))
        models_are_in(checkout)
        assert origin(checkout, "hub") == (f"acme/tiny@{REVISION}", "")
        assert origin(checkout, "plain") == ("", f"{address}/plain")
        assert origin(checkout, "exported") == ("", f"{address}/exported.bentomodel")
        wrong = checkout.bazel("build", "//:wrong")
        assert "Checksum was" in wrong.errors, wrong.told()
        moving = checkout.bazel("build", "//:moving", HF_ENDPOINT=address)
        assert "Use a commit hash (40 hexadecimal digits)" in moving.errors, moving.told()
        a_pushed_model_is_pulled(checkout, bench, address, archive)
    shown = [result.command for result in (without, built) if TOKEN in result.output + result.errors]
    assert not shown, f"the token is shown by {shown}"
    kept = files_with(TOKEN.encode(), checkout.root.parent / "scratch")
    assert not kept, f"the token is in {kept}"
    return f"{len(asked)} requests for a snapshot, files and an export, none without need; one through a registry"


def a_pushed_model_is_pulled(checkout: Checkout, bench: Workbench, address: str, archive: bytes) -> None:
    """Push a model to a real registry and pull it: the contents and the tag are the same."""
    with RegistryServer(bench.directory / "models-registry") as registry:
        host = f"127.0.0.1:{registry.port}"
        behind = ("--", "--insecure", host, "--repository", f"{host}/plain")
        checkout.bazel("run", "//:push", *behind).succeeded()
        request = urllib.request.Request(f"http://{host}/v2/plain/manifests/v1", headers={"Accept": MANIFEST})
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            digest = response.headers["Docker-Content-Digest"]
        write_workspace(checkout, address, archive, registry.port, digest)
        checkout.build("//:from_registry")
        assert origin(checkout, "pushed") == ("", f"oci://{host}/plain@{digest}")
    with tarfile.open(checkout.directory / "bazel-bin/from_registry.bento", "r:xz") as bento:
        names = {name.removeprefix("./"): name for name in bento.getnames()}
        for path, content in FILES.items():
            assert bento.extractfile(names[f"models/plain/v1/{path}"]).read() == content, path


def origin(checkout: Checkout, name: str) -> tuple[str, str]:
    """Return the origin in the description of a model, which SBOMs contain."""
    [path] = (checkout.directory / "bazel-bin/external").glob(f"*{name}/{name}.model.json")
    description = json.loads(path.read_text())
    return description["hugging_face"], description["origin"]


def models_are_in(checkout: Checkout) -> None:
    with tarfile.open(checkout.directory / "bazel-bin/all.bento", "r:xz") as bento:
        names = {name.removeprefix("./"): name for name in bento.getnames()}
        latest = bento.extractfile(names["models/hub/latest"]).read().decode()
        for directory in (f"models/hub/{latest}", "models/plain/v1"):
            for path, content in FILES.items():
                assert bento.extractfile(names[f"{directory}/{path}"]).read() == content, f"{directory}/{path}"
        text = bento.extractfile(names["models/exported/v7/model.yaml"]).read().decode()
    assert "accuracy: 0.9" in text, text
    assert "2026-01-02T03:04:05" in text, text


def exported() -> bytes:
    """Return an archive as `bentoml models export` writes it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as file:
        for path, content in {"model.yaml": MODEL_YAML.encode(), "weights.bin": RUN}.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def write_workspace(
    checkout: Checkout, address: str, archive: bytes, port: int = 9, pushed: str = f"sha256:{'0' * 64}"
) -> None:
    files = json.dumps({path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()})
    digest = hashlib.sha256(archive).hexdigest()
    values = {"address": address, "archive": digest, "files": files, "revision": REVISION, "wrong": "0" * 64}
    values |= {"port": str(port), "digest": pushed}
    checkout.write("MODULE.bazel", with_python_here(MODULE.format(**values)))
    checkout.write("BUILD.bazel", BUILD)
    checkout.write("service.py", SERVICE)


@contextmanager
def server(archive: bytes):
    """Run a server that redirects large files of the Hub. Yields its address and the list of requested paths."""
    asked: list[str] = []
    snapshot = f"/acme/tiny/resolve/{REVISION}/"

    class Files(Handler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            asked.append(path)
            if path.startswith(snapshot):
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self.send(401)
                elif path.endswith(".pt"):
                    self.send(302, headers={"Location": f"/cdn/{self.path.removeprefix(snapshot)}"})
                else:
                    self.send(200, FILES[path.removeprefix(snapshot)])
                return
            found = {f"/{place}/{name}": content for place in ("cdn", "plain") for name, content in FILES.items()}
            found["/exported.bentomodel"] = archive
            self.send(200 if path in found else 404, found.get(path, b""))

    with running(Files) as served:
        yield f"http://{served.host}", asked
