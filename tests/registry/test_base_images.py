"""A layout that images are built on: what is taken of it, and what does not agree with its index."""

import hashlib
import json

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import Layer
from rules_bento.images.registry import base_images
from rules_bento.images.registry.layout import Layout

PLATFORMS = ("linux/amd64", "linux/arm64")
OCI = "application/vnd.oci.image"
GZIP = b"\x1f\x8b of a tar"
DIFF = f"sha256:{'0' * 64}"


class Made:
    """A layout of one image, whose documents may be changed before they are written."""

    def __init__(self, directory):
        self.directory = directory
        self.config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["A=b=c"]},
            "rootfs": {"diff_ids": [DIFF]},
        }
        self.manifest = {"schemaVersion": 2, "layers": [self.put(GZIP, "layer.v1.tar+gzip")]}
        self.index = {"schemaVersion": 2, "manifests": []}

    def put(self, content, media_type, **more):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        digest = hashlib.sha256(content).hexdigest()
        path = self.directory / "blobs/sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"mediaType": f"{OCI}.{media_type}", "digest": f"sha256:{digest}", "size": len(content), **more}

    def path(self, entry):
        return self.directory / "blobs/sha256" / entry["digest"].partition(":")[2]

    def add(self):
        """Write config and manifest, and list the image."""
        self.manifest["config"] = self.put(self.config, "config.v1+json") | self.manifest.get("config", {})
        self.index["manifests"].append(self.put(self.manifest, "manifest.v1+json"))
        return self

    def read(self):
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (self.directory / "index.json").write_text(json.dumps(self.index))
        layout = Layout.open(self.directory)
        images = base_images.find_images(layout, PLATFORMS)
        base_images.check_layers(layout, list(images.values()))
        return images


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


def refused(made):
    with pytest.raises(BentoError) as error:
        made.read()
    return str(error.value)


def test_supported_images_are_accepted(made):
    made.config |= {"variant": "v2", "history": [{"created_by": "x"}], "created": "now"}
    made.config["config"]["Entrypoint"] = ["tini", "--"]
    image = made.add().read()["linux/amd64"]
    out = made.directory / "out.json"
    assert not run(
        ["base_images", "--layers", "--layout", str(made.directory), "--platform", "linux/amd64", "--output", str(out)]
    )
    assert json.loads(out.read_text()) == {"linux/amd64": json.loads(json.dumps(image.to_json()))}
    assert image.digest == made.index["manifests"][0]["digest"]
    history = [{"created_by": "x"}]
    fields = {"architecture": "amd64", "os": "linux", "variant": "v2", "history": history, "env": {"A": "b=c"}}
    assert image.config == fields | {"entrypoint": ["tini", "--"]}
    assert image.layers == tuple(
        Layer(f"{OCI}.layer.v1.tar+gzip", layer["digest"], layer["size"], DIFF, {}, name="base layer 0")
        for layer in made.manifest["layers"]
    )


def test_layers_of_a_bento_base_keep_their_names(made):
    """Images of rules and of the command then have one history."""
    made.config["history"] = [{"created_by": "rules_bento: 32 Debian packages"}]
    assert made.add().read()["linux/amd64"].layers[0].name == "32 Debian packages"


def test_layers_keep_their_annotations(made):
    lazy = {"containerd.io/snapshot/stargz/toc.digest": DIFF, "io.containers.estargz.uncompressed-size": "9"}
    made.manifest["layers"] = [made.put(GZIP, "layer.v1.tar+gzip", annotations=lazy)]
    [layer] = made.add().read()["linux/amd64"].to_json()["layers"]
    assert layer["annotations"] == lazy
    assert Layer.loads(json.dumps(layer)).descriptor == made.manifest["layers"][0]


def test_indexes_in_indexes_and_a_missing_file(made):
    made.add()
    inner = made.put({"schemaVersion": 2, "manifests": made.index["manifests"]}, "index.v1+json")
    gone = {"platform": {"os": "linux", "architecture": "arm64"}, "digest": f"sha256:{'1' * 64}", "size": 3}
    made.index["manifests"] = [inner, inner, gone]
    assert list(made.read()) == ["linux/amd64"]
    del gone["platform"]
    assert f"missing blob {gone['digest']}. Copy the whole image into the layout again" in refused(made)


