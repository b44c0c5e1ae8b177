"""What an image says of itself, and that its documents agree with its layers."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path

import pytest
import zstandard

FOLDER = Path("tests/images")
IMAGES = ("image", "gzip_image")


def document(image: str, name: str):
    return json.loads((FOLDER / f"{image}.{name}.json").read_text("utf-8"))


def layout(image: str) -> Path:
    return FOLDER / f"{image}.oci"


def blob(image: str, digest: str) -> bytes:
    return (layout(image) / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def tar_of(image: str, layer: dict) -> bytes:
    content = blob(image, layer["digest"])
    if layer["mediaType"].endswith("+gzip"):
        return gzip.decompress(content)
    return zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()


@pytest.mark.parametrize("image", IMAGES)
def test_every_digest_and_size_is_true(image):
    manifest, config = document(image, "manifest"), document(image, "config")
    text = (FOLDER / f"{image}.manifest.json").read_bytes()
    digest = (FOLDER / f"{image}.digest").read_text("utf-8").strip()
    assert digest == f"sha256:{hashlib.sha256(text).hexdigest()}"
    for entry in [manifest["config"], *manifest["layers"]]:
        content = blob(image, entry["digest"])
        assert len(content) == entry["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == entry["digest"]
    assert [f"sha256:{hashlib.sha256(tar_of(image, layer)).hexdigest()}" for layer in manifest["layers"]] == config[
        "rootfs"
    ]["diff_ids"]


def test_the_layers_hold_the_same_files_however_they_are_compressed():
    def listing(image: str):
        entries = []
        for layer in document(image, "manifest")["layers"]:
            with tarfile.open(fileobj=__import__("io").BytesIO(tar_of(image, layer))) as tar:
                entries += [(m.name, m.mode, m.uid, m.gid, m.size, m.linkname, m.mtime) for m in tar]
        return sorted(entries)

    assert listing("image") == listing("gzip_image")


@pytest.mark.parametrize("image", IMAGES)
def test_the_config_serves_the_bento_as_nobody_in_particular(image):
    config = document(image, "config")["config"]
    assert config["User"] == "1034:1034"
    assert config["Entrypoint"] == ["/app/.venv/bin/python", "-m", "bentoml", "serve", "/home/bentoml/bento"]
    assert config["WorkingDir"] == "/home/bentoml/bento"
    assert config["ExposedPorts"] == {"3000/tcp": {}}
    assert "BENTOML_HOME=/home/bentoml/" in config["Env"]
    assert config["Labels"] == {"stage": "example", "team": "botany"}


def test_the_archive_names_the_layers_for_old_and_new_engines():
    with tarfile.open(FOLDER / "gzip_image.tar") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("./manifest.json"))
        index = json.load(tar.extractfile("./index.json"))
    assert manifest[0]["RepoTags"] == ["gzip_image:latest"]
    assert index["manifests"][0]["digest"] == (FOLDER / "gzip_image.digest").read_text("utf-8").strip()
    assert all(f"./{layer}" in names for layer in manifest[0]["Layers"])


def test_the_bill_of_materials_has_packages_and_models():
    bill = document("image", "cdx")
    purls = {component.get("purl") for component in bill["components"]}
    assert any(purl and purl.startswith("pkg:pypi/scikit-learn@") for purl in purls)
    assert [c["name"] for c in bill["components"] if c["type"] == "machine-learning-model"] == ["iris_clf"]
