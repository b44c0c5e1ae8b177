"""Models as layers, images, and CNCF ModelPack artifacts, written by the actions of the rules."""

import hashlib
import json
import posixpath
import tarfile

import pytest
import yaml
from rules_bento.actions import models
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode

PLACE = ["--package", "svc", "--strip-prefix", "m"]
CREATED = "2026-01-01T00:00:00+00:00"
FILES = {
    "LICENSE": "doc",
    "README.md": "doc",
    "config.json": "weight.config",
    "modeling.py": "code",
    "weights/a.gguf": "weight",
}


class Rule:
    """Runs actions over the files of a model in the package `svc`."""

    def __init__(self, directory):
        self.directory = directory
        for path in FILES:
            self.write(f"m/{path}", b"GGUF\x03\0\0\0" if path.endswith(".gguf") else b"{}")

    def write(self, path, data):
        (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / path).write_bytes(data)
        return str(self.directory / path)

    def run(self, action, outputs, *words):
        """Return the paths of the outputs by option."""
        paths = {name: self.directory / f"{action.__name__}.{name}" for name in outputs}
        argv = [word for name, path in paths.items() for word in (f"--{name.replace('_', '-')}", str(path))]
        action(decode(action, [*argv, *words]))
        return paths

    def sources(self, *paths, option="--source"):
        words = []
        for path in paths:
            words += [option, str(self.directory / "m" / path), f"svc/m/{path}", f"//svc:m/{path}"]
        return words

    def model(self, *words):
        outputs = ("description", "manifest", "model_yaml")
        tag = ["--tag", "tiny:v1", "--creation-time", CREATED]
        return self.run(models.model, outputs, *PLACE, *tag, *self.sources(*FILES), *words)

    def fields(self, **fields):
        return ["--fields", self.write("fields.json", json.dumps(fields).encode()), "//svc:fields.json"]


@pytest.fixture
def rule(tmp_path):
    return Rule(tmp_path)


def image(rule, form, layers, *words):
    words = ["--created", CREATED, "--format", form, "--model", str(rule.model()["description"]), *words]
    for layer in layers:
        words += ["--layer", str(layer)]
    outputs = rule.run(models.model_image, ("config", "manifest", "digest"), *words)
    manifest = outputs["manifest"].read_bytes()
    assert outputs["digest"].read_text() == f"sha256:{hashlib.sha256(manifest).hexdigest()}\n"
    return json.loads(manifest), json.loads(outputs["config"].read_bytes())


def members(layer):
    with tarfile.open(layer) as tar:
        return {member.name: member.linkname for member in tar if not member.isdir()}


def test_each_file_of_a_modelpack_artifact_is_a_layer(rule):
    layers = []
    for path, kind in FILES.items():
        written = rule.run(models.model_file_layer, ("description", "output"), *PLACE, *rule.sources(path))
        described = json.loads(written["description"].read_text())
        assert written["output"].read_bytes() == (rule.directory / "m" / path).read_bytes()
        assert described["media_type"] == f"application/vnd.cncf.model.{kind}.v1.raw"
        layers.append(written["description"].rename(rule.directory / f"{len(layers)}.json"))
    license_ = ["--annotation", '"org.opencontainers.image.licenses"', '"MIT"']
    manifest, config = image(rule, "modelpack", layers, *license_)
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert [layer["annotations"]["org.cncf.model.filepath"] for layer in manifest["layers"]] == list(FILES)
    assert config["config"] == {"format": "gguf"}
    assert config["modelfs"]["diffIds"] == [layer["digest"] for layer in manifest["layers"]]
    assert (config["descriptor"]["name"], config["descriptor"]["licenses"]) == ("tiny", ["MIT"])


def test_weights_have_layers_of_their_own_and_the_model_links_to_them(rule):
    described = rule.model()
    written = [word for name, path in described.items() for word in (f"--written-{name.replace('_', '-')}", str(path))]
    place = [*PLACE, "--directory", "home/bentoml/bento", "--user", "1034:1034", "--compression", "none"]
    weights = rule.run(
        models.weights_layer,
        ("output", "description"),
        *place, "--weights", "home/weights", *rule.sources("weights/a.gguf"),
    )  # fmt: skip
    [stored] = members(weights["output"])
    layer = rule.run(
        models.model_layer,
        ("output", "description"),
        *place, *written, "--weights", "home/weights", *rule.sources(*list(FILES)[:-1]),
        *rule.sources("weights/a.gguf", option="--weights-file"),
    )  # fmt: skip
    links = {path: link for path, link in members(layer["output"]).items() if link}
    [(path, link)] = links.items()
    assert path == "home/bentoml/bento/models/tiny/v1/weights/a.gguf"
    assert posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) == stored
    manifest, config = image(rule, "image", [weights["description"], layer["description"]])
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) == 2


def test_a_layer_with_a_root_has_all_files_below_it(rule):
    place = [*PLACE, "--root", "models", "--user", "0:0", "--compression", "gzip"]
    words = [*place, "--tag", "tiny:v1", *rule.sources(*FILES)]
    layer = rule.run(models.model_layer, ("output", "description"), *words)
    assert set(members(layer["output"])) == {f"models/{path}" for path in [*FILES, "model.yaml"]}


def test_the_origin_is_recorded_without_its_password(rule):
    fields = rule.fields(origin="https://me:secret@models.example.com/tiny", metadata={"a": 1})
    written = rule.model(*fields)
    assert yaml.safe_load(written["model_yaml"].read_bytes())["metadata"] == {"a": 1}
    assert "models.example.com/tiny" in written["description"].read_text()
    assert "secret" not in written["description"].read_text()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "x"}, "unknown field 'name'"),
        ({"metadata": []}, "metadata: expected a JSON object, got []"),
        ({"api_version": 1}, "api_version: expected a string, got 1"),
        ({"hugging_face": "org/name"}, "hugging_face: expected organization/name@commit"),
        ({"origin": "oci://registry.example.com/m:v1"}, "origin: expected an http"),
    ],
)
def test_an_invalid_fields_file_is_rejected_by_field(rule, fields, message):
    with pytest.raises(BentoError, match="//svc:fields.json: ") as caught:
        rule.model(*rule.fields(**fields))
    assert message in str(caught.value)


def test_a_file_that_models_never_contain_is_rejected(rule):
    rule.write("m/.git/config", b"")
    with pytest.raises(BentoError, match=r"\.git/config"):
        rule.model(*rule.sources(".git/config"))
