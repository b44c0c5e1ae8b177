"""Layouts on disk, archives of docker, and images that come shallow."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry import docker_archive
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import fetch_blobs, pull
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.registry import servers
from tests.registry.images import make_image, make_index
from tests.registry.relay import Relay


def test_a_shallow_pull_brings_layers_when_they_are_requested(server, reference, registries, progress, tmp_path):
    image = make_image(tmp_path / "image")
    push(image, [reference.with_tag("v1")], registries, progress)
    layout = Layout.create(tmp_path / "layout")
    with Relay(server.port) as relay:
        through = Reference.parse(f"{relay.host}/{reference.repository}:v1")
        root = pull([through], layout, registries, progress, shallow=True)
        assert relay.carried("down") < 10_000
        assert layout.has(root.config)
        assert not any(map(layout.has, root.layers()))
        fetch_blobs(root.layers()[1:2], [registries.repository(through)], layout, progress)
    assert [layout.has(layer) for layer in root.layers()] == [False, True, False]


def test_of_an_index_only_the_wanted_platform_comes(reference, registries, progress, tmp_path):
    push(make_index(tmp_path / "index"), [reference.with_tag("multi")], registries, progress)
    layout = Layout.create(tmp_path / "layout")
    root = pull([reference.with_tag("multi")], layout, registries, progress, platforms=["linux/arm64"])
    amd64, arm64 = root.children()
    assert layout.blob(arm64.digest).exists()
    assert not layout.blob(amd64.digest).exists()
    with pytest.raises(BentoError, match=r"no image for linux/s390x. Valid platforms: linux/amd64, linux/arm64"):
        pull([reference.with_tag("multi")], layout, registries, progress, platforms=["linux/s390x"])


def test_a_mirror_is_tried_first_and_may_be_down_or_lie(
    server, second_server, reference, registries, progress, tmp_path
):
    image = make_image(tmp_path / "image")
    push(image, [reference], registries, progress)
    pinned = reference.with_digest(image.root.descriptor.digest)
    down = Reference.parse(f"127.0.0.1:{servers.free_port()}/{reference.repository}@{pinned.digest}")
    without = Reference.parse(f"{second_server.host}/{reference.repository}@{pinned.digest}")
    layout = Layout.create(tmp_path / "layout")
    assert pull([down, without, pinned], layout, registries, progress).content == image.root.content


def test_a_pull_into_another_directory_is_rejected(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BentoError, match="isn't an OCI layout"):
        Layout.create(tmp_path)
    with pytest.raises(BentoError, match="no valid oci-layout file"):
        Layout.open(tmp_path)
    with pytest.raises(BentoError, match="gone: the directory doesn't exist. Specify the directory of an OCI layout"):
        Layout.open(tmp_path / "gone")


def test_names_stand_for_one_image_each(reference, registries, progress, tmp_path):
    layout = Layout.create(tmp_path / "layout")
    for seed in (1, 2):
        push(make_image(tmp_path / str(seed), [10], seed), [reference.with_tag(f"v{seed}")], registries, progress)
    first = pull([reference.with_tag("v1")], layout, registries, progress, name="app")
    second = pull([reference.with_tag("v2")], layout, registries, progress, name="app")
    assert first.content != second.content
    assert [entry.digest for entry in layout.index()] == [second.descriptor.digest]
    pull([reference.with_tag("v1")], layout, registries, progress, name="old")
    with pytest.raises(BentoError, match="expected one image, got 2. Specify one of: app, old"):
        layout.find()
    assert layout.find("old").content == first.content


def test_a_changed_manifest_in_a_layout_is_noticed(reference, registries, progress, tmp_path):
    push(make_image(tmp_path / "image"), [reference.with_tag("v1")], registries, progress)
    layout = Layout.create(tmp_path / "layout")
    root = pull([reference.with_tag("v1")], layout, registries, progress)
    layout.blob(root.descriptor.digest).write_bytes(root.content + b" ")
    with pytest.raises(BentoError, match="content doesn't match the digest"):
        layout.pushable()


GOOD = {"digest": "sha256:" + "0" * 64, "size": 1}


def test_a_manifest_of_a_layout_is_read_within_bounds(tmp_path):
    layout = Layout.create(tmp_path / "layout")
    digest = f"sha256:{'1' * 64}"
    layout.blob(digest).parent.mkdir(parents=True, exist_ok=True)
    with layout.blob(digest).open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(BentoError, match="exceeds the limit of 16 MiB"):
        layout.manifest(digest)


def test_pipes_in_the_place_of_files_are_not_waited_for(tmp_path):
    manifest = oci.to_bytes({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []})
    digest = oci.digest_of(manifest)
    layout = Layout.create(tmp_path / "layout")
    layout.add(manifest)
    layout.blob(digest).unlink()
    os.mkfifo(layout.blob(digest))
    assert not layout.has(Descriptor("text/plain", digest, 0)), "a pipe has a size of 0"
    with pytest.raises(BentoError, match="missing (manifest|blob)"):
        layout.manifest(digest)
    with pytest.raises(BentoError, match="missing (manifest|blob)"):
        layout.read(Descriptor("text/plain", digest, len(manifest)))
    (layout.directory / "index.json").unlink()
    os.mkfifo(layout.directory / "index.json")
    with pytest.raises(BentoError, match="file not found"):
        layout.index()


WRITERS = {
    "create": lambda directory, root: Layout.create(directory),
    "add": lambda directory, root: Layout(directory).add(b"new"),
    "name": lambda directory, root: Layout(directory).add_manifest(root, "v2"),
    "attach": lambda directory, root: Layout(directory).attach(referrer(root)),
}
# Each name in a layout that can be a link, and who refuses it. Others don't use the name, or replace the link.
LINKS = {"blobs": WRITERS.keys(), "blobs/sha256": WRITERS.keys(), "index.json": {"name", "attach"}, "oci-layout": {}}


def referrer(root: Manifest) -> Manifest:
    config = {"mediaType": oci.EMPTY, "digest": f"sha256:{'1' * 64}", "size": 2}
    document = {"schemaVersion": 2, "config": config, "layers": [config], "subject": root.descriptor.to_json()}
    return Manifest.read(oci.to_bytes(document), oci.MANIFEST, "referrer")


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def strange(tmp_path: Path) -> Layout:
    """A layout that somebody else made."""
    layout = Layout.create(tmp_path / "layout")
    layout.add_manifest(make_image(tmp_path / "image").root, "v1")
    return layout


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", LINKS)
def test_writes_follow_no_link_in_a_layout(strange, tmp_path, name, writer):
    path, outside = strange.directory / name, tmp_path / "outside"
    root = strange.find()
    outside.mkdir()
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)
    before = contents(outside)
    try:
        WRITERS[writer](strange.directory, root)
    except BentoError as error:
        assert str(error).startswith(f"{path}: the path is a symbolic link")
        assert "Replace the link" in str(error)
        assert writer in LINKS[name]
    else:
        assert writer not in LINKS[name]
    assert contents(outside) == before


def test_a_link_isnt_read_as_the_index_of_a_layout(strange, tmp_path):
    for name, read in (("index.json", strange.find), ("oci-layout", lambda: Layout.open(strange.directory))):
        path = strange.directory / name
        path.rename(tmp_path / name)
        path.symlink_to(tmp_path / name)
        with pytest.raises(BentoError, match=f"{name}: the path is a symbolic link"):
            read()


def test_the_lock_of_a_layout_changes_no_file(strange, tmp_path):
    (tmp_path / "precious").write_text("x")
    (strange.directory / ".lock").symlink_to(tmp_path / "precious")
    with strange.lock():
        strange.attach(referrer(strange.find()))
    assert (tmp_path / "precious").read_text() == "x"


def test_files_of_a_layout_are_replaced_and_not_changed(strange, tmp_path):
    """A hard link in an unpacked archive can be another name of any file on the same file system."""
    names = [path for path in strange.directory.rglob("*") if path.is_file()]
    for number, path in enumerate(names):
        (tmp_path / str(number)).hardlink_to(path)
    before = [path.read_bytes() for path in names]
    strange.add_manifest(strange.find(), "v2")
    assert [(tmp_path / str(number)).read_bytes() for number in range(len(names))] == before


def test_a_layout_can_be_at_a_link_and_have_blobs_that_are_links(strange, tmp_path):
    (tmp_path / "link").symlink_to(strange.directory)
    blob = strange.blob(strange.find().descriptor.digest)
    blob.rename(tmp_path / "blob")
    blob.symlink_to(tmp_path / "blob")
    layout = Layout.open(tmp_path / "link")
    layout.add_manifest(layout.find(), "v1")
    assert layout.find("v1").content == (tmp_path / "blob").read_bytes()
    assert not blob.is_symlink()


def test_a_link_to_itself_is_no_directory_of_a_layout(tmp_path):
    (tmp_path / "layout").symlink_to("layout")
    with pytest.raises(FileExistsError):
        Layout.create(tmp_path / "layout")


def test_inputs_of_bazel_are_trees_of_links(strange, tmp_path):
    for path in contents(strange.directory):
        link = tmp_path / "sandbox" / path.relative_to(strange.directory)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    layout = Layout.open(tmp_path / "sandbox", follows_links=True)
    assert layout.pushable().root.content == strange.find().content


def test_a_full_disk_leaves_a_layout_unchanged(tmp_path, full_disk):
    layout = Layout.create(tmp_path / "layout")
    layout.add_manifest(make_image(tmp_path / "image").root, "v1")
    other = make_image(tmp_path / "other", [100]).root
    before = {path: path.read_bytes() for path in layout.directory.rglob("*") if path.is_file()}
    with full_disk(10), pytest.raises(OSError, match="File too large"):
        layout.add_manifest(other, "v2")
    assert {path: path.read_bytes() for path in layout.directory.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"config": ' * 200, b'{"a": 1, "a": 2}', b"\xff"])
def test_json_beyond_the_bounds_is_not_a_manifest(content):
    with pytest.raises(BentoError, match="^somewhere"):
        Manifest.read(content, "", "somewhere")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"config": {}, "layers": []},
        {"config": {"digest": "sha256:zz", "size": 1}, "layers": []},
        {"config": {"digest": "sha256:" + "0" * 64, "size": -1}, "layers": []},
        {"config": {"digest": "sha256:" + "0" * 64, "size": True}, "layers": []},
        {"config": {"digest": "../../etc/passwd", "size": 1}, "layers": []},
        {"manifests": [], "layers": []},
        {"mediaType": oci.INDEX, "manifests": [{"digest": "sha256:../x", "size": 1}]},
        {"mediaType": "text/plain"},
        {"mediaType": [oci.MANIFEST], "config": GOOD},
        {"config": GOOD, "layers": 1},
        {"config": GOOD, "layers": {"a": 1}},
        {"config": GOOD, "layers": [1]},
        {"config": GOOD, "annotations": ["a"]},
        {"config": GOOD, "annotations": {"a": 1}},
        {"config": GOOD, "artifactType": {}},
        {"config": GOOD | {"size": 1 << 63}},
        {"config": GOOD | {"digest": [GOOD["digest"]]}},
        {"config": GOOD | {"mediaType": 1}},
        {"config": GOOD, "layers": [GOOD | {"annotations": 1}]},
        {"config": GOOD, "layers": [GOOD | {"artifactType": []}]},
        {"manifests": 1},
        {"manifests": "abc"},
        {"manifests": [5]},
        {"manifests": [GOOD | {"platform": "linux"}]},
        {"manifests": [GOOD | {"platform": {"os": ["linux"]}}]},
    ],
)
def test_an_invalid_manifest_is_rejected(document):
    with pytest.raises(BentoError, match=r"somewhere|isn't a valid descriptor"):
        Manifest.read(json.dumps(document).encode(), "", "somewhere")


def tar_of(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def docker_save(path: Path, layers: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    """What docker wrote before its version 25."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    names = [*layers, *(links or {})]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["app:v1"], "Layers": names}]).encode()
    return tar_of(path, {"c.json": config, **layers, "manifest.json": manifest}, links)


