"""Builds images on bases from a registry and on archives, which are pulled only if they are needed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distribution
from container import call
from workbench import gunzip

from tests.registry import servers
from tests.registry.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench import Checkout, Workbench

MODULE = """
bento_files.base(
    name = "pulled",
    digest = "{digest}",
    image = "{host}/base/python",
    mirrors = ["{mirror}/base/python"],
    package_metadata_bzl = "//tests/toolchains:package_metadata.bzl",
    python = "/usr/bin/python3",
)
bento_files.base(name = "saved", archive = "//tests/bases:python.tar", python = "/usr/bin/python3")
bento_files.base(name = "bare", archive = "//tests/bases:bare.tar", python_version = "3.13")
bento_files.base(name = "partial", layout = "//tests/bases:partial/index.json", python_version = "3.13")
bento_files.base(name = "nowhere", digest = "{digest}", image = "{host}/base/other", python_version = "3.13")
use_repo(bento_files, "bare", "nowhere", "partial", "pulled", "saved")
"""
BUILD = """\
load("//rules:defs.bzl", "bento_image", "bento_push")

exports_files(glob(["**"]))

[
    bento_image(
        name = base,
        base = "@" + base.removesuffix("_compiled"),
        bento = "//examples/iris:iris_bento",
        bytecode = "unchecked-hash" if "_" in base else "none",
        compression = "gzip",
    )
    for base in ["bare", "pulled", "pulled_compiled", "saved"]
]

