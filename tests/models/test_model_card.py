"""The license in a model card is as huggingface_hub reads it; an unreadable card has none."""

import json

import pytest
from rules_bento.bentos.models.model import read_license

from tests.actions.helper import Actions

HASH = "a" * 64
IMAGE = f"oci://registry.example.com/clf@sha256:{HASH}"


def license_of(directory, card):
    (directory / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    return read_license({"README.md": str(directory / "README.md")})


@pytest.mark.parametrize(
    "card",
    [
        "---\nlicense: apache-2.0\ntags: [a]\n---\n# A model\n",
        "---\r\nlicense: mit\r\n---\r\n",
        "\n\n---\nlicense: 'llama3'\n---",
        "---\nlibrary_name: x\n---\n---\nlicense: mit\n---\n",
        "---\nlanguage: en\n---\nlicense: mit\n",
        "# A model\n\n---\nlicense: mit\n---\n",
        "---\n\nlicense: mit\n\n---\n",
        "license: mit\n",
        "",
    ],
)
def test_the_license_is_that_of_the_library(tmp_path, card):
    from huggingface_hub import ModelCard

    assert license_of(tmp_path, card) == (ModelCard(card, ignore_metadata_errors=True).data.license or "")


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: other\nlicense_name: qwen-research\n---\n", "qwen-research"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlicense: 7\n---\n", ""),
        ("---\nlicense: {a: b}\n---\n", ""),
        (f"---\nlicense: {'x' * 101}\n---\n", ""),
        ('---\nlicense: "a\\x07b"\n---\n', ""),
        ("---\nlicense: [mit\n---\n", ""),
        ("---\n- license\n---\n", ""),
        ("---\n---\n", ""),
        (f"---\nlicense: mit\n{'# comment' * 20_000}\n---\n", ""),
        ("---\na: &a [*a]\nlicense: mit\n---\n", ""),
        (b"---\nlicense: \xff\n---\n", ""),
        (b"\xff" * 99, ""),
    ],
)
def test_an_odd_card_fails_nothing(tmp_path, card, expected):
    assert license_of(tmp_path, card) == expected


def described(tmp_path, fields, *, stored):
    """The description of a model with a card. If `stored` is true, the model is an entry of a store."""
    actions = Actions(tmp_path)
    card = actions.write("svc/README.md", "---\nlicense: MIT\n---\n")
    words = ["--fields", actions.write("origin.json", json.dumps(fields)), "origin.json"]
    if not stored:
        return actions.model(*words, srcs=[card])
    keys = {"name": "clf", "version": "v1", "module": "", "labels": {}, "options": {}, "metadata": {}, "context": {}}
    entry = keys | {"signatures": {}, "api_version": "v1", "creation_time": "2026-01-01T00:00:00+00:00"}
    sources = [card, actions.write("svc/model.yaml", json.dumps(entry))]
    words += ["--package", "svc", *(word for path in sources for word in ("--source", path, path, "//svc:model"))]
    return actions.run("model", ["--target", "//svc:model", *words], {"--description": "description"})


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (IMAGE, IMAGE),
        ("https://example.com/clf", "https://example.com/clf"),
        ("https://me:secret@example.com:8443/a b@c?token=secret#d", "https://example.com:8443/a%20b@c"),
        ("https://example.com?token=secret", "https://example.com"),
    ],
)
def test_the_description_has_the_origin_without_secrets(tmp_path, origin, expected, stored):
    outcome = described(tmp_path, {"origin": origin}, stored=stored)
    assert outcome.code == 0, outcome.errors
    description = json.loads(outcome.outputs["--description"])
    assert (description["origin"], description["license"]) == (expected, "MIT")


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("origin", ["ftp://example.com/a", "/home/me/clf", f"oci://registry/clf@{HASH}", "https://"])
def test_another_origin_is_an_error(tmp_path, origin, stored):
    outcome = described(tmp_path, {"origin": origin}, stored=stored)
    assert "origin.json: origin: expected an http:// or https:// URL, or oci://" in outcome.errors


def test_an_entry_of_a_store_has_its_own_fields(tmp_path):
    outcome = described(tmp_path, {"metadata": {}}, stored=True)
    assert "unknown field 'metadata'. Valid fields: hugging_face, origin. " in outcome.errors
    assert outcome.errors.rstrip().endswith("Set tag.")
