"""What arrives at a real registry, and with how many requests."""

import hashlib
import json
import threading

import pytest
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry.blob_sources import FileSource, Pushable
from rules_bento.images.registry.client import Repository
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.registry import servers
from tests.registry.images import make_image, make_index
from tests.registry.relay import Relay


def test_every_blob_and_the_manifest_are_there_bit_by_bit(server, reference, registries, progress, tmp_path):
    image = make_image(tmp_path / "image")
    [pushed] = push(image, [reference.with_tag("v1")], registries, progress)
    assert str(pushed.reference) == f"{reference.name}@{image.root.descriptor.digest}"
    assert (pushed.blobs, pushed.sent, pushed.mounted) == (4, 4, 0)
    for target in ("v1", image.root.descriptor.digest):
        assert servers.get(server, f"/v2/{reference.repository}/manifests/{target}") == (200, image.root.content)
    for blob in image.blobs():
        status, content = servers.get(server, f"/v2/{reference.repository}/blobs/{blob.digest}")
        assert (status, "sha256:" + hashlib.sha256(content).hexdigest()) == (200, blob.digest)


def test_a_second_push_after_a_changed_layer_sends_that_layer_config_and_manifest(
    server, reference, registries, progress, tmp_path
):
    sizes = [50_000] * 9
    push(make_image(tmp_path / "a", [*sizes, 7_000]), [reference.with_tag("v1")], registries, progress)
    changed = make_image(tmp_path / "b", [*sizes, 7_001])
    with Relay(server.port) as relay:
        through = Reference.parse(f"{relay.host}/{reference.repository}:v1")
        [pushed] = push(changed, [through], registries, progress)
    writing = [line.partition(" ")[0] for line in relay.requests if not line.startswith(("HEAD", "GET"))]
    assert sorted(writing) == ["POST", "POST", "PUT", "PUT", "PUT"]
    assert (
        len([line for line in relay.requests if line.startswith("HEAD")]) == 11 + 2
    )  # blobs, the manifest, and the tag
    assert (pushed.blobs, pushed.sent) == (11, 2)
    assert pushed.size == 7_001 + changed.root.config.size


def test_an_unchanged_image_takes_three_requests(server, reference, registries, progress, tmp_path):
    image = make_image(tmp_path)
    push(image, [reference.with_tag("v1")], registries, progress)
    with Relay(server.port) as relay:
        through = Reference.parse(f"{relay.host}/{reference.repository}:v1")
        [pushed] = push(image, [through], registries, progress)
    assert (pushed.sent, pushed.size) == (0, 0)
    requests = [line.split(" ")[:2] for line in relay.requests if "/manifests/" in line or "/blobs/" in line]
    digest = image.root.descriptor.digest
    assert [(method, path.rpartition("/")[2]) for method, path in requests] == [
        ("HEAD", digest),
        ("PUT", digest),
        ("HEAD", "v1"),
    ]


@pytest.mark.parametrize("check_blobs", [False, True])
def test_a_lost_blob_is_sent_again(registry_binary, name, registries, progress, tmp_path, check_blobs):
    image = make_image(tmp_path / "image")
    lost = image.root.layers()[1]
    with servers.serve(registry_binary, tmp_path / "registry") as server:
        reference = Reference.parse(f"{server.host}/t/{name}:v1")
        push(image, [reference], registries, progress)
        server.blobs()[lost.digest].unlink()
        [pushed] = push(image, [reference], registries, progress, check_blobs=check_blobs)
        assert (pushed.blobs, pushed.sent, pushed.size) == (4, 1, lost.size)
        status, content = servers.get(server, f"/v2/{reference.repository}/blobs/{lost.digest}")
        assert (status, "sha256:" + hashlib.sha256(content).hexdigest()) == (200, lost.digest)


def test_a_lost_blob_is_sent_again_if_the_manifest_counts_as_invalid(
    registry_binary, name, registries, progress, tmp_path, monkeypatch
):
    image = make_image(tmp_path / "image")
    put = Repository.put_manifest

    def put_as_zot(self, manifest, target):
        try:
            return put(self, manifest, target)
        except RegistryError as error:
            raise RegistryError(str(error), 400, ("MANIFEST_INVALID",)) from error

    with servers.serve(registry_binary, tmp_path / "registry") as server:
        reference = Reference.parse(f"{server.host}/t/{name}:v1")
        push(image, [reference], registries, progress)
        server.blobs()[image.root.layers()[1].digest].unlink()
        monkeypatch.setattr(Repository, "put_manifest", put_as_zot)
        [pushed] = push(image, [reference], registries, progress)
    assert pushed.sent == 1


def test_a_registry_can_reject_an_existing_manifest(server, reference, registries, progress, tmp_path, monkeypatch):
    image = make_image(tmp_path)
    push(image, [reference.with_tag("v1")], registries, progress)

    def reject(self, manifest, target):
        raise RegistryError(f"{self}: exists", 403, ("DENIED",))

    monkeypatch.setattr(Repository, "put_manifest", reject)
    [pushed] = push(image, [reference.with_tag("v1")], registries, progress)
    assert pushed.sent == 0


def test_an_index_that_exists_is_requested_with_its_images(server, reference, registries, progress, tmp_path):
    index = make_index(tmp_path)
    push(index, [reference.with_tag("multi")], registries, progress)
    with Relay(server.port) as relay:
        through = Reference.parse(f"{relay.host}/{reference.repository}:multi")
        push(index, [through], registries, progress)
    assert len([line for line in relay.requests if line.startswith("HEAD")]) == len(index.manifests()) + 1
    assert len([line for line in relay.requests if line.startswith("PUT")]) == len(index.manifests())


