"""The files that bento_files.base and bento_layout_base write for a layout, against the layout itself."""

import gzip
import hashlib
import json

import pytest

from tests.conftest import built

HERE = built("tests/base/amd64/linux_amd64.json").parents[1]


def test_the_descriptions_are_those_of_the_blobs():
    for number in range(2):
        description = json.loads((HERE / f"amd64/linux_amd64.{number}.json").read_text())
        blob = (HERE / "layout/blobs" / description["digest"].replace(":", "/")).read_bytes()
        assert description["size"] == len(blob)
        assert description["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
        assert description["diff_id"] == f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"
        assert description["media_type"] == "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.mark.parametrize(("architecture", "more"), [("amd64", {}), ("arm64", {"variant": "v8"})])
def test_the_config_has_platform_and_environment(architecture, more):
    config = json.loads((HERE / architecture / f"linux_{architecture}.json").read_text())
    assert (HERE / "layout/blobs" / config.pop("digest").replace(":", "/")).exists()
    assert config.pop("origin") == ""
    history = [{"created_by": "a test"}]
    env = {"PATH": "/usr/local/bin:/usr/bin", "OPTS": "a=b"}
    assert config == {"architecture": architecture, "os": "linux", "env": env, "history": history} | more


@pytest.mark.parametrize("base", ["linked_base", "made_base"])
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_a_layout_that_a_rule_makes_is_the_same_base(architecture, base):
    theirs, own = HERE / architecture, HERE / f"made_{architecture}"
    config = json.loads((own / f"{base}.base.json").read_text())
    assert config == json.loads((theirs / f"linux_{architecture}.json").read_text())
    for number in range(2):
        description = json.loads((own / f"{base}.{number}.layer.json").read_text())
        assert description["name"] == f"base layer {number}"
        assert description == json.loads((theirs / f"linux_{architecture}.{number}.json").read_text())
        blob = (HERE / "layout/blobs" / description["digest"].replace(":", "/")).read_bytes()
        assert (own / f"{base}.{number}.layer").read_bytes() == blob


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_an_image_begins_with_the_layers_of_such_a_base(architecture):
    directory = HERE / f"made_{architecture}"
    layout = directory / "image.oci"
    [entry] = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_text())
    config = json.loads((layout / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text())
    below = [json.loads((directory / f"made_base.{number}.layer.json").read_text()) for number in range(2)]
    assert [layer["digest"] for layer in manifest["layers"][:2]] == [layer["digest"] for layer in below]
    assert config["rootfs"]["diff_ids"][:2] == [layer["diff_id"] for layer in below]
    assert config["architecture"] == architecture
    for layer in manifest["layers"]:
        assert (layout / "blobs" / layer["digest"].replace(":", "/")).stat().st_size == layer["size"]