def test_attestations_and_artifacts_are_excluded(made):
    made.add()
    made.config = {"architecture": "unknown", "os": "unknown"}
    made.manifest = {
        "schemaVersion": 2,
        "layers": [made.put(b"{}", "x") | {"mediaType": "application/vnd.in-toto+json"}],
    }
    made.add()
    made.manifest = {"schemaVersion": 2, "config": {"mediaType": "application/vnd.x"}, "layers": []}
    assert list(made.add().read()) == ["linux/amd64"]


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("rootfs", None, "rootfs.diff_ids isn't a list of digests"),
        ("rootfs", [], "rootfs.diff_ids isn't a list"),
        ("rootfs", {"diff_ids": ["x"]}, "rootfs.diff_ids isn't a list"),
        ("rootfs", {"diff_ids": [DIFF, DIFF]}, "expected 1 digests, got 2"),
        ("config", [], ""),
        ("config", "x", "config.Env isn't a list of NAME=value"),
        ("config", {"Env": {"A": "b"}}, "config.Env isn't a list of NAME=value"),
        ("config", {"Env": ["A"]}, "config.Env isn't a list of NAME=value"),
        ("config", {"Env": [1]}, "config.Env isn't a list of NAME=value"),
        ("config", {"Env": None}, ""),
        ("history", {"a": 1}, "history must be a list"),
        ("variant", 8, "variant must be a string"),
        ("architecture", ["amd64"], "no image for linux/amd64 or linux/arm64"),
        ("architecture", "s390x", "only for linux/s390x"),
    ],
)
def test_configs_of_another_shape(made, key, value, what):
    made.config[key] = value
    made.add()
    if what:
        assert what in refused(made)
    else:
        made.read()


@pytest.mark.parametrize("entry", [None, [], {}, {"digest": "sha256:x", "size": 1}, {"digest": DIFF, "size": "1"}])
def test_entries_that_are_none(made, entry):
    made.manifest["layers"] = [entry]
    assert "isn't a valid descriptor" in refused(made.add())
    made.index["manifests"] = [entry]
    assert "isn't a valid descriptor" in refused(made)


def test_digests_and_sizes_are_those_of_the_index(made):
    made.add()
    [layer], [manifest] = made.manifest["layers"], made.index["manifests"]
    for entry in (layer, made.manifest["config"], manifest):
        path = made.path(entry)
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"?")
        assert f"content doesn't match the digest {entry['digest']}" in refused(made)
        path.write_bytes(content + b" ")
        assert f"expected {len(content)} bytes, got {len(content) + 1}" in refused(made)
        path.unlink()
        assert f"missing blob {entry['digest']}" in refused(made)
        path.write_bytes(content)
    made.read()


@pytest.mark.parametrize(
    ("called", "content", "what"), [("+zstd", GZIP, "+gzip"), ("", GZIP, "+gzip"), ("+gzip", b"tar", "")]
)
def test_layers_are_compressed_as_they_are_called(made, called, content, what):
    made.manifest["layers"] = [made.put(content, f"layer.v1.tar{called}")]
    assert f"media type is {OCI}.layer.v1.tar{called}, but the content is {OCI}.layer.v1.tar{what}." in refused(
        made.add()
    )


def test_an_image_with_layers_that_nothing_reads_is_named(made):
    made.manifest["layers"] = [made.put(b"x", "layer.v1.tar+encrypted")]
    assert f"only for linux/amd64 (with layers of type {OCI}.layer.v1.tar+encrypted)" in refused(made.add())


def test_two_images_for_a_platform(made):
    made.add()
    made.config["created"] = "later"
    del made.manifest["config"]
    assert "contains multiple images for linux/amd64. Keep only one of them." in refused(made.add())


def test_an_index_without_end(made):
    names = [{"digest": f"sha256:{number:064x}", "size": 1} for number in range(2000)]
    made.index["manifests"] = names
    for entry in names:
        path = made.path(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
    assert "missing blob" in refused(made)
    entry = made.put({"schemaVersion": 2, "manifests": []}, "index.v1+json")
    for number in range(1001):
        entry = made.put({"schemaVersion": 2, "manifests": [entry], "annotations": {"n": str(number)}}, "index.v1+json")
    made.index["manifests"] = [entry]
    assert "more than 1000 manifests" in refused(made)
