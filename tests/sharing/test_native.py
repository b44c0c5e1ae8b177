"""`bento containerize --backend native`: images without a builder, from packages of an index and a layout as base."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard
from bento_cli.cli import status
from bento_cli.library import Store
from bento_cli.sharing import containers, native_base, native_build, native_delivery, native_image, native_packages
from bento_cli.sharing.backends import NATIVE
from bento_cli.sharing.native_base import _find_python, read_base
from bento_cli.store import import_manifests, shared_contents
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import digest_of
from rules_bento.base.net import transfers
from rules_bento.base.net.transfers import Progress
from rules_bento.images.artifacts import signatures
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.reference import Reference
from rules_bento.images.signing.keys import read_private

from tests.helpers.loopback import Handler, running
from tests.helpers.made_wheels import Maker
from tests.helpers.store_support import DAY_1, PACKAGE, bento_files, bento_yaml, model_files, write_archive
from tests.registry import servers
from tests.sharing.image_support import DEBIAN, add, index, locked, make_base, module, read, read_facts, sha
from tests.sharing.support import Totals, own_home

__all__ = ["own_home"]


def test_an_image_is_written_without_a_builder(local, wheels, bento, store, tmp_path):
    base, out = make_base(tmp_path / "base"), tmp_path / "out"
    with index(wheels) as (address, requests):
        add(
            store,
            tmp_path,
            locked(wheels, options=f"--index-url {address}"),
            models={"bert:v1": model_files("bert:v1")},
            files={"src/service.py": b"import bentoml, large\nimport pandas\nimport package.data"},
        )
        words = ["--base", f"oci:{base}", "--output", f"oci:{out}", "-t", "registry.example/nat:v1"]
        told = bento("containerize", "nat", *words, "--label", "who=me")
        assert len({path for path in requests if "/files/" in path and path.endswith(".whl")}) == 4
    assert "Building with native." in told
    assert "service.py:2: no package of the image provides `pandas`. " in told
    config, manifest, contents = read(out)
    digest = digest_of(Layout.open(out).find().content)
    assert f"Base: oci:{base}\nDigest: {digest}\n" in told
    history = [entry["created_by"].removeprefix("rules_bento: ") for entry in config["history"]]
    assert history == [
        "base layer 0", "environment", "large 1.0", "3 small packages", "weights weights.bin", "model bert:v1", "Bento"
    ]  # fmt: skip
    assert config["config"]["Entrypoint"] == ["/app/.venv/bin/python", "-I", "-S", "/app/.venv/bin/entrypoint.py"]
    assert config["config"]["User"] == "1034:1034"
    assert config["config"]["Labels"].items() > {"team": "botany", "who": "me"}.items()
    assert manifest["annotations"]["org.opencontainers.image.created"] == DAY_1
    assert "app/.venv/lib/python3.11/site-packages/large/__init__.py" in contents[2]
    assert "home/bentoml/bento/src/package/data.csv" in contents[-1]
    assert "home/bentoml/bento/models/bert/latest" in contents[-1]
    assert not [name for name in contents[-1] if "weights" in name]

    # Again, without the index: wheels and layers come from caches.
    fields = read_facts(bento("containerize", "nat", "--backend", "native", *words, "-o", "json"))
    assert fields["base"] == f"oci:{base}"
    assert (fields["digest"], fields["sent"]) == (digest_of(Layout.open(out).find().content), 0)
    assert f"Digest: {digest}\n" in bento("image", "nat", *words, "--label", "who=me")


def test_a_directory_precedes_the_tag_of_a_bento(bento, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add(store, tmp_path, b"")
    told = bento("image", "nat", "--extra", "a", code=status.ERROR)
    assert "--extra is for uv projects, but nat isn't a directory. Remove --extra.\n" in told
    assert "'BAD NAME': invalid repository" in bento("image", "nat", "-t", "BAD NAME", code=status.ERROR)
    (tmp_path / "nat").mkdir()
    told = bento("image", "nat", code=status.ERROR)
    assert "nat: no pyproject.toml." in told
    assert "For a BentoML service, run `bento build`, and then `bento image TAG`.\n" in told
    assert "--no-verify is for Bentos, but nat is" in bento("image", "nat", "--no-verify", code=status.ERROR)
    assert "nat: no pyproject.toml." in bento("image", "./nat", code=status.ERROR)
    (tmp_path / "nat/service.py").write_text("")
    told = bento("image", "./nat", code=status.ERROR)
    assert "no pyproject.toml. For a BentoML service, run `bento build`, and then `bento image TAG`. Specify" in told
    told = bento("image", "./nat/service.py", code=status.ERROR)
    assert "nat/service.py: a file, not a directory. Specify the directory of a uv project" in told
    (tmp_path / "service.py").write_text("")
    told = bento("image", "service.py", code=status.ERROR)
    assert "service.py: a file, not a directory or a tag. Specify the project's directory. For a BentoML" in told
    told = bento("image", "mat", code=status.NOT_FOUND)
    assert "contains no Bento with this name (did you mean nat?)." in told
    assert told.endswith("For a project, specify its directory.\n")


@pytest.mark.parametrize(
    "words", [["containerize", "nat", "--backend", "native", "--output", "oci:out", "--base"], ["report"]]
)
def test_a_base_with_other_diff_ids_is_rejected(local, wheels, bento, store, tmp_path, words):
    add(store, tmp_path, locked(wheels))
    base = make_base(tmp_path / "base", diff_id=f"sha256:{'1' * 64}")
    told = bento(*words, f"oci:{base}", code=status.ERROR)
    assert f"the image config contains the diff ID sha256:{'1' * 64}, but the layer has" in told


def test_a_package_comes_from_the_page_that_the_bento_records(local, wheels, store, tmp_path, monkeypatch):
    """As for a `uv.lock` with an explicit index (docs/locks.md). All other packages come from the default index."""
    (tmp_path / "other").mkdir()
    for name, version in (("torch", "2.1+cpu"), ("tiny", "1.0")):
        Maker(name, version).add({f"{name}/other.py": b""}).write(tmp_path / "other")
    [torch] = (tmp_path / "other").glob("torch-*")
    with index(wheels) as (address, _), index(tmp_path / "other") as (other, requests):
        monkeypatch.setenv("UV_DEFAULT_INDEX", address)
        requirements = locked(wheels, ("bentoml", "tiny"), f"--find-links {other}/torch/")
        add(store, tmp_path, requirements + f"torch==2.1+cpu --hash=sha256:{sha(torch)}\n".encode())
        settings = {"base": [f"oci:{make_base(tmp_path / 'base')}"], "output": [f"oci:{tmp_path / 'out'}"]}
        store.containerize("nat:v1", backend="native", options=settings)
    assert {path.partition("torch")[0] for path in requests} == {"/simple/", "/files/"}, "nothing else is requested"
    installed = {name.partition("site-packages/")[2] for names in read(tmp_path / "out")[2] for name in names}
    assert installed >= {"torch/other.py", "torch-2.1+cpu.dist-info/METADATA", "tiny/__init__.py"}


@pytest.mark.parametrize(
    "option", ["--index-url {}/${{SECRET}}/", "--extra-index-url={}/$SECRET", "-f {}/\\${{SECRET}}/", "-f ./${{HOME}}"]
)
def test_no_variable_of_the_machine_is_sent_to_an_index(option, local, wheels, bento, store, tmp_path, monkeypatch):
    """uv replaces `${NAME}` in options of requirements files."""
    monkeypatch.setenv("SECRET", "wJalr")
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    with index(wheels) as (address, requests):
        add(store, tmp_path, locked(wheels, options=option.format(address)))
        told = bento("containerize", "nat", *words, code=status.ERROR)
    assert "requirements.lock.txt:1: -" in told
    assert "the value contains '$', which uv could replace" in told
    assert not requests


def test_uv_gets_only_the_variables_that_it_needs(local, wheels, bento, store, tmp_path, monkeypatch):
    (local / "uv").unlink()
    (local / "uv").write_text(f"#!/bin/sh\n/usr/bin/env > {tmp_path}/variables\nexit 1\n")
    (local / "uv").chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where uv can write
    for name in ("AWS_SECRET_ACCESS_KEY", "https_proxy", "NETRC", "SSL_CERT_FILE", "UV_INDEX"):
        monkeypatch.setenv(name, "x")
    add(store, tmp_path, locked(wheels, options="--no-index"))
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    bento("containerize", "nat", *words, code=status.ERROR)
    names = {line.partition("=")[0] for line in (tmp_path / "variables").read_text().splitlines()}
    assert names > {"HOME", "PATH", "https_proxy", "SSL_CERT_FILE", "UV_CREDENTIALS_DIR"}
    assert names.isdisjoint({"HTTPS_PROXY", "NETRC", "UV_CACHE_DIR", "UV_INDEX"})
    assert "AWS_SECRET_ACCESS_KEY" not in names


@pytest.mark.parametrize("check", [True, False])
def test_a_cached_layer_of_another_model_is_not_used(check, local, wheels, tmp_path, monkeypatch):
    """The same tag, path, size, and modification time, in two stores that share a cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shared_contents, "digest_time", lambda _: 10**18)
    monkeypatch.setattr(import_manifests, "digest_time", lambda _: 10**18)
    base, weights = make_base(tmp_path / "base"), []
    for content in (b"EVIL", b"GOOD"):
        other = Store(tmp_path / content.decode())
        files = model_files() | {"weights.bin": content}
        add(other, tmp_path, locked(wheels, options="--no-index"), models={"clf:v1": files})
        out = tmp_path / f"{content.decode()}.out"
        settings = {"base": [f"oci:{base}"], "output": [f"oci:{out}"], "compression": ["gzip"]}
        containers.containerize(other.home, other.bentos.get("nat"), NATIVE, options=settings, check=check)
        layer = json.loads(Layout.open(out).find().content)["layers"][-3]
        with tarfile.open(Layout.open(out).blob(layer["digest"])) as tar:
            [member] = [member for member in tar.getmembers() if member.isfile()]
            weights.append(tar.extractfile(member).read())
    assert weights == [b"EVIL", b"GOOD"]


