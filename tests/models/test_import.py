"""Models that real BentoML saved and exported are taken as they are, and real BentoML imports what comes out."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from rules_bento.base.archives.archive import join

from tests.actions.helper import Actions
from tests.helpers.tar_files import extract_all

SAVE = """\
import bentoml
with bentoml.models.create(
    "weights:v7", labels={"stage": "prod"}, metadata={"accuracy": 0.9, "of": ["a"]},
    signatures={"predict": {"batchable": True}},
) as model:
    import pathlib
    folder = pathlib.Path(model.path)
    (folder / "deep").mkdir()
    (folder / "deep/weights.bin").write_bytes(bytes(range(256)) * 5000)
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o755)
"""
OUTPUTS = {f"--{name}": name for name in ("part", "description", "manifest")}
LICENSES = "org.opencontainers.image.licenses"
READ = """\
import bentoml, json
model = bentoml.models.get("weights:v7")
print(json.dumps({"labels": model.info.labels, "metadata": model.info.metadata, "created": str(model.creation_time),
                  "batchable": model.info.signatures["predict"].batchable,
                  "sha": __import__("hashlib").sha256(open(model.path_of("deep/weights.bin"), "rb").read()).hexdigest()}))
"""
RESOLVE = """\
import bentoml
try:
    bentoml.models.BentoModel("m:v1").resolve()
except Exception as error:
    print(error)
