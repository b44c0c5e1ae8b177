"""A server that answers as the Hugging Face Hub."""

import hashlib
import json
import random

import pytest

from tests.helpers.loopback import Handler, running

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = b'{"model_type": "tiny"}'
LARGE = "a" * 64
SIBLINGS = [
    {"rfilename": "weights.safetensors", "size": 9, "blobId": "0" * 40, "lfs": {"sha256": LARGE, "size": 9, "pointerSize": 1}},
    {"rfilename": "deep/con fig.json", "size": len(CONFIG), "blobId": "1" * 40},
]  # fmt: skip


@pytest.fixture
def hub(monkeypatch):
    """A hub that lets in who has a token; `answers` are by path, `asked` is what came."""

    class Answers(Handler):
        def do_GET(self):
            server.asked.append((self.path, self.headers.get("Authorization")))
            answer = server.answers.get(self.path)
            if place := server.redirects.get(self.path):
                self.send(302, b"", {"Location": place})
                return
            status = 401 if self.headers.get("Authorization") != "Bearer hf_secret" else 200 if answer else 404
            status = 403 if answer == b"gated" else status
            self.send(status, answer if status == 200 else b"")

    answers = {
        "/hub/api/models/Acme/Tiny-BERT/revision/main?blobs=true": answer(COMMIT, SIBLINGS),
        f"/hub/Acme/Tiny-BERT/resolve/{COMMIT}/deep/con%20fig.json": CONFIG,
    }
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with running(Answers, asked=[], answers=answers, redirects={}) as server:
        server.address = f"http://{server.host}/hub"
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def answer(commit, siblings):
    return json.dumps({"id": "Acme/Tiny-BERT", "sha": commit, "siblings": siblings}).encode()


WEIGHTS = random.Random(3).randbytes(3 << 20)
NEXT = COMMIT[::-1]


@pytest.fixture
def served(hub):
    """The hub, with two commits of a model, whose weights another server has. `stolen` has what that server got."""

    class Store(Handler):
        def do_GET(self):
            stolen.append(self.headers.get("Authorization"))
            self.send(200, WEIGHTS)

    stolen = []
    lfs = {"sha256": hashlib.sha256(WEIGHTS).hexdigest(), "size": len(WEIGHTS), "pointerSize": 1}
    for commit, config in ((COMMIT, CONFIG), (NEXT, b"{}")):
        weights = {"rfilename": "model.safetensors", "size": len(WEIGHTS), "blobId": "0" * 40, "lfs": lfs}
        small = {"rfilename": "deep/con fig.json", "size": len(config), "blobId": "1" * 40}
        hub.answers[f"/hub/api/models/Acme/Tiny-BERT/revision/{commit}?blobs=true"] = answer(commit, [weights, small])
        hub.answers[f"/hub/Acme/Tiny-BERT/resolve/{commit}/deep/con%20fig.json"] = config
    with running(Store) as store:
        hub.redirects = {
            f"/hub/Acme/Tiny-BERT/resolve/{each}/model.safetensors": f"http://{store.host}/x" for each in (COMMIT, NEXT)
        }
        hub.stolen = stolen
        yield hub
