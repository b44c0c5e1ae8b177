"""What other clients push, ours pulls, and the other way round: skopeo, crane and oras, those that are here."""

import json
import shutil
import subprocess

import pytest
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import pull
from rules_bento.images.registry.push_to_registry import push

from tests.registry.images import make_bento, make_image, make_index


def run(tool: str, *arguments: object) -> str:
    program = shutil.which(tool)
    if not program:
        pytest.skip(f"{tool} is not here")
    done = subprocess.run([program, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fetch_with(tool: str, name: str, directory) -> Layout:
    """Let a tool write an OCI layout of `registry/repository:v1`."""
    commands = {
        "skopeo": (
            "copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"docker://{name}:v1",
            f"oci:{directory}:v1",
        ),
        "crane": ("pull", "--insecure", "--format=oci", f"{name}:v1", directory),
        "oras": ("cp", "--from-plain-http", "--to-oci-layout", f"{name}:v1", f"{directory}:v1"),
    }  # fmt: skip
    run(tool, *commands[tool])
    return Layout.open(directory)


def send_with(tool: str, directory, name: str) -> None:
    """Let a tool push what is called v1 in an OCI layout to `registry/repository:v1`."""
    commands = {
        "skopeo": (
            "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", f"oci:{directory}:v1",
            f"docker://{name}:v1",
        ),
        "crane": ("push", "--insecure", "--index", directory, f"{name}:v1"),
        "oras": ("cp", "--to-plain-http", "--from-oci-layout", f"{directory}:v1", f"{name}:v1"),
    }  # fmt: skip
    run(tool, *commands[tool])


@pytest.mark.parametrize("tool", ["skopeo", "crane", "oras"])
@pytest.mark.parametrize("make", [make_image, make_index])
def test_a_tool_pulls_what_we_push(reference, registries, progress, tmp_path, tool, make):
    package = make(tmp_path / "image")
    push(package, [reference.with_tag("v1")], registries, progress)
    layout = fetch_with(tool, reference.name, tmp_path / "layout")
    for manifest in package.manifests():
        assert layout.blob(manifest.descriptor.digest).read_bytes() == manifest.content
    for blob in package.blobs():
        assert layout.blob(blob.digest).read_bytes() == package.sources[blob.digest].path.read_bytes()


@pytest.mark.parametrize("tool", ["skopeo", "oras"])
@pytest.mark.parametrize("make", [make_image, make_index])
def test_we_pull_what_a_tool_pushes(reference, registries, progress, tmp_path, tool, make):
    package = make(tmp_path / "image")
    source = Layout.create(tmp_path / "source")
    for manifest in package.manifests():
        source.add(manifest.content)
    for digest, content in package.sources.items():
        source.add(content.path.read_bytes())
        assert source.blob(digest).exists()
    source.add_manifest(package.root, "v1")
    send_with(tool, source.directory, reference.name)
    pulled = pull([reference.with_tag("v1")], Layout.create(tmp_path / "pulled"), registries, progress, name="v1")
    assert pulled.content == package.root.content
    assert len(Layout.open(tmp_path / "pulled").pushable("v1").blobs()) == len(package.blobs())


def test_crane_finds_nothing_wrong_with_what_we_push(reference, registries, progress, tmp_path):
    push(make_image(tmp_path), [reference.with_tag("v1")], registries, progress)
    assert json.loads(run("crane", "manifest", "--insecure", f"{reference.name}:v1"))["schemaVersion"] == 2
    assert run("crane", "ls", "--insecure", reference.name).split() == ["v1"]


def test_oras_fetches_a_bento_part_by_part(reference, registries, progress, tmp_path):
    text, parts, models = make_bento(tmp_path / "bento")
    push(artifact.pack_bento(text, "", parts, models), [reference.with_tag("v1")], registries, progress)
    run("oras", "pull", "--plain-http", "--output", tmp_path / "out", f"{reference.name}:v1")
    assert (tmp_path / "out/metadata.tar.xz").read_bytes() == parts[0].read_bytes()
    assert (tmp_path / "out/sources.tar.xz").read_bytes() == parts[1].read_bytes()
    assert (tmp_path / "out/models/clf/a.tar.xz").read_bytes() == models[0][1].source.path.read_bytes()


def test_skopeo_copies_a_bento(reference, registries, progress, tmp_path):
    text, parts, models = make_bento(tmp_path / "bento")
    push(artifact.pack_bento(text, "", parts, models), [reference.with_tag("v1")], registries, progress)
    layout = fetch_with("skopeo", reference.name, tmp_path / "layout")
    for layer in layout.pushable("v1").root.layers():
        assert layout.blob(layer.digest).exists()


def test_oras_discovers_what_we_attach(reference, registries, progress, tmp_path):
    image = make_image(tmp_path / "image")
    push(image, [reference.with_tag("v1")], registries, progress)
    (tmp_path / "sbom.json").write_text("{}")
    attached = artifact.attach(image.root.descriptor, "application/vnd.cyclonedx+json", tmp_path / "sbom.json")
    push(attached, [reference], registries, progress)
    assert attached.root.descriptor.digest in run("oras", "discover", "--plain-http", f"{reference.name}:v1")
