"""A server that follows edits: the real BentoML, whose workers begin with the packages in memory."""

import http.client
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bento_cli.programs import reload_forkserver
from bento_cli.programs.serve import BuildWatcher, SourceWatcher
from rules_bento.actions import subcommands
from rules_bento.base.errors import BentoError

from tests.conftest import bytecode_variables, free_port, post, wait_until_ready
from tests.helpers.store_support import bento_yaml

# Packages say which processes import them: one that is in memory is imported by the parent, and no more.
PACKAGE = "import os, sys\nprint('IMPORT', __name__, os.environ.get('LATE', ''), flush=True)\n"
SERVICE = """\
import os
import early
os.environ["LATE"] = os.environ.get("LATE", "") + "x"
import late
import bentoml

@bentoml.service
class Hi:
    @bentoml.api
    def greet(self) -> list[str]:
        return ["one"]
"""
BROKEN = "this is no Python\n"
PATIENCE = 600  # seconds: the machine can be slow, and the test has a timeout of its own


class Served:
    """A server of a Bento whose source is a link into a workspace."""

    def __init__(self, directory: Path, python: Path, **packages: str) -> None:
        [installed] = python.parents[1].glob("lib/python*/site-packages")
        for name, text in packages.items():
            (installed / f"{name}.py").write_text(text)
        self.source = directory / "workspace/svc/service.py"
        self.source.parent.mkdir(parents=True)
        self.source.write_text(SERVICE)
        built = directory / "bento"
        (built / "src").mkdir(parents=True)
        (built / "src/service.py").write_text(SERVICE)
        (built / "src/generated.py").write_text("")
        (built / "bento.yaml").write_bytes(bento_yaml())
        self.follow = SourceWatcher(built, directory / "edits", [directory / "workspace/svc", directory / "workspace"])
        self.log = directory / "log"
        self._address = f"http://127.0.0.1:{(port := free_port())}"
        variables = os.environ | {
            "BENTOML_HOME": f"{directory}/home",
            "TMPDIR": str(directory),
            "BENTOML_DO_NOT_TRACK": "true",
            **bytecode_variables(python.parents[2]),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-m", "bentoml", "serve", str(built), "--host", "127.0.0.1", "--port", str(port)],
                env=variables | reload_forkserver.install(python, directory / "edits"),
                cwd=directory,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        wait_until_ready(self._address, self.process, self.log)

    def edit(self, text: str) -> None:
        """Write the source in two steps, as editors do."""
        self.source.write_text("")
        self.follow.poll()
        self.source.write_text(text)

    def wait_for(self, answer: str) -> float:
        """Wait until the service answers so; returns the seconds."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE:
            self.follow.poll()
            try:
                # A server without a worker answers only after the next poll.
                if post(f"{self._address}/greet", {}, timeout=5) == [answer]:
                    return time.monotonic() - began
            except (http.client.HTTPException, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"no {answer!r}:\n{self.log.read_text()}")

    def wait_for_log(self, text: str, count: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.log.read_text().count(text) < count:
            assert time.monotonic() < deadline, self.log.read_text()
            self.follow.poll()
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture
def served(bentoml, tmp_path):
    """Servers that the test starts, stopped behind it."""
    started = []

    def serve(**packages: str) -> Served:
        started.append(Served(tmp_path / "served", bentoml.python, **packages))
        started[-1].start()
        return started[-1]

    yield serve
    for server in started:
        server.stop()


def test_an_edit_answers_without_importing_packages_again(served):
    server = served(early=PACKAGE, late=PACKAGE)
    server.wait_for("one")
    # BentoML's own process, the worker, the worker's parent.
    server.wait_for_log("IMPORT early", 3)
    server.edit(SERVICE.replace("one", "two"))
    server.wait_for("two")
    server.edit(BROKEN)
    server.wait_for_log("Waiting for the next edit")
    server.edit(SERVICE.replace("one", "three"))
    server.wait_for("three")
    said = server.log.read_text()
    assert said.count("IMPORT early") == 3, said
    # What a service sets before it imports is seen by what it imports, in each worker: BentoML's own process sets it first.
    assert said.count("IMPORT late x\n") == 1, said
    assert said.count("IMPORT late xx\n") == said.count("IMPORT late") - 1 >= 3, said
    assert server.follow.summary() == "1 file of the workspace; not watched, as built: generated.py"
    # A server that is told to stop at an edit ends.
    server.edit(SERVICE)
    server.follow.poll()
    server.follow.poll()
    time.sleep(0.1)  # the worker of before ends
    server.process.terminate()
    server.process.wait(PATIENCE)


def test_packages_that_start_threads_are_imported_by_each_worker(served):
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    server = served(early=threads + PACKAGE, late="")
    server.wait_for_log("early starts threads, so each edit reloads all packages")
    server.wait_for("one")
    before = server.log.read_text().count("IMPORT early")
    server.edit(SERVICE.replace("one", "two"))
    server.wait_for("two")
    assert server.log.read_text().count("IMPORT early") == before + 1


def test_an_edit_while_the_parent_restarts_is_not_lost(tmp_path, monkeypatch):
    edits = tmp_path / "edits"
    edits.write_text("2")
    for name, value in ((reload_forkserver._EDIT, "5"), (reload_forkserver._EDITS, str(edits))):
        monkeypatch.setenv(name, value)
    parent = reload_forkserver._Parent(edits)
    assert parent._edit == 5 != edits.stat().st_mtime_ns
    assert reload_forkserver._EDIT not in os.environ


class Builds:
    """Simulates builds of a Bento, which ibazel reports through a pipe."""

    def __init__(self, directory: Path) -> None:
        self._reader, self.writer = os.pipe()
        self.built = {"bento.yaml": "version: a\nservice: x\n", "src/service.py": "one", "src/gone.py": ""}
        self.bento = directory / "bento"
        self.edits = directory / "edits"
        self.unpack(self.bento)
        self.follow = BuildWatcher(self.bento, self.edits, self.unpack, self._reader)

    def unpack(self, directory: Path) -> None:
        for path, text in self.built.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)

    def report(self, *lines: str) -> str:
        """Write lines as ibazel does, and return the notification for the workers."""
        os.write(self.writer, "".join(lines).encode())
        self.follow.poll()
        return self.edits.read_text()


def test_builds_that_ibazel_reports_restart_the_server(tmp_path):
    builds = Builds(tmp_path)
    began = builds.edits.read_text()
    builds.built = {"bento.yaml": "version: b\nservice: x\n", "src/service.py": "two", "src/new/more.py": "new"}
    builds.built["README.md"] = "Of another docstring."
    assert builds.report("IBAZEL_BUILD_STARTED\n", "IBAZEL_BUILD_COMPLETED FAILURE\n", "IBAZEL_BUILD_COMPL") == began
    assert (builds.bento / "src/service.py").read_text() == "one"
    edited = builds.report("ETED SUCCESS\n")
    assert edited != began
    assert (builds.bento / "src/service.py").read_text() == "two"
    assert (builds.bento / "src/new/more.py").read_text() == "new"
    assert not (builds.bento / "src/gone.py").exists()
    assert builds.report("IBAZEL_BUILD_COMPLETED SUCCESS\n") == edited  # nothing has changed
    builds.built["bento.yaml"] = "version: c\nservice: y\n"
    with pytest.raises(BentoError, match=r"bento\.yaml: the file changed\. Restart"):
        builds.report("IBAZEL_BUILD_COMPLETED SUCCESS\n")
    os.close(builds.writer)
    builds.follow.poll()
    builds.follow.poll()


def test_a_worker_imports_the_program_without_rules_bento(tmp_path):
    directory = tmp_path / "bento_cli/programs"
    directory.mkdir(parents=True)
    shutil.copy(Path(reload_forkserver.__file__), directory)
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import bento_cli.programs.reload_forkserver"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["-c", "pass"], ["-m", "json.tool", "--help"]])
def test_processes_that_are_no_workers_are_left_alone(bentoml, tmp_path, words):
    variables = os.environ | reload_forkserver.install(bentoml.python, tmp_path / "edits")
    done = subprocess.run([bentoml.python, *words], env=variables, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_file_that_is_elsewhere_or_another_is_as_it_was_built(tmp_path, capsys):
    (tmp_path / "bento/src").mkdir(parents=True)
    for name, built, source in (("same.py", "1", "1"), ("other.py", "1", "2"), ("none.py", "1", None)):
        (tmp_path / "bento/src" / name).write_text(built)
        if source:
            (tmp_path / name).write_text(source)
    follow = SourceWatcher(tmp_path / "bento", tmp_path / "edits", [tmp_path])
    assert follow.summary() == "1 file of the workspace; not watched, as built: none.py, other.py"
    edits = (tmp_path / "edits").read_text()
    (tmp_path / "same.py").unlink()
    follow.poll()
    follow.poll()
    assert (tmp_path / "edits").read_text() != edits
    assert capsys.readouterr().err == f"{tmp_path}/same.py changed\n"


def test_a_source_tree_is_requested_before_anything_is_installed(monkeypatch, capsys):
    for name in ("BUILD_WORKSPACE_DIRECTORY", "IBAZEL_NOTIFY_CHANGES"):
        monkeypatch.delenv(name, raising=False)
    assert (
        subcommands.run(
            [
                *("bento_cli.programs.serve", "--target", "//svc:hi", "--archive", "none.bento", "--python", "x"),
                *("--uv", "x", "--", "--reload"),
            ]
        )
        == 1
    )
    said = "//svc:hi: --reload requires a workspace. Start the server with `bazel run //svc:hi`.\n"
    assert capsys.readouterr().err == said
