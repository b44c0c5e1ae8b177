"""What an image says of itself, and that its documents agree with its layers."""

import gzip
import hashlib
import io
import json
import re
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import zstandard

from tests.conftest import built

DIRECTORY = built("tests/images/image.oci").parent
IMAGES = ("image", "gzip_image")


def document(image: str, name: str):
    return json.loads((DIRECTORY / f"{image}.{name}.json").read_text("utf-8"))


def layout(image: str) -> Path:
    return DIRECTORY / f"{image}.oci"


def blob(image: str, digest: str) -> bytes:
    return (layout(image) / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def tar_of(image: str, layer: dict) -> bytes:
    content = blob(image, layer["digest"])
    if layer["mediaType"].endswith("+gzip"):
        # Not `gzip.decompress`, which copies all that is left for each of the layer's thousands of members.
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read()
    return zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()


@dataclass(frozen=True)
class Layer:
    """What is in a layer, read once for all tests."""

    diff_id: str
    members: list[tarfile.TarInfo]
    joblib: dict[str, bytes]  # the files of a package of which some are left out


@cache
def layers_of(image: str) -> list[Layer]:
    found = []
    for layer in document(image, "manifest")["layers"]:
        content = tar_of(image, layer)
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            members = tar.getmembers()
            own = [member for member in members if member.isfile() and "/site-packages/joblib" in member.name]
            joblib = {member.name: tar.extractfile(member).read() for member in own}
        found.append(Layer(f"sha256:{hashlib.sha256(content).hexdigest()}", members, joblib))
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_every_digest_and_size_is_true(image):
    manifest, config = document(image, "manifest"), document(image, "config")
    text = (DIRECTORY / f"{image}.manifest.json").read_bytes()
    digest = (DIRECTORY / f"{image}.digest").read_text("utf-8").strip()
    assert digest == f"sha256:{hashlib.sha256(text).hexdigest()}"
    for entry in [manifest["config"], *manifest["layers"]]:
        content = blob(image, entry["digest"])
        assert len(content) == entry["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == entry["digest"]
    assert [layer.diff_id for layer in layers_of(image)] == config["rootfs"]["diff_ids"]


def test_the_layers_hold_the_same_files_however_they_are_compressed():
    def listing(image: str):
        members = [member for layer in layers_of(image) for member in layer.members]
        entries = {(m.name, m.mode, m.uid, m.gid, m.size, m.linkname, m.mtime) for m in members}
        return sorted(entry for entry in entries if "__pycache__" not in entry[0])  # one of the images has bytecode

    assert listing("image") == listing("gzip_image")


def test_data_lie_in_a_layer_of_their_own_below_that_of_the_sources():
    *_, data, bento = document("data_image", "manifest")["layers"]
    with tarfile.open(fileobj=io.BytesIO(tar_of("data_image", data))) as tar:
        names = [member.name for member in tar if member.isfile() and "/" in member.name]
    assert names == ["home/bentoml/bento/src/table.csv"]
    with tarfile.open(fileobj=io.BytesIO(tar_of("data_image", bento))) as tar:
        names = [member.name for member in tar]
    assert "home/bentoml/bento/src/service_with_data.py" in names
    assert "home/bentoml/bento/src/table.csv" not in names


def test_tars_are_layers():
    *_, plain, packed, _data, _bento = document("data_image", "manifest")["layers"]
    assert tar_of("data_image", plain) == (DIRECTORY / "settings.tar").read_bytes()
    digest = hashlib.sha256((DIRECTORY / "more_settings.tar.gz").read_bytes()).hexdigest()
    assert packed["digest"] == f"sha256:{digest}", "a compressed tar was changed"


@pytest.mark.parametrize("image", IMAGES)
def test_the_home_of_the_user_is_the_users(image):
    owners = {}
    for layer in layers_of(image):
        owners |= {member.name: member.uid for member in layer.members}
    assert {uid for name, uid in owners.items() if f"{name}/".startswith("home/bentoml/")} == {1034}
    assert owners["home"] == 0


@pytest.mark.parametrize("image", IMAGES)
def test_the_config_serves_the_bento_as_nobody_in_particular(image):
    config = document(image, "config")["config"]
    assert config["User"] == "1034:1034"
    prefix = "/app/.venv"
    assert config["Entrypoint"] == [f"{prefix}/bin/python", "-I", "-S", f"{prefix}/bin/entrypoint.py"]
    assert f"VIRTUAL_ENV={prefix}" in config["Env"]
    assert config["ExposedPorts"] == {"3000/tcp": {}}
    assert {"BENTOML_HOME=/home/bentoml/", "HOME=/tmp", "USER=bentoml"} < {*config["Env"]}
    labels = {key: value for key, value in config["Labels"].items() if not key.startswith("org.opencontainers.")}
    compiler = labels.pop("rules_bento.bytecode", "")
    assert bool(re.fullmatch(r"3\.\d+\.\d+", compiler)) == (image == "gzip_image")
    assert labels == {"stage": "example", "team": "botany"}


def test_what_oci_defines_is_a_label_and_an_annotation():
    labels, annotations = document("image", "config")["config"]["Labels"], document("image", "manifest")["annotations"]
    prefix = "org.opencontainers.image."
    standard = {key.removeprefix(prefix): value for key, value in labels.items() if key.startswith(prefix)}
    assert re.fullmatch("sha256:[0-9a-f]{64}", standard["base.digest"])
    assert standard | {"base.digest": "", "created": "", "version": ""} == {
        "base.digest": "",
        "created": "",
        "licenses": "Apache-2.0",
        "source": "a repository",
        "title": "iris_classifier",
        "version": "",
    }
    assert {f"{prefix}{key}": value for key, value in standard.items()} == annotations


def test_settings_of_the_target_are_used():
    config, plain = document("image", "config")["config"], document("gzip_image", "config")["config"]
    assert config["WorkingDir"] == "/home/bentoml"
    assert (plain["StopSignal"], plain["WorkingDir"]) == ("SIGTERM", "/home/bentoml/bento")


def test_the_archive_names_the_layers_for_old_and_new_engines():
    with tarfile.open(DIRECTORY / "gzip_image.tar") as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("./manifest.json"))
        index = json.load(tar.extractfile("./index.json"))
    assert manifest[0]["RepoTags"] == ["gzip_image:latest"]
    assert index["manifests"][0]["digest"] == (DIRECTORY / "gzip_image.digest").read_text("utf-8").strip()
    assert all(f"./{layer}" in names for layer in manifest[0]["Layers"])


def test_the_sbom_has_packages_models_and_the_system():
    bill = document("image", "cdx")
    purls = {component.get("purl") for component in bill["components"]}
    for package in ("pkg:pypi/scikit-learn@", "pkg:deb/debian/python3-minimal@"):
        assert any(purl and purl.startswith(package) for purl in purls), package
    assert [c["name"] for c in bill["components"] if c["type"] == "application"] == ["iris_classifier"]
    assert [c["name"] for c in bill["components"] if c["type"] == "machine-learning-model"] == ["iris_clf"]


def test_the_sbom_has_the_hash_of_the_very_wheel():
    lock = json.loads(Path("tests/requirements.lock.json").read_text("utf-8"))
    names = {digest: name for package in lock["packages"] for name, digest in package["files"].items()}
    installed = set()
    for component in document("image", "cdx")["components"]:
        if component.get("purl", "").startswith("pkg:pypi/"):
            [digest] = component["hashes"]
            installed.add(names[digest["content"]])
    assert len(installed) > 60
    scipy = next(name for name in installed if name.startswith("scipy-"))
    assert "-cp313-cp313-manylinux" in scipy
    assert scipy.endswith("x86_64.whl")
    assert all(name.endswith(("-any.whl", "x86_64.whl")) for name in installed), installed


def test_the_build_definition_has_the_very_wheels_the_model_and_the_base():
    definition = document("image", "build_definition")
    assert definition["buildType"] == "urn:rules-bento:build:image:v1"
    assert definition["externalParameters"]["target"] == "//tests/images:image"
    assert definition["externalParameters"]["packages"] == "locked"
    assert definition["externalParameters"]["exclude"] == {"joblib": ["/joblib/test/"]}
    dependencies = definition["resolvedDependencies"]
    locked = json.loads(Path("tests/requirements.lock.json").read_text("utf-8"))
    hashes = {sha256 for package in locked["packages"] for sha256 in package.get("files", {}).values()}
    wheels = [item for item in dependencies if item["uri"].startswith("pkg:pypi/")]
    assert wheels
    assert all(item["digest"]["sha256"] in hashes for item in wheels)
    bill = {item["purl"] for item in document("image", "cdx")["components"] if item.get("purl")}
    assert {item["uri"] for item in wheels} == {purl for purl in bill if purl.startswith("pkg:pypi/")}
    layers = {layer["digest"] for layer in document("image", "manifest")["layers"]}
    assert {item["uri"].partition(":")[2] for item in dependencies if item["uri"].startswith("layer:")} < layers
    kinds = {item["uri"].partition(":")[0] for item in dependencies}
    assert kinds == {"bento", "layer", "model", "pkg"}
    assert "/" not in json.dumps([item["digest"] for item in dependencies if "digest" in item])


def test_the_report_says_whose_the_files_are():
    layers = document("image", "report")["layers"]
    packages = [package for layer in layers for package in layer["packages"]]
    kinds = {package["kind"] for package in packages}
    assert kinds == {"bento", "deb", "model", "other", "wheel"}
    unclaimed = sum(package["size"] for package in packages if package["kind"] == "other")
    assert unclaimed < sum(package["size"] for package in packages) / 100
    for told, layer in zip(layers, layers_of("image"), strict=True):
        assert sum(package["size"] for package in told["packages"]) == sum(member.size for member in layer.members)


@pytest.mark.parametrize("image", IMAGES)
def test_what_the_hub_excludes_is_in_no_layer_and_not_in_record(image):
    files = {path: data for layer in layers_of(image) for path, data in layer.joblib.items()}
    modules = {path.partition("/site-packages/")[2] for path in files if "/__pycache__/" not in path}
    [record] = [data.decode() for path, data in files.items() if path.endswith(".dist-info/RECORD")]
    assert {line.partition(",")[0] for line in record.splitlines()} == modules
    assert "joblib/memory.py" in modules
    assert not [path for path in files if "/joblib/test/" in path]


def test_what_is_excluded_is_reported():
    [told] = document("image", "report")["excluded"]
    assert (told["name"], told["files"] > 10, told["size"] > 100_000) == ("joblib", True, True)
    remarks = {
        component["name"]: component["properties"][0]["value"]
        for component in document("image", "cdx")["components"]
        if "properties" in component
    }
    assert remarks.keys() == {"joblib"}
    assert f"{told['files']} files, {told['size']} bytes" in remarks["joblib"]


def test_no_path_is_there_twice_in_a_layer():
    for layer in layers_of("image"):
        names = [member.name for member in layer.members]
        assert len(names) == len(set(names))


def test_the_summary_agrees_with_the_manifest():
    summary, manifest = document("image", "summary"), document("image", "manifest")
    assert summary.keys() == {"digest", "layers", "size", "tag"}
    assert summary["digest"] == (DIRECTORY / "image.digest").read_text("utf-8").strip()
    assert summary["tag"].startswith("iris_classifier:")
    assert summary["layers"] == [{"digest": layer["digest"], "size": layer["size"]} for layer in manifest["layers"]]
    assert summary["size"] == sum(entry["size"] for entry in [manifest["config"], *manifest["layers"]])


def test_an_image_with_a_soci_index_names_it():
    annotations = document("soci_image", "manifest")["annotations"]
    assert annotations["com.amazon.soci.index-digest"].startswith("sha256:")
    own = hashlib.sha256((DIRECTORY / "soci_image.manifest.json").read_bytes()).hexdigest()
    assert (DIRECTORY / "soci_image.digest").read_text().strip() != f"sha256:{own}"  # the digest of the OCI index