def flip(path):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("option", "pattern", "damage"),
    [
        ("push", "layers/*/blob", flip),
        ("output", "layers/*/blob", flip),
        ("output", "layers/*/blob", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("output", "layers/*/blob", Path.unlink),
        ("output", "layers/*/*e*n*", flip),  # description.json, libraries.json, and manifests of models
        ("output", "layers/*/digests", flip),
        ("output", "layers/*/description.json", Path.unlink),
        ("output", "bases/*-contents.json", flip),
        ("output", "bases/*-amd64/index.json", flip),
        ("output", "bases/*-amd64/index.json", lambda path: make_base(path.parent, DEBIAN | {"etc/other": b""})),
        ("output", "bases/*-amd64/blobs/sha256/*", flip),
        ("output", "chosen/*", flip),
        ("output", "wheels/*/*", flip),
    ],
)
def test_a_damaged_cache_is_repaired(
    pattern, damage, option, local, wheels, store, tmp_path, registries, server, monkeypatch, progress
):
    """The image is the same, and complete, as if nothing had been cached."""
    from rules_bento.images.registry.push_to_registry import push

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = Reference.parse(f"{server.host}/base/python:3.11")
    push(Layout.open(make_base(tmp_path / "base")).pushable(), [base], registries, progress)
    native = tmp_path / "cache/rules_bento/native"
    digests = []
    with index(wheels) as (address, _):
        add(
            store,
            tmp_path,
            locked(wheels, options=f"--index-url {address}"),
            models={"bert:v1": model_files("bert:v1")},
        )
        for number, way in enumerate(("output", option, "output")):
            settings = {"base": [str(base)], way: [f"oci:{tmp_path / str(number)}"] if way == "output" else True}
            name = f"{server.host}/x/nat:v1"
            built = store.containerize("nat", names=[name], backend="native", options=settings)
            digests.append(built.digest)
            if way == "output":
                layout = Layout.open(tmp_path / str(number))
                layout.check(layout.find())
            if number == 0:
                paths = list(native.glob(pattern))
                assert paths
                for path in paths:
                    damage(path)
                if pattern.startswith("wheels"):  # wheels are read only to create layers
                    shutil.rmtree(native / "layers")
    assert len(set(digests)) == 1
    server.assert_sound()


