"""`bento verify --rebuild`: what it proves of images of all fronts, what it says, and its exit codes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from bento_cli.cli import status
from bento_cli.sharing import base_syntax, image_proof
from bento_proof import bytecode, config, judge, model
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rules_bento.base.net import transfers
from rules_bento.images import entrypoint, plan, sbom
from rules_bento.images.registry.layout import Layout

from tests.helpers.made_wheels import Maker
from tests.helpers.store_support import model_files
from tests.proof_program.program import export, requires_programs
from tests.proofs.image_attacks import LIBRARY, TAG, VERSION, Image
from tests.registry.relay import DOWN, Answer, Cut, Relay
from tests.sharing.debian_support import build
from tests.sharing.hub_support import COMMIT, NEXT
from tests.sharing.image_support import add, index, locked, make_base, read, read_facts, start_own
from tests.sharing.image_support import build as build_of_project

pytestmark = requires_programs


@pytest.fixture
def verify(case, bento, store):
    """Return a function that verifies the image of the case with options, and returns the output."""

    def run(*words, code=status.OK, base=True, target=f"oci:{case.out}"):
        words = ("verify", target, "--rebuild", *words, "--bytecode-python", sys.executable)
        return bento(*words, *(["--base", f"oci:{case.base}"] if base else []), code=code)

    return run


def test_everything_is_proven_with_the_sources(case, verify, monkeypatch):
    told = verify("--source", case.project)
    assert "0.00 B not proven, 0 findings." in told
    assert "Command: /app/.venv/bin/python /app/_main/main.py\n" in told
    [proof] = read_facts(verify("--source", case.project, "-o", "json"))
    assert proof["digest"] == Layout.open(case.out).find().descriptor.digest
    assert (proof["platform"], proof["findings"], proof["unproven"]) == ("linux/amd64", [], [])
    sources = [each["proven"].keys() for each in proof["layers"]]
    assert sources == [{"base"}, {"bytecode"}, {"rules_bento"}, {"metadata", "wheels"}, {"bytecode"}, {"sources"}]
    monkeypatch.setattr(bytecode, "_PROGRAM", "raise SystemExit('no Python')")
    assert ": no Python" in verify("--source", case.project, code=status.UNPROVEN)


def image(case, bento, *words):
    return bento("image", case.project, "--base", f"oci:{case.base}", "--platform", "linux/amd64", *words)


@pytest.mark.parametrize("form", ["cyclonedx", "spdx", "none"])
def test_an_image_is_proven_with_each_sbom(case, bento, store, tmp_path, form):
    image(case, bento, "--output", f"oci:{tmp_path / 'out'}", "--sbom", form, f"--bytecode-python={sys.executable}")
    attached = [*Layout.open(tmp_path / "out").referrers(Layout.open(tmp_path / "out").find().descriptor.digest, "")]
    assert len(attached) == (form != "none")
    assert case.prove(tmp_path / "out") == (status.OK, "")


@pytest.mark.parametrize("alone", [plan.ALONE, 0], ids=["one layer", "two layers"])
def test_modules_that_two_packages_spell_differently_are_proven(case, bento, store, tmp_path, monkeypatch, alone):
    """They have no bytecode, which runs without a look at its source."""
    monkeypatch.setattr(plan, "ALONE", alone)
    told = image(case, bento, "--output", f"oci:{tmp_path / 'out'}", f"--bytecode-python={sys.executable}")
    assert "note: alpha and beta install ns/__init__.py, with different contents. The image has the file of the" in told
    assert case.prove(tmp_path / "out") == (status.OK, "")
    names = [name for layer in read(tmp_path / "out")[2] for name in layer if "/ns/" in name]
    compiled = [name.rpartition("/")[2].partition(".")[0] for name in names if name.endswith(".pyc")]
    assert (compiled, sum(name.endswith("/__init__.py") for name in names)) == (["ab"], 1 if alone else 2)


def test_an_sbom_of_the_rules_without_layers_of_the_base_is_proven(case, tmp_path):
    """It states that it lists no system packages."""

    def unlisted(document):
        parts = document["components"], document["dependencies"][0]["dependsOn"]
        for part in parts:
            part[:] = [each for each in part if "pkg:deb/" not in json.dumps(each)]
        base = next(each for each in parts[0] if each["name"] == "base")
        base["properties"] = [{"name": "rules_bento:remark", "value": sbom.UNLISTED}]

    with Image(case).changed(lambda image: unlisted(image.sbom)) as changed:
        changed.write(tmp_path / "out")
    assert case.prove(tmp_path / "out") == (status.OK, "")


def test_images_for_two_platforms_are_proven(case, bento, store, tmp_path, monkeypatch):
    monkeypatch.setattr(base_syntax, "find", start_own)
    base, entries, platforms = tmp_path / "base", [], []
    for architecture in ("amd64", "arm64"):
        make_base(base, architecture=architecture)
        entries += json.loads((base / "index.json").read_text())["manifests"]
        platforms += ["--platform", f"linux/{architecture}"]
    (base / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    words = ["--base", f"oci:{base}", "--output", f"oci:{tmp_path / 'out'}", "--no-bytecode"]
    bento("image", case.project, *platforms, *words)
    told = bento("verify", f"oci:{tmp_path / 'out'}", "--rebuild", "--source", case.project, *words[:2])
    assert told.count("0.00 B not proven, 0 findings.") == 2


def test_an_image_in_a_registry_is_proven_over_a_bad_connection(
    case, verify, bento, store, tmp_path, server, monkeypatch
):
    """Its signature and its signed SBOM are referrers, too."""
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0)
    key = ec.generate_private_key(ec.SECP256R1())
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "k").write_bytes(key.private_bytes(*encoding))
    words = ["-t", f"{server.host}/proven/web:v1", "--push", "--sign-key", tmp_path / "k"]
    image(case, bento, *words, f"--bytecode-python={sys.executable}")

    def proven(faults, code=status.OK):
        with Relay(server.port, faults) as relay:
            told = verify("--source", case.project, code=code, target=f"{relay.host}/proven/web:v1")
        assert code or "0.00 B not proven, 0 findings." in told
        return relay, told

    relay, _ = proven([])
    layers = {each.digest for each in Layout.open(case.out).find().layers()}
    first = next(number for number, line in enumerate(relay.requests, 1) if line.rpartition("/")[2] in layers)
    faults = [Answer(first, 500), Answer(first + 1, 503), Cut(DOWN, relay.carried(DOWN) * 2 // 3)]
    assert len(proven(faults)[0].happened) == 3
    _, told = proven([Answer(number, 500) for number in range(first, first + 200)], status.ERROR)
    assert "the registry returned 500" in told
    assert "internal error" not in told


def test_the_lock_of_another_tool_is_trusted_too(case, verify, tmp_path):
    shutil.copytree(case.project, tmp_path / "project", symlinks=True)
    lock = tmp_path / "project/pylock.toml"
    words = ["export", "-q", "--frozen", "--no-emit-project", "--format=pylock.toml", "--project", case.project]
    subprocess.run([os.environ["RULES_BENTO_UV"], *words, "-o", lock], check=True)
    (tmp_path / "project/uv.lock").unlink()
    told = verify("--source", tmp_path / "project")
    assert "0.00 B not proven, 0 findings." in told
    told = verify("--lock", lock, code=status.UNPROVEN)
    assert "not proven  app/_main/main.py: sources aren't known. Add --source (bento-proof: --file)\n" in told
    lock.write_text(lock.read_text().replace("alpha-1.0", "other-1.0"))
    assert "pylock.toml: alpha: the lock has the wheel" in verify("--lock", lock, code=status.ERROR)


def test_without_sources_the_own_files_are_not_proven(case, verify):
    told = verify("--lock", export(case.project), code=status.UNPROVEN)
    assert "not proven  app/_main/main.py: sources aren't known. Add --source (bento-proof: --file)\n" in told
    assert "not proven  config Cmd: ['/app/.venv/bin/python', '/app/_main/main.py']" in told
    verify("--lock", export(case.project), "--allow-unproven", "10000")
    verify("--lock", export(case.project), "--allow-unproven", "10", code=status.UNPROVEN)
    command = ("--entrypoint", "python other.py")
    told = verify("--lock", export(case.project), *command, code=status.FOUND)
    assert "finding  config Cmd: is [" in told


def test_a_directory_of_sources_proves_what_the_image_has_of_it(case, verify, tmp_path):
    lock = ("--lock", export(case.project))
    told = verify("--source", case.project, *lock, code=status.UNPROVEN)
    assert "not proven  app/_main" not in told
    (tmp_path / "main.py").write_text("import other\n")
    told = verify("--source", tmp_path, *lock, code=status.FOUND)
    assert "app/_main/main.py: has other contents than in" in told


def test_bytecode_of_a_module_that_the_user_replaces_is_found(case, verify, tmp_path):
    path, main = f"{LIBRARY}/os.py", case.project / "main.py"
    with Image(case).changed(lambda image: image.add(path, main.read_bytes())) as image:
        image.write(tmp_path / "out")
    options = ("--source", case.project, "--file", f"{main}=/{path}", "--replace", f"/{path}")
    told = verify(*options, code=status.FOUND, target=f"oci:{tmp_path / 'out'}")
    assert f"os.{TAG}.pyc: is bytecode without a verified source" in told


def test_a_package_of_another_version_is_one_finding(machine, bento, tmp_path, wheels):
    """Not one for each file. Findings of other files, and JSON, are as before."""
    project = machine({"main.py": ""}, "tiny", "flask")
    build_of_project(bento, project, tmp_path, "--entrypoint", "python")
    Maker("tiny", version="2.0").add({"tiny/__init__.py": b"1", "tiny/more.py": b""}).write(wheels)
    (project / "main.py").write_text("1")
    subprocess.run(
        [os.environ["RULES_BENTO_UV"], "lock", "-qP", "tiny", "--python", sys.executable], cwd=project, check=True
    )
    words = [f"oci:{tmp_path}/out", "--rebuild", "--source", project, "--base", f"oci:{tmp_path}/base"]
    words += ["--entrypoint", "python"]
    told = bento("verify", *words, code=status.FOUND)
    assert re.search(r"finding  tiny: is 1.0 instead of 2.0 \([0-9]+ findings: -o json\)\n", told)
    assert [line for line in told.splitlines() if "finding  " in line and "/tiny" in line] == []
    assert "app/_main/main.py: has other contents" in told
    [proof] = read_facts(bento("verify", *words, "-o", "json", code=status.FOUND))
    assert any(each["path"].endswith("tiny/more.py") for each in proof["findings"])


def test_an_image_of_another_builder_is_one_finding(case, verify):
    told = verify("--source", case.project, target=f"oci:{case.base}", code=status.FOUND)
    [line] = [line for line in told.splitlines() if line.startswith("finding  ")]
    assert "entrypoint.py: is missing, so the image isn't of rules_bento (" in line


def test_a_bento_and_its_models_are_proven(local, wheels, bento, store, tmp_path, case):
    base, out = make_base(tmp_path / "base"), tmp_path / "out"
    models = {"bert:v1": model_files("bert:v1"), "bert:v2": model_files("bert:v2")}
    with index(wheels) as (address, _):
        add(store, tmp_path, locked(wheels, options=f"--index-url {address}"), models=models)
        path = "/home/bentoml/bento/src/service.py"
        added = [f"--file={__file__}={path}", f"--replace={path}"]
        words = ["--base", f"oci:{base}", "--output", f"oci:{out}", "--label", "who=me", "--no-bytecode", added[0]]
        told = bento("image", "nat", *words, code=status.ERROR)
        assert f"{path} replaces a file of the code. Choose another path, or add --replace {path}." in told
        bento("image", "nat", *words, added[1])
        options = ["--rebuild", "--source", "nat", "--base", f"oci:{base}", *added]
        told = bento("verify", f"oci:{out}", *options, "--label", "who=me", "-o", "json")
        [proof] = read_facts(told)
        found = {source for layer in proof["layers"] for source in layer["proven"]}
        assert found == {"base", "rules_bento", "wheels", "metadata", "models", "sources"}
        assert (proof["unproven"], proof["findings"]) == ([], [])
        told = bento("verify", f"oci:{out}", *options, code=status.FOUND)
        assert "finding  Labels who: is 'me' instead of None" in told
        weights = next(store.home.root.glob("models/bert/v1/*.bin"))
        weights.write_bytes(weights.read_bytes()[::-1])
        told = bento("verify", f"oci:{out}", *options, "--label", "who=me", code=status.FOUND)
    assert "home/bentoml/weights/bert/" in told
    assert "Command: serves the Bento\n" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("oci:a", "--source", "."), "--source requires --rebuild. Add --rebuild, or remove --source."),
        (("oci:a", "--env", "A=B"), "--env requires --rebuild."),
        (("oci:a", "--rebuild", "--key", "k"), "--key can't be combined with --rebuild. Run the command twice"),
        (("oci:a", "--rebuild", "--strict"), "--strict can't be combined with --rebuild."),
        (("oci:a", "--rebuild", "oci:b"), "--rebuild proves one image. Specify HOST/REPOSITORY[:TAG] or oci:DIR."),
        (("oci:a", "--rebuild", "--source", "unknown"), "contains no Bento with this name"),
    ],
)
def test_options_that_do_not_fit(words, message, bento, store):
    assert message in bento("verify", *words, code=status.NOT_FOUND if "Bento" in message else status.ERROR)


def test_what_the_image_states_about_its_base_is_not_trusted(case, verify):
    told = verify("--lock", export(case.project), code=status.ERROR, base=False)
    assert "the base isn't known, and what the image states isn't trusted. Add --base IMAGE" in told


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg is missing")
def test_files_of_debian_packages_are_proven(project, mirror, bento, tmp_path):
    mirror(project, ["old", "vim"], "libvim", "old", "vim")
    added = ["--file", f"{project}/main.py=/run/app/x", "--file", f"{project}/main.py=/tmp/x"]  # of unusual modes
    build(bento, project, tmp_path, "--apt", "vim", "--apt", "old", *added)
    words = ["verify", f"oci:{tmp_path / 'out'}", "--rebuild", "--source", project, *added]
    words += ["--base", f"oci:{tmp_path / 'base'}"]
    [proof] = read_facts(bento(*words, "--apt", "vim", "--apt", "old", "-o", "json", code=status.UNPROVEN))
    assert proof["layers"][1]["proven"]["Debian packages"]["files"] == 3
    doubts = {each["path"]: each["reason"] for each in proof["unproven"]}
    assert doubts["usr/share/old/.wh.gone"].startswith("a file that dpkg or a script wrote")
    assert doubts["Debian packages"] == "1 files are missing, such as usr/share/man/vim.1"
    assert not [path for path in doubts if path in ("usr/bin/vim", "usr/lib/libvim.so.1") or "attached" in path]
    told = bento(*words, code=status.FOUND)
    assert "var/lib/dpkg/status: replaces a file of the base" in told


def test_what_the_table_adds_is_proven(project, bento, tmp_path):
    (project / "conf=a/deep").mkdir(parents=True)
    (project / "conf=a/deep/x.sh").write_text("#!/bin/sh\n")
    (project / "conf=a/deep/x.sh").chmod(0o755)
    (project / "conf=a/link").symlink_to("deep/x.sh")
    table = 'env = { MODE = "a=b" }\nwritable = ["/srv/k=v"]\nfiles = { "/srv/k=v" = "conf=a", "/opt/" = "main.py" }\n'
    path = project / "pyproject.toml"
    path.write_text(f"{path.read_text()}[tool.bento.image]\n{table}")
    build(bento, project, tmp_path)
    words = ("verify", f"oci:{tmp_path / 'out'}", "--rebuild", "--source", project, "--base", f"oci:{tmp_path}/base")
    assert "0.00 B not proven, 0 findings." in bento(*words)
    (project / "conf=a/deep/x.sh").write_text("#!/bin/ed\n")
    assert "srv/k=v/deep/x.sh: has other contents than in" in bento(*words, code=status.FOUND)


def test_files_that_two_packages_have_are_proven(machine, wheels, bento, tmp_path):
    for name in ("flask", "flask-cli"):
        points = f"[console_scripts]\nflask = {name.replace('-', '_')}:main\n"
        files = {f"{name.replace('-', '_')}/__init__.py": name, "LICENSE": name, "docs/README.md": name}
        Maker(name.replace("-", "_")).add(files).entry_points(points).write(wheels)
    project = machine({"main.py": ""}, "flask", "flask-cli")
    told = build_of_project(bento, project, tmp_path)
    assert "note: flask and flask-cli install LICENSE, with different contents. The image has the file of the" in told
    words = ("verify", f"oci:{tmp_path / 'out'}", "--rebuild", "--source", project, "--base", f"oci:{tmp_path}/base")
    assert "0.00 B not proven, 0 findings." in bento(*words)


def test_models_of_the_hub_are_proven(served, machine, bento, tmp_path):
    project = machine(
        {"main.py": ""}, "tiny", pyproject=f'[tool.bento.image]\nhugging-face = ["Acme/Tiny-BERT@{COMMIT}"]\n'
    )
    build_of_project(bento, project, tmp_path)
    words = ("verify", f"oci:{tmp_path / 'out'}", "--rebuild", "--source", project)
    words += ("--base", f"oci:{tmp_path / 'base'}")
    assert "3 models\n" in bento(*words)
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace(COMMIT, NEXT))
    assert f"snapshots/{NEXT}/model.safetensors: is missing" in bento(*words, code=status.FOUND)


def test_the_age_of_wheels_is_the_lock_s(case, verify, tmp_path):
    told = verify("--lock", export(case.project), "--age", "1", code=status.FOUND)
    assert "finding  --age: alpha-1.0 has no upload time in a uv.lock" in told
    shutil.copytree(case.project, tmp_path / "project", symlinks=True)
    lock = tmp_path / "project/uv.lock"
    text = lock.read_text()
    for day, code in (("2020-01-02", status.OK), ("2099-01-02", status.FOUND)):
        lock.write_text(re.sub(r'(hash = "sha256:\w+")', rf'\1, upload-time = "{day}T03:04:05Z"', text))
        told = verify("--source", tmp_path / "project", "--age", "7", code=code)
        assert f"Newest wheel: {day}T03:04:05Z" in told
    assert "was uploaded at 2099-01-02T03:04:05Z, less than 7 days ago" in told


def test_without_bento_proof_the_message_has_the_command_of_the_page(bento, tmp_path, monkeypatch):
    """rules_bento isn't on PyPI, where the name of the extra could be another program's."""
    monkeypatch.setattr(image_proof, "find_spec", lambda _: None)
    told = bento("verify", f"oci:{tmp_path}", "--rebuild", "--source", tmp_path, code=status.ERROR)
    assert "run `pip install ./py ./py/bento_proof './py/bento_cli[proof]'` with Python 3.11 or later." in told


def test_the_files_of_this_release_are_known():
    assert hashlib.sha256(entrypoint.PROGRAM.encode()).hexdigest() == judge.PROGRAM, "replace the digest"
    assert entrypoint.command(plan.ENVIRONMENT) == config.START
    assert (f"/{model.ENVIRONMENT}", f"/{model.HOME}") == (plan.ENVIRONMENT, plan.HOME)
    assert {str(each) for each in model.USER} == {plan.USER}
    assert VERSION