def test_a_blob_is_mounted_from_where_an_earlier_push_left_it(server, reference, registries, progress, tmp_path):
    image = make_image(tmp_path)
    push(image, [reference.with_tag("v1")], registries, progress)
    digests = [blob.digest for blob in image.blobs()]
    gone = f"{reference.name}/gone"
    mounts = {digest: ["elsewhere.invalid/x", gone, reference.name] for digest in digests[1:]}
    other = Reference.parse(f"{reference.name}/later:v1")
    [pushed] = push(replace(image, mounts=mounts), [other], registries, progress)
    assert (pushed.sent, pushed.mounted) == (1, len(digests) - 1)
    assert servers.get(server, f"/v2/{other.repository}/manifests/v1") == (200, image.root.content)


def test_several_tags_and_repositories_get_each_blob_once(server, reference, registries, progress, tmp_path):
    image = make_image(tmp_path)
    other = Reference.parse(f"{reference.name}/other")
    targets = [reference.with_tag("v1"), reference.with_tag("latest"), other.with_tag("v1")]
    first, second = push(image, targets, registries, progress)
    assert (first.sent, first.mounted) == (4, 0)
    assert (second.sent, second.mounted) == (0, 4)
    for target in targets:
        status, content = servers.get(server, f"/v2/{target.repository}/manifests/{target.tag}")
        assert (status, content) == (200, image.root.content)


def test_a_manifest_is_put_again_while_another_process_commits_its_blob(
    server, reference, registries, progress, tmp_path, monkeypatch
):
    image = make_image(tmp_path / "image")
    layer = image.blobs()[0].digest.partition(":")[2]
    put = Repository.put_manifest
    refused = []

    def put_between_writes(self, manifest, target):
        [link] = server.storage.glob(f"**/{reference.repository}/_layers/sha256/{layer}/link")
        content = link.read_bytes()
        if not refused:
            link.write_bytes(b"")  # as it is for a moment when the blob is committed once more
        try:
            return put(self, manifest, target)
        except RegistryError as error:
            refused.extend(error.codes)
            raise
        finally:
            link.write_bytes(content)

    monkeypatch.setattr(Repository, "put_manifest", put_between_writes)
    [pushed] = push(image, [reference.with_tag("v1")], registries, progress)
    assert "MANIFEST_BLOB_UNKNOWN" in refused
    assert (pushed.blobs, pushed.sent) == (4, 4)
    assert servers.get(server, f"/v2/{reference.repository}/manifests/v1") == (200, image.root.content)


def test_an_index_brings_its_images_along(server, reference, registries, progress, tmp_path):
    index = make_index(tmp_path)
    push(index, [reference.with_tag("multi")], registries, progress)
    status, content = servers.get(server, f"/v2/{reference.repository}/manifests/multi")
    assert (status, content) == (200, index.root.content)
    for child in index.children:
        path = f"/v2/{reference.repository}/manifests/{child.descriptor.digest}"
        assert servers.get(server, path) == (200, child.content)


@pytest.mark.parametrize(
    ("missing", "message"),
    [(0, r"wrong\.tar: the content doesn't match the digest"), (1, r"wrong\.tar: the file is smaller")],
)
def test_a_file_that_is_not_what_its_digest_says_is_named_and_never_accepted(
    server, reference, registries, progress, tmp_path, missing, message
):
    image = make_image(tmp_path / "image")
    largest = image.blobs()[0]
    wrong = tmp_path / "wrong.tar"
    wrong.write_bytes(bytes(largest.size - missing))
    package = Pushable(image.root, (), {**image.sources, largest.digest: FileSource(wrong)})
    with pytest.raises(BentoError, match=message) as raised:
        push(package, [reference.with_tag("v1")], registries, progress)
    assert missing or largest.digest in str(raised.value)
    assert servers.get(server, f"/v2/{reference.repository}/manifests/v1")[0] == 404
    server.assert_sound()


def test_uploads_that_failed_mounts_start_are_canceled(server, reference, registries, progress, tmp_path):
    image = replace(make_image(tmp_path), mount_from=[f"{server.host}/no/{number}" for number in range(3)])
    push(image, [reference], registries, progress)
    assert server.uploads(reference.repository) == []


def test_a_missing_blob_is_named_before_anything_is_sent(registries, progress, tmp_path):
    image = make_image(tmp_path)
    missing = image.blobs()[1].digest
    sources = {digest: source for digest, source in image.sources.items() if digest != missing}
    nowhere = Reference.parse("registry.invalid/x")
    with pytest.raises(BentoError, match=f"{missing} is missing"):
        push(Pushable(image.root, (), sources), [nowhere], registries, progress)


def test_several_at_once_into_one_repository_do_not_hinder_each_other(
    server, reference, registries, progress, tmp_path
):
    images = [make_image(tmp_path / str(seed), (200_000, 5), seed) for seed in range(6)]
    errors = []

    def one(number: int) -> None:
        try:
            push(images[number], [reference.with_tag(f"v{number}")], registries, progress)
        except BentoError as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    listed = json.loads(servers.get(server, f"/v2/{reference.repository}/tags/list")[1])["tags"]
    assert sorted(listed) == [f"v{number}" for number in range(len(images))]