bento_push(name = "push", src = ":pulled", repositories = ["{host}/team/app"])
"""
LAYER = "tests/images/gzip_base.layer.gzip"
ARCHITECTURES = ("amd64", "arm64", "s390x")
FETCHED = "--//rules:base_layers=fetched"


def images_build_on_pulled_bases(bench: Workbench) -> str:
    """Build on a base behind a password and a mirror: only two documents are read, and layers are pulled on demand."""
    distribution.need("skopeo")
    checkout = bench.plain
    checkout.build("//tests/images:gzip_debs_layer")
    # The second layer is unique to this run, so no cache contains it.
    layers = [(checkout.root / "bazel-bin" / LAYER).read_bytes(), random_layer()]
    layout = bench.directory / "base"
    digest = write_layout(layout, layers)
    binary = distribution.registry_program(bench)
    with (
        servers.serve(binary, bench.directory / "bases", htpasswd=True) as server,
        servers.serve(binary, bench.directory / "mirror") as mirror,
        Relay(server.port) as relay,
    ):
        login = f"--dest-creds={servers.USER}:{servers.PASSWORD}"
        target = f"docker://{server.host}/base/python:3"
        call("skopeo", "copy", "--all", "--quiet", "--dest-tls-verify=false", login, f"oci:{layout}:3", target)
        module = checkout.read("MODULE.bazel")
        added = MODULE.format(digest=digest, host=relay.host, mirror=mirror.host)
        checkout.write("MODULE.bazel", module + added)
        (checkout.root / "tests/bases").mkdir()
        archive = checkout.root / "tests/bases/python.tar"
        call("skopeo", "copy", "--quiet", "--override-arch=amd64", f"oci:{layout}:3", f"docker-archive:{archive}")
        checkout.write("tests/bases/BUILD.bazel", BUILD.format(host=relay.host))
        write_misfits(checkout.root / "tests/bases", layers[1])
        try:
            shown = {"DOCKER_CONFIG": str(distribution.docker_config(bench.directory / "login", relay.host))}
            told = pulled_as_needed(checkout, relay, layers, shown)
            built_by_the_command(checkout, f"{relay.host}/base/python@{digest}", bench.directory / "native", shown)
            unpacked(checkout, layers)
            misfits(checkout, relay, shown)
        finally:
            checkout.write("MODULE.bazel", module)
    return told


def pulled_as_needed(checkout: Checkout, relay: Relay, layers: list[bytes], shown: dict[str, str]) -> str:
    checkout.bazel("build", "//tests/bases:pulled").failed('bento_files.base(name = "pulled")', relay.host)
    checkout.build("//tests/bases:pulled", **shown)
    hexadecimal = hashlib.sha256(layers[1]).hexdigest()
    assert not [line for line in relay.requests if hexadecimal in line], relay.requests
    manifest = json.loads(checkout.read("bazel-bin/tests/bases/pulled.manifest.json"))
    assert [layer["digest"] for layer in manifest["layers"][:2]] == [sha256(layer) for layer in layers]
    assert manifest["annotations"]["org.opencontainers.image.base.name"] == f"{relay.host}/base/python"
    checkout.build("@pulled//:linux_amd64.metadata", **shown)
    [metadata] = (checkout.root / "bazel-bin/external").glob("*pulled/linux_amd64.metadata.*")
    digest = manifest["annotations"]["org.opencontainers.image.base.digest"]
    query = f"arch=amd64&repository_url={relay.host}%2Fbase%2Fpython"
    assert json.loads(metadata.read_text("utf-8")) == {"purl": f"pkg:oci/python@{digest}?{query}"}

    pushed = checkout.bazel("run", "//tests/bases:push", **shown).succeeded()
    assert "2 mounted" in pushed.errors, pushed.told()
    assert not [line for line in relay.requests if line.startswith("GET") and hexadecimal in line], relay.requests

    checkout.bazel("build", "//tests/bases:pulled", "--output_groups=oci_layout", **shown).failed("base_layers=fetched")
    layout = ("//tests/bases:pulled", "--output_groups=oci_layout", FETCHED)
    checkout.build(*layout, **shown)
    call("rm", "-rf", str(checkout.root / "bazel-bin/tests/bases"))
    assert checkout.build(*layout, **shown).ran, "no action ran again"
    fetched = [line for line in relay.requests if line.startswith("GET") and hexadecimal in line]
    assert len(fetched) == 1, fetched
    size = sum(map(len, layers)) / 1e6
    return f"no layer fetched for a build and a push, {size:.0f} MB once for an OCI layout; same digest by the command"


def built_by_the_command(checkout: Checkout, base: str, directory: Path, shown: dict[str, str]) -> None:
    """Check that `bento containerize --backend native` builds the images of bento_image, by their digests."""
    layouts = ("--output_groups=+oci_layout", "//examples/base:python", "//examples/iris:iris_image", FETCHED)
    checkout.build(*layouts, **shown)
    compiled = checkout.read("bazel-bin/examples/iris/iris_image.digest").strip()
    shutil.copytree(checkout.root / "bazel-bin/examples/base/python.oci", directory / "python")
    checkout.build("//tests/bases:pulled", "//examples/iris:iris_bento", "@bento_uv//:program", **shown)
    root = Path(checkout.bazel("info", "execution_root").succeeded().output.strip())
    uv, archive = (
        root / checkout.bazel("cquery", target, "--output=files").succeeded().output.split()[0]
        for target in ("@bento_uv//:program", "//examples/iris:iris_bento")
    )
    (directory / "bin").mkdir(parents=True)
    (directory / "bin/uv").symlink_to(uv.resolve(strict=True))
    environment = f"PATH={directory}/bin:/usr/bin:/bin XDG_CACHE_HOME={directory}/cache"
    command = ("run", f"--run_under=env {environment}", "//tools:bento", "--", "--home", str(directory / "home"))
    checkout.bazel(*command, "import", str(archive), **shown).succeeded()
    options = ("--backend", "native", "--compression", "gzip")
    options += ("--exclude", "joblib:/joblib/test/")  # as in MODULE.bazel
    pulled = checkout.read("bazel-bin/tests/bases/pulled.digest").strip()
    for number, (words, digest) in enumerate(
        (((base, "--no-bytecode"), pulled), ((f"oci:{directory}/python",), compiled))
    ):
        words = ("--output", f"oci:{directory}/{number}", "--base", *words)
        checkout.bazel(*command, "containerize", "iris_classifier:latest", *options, *words, **shown).succeeded()
        [entry] = json.loads((directory / f"{number}/index.json").read_text("utf-8"))["manifests"]
        assert entry["digest"] == digest, entry


def write_misfits(directory: Path, layer: bytes) -> None:
    """Write invalid bases: without libraries, and with a missing blob."""
    write_layout(directory / "bare", [layer], ("amd64",))
    call("skopeo", "copy", "--quiet", f"oci:{directory / 'bare'}:3", f"docker-archive:{directory / 'bare.tar'}")
    shutil.rmtree(directory / "bare")
    write_layout(directory / "partial", [layer], ("amd64",))
    (directory / "partial/blobs/sha256" / sha256(layer).partition(":")[2]).unlink()


def misfits(checkout: Checkout, relay: Relay, shown: dict[str, str]) -> None:
    """Check that each invalid base causes an error with its name, the problem, and a remedy."""
    for target, *texts in (
        ("//tests/bases:bare", "@bare: libc.so.6 is missing", "Use a base with the GNU C library"),
        ("@nowhere", f"{relay.host}/base/other: manifest sha256:", "returned 404", f"`bento login {relay.host}`"),
        ("@partial", "missing blob sha256:", "Copy the whole image into the layout again"),
        ("//tests/bases:pulled_compiled", "but Python 3.13.", '{"3.13": "3.13.1"}', 'image with bytecode = "none"'),
    ):
        refused = checkout.bazel("build", target, **shown)
        assert refused.code != 0, target
        place = f'bento_files.base(name = "{target[1:]}")' if target.startswith("@") else target
        for text in (place, *texts):
            assert text in refused.errors, refused.told()


def unpacked(checkout: Checkout, layers: list[bytes]) -> None:
    """Check that an archive in docker's format, written by skopeo, is also a valid base."""
    checkout.build("//tests/bases:saved", "--output_groups=+oci_layout")
    layout = (checkout.root / "bazel-bin/tests/bases/saved.oci").resolve()
    diff_ids = json.loads(call("skopeo", "inspect", "--config", "--raw", f"oci:{layout}:latest"))["rootfs"]["diff_ids"]
    assert diff_ids[:2] == [sha256(gunzip(layer)) for layer in layers]


