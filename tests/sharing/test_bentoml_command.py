"""Commands for BentoCloud and Yatai: they run BentoML of the environment, with its requests, output, and status."""

from __future__ import annotations

import io
import json
import sys
import tarfile

from bento_cli.cli import main, status

from tests.helpers.loopback import Handler, running
from tests.sharing.support import own_home

__all__ = ["own_home"]

TIME = "2026-01-01T00:00:00Z"
RESOURCE: dict[str, object] = {
    "uid": "1",
    "created_at": TIME,
    "updated_at": TIME,
    "deleted_at": None,
    "resource_type": "x",
    "labels": [],
}
VERSION = {"image_build_status": "", "upload_status": "pending", "upload_finished_reason": "", "build_at": TIME}
ADDRESSES = {"presigned_upload_url": "", "presigned_download_url": "", "transmission_strategy": "proxy"}
COMMON = {**RESOURCE, **VERSION, **ADDRESSES, "upload_id": "", "latest_bento": None, "latest_model": None}


class Recorder(Handler):
    """A server that has nothing, and accepts everything."""

    def do_GET(self):
        self.server.requests.append((self.command, self.path, None))
        self.send(404, b"{}")

    def do_PUT(self):
        with tarfile.open(fileobj=io.BytesIO(self.body())) as tar:
            self.server.requests.append((self.command, self.path, sorted(tar.getnames())))
        self.send(200, b"{}")

    def do_POST(self):
        kind, document = self.path.split("/")[3], json.loads(self.body() or "null")
        self.server.requests.append((self.command, self.path, document))
        self.server.documents[kind] = {"name": "x", **self.server.documents.get(kind, COMMON), **(document or {})}
        self.send(200, json.dumps(self.server.documents[kind]).encode())

    do_PATCH = do_POST


def test_the_command_sends_what_bentoml_sends(store, real, monkeypatch, capfd):
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    real.variables |= {"BENTOML_HOME": str(store.home.root), "BENTO_CLOUD_API_KEY": "t0ken"}
    talks = []
    for push in real.run, lambda *words: main([*words]):
        with running(Recorder, requests=[], documents={}) as server:
            real.variables["BENTO_CLOUD_API_ENDPOINT"] = f"http://{server.host}"
            for name, value in real.variables.items():
                monkeypatch.setenv(name, value)
            push("push", "hi:v1", "--threads", "2")
        talks.append(server.requests)
    theirs, ours = talks
    assert ours == theirs
    assert [path.rpartition("/")[2] for method, path, _ in ours if method == "PUT"] == ["upload", "upload"]
    assert 'Successfully pushed bento "hi:v1"' in capfd.readouterr().out


def test_options_are_passed_or_translated(stub, store, monkeypatch, capfd):
    monkeypatch.setattr(sys.stdin, "readline", lambda: "t0ken\n", raising=False)
    for words, passed in {
        "push hi": "push hi:v2",
        "push hi:v1 -t 3 -f --context c --no-verify": "push hi:v1 --threads 3 --force --context c",
        "models push clf:v1 -q -v": "models push clf:v1 --quiet --verbose",
        "pull hi -f": "pull hi --force --with-models",
        "pull hi:v1 --no-models --context c": "pull hi:v1 --context c",
        "pull hi --with-models": "pull hi --with-models",
        "models pull clf:latest": "models pull clf:latest",
        "models pull -F b.yaml --color never": "models pull --bentofile b.yaml NO_COLOR=1",
        "cloud": "cloud umask=0077",
        "cloud login --endpoint e --api-token - -q --context c": "cloud login --endpoint e -q --context c umask=0077 KEY=t0ken",
        "cloud login --api-token=-": "cloud login umask=0077 KEY=t0ken",
        "-q cloud list-context": "cloud list-context --quiet umask=0077",
        "deploy hi:v1 --scaling-min 1": "deploy hi:v1 --scaling-min 1",
    }.items():
        assert main(["--home", str(store.home.root), *words.split()]) == 7
        assert capfd.readouterr().out == f"{passed} HOME={store.home.root}\n"


def test_other_options_are_refused_by_name(stub, bento):
    for words, option in {
        "push hi:v1 --sign-key k": "--sign-key",
        "push hi:v1 --insecure h": "--insecure",
        "push hi:v1 --json": "-o/--output/--json",
        "models push clf:v1 --format kserve": "--format",
        "pull hi --no-sync": "--no-sync",
        "models pull clf --copy": "--copy",
        "pull hi --no-progress": "--no-progress",
        "--no-progress pull hi": "--no-progress",
    }.items():
        problem = f"{option}: BentoML's client for BentoCloud and Yatai has no such option. Remove the option, or "
        assert problem in bento(*words.split(), code=status.ERROR)


def test_damage_is_not_pushed(stub, store, bento):
    path = store.bentos.get("hi:v1").path / "src/new"
    path.chmod(0o644)
    path.write_text("x")
    assert "src/new" in bento("push", "hi:v1", code=status.ERROR)
    bento("push", "hi:v1", "--no-verify", code=7)


def test_without_bentoml_the_user_learns_what_to_install(store, bento, monkeypatch):
    monkeypatch.setattr("bento_cli.sharing.serving._has_bentoml", lambda _: False)
    install = "bento: BentoML isn't installed. For BentoCloud and Yatai, install it in an environment (`uv pip install "
    install += "bentoml`), and activate this one."
    for words, example in {
        "pull hi:v1": "pull registry.example.com/hi:v1",
        "push hi:v1": "push hi:v1 registry.example.com/hi",
        "models pull clf": "models pull registry.example.com/clf",
        "models push clf": "models push clf registry.example.com/clf",
        "cloud login": "",
        "deploy hi": "",
    }.items():
        more = f" For a registry, run `bento {example}`." if example else ""
        assert bento(*words.split(), code=status.ERROR) == f"{install}{more}\n"
