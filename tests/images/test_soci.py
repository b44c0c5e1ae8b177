"""Images with a SOCI index: the documents, the layout, and the contents of a push."""

import hashlib
import json
import random

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.images import soci
from rules_bento.images.layers import ztoc
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.registry.layout import Layout
from rules_bento.images.wheels.wheel import Wheel
from rules_bento.run import push_description

from tests.helpers.made_layers import LAYOUT
from tests.helpers.made_wheels import Maker

SITE = "app/.venv/lib/python3.12/site-packages"
FIXED = {
    "bento": "/b",
    "created": "1980-01-01T00:00:00Z",
    "compression": "gzip",
    "environment": "/e",
    "home": "/h",
    "user": "1:1",
}


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Image:
    """Runs the actions of an image with two layers, of which `one` begins with a file larger than a span."""

    def __init__(self, directory):
        self.directory = directory
        self.flags = []
        self.blobs = []
        (directory / "tag").write_text("svc:1\n")
        (directory / "base.json").write_text(json.dumps({"architecture": "amd64", "os": "linux"}))
        chance = random.Random(1)
        for name in ("one", "two"):
            maker = Maker(name).add({f"{name}/{part}.bin": chance.randbytes(90_000) for part in range(9)})
            wheel = maker.add({f"{name}/a.bin": chance.randbytes(400_000)}).write(directory)
            info = write_wheel_layer(directory / name, Wheel.read(wheel), LAYOUT, "gzip")
            fields = {"media_type": "application/vnd.oci.image.layer.v1.tar+gzip", "name": name}
            fields |= {"digest": info.digest, "size": info.size, "diff_id": info.diff_id}
            (directory / f"{name}.json").write_text(json.dumps(fields))
            layer = [self.path(f"{name}.json"), self.path(name)]
            out = ["--output", self.path(f"{name}.ztoc"), "--description", self.path(f"{name}.ztoc.json")]
            assert run(["layer_ztoc", "--layer", layer[0], "--layer", layer[1], *out]) == 0
            self.flags += ["--layer", layer[0], "--ztoc", self.path(f"{name}.ztoc.json")]
            self.blobs.append({"description": f"{name}.json", "path": name})

    def path(self, name):
        return str(self.directory / name)

    def read(self, name):
        return json.loads((self.directory / name).read_bytes())

    def assemble(self, *flags):
        outputs = {"config": "config", "manifest": "manifest", "digest": "digest", "soci": "soci", "index": "index"}
        argv = ["--tag", self.path("tag"), "--base-config", self.path("base.json"), *self.flags, *flags]
        argv += [word for flag, name in outputs.items() for word in (f"--{flag}", self.path(name))]
        argv += [word for flag, value in FIXED.items() for word in (f"--{flag}", value)]
        return run(["image", *argv])

    def contents(self):
        ztocs = [{"description": f"{name}.ztoc.json", "path": f"{name}.ztoc"} for name in ("one", "two")]
        image = {"config": "config", "manifest": "manifest", "index": "index", "soci": "soci", "ztocs": ztocs}
        (self.directory / "contents").write_text(json.dumps({"image": image | {"blobs": self.blobs}}))
        return push_description.read(self.directory / "contents", self.directory, None).package


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.setattr(ztoc, "SPAN", 1 << 18)
    monkeypatch.setattr(soci, "MIN_LAYER", 1 << 18)
    return Image(tmp_path)


def test_the_documents_refer_to_each_other(image):
    assert image.assemble() == 0
    manifest, index, held = (image.read(name) for name in ("manifest", "index", "soci"))
    own = held[0].encode()
    assert manifest["annotations"]["com.amazon.soci.index-digest"] == digest(own)
    assert (image.directory / "digest").read_text().strip() == digest((image.directory / "index").read_bytes())
    first, second = index["manifests"]
    assert first["digest"] == digest((image.directory / "manifest").read_bytes())
    assert second["digest"] == digest(own)
    assert second["artifactType"] == "application/vnd.amazon.soci.index.v2+json"
    assert second["annotations"] == {"com.amazon.soci.image-manifest-digest": first["digest"]}
    assert first["platform"] == second["platform"] == {"architecture": "amd64", "os": "linux"}
    document = json.loads(own)
    assert document["config"]["mediaType"] == second["artifactType"]
    layers = [layer["digest"] for layer in manifest["layers"]]
    assert [ztoc["annotations"]["com.amazon.soci.image-layer-digest"] for ztoc in document["layers"]] == layers
    files = [(image.directory / f"{name}.ztoc").read_bytes() for name in ("one", "two")]
    assert [(entry["digest"], entry["size"]) for entry in document["layers"]] == [(digest(f), len(f)) for f in files]


def test_an_image_of_small_layers_is_an_error(tmp_path, capsys):
    assert Image(tmp_path).assemble() == 1
    assert "soci: no layer in a supported format has a size of at least 10 MiB" in capsys.readouterr().err


def test_a_push_has_the_image_and_its_soci_index(image):
    assert image.assemble() == 0
    package = image.contents()
    digests = [manifest.descriptor.digest for manifest in package.manifests()]
    index = image.read("index")["manifests"]
    assert sorted(digests[:2]) == sorted(entry["digest"] for entry in index)
    assert digests[2] == (image.directory / "digest").read_text().strip()
    for blob in package.blobs():
        package.sources[blob.digest].check(blob.digest, blob.size)
    assert len(package.blobs()) == 2 + 2 + 1 + 1  # layers, zTOCs, the two configs


def test_a_layout_has_the_whole_index(image):
    assert image.assemble() == 0
    argv = ["--config", image.path("config"), "--manifest", image.path("manifest"), "--reference", "svc:latest"]
    for name in ("one", "two"):
        argv += ["--layer", image.path(f"{name}.json"), image.path(name)]
        argv += ["--ztoc", image.path(f"{name}.ztoc.json"), image.path(f"{name}.ztoc")]
    argv += ["--soci", image.path("index"), image.path("soci"), "--output", image.path("layout")]
    assert run(["image_files", "--form", "oci-layout", *argv]) == 0
    package = Layout(image.directory / "layout").pushable()
    assert package.root.descriptor.digest == (image.directory / "digest").read_text().strip()
    assert len(package.blobs()) == len(image.contents().blobs())
    for blob in package.blobs():
        package.sources[blob.digest].check(blob.digest, blob.size)


def test_an_index_of_platforms_lists_the_soci_index(image):
    assert image.assemble() == 0
    out = ["--index", image.path("whole"), "--digest", image.path("whole.digest")]
    flags = ["--soci", image.path("manifest"), image.path("soci")]
    assert run(["image_index", "--image", image.path("config"), image.path("manifest"), *flags, *out]) == 0
    assert image.read("whole")["manifests"] == image.read("index")["manifests"]