def test_layers_of_a_base_are_verified_again_only_if_their_files_change(tmp_path, monkeypatch, progress):
    layout = make_base(tmp_path / "base")
    arguments = (
        SimpleNamespace(cache=tmp_path / "cache", progress=progress, settings={}),
        f"oci:{layout}",
        "linux/amd64",
    )
    before = read_base(*arguments)
    with monkeypatch.context() as patch:
        patch.setattr(native_base, "check_layers", None)
        assert read_base(*arguments).libraries == before.libraries
    path = before.layout.blob(before.image.layers[0].digest)
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(BentoError, match="doesn't match the digest"):
        read_base(*arguments)
    path.unlink()
    with pytest.raises(BentoError, match="missing blob"):
        read_base(*arguments)


@pytest.mark.parametrize("exists", [False, True])
def test_only_the_user_has_access_to_the_cache(exists, local, wheels, store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    native = tmp_path / "cache/rules_bento/native"
    add(store, tmp_path, locked(wheels, options="--no-index"))
    settings = {"base": [f"oci:{make_base(tmp_path / 'base')}"], "output": [f"oci:{tmp_path / 'out'}"]}
    before = os.umask(0)
    try:
        if exists:
            native.mkdir(parents=True)
        store.containerize("nat", backend="native", options=settings)
    finally:
        os.umask(before)
    assert native.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("fields", [{}, {"envs": [{"name": "A"}]}, {"labels": {"a": "b"}}])
def test_a_bento_without_variables_or_labels(fields, local, wheels, store, tmp_path):
    """As other tools can write bento.yaml."""
    content = bento_files("nat:v1", DAY_1, {})
    content["bento.yaml"] = bento_yaml("nat:v1", DAY_1, {}, **fields)
    content["env/python/requirements.lock.txt"] = locked(wheels, options="--no-index")
    store.bentos.import_archive(write_archive(tmp_path / "nat.bento", content))
    settings = {"base": [f"oci:{make_base(tmp_path / 'base')}"], "output": [f"oci:{tmp_path / 'out'}"]}
    store.containerize("nat", backend="native", options=settings)
    assert "PATH=/app/.venv/bin:/usr/local/bin:/usr/bin" in read(tmp_path / "out")[0]["config"]["Env"]


def test_many_interpreters_and_directories_of_path():
    files = {f"d{number}/bin/python3": b"" for number in range(5_000)}
    path = ":".join(f"x{number}" for number in range(50_000))
    start = time.process_time()
    with pytest.raises(BentoError, match="no python3 on PATH"):
        _find_python(files, {"PATH": path}, "base")
    assert time.process_time() - start < 5, "once 13 s; now 0.1 s"


def test_a_changed_line_changes_only_the_layer_of_the_bento(local, wheels, store, tmp_path, monkeypatch):
    options = "--no-index"
    base = make_base(tmp_path / "base")
    layers = []

    def read_no_wheel(*_):
        raise AssertionError

    for version, line in (("v1", b"x = 1\n"), ("v2", b"x = 2\n"), ("v2", b"")):
        if line:
            add(store, tmp_path, locked(wheels, options=options), f"nat:{version}", files={"src__service.py": line})
        settings = {"base": [f"oci:{base}"], "output": [f"oci:{tmp_path / 'out'}"]}
        store.containerize(f"nat:{version}", backend="native", options=settings)
        layers.append(read(tmp_path / "out", f"nat:{version}")[1]["layers"])
        monkeypatch.setattr(native_build.Wheel, "read", read_no_wheel)
        if version == "v2":
            monkeypatch.setattr(native_image, "write_tar_layer", read_no_wheel)
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    assert layers[1] == layers[2]


def test_an_image_is_pushed_from_a_base_of_a_registry(
    local, wheels, bento, store, tmp_path, server, registries, progress
):
    from rules_bento.images.registry.push_to_registry import push
    from rules_bento.images.registry.reference import Reference

    layout = Layout.open(make_base(tmp_path / "base"))
    below = Reference.parse(f"{server.host}/base/python:3.11")
    push(layout.pushable(), [below], registries, progress)
    add(store, tmp_path, locked(wheels, options="--no-index"))
    words = ["--base", str(below), "--push", "-t", f"{server.host}/mounted/nat:v1"]
    told = bento("containerize", "nat", *words)
    digest = layout.find().descriptor.digest
    root = registries.repository(Reference.parse(f"{server.host}/mounted/nat:v1")).get_manifest("v1")
    before, *_, pushed, last = told.partition("note: ")[0].splitlines()[1:]
    assert (before, last) == (f"Base: {below.name}@{digest}", f"Digest: {digest_of(root.content)}")
    mounted = sum(layer.size for layer in layout.pushable().root.layers())
    assert re.fullmatch(rf"Pushed [\d.]+ MiB, and mounted {mounted / 1024:.2f} KiB from another repository\.", pushed)
    annotations = json.loads(root.content)["annotations"]
    assert annotations["org.opencontainers.image.base.name"] == below.name
    assert annotations["org.opencontainers.image.base.digest"] == digest
    assert read_facts(bento("containerize", "nat", *words, "-o", "json"))["sent"] == 0
    told = bento("containerize", "nat", "--base", f"{below.name}:9", *words[2:], code=status.ERROR)
    assert f"--base: {below.name}: manifest 9: the registry returned 404" in told
    told = bento("containerize", "nat", *words, "--platform", "linux/arm64", code=status.ERROR)
    assert f"--base: {below.name}@{digest} contains no image for linux/arm64, only for linux/amd64. Use another" in told
    server.assert_sound()


def test_an_image_is_signed_before_it_gets_its_tag(
    local, wheels, bento, store, tmp_path, server, registries, progress, monkeypatch
):
    private = ec.generate_private_key(ec.SECP256R1())
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "k").write_bytes(private.private_bytes(*encoding))
    reference = Reference.parse(f"{server.host}/signed/nat:v1")
    add(store, tmp_path, locked(wheels, options="--no-index"))
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--push", "-t", str(reference)]
    words += ["--sign-key", str(tmp_path / "k")]
    repository = registries.repository(reference)
    with monkeypatch.context() as patched:
        patched.setattr("rules_bento.images.registry.push_to_registry.push", refuse)
        assert "no push" in bento("containerize", "nat", *words, code=status.ERROR)
    [signature] = servers.tags(reference)
    digest = read_facts(bento("containerize", "nat", *words, "-o", "json"))["digest"]
    assert signature == digest.replace(":", "-")
    assert repository.get_manifest("v1").descriptor.digest == digest
    place = signatures.InRegistry(reference, registries)
    assert signatures.verify(place, digest, read_private("k", tmp_path).public) == reference.name
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "k.pub").write_bytes(public)
    bento("verify", "--key", tmp_path / "k.pub", "--sbom", f"oci://{reference}")