"""


@pytest.fixture
def saved(bentoml):
    """What real BentoML has of a model that it made, and the folder of the store."""
    bentoml.ask(SAVE)
    return json.loads(bentoml.ask(READ)), bentoml.home / "models/weights/v7"


def imported(actions: Actions, *arguments: str):
    """What the action makes."""
    words = ["--target", "//svc:model", *arguments, "--scratch", "model.files"]
    made = actions.run("model", words, OUTPUTS)
    assert made.code == 0, made.errors
    assert not (actions.root / "model.files").exists()
    return made.outputs


def as_bentoml_has_it(bentoml, part: bytes, directory: Path):
    """What real BentoML says of the model after it imported it."""
    (directory / "part").write_bytes(part)
    with (directory / "joined").open("wb"):
        join(directory / "joined", [directory / "part"])
    with tarfile.open(directory / "joined") as archive:
        extract_all(archive, directory / "whole", "data")
    with tarfile.open(directory / "again.bentomodel", "w:xz") as archive:
        archive.add(directory / "whole/models/weights/v7", ".")
    bentoml.run("models", "delete", "-y", "weights:v7")
    bentoml.run("models", "import", str(directory / "again.bentomodel"))
    return json.loads(bentoml.ask(READ))


@pytest.mark.parametrize("form", ["bentomodel", "zip"])
def test_an_archive_is_accepted_as_it_is(bentoml, saved, tmp_path, form):
    before, directory = saved
    archive = tmp_path / f"weights.{form}"
    if form == "bentomodel":
        bentoml.run("models", "export", "weights:v7", str(archive))
    else:
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(directory.rglob("*")):
                file.write(path, path.relative_to(directory))
    (tmp_path / "root").mkdir()
    made = imported(Actions(tmp_path / "root"), "--archive", str(archive), archive.name)
    description = json.loads(made["--description"])
    assert description["tag"] == "weights:v7"
    assert description["labels"] == {"stage": "prod"}
    assert as_bentoml_has_it(bentoml, made["--part"], tmp_path) == before
    modes = {entry["path"]: entry["mode"] for entry in json.loads(made["--manifest"])}
    assert modes["run.sh"] == "0755"


def test_the_files_of_an_entry_are_the_same_as_its_archive(bentoml, saved, tmp_path):
    _, directory = saved
    bentoml.run("models", "export", "weights:v7", str(tmp_path / "w.bentomodel"))
    (tmp_path / "root").mkdir()
    actions = Actions(tmp_path / "root")
    first = imported(actions, "--archive", str(tmp_path / "w.bentomodel"), "w.bentomodel")
    words = ["--package", "svc", "--strip-prefix", "entry"]
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            inside = f"svc/entry/{path.relative_to(directory)}"
            actions.write(inside, path.read_bytes())
            (actions.root / inside).chmod(path.stat().st_mode)
            words += ["--source", inside, inside, f"//svc:{inside}"]
    assert imported(actions, *words) == first


def test_a_layer_has_the_files_of_an_archive(saved, bentoml, tmp_path):
    _, directory = saved
    bentoml.run("models", "export", "weights:v7", str(tmp_path / "w.bentomodel"))
    (tmp_path / "root").mkdir()
    words = ["--target", "//svc:model", "--archive", str(tmp_path / "w.bentomodel"), "w.bentomodel"]
    words += ["--scratch", "model.files", "--directory", "/home/bentoml/bento", "--user", "1034:1034"]
    words += ["--compression", "none"]
    made = Actions(tmp_path / "root").run("model_layer", words, {"--output": "layer", "--description": "description"})
    assert made.code == 0, made.errors
    with tarfile.open(fileobj=io.BytesIO(made.outputs["--output"])) as layer:
        found = {member.name: member for member in layer if member.isfile()}
        weights = found["home/bentoml/bento/models/weights/v7/deep/weights.bin"]
        assert layer.extractfile(weights).read() == (directory / "deep/weights.bin").read_bytes()
    assert weights.uid == 1034
    assert found["home/bentoml/bento/models/weights/v7/run.sh"].mode == 0o755
    assert "home/bentoml/bento/models/weights/v7/model.yaml" in found


def layers_of(actions, texts, *location, fields=None):
    """Layers of the weights (`.bin`) and of the other files of a model."""
    for name, text in texts.items():
        actions.write(f"svc/{name}", text)
    weights = [actions.root / f"svc/{name}" for name in texts if name.endswith(".bin")]
    names = [str(path.relative_to(actions.root)) for path in weights]
    others = [f"svc/{name}" for name in texts if not name.endswith(".bin")]

    def described(flag, name, path=""):
        return [flag, path, name, f"//svc:{name}"]

    place = ["--target", "//svc:model", "--package", "svc", "--strip-prefix", ""]
    image = [*location, "--user", "1034:1034", "--compression", "none"]
    sources = [word for name in [*names, *others] for word in described("--source", name, name)]
    written = {"--written-description": "m.json", "--written-manifest": "m.manifest", "--written-model-yaml": "m.yaml"}
    more = ["--module", "", "--creation-time", "1980-01-01T00:00:00Z", "--tag", "m"]
    if fields:
        actions.write("fields.json", json.dumps(fields))
        more += ["--fields", "fields.json", "fields.json"]
    flags = {flag.replace("--written", "-"): path for flag, path in written.items()}
    model = actions.run("model", [*place, *more, *sources], flags)
    assert model.code == 0, model.errors
    for flag, path in flags.items():
        actions.write(path, model.outputs[flag])
    words = [*place, *image, *(word for name in names for word in described("--source", name, name))]
    layers = [actions.run("weights_layer", words, {"--output": "1", "--description": "1.json"})]
    for path in weights:
        path.unlink()  # who links to them does not read them
    words = [*place, *image, *(word for name in others for word in described("--source", name, name))]
    words += [word for name in names for word in described("--weights-file", name)]
    words += [word for pair in written.items() for word in pair]
    layers.append(actions.run("model_layer", words, {"--output": "2", "--description": "2.json"}))
    for layer in layers:
        assert layer.code == 0, layer.errors
    return [layer.outputs["--output"] for layer in layers]


def test_layers_of_weights_hold_what_the_model_links_to(tmp_path):
    texts = {"a-1.bin": "one", "deep/a-2.bin": "two", "deep/same/a-1.bin": "one", "config.json": "{}"}
    location = ["--directory", "/home/bentoml/bento", "--weights", "/home/bentoml/weights/m"]
    for layer in layers_of(Actions(tmp_path), texts, *location):
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            extract_all(tar, tmp_path / "image")
    shutil.move(tmp_path / "image", tmp_path / "elsewhere")  # where an image is mounted
    [directory] = (tmp_path / "elsewhere/home/bentoml/bento/models/m").iterdir()
    assert {name: (directory / name).read_text() for name in texts} == texts
    assert [path.is_symlink() for path in sorted(directory.iterdir()) if path.is_file()] == [True, False, False]
    kept = sorted(path.name for path in (tmp_path / "elsewhere/home/bentoml/weights/m").glob("*/*"))
    assert kept == ["a-1.bin", "a-2.bin"], "equal files are one"


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python's tarfile has no filters")
@pytest.mark.parametrize("root", ["models", "models/llm"])
def test_kserve_finds_all_files_below_models(tmp_path, root):
    """As `oci+fetch://` of KServe 0.20 reads layers: `data` refuses links that leave the folder."""
    texts = {"a-1.bin": "one", "deep/a-2.bin": "two", "config.json": "{}", "deep/same/a-1.bin": "one"}
    for layer in layers_of(Actions(tmp_path), texts, "--root", root):
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            for member in tar:
                assert member.name == "models" or member.name.startswith("models/")
                assert member.isdir() or member.isreg(), "KServe may mount the folder alone"
                assert member.mode & 0o444 == 0o444, "a server of any user reads it"
                if member.name != "models":
                    member.name = member.name.removeprefix("models/")
                    tar.extract(member, tmp_path / "mnt", filter="data")
    model = tmp_path / "mnt" / root.removeprefix("models").lstrip("/")
    found = {str(path.relative_to(model)): path.read_text() for path in model.rglob("*") if path.is_file()}
    assert found.pop("model.yaml").startswith("name: m\n")
    assert found == texts


LAYER = {"media_type": "application/vnd.oci.image.layer.v1.tar+zstd", "size": 1, "name": ""}


def described_model(actions, tag):
    """The path of a description."""
    fields = {
        "tag": tag,
        "module": "",
        "creation_time": "2026-01-01T00:00:00+00:00",
        "blake3": "",
        "size": 0,
        "labels": {},
    }
    return actions.write(f"{tag.replace(':', '-')}.json", json.dumps(fields))


@pytest.mark.parametrize(("form", "count"), [("image", 3), ("kserve", 3), ("modelpack", 3)])
def test_a_model_alone_is_an_image_or_an_artifact_of_the_same_layers(tmp_path, form, count):
    actions = Actions(tmp_path)
    words = ["--target", "//svc:model", "--format", form, "--created", "1980-01-01T00:00:00+00:00"]
    words += ["--model", described_model(actions, "m:v1"), "--annotation", json.dumps(LICENSES), json.dumps("MIT")]
    digests = [f"sha256:{number}" for number in range(count)]
    for digest in digests:
        layer = json.dumps({**LAYER, "digest": digest, "diff_id": f"{digest}0"})
        words += ["--layer", actions.write(f"{digest[7:]}.json", layer)]
    made = actions.run("model_image", words, {flag: flag[2:] for flag in ("--config", "--manifest", "--digest")})
    assert made.code == 0, made.errors
    config, manifest = json.loads(made.outputs["--config"]), json.loads(made.outputs["--manifest"])
    assert [layer["digest"] for layer in manifest["layers"]] == digests
    assert manifest["annotations"][LICENSES] == "MIT"
    kinds = [layer["mediaType"] for layer in manifest["layers"]]
    if form != "modelpack":
        assert config["rootfs"]["diff_ids"] == [f"{digest}0" for digest in digests]
        assert config["config"] == {"Labels": manifest["annotations"]}
        assert kinds == [LAYER["media_type"]] * 3
        return
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert kinds == [LAYER["media_type"]] * 3
    assert config["modelfs"] == {"type": "layers", "diffIds": [f"{digest}0" for digest in digests]}
    assert config["descriptor"]["licenses"] == ["MIT"]
    assert (config["descriptor"]["name"], config["descriptor"]["version"]) == ("m", "v1")
    both = ["--target", "//:index", "--image", actions.write("c", made.outputs["--config"]), "m.json"]
    refused = actions.run("image_index", both, {"--index": "index", "--digest": "d"})
    assert refused.code == 1
    assert "an index can't contain a model artifact" in refused.errors


def test_a_file_of_a_model_is_a_layer_of_the_artifact(tmp_path):
    actions = Actions(tmp_path)
    kinds = {}
    for name in ("deep/model-1.safetensors", "config.json", "README.md", "LICENSE.txt", "modeling.py", "a.Q4.GGUF"):
        path = actions.write(f"svc/llm/{name}", name)
        words = [
            *("--target", "//svc:pack", "--package", "svc", "--strip-prefix", "llm", "--source", path, path),
            "//svc:m",
        ]
        made = actions.run("model_file_layer", words, {"--output": "out", "--description": "out.json"})
        assert made.code == 0, made.errors
        assert made.outputs["--output"].decode() == name
        layer = json.loads(made.outputs["--description"])
        assert layer["annotations"] == {"org.cncf.model.filepath": name}
        assert layer["digest"] == layer["diff_id"] == f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
        assert layer["size"] == len(name)
        kinds[name] = layer["media_type"].removeprefix("application/vnd.cncf.model.")
        actions.write("svc/out.json", made.outputs["--description"])
    assert [*kinds.values()] == [
        *("weight.v1.raw", "weight.config.v1.raw", "doc.v1.raw", "doc.v1.raw", "code.v1.raw", "weight.v1.raw")
    ]
    words = ["--target", "//svc:pack", "--format", "modelpack", "--created", "1980-01-01T00:00:00+00:00"]
    words += ["--model", described_model(actions, "m:v1"), "--layer", "svc/out.json"]
    made = actions.run("model_image", words, {flag: flag[2:] for flag in ("--config", "--manifest", "--digest")})
    assert json.loads(made.outputs["--config"])["config"] == {"format": "gguf"}, made.errors


def test_an_image_of_several_models_runs_the_shell_of_its_base(tmp_path):
    actions = Actions(tmp_path)
    base = {"architecture": "arm64", "os": "linux", "env": {"PATH": "/bin"}}
    words = ["--target", "//svc:models", "--format", "kserve", "--created", "1980-01-01T00:00:00+00:00"]
    words += ["--base-config", actions.write("base.json", json.dumps(base))]
    words += [word for tag in ("m:v1", "n:v2") for word in ("--model", described_model(actions, tag))]
    layer = ["--layer", actions.write("layer.json", json.dumps({**LAYER, "digest": "sha256:0", "diff_id": "sha256:1"}))]
    outputs = {flag: flag[2:] for flag in ("--config", "--manifest", "--digest")}
    made = actions.run("model_image", words + layer, outputs)
    assert made.code == 0, made.errors
    config = json.loads(made.outputs["--config"])
    labels = config["config"].pop("Labels")
    assert config["config"] == {"Env": ["PATH=/bin"]}, "KServe passes `sh -c`, which an entry point would get"
    assert config["architecture"] == "arm64"
    assert labels["org.opencontainers.image.title"] == "m, n"
    assert "org.opencontainers.image.version" not in labels
    refused = actions.run("model_image", words + layer * 128, outputs)
    assert refused.code == 1
    assert "the image has 128 layers, but container runtimes support at most 127" in refused.errors


def test_a_bento_links_to_where_images_of_models_are_mounted(bentoml, tmp_path):
    (tmp_path / "root").mkdir()
    actions = Actions(tmp_path / "root")
    words = ["--target", "//svc:image", "--directory", "/home/bentoml/bento", "--user", "1034", "--compression", "none"]
    words += ["--mounted", "/mnt/models", "--model", described_model(actions, "m:v1")]
    outputs = {"--output": "layer", "--description": "description"}
    made = actions.run("bento_layer", words, outputs)
    assert made.code == 0, made.errors
    with tarfile.open(fileobj=io.BytesIO(made.outputs["--output"])) as layer:
        found = {member.name: member for member in layer}
        extract_all(layer, tmp_path / "image")
    assert found["mnt/models/m"].isdir()
    link = found["home/bentoml/bento/models/m/v1"]
    assert link.linkname == "/mnt/models/m/home/bentoml/bento/models/m/v1"
    (bentoml.home / "models/m").mkdir(parents=True)
    (bentoml.home / "models/m/v1").symlink_to(tmp_path / "image" / link.linkname[1:])
    told = bentoml.ask(RESOLVE)
    assert "m:v1 is not mounted. Mount the image of the model (bento_model_image) at /mnt/models/m." in told
    refused = actions.run("bento_layer", [*words, "--model", described_model(actions, "m:v2")], outputs)
    assert refused.code == 1
    assert '"image" mounts each model by name, but the models m:v1 and m:v2 have the same name' in refused.errors


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"weights.bin": "w"}, "//svc:model: bad.tar: model.yaml is missing."),
        ({"model.yaml": "name: x\n"}, "missing keys: version, module, labels"),
        ({"model.yaml": "a: ["}, "model.yaml:1: invalid YAML"),
        ({"../x": "w"}, "'../x': the path is outside"),
        ({"models/a/1/model.yaml": "", "models/b/1/model.yaml": ""}, "bad.tar: the archive must contain a single model"),
    ],
)  # fmt: skip
def test_an_invalid_model_is_rejected(tmp_path, members, message):
    with tarfile.open(tmp_path / "bad.tar", "w") as file:
        for name, text in members.items():
            (tmp_path / "member").write_text(text)
            file.add(tmp_path / "member", name)
    (tmp_path / "root").mkdir()
    words = ["--target", "//svc:model", "--archive", str(tmp_path / "bad.tar"), "bad.tar", "--scratch", "files"]
    made = Actions(tmp_path / "root").run("model", words, OUTPUTS)
    assert made.code == 1
    assert message in made.errors
    assert "Traceback" not in made.errors
    assert not made.outputs
    assert not (tmp_path / "root/files").exists()


def test_fields_are_written_in_the_order_of_bentoml(tmp_path):
    """`bentoml models import`, and our store, write the fields in this order."""
    actions = Actions(tmp_path)
    fields = actions.write("fields.json", json.dumps({"signatures": {"predict": {}}, "metadata": {"a": 1}}))
    words = ["--target", "//svc:model", "--tag", "m:v1", "--module", "bentoml.sklearn", "--package", "svc"]
    words += ["--strip-prefix", "", "--creation-time", "1980-01-01T00:00:00+00:00", "--fields", fields, "fields.json"]
    words += ["--source", actions.write("svc/weights", "w"), "svc/weights", "//svc:weights"]
    made = actions.run("model", words, {"--model-yaml": "model.yaml"})
    assert made.code == 0, made.errors
    assert re.findall(r"(?m)^\w+", made.outputs["--model-yaml"].decode()) == [
        "name", "version", "module", "labels", "options", "metadata", "context", "signatures", "api_version",
        "creation_time",
    ]  # fmt: skip


# As real code: the names of the hub, without a network, in a directory that cannot be written to.
FROM_HUB = """
import huggingface_hub
directory = huggingface_hub.snapshot_download("acme/tiny")
assert huggingface_hub.snapshot_download("acme/tiny", revision={commit!r}) == directory
assert huggingface_hub.try_to_load_from_cache("acme/tiny", "nothing.json") is None
print(open(huggingface_hub.hf_hub_download("acme/tiny", "deep/a.bin")).read())
print(open(directory + "/config.json").read())
"""


@pytest.mark.parametrize("mounted", [False, True])
def test_the_library_of_the_hub_finds_the_model(tmp_path, mounted):
    commit = "0123456789abcdef0123456789abcdef01234567"
    location = ["--directory", "/home/bentoml/bento", "--weights", "/home/bentoml/weights/m"]
    fields = {"hugging_face": f"acme/tiny@{commit}"}
    actions = Actions(tmp_path)
    layers = layers_of(actions, {"deep/a.bin": "weights", "config.json": "{}"}, *location, fields=fields)
    place = tmp_path / ("mnt/models/m" if mounted else "")
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            extract_all(tar, place)
    if mounted:
        words = [
            *("--model", "m.json", "--directory", "/home/bentoml/bento", "--user", "1034:1034", "--compression"),
            "none",
        ]
        words += ["--mounted", str(tmp_path / "mnt/models")]
        layer = actions.run("bento_layer", words, {"--output": "3", "--description": "3.json"})
        assert layer.code == 0, layer.errors
        with tarfile.open(fileobj=io.BytesIO(layer.outputs["--output"])) as tar:
            extract_all(tar, tmp_path, members=[it for it in tar if it.name.startswith("home")])
    assert b"hugging_face" not in next(tmp_path.glob("**/model.yaml")).read_bytes()
    variables = {
        "HF_HUB_CACHE": str(tmp_path / "home/bentoml/huggingface/hub"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", FROM_HUB.format(commit=commit)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == "weights\n{}\n", done.stderr


@pytest.mark.parametrize("origin", ["acme/tiny", "a/b/c@" + "0" * 40, "../tiny@" + "0" * 40, "acme/tiny@main", 7])
def test_the_origin_of_a_model_is_a_repository_and_a_commit(tmp_path, origin):
    with pytest.raises(AssertionError, match="hugging_face: expected"):
        layers_of(Actions(tmp_path), {"config.json": "{}"}, fields={"hugging_face": origin})


@pytest.mark.parametrize(
    ("origin", "registry", "base", "expected"),
    [
        ("acme/tiny@" + "0" * 40, {}, {}, {"HF_HUB_CACHE=/home/bentoml/huggingface/hub", "HF_HUB_OFFLINE=1"}),
        ("acme/tiny@" + "0" * 40, {"registry": "huggingface"}, {}, set()),
        ("", {}, {}, set()),
        ("", {}, {"HOME": "/root"}, {"HOME=/root"}),
    ],
)
def test_the_variables_of_an_image_let_packages_find_caches(tmp_path, origin, registry, base, expected):
    actions = Actions(tmp_path)
    model = {"tag": "m:v1", "module": "", "creation_time": "", "blake3": "", "size": 0, "hugging_face": origin}
    bento = {
        "name": "b",
        "version": "v",
        "labels": {},
        "envs": [],
        "services": [{"models": [{"tag": "m:v1"} | registry]}],
    }
    words = [
        *("--target", "//:image", "--created", "1980-01-01T00:00:00Z", "--user", "1034", "--environment"),
        "/app/.venv",
    ]
    words += ["--home", "/home/bentoml", "--bento", "/home/bentoml/bento"]
    words += ["--base-config", actions.write("base", json.dumps({"architecture": "amd64", "os": "linux", "env": base}))]
    words += [
        "--model",
        actions.write("m.json", json.dumps(model)),
        "--bento-yaml",
        actions.write("b", json.dumps(bento)),
    ]
    made = actions.run("image", words, {flag: flag[2:] for flag in ("--config", "--manifest", "--digest")})
    assert made.code == 0, made.errors
    env = json.loads(made.outputs["--config"])["config"]["Env"]
    assert {name for name in env if name.startswith(("HF_", "HOME="))} == expected | (
        {"HOME=/tmp"} if not base else set()
    )
    assert "USER=bentoml" in env
