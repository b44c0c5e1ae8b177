"""`bento doctor`: what is missing is named with what to do, and nothing is asked over a network unless it is told to."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from bento_cli.cli import cache_check, main
from bento_cli.cli.diagnosis import ERROR, OK, WARNING

from tests.helpers.loopback import Handler, running


@pytest.mark.parametrize(
    ("limit", "state", "text"),
    [
        (99, OK, "accepts blobs of 8 MiB"),
        (3, WARNING, "but not of 4 MiB (status 413)"),
        (0, ERROR, "doesn't accept uploads (status 413)"),
    ],
)
def test_a_cache_is_measured(monkeypatch, limit, state, text):
    class Cache(Handler):
        def do_PUT(self):
            size = int(self.headers["Content-Length"])
            assert len(self.body()) == size
            assert len(self.path) == len("/prefix/cas/") + 64
            self.send(200 if size <= limit << 20 else 413)

    monkeypatch.setattr(cache_check, "_LARGEST", 8)
    with running(Cache) as server:
        found = cache_check.check(f"http://{server.host}/prefix/")
    assert found.state == state
    assert text in found.text
    assert ("--remote_timeout=" in found.remedy) == (state != ERROR)
    assert ("Raise the limit" in found.remedy) == (state == WARNING)


@pytest.mark.parametrize(
    ("limit", "state", "text"),
    [
        (99, OK, "accepts blobs of 8 MiB"),
        (3, WARNING, "but not of 4 MiB (gRPC status 8: at most 3 MiB: Überlänge)"),
        (0, ERROR, "doesn't accept uploads (gRPC status 8: at most 0 MiB: Überlänge)"),
    ],
)
def test_a_cache_with_grpc_is_measured(monkeypatch, limit, state, text):
    blobs = {}

    def write(requests, context):
        name, data = "", bytearray()
        for request in requests:
            fields = dict(protobuf(request))
            name = fields.get(1, b"").decode() or name
            assert fields[2] == len(data)
            data += fields[10]
            if len(data) > limit << 20:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {limit} MiB: Überlänge")
        assert fields[3]
        blobs[name] = bytes(data)
        return b""

    handler = grpc.method_handlers_generic_handler(
        "google.bytestream.ByteStream", {"Write": grpc.stream_unary_rpc_method_handler(write)}
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([handler])
    host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    monkeypatch.setattr(cache_check, "_LARGEST", 8)
    server.start()
    try:
        found = cache_check.check(f"grpc://{host}/main/instance")
        assert cache_check.check(f"grpc://{host}").state == state
    finally:
        server.stop(None).wait()
    assert (found.state, text in found.text) == (state, True), found
    for name, data in blobs.items():
        *instance, uploads, _, kind, digest, size = name.split("/")
        assert (instance, uploads, kind) in ((["main", "instance"], "uploads", "blobs"), ([], "uploads", "blobs"))
        assert (digest, int(size)) == (hashlib.sha256(data).hexdigest(), len(data))
    assert len(blobs) == 2 * {OK: 4, WARNING: 2, ERROR: 0}[state]


def protobuf(message: bytes):
    """The fields of a message: numbers, and bytes."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        value = number()
        if key & 7 == 2:
            at, value = at + value, message[at : at + value]
        yield key >> 3, value


def test_a_server_without_grpc_accepts_no_uploads():
    with running(Handler) as server:
        found = cache_check.check(f"grpc://{server.host}")
    assert found.state == ERROR
    assert "closed the connection" in found.text


def test_a_cache_needs_a_url_and_grpc_a_package(capsys, monkeypatch):
    assert main(["doctor", "--cache", "cache.example.com"]) == 1
    text = "--cache: expected a URL with grpc, grpcs, http, or https, got 'cache.example.com'"
    assert text in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "h2", None)
    assert main(["doctor", "--cache", "grpcs://cache.example.com"]) == 1
    assert "measuring a cache with gRPC requires h2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda entry: (entry / "src/service.py").unlink(), "src/service.py: is missing"),
        (lambda entry: (entry / "src/service.py").write_text("x"), "src/service.py: has 1 bytes, not "),
        (lambda entry: (entry / "bento.yaml").write_text("{"), "bento.yaml"),
    ],
)
def test_a_damaged_store_is_an_error(tmp_path, capsys, monkeypatch, damage, text):
    (tmp_path / "project").mkdir()
    service = "import bentoml\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self) -> str: return ''\n"
    (tmp_path / "project/service.py").write_text(service)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    assert main(["build", str(tmp_path / "project"), "--version", "v1", "--no-lock"]) == 0
    capsys.readouterr()

    def store() -> dict[str, str]:
        status = main(["doctor", "-o", "json"])
        [finding] = [each for each in json.loads(capsys.readouterr().out) if each["about"] == "store"]
        assert status == (finding["state"] == ERROR)
        return finding

    assert (store()["state"], store()["text"]) == (OK, f"0 damaged in {tmp_path}/home")
    damage(tmp_path / "home/bentos/svc/v1")
    assert store()["state"] == ERROR
    assert store()["text"].startswith(f"1 damaged in {tmp_path}/home, such as Bento ")
    assert text in store()["text"]
    assert main(["verify"]) == 3
    assert text in capsys.readouterr().out