def refuse(*_, **__):
    raise BentoError("no push")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "docker", "--push", "--sign-keyless"], "signing requires --backend native and --push."),
        (["--backend", "native", "--sign-keyless"], "signing requires --backend native and --push."),
        (["--base", "x"], "--base requires --backend native."),
    ],
)
def test_options_of_native_are_for_native_only(words, message, local, bento, store, tmp_path):
    (local / "docker").write_text("#!/bin/sh\nexit 0\n")
    (local / "docker").chmod(0o755)
    assert message in bento("containerize", "hi", *words, code=status.ERROR)


def test_an_image_is_loaded(local, wheels, bento, store, tmp_path):
    (local / "podman").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/argv\n[ "$1" = load ] && /bin/cat > {tmp_path}/loaded\nexit 0\n'
    )
    (local / "podman").chmod(0o755)
    add(store, tmp_path, locked(wheels, options="--no-index"))
    base = make_base(tmp_path / "base")
    told = bento("containerize", "nat", "--backend", "native", "--base", f"oci:{base}", "-t", "nat:a", "-t", "nat:b")
    assert "To run the image: podman run" in told
    assert (tmp_path / "argv").read_text().splitlines() == ["load --quiet", "tag nat:a nat:b"]
    with tarfile.open(tmp_path / "loaded") as archive:
        [entry] = json.load(archive.extractfile("./manifest.json"))
        assert entry["RepoTags"] == ["nat:a"]
        assert {f"./{name}" for name in entry["Layers"]} < set(archive.getnames())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": {"commands": ["echo hi"]}}, "runs 'echo hi' (setup_script, run or run_script), but the native"),
        ({"docker": {"dockerfile_template": "x"}}, "the Bento has docker.dockerfile_template (x), but the native"),
        ({"conda": {"dependencies": ["x"]}}, "the Bento has conda packages, but the native backend can't run commands."),
        (
            {"docker": {"system_packages": ["libgomp1", "ffmpeg"]}},
            "the Bento requires the system package ffmpeg, but oci:",  # the base's /lib isn't a link
        ),
        ({"docker": {"cuda_version": "12.4"}}, "the Bento requires CUDA 12.4 (docker.cuda_version), but oci:"),
        (
            {"image": {"python_version": "3.12"}},
            "has Python 3.11, but nat:v1 requires Python 3.12. Use a base image with Python 3.12, or build the Bento with "
            "`bento build --python-version 3.11`.",
        ),
    ],
)  # fmt: skip
def test_what_needs_a_builder_is_rejected(fields, message, local, wheels, bento, store, tmp_path):
    add(store, tmp_path, locked(wheels, options="--no-index"), **fields)
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    told = bento("containerize", "nat", *words, code=status.ERROR)
    assert message in told
    needs_no_builder = any(text in message for text in ("Python 3.12", "CUDA", "ffmpeg"))
    assert needs_no_builder or "runs the Bento's Dockerfile: docker, buildx" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--secret", "id=a"], "the option secret isn't supported by the native backend. Use `bento containerize` with"),
        (["--compression=lz4"], "--compression: expected gzip or zstd, got 'lz4'."),
        (["--exclude=x"], "--exclude: expected PACKAGE:PATTERN, got 'x'."),
        (["--label", "x"], "--label: expected KEY=VALUE, got"),
        (["--output", "image.tar"], "--output: expected oci:DIR, got 'image.tar'."),
        (["--output", "oci:out.bento"], "--output: out.bento isn't a directory. Specify a new or empty directory"),
        (["--platform", "arm64"], "--platform: expected linux/amd64 or linux/arm64, got 'arm64'."),
        (["--push", "--load"], "--load and --push can't be combined."),
        (["--push"], "--push: the image name nat:v1 has no registry. Use -t HOST/REPOSITORY:TAG."),
        ([], "push the image with --push, or write an OCI layout with --output oci:DIR."),
        (["--enable-features", "grpc"], "the option enable-features isn't supported by the native backend."),
        (["--run-as-root"], "the option run-as-root isn't supported by the native backend."),
        (["--platform", "linux/amd64", "--platform", "linux/arm64"], "push the image with --push, or write an OCI layout"),
        (["--sbom", "true"], "--sbom: expected cyclonedx or spdx or none, got 'true'."),
        (["--size-limit=0"], "--size-limit: expected MEGABYTES, got '0'."),
        (["--platform", "linux/arm64", "--output", "oci:out"], "base contains no image for linux/arm64, only for linux/amd64. Use another base image or another --platform."),
    ],
)  # fmt: skip
def test_options_of_builders_are_rejected(words, message, local, wheels, bento, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add(store, tmp_path, locked(wheels))
    (tmp_path / "out.bento").write_text("")
    base = ["--base", f"oci:{make_base(tmp_path / 'base')}"]
    assert message in bento("containerize", "nat", "--backend", "native", *base, *words, code=status.ERROR)


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        (b"bentoml==1.0\n", "lock.txt:1: the native backend requires a pinned version with hashes for bentoml==1.0."),
        (b"bentoml>=1 --hash=sha256:" + b"0" * 64, "requires a pinned version with hashes for bentoml>=1"),
        (b"-e .\n", "lock.txt:1: unsupported option -e."),
        (b"-r /etc/passwd\n", "lock.txt:1: unsupported option -r."),
        (b"./wheels/x.tar.gz\n", "lock.txt:1: ./wheels/x.tar.gz isn't a wheel, but the native backend installs only"),
        (b"./wheels/x-1-py3-none-any.whl\n", "the Bento doesn't contain ./wheels/x-1-py3-none-any.whl."),
        (b"tiny==1.0 --hash=sha256:" + b"0" * 64, "matches the hashes in the Bento's requirements. Lock"),
        (b"none==1.0 --hash=sha256:" + b"0" * 64, "uv: cannot find wheels of the Bento's packages for Python 3.11."),
    ],
)
def test_packages_without_hashes_or_wheels_are_rejected(requirements, message, local, wheels, bento, store, tmp_path):
    add(store, tmp_path, b"--no-index\n" + requirements)
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    assert message.replace("txt:1", "txt:2") in bento("containerize", "nat", *words, code=status.ERROR)


