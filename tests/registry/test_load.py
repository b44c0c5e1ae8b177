"""What `bento_load` gives to a container tool, also of layers that are only in a registry; and archives as bases."""

import json

import pytest
from rules_bento.images.registry import docker_archive
from rules_bento.images.registry.layout import Layout

from tests.registry.images import image_contents, make_image, run

_TOOL = """#!/bin/sh
case "$1 $3" in
"load ") cat > "${0%/*}/loaded.tar" ;;
"info {{.Host.OS}}/{{.Host.Arch}}") echo linux/arm64 ;;
"info {{.OSType}}/{{.Architecture}}") echo linux/x86_64 ;;
info*) echo it is well ;;
*) exit 3 ;;
esac
"""


@pytest.fixture
def tool(tmp_path):
    """A program that keeps what it is given."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "podman").write_text(_TOOL)
    (directory / "podman").chmod(0o755)
    return directory


@pytest.fixture
def image(tmp_path):
    directory = tmp_path / "runfiles"
    made = make_image(directory)
    return directory, made, {"image": image_contents(directory, made)}


def load(directory, document, home, tool, *flags, code=0):
    (directory / "contents.json").write_text(json.dumps(document))
    given = ["--target", "//:load", "--directory", directory, "--contents", "contents.json", "--reference", "app:v1"]
    return run("load", *given, *flags, home=home, code=code, path=f"{tool}:/usr/bin:/bin")


def assert_whole(tool, made):
    package = docker_archive.read(tool / "loaded.tar")
    assert package.root.content == made.root.content
    for blob in package.blobs():
        package.sources[blob.digest].check(blob.digest, blob.size)


def test_layers_of_a_base_come_from_its_registry(server, reference, home, image, tool):
    directory, made, document = image
    (directory / "contents.json").write_text(json.dumps(document))
    run("push", "--directory", directory, "--contents", "contents.json", "--repository", reference.name, home=home)
    for blob in document["image"]["blobs"][:2]:
        (directory / blob.pop("path")).unlink()
        blob["from"] = reference.name
    load(directory, document, home, tool)
    assert_whole(tool, made)


def test_a_tool_that_does_not_answer_is_passed_over(home, image, tool):
    directory, made, document = image
    (tool / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tool / "docker").chmod(0o755)
    load(directory, document, home, tool)
    assert_whole(tool, made)


def test_a_tool_that_does_not_exist_is_named(home, image, tool):
    directory, _, document = image
    done = load(directory, document, home, tool, "--", "--backend", "nerdctl", code=1)
    assert "//:load: nerdctl: not found, or not responding. Install or start the container engine, " in done.stderr


def test_an_archive_is_taken_apart(home, image, tool, tmp_path):
    directory, made, document = image
    load(directory, document, home, tool)
    run("unpack_image", "--archive", tool / "loaded.tar", "--layout", tmp_path / "layout", home=home)
    package = Layout.open(tmp_path / "layout").pushable()
    assert package.root.content == made.root.content
    for blob in package.blobs():
        package.sources[blob.digest].check(blob.digest, blob.size)


def index(tmp_path):
    """An index of images for two platforms, as a rule hands it over."""
    directory = tmp_path / "runfiles"
    documents, made = [], {}
    for architecture, seed in (("amd64", 1), ("arm64", 2)):
        made[architecture] = make_image(directory, seed=seed, architecture=architecture)
        (directory / architecture).mkdir()
        documents.append(image_contents(directory, made[architecture], f"{architecture}/"))
    return directory, {"index": {"images": documents, "manifest": "none"}}, made


def test_of_an_index_the_image_for_the_tools_platform(home, tmp_path, tool):
    directory, document, made = index(tmp_path)
    load(directory, document, home, tool)
    assert_whole(tool, made["arm64"])
    (tool / "docker").write_text(_TOOL)
    (tool / "docker").chmod(0o755)
    load(directory, document, home, tool, "--", "--backend", "docker")
    assert_whole(tool, made["amd64"])
    load(directory, document, home, tool, "--", "--backend", "docker", "--platform", "linux/arm64")
    assert_whole(tool, made["arm64"])


def test_an_index_without_an_image_for_the_platform_says_which_it_has(home, tmp_path, tool):
    directory, document, _ = index(tmp_path)
    done = load(directory, document, home, tool, "--", "--platform", "linux/s390x", code=1)
    assert (
        "the index has images only for linux/amd64, linux/arm64. Select a platform with `-- --platform linux/amd64`"
        in done.stderr
    )
    (tool / "podman").write_text("#!/bin/sh\n")
    done = load(directory, document, home, tool, "--", "--backend", "podman", code=1)
    assert "podman runs an unknown platform" in done.stderr
