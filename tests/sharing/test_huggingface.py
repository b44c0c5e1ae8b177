"""`bento models pin` asks a hub's HTTP API, on loopback, and prints what a source and MODULE.bazel take."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from bento_cli.cli import main
from bento_cli.sharing.huggingface import pin
from rules_bento.base.errors import BentoError
from rules_bento.images.registry.layout import Layout

from tests.helpers.loopback import Handler, running
from tests.sharing.debian_support import layer_owners
from tests.sharing.hub_support import COMMIT, CONFIG, LARGE, NEXT, SIBLINGS, WEIGHTS, answer
from tests.sharing.image_support import build, read


def test_the_commit_and_the_hash_of_each_file(hub):
    found = pin("Acme/Tiny-BERT")
    assert found.revision == COMMIT
    assert found.files == {"deep/con fig.json": hashlib.sha256(CONFIG).hexdigest(), "weights.safetensors": LARGE}
    assert not any("weights" in path for path, _ in hub.asked), "the API has said its hash"


def test_patterns_choose_files(hub):
    assert pin("Acme/Tiny-BERT", include=["*.safetensors"]).files.keys() == {"weights.safetensors"}
    assert pin("Acme/Tiny-BERT", exclude=["deep/"]).files.keys() == {"weights.safetensors"}
    with pytest.raises(BentoError, match="no file in commit .* matches"):
        pin("Acme/Tiny-BERT", include=["*.bin"])


def test_files_with_invalid_names_can_be_excluded(hub):
    files = [*SIBLINGS, {"rfilename": "bad\\x"}, {"rfilename": "../x"}]
    hub.answers["/hub/api/models/Acme/Tiny-BERT/revision/main?blobs=true"] = answer(COMMIT, files)
    assert pin("Acme/Tiny-BERT", exclude=["bad*", "../*", "deep/"]).files.keys() == {"weights.safetensors"}


def test_what_is_printed_is_a_tag(hub, capsys):
    assert main(["models", "pin", "Acme/Tiny-BERT", "--exclude", "deep/*"]) == 0
    shown = capsys.readouterr().out
    assert shown == (
        f'# The current commit of Acme/Tiny-BERT, revision "main".\n'
        f"# To download the model at startup, in the service:\n"
        f'#     HuggingFaceModel("Acme/Tiny-BERT", revision="{COMMIT}")\n'
        f"# To include the model in the Bento, in MODULE.bazel:\n"
        f"bento_files.hugging_face_model(\n"
        f'    name = "tiny_bert",\n'
        f'    files = {{"weights.safetensors": "{LARGE}"}},\n'
        f'    repository = "Acme/Tiny-BERT",\n'
        f'    revision = "{COMMIT}",\n'
        f')\nuse_repo(bento_files, "tiny_bert")\n'
    )
    assert "hf_secret" not in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "invalid response"),
        (b"[]", "invalid response"),
        (answer(7, []), "invalid response"),
        (answer("main", SIBLINGS), "main to 'main', which isn't a commit"),
        (answer(COMMIT, [{"rfilename": "../x"}]), "the path '../x' isn't normalized"),
        (answer(COMMIT, [{"rfilename": "/x"}]), "isn't normalized"),
        (answer(COMMIT, [{"rfilename": "a\x1b[2J"}]), r"the path 'a\\x1b\[2J' .* an unprintable character"),
        (answer(COMMIT, [{"rfilename": "..\\x"}]), "contains a backslash"),
        (answer(COMMIT, [{"rfilename": "absent"}]), "the server responded with 404"),
        (b" " * (17 << 20), "a response exceeds the limit of 16777216 bytes"),
        (b"[" + b"[]," * 600_000 + b"[]]", "the file has more than 500,000 values"),
        (answer("x" * 5_000_000, []), r"to 'x{200}', which isn't a commit"),
        (answer(COMMIT, [{"rfilename": "../" + "x" * 5_000_000}]), r"the path '\.\./x{197}' isn't normalized"),
    ],
)
def test_answers_that_are_none_are_rejected(hub, content, message):
    hub.answers["/hub/api/models/Acme/Tiny-BERT/revision/main?blobs=true"] = content
    with pytest.raises(BentoError, match=message):
        pin("Acme/Tiny-BERT")


@pytest.fixture
def endless(monkeypatch):
    """A hub whose answers don't end. `form` is its header, `first` what comes first, `sent` how many bytes came."""

    class Answers(Handler):
        def do_GET(self):
            document = server.answers.get(self.path)
            if document:
                self.send(200, document)
                return
            self.send_response(server.status)
            self.send_header(*server.form)
            self.end_headers()
            self.close_connection = True
            piece, is_chunked = b"A" * (1 << 20), server.form[1] == "chunked"
            with contextlib.suppress(OSError):
                while server.sent < 1 << 30:
                    self.wfile.write(b"100000\r\n" + piece + b"\r\n" if is_chunked else piece)
                    server.sent += len(piece)

    attributes = {"status": 200, "form": ("Transfer-Encoding", "chunked"), "sent": 0, "answers": {}}
    with running(Answers, **attributes) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{server.host}")
        monkeypatch.setenv("HF_TOKEN", "")
        yield server


