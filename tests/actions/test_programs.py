"""The layer of a program that isn't a Bento."""

import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.actions.subcommands import run
from rules_bento.base.archives.tarstream import Member
from rules_bento.bentos.models.model import ModelDescription
from rules_bento.images.layers.members import LARGE, LARGE_LAYERS, program_layers

SERVER, LIBRARY = b"import lib\n", b"X = 1\n"
KEY = (
    b"-----BEGIN RSA PRIVATE "
    + b"KEY-----\n"
    + b"MIIEowIBAAKCAQEAxq3bQdXgLr7Z0T9uYk1vJ2nW8sPfHc5aEoMtGi4KyRlBjVwD\n" * 3
)


@pytest.fixture
def layer(tmp_path):
    """Return a function that writes the layer of files, by short path; it returns the members, digest, and tag."""

    def write(files, *flags, name="My_Server+", where="one"):
        directory = tmp_path / where
        directory.mkdir()
        argv = ["--target", "//svc:image", "--directory", "/app", "--name", name, "--compression", "none", *flags]
        for number, (short_path, content) in enumerate(files.items()):
            source = directory / f"{number}.source"
            source.write_bytes(content)
            argv += ["--dependency", str(source), short_path, f"//svc:{number}"]
        outputs = {flag: directory / flag for flag in ("output", "description", "digest", "tag")}
        argv += [word for flag, path in outputs.items() for word in (f"--{flag}", str(path))]
        large = [f"{directory}/large-{number}" for number in range(LARGE_LAYERS)]
        argv += [word for path in large for word in ("--large", path, f"{path}.json")]
        if run(["program_layer", *argv]):
            return None
        return {flag: path.read_bytes() for flag, path in outputs.items()}

    return write


def members(written, tmp_path):
    path = tmp_path / "written.tar"
    path.write_bytes(written["output"] + bytes(1024))
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


FILES = {"svc/server.py": SERVER, "../acme+/lib.py": LIBRARY, "svc/run.sh": b"#!/bin/sh\n", "svc/venv/.DS_Store": b""}


def test_paths_are_as_in_runfiles_and_files_belong_to_root(layer, tmp_path):
    listed = members(layer(FILES), tmp_path)
    assert [name for name, member in listed.items() if member.isfile()] == [
        "app/_main/svc/run.sh",
        "app/_main/svc/server.py",
        "app/_main/svc/venv/.DS_Store",
        "app/acme+/lib.py",
    ]
    assert {member.uid for member in listed.values()} == {0}
    assert (listed["app/_main/svc/server.py"].mode, listed["app/_main/svc/run.sh"].mode) == (0o644, 0o755)


def test_neither_order_nor_place_changes_the_bytes(layer):
    one = layer(FILES)
    assert layer(dict(reversed(FILES.items())), where="another") == one
    assert layer({**FILES, "svc/server.py": SERVER + b"\n"}, where="edited")["tag"] != one["tag"]


@settings(max_examples=50)
@given(st.dictionaries(st.text("ab/1é", min_size=1), st.integers(0, 2 * LARGE), max_size=40), st.data())
def test_a_file_moves_no_other_file_to_another_layer(sizes, data):
    def layers(sizes):
        listed = [Member.file(path, "source", size=size) for path, size in sizes.items()]
        return {each.path: number for number, (_, group) in enumerate(program_layers(listed)) for each in group}

    before = layers(sizes)
    assert {path: size < LARGE for path, size in sizes.items()} == {
        path: number == LARGE_LAYERS for path, number in before.items()
    }
    changed = sizes | {data.draw(st.text(min_size=1)): data.draw(st.integers(0, 2 * LARGE))}
    after = layers(changed)
    assert {path for path in sizes if after[path] != before[path]} <= {
        path for path in sizes if changed[path] != sizes[path]
    }


def test_large_files_are_in_other_layers(layer, tmp_path):
    written = layer(FILES | {"svc/data.bin": bytes(LARGE)})
    assert written["output"] == layer(FILES, where="without")["output"]
    described = [json.loads(path.read_bytes()) for path in (tmp_path / "one").glob("large-*.json")]
    assert sorted(each["name"] for each in described if each["size"]) == ["app/_main/svc/data.bin"]
    assert len(described) == LARGE_LAYERS


