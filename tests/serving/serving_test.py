"""Servers that tests start: with options and variables, by BentoML's own classes, and such as do not start."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import bentoml
import pytest
from rules_bento.run.testing.bentoml_server import NotReadyError
from rules_bento.run.testing.bentoml_server import serve as run_server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_of(text: str) -> list[str]:
    """The command lines of processes whose environment or command has the text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in seen and process.name != str(os.getpid()):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.fixture(autouse=True)
def no_task_results():
    """A server of BentoML removes the database of another one in BENTOML_HOME, but not its log, and then fails."""
    for path in Path(os.environ["BENTOML_HOME"]).glob("task_result.db*"):
        path.unlink()


def test_a_server_takes_options_and_variables_and_leaves_nothing(serve, monkeypatch):
    own = Path(tempfile.mkdtemp(prefix="s-"))  # of this test alone; short, for sockets lie there
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    with serve("--timeout", "30", variables={"MARK": "marked-9c41"}) as server:
        with bentoml.SyncHTTPClient(server.url) as client:
            assert client.size() == 2048
        assert len(processes_of("marked-9c41")) >= 3  # BentoML's own, and one for each service
    assert processes_of("marked-9c41") == []
    assert list(own.glob("b-*")) == []  # BentoML's client, which is of this process, keeps a folder there until its end


def test_two_servers_run_side_by_side(serve, url):
    with serve() as other:
        assert other.url != url
        with bentoml.SyncHTTPClient(other.url) as client:
            assert client.size() == 2048


def test_bentoml_serves_it_from_python(bento):
    port = free_port()
    with (
        bentoml.serve(str(bento.path), host="127.0.0.1", port=port),
        bentoml.SyncHTTPClient(f"http://127.0.0.1:{port}", server_ready_timeout=600) as client,
    ):
        assert client.size() == 2048


def test_http_server_of_bentoml_serves_it(bento):
    port = free_port()
    server = bentoml.server.HTTPServer(str(bento.path), host="127.0.0.1", port=port, timeout=600, api_workers=1)
    server.start(text=True)
    try:
        with bentoml.SyncHTTPClient(f"http://127.0.0.1:{port}") as client:
            assert client.size() == 2048
    finally:
        server.stop()


def test_programs_of_the_wheels_are_found():
    assert "bentoml" in subprocess.run(["bentoml", "--version"], check=True, capture_output=True, text=True).stdout


def test_a_server_that_does_not_start_shows_what_it_wrote(tmp_path):
    bento = tmp_path / "bento"
    (bento / "src").mkdir(parents=True)
    (bento / "bento.yaml").write_text("service: service:Svc\nname: broken\nversion: v1\n", "utf-8")
    (bento / "src" / "service.py").write_text("raise RuntimeError('the weights are not here')\n", "utf-8")
    with (
        pytest.raises(NotReadyError, match=r"(?s)ended with status .*the weights are not here"),
        run_server(Path(sys.executable), bento, tmp_path / "server", seconds=60),
    ):
        pass


def test_a_server_that_is_slow_is_stopped(bento, tmp_path):
    variables = {"MARK": "marked-77b2"}
    with (
        pytest.raises(NotReadyError, match=r"didn't respond within 0 s"),
        run_server(Path(sys.executable), bento.path, tmp_path / "server", seconds=0.2, variables=variables),
    ):
        pass
    assert processes_of("marked-77b2") == []