@pytest.mark.parametrize(
    ("form", "message"),
    [
        *((form, "a response exceeds the limit of {} bytes") for form in (("Transfer-Encoding", "chunked"), ("X-No", "length"), ("Content-Length", "9" * 12))),
        # Some kilobytes of zstd have gigabytes of contents, and httpx decodes pieces of 64 KiB at once.
        (("Content-Encoding", "zstd"), "the server compresses a response"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("status", "limit"), [(200, 16 << 20), (404, 1 << 16)])
def test_an_answer_that_is_compressed_or_without_an_end_is_rejected(endless, form, message, status, limit):
    endless.form, endless.status = form, status
    with pytest.raises(BentoError, match=message.format(limit)):
        pin("Acme/Tiny-BERT")
    assert endless.sent < 64 << 20


def test_a_file_longer_than_its_size_is_rejected(endless):
    endless.answers["/api/models/Acme/Tiny-BERT/revision/main?blobs=true"] = answer(COMMIT, SIBLINGS[1:])
    with pytest.raises(BentoError, match=f"a response exceeds the limit of {len(CONFIG)} bytes"):
        pin("Acme/Tiny-BERT")
    assert endless.sent < 64 << 20


@pytest.mark.parametrize(
    ("endpoint", "is_sent"),
    [
        ("http://127.0.0.1:9", True),
        ("http://localhost:9/x", True),
        ("https://hub.invalid", True),
        ("http://hub.example", False),
        ("http://127.0.0.1.hub.example:9", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1@hub.example", False),
    ],
)
def test_a_token_leaves_this_machine_only_with_encryption(hub, endpoint, is_sent, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    message = "ConnectError" if is_sent else "would be sent without encryption. Use an https URL"
    with pytest.raises(BentoError, match=message):
        pin("a/b")


@pytest.mark.parametrize("of_user", ["", "https://hub.example.com", "http://127.0.0.1:9"])
def test_an_endpoint_of_a_project_gets_no_token(hub, monkeypatch, of_user):
    monkeypatch.setenv("HF_ENDPOINT", of_user)
    with pytest.raises(
        BentoError, match="responded with 401 .* sent only to https://huggingface.co and to the server in"
    ):
        pin("Acme/Tiny-BERT", endpoint=hub.address)
    assert hub.asked
    assert {token for _, token in hub.asked} == {None}


def test_a_token_file_with_invalid_text_is_rejected(hub, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    with pytest.raises(BentoError, match="cannot read the Hugging Face token"):
        pin("Acme/Tiny-BERT")
    assert not hub.asked


def test_errors_name_the_endpoint_without_secrets(hub, monkeypatch):
    with pytest.raises(BentoError, match=r"responded with 404 to Acme/Tiny-BERT@v2\. Check the model ID, the revision"):
        pin("Acme/Tiny-BERT", "v2")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(BentoError, match="the server responded with 401") as caught:
        pin("Acme/Tiny-BERT")
    assert "hf_wrong" not in str(caught.value)
    for name in ("../x", "a/b/c", "a b"):
        with pytest.raises(BentoError, match=r"invalid model ID .*\. Use ORGANIZATION/NAME"):
            pin(name)
    with pytest.raises(BentoError, match="without a query") as caught:
        pin("Acme/Tiny-BERT", endpoint=f"{hub.address}?token=hf_wrong")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.delenv("HF_ENDPOINT")
    with pytest.raises(BentoError, match="URL of the Hugging Face Hub is missing"):
        pin("Acme/Tiny-BERT")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BentoError, match=" -m pip install huggingface-hub`. With Bazel, set"):
        pin("Acme/Tiny-BERT")


def test_a_build_pins_models_once(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    project = tmp_path / "project"
    project.mkdir()
    model = f"HuggingFaceModel('Acme/Tiny-BERT', endpoint='{hub.address}')"
    (project / "service.py").write_text(
        f"import bentoml\nfrom bentoml.models import HuggingFaceModel\n@bentoml.service\nclass Svc:\n    model = {model}\n"
    )
    hub.answers["/hub/api/models/Acme/Tiny-BERT/revision/main"] = answer(COMMIT, SIBLINGS)
    words = ["build", str(project), "--no-lock"]
    assert main([*words, "-o", "path"]) == 1
    advice = f"bento build {project} --pin"
    problem = capsys.readouterr().err.rstrip()
    assert problem.endswith(
        f"service.py:4: Svc.model: the revision 'main' of Acme/Tiny-BERT isn't a commit. To request the commit, and to "
        f"write it to huggingface.lock.json, run `{advice}`."
    )
    assert not hub.asked
    assert main([*advice.split()[1:], "--no-lock", "-o", "path"]) == 0
    pinned = json.loads((project / "huggingface.lock.json").read_text())
    assert pinned == {f"{hub.address}/Acme/Tiny-BERT@main": COMMIT}
    assert len(hub.asked) == 1
    first, errors = capsys.readouterr()
    assert "Pinned Hugging Face models in" in errors
    assert main([*words, "--pin", "-o", "path"]) == 0
    assert capsys.readouterr().out == first, "the same version: the file was written before the snapshot"
    assert len(hub.asked) == 1
    assert f"revision: {COMMIT}" in Path(first.strip(), "bento.yaml").read_text()
    (project / "huggingface.lock.json").write_text('{"a": "main"}')
    assert main(words) == 1
    assert "expected an object that maps models to commits. Remove the file, and run `bento" in capsys.readouterr().err
    (project / "huggingface.lock.json").unlink()
    (project / "huggingface.lock.json").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(json.dumps(pinned))
    assert main(words) == 1


# What the library finds in the cache of an image, without a network.
FIND = """\
import json, os, huggingface_hub as hub
places = [hub.snapshot_download("Acme/Tiny-BERT", revision=revision, local_files_only=local)
          for revision, local in ((None, True), (None, False), (os.environ["COMMIT"], True))]
names = sorted(os.path.relpath(os.path.join(at, name), places[0]) for at, _, files in os.walk(places[0]) for name in files)
print(json.dumps([places, {name: len(open(hub.hf_hub_download("Acme/Tiny-BERT", name), "rb").read()) for name in names}]))
"""


def unpacked(out, directory):
    """The files of a model in an image, the digests of its layers, and the variables."""
    layout = Layout.open(out)
    for layer in layout.find().layers()[1:]:
        with tarfile.open(layout.blob(layer.digest)) as tar:
            tar.extractall(directory, filter="tar")
    config, manifest, contents = read(out)
    digests = [
        each["digest"]
        for each, names in zip(manifest["layers"], contents, strict=True)
        if "home/bentoml/huggingface/hub" in names
    ]
    return directory, digests, dict(each.split("=", 1) for each in config["config"]["Env"])


def test_the_library_finds_a_model_in_an_image(served, machine, bento, tmp_path):
    project = machine(
        {"main.py": ""}, "tiny", pyproject=f'[tool.bento.image]\nhugging-face = ["Acme/Tiny-BERT@{COMMIT}"]\n'
    )
    build(bento, project, tmp_path)
    root, layers, variables = unpacked(tmp_path / "out", tmp_path / "root")
    place = f"{root}{variables['HF_HUB_CACHE']}"
    environment = {**os.environ, "HF_HUB_CACHE": place, "HF_HUB_OFFLINE": variables["HF_HUB_OFFLINE"], "COMMIT": COMMIT}
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", FIND], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    places, sizes = json.loads(done.stdout)
    assert places == [f"{place}/models--Acme--Tiny-BERT/snapshots/{COMMIT}"] * 3
    assert sizes == {"deep/con fig.json": len(CONFIG), "model.safetensors": len(WEIGHTS)}
    owners = {path: owned for number in (3, 4) for path, owned in layer_owners(tmp_path / "out", number).items()}
    assert {owned[1:] for path, owned in owners.items() if path.startswith("home/bentoml")} == {(1034, 1034)}
    assert len(layers) == 2
    # The token reaches only the hub, and neither the image nor the cache of builds.
    assert served.stolen == [None]
    written = [
        path.read_bytes()
        for top in (tmp_path / "out", tmp_path / "root", tmp_path / "home")
        for path in top.rglob("*")
        if path.is_file()
    ]
    assert written and not any(b"hf_secret" in content for content in written)
    assert any(f"pkg:huggingface/Acme/Tiny-BERT@{COMMIT}".encode() in content for content in written)


def test_a_new_commit_keeps_the_layers_of_equal_files(served, machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    layers = []
    for number, commit in enumerate((COMMIT, NEXT, COMMIT)):
        words = ["--hugging-face", f"Acme/Tiny-BERT@{commit}"]
        before = len(served.asked)
        build(bento, project, tmp_path, *words, out=f"out{number}")
        layers.append(unpacked(tmp_path / f"out{number}", tmp_path / f"root{number}")[1])
    assert layers[0] == layers[2] != layers[1]
    assert layers[0][0] == layers[1][0]
    assert len(served.stolen) == 1
    assert len(served.asked) == before  # the third build requests nothing


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["Acme/Tiny-BERT"], "expected [MODEL=]ORGANIZATION/NAME@COMMIT, got"),
        (["Acme/Tiny-BERT@main"], "expected [MODEL=]ORGANIZATION/NAME@COMMIT, got"),
        ([f"x=Acme/Tiny-BERT@{COMMIT}"], "expected ORGANIZATION/NAME@COMMIT, with one"),
        ([f"Acme/Tiny-BERT@{COMMIT}", f"Acme/Tiny-BERT@{NEXT}"], "with one commit of each model"),
        (["Acme/Tiny-BERT@" + "1" * 40], "the server responded with 404 to Acme/Tiny-BERT@1111"),
    ],
)
def test_models_that_an_image_cannot_have(served, machine, bento, tmp_path, words, problem):
    words = [word for text in words for word in ("--hugging-face", text)]
    assert problem in build(bento, machine({"main.py": ""}, "tiny"), tmp_path, *words, code=1)


def test_a_gated_model_is_not_a_missing_login_of_an_index(served, machine, bento, tmp_path):
    path = next(iter(served.redirects))
    served.answers[path] = b"gated"
    served.redirects.clear()
    words = ["--hugging-face", f"Acme/Tiny-BERT@{COMMIT}"]
    told = build(bento, machine({"main.py": ""}, "tiny"), tmp_path, *words, code=1)
    assert "Request access to Acme/Tiny-BERT, and log in with `hf auth login`." in told


def test_a_file_with_another_digest_is_in_no_image(served, machine, bento, tmp_path, monkeypatch):
    path = next(iter(served.redirects))
    served.answers[path] = WEIGHTS[:-1] + b"x"
    served.redirects.clear()
    words = ["--hugging-face", f"Acme/Tiny-BERT@{COMMIT}"]
    assert "the sha256 digest is" in build(bento, machine({"main.py": ""}, "tiny"), tmp_path, *words, code=1)
    assert not (tmp_path / "out/index.json").exists()