def test_a_lock_for_another_python_is_rejected(local, wheels, bento, store, tmp_path):
    """`index` declares that the package `later` requires Python 3.12."""
    Maker("later").add({"later/__init__.py": ""}).write(wheels)
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    with index(wheels) as (address, _):
        add(store, tmp_path, locked(wheels, ("bentoml", "later"), f"--index-url {address}"))
        told = bento("containerize", "nat", *words, code=status.ERROR)
    assert "If the packages are locked for another Python version, lock the packages for Python 3.11, and build" in told
    assert "Python>=3.12" in told, "the output of uv"


@pytest.mark.parametrize("has_sizes", [True, False])
def test_the_total_of_downloads_is_known_if_the_server_reports_sizes(tmp_path, has_sizes):
    contents = {f"/p{number}-1-py3-none-any.whl": b"PK\3\4" + os.urandom(5000 * number) for number in range(1, 7)}
    requests = []

    class Index(Handler):
        def do_GET(self):
            requests.append(self.command)
            self.send(200, contents[self.path])

        def do_HEAD(self):
            if has_sizes or "p3" not in self.path:
                self.do_GET()
            else:
                self.send_error(405)

    with running(Index) as server:
        missing = [
            native_packages.LocalWheel(path[1:3], "1", tmp_path / path[1:], hashlib.sha256(data).hexdigest(), f"http://{server.host}{path}")
            for path, data in contents.items()
        ]  # fmt: skip
        counter = Totals()
        native_packages.download(missing, counter)
        assert {*counter.totals} == {sum(map(len, contents.values())) if has_sizes else 0}
        assert counter._done == sum(map(len, contents.values()))
        assert requests[: 5 + has_sizes] == ["HEAD"] * (5 + has_sizes)
        requests.clear()
        native_packages.download(missing, counter)
        assert not requests
        missing[0].path.unlink()
        native_packages.download(missing, Progress())
        assert requests == ["GET"], "no total is shown"