def test_the_tag_is_a_valid_name_and_the_digest(layer):
    written = layer(FILES)
    name, _, version = written["tag"].decode().strip().partition(":")
    assert (name, len(version)) == ("my_server", 32)
    assert written["digest"].startswith(b"blake3:")
    assert json.loads(written["description"])["name"] == "program"


def test_secrets_are_found_by_their_paths_below_app(layer, capsys):
    files = {"svc/key.pem": KEY}
    assert layer(files, "--scan-secrets") is None
    assert "_main/svc/key.pem" in (told := capsys.readouterr().err)
    assert "src/" not in told
    assert layer(files, "--scan-secrets", "--allowed-secret", '"_main/svc/key.pem"', where="allowed")
    assert layer(FILES, "--scan-secrets", "--allowed-secret", '"_main/svc/key.pem"', where="idle") is None
    assert "_main/svc/key.pem" in capsys.readouterr().err


def test_machine_code_of_another_platform_is_rejected(layer, capsys):
    arm = b"\x7fELF\x02\x01\x01" + bytes(9) + (3).to_bytes(2, "little") + (183).to_bytes(2, "little") + bytes(44)
    files = {"svc/libacme.so": arm}
    assert layer(files, "--platform", "linux_amd64") is None
    assert "_main/svc/libacme.so: is for arm64" in capsys.readouterr().err
    assert layer(files, "--platform", "linux_arm64", where="same")
    unchecked = ("--ignore-library", "libacme.so", "--ignore-library", "libother.so")
    assert layer(files, "--platform", "linux_amd64", *unchecked, where="ignored")


def test_two_files_of_one_path_are_rejected(layer, capsys):
    assert layer({"svc/x.py": b"", "svc/x.py/y.py": b""}) is None
    assert "svc/x.py" in capsys.readouterr().err


def test_the_image_names_the_program_and_has_nothing_of_a_bento(tmp_path):
    files = {"tag": "server:v1\n", "base.json": json.dumps({"architecture": "amd64", "os": "linux"})}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    values = {"tag": "tag", "base-config": "base.json", "config": "c", "manifest": "m", "digest": "d"}
    argv = [word for flag, name in values.items() for word in (f"--{flag}", str(tmp_path / name))]
    fixed = {"environment": "/e", "home": "/h", "user": "1:1", "entrypoint": "/e/bin/python"}
    for flag, value in {**fixed, "created": "1980-01-01T00:00:00Z", "working-dir": "/app", "target": "//svc:i"}.items():
        argv += [f"--{flag}", value]
    assert not run(["image", *argv])
    config = json.loads((tmp_path / "c").read_text())["config"]
    assert config["Entrypoint"] == ["/e/bin/python", "-I", "-S", "/e/bin/entrypoint.py"]
    assert config["Cmd"] == ["/e/bin/python"]
    assert not [variable for variable in config["Env"] if variable.startswith("BENTO")]
    annotations = json.loads((tmp_path / "m").read_text())["annotations"]
    assert annotations["org.opencontainers.image.title"] == "server"
    assert annotations["org.opencontainers.image.version"] == "v1"


