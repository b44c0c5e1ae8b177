"""What refers to an image: with the API for it, and without."""

import json
import urllib.parse

from rules_bento.images.artifacts import artifact
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.net.liar import liar, reply
from tests.registry import servers
from tests.registry.images import make_image

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
    assert servers.tags(reference) == [tag, "v1"]


def test_a_second_one_comes_next_to_the_first_and_the_first_only_once(reference, registries, progress, tmp_path):
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