def test_an_archive_of_docker_is_pushed_without_unpacking(server, reference, registries, progress, tmp_path):
    plain, packed = bytes(10_000), gzip.compress(b"layer" * 1000, mtime=0)
    path = docker_save(
        tmp_path / "saved.tar", {"a/layer.tar": plain, "b/layer.tar": packed}, {"d/layer.tar": "../a/layer.tar"}
    )
    package = docker_archive.read(path)
    assert [layer.media_type for layer in package.root.layers()] == [
        oci.TAR_LAYER,
        oci.TAR_LAYER + "+gzip",
        oci.TAR_LAYER,
    ]
    push(package, [reference.with_tag("v1")], registries, progress)
    for layer, content in zip(package.root.layers(), (plain, packed, plain), strict=True):
        assert servers.get(server, f"/v2/{reference.repository}/blobs/{layer.digest}") == (200, content)


def test_an_oci_archive_is_pushed_without_unpacking(server, reference, registries, progress, tmp_path):
    image = make_image(tmp_path / "image")
    push(image, [reference.with_tag("v1")], registries, progress)
    pull([reference.with_tag("v1")], Layout.create(tmp_path / "layout"), registries, progress, name="v1")
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        tar.add(tmp_path / "layout", "./")
    other = Reference.parse(f"{reference.name}/archived:v1")
    push(docker_archive.read(tmp_path / "image.tar"), [other], registries, progress)
    assert servers.get(server, f"/v2/{other.repository}/manifests/v1") == (200, image.root.content)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"x": b""}, "missing file 'manifest.json'"),
        ({"manifest.json": b"{"}, "manifest.json:1: invalid JSON"),
        ({"manifest.json": b"[" * 100_000}, "manifest.json: the JSON is nested too deeply"),
        ({"manifest.json": b"[]"}, "expected exactly one image"),
        ({"manifest.json": b"[{}]"}, "manifest.json: the image: Config is missing"),
        ({"manifest.json": b"[1]"}, "Save the image with `docker save`"),
        ({"manifest.json": b'[{"Config": "c", "Layers": "c"}]', "c": b"{}"}, "Save the image with `docker save`"),
        ({"manifest.json": b'[{"Config": "c", "Layers": [["c"]]}]', "c": b"{}"}, "Save the image with `docker save`"),
        ({"manifest.json": b'[{"Config": ["c"], "Layers": []}]', "c": b"{}"}, "Save the image with `docker save`"),
        ({"manifest.json": b'[{"Config": "c", "Layers": ["../../etc/passwd"]}]', "c": b"{}"}, "missing file .*passwd'"),
        ({"index.json": b'{"manifests": []}'}, "expected one image, got 0"),
    ],
)
def test_other_archives_are_rejected(tmp_path, members, said):
    with pytest.raises(BentoError, match=said):
        docker_archive.read(tar_of(tmp_path / "x.tar", members))


def test_a_compressed_archive_is_rejected(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(b"x"))
    with pytest.raises(BentoError, match="not an uncompressed tar"):
        docker_archive.read(tmp_path / "x.tar.gz")
