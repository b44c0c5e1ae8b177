"""What the action that assembles an image makes of settings, and what it refuses."""

import json

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.archives.archive import write_part
from rules_bento.base.archives.tarstream import Member

BENTO = """\
name: svc
version: "1"
labels: {team: botany, org.opencontainers.image.licenses: MIT}
envs: []
"""
PREFIX = "org.opencontainers.image."


def layer(name, compression):
    media_type = f"application/vnd.oci.image.layer.v1.tar{compression}"
    digest = f"sha256:{'0' * 64}"
    return {"media_type": media_type, "digest": digest, "size": 1, "diff_id": digest, "name": name}


@pytest.fixture
def assemble(tmp_path, capsys):
    """Assembles an image of layers; config and manifest, or the error."""

    def make(*layers, bento=BENTO, **flags):
        (tmp_path / "bento.yaml").write_text(bento)
        (tmp_path / "base.json").write_text(json.dumps({"architecture": "amd64", "os": "linux"}))
        outputs = {"config": "config.json", "manifest": "manifest.json", "digest": "digest"}
        argv = ["--bento-yaml", str(tmp_path / "bento.yaml"), "--base-config", str(tmp_path / "base.json")]
        argv += [word for flag, name in outputs.items() for word in (f"--{flag}", str(tmp_path / name))]
        fixed = {"bento": "/b", "environment": "/e", "home": "/h", "user": "1:1"}
        for flag, value in {**fixed, "created": "1980-01-01T00:00:00Z", "target": "//svc:image"}.items():
            argv += [f"--{flag}", value]
        for flag, values in flags.items():
            for words in values:
                argv += [f"--{flag}", *words]
        for number, description in enumerate(layers):
            (tmp_path / f"{number}.json").write_text(json.dumps(description))
            argv += ["--layer", str(tmp_path / f"{number}.json")]
        if run(["image", *argv]):
            return capsys.readouterr().err
        return [json.loads((tmp_path / name).read_text()) for name in ("config.json", "manifest.json")]

    return make


def test_an_image_with_gzip_compression_rejects_zstd_layers(assemble):
    layers = layer("base layer 0", "+gzip"), layer("31 Debian packages", "+zstd"), layer("plain", "")
    error = assemble(*layers, compression=[["gzip"]])
    assert error.startswith(
        '//svc:image: compression = "gzip": every layer must use gzip, but these layers use zstd: 31 Debian packages.'
    )
    assert isinstance(assemble(*layers, compression=[["zstd"]]), list)
    assert isinstance(assemble(layers[0], layers[2], compression=[["gzip"]]), list)


def test_what_a_layer_says_of_itself_is_in_the_manifest(assemble):
    said = {"containerd.io/snapshot/stargz/toc.digest": f"sha256:{'1' * 64}"}
    _, manifest = assemble(layer("plain", "+gzip"), layer("lazy", "+gzip") | {"annotations": said})
    assert [descriptor.get("annotations") for descriptor in manifest["layers"]] == [None, said]


def test_what_oci_defines_is_a_label_and_an_annotation_whichever_states_it(assemble):
    source, other = [json.dumps(f"{PREFIX}source"), '"a repository"'], ['"org.example"', '"x"']
    config, manifest = assemble(annotation=[source, other], label=[['"team"', '"zoology"']])
    standard = {
        f"{PREFIX}{key}": value
        for key, value in {
            "created": "1980-01-01T00:00:00Z",
            "licenses": "MIT",
            "source": "a repository",
            "title": "svc",
            "version": "1",
        }.items()
    }
    assert config["config"]["Labels"] == {**standard, "team": "zoology"}
    assert manifest["annotations"] == {**standard, "org.example": "x"}


def test_each_of_the_two_has_its_own_where_both_are_given(assemble):
    config, manifest = assemble(label=[[json.dumps(f"{PREFIX}title"), '"a label"']])
    assert config["config"]["Labels"][f"{PREFIX}title"] == "a label"
    assert manifest["annotations"][f"{PREFIX}title"] == "svc"


def test_a_command_is_rejected_unless_the_target_provides_what_it_makes(assemble):
    bento = f"{BENTO}image: {{commands: ['make all']}}\n"
    assert "runs 'make all'" in assemble(bento=bento)
    assert isinstance(assemble(bento=bento, provided=[['"make all"']]), list)


def test_the_layer_of_a_bento_does_not_depend_on_its_parts(tmp_path):
    """Of a Bento in the store, nobody knows whether src/bentofile.yaml was a source."""
    paths = [
        *("bento.yaml", "README.md", "env/python/requirements.txt", "src/README.md", "src/bentofile.yaml", "src/x.py")
    ]
    members = [Member.inline(path, path.encode()) for path in paths]

    def write(name, *parts):
        argv = ["--directory", "/home/bentoml/bento", "--user", "1034", "--compression", "none"]
        for number, part in enumerate(parts):
            write_part(tmp_path / f"{name}.{number}", part)
            argv += ["--part", str(tmp_path / f"{name}.{number}")]
        argv += ["--output", str(tmp_path / name), "--description", str(tmp_path / f"{name}.json")]
        assert not run(["bento_layer", *argv])
        return (tmp_path / name).read_bytes()

    generated, source = members[:3], members[3:]
    whole = write("whole", members)
    assert write("source", generated, source) == whole
    assert write("generated", [*generated, source[1]], [source[0], source[2]]) == whole
