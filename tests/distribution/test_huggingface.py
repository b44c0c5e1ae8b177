"""`bento models pin` asks a hub's HTTP API, on loopback, and prints what a source and MODULE.bazel take."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bento_cli.cli import main
from bento_cli.sharing.huggingface import pin
from rules_bento.errors import BentoError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = b'{"model_type": "tiny"}'
LARGE = "a" * 64
SIBLINGS = [
    {"rfilename": "weights.safetensors", "size": 9, "blobId": "0" * 40, "lfs": {"sha256": LARGE, "size": 9}},
    {"rfilename": "deep/con fig.json", "size": len(CONFIG), "blobId": "1" * 40},
]


@pytest.fixture
def hub(monkeypatch):
    """A hub that lets in who has a token; `answers` are by path, `asked` is what came."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, self.headers.get("Authorization")))
            answer = server.answers.get(self.path)
            status = 401 if self.headers.get("Authorization") != "Bearer hf_secret" else 200 if answer else 404
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer or b"")) if status == 200 else "0")
            self.end_headers()
            self.wfile.write(answer if status == 200 else b"")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.address = [], f"http://127.0.0.1:{server.server_port}/hub"
    server.answers = {
        "/hub/api/models/Acme/Tiny-BERT/revision/main?blobs=true": answer(COMMIT, SIBLINGS),
        f"/hub/Acme/Tiny-BERT/resolve/{COMMIT}/deep/con%20fig.json": CONFIG,
    }
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def answer(commit, siblings):
    return json.dumps({"id": "Acme/Tiny-BERT", "sha": commit, "siblings": siblings}).encode()


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
        f"bento.hugging_face_model(\n"
        f'    name = "tiny_bert",\n'
        f'    files = {{"weights.safetensors": "{LARGE}"}},\n'
        f'    repository = "Acme/Tiny-BERT",\n'
        f'    revision = "{COMMIT}",\n'
        f')\nuse_repo(bento, "tiny_bert")\n'
    )
    assert "hf_secret" not in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "the response isn't valid JSON. Check --endpoint"),
        (b"[" * 100_000, "the response isn't valid JSON"),
        (b"[]", "expected a mapping, got a list"),
        (answer(7, []), "sha: expected a string, got a number"),
        (answer("main", SIBLINGS), "main to 'main', which isn't a commit"),
        (answer(COMMIT, [{"rfilename": "../x"}]), "the path '../x' is absolute or not normalized. Exclude"),
        (answer(COMMIT, [{"rfilename": "/x"}]), "is absolute or not normalized"),
        (
            answer(COMMIT, [{"rfilename": "a\x1b[2J"}]),
            r"the path 'a\\x1b\[2J' contains a backslash or an unprintable character",
        ),
        (answer(COMMIT, [{"rfilename": "..\\x"}]), "contains a backslash"),
        (answer(COMMIT, [{"rfilename": "absent"}]), "not found on the Hugging Face Hub"),
        (b" " * (17 << 20), "exceeds 16 MiB"),
    ],
)
def test_answers_that_are_none_are_refused(hub, content, message):
    hub.answers["/hub/api/models/Acme/Tiny-BERT/revision/main?blobs=true"] = content
    with pytest.raises(BentoError, match=message):
        pin("Acme/Tiny-BERT")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: file.write_bytes(b"\xff\xfe"), "the Hugging Face token isn't valid UTF-8"),
        (lambda file: os.truncate(os.open(file, os.O_CREAT | os.O_WRONLY), 1 << 40), "exceeds the limit of 16 MiB"),
        (lambda file: file.symlink_to("/proc/self/mem"), "cannot read the token: Input/output error"),
    ],
)
def test_a_file_that_is_no_token_is_refused(make, message, hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    make(tmp_path / "token")
    with pytest.raises(BentoError, match=message):
        pin("Acme/Tiny-BERT")
    assert not hub.asked


def test_what_the_hub_does_not_have_or_show_is_told(hub, monkeypatch):
    with pytest.raises(
        BentoError, match=r"revision/v2.*: not found on the Hugging Face Hub\. Check the model ID and the revision"
    ):
        pin("Acme/Tiny-BERT", "v2")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(BentoError, match="the server responded with 401") as caught:
        pin("Acme/Tiny-BERT")
    assert "hf_wrong" not in str(caught.value)
    monkeypatch.delenv("HF_ENDPOINT")
    with pytest.raises(
        BentoError,
        match=r"--endpoint: the URL of the Hugging Face Hub is missing\. Set --endpoint or HF_ENDPOINT",
    ):
        pin("Acme/Tiny-BERT")
    for name in ("../x", "a/b/c", "a b", ""):
        with pytest.raises(BentoError, match=r"invalid model ID .*\. Use ORGANIZATION/NAME"):
            pin(name)
    for revision in ("v1\n", "\udc80"):
        with pytest.raises(BentoError, match=r"revision .* contains an unprintable character\. Remove the character"):
            pin("Acme/Tiny-BERT", revision)
    with pytest.raises(BentoError, match=r"hub contains a query") as caught:
        pin("Acme/Tiny-BERT", endpoint=f"{hub.address}?token=hf_wrong")
    assert "hf_wrong" not in str(caught.value)
