"""Bentos carry wheels that no index has, and install them by their hashes, with what these need."""

import hashlib
import json
import re
import tarfile

import pytest
import yaml
from rules_bento.actions.wheels import lock_entry
from rules_bento.base.errors import BentoError

from tests.conftest import built
from tests.helpers.made_wheels import Maker

WHEEL = "acme_scaling-1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def files():
    with tarfile.open(built("tests/wheels/bento.bento"), "r:xz") as archive:
        files = [member for member in archive if member.isfile()]
        return {member.name.removeprefix("./"): archive.extractfile(member).read() for member in files}


def test_the_bento_carries_the_wheel_and_its_hash(files):
    digest = hashlib.sha256(files[f"src/wheels/{WHEEL}"]).hexdigest()
    locked = files["env/python/requirements.lock.txt"].decode()
    assert f"./wheels/{WHEEL} \\\n    --hash=sha256:{digest}\n" in locked
    assert re.search(r"(?m)^pathspec==", locked)


def test_what_is_installed_from_sources_is_there_before(files):
    document = yaml.safe_load(files["bento.yaml"])
    assert document["image"]["build_include"] == ["wheels"]
    assert f"./wheels/{WHEEL}" in document["image"]["python_requirements"].splitlines()
    dockerfile = files["env/docker/Dockerfile"].decode()
    assert "uv --directory src pip install --require-hashes" in dockerfile


def files_of_packages(image: str) -> dict[str, set[str]]:
    """Return the largest files of each package below `lib/python3.13/site-packages`, also those with bytecode."""
    report = json.loads(built(f"tests/wheels/{image}.report.json").read_text("utf-8"))
    files: dict[str, set[str]] = {}
    for layer in report["layers"]:
        for package in layer["packages"]:
            paths = {file["path"].partition("/lib/python3.13/site-packages/")[2] for file in package["largest"]}
            files[package["name"]] = files.get(package["name"], set()) | paths
    return files


def test_an_image_contains_the_installed_wheel():
    files = files_of_packages("image")
    assert "pathspec" in files
    assert "acme_scaling-1.0.dist-info/RECORD" in files["acme-scaling"]
    assert "acme_scaling.py" in files["acme-scaling"] | files["second"], "two wheels have it, and a layer one of them"
    assert "library.py" in files["plain"], "no deps say so, the Bento does"
    assert "__pycache__/library.cpython-313.pyc" in files["plain"]


@pytest.mark.parametrize("image", ["image", "program_image"])
def test_an_image_has_packages_that_the_build_makes_from_source(image):
    assert {"from_source.py", "__pycache__/from_source.cpython-313.pyc"} <= files_of_packages(image)["from-source"]


def write(directory, metadata):
    maker = Maker("x", "1")
    return maker.add({f"{maker.dist_info}/METADATA": metadata, "x/__init__.py": ""}).write(directory)


def test_the_metadata_tells_what_a_wheel_needs(tmp_path):
    wheel = write(
        tmp_path,
        "Metadata-Version: 2.1\nName: X\nVersion: 1\n"
        "Requires-Dist: Num_Py (>=1.20,<3) ; python_version > '3.8'\n"
        "Requires-Dist: httpx[http2]~=0.27\n"
        "Requires-Dist: pytest ; extra == 'test'\n\nRequires-Dist: not-this-one\n",
    )
    assert lock_entry(wheel, "//x:x") == {
        "name": "x",
        "version": "1",
        "dependencies": [
            {"name": "num-py", "specifier": ">=1.20,<3", "marker": "python_version > '3.8'"},
            {"name": "httpx", "extras": ["http2"], "specifier": "~=0.27"},
        ],
        "files": {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest()},
        "source": {"wheel": wheel.name, "label": "//x:x"},
        "modules": ["x"],
    }


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("Name: y\nVersion: 1\n", "METADATA specifies y 1, but the file name specifies x 1"),
        ("Name: x\nVersion: 1\nRequires-Dist: z @ https://h.example/z.whl\n", "unsupported dependency 'z @ https"),
    ],
)
def test_a_wheel_that_is_not_what_it_says_is_rejected(tmp_path, metadata, message):
    with pytest.raises(BentoError, match=message):
        lock_entry(write(tmp_path, metadata), "//x:x")


def test_a_file_that_is_no_wheel_is_rejected(tmp_path):
    (tmp_path / "x-1-py3-none-any.whl").write_text("text")
    with pytest.raises(BentoError, match="x-1-py3-none-any.whl: the file isn't a complete zip file"):
        lock_entry(tmp_path / "x-1-py3-none-any.whl", "//x:x")
