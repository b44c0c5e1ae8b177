"""`bento serve`: the real BentoML over a Bento of the store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
import yaml
from bento_cli.cli import status
from bento_cli.library import Store
from bento_cli.programs.serve import from_caller
from bento_cli.projects.from_directory import ExtraOptions, build
from bento_cli.sharing.serving import interpreter, server
from rules_bento.base.archives.archive import transcode
from rules_bento.base.comparison_program import MARK
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service.known_metadata import IMPORT_BY_ATTRIBUTE
from rules_bento.run.testing.bentoml_server import NotReadyError
from rules_bento.run.testing.bentoml_server import serve as serve_in_test
from rules_bento.run.testing.real_service import install, program

from tests.conftest import free_port, post, wait_until_ready
from tests.helpers.store_support import DAY_1, PACKAGE, ask, bento_files, bento_yaml, model_files, write_archive
from tests.sharing.support import own_home

__all__ = ["own_home"]

SERVICE = """\
import bentoml

@bentoml.service
class Hi:
    model = bentoml.models.BentoModel("clf:v1")

    @bentoml.api
    def greet(self, name: str) -> list[str]:
        with open(self.model.path_of("weights.bin"), "rb") as file:
            return [name, str(len(file.read()))]
"""


@pytest.fixture
def served(real, tmp_path):
    """The store of real BentoML with a Bento that it can serve."""
    home = Store(real.home, durable=False)
    home.models.import_archive(write_archive(tmp_path / "clf.bentomodel", model_files()))
    directory = tmp_path / "svc"
    directory.mkdir()
    (directory / "service.py").write_text(SERVICE)

    made = build("service:Hi", build_ctx=str(directory), extra=ExtraOptions(store=real.home / "models"))
    home.bentos.import_archive(made.archive(tmp_path / "hi.bento"))
    return home


def start(real, *words):
    """The command as people start it: with BentoML on PATH, in a directory with modules of the names that it imports."""
    for name in ("hi", "bentoml", "bentoml_cli", "_bentoml_impl", "runpy", "circus", "click", "importlib"):
        (real.directory / f"{name}.py").write_text("raise SystemExit('this is not the Bento')\n")
    path = os.pathsep.join([str(PACKAGE), *filter(None, sys.path)])
    script = f"import sys; sys.path[:0] = {path.split(os.pathsep)!r}; from bento_cli.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", script, "serve", *words],
        cwd=real.directory,
        env=real.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_is_bentoml_that_serves_and_gets_signals(served, real):
    port = free_port()
    process = start(real, "--port", str(port), "hi:latest", "--host", "127.0.0.1", "--python", str(real.python))
    log = real.directory / "log"
    log.write_text("")
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        assert post(f"http://127.0.0.1:{port}/greet", {"name": "you"}) == ["you", "4000"]
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out


def test_the_status_is_that_of_bentoml(served, real):
    process = start(real, "hi", "--no-such-option", "x")
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 2
    assert "No such option" in out


def test_words_go_where_they_belong(store, bento, monkeypatch):
    def refuse(home, entry, options, python):
        raise BentoError(f"{entry.tag.name} {options} {python}")

    monkeypatch.setattr("bento_cli.sharing.serving.server", refuse)
    for words, passed in {
        ("--port", "3000", "hi:v1", "--reload", "--host=h"): "hi ['--port', '3000', '--reload', '--host=h'] ",
        ("--home", store.home.root, "--reload", "hi", "--python=p", "-p", "1"): "hi ['--reload', '-p', '1'] p",
        ("hi", "more", "-q", "--verbose", "--port"): "hi ['more', '-q', '--verbose', '--port'] ",
    }.items():
        assert passed in bento("serve", *words, code=status.ERROR)


@pytest.mark.parametrize(("version", "option"), [("3.12", " --python 3.12"), ("", "")])
def test_without_bentoml_the_commands_that_make_an_environment_are_printed(
    version, option, bento, other, tmp_path, monkeypatch
):
    files = bento_files("hi:v1", DAY_1, {})
    files["bento.yaml"] = bento_yaml("hi:v1", DAY_1, {}, image={"python_version": version} if version else {})
    other.bentos.import_archive(write_archive(tmp_path / "hi.bento", files))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    told = bento("serve", "hi", code=status.ERROR, home=other)
    requirements = other.bentos.get("hi:v1").path / "env/python/requirements.txt"
    install = f"Run `uv venv{option}`, `uv pip install --python .venv -r {requirements}`"
    assert f"{install}, and `bento serve hi:v1 --python .venv/bin/python`." in told


@pytest.mark.parametrize("words", [["--port", "{}"], ["-p{}", "--reload"], ["--port={}", "--host", "127.0.0.1"]])
def test_a_port_in_use_is_reported_before_bentoml_starts(words, store, bento, monkeypatch):
    started = []
    monkeypatch.setattr("bento_cli.sharing.serving.server", lambda *_: (["bentoml"], {}))
    monkeypatch.setattr("os.execve", lambda *_: started.append(True))
    monkeypatch.delenv("BENTOML_CONFIG", raising=False)
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        words = [word.format(port) for word in words]
        told = bento("serve", "hi", *words, code=status.ERROR)
        assert told == (
            f"bento: port {port} is in use. Stop the program that uses it, or select another port with --port.\n"
        )
        monkeypatch.setenv("BENTOML_CONFIG_OPTIONS", "api_server.http.host=127.0.0.2")  # might select another host
        bento("serve", "hi", *words)
        monkeypatch.delenv("BENTOML_CONFIG_OPTIONS")
    bento("serve", "hi", *words)
    assert started == [True, True]


def test_what_is_wrong_is_said_before_anything_starts(store, bento, tmp_path, monkeypatch):
    assert "no Bento" in bento("serve", "gone", code=status.NOT_FOUND)
    assert "nothing doesn't exist" in bento("serve", "hi", "--python", tmp_path / "nothing", code=status.ERROR)
    store.models.delete("clf:v1", force=True)
    assert "the required model clf:v1 is" in bento("serve", "hi:v1", code=status.NOT_FOUND)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(BentoError, match="Activate an environment"):
        interpreter()


def test_a_store_in_the_current_directory_is_not_a_bentoml(tmp_path, monkeypatch):
    """As in a home: its store is called `bentoml`, and Python imports any folder."""
    (tmp_path / "bentoml/bentos").mkdir(parents=True)
    ran = tmp_path / "ran"
    (tmp_path / "bentoml.py").write_text(f"open({str(ran)!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(BentoError, match="can't import BentoML"):
        interpreter(str(bare))
    (tmp_path / "python8").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}bin")
    with pytest.raises(BentoError, match="python8 doesn't exist"):
        interpreter("python8")
    assert not ran.exists()


def test_an_environment_is_found(store, real, monkeypatch):
    monkeypatch.setenv("PATH", real.variables["PATH"])
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert interpreter() == real.python
    assert interpreter(str(real.python.parents[1])) == real.python
    command, variables = server(store.home, store.bentos.get("hi:v1"), ["--reload"])
    assert command[1] == "-c"  # the other tests start it
    assert command[3:] == ["serve", str(store.bentos.get("hi:v1").path), "--reload"]
    assert variables["BENTOML_HOME"] == str(store.home.root)


def test_files_of_bazel_run_are_the_callers(monkeypatch):
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", "/where/i/am")
    given = ["--ssl-keyfile", "key.pem", "--arg-file=args.yaml", "--port", "3000", "--ssl-certfile", "/etc/c.pem"]
    wanted = ["--ssl-keyfile", "/where/i/am/key.pem", "--arg-file=/where/i/am/args.yaml", "--port", "3000"]
    assert from_caller(given) == [*wanted, "--ssl-certfile", "/etc/c.pem"]


FAILING = """\
import bentoml
{top}
@bentoml.service
class Hi:
    def __init__(self):
        {init}