def random_layer() -> bytes:
    """Return a layer with a file of random bytes."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as members:
        info = tarfile.TarInfo("etc/random")
        info.size = 100_000
        members.addfile(info, io.BytesIO(os.urandom(info.size)))
    return gzip.compress(tar.getvalue())


def write_layout(
    directory: Path, contents: list[bytes], architectures: Sequence[str] = ("amd64", "arm64", "s390x")
) -> str:
    """Write an OCI layout with an index for these architectures and the tag 3. Returns its digest."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = sha256(content)
        (blobs / digest.partition(":")[2]).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": digest, "size": len(content), **more}

    def document(media_type: str, what: dict[str, Any], **more: Any) -> dict[str, Any]:
        return put(json.dumps(what).encode(), media_type, **more)

    layers = [put(layer, "layer.v1.tar+gzip") for layer in contents]
    diff_ids = [sha256(gunzip(layer)) for layer in contents]
    images = []
    for architecture in architectures:
        platform = {"architecture": architecture, "os": "linux"}
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        config = document(
            "config.v1+json", {**platform, "config": {"Env": ["FROM=base", "PYTHON_VERSION=3.13.1"]}, "rootfs": rootfs}
        )
        manifest = {"schemaVersion": 2, "config": config, "layers": layers}
        images.append(document("manifest.v1+json", manifest, platform=platform))
    index = document("index.v1+json", {"schemaVersion": 2, "manifests": images})
    named = {**index, "annotations": {"org.opencontainers.image.ref.name": "3"}}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    return index["digest"]


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