def test_known_packages_need_neither_uv_nor_an_index(local, wheels, store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = {"base": [f"oci:{make_base(tmp_path / 'base')}"], "output": [f"oci:{tmp_path / 'out'}"]}
    with index(wheels) as (address, _):
        add(store, tmp_path, locked(wheels, options=f"--index-url {address}"))
        first = store.containerize("nat", backend="native", options=settings)
    (local / "uv").unlink()
    assert store.containerize("nat", backend="native", options=settings) == first
    next((tmp_path / "cache").rglob("tiny*.whl")).unlink()
    with pytest.raises(BentoError, match="uv, which finds .* isn't installed"):
        store.containerize("nat", backend="native", options=settings)


def test_a_bento_without_bentoml_is_rejected(local, wheels, bento, store, tmp_path):
    add(store, tmp_path, locked(wheels, ["tiny"], "--no-index"))
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    assert "the requirements don't include bentoml" in bento("containerize", "nat", *words, code=status.ERROR)


def test_wheels_of_the_bento_and_markers(local, wheels, store, tmp_path):
    """A wheel in src/ is installed, a package for other systems is not, files are excluded."""
    own = (wheels / "tiny-1.0-py3-none-any.whl").read_bytes()
    text = locked(wheels, ["bentoml"], "--no-index")
    text += b'none==1 ; sys_platform == "win32"\n./wheels/tiny-1.0-py3-none-any.whl\n'
    add(store, tmp_path, text, files={"src__wheels/tiny-1.0-py3-none-any.whl": own})
    settings = {"base": [f"oci:{make_base(tmp_path / 'base')}"], "output": [f"oci:{tmp_path / 'out'}"]}
    settings |= {"exclude": ["tiny:/tiny/tests/"], "compression": ["gzip"]}
    store.containerize("nat", backend="native", options=settings)
    _, manifest, contents = read(tmp_path / "out")
    assert {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"][1:]} == {"gzip"}
    site = "app/.venv/lib/python3.11/site-packages"
    assert {f"{site}/tiny/__init__.py", f"{site}/bentoml/tests/x.py"} <= set(contents[2])
    assert f"{site}/tiny/tests/x.py" not in contents[2]


def test_shared_libraries_of_packages_are_checked(local, wheels, bento, store, tmp_path, monkeypatch):
    """With the code of `bento_image`, before layers are built. A repeated run doesn't read wheels."""
    Maker("quick").add({"quick/__init__.py": "", "quick/_quick.so": module("_quick")}).write(wheels)
    Maker("newer").add({"newer/_newer.so": module("_newer", "GLIBC_2.38")}).write(wheels)
    options = "--no-index"
    add(store, tmp_path, locked(wheels, ("bentoml", "quick"), options))
    add(store, tmp_path, locked(wheels, ("bentoml", "newer"), options), "nat:v2")
    libraries = {"lib/libc.so.6": b"\x7fELF", "usr/lib/libstdc++.so.6": "libstdc++.so.6.0.30"}
    alpine = make_base(tmp_path / "alpine")
    base = make_base(tmp_path / "base", DEBIAN | {"lib/libc.so.6": b"\x7fELF"})
    complete = make_base(tmp_path / "complete", DEBIAN | libraries)

    def run(base, *words, code=0, tag="nat:v1"):
        more = ["--base", f"oci:{base}", "--output", f"oci:{tmp_path / 'out'}", *words]
        return bento("containerize", tag, "--backend", "native", *more, code=code)

    assert "libc.so.6 is missing, but quick-1.0-py3-none-any.whl" in run(alpine, code=status.ERROR)
    told = run(base, code=status.ERROR)
    assert (
        f"quick-1.0-py3-none-any.whl: quick/_quick.so needs libstdc++.so.6, which neither oci:{base} nor another package "
        "provides.\nAdd their Debian packages, probably --apt libstdc++6. "
    ) in told
    assert "if several copies are intended, add --ignore-library=libstdc++.so.6\n" in told
    assert not (tmp_path / "out").exists()
    run(base, "--exclude=quick:_quick.so")
    told = run(complete, code=status.ERROR, tag="nat:v2")
    assert f"newer/_newer.so uses functions of glibc 2.38, but oci:{complete} has 2.36. Use an older wheel" in told
    run(complete)
    monkeypatch.setattr(native_build.base_compatibility, "check", refuse)
    run(complete)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("exclude=tiny:/nope/", "pattern 1 of --exclude=tiny ('/nope/') matches no file. Correct or remove the pattern.\n"),
        ("exclude=tiny:!x.py", "--exclude=tiny excludes no files. Correct or remove the patterns."),
        ("exclude=tiny:#", "--exclude=tiny: a pattern is empty, is a comment, or has an unclosed `[`."),
        ("exclude=tinny:tiny/", "--exclude: tinny isn't a package of the image. Correct the name, or remove the option.\n"),
        ("exclude=tiny:tiny/", "--exclude excludes all of the package's modules."),
        ("compression=gzip", "--compression=gzip: every layer must use gzip, but these layers use zstd: base layer 0. "
         "Convert the base image with `skopeo copy --dest-compress-format gzip`, or use --compression=zstd.\n"),
    ],
)  # fmt: skip
def test_errors_name_options_and_no_attributes(option, message, local, wheels, bento, store, tmp_path):
    add(store, tmp_path, locked(wheels, options="--no-index"))
    base = make_base(tmp_path / "base", compress=zstandard.compress)
    words = ["--base", f"oci:{base}", "--output", f"oci:{tmp_path / 'out'}", f"--{option}"]
    assert message in bento("containerize", "nat", "--backend", "native", *words, code=status.ERROR)


