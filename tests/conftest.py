"""Fixtures and helpers for several kinds of tests."""

import gc
import http.client
import json
import locale
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from rules_bento.bentos.packages.virtualenv import make_environment

HELPER = Path(__file__).parents[1] / "py"

# Bazel's launcher (run_pytest.py) names the locked wheels and uv. In other runs, the environment of pytest has both, and the
# other programs, whether or not it was activated.
if "RULES_BENTO_ROOTS" not in os.environ:
    os.environ["RULES_BENTO_ROOTS"] = sysconfig.get_path("purelib")
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
os.environ.setdefault("RULES_BENTO_UV", shutil.which("uv") or "uv")
# Except for tests of locks, builds of the `bento` command don't use the network.
os.environ.setdefault("BENTO_NO_LOCK", "1")
# Without an environment that the caller names, they don't import a service either.
for variable in ("CONDA_PREFIX", "VIRTUAL_ENV"):
    os.environ.pop(variable, None)
# The collection of tests creates many objects, and no garbage.
gc.disable()
# Programs that tests interrupt inherit this. A shell ignores the signal for commands in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_pycollect_makemodule(module_path: Path):
    """Before a module imports hypothesis, let its tests have no deadline: on a busy machine, any test can be slow."""
    if b"hypothesis" in module_path.read_bytes():
        load_profile()


@cache
def load_profile():
    """Most tests don't wait for the import of hypothesis: it takes half a second."""
    from hypothesis import settings

    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def built(path: str) -> Path:
    """Return the absolute path of a file that Bazel builds. Without Bazel, skip the module that asks for the file."""
    file = Path(path).absolute()
    if not file.exists():
        pytest.skip(f"{path}: run this module with `tools/bazel test`, which builds the file", allow_module_level=True)
    return file


@pytest.fixture(autouse=True)
def unchanged_process(request: pytest.FixtureRequest):
    """Run each test in the root of the repository. Fail if the test changes the process for the tests after it.

    Programs that tests run in this process may set handlers of signals.
    """
    os.chdir(request.config.rootpath)
    before = process_state()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert process_state() == before


def process_state() -> dict[str, object]:
    umask = os.umask(0o022)
    os.umask(umask)
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    found = {"variables": variables, "umask": umask, "path": [*sys.path]}
    found |= {"locale": locale.setlocale(locale.LC_ALL), "bytecode": (sys.dont_write_bytecode, sys.pycache_prefix)}
    return found | {"directory": tempfile.tempdir, "limits": resource.getrlimit(resource.RLIMIT_FSIZE)}


def locked_wheels() -> list[Path]:
    """Return the directories of the unpacked wheels that a test requires, including BentoML."""
    return [Path(root) for root in os.environ["RULES_BENTO_ROOTS"].split(os.pathsep)]


def bytecode_variables(directory: Path) -> dict[str, str]:
    """Return variables for Python programs. Bazel compiled the wheels; other runs compile them once, in `directory`."""
    return (
        {"PYTHONDONTWRITEBYTECODE": "1"}
        if "RULES_BENTO_BYTECODE" in os.environ
        else {"PYTHONPYCACHEPREFIX": str(directory / "bytecode")}
    )


