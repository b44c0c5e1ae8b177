"""Names of images, as docker reads them."""

import doctest
import importlib

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.registry.reference import Reference

SHA = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("alpine", "docker.io", "library/alpine", "", ""),
        ("alpine:3.20", "docker.io", "library/alpine", "3.20", ""),
        ("team/app", "docker.io", "team/app", "", ""),
        ("docker.io/alpine", "docker.io", "library/alpine", "", ""),
        ("index.docker.io/team/app:1", "docker.io", "team/app", "1", ""),
        ("localhost/app", "localhost", "app", "", ""),
        ("localhost:5000/app:v1", "localhost:5000", "app", "v1", ""),
        ("registry.test/a/b/c:v1", "registry.test", "a/b/c", "v1", ""),
        ("registry.test:443/a", "registry.test:443", "a", "", ""),
        ("127.0.0.1:5000/a", "127.0.0.1:5000", "a", "", ""),
        ("[::1]:5000/a:b", "[::1]:5000", "a", "b", ""),
        ("Host/a", "Host", "a", "", ""),
        (f"registry.test/a@{SHA}", "registry.test", "a", "", SHA),
        (f"registry.test/a:v1@{SHA}", "registry.test", "a", "v1", SHA),
        ("registry.test/a__b/c-d--e.f", "registry.test", "a__b/c-d--e.f", "", ""),
    ],
)
def test_what_docker_takes_is_read_as_docker_does(text, registry, repository, tag, digest):
    found = Reference.parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, digest)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "invalid repository"),
        ("registry.test/", "invalid repository"),
        ("registry.test/Upper", "invalid repository"),
        ("registry.test/a//b", "invalid repository"),
        ("registry.test/a_-b", "invalid repository"),
        ("registry.test/a/", "invalid repository"),
        ("registry.test/" + "a" * 256, "at most 255"),
        ("registry.test/a:", "invalid tag"),
        ("registry.test/a:-x", "invalid tag"),
        ("registry.test/a:" + "x" * 129, "invalid tag"),
        ("registry.test/a@sha256:12", "invalid digest"),
        ("registry.test/a@", "invalid digest"),
        ("https://registry.test/a", "without a scheme"),
        ("user:pw@registry.test/a", "invalid digest"),
    ],
)
def test_what_docker_rejects_is_rejected_with_a_way_out(text, said):
    with pytest.raises(BentoError, match=said):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("https://registry.test/a:v1", "Remove https://."),
        ("docker://registry.test/a:v1", "Remove docker://."),
        ("localhost:5078", "Add the missing part of HOST/REPOSITORY:TAG."),
        ("registry/a:v1", "If registry is a host, use oci://registry/a:v1. Otherwise, add the host: HOST/registry/a:v1."),
    ],
)  # fmt: skip
def test_an_invalid_reference_names_its_correction(text, remedy):
    with pytest.raises(BentoError) as caught:
        Reference.from_url(text)
    assert str(caught.value) == f"{text!r}: invalid reference. {remedy}"


def test_the_default_registry_has_its_own_addresses():
    reference = Reference.parse("alpine")
    assert (reference.api_host, reference.credentials_key) == ("registry-1.docker.io", "https://index.docker.io/v1/")
    assert reference.target == "latest"


@pytest.mark.parametrize("name", ["auth", "blob_sources", "descriptor", "reference"])
def test_the_examples_of_classes_are_right(name):
    tested = doctest.testmod(importlib.import_module(f"rules_bento.images.registry.{name}"))
    assert tested.attempted and not tested.failed