@pytest.mark.parametrize("builds", [("1", "9", "10"), ("2a", "2b"), ("", "1"), ("10", "9b", "")])
def test_the_build_number_of_a_wheel_counts_as_for_uv(builds, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    paths = [
        Maker("few")
        .add({"few.py": build})
        .write(wheels, file_name=f"few-1.0{'-' * bool(build)}{build}-py3-none-any.whl")
        for build in builds
    ]
    words = ["pip", "install", "-q", "--offline", "--no-index", "--find-links", wheels, "--python", sys.executable]
    subprocess.run([os.environ["RULES_BENTO_UV"], *words, "--target", tmp_path / "target", "few"], check=True)
    expected = (tmp_path / "target" / "few.py").read_text("utf-8")
    urls = {sha(path): str(path) for path in paths}
    base = SimpleNamespace(glibc=(2, 36), machine="x86_64", python_version="3.11")
    requirement = SimpleNamespace(hashes=list(urls), pin=("few", "1.0"))
    chosen = native_packages._choose(requirement, urls, base, tmp_path)
    with zipfile.ZipFile(chosen.path) as archive:
        assert archive.read("few.py").decode() == expected


def test_packages_with_different_files_at_one_path_are_rejected(local, wheels, bento, store, tmp_path):
    for name in ("cv", "cv-headless"):
        Maker(name.replace("-", "_")).add(
            {"cv/__init__.py": "", "cv/core.py": name, f"{name}.py".replace("-", "_"): ""}
        ).write(wheels)
    options = "--no-index"
    add(store, tmp_path, locked(wheels, ("bentoml", "cv", "cv-headless"), options))
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    told = bento("containerize", "nat", "--backend", "native", *words, code=status.ERROR)
    advice = "--exclude=cv:/cv/core.py"
    assert "cv and cv-headless: both packages install cv/core.py, with different contents. Remove one of" in told
    assert f"or keep cv-headless: add {advice}.\n" in told
    bento("containerize", "nat", "--backend", "native", *words, *advice.split())


def test_an_image_with_too_many_layers_is_rejected(local, wheels, bento, store, tmp_path, monkeypatch):
    monkeypatch.setattr(native_delivery.oci_image, "MAX_LAYERS", 3)
    add(store, tmp_path, locked(wheels, options="--no-index"))
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "--output", f"oci:{tmp_path / 'out'}"]
    told = bento("containerize", "nat", "--backend", "native", *words, code=status.ERROR)
    assert (
        "the image has 5 layers, but container runtimes support at most 3. Use a base image with fewer layers." in told
    )


@pytest.mark.parametrize("path", ["/etc", "../../etc", "./wheels/../../../etc"])
def test_a_bento_selects_no_directory_of_this_machine(local, wheels, store, tmp_path, path):
    add(store, tmp_path, locked(wheels, options=f"--no-index\n--find-links {path}"))
    settings = {"base": [f"oci:{make_base(tmp_path / 'base')}"], "output": [f"oci:{tmp_path / 'out'}"]}
    message = (
        "--find-links: the Bento doesn't contain .*etc. Include .* a directory of this machine, set UV_FIND_LINKS."
    )
    with pytest.raises(BentoError, match=message):
        store.containerize("nat", backend="native", options=settings)


