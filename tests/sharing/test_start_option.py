"""`bento image --start`: an image that doesn't start isn't delivered."""

import json
import os
import signal
import subprocess
import sys

import pytest
from bento_cli.sharing import start_option
from bento_cli.sharing.image_options import read_options
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import Layer
from rules_bento.run.testing import bentoml_server

from tests.conftest import until
from tests.helpers.loopback import Handler
from tests.helpers.loopback import running as running_server
from tests.images.startup_support import STAYS, python_image, running, serving
from tests.images.startup_support import image as image
from tests.sharing.image_support import build

__all__ = ["image"]


def start(image, scratch, ready, *variables, seconds="30"):
    contents = json.loads((image / "contents.json").read_text("utf-8"))["image"]["blobs"]
    layers = [
        (Layer.loads((image / blob["description"]).read_text("utf-8")), image / blob["path"]) for blob in contents
    ]
    options = {"start": [ready], "start-timeout": [seconds], "start-env": variables}
    settings = read_options(options, (), is_delivered=False)
    scratch.mkdir(exist_ok=True)
    try:
        return start_option.start(settings, layers, (image / "config.json").read_bytes(), str(scratch))
    finally:
        assert not list(scratch.iterdir())


def test_the_path_answers_on_any_port(image, tmp_path):
    found = start(image, tmp_path / "scratch", "/readyz")
    assert found["ready"] == "http://127.0.0.1:3000/readyz"
    assert (0 < found["cpu_seconds"] < 10, 1 << 20 < found["memory"] < 1 << 30, 0 < found["seconds"] < 30) == (
        True,
    ) * 3
    [layer] = found["layers"]
    assert (layer["name"], 0 < layer["read"] <= layer["size"]) == ("all", True)


LISTENS = "import socket, time\nsockets = [socket.create_server((h, 0), family=f) for f, h in {}]\ntime.sleep(99)"


@pytest.mark.parametrize("places", ["[(2, '127.0.0.1')]", "[(10, '::1')]", "[(10, '::')]"])
def test_without_a_path_a_port_or_the_end_is_enough(image, tmp_path, places):
    assert (
        start(python_image(image, tmp_path / "x", LISTENS.format(places)), tmp_path / "s", "")["ready"][:6] == "tcp://"
    )


def test_a_program_that_ends(image, tmp_path):
    ends = python_image(image, tmp_path / "ends", "import os; assert os.environ['A'] == '=b'")
    assert start(ends, tmp_path / "s", "", "A==b")["ready"] == "ended with status 0"
    with pytest.raises(BentoError, match=r"^--start: the container exited with status 0 before it was ready\. Correct"):
        start(ends, tmp_path / "s", "/", "A==b")
    with pytest.raises(
        BentoError, match=r"(?s)exited with status 1 before it was ready: KeyError: 'A'\. Correct .*KeyError: 'A'\n$"
    ):
        start(ends, tmp_path / "s", "")


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (500, 1), (503, 3), (429, 3)])
def test_an_answer_that_stays_is_not_asked_for_again(status, requests, monkeypatch):
    asked = []

    class Answers(Handler):
        def do_GET(self):
            asked.append(self.path)
            self.send(status)

    monkeypatch.setattr(bentoml_server, "_SETTLED", 0)
    with running_server(Answers) as server:
        found = bentoml_server.wait(lambda: [f"http://{server.host}/"], 600, lambda: len(asked) > 2)
    assert found == ("", f"last response: status {status}")
    assert len(asked) == requests


def test_a_program_that_does_neither(image, tmp_path):
    waits = python_image(image, tmp_path / "waits", "import time; time.sleep(99)")
    with pytest.raises(
        BentoError, match=r"--start: not ready within 1 s \(it listens on no TCP port\)\. Correct the path"
    ):
        start(waits, tmp_path / "s", "", seconds="1")