@pytest.mark.parametrize(("flags", "subject"), [(["--program"], "program"), ([], "bento")])
def test_documents_name_the_kind_of_the_image(tmp_path, flags, subject):
    files = {
        "tag": "server:v1\n",
        "digest": f"sha256:{'0' * 64}\n",
        "content": f"blake3:{'1' * 64}\n",
        "base.json": json.dumps({"architecture": "amd64", "os": "linux"}),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    shared = ["--tag", str(tmp_path / "tag"), "--bento-digest", str(tmp_path / "content"), *flags]
    shared += ["--base-config", str(tmp_path / "base.json"), "--target", "//svc:i", "--output", str(tmp_path / "out")]
    own = ["--format", "cyclonedx", "--created", "1980-01-01T00:00:00Z", "--digest", str(tmp_path / "digest")]
    assert not run(["sbom", *shared, *own, "--wheel", "acme", "1", "a" * 64])
    components = json.loads((tmp_path / "out").read_text())["components"]
    urls = {component["bom-ref"]: component.get("purl") for component in components}
    assert urls == {f"{subject}:server:v1": None, "pkg:pypi/acme@1": "pkg:pypi/acme@1"}
    model = ModelDescription("clf:v1", "", "1980-01-01T00:00:00+00:00", "2" * 64, 1)
    (tmp_path / "model").write_text(model.dumps())
    assert not run(["build_definition", *shared, "--kind", "image", "--model", str(tmp_path / "model")])
    document = json.loads((tmp_path / "out").read_text())
    assert document["externalParameters"][subject] == "server:v1"
    digests = {item["uri"]: item["digest"]["blake3"] for item in document["resolvedDependencies"]}
    assert digests == {f"{subject}:server:v1": "1" * 64, "model:clf:v1": "2" * 64}


def test_provenance_has_all_that_the_sbom_has(tmp_path):
    index = {
        "packages": {"libc6": "2.36"},
        "components": [{"name": "cpython", "version": "3.13.1", "license": "PSF-2.0"}],
    }
    base = {"architecture": "amd64", "os": "linux", "digest": f"sha256:{'3' * 64}", "origin": "host/base"}
    model = ModelDescription("clf:v1", "", "1980-01-01T00:00:00+00:00", "2" * 64, 1)
    files = {"tag": "server:v1\n", "digest": f"sha256:{'0' * 64}\n", "content": f"blake3:{'1' * 64}\n", "own.whl": ""}
    files |= {"base.json": json.dumps(base), "index": json.dumps(index), "model": model.dumps()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    values = {"tag": "tag", "bento-digest": "content", "base-config": "base.json", "index": "index", "model": "model"}
    words = [word for flag, name in values.items() for word in (f"--{flag}", str(tmp_path / name))]
    words += ["--wheel", "acme", "1", "a" * 64, "--built-wheel", "own", "2", str(tmp_path / "own.whl")]
    words += ["--target", "//svc:i", "--output", str(tmp_path / "out")]
    own = ["--format", "cyclonedx", "--created", "1980-01-01T00:00:00Z", "--digest", str(tmp_path / "digest")]
    assert not run(["sbom", *words, *own])
    components = json.loads((tmp_path / "out").read_text())["components"]
    assert not run(["build_definition", *words, "--kind", "image"])
    dependencies = json.loads((tmp_path / "out").read_text())["resolvedDependencies"]
    listed = {each["bom-ref"]: [row["content"] for row in each.get("hashes", ())] for each in components}
    assert len(listed) == 7
    assert {each["uri"]: [*each.get("digest", {}).values()] for each in dependencies} == listed


def test_each_locked_file_is_a_dependency_under_its_own_name(tmp_path):
    pins = [["acme==1.0", ["a" * 64, "b" * 64]], ["tool @ https://host.test/tool.zip", ["c" * 64]]]
    pins.append(["./wheels/Own_Name-2.0+x-py3-none-any.whl", ["d" * 64]])
    for name, text in {"tag": "s:v1\n", "content": f"blake3:{'1' * 64}\n", "lock": json.dumps({"pins": pins})}.items():
        (tmp_path / name).write_text(text)
    shared = ["--tag", str(tmp_path / "tag"), "--bento-digest", str(tmp_path / "content"), "--target", "//svc:s"]
    words = [*shared, "--kind", "bento", "--locked", str(tmp_path / "lock"), "--output", str(tmp_path / "out")]
    assert not run(["build_definition", *words])
    found = json.loads((tmp_path / "out").read_text())["resolvedDependencies"]
    assert {item["digest"]["sha256"][0]: item["uri"] for item in found if "sha256" in item["digest"]} == {
        "a": "pkg:pypi/acme@1.0",
        "b": "pkg:pypi/acme@1.0",
        "c": "https://host.test/tool.zip",
        "d": "pkg:pypi/own-name@2.0%2Bx",
    }
