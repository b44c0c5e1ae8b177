"""What bento_layout_base makes of a layout that is not as it should be, and what it is told of it."""

import hashlib
import json

import pytest

from tests.helpers.tar_files import tar_of


def put(actions, content, media_type):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    actions.write(f"dir/blobs/sha256/{digest}", data)
    return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}


def write_layout(actions, *, layers=1, architecture="amd64"):
    """Write an image whose layers have a library each, and return the descriptors of the layers."""
    blobs = [put(actions, tar_of([(f"usr/lib/libx.so.{number}", b"")]), "layer.v1.tar") for number in range(layers)]
    config = {"architecture": architecture, "os": "linux", "rootfs": {"diff_ids": [blob["digest"] for blob in blobs]}}
    manifest = {"schemaVersion": 2, "config": put(actions, config, "config.v1+json"), "layers": blobs}
    index = {"schemaVersion": 2, "manifests": [put(actions, manifest, "manifest.v1+json")]}
    actions.write("dir/oci-layout", '{"imageLayoutVersion": "1.0.0"}')
    actions.write("dir/index.json", json.dumps(index))
    return blobs


def describe(actions, count=1):
    words = ["--target", "//x:base", "--layout", "dir", "--platform", "linux/amd64"]
    for number in range(count - 1):
        words += ["--description", f"bazel-out/{number}"]
    return actions.run("base_layout", words, {"--config": "config", "--description": "last"})


def refused(outcome):
    assert outcome.code == 1
    assert not outcome.outputs
    [line] = outcome.errors.splitlines()
    return line


def test_layers_come_out_by_their_descriptions_and_libraries_without_a_copy(actions):
    blobs = write_layout(actions, layers=2)
    made = describe(actions, 2)
    assert made.code == 0, made.errors
    assert json.loads(made.outputs["--description"]) == {
        "media_type": blobs[1]["mediaType"],
        "digest": blobs[1]["digest"],
        "size": blobs[1]["size"],
        "diff_id": blobs[1]["digest"],
        "uncompressed_size": None,
        "name": "base layer 1",
    }
    words = ["--target", "//x:base", "--layout", "dir", "--description", "bazel-out/base_layout.last"]
    assert actions.run("base_layer", words, {"--output": "layer"}).outputs["--output"] == tar_of(
        [("usr/lib/libx.so.1", b"")]
    )
    words = ["--target", "//x:base", "--layer", "bazel-out/0", "dir", "--layer", "bazel-out/base_layout.last", "dir"]
    outputs = {"--libraries": "libraries", "--system": "system", "--machines": "machines"}
    contents = actions.run("base_contents", words, outputs)
    assert json.loads(contents.outputs["--libraries"]) == ["libx.so.0", "libx.so.1"]
    assert json.loads(contents.outputs["--machines"]) == {}


@pytest.mark.parametrize(("declared", "there"), [(1, 3), (3, 1), (2, 0)])
def test_another_number_of_layers_is_named(actions, declared, there):
    write_layout(actions, layers=there)
    assert refused(describe(actions, declared)) == (
        f"//x:base: layer_count: got {declared}, but the linux/amd64 image in dir has {there} layers. "
        f"Set layer_count = {there}."
    )


def test_an_image_of_another_platform_is_named(actions):
    write_layout(actions, architecture="arm64")
    assert (
        refused(describe(actions))
        == "//x:base: dir: the layout contains no image for linux/amd64, only for linux/arm64. "
        "Use a layout that contains an image for the platform."
    )


@pytest.mark.parametrize(
    ("path", "content", "what"),
    [
        ("oci-layout", "", "no valid oci-layout file"),
        ("oci-layout", "[]", "no valid oci-layout file"),
        ("oci-layout", '{"imageLayoutVersion": "2"}', "unsupported OCI layout version 2"),
        ("index.json", "", "index.json:1"),
        ("index.json", "{}", "no image for linux/amd64"),
    ],
)
def test_a_directory_that_is_not_a_layout(actions, path, content, what):
    write_layout(actions)
    actions.write(f"dir/{path}", content)
    assert what in refused(describe(actions))


@pytest.mark.parametrize("glibc", ["2", "2.", "two.one", "2.36.1", "2.36 "])
def test_a_version_of_glibc_that_is_none(actions, glibc):
    actions.write("base.json", '{"architecture": "amd64"}')
    words = ["--target", "//x:image", "--base", "//x:base", "--base-config", "base.json", "--python-version", "3.12"]
    outcome = actions.run("check_image", [*words, "--glibc", glibc], {"--output": "checked"})
    assert refused(outcome) == (
        f"//x:image: //x:base: invalid glibc version {glibc!r}. Set glibc to a version such as 2.36, or remove the attribute."
    )