def test_a_program_that_starts_others_without_end_leaves_nothing(image, tmp_path):
    floods = "import os, _signal\n_signal.signal(15, _signal.SIG_IGN)\nfor _ in range(9): os.fork() or os.setsid()\n"
    floods = python_image(image, tmp_path / "floods", floods + "while True: os.write(1, b'\\x1b[31mflood\\n' * 99)")
    with pytest.raises(BentoError, match="not ready within 2 s") as error:
        start(floods, tmp_path / "s", "", seconds="2")
    assert len(str(error.value)) < 5000
    assert not running(f"{os.path.realpath(sys.executable)}\0-S\0-c\0import os, _signal".encode())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_no_process_and_no_file(image, tmp_path, number):
    """What is started neither stops when it is told to, nor stays in its session."""
    mark = f"import os; os.fork() or os.setsid(); {STAYS}#{tmp_path}"
    silent = python_image(image, tmp_path / "silent", mark)
    code = f"import pathlib; from tests.sharing.test_start_option import start; start(*map(pathlib.Path, {[str(silent), str(tmp_path / 's')]}), '')"
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))}
    command = [sys.executable, "-c", code]
    program = subprocess.Popen(command, env=variables, start_new_session=True, stderr=subprocess.DEVNULL)
    mark = f"{os.path.realpath(sys.executable)}\0-S\0-c\0{mark}".encode()
    until(lambda: running(mark) == 2)
    program.send_signal(number)
    assert program.wait(60)
    until(lambda: not running(mark) and not list((tmp_path / "s").iterdir()))


def test_a_service_that_differs_from_bento_yaml_does_not_start(image, tmp_path):
    with pytest.raises(
        BentoError, match=r"--start: bento.yaml isn't right: services.0.config.workers is 3 in bento.yaml"
    ):
        start(serving(image, tmp_path / "serving", 3), tmp_path / "s", "/readyz")


def test_variables_of_the_user_stay_outside(image, tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", "1")
    code = "import os; assert 'CANARY' not in os.environ; print(open('/proc/1/environ').read())"
    for user in ("1034:1034", "0:0"):
        with pytest.raises(BentoError, match="PermissionError"):
            start(python_image(image, tmp_path / user, code, User=user), tmp_path / "s", "")


APP = {"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"}


def test_only_an_image_that_starts_is_delivered(machine, bento, tmp_path, monkeypatch):
    project, calls = machine(APP, "fastapi", "uvicorn"), []
    layers = [{"name": "x\x1b", "size": 2_000, "read": 500}]
    measured = {
        "ready": "http://127.0.0.1:8000/",
        "seconds": 1.0,
        "cpu_seconds": 0.5,
        "memory": 1 << 20,
        "layers": layers,
    }

    def stand_in(settings, layers, config, scratch):
        calls.append(
            [settings["start"], [each[:2] for each in settings["start-env"]], all(path.is_file() for _, path in layers)]
        )
        assert "secret" not in config.decode()
        assert not (tmp_path / "out").exists() or not (tmp_path / "out/index.json").exists()
        if len(calls) == 1:
            raise BentoError("not ready", place="--start")
        return measured

    monkeypatch.setattr(start_option, "start", stand_in)
    words = ["--start", "", "--start-env", "A=secret"]
    assert "bento: --start: not ready" in build(bento, project, tmp_path, *words, code=1)
    assert not (tmp_path / "out/index.json").exists()
    told = build(bento, project, tmp_path, *words)
    assert calls == [[[""], [("A", "secret")], True]] * 2
    assert (
        "Startup: http://127.0.0.1:8000/ answered after 1.0 s (0.50 s of CPU, 1.00 MiB of memory). It read, by" in told
    )
    assert "    25% of   1.95 KiB  x\\x1b\n" in told
    out = tmp_path / "out/index.json"
    out.unlink()
    assert (
        json.loads(build(bento, project, tmp_path, *words, "-o", "json").partition("\nnote")[0])["startup"] == measured
    )
    assert "served nothing" not in told
    measured["ready"] = "ended with status 0"
    out.unlink()
    told = build(bento, project, tmp_path, *words)
    assert "note: --start: the program ended with status 0, and served nothing.\n" in told


INVALID = [
    (["--start", "readyz"], "--start: expected /PATH, got 'readyz'."),
    (["--start", "/a b"], "--start: expected /PATH, got '/a b'."),
    (["--start-env", "A=b"], "--start-env requires --start. Add --start, or remove --start-env."),
    (["--start", "/", "--start-env", "A"], "--start-env: expected NAME=VALUE, got 'A'."),
    (["--start", "/", "--start-timeout", "0"], "--start-timeout: expected SECONDS, got '0'."),
    (["--start", "/", "--platform", "linux/arm64"], "can't start an image for linux/arm64. Build for the --platform"),
]


def test_options_are_checked_before_the_build(machine, bento, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "x", "6", "1", "x86_64")))
    project = machine(APP)
    for words, message in INVALID:
        assert message in build(bento, project, tmp_path, *words, code=1)