def test_uv_reads_no_configuration_of_the_bento(local, wheels, store, tmp_path, monkeypatch):
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.delenv("UV_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    files = {"src__uv.toml": f'cache-dir = "{tmp_path}/planted"\n'.encode()}
    files |= {f"src__wheels/{path.name}": path.read_bytes() for path in wheels.iterdir()}
    add(store, tmp_path, locked(wheels, options="--no-index\n--find-links ./wheels"), files=files)
    settings = {"base": [f"oci:{make_base(tmp_path / 'base')}"], "output": [f"oci:{tmp_path / 'out'}"]}
    store.containerize("nat", backend="native", options=settings)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize(
    ("files", "env", "expected"),
    [
        (DEBIAN, [], ("/usr/local/bin/python3", "3.11")),
        ({"usr/bin/python3": "python3.13", "usr/bin/python3.13": b""}, [], ("/usr/bin/python3", "3.13")),
        ({"opt/py/bin/python3": b"", "opt/py/lib/python3.12/os.py": b""}, ["PATH=/opt/py/bin"], ("/opt/py/bin/python3", "3.12")),
        ({"usr/bin/python3": b"", "usr/bin/python3.9": b"", "usr/bin/python3.12": b""}, ["PYTHON_VERSION=3.12.4"], ("/usr/bin/python3", "3.12")),
        ({"usr/bin/python3": b"", "usr/bin/python3.9": b"", "usr/bin/python3.12": b""}, [], "Use a base image that sets"),
        ({"usr/bin/python3": b""}, ["PYTHON_VERSION=3.12.4"], ("/usr/bin/python3", "3.12")),
        *(
            ({"usr/bin/python3": b"", **files}, [f"PYTHON_VERSION={text}"], "Use a base image that sets PYTHON_VERSION")
            for text in ("3.11/x", "3.11\n[tool.uv]", "--index=x", "3.\u0967\u0967", f"3.{'9' * 5000}", "a/b/c", "")
            for files in ({}, {"usr/bin/python3.\u0967": b""}, {f"usr/bin/python3.{'9' * 100}": b""})
        ),
        ({"usr/bin/python3.12": b""}, [], "has no python3 on PATH. Use a base image with python3 on PATH."),
    ],
)  # fmt: skip
def test_the_python_of_a_base(files, env, expected, tmp_path, progress):
    arguments = [SimpleNamespace(cache=tmp_path / "cache", progress=progress, settings={})]
    arguments += [f"oci:{make_base(tmp_path / 'base', files, env)}", "linux/amd64"]
    try:
        base = read_base(*arguments)
    except BentoError as error:
        assert expected in str(error)
        return
    assert (base.python, base.python_version) == expected
    assert read_base(*arguments)[5:] == base[5:]
    assert base.glibc == ((2, 36) if files is DEBIAN else None)


def test_the_base_of_the_bento_is_the_default(local, wheels, tmp_path, bento, store, monkeypatch):
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    add(store, tmp_path, locked(wheels), image={"base_image": "127.0.0.1:1/python:3.11"})
    words = ["--output", f"oci:{tmp_path / 'out'}"]
    told = bento("containerize", "nat", *words, code=status.ERROR)
    assert "`skopeo copy docker://127.0.0.1:1/python:3.11 oci:../python`, and add --base oci:../python." in told
    assert "by default 127.0.0.1:1/python:3.11." in bento(
        "image", "nat", *words, "--base", "127.0.0.1:1/x", code=status.ERROR
    )
    layout = make_base(tmp_path / "base")
    add(store, tmp_path, locked(wheels), "nat:v3", image={"base_image": f"oci:{layout}"})
    told = bento("containerize", "nat:v3", *words, code=status.ERROR)
    assert f"the base image 'oci:{layout}' isn't in a registry. Add --base IMAGE." in told
    monkeypatch.setattr(native_image, "DEFAULT_BASE", "127.0.0.1:1/python:{}-slim")
    add(store, tmp_path, locked(wheels), "nat:v2", image={"python_version": "3.12.1"})
    told = bento("containerize", "nat:v2", *words, code=status.ERROR)
    assert "docker://127.0.0.1:1/python:3.12-slim oci:../python`" in told


def test_the_cache_knows_the_code_in_a_zip(tmp_path):
    """Under Bazel, Python imports the command from a zip."""
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom bento_cli.sharing import native_build\n"
        "assert sys.argv[1] in native_build.__file__\nprint(native_build.code_digest())\n"
    )
    digests = []
    for note in ("", "# another version\n"):
        archive = tmp_path / f"command{len(note)}.zip"
        with zipfile.ZipFile(archive, "w") as out:
            for path in [*PACKAGE.glob("rules_bento/**/*.py"), *PACKAGE.glob("bento_cli/**/*.py")]:
                end = note if path.name == "native_build.py" else ""
                out.writestr(str(path.relative_to(PACKAGE)), path.read_text("utf-8") + end)
        argv = [sys.executable, "-c", code, str(archive)]
        paths = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] != digests[1]


WRITE = """\
import os, sys, time
from pathlib import Path
from bento_cli.sharing import native_cache

directory, ends = Path(sys.argv[1]), sys.argv[2]
native_cache.open_cache(directory)

def note():
    with (directory / "notes").open("a") as file:
        file.write("x")
    print("writes", flush=True)
    time.sleep(1000 if ends == "killed" else 0.5)

def write(unfinished):
    note()
    (unfinished / "file").write_text("1")

if ends == "without locks":
    native_cache.fcntl.flock = lambda *_: (_ for _ in ()).throw(OSError(95, "not supported"))
native_cache.read_directory(directory / "layers/1", write)
native_cache.read_record(directory / "bases/1", lambda: note() or "value")
print((directory / "layers/1/file").read_text(), native_cache.read_record(directory / "bases/1", None))
"""


@pytest.mark.parametrize("ends", ["", "killed", "without locks"])
def test_processes_that_start_together_write_once(ends, tmp_path):
    """Also if the first one is killed. Without locks, each writes, or finds what another wrote."""

    def start(ends):
        words = [sys.executable, "-c", WRITE, tmp_path / "cache", ends]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, ["py", *filter(None, sys.path)]))}
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=variables)

    first = [start("killed")] if ends == "killed" else []
    for process in first:
        assert process.stdout.readline() == "writes\n"
    others = [start("" if ends == "killed" else ends) for _ in range(4)]
    for process in first:
        process.kill()
        process.communicate()
    shown = [process.communicate(timeout=600)[0].splitlines()[-1] for process in others]
    assert shown == ["1 value"] * 4
    count = len((tmp_path / "cache/notes").read_text())
    assert 2 <= count <= 8 if ends == "without locks" else count == 2 + len(first)
    assert not [*(tmp_path / "cache").rglob("*.lock.part")]