def test_the_machine_is_described_and_no_program_is_started(tmp_path, capsys, monkeypatch):
    site = tmp_path / "venv/lib/python3.11/site-packages/bentoml"
    site.mkdir(parents=True)
    (site / "__init__.py").touch()
    for name in ("bin", "venv/bin", "empty"):
        (tmp_path / name).mkdir()
    ran = tmp_path / "ran"
    for path in ("bin/uv", "bin/bento", "bin/podman", "venv/bin/python", "venv/bin/bentoml"):
        (tmp_path / path).write_text(f"#!/bin/sh\n: > {ran}\n")
        (tmp_path / path).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "none/home"))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "empty/python"))
    assert main(["doctor", "-o", "json"]) == 0
    found = {finding["about"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {about: finding["state"] for about, finding in found.items()} == {
        "bento": WARNING,
        "bentoml": OK,
        "containers": OK,
        "disk": OK,
        "extras": OK,
        "logins": OK,
        "store": OK,
        "uv": OK,
    }
    assert found["containers"]["text"] == "podman"
    assert found["bento"]["text"] == f"{tmp_path}/bin/bento on PATH might be another program"
    assert found["bentoml"]["text"] == str(tmp_path / "venv/bin/python")
    assert not ran.exists()
    assert not (tmp_path / "none").exists()
    monkeypatch.delenv("VIRTUAL_ENV")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "ok       bentoml: isn't installed" in said
    assert "warning  containers: no engine is on PATH" in said


def test_what_a_killed_command_left_in_the_cache_is_removed_when_no_command_uses_it(tmp_path, monkeypatch):
    from bento_cli.sharing import native_cache

    monkeypatch.setattr(native_cache, "_locks", locks := {})
    cache, other = native_cache.open_cache(tmp_path / "native"), tmp_path / "native/bases/a/.b.part"
    other.parent.mkdir(parents=True)
    other.write_text("a partial download, which the next one continues")
    killed = "import os, pathlib, sys; from rules_bento.base.archives.atomic import atomic_dir\n"
    killed += "with atomic_dir(pathlib.Path(sys.argv[1])) as directory: (directory / 'layer').touch(); os._exit(9)"
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", killed, str(cache / "layers/a")], env=variables, check=False)
    assert (done.returncode, len([*cache.glob("layers/.*.part/layer")])) == (9, 1)
    first = locks.pop(cache)
    os.close(locks.pop(native_cache.open_cache(cache)))
    assert [*cache.glob("layers/*/layer")], "another command can be writing it"
    os.close(first)
    os.close(locks.pop(native_cache.open_cache(cache)))
    assert not [*cache.glob("layers/*")]
    assert other.exists()


def test_the_least_recently_used_exceeds_the_limit_once_a_day_when_no_command_uses_the_cache(tmp_path, monkeypatch):
    from bento_cli.sharing import native_cache

    monkeypatch.setattr(native_cache, "_locks", locks := {})
    monkeypatch.setattr(native_cache, "MAX_SIZE", 5000)
    cache = native_cache.open_cache(tmp_path / "native")
    for at, (name, accessed, written) in enumerate(
        [("layers/read", 900, 100), ("wheels/old", 200, 200), ("layers/new", 700, 700)]
    ):
        file = cache / name / ("blob" if at else "deep/blob")
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 2400)
        os.utime(file, (accessed, written))

    def opened(seconds):
        os.utime(cache / "lock", (seconds, seconds))
        os.close(locks.pop(native_cache.open_cache(cache)))
        return {f"{path.parent.name}/{path.name}" for path in cache.glob("*/*")}

    every = {"layers/read", "wheels/old", "layers/new"}
    first = locks.pop(cache)
    assert opened(0) == every, "another command can be using them"
    os.close(first)
    assert opened(time.time()) == every
    assert opened(0) == {"layers/read", "layers/new"}
    assert (cache / "lock").stat().st_mtime > 0


def test_the_cache_is_measured_and_removed_when_no_command_uses_it(tmp_path, capsys, monkeypatch):
    from bento_cli.sharing import native_cache

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "rules_bento"
    (native_cache.open_cache(cache / "native") / "layers").mkdir()
    (cache / "native/layers/a").write_bytes(b"x" * 2048)
    (cache / "pushed.json").write_text("{}")
    assert main(["cache", "dir"]) == 0
    assert main(["cache", "size"]) == 0
    assert capsys.readouterr().out == f"{cache}\n2.00 KiB\n"
    command = [sys.executable, "-c", "from bento_cli.cli import main; main(['cache', 'clean'])"]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stderr.readline() == "note: Waiting for other commands that use the cache.\n"
        assert (cache / "native/layers/a").exists()
        os.close(native_cache._locks.pop(cache / "native"))
        assert process.wait(60) == 0
    assert [path.name for path in cache.rglob("*")] == ["native", "lock"]
