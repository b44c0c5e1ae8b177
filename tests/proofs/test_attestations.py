"""`bento verify --rebuild --attest`: what is signed of a proof, when nothing is signed, and what policies accept of it."""

import json
import subprocess
import sys

import pytest
from bento_cli.cli import status
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rules_bento.images.artifacts import signatures
from rules_bento.images.registry.layout import Layout
from rules_bento.images.signing import verification
from rules_bento.images.signing.keys import read_public

from tests.proof_program.program import export, requires_programs

pytestmark = requires_programs


@pytest.fixture
def keys(tmp_path):
    """A directory with k.key and k.pub."""
    key, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "k.key").write_bytes(key.private_bytes(pem, *form))
    (tmp_path / "k.pub").write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return tmp_path


def git(directory, *words):
    subprocess.run(["git", "-C", directory, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)


@pytest.fixture
def source(case, tmp_path):
    """A clone of the project of the case."""
    if not (case.project / ".git").exists():
        git(case.project, "init", "-q")
        git(case.project, "add", "-A")
        git(case.project, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", case.project, tmp_path / "source")
    git(tmp_path / "source", "remote", "set-url", "origin", "https://user:secret@git.example.com/web?x=1")
    return tmp_path / "source"


@pytest.fixture
def verify(case, bento, store, keys, source):
    def run(*words, code=status.OK, key="k", target=f"oci:{case.out}"):
        words = ("verify", target, "--rebuild", "--bytecode-python", sys.executable, *words)
        words += ("--base", f"oci:{case.base}", "--attest", "--sign-key", keys / f"{key}.key")
        return bento(*words, code=code)

    return run


def test_a_proof_in_a_registry_is_attested(case, verify, bento, keys, source, server, tmp_path):
    words = ["image", case.project, "--base", f"oci:{case.base}", "--platform", "linux/amd64", "--push"]
    name = f"{server.host}/proven/attested"
    bento(*words, "-t", f"{name}:v1", f"--bytecode-python={sys.executable}", "--sbom", "none")
    assert f"Attested {(root := Layout.open(case.out).find().descriptor.digest)}" in verify(
        "--source", source, target=f"{name}:v1"
    )
    commit = subprocess.check_output(["git", "-C", source, "rev-parse", "HEAD"], text=True).strip()
    inputs = ["git+https://git.example.com/web", f"git+https://git.example.com/web@gitCommit:{commit}", "uv.lock"]

    def decides(more, code, message, place=f"{name}:v1"):
        rule = f"{{type: verification, key: {keys / 'k.pub'}, {more}}}"
        (tmp_path / "policy").write_text(f"require: [{rule}]")
        return message in bento("verify", "--policy", tmp_path / "policy", place, code=code)

    assert decides(f"max-age: 1, inputs: {json.dumps(inputs)}", status.OK, root)
    assert decides("inputs: ['git+https://git.example.com/api']", status.FOUND, "doesn't name the input")
    assert decides(f"repository: {server.host}/proven/other", status.FOUND, "the verification is for")


def test_what_an_attestation_of_a_layout_contains(case, verify, keys, source):
    [proof] = json.loads(verify("--source", source, "-o", "json", "--env", "A=1", code=status.FOUND))
    assert proof["findings"], "--env isn't in the image"
    [proof] = json.loads(verify("--source", source, "-o", "json").partition("\n]\n")[0] + "]")
    layout = Layout.open(case.out)
    digest = layout.find().descriptor.digest
    found = signatures.verify_attestation(
        signatures.InLayout(layout), digest, [verification.PREDICATE], "", read_public("k.pub", keys)
    )
    assert found["rules_bento_inputs"] == proof["inputs"]
    assert [each["uri"] for each in proof["inputs"]] == [
        "git+https://git.example.com/web",
        "oci",
        "urn:rules-bento:packages",
        "urn:rules-bento:settings",
        "uv.lock",
    ]
    [image] = found["rules_bento_images"]
    assert image["digest"] == {"sha256": digest.removeprefix("sha256:")}
    assert image["proven"]["wheels"]["files"] > 5
    assert found["verifiedLevels"] == [verification.COMPLETE]
    assert str(source) not in json.dumps(found)
    assert "secret" not in json.dumps(found)


def attached(case):
    layout = Layout.open(case.out)
    return len([*layout.referrers(layout.find().descriptor.digest, "")])


def test_what_is_not_proven_is_not_attested(case, verify, keys, source):
    before = attached(case)
    (source / "more.txt").write_text("")
    assert "files differ from the commit: more.txt. Commit the changes" in verify("--source", source, code=status.ERROR)
    (source / "main.py").write_text("import beta\n")
    assert "commit: main.py and 1 more. Commit" in verify("--source", source, code=status.ERROR)
    git(source, "add", "-A")
    git(source, "commit", "-qm", "second")
    assert "finding  " in verify("--source", source, code=status.FOUND)
    assert "Git can't name the commit" in verify("--source", case.base, code=status.ERROR)
    assert "not proven  " in verify("--lock", export(case.project), code=status.UNPROVEN)
    assert attached(case) == before
    told = verify("--lock", export(case.project), "--allow-unproven", "1000000")
    assert f"Attested {Layout.open(case.out).find().descriptor.digest}: {verification.PARTIAL}" in told


def test_signers_and_attest_belong_together(case, bento, store, keys):
    words = ["verify", f"oci:{case.out}", "--rebuild"]
    for more in (["--attest"], ["--sign-key", keys / "k.key"]):
        assert "belong together" in bento(*words, *more, code=status.ERROR)
    assert "--attest requires --rebuild" in bento("verify", f"oci:{case.out}", "--attest", code=status.ERROR)
