"""What refers to an image: with the API for it, without, and when images are copied."""

import json
import urllib.parse

import pytest
import servers
from images import make_image, make_index
from net.liar import liar, reply
from rules_bento.artifacts import artifact
from rules_bento.errors import BentoError
from rules_bento.registry import descriptor as oci
from rules_bento.registry.descriptor import Manifest
from rules_bento.registry.push import _walk_referrers, copy, push
from rules_bento.registry.reference import Reference

SBOM = "application/vnd.cyclonedx+json"


def push_with_sbom(reference, registries, progress, tmp_path, text: str = "{}"):
    image = make_image(tmp_path / "image")
    push(image, [reference.with_tag("v1")], registries, progress)
    (tmp_path / "sbom.json").write_text(text)
    attached = artifact.attach(image.root.descriptor, SBOM, tmp_path / "sbom.json")
    push(attached, [reference], registries, progress)
    return image, attached


def test_without_the_api_a_tag_lists_them(server, reference, registries, progress, tmp_path):
    image, attached = push_with_sbom(reference, registries, progress, tmp_path)
    repository = registries.repository(reference)
    [found] = repository.referrers(image.root.descriptor.digest)
    assert (found.digest, found.artifact_type) == (attached.root.descriptor.digest, SBOM)
    tag = image.root.descriptor.digest.replace(":", "-")
    status, content = servers.get(server, f"/v2/{reference.repository}/manifests/{tag}")
    assert status == 200
    assert json.loads(content)["manifests"][0]["digest"] == attached.root.descriptor.digest
    assert artifact.versions(repository) == ["v1"]


def test_a_second_one_comes_beside_the_first_and_the_first_only_once(reference, registries, progress, tmp_path):
    image, first = push_with_sbom(reference, registries, progress, tmp_path)
    _, second = push_with_sbom(reference, registries, progress, tmp_path, "[]")
    push(first, [reference], registries, progress)
    repository = registries.repository(reference)
    found = repository.referrers(image.root.descriptor.digest)
    assert [item.digest for item in found] == [first.root.descriptor.digest, second.root.descriptor.digest]


def test_the_same_attachment_has_the_same_digest(tmp_path):
    image = make_image(tmp_path / "image")
    (tmp_path / "sbom.json").write_text("{}")
    one, other = (artifact.attach(image.root.descriptor, SBOM, tmp_path / "sbom.json") for _ in range(2))
    assert one.root.content == other.root.content


def test_a_copy_between_registries_brings_index_images_and_referrers(
    server, second_server, reference, registries, progress, tmp_path
):
    index = make_index(tmp_path / "index")
    push(index, [reference.with_tag("v1")], registries, progress)
    (tmp_path / "sbom.json").write_text("{}")
    attached = artifact.attach(index.root.children()[0], SBOM, tmp_path / "sbom.json")
    push(attached, [reference], registries, progress)
    target = Reference.parse(f"{second_server.host}/{reference.repository}:v1")
    [copied] = copy(reference.with_tag("v1"), [target], registries, progress)
    assert copied.sent == copied.blobs == len(index.blobs())
    assert servers.get(second_server, f"/v2/{target.repository}/manifests/v1") == (200, index.root.content)
    for blob in index.blobs():
        assert servers.get(second_server, f"/v2/{target.repository}/blobs/{blob.digest}", "HEAD")[0] == 200
    second_server.assert_sound()
    [found] = registries.repository(target).referrers(index.root.children()[0].digest)
    assert found.digest == attached.root.descriptor.digest


class Chain:
    """A repository in which each manifest refers to the one before it."""

    def __init__(self, length: int) -> None:
        config = oci.Descriptor.from_content(b"{}", oci.EMPTY).to_json()
        self.manifests: dict[str, Manifest] = {}
        self.refer_to: dict[str, oci.Descriptor] = {}
        before = None
        for number in range(length):
            document = {"schemaVersion": 2, "config": config, "layers": [], "annotations": {"n": str(number)}}
            document |= {"subject": before.to_json()} if before else {}
            made = Manifest.read(oci.to_bytes(document), oci.MANIFEST, "made")
            if before:
                self.refer_to[before.digest] = made.descriptor
            self.manifests[made.descriptor.digest] = made
            before = made.descriptor

    def referrers(self, digest: str) -> list[oci.Descriptor]:
        return [self.refer_to[digest]] * 2 if digest in self.refer_to else []

    def get_manifest(self, digest: str) -> Manifest:
        return self.manifests[digest]

    def __str__(self) -> str:
        return "registry.example/x"


def test_a_chain_of_referrers_ends_in_a_message(monkeypatch):
    chain = Chain(2000)
    [root, *others] = chain.manifests.values()
    with pytest.raises(
        BentoError, match=r"more than 1000 referrers. To copy the artifact without referrers, use --no-ref"
    ):
        list(_walk_referrers(chain, root))
    monkeypatch.setattr("rules_bento.net.limits.MANIFESTS", 5000)
    assert list(_walk_referrers(chain, root)) == others, "and not by recursion"


def test_with_the_api_pages_are_followed(registries):
    subject = "sha256:" + "1" * 64
    items = [
        oci.Descriptor(oci.MANIFEST, f"sha256:{number:064x}", 7, artifact_type="type/1").to_json()
        for number in range(5)
    ]

    def answer(request):
        parts = urllib.parse.urlsplit(request.path)
        page = int(urllib.parse.parse_qs(parts.query).get("page", ["0"])[0])
        link = {"Link": f'<{parts.path}?page={page + 1}>; rel="next"'} if page * 2 + 2 < len(items) else {}
        return reply(200, link, oci.to_bytes({"schemaVersion": 2, "manifests": items[page * 2 : page * 2 + 2]}))

    with liar(answer) as server:
        repository = registries.repository(Reference.parse(f"{server.host}/a"))
        assert [item.digest for item in repository.referrers(subject)] == [item["digest"] for item in items]


def test_all_tags_are_listed_page_by_page(server, reference, registries, progress, tmp_path, monkeypatch):
    monkeypatch.setattr("rules_bento.registry.client._PAGE_SIZE", 3)
    names = [f"v{number}" for number in range(8)]
    push(make_image(tmp_path, [10]), [reference.with_tag(name) for name in names], registries, progress)
    assert sorted(registries.repository(reference).tags()) == names