"""


def unpacked(directory, source, store):
    """The directory of a Bento."""
    (directory / "project").mkdir()
    (directory / "project/service.py").write_text(source)
    made = build("service:Hi", build_ctx=str(directory / "project"), extra=ExtraOptions(store=store))
    transcode(directory / "bento", [made.archive(directory / "hi.bento")], "folder")
    return directory / "bento"


def log_of_test(python, bento, directory, monkeypatch, real):
    """What a test reports whose server doesn't start."""
    for name, value in real.variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotReadyError) as failed, serve_in_test(python, bento, directory / "server", seconds=600):
        pass
    return str(failed.value)


@pytest.mark.parametrize(
    ("top", "init", "log"),
    [
        ("", "raise RuntimeError('no weights')", "RuntimeError: no weights"),
        ("with bentoml.importing():\n    import absent_here", "pass", "No module named 'absent_here'"),
    ],
)
def test_a_test_ends_when_its_service_fails_to_start(top, init, log, real, tmp_path, monkeypatch):
    made = unpacked(tmp_path, FAILING.format(top=top, init=init), tmp_path)
    found = log_of_test(real.python, made, tmp_path, monkeypatch, real)
    assert found.startswith("the server can't start the service. ") and log in found


COMPARED = """\
import bentoml

@bentoml.service(workers=2)
class Deep:
    hub = bentoml.models.HuggingFaceModel("org/tiny", revision="0123456789abcdef0123456789abcdef01234567")
    iris = bentoml.models.BentoModel("iris:latest")

@bentoml.service(labels={"team": "a"}, cmd=["sleep", "9"], traffic={"timeout": 30, "external_queue": False}, workers=1)
class Hi:
    deep = bentoml.depends(Deep)
    far = bentoml.depends(url="http://far.example")

    @bentoml.api(route="/v1/chat/completions")
    def chat(self, text: str) -> str:
        return text
"""
CONFIGURED = """\
import os, bentoml

@bentoml.service(traffic={{"timeout": {}}})
class Hi: ...
"""


