"""Wheels and base images declare their package URLs, which an aspect finds below a Bento and below an image."""

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif("TEST_SRCDIR" not in os.environ, reason="Bazel writes the metadata")
LOCK = json.loads(Path("tests/requirements.lock.json").read_text("utf-8"))
VERSIONS = {package["name"]: package["version"] for package in LOCK["packages"]}


@pytest.fixture(scope="module")
def purls():
    return {json.loads(file.read_text("utf-8"))["purl"] for file in Path("..").glob("*/*.package-metadata.json")}


@pytest.mark.parametrize("name", ["pathspec", "scikit-learn"])
def test_wheels_declare_the_locked_release(purls, name):
    assert f"pkg:pypi/{name}@{VERSIONS[name]}" in purls


def test_a_base_declares_the_image_of_the_platform(purls):
    [file] = Path("..").glob("*layout_base/linux_*64.json")
    image = json.loads(file.read_text("utf-8"))
    purl = f"pkg:oci/layout_base@{image['digest']}?arch={image['architecture']}"
    assert [found for found in purls if found.startswith("pkg:oci/")] == [purl]
