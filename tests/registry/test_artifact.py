"""Bentos and models as artifacts: the archive that comes out is the one that went in."""

import json

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.pull_from_registry import download
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.registry.images import expected_archive, make_bento, make_image, pulled_archive


def described_at(repository, target: str) -> artifact.DescribedBento:
    manifest = repository.get_manifest(target)
    return artifact.read_described(manifest, repository.read_blob(manifest.config), target)


def test_a_bento_comes_back_as_the_archive_that_was_built(reference, registries, progress, tmp_path):
    text, parts, models = make_bento(tmp_path / "bento")
    package = artifact.pack_bento(text, "blake3:" + "a" * 64, parts, models)
    push(package, [reference.with_tag("v1")], registries, progress)
    repository = registries.repository(reference)
    fields = described_at(repository, "v1")
    assert pulled_archive(repository, "v1", tmp_path) == expected_archive(tmp_path, parts, models)
    assert (str(fields.tag), fields.digest) == ("iris:v1", "blake3:" + "a" * 64)
    assert fields.bento["labels"] == {"team": "botany"}
    assert [model.tag for model in fields.models] == ["clf:a", "clf:b"]


def _with_digest(bento):
    text, parts, models = bento
    return text, "blake3:x", parts, models


def test_a_model_is_one_blob_shared_with_its_bentos(server, reference, registries, progress, tmp_path):
    text, parts, models = make_bento(tmp_path / "bento")
    models_reference = Reference.parse(f"{reference.name}/models")
    package = artifact.pack_model(*models[0])
    push(package, [models_reference.with_tag("a")], registries, progress)
    bento = artifact.pack_bento(text, "", parts, models)
    assert package.root.layers()[0] in bento.root.layers()
    repository = registries.repository(models_reference)
    manifest = repository.get_manifest("a")
    assert artifact.read_model(manifest, repository.read_blob(manifest.config), "here") == models[0][0]
    out = tmp_path / "model.part"
    download(repository, manifest.layers()[0], out, progress)
    assert out.read_bytes() == models[0][1].source.path.read_bytes()


def test_an_image_is_not_a_bento(reference, registries, progress, tmp_path):
    push(make_image(tmp_path), [reference.with_tag("v1")], registries, progress)
    with pytest.raises(BentoError, match=r"expected a Bento, got application/vnd.oci.image.manifest"):
        described_at(registries.repository(reference), "v1")


OTHERS: list[object] = [None, [], {"a": 1}, True]
DESCRIPTION = {"tag": "clf:a", "module": "", "creation_time": "", "blake3": "", "size": 1, "labels": {}}
FACTS = {"bento": {"name": "iris", "version": "v1"}, "digest": "", "models": [DESCRIPTION]}


def manifest_of(kind, config):
    document = {"artifactType": kind, "config": Descriptor.from_content(b"", config).to_json()}
    layer = Descriptor.from_content(b"", artifact.MODEL_PART).to_json()
    return Manifest.read(json.dumps(document | {"layers": [layer]}).encode(), "", "here")


@pytest.mark.parametrize(
    "changed",
    [
        [],
        {},
        {"bento": []},
        {"bento": None},
        {"bento": {"name": "iris"}},
        {"bento": {"name": "iris", "version": 1}},
        {"bento": {"name": "iris", "version": ""}},
        {"bento": {"name": ["iris"], "version": "v1"}},
        {"digest": 1},
        {"models": 1},
        {"models": [1]},
        {"models": ["clf:a"]},
        *({"models": [DESCRIPTION | {key: value}]} for key in DESCRIPTION for value in OTHERS),
        {"models": [DESCRIPTION | {"tag": "clf"}]},
        {"models": [DESCRIPTION | {"tag": "../../x:y"}]},
        {"models": [DESCRIPTION | {"other": 1}]},
    ],
    ids=str,
)
def test_a_config_of_another_shape_is_rejected(changed):
    document = FACTS | changed if isinstance(changed, dict) and changed else changed
    manifest = manifest_of(artifact.BENTO, artifact.BENTO_CONFIG)
    assert artifact.read_described(manifest, json.dumps(FACTS).encode(), "here").models[0].tag == "clf:a"
    for config in (json.dumps(document).encode(), b"[" * 100_000, b'{"bento": ' * 200, b"\xff", b'"\\ud800"'):
        with pytest.raises(BentoError, match=r"^here: cannot read the config of the Bento"):
            artifact.read_described(manifest, config, "here")
    model = manifest_of(artifact.MODEL, artifact.MODEL_CONFIG)
    assert artifact.read_model(model, json.dumps(DESCRIPTION).encode(), "here").tag == "clf:a"
    described = changed.get("models", [changed])[0] if isinstance(changed, dict) and changed.get("models") != 1 else 1
    for config in (json.dumps(described).encode(), b"[" * 100_000, b"\xff"):
        with pytest.raises(BentoError, match=r"^here: cannot read the config of the model"):
            artifact.read_model(model, config, "here")


def test_packing_is_a_function_of_its_inputs(tmp_path):
    one, other = (artifact.pack_bento(*_with_digest(make_bento(tmp_path / name))).root.content for name in ("a", "b"))
    assert one == other
    document = json.loads(one)
    assert document["annotations"] == {
        "org.opencontainers.image.created": "2026-01-01T00:00:00+00:00",
        "org.opencontainers.image.title": "iris",
        "org.opencontainers.image.version": "v1",
    }
    titles = [layer["annotations"]["org.opencontainers.image.title"] for layer in document["layers"]]
    assert titles == ["metadata.tar.xz", "sources.tar.xz", "models/clf/a.tar.xz", "models/clf/b.tar.xz"]