@pytest.mark.parametrize("timeout", [45, 50])
def test_a_service_that_differs_because_of_variables_is_right(real, tmp_path, timeout):
    """As in the environment of a deployment, whose bento.yaml is the one of the build."""
    made = unpacked(tmp_path, CONFIGURED.format(45), tmp_path)
    (made / "src/service.py").write_text(CONFIGURED.format(f"int(os.environ.get('FORECAST_TIMEOUT', {timeout}))"))
    code = f"{program('')}\nimport bentoml._internal.service.loader as loader\nloader.load_bento_dir({str(made)!r})\n"
    variables = real.variables | {"PATH": os.environ["PATH"], "FORECAST_TIMEOUT": "99"}
    command = [str(real.python), "-c", code]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=True)
    line = "services.0.config.traffic.timeout is 45 in bento.yaml, but 99 in the service that runs"
    expected = f"note: {line}, because of environment variables." if timeout == 45 else f"{MARK}{line}."
    assert expected in done.stderr.splitlines()


CHANGES = [  # what bento.yaml has, another value, and the difference
    ("entry_service: Hi", "entry_service: Deep", 'entry_service is "Deep" in bento.yaml, but "Hi"'),
    ("team: a", "team: b", 'labels.team is "b" in bento.yaml, but "a"'),
    ("openai_endpoint: /v1", "other: /v1", 'labels.openai_endpoint is nothing in bento.yaml, but "/v1"'),
    ("service: Deep", "service: Other", 'services.0.dependencies.0.service is "Other" in bento.yaml, but "Deep"'),
    ("url: http://far", "url: http://near", 'services.0.dependencies.1.url is "http://near.example" in bento.yaml'),
    ("timeout: 30", "timeout: 31", "services.0.config.traffic.timeout is 31 in bento.yaml, but 30"),
    ("model_id: org/tiny", "model_id: org/other", "services.1.models.0.model_id is"),
    ("endpoint: https://huggingface.co", "endpoint: https://mirror.example", "services.1.models.0.endpoint is"),
    ("workers: 2", "workers: 3", "services.1.config.workers is 3 in bento.yaml, but 2"),
    ("tag: iris:v1", "tag: rose:v1", 'services.1.models.1.tag is "rose:v1" in bento.yaml, but "iris:v1"'),
]


COMPARE = """\
from bentoml._internal.service.loader import import_service
service = import_service("service:Hi", working_dir={!r})
def answer(document):
    return [f"{{field}} is {{first}} in bento.yaml, but {{second}}" for field, first, second in compare(document, service)]
"""


def test_a_server_compares_its_service_with_bento_yaml(real, tmp_path, monkeypatch):
    home = Store(real.home, durable=False)
    home.models.import_archive(write_archive(tmp_path / "iris.bentomodel", model_files("iris:v1")))
    made = unpacked(tmp_path, COMPARED, real.home / "models")
    text = (made / "bento.yaml").read_text("utf-8")
    texts = [text, *(text.replace(right, wrong) for right, wrong, _ in CHANGES)]
    first, *found = ask(real, program("") + COMPARE.format(str(made / "src")), list(map(yaml.safe_load, texts)))
    assert first == []
    for differences, (_, _, expected) in zip(found, CHANGES, strict=True):
        assert len(differences) == 1 and differences[0].startswith(expected), expected
    [packages] = real.python.parents[1].glob("lib/python*/site-packages")
    install(packages)
    (made / "bento.yaml").write_text(texts[1], "utf-8")
    told = log_of_test(real.python, made, tmp_path, monkeypatch, real)
    for file in packages.glob("rules_bento_comparison.*"):  # other tests use this environment
        file.unlink()
    line = f"{CHANGES[0][2]} in the service that runs."
    assert told == f"{MARK}{line}\nWrite constants in the source, or import the service. {IMPORT_BY_ATTRIBUTE}"