class Answering:
    """A program in an environment with BentoML, which answers each line of JSON with a line."""

    def __init__(self, directory: Path, *command: object, roots: tuple[Path, ...] = (), helper: Path = HELPER) -> None:
        python = make_environment(directory / "environment", [*roots] or locked_wheels())
        variables = {"BENTOML_DO_NOT_TRACK": "true", "HOME": str(directory), "LC_ALL": "C.UTF-8"}
        variables |= {
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "PYTHONPATH": str(helper),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), *map(str, command)],
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, question: object) -> str:
        """Return the answer. The program must give one."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text("utf-8")
        return answer

    def close(self) -> None:
        self._process.communicate()


class Commands:
    """Runs `bentoml` commands repeatedly in a process that has imported BentoML (`bentoml_commands.py`)."""

    def __init__(self, directory: Path) -> None:
        self.python = make_environment(directory / "environment", locked_wheels())
        self._out, self._err = directory / "out", directory / "err"
        variables = {"BENTOML_DO_NOT_TRACK": "true", "HOME": str(directory), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
        variables |= {"BENTOML_HOME": str(directory / "home"), **bytecode_variables(directory)}
        self._process = subprocess.Popen(
            [str(self.python), str(Path(__file__).with_name("helpers") / "bentoml_commands.py")],
            env=variables,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, arguments: tuple[str, ...], variables: dict[str, str], directory: Path, code: str = ""
    ) -> tuple[int, str, str]:
        """Return the exit status, the standard output, and the standard error of a command, or of the program `code`."""
        order = {"arguments": arguments, "code": code, "environment": variables, "folder": str(directory)}
        self._process.stdin.write(json.dumps({**order, "out": str(self._out), "err": str(self._err)}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline()), self._out.read_text("utf-8"), self._err.read_text("utf-8")

    def close(self) -> None:
        self._process.communicate()


class Bentoml:
    """Runs the real BentoML in an environment with the locked wheels and a separate store."""

    def __init__(self, directory: Path, commands: Commands) -> None:
        self._commands = commands
        self.python = commands.python
        self.home = directory / "home"
        self.directory = directory / "elsewhere"  # BentoML imports modules of the current folder
        self.directory.mkdir()
        # Services of a Bento talk over sockets there, whose paths may have 103 characters.
        self.scratch = tempfile.TemporaryDirectory(prefix="bento-")
        self.variables = {
            "BENTOML_HOME": str(self.home),
            "COLUMNS": "1000",  # else it breaks long paths
            "BENTOML_DO_NOT_TRACK": "true",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            **bytecode_variables(commands.python.parents[2]),
            "TMPDIR": self.scratch.name,
        }

    def run(self, *arguments: str) -> str:
        """Return the standard output of a BentoML command, which must succeed."""
        status, out, err = self._commands.run(arguments, self.variables, self.directory)
        assert status == 0, f"{arguments}\n{out}\n{err}"
        return out

    def ask(self, code: str, *arguments: str) -> str:
        """Return the standard output of a program in BentoML's interpreter. The program must succeed."""
        status, out, err = self._commands.run(arguments, self.variables, self.directory, code)
        assert status == 0, f"{code}\n{out}\n{err}"
        return out

    def json(self, *arguments: str):
        return json.loads(self.run(*arguments, "-o", "json"))

    @contextmanager
    def serve(self, *arguments: str):
        """Yield the address of a server, which runs until the block ends and must exit with status 0."""
        port = free_port()
        command = [str(self.python.parent / "bentoml"), "serve", *arguments, "--host", "127.0.0.1", "--port", str(port)]
        log = self.directory / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(command, cwd=self.directory, env=self.variables, stdout=output, stderr=output)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(address, server, log)
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0, log.read_text()


def wait_until_ready(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        # The latter where something else had the port a moment ago, and still answers there.
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    raise AssertionError(f"no answer:\n{log.read_text()}")


def until(condition, what: str = "it goes on") -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(url: str, body: object, timeout: float = 600):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.load(response)


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    started = Commands(tmp_path_factory.mktemp("commands"))
    yield started
    started.close()


@pytest.fixture
def full_disk():
    """Return a context manager that limits the size of files that this process and its child processes write."""

    @contextmanager
    def limited(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def bentoml(tmp_path: Path, commands: Commands):
    """Yield the real BentoML with an empty store."""
    made = Bentoml(tmp_path, commands)
    yield made
    made.scratch.cleanup()
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


@pytest.fixture
def real(bentoml: Bentoml):
    """Return the real BentoML with an empty store."""
    return bentoml
