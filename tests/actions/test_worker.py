"""A persistent worker gives what a process of its own would, whatever it was asked before."""

import fcntl
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
from rules_bento.actions.worker import REUSABLE as SHARING

from tests.actions.helper import FLAGS, HELPER, LABEL, SERVICE, Actions, Outcome, packages
from tests.conftest import until

SECONDS = 120  # less than a request of `SLOW` takes
# Tells of what a process carries along, and then changes all of it.
SPOIL = """\
import locale, os, random, signal, sys, threading, time, warnings
def run(words):
    umask = os.umask(0o022)
    os.umask(umask)
    print(os.getcwd(), umask, sorted(os.environ), sys.path, sorted(os.listdir("/dev/fd")), sys.flags.utf8_mode)
    print(len(warnings.filters), threading.active_count(), signal.getsignal(signal.SIGTERM), locale.setlocale(0))
    print(getattr(os, "spoiled", None), sys.argv, sys.stdin.read(), words)
    os.spoiled = True
    os.chdir("/")
    os.umask(0o077)
    os.environ["SPOILED"] = "1"
    sys.path.insert(0, "/spoiled")
    sys.argv.append("spoiled")
    warnings.simplefilter("error")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.open("/", os.O_RDONLY)
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return 0
"""
LOUD = """\
import os, subprocess, sys
def run(words):
    if words == ["raise"]:
        raise ZeroDivisionError("of a verb")
    print("{" * 200_000)
    os.write(1, b"\\xff")
    subprocess.run([sys.executable, "-c", "import os; os.write(1, b'of a child')"], check=True)
    sys.stderr.write("to a person")
    return 3
"""
SLOW = """\
import fcntl, os, pathlib, time
def run(words):
    held = open("held.new", "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    os.rename("held.new", "held")
    time.sleep(600)
    return 0
"""


# A subcommand that leaves no state, and prints which process runs it.
REUSABLE = """\
import os
from rules_bento.actions import worker
worker.REUSABLE, worker._MAX_REQUESTS = {"words"}, 4
def run(words):
    print(os.getpid())
    return int(words[1])
"""
# Runs requests twice, and prints which state of the process and which variables of modules the second time changed.
WATCHED = """\
import functools, json, locale, os, signal, sys, threading, types, warnings
from rules_bento.actions.subcommands import run
def described(value, depth=0):
    if isinstance(value, (str, bytes, int, float, type(None))):
        return repr(value)
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        if depth > 6:
            return "deep"
        items = value.items() if isinstance(value, dict) else value
        return sorted((described(item, depth + 1) for item in items), key=repr)
    if isinstance(value, (type, types.FunctionType)) and not isinstance(value, functools._lru_cache_wrapper):
        # The first record of a class compiles its `__init__`.
        own = {name: item for name, item in vars(value).items() if name not in ("__init__", "__wrapped__", "__dict__")}
        return [id(value), described([own, getattr(value, "__defaults__", 0), getattr(value, "__kwdefaults__", 0)], depth + 1)]
    return id(value)
def state():
    umask = os.umask(0o077)
    os.umask(umask)
    modules = {name: vars(module) for name, module in sys.modules.items() if name.startswith("rules_bento")}
    return {f"{name}.{key}": described(value) for name, own in modules.items() for key, value in own.items()} | {
        "process": described([umask, os.getcwd(), dict(os.environ), sys.path, sys.argv, sorted(os.listdir("/dev/fd")),
            list(map(str, warnings.filters)), threading.active_count(), locale.setlocale(locale.LC_ALL),
            list(map(str, map(signal.getsignal, signal.valid_signals()))), sys.getrecursionlimit()])}
first, second = json.load(sys.stdin)
codes = [run(words) for words in first]
before = state()
codes += [run(words) for words in second]
changed = [name for name, value in state().items() if name in before and before[name] != value]
caches = [f"{name}.{key}" for name, module in sys.modules.items() if name.startswith("rules_bento")
          for key, value in vars(module).items()
          if isinstance(value, functools._lru_cache_wrapper) and value.__module__ == name]
print(json.dumps([codes, changed, sorted(caches)]))
"""

# Caches whose keys are values.
OF_VALUES = {
    "rules_bento.base.archives.archive._end_block",
    "rules_bento.base.archives.compressors.zlib_ng",
    "rules_bento.base.archives.compressors.zstd",
    "rules_bento.base.archives.tarstream.owner",
    "rules_bento.base.formats.shapes._pattern",
    "rules_bento.bentos.packages.lock_subset._load_resolution",
    "rules_bento.bentos.packages.platforms.matches_platform",
    "rules_bento.bentos.packages.lock_subset._hashes",
    "rules_bento.bentos.sources.patterns._expression",
}


class Request(NamedTuple):
    """A request that was seen, and what a process of its own made of it."""

    words: list[str]
    outcome: Outcome
    paths: dict[str, str]
    inputs: dict[str, bytes]


class Recorded(Actions):
    """Actions that are noted down."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.requests: list[Request] = []

    def run(self, verb: str, arguments: list[str], outputs: dict[str, str]) -> Outcome:
        """Run where no output is, and note down."""
        paths = {flag: f"bazel-out/{verb}.{name}" for flag, name in outputs.items()}
        self.remove(paths)
        inputs = {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*.*")}
        outcome = super().run(verb, arguments, outputs)
        words = (self.root / f"bazel-out/{verb}.params").read_text("utf-8").split("\n")[:-1]
        self.requests.append(Request([verb, *words], outcome, paths, inputs))
        return outcome

    def remove(self, paths: dict[str, str]) -> None:
        """Take outputs away, as Bazel does before an action."""
        for path in paths.values():
            (self.root / path).unlink(missing_ok=True)


class Worker:
    """A worker that has been started, as Bazel talks with it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, words: list[str], number: int = 0) -> dict[str, Any]:
        """A request, and its response."""
        request = {"arguments": words, "inputs": [{"path": "a", "digest": "YQ=="}]}
        self.send(json.dumps(request | ({"requestId": number} if number else {})))
        stdout = self.process.stdout
        assert stdout
        response = json.loads(stdout.readline())
        assert isinstance(response, dict)
        return response

    def send(self, line: str) -> None:
        """A line, whatever it is."""
        stdin: IO[str] | None = self.process.stdin
        assert stdin
        stdin.write(line + "\n")
        stdin.flush()


@contextmanager
def started(command: list[str], directory: Path, *, code: int = 0, errors: str = "") -> Iterator[Worker]:
    """A worker in a folder; it ends when nothing more comes, with `code`, and tells Bazel's log `errors`."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, *FLAGS, *command], cwd=directory, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env={}
    ) as process:
        try:
            yield Worker(process)
            output, told = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        assert output == ""
        assert process.returncode == code, told
        assert told.startswith(errors)
        assert bool(told) == bool(errors)


def serving(run: str) -> list[str]:
    """The words that start a worker with another function in the place of the subcommands."""
    start = f"import sys; sys.path.insert(0, {str(HELPER.parent)!r}); from rules_bento.actions.worker import serve"
    return ["-c", f"{start}\n{run}\nsys.exit(serve(run, []))"]


@pytest.fixture
def actions(tmp_path: Path) -> Recorded:
    """An execution root."""
    (tmp_path / "root").mkdir()
    return Recorded(tmp_path / "root")


@pytest.fixture
def helper() -> list[str]:
    """The words that start the helper as a worker."""
    given = [
        word
        for root in packages("blake3", "packaging", "pathspec", "tomli", "yaml", "zlib_ng")
        for word in ("--packages", str(root))
    ]
    return [str(HELPER), *given, "--persistent_worker"]


@pytest.mark.parametrize("seed", range(3))
def test_a_worker_writes_the_same_bytes_as_separate_processes(actions: Recorded, helper: list[str], seed: int) -> None:
    """In any order, with refusals and mistakes in between."""
    for text in ("text: str", "other: list[int]", "x ="):  # of one name, with different content
        actions.write("svc/service.py", SERVICE.replace("text: str", text))
        actions.snapshot(srcs=["svc/service.py"])
    actions.package(labels=[["größe", "ж\nδ"]])
    actions.package(options={"service": "another:Service"})
    actions.snapshot(srcs=[actions.write("svc/other.py", "x =")], service="other:Service")
    actions.snapshot(srcs=["svc/missing.py"])
    actions.model(srcs=[actions.write("svc/größe.bin", b"1")])
    actions.model("--unknown")
    lock(actions, "a")
    lock(actions, "b")
    actions.run("no_verb", [], {})
    assert {request.outcome.code for request in actions.requests} == {0, 1, 2}
    order = actions.requests * 3
    random.Random(seed).shuffle(order)
    with started(helper, actions.root) as worker:
        for request in order:
            actions.remove(request.paths)
            for path, content in request.inputs.items():
                actions.write(path, content)
            response = worker.ask(request.words)
            assert (response["exitCode"], response["output"]) == (request.outcome.code, request.outcome.errors)
            files = {flag: actions.root / path for flag, path in request.paths.items()}
            assert {flag: file.read_bytes() for flag, file in files.items() if file.exists()} == request.outcome.outputs


def test_the_subcommand_may_come_with_the_start(actions: Recorded, helper: list[str]) -> None:
    """As it does in actions."""
    actions.snapshot()
    with started([*helper[:-1], "snapshot", helper[-1]], actions.root) as worker:
        assert worker.ask(actions.requests[0].words[1:])["exitCode"] == 0


def test_nothing_of_a_request_is_left(tmp_path: Path) -> None:
    """Not a folder, a variable, a filter, a thread or an open file."""
    with started(serving(SPOIL), tmp_path) as worker:
        told = [worker.ask(["words"])["output"] for _ in range(3)]
    assert str(tmp_path) in told[0]
    assert "SPOILED" not in told[0]
    assert told[1:] == told[:2]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("os._exit(0)", "ended with status 0"),
        ("os._exit(3)", "ended with status 3"),
        ("os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("os.closerange(3, 99)", "ended with status 1"),
    ],
)
def test_a_process_that_ends_without_a_response_ends_the_worker(tmp_path: Path, end: str, told: str) -> None:
    """With a word for Bazel's log; Bazel fails the action, and starts another worker."""
    run = f"import os\ndef run(words):\n    {end}\n    return 0"
    with started(serving(run), tmp_path, code=1, errors=f"a process of a worker of rules_bento {told}") as worker:
        worker.send('{"arguments": []}')
        worker.process.wait(SECONDS)


def test_only_subcommands_without_state_share_a_process(tmp_path: Path) -> None:
    """Until one fails, or the process ran its number of requests."""
    with started(serving(REUSABLE), tmp_path) as worker:

        def process(*words: str) -> str:
            return str(worker.ask(list(words))["output"])

        assert len({process("words", "0") for _ in range(4)}) == 1
        first = process("words", "0")
        assert process("words", "0", "--then", "words") == first == process("words", "1")
        for words in (["other", "0"], ["words", "0", "--then", "other"]):
            assert len({process(*words) for _ in range(3)}) == 3


def test_shared_processes_keep_no_state(actions: Recorded) -> None:
    """Only caches, whose keys are values, not paths."""
    requests: list[list[list[str]]] = []
    for text, name in (("text: str", "a"), ("other: list[int]", "b")):
        actions.requests.clear()
        source = actions.write(f"{name}/service.py", SERVICE.replace("text: str", text))
        actions.package(labels=[[name, "größe"]], srcs=[(source, "svc/service.py")])
        lock(actions, name)
        assert {request.outcome.code for request in actions.requests} == {0}
        requests.append([request.words for request in actions.requests])
    assert {words[0] for words in requests[0]} == SHARING
    roots = [str(HELPER.parent), *map(str, packages("blake3", "packaging", "pathspec", "tomli", "yaml", "zlib_ng"))]
    command = [sys.executable, *FLAGS, "-c", f"import sys; sys.path += {roots!r}\n{WATCHED}"]
    asked = json.dumps(requests)
    done = subprocess.run(command, cwd=actions.root, input=asked, env={}, capture_output=True, text=True, check=True)
    codes, changed, caches = json.loads(done.stdout)
    assert set(codes) == {0}, done.stderr
    assert changed == []
    assert set(caches) <= OF_VALUES


def lock(actions: Recorded, name: str) -> Outcome:
    """The lock of a package that the index of a hub has resolved alone."""
    files = {f"{name}-1.0-py3-none-any.whl": "a" * 64}
    package = {"name": name, "version": "1.0", "dependencies": [], "files": files}
    answer = {"requirement": name, "pins": {name: f"{name}==1.0"}}
    words = ["--target", LABEL, "--python", "absent", "--uv", "absent", "--python-version", "3.11"]
    words += ["--platform", "linux_amd64", "--glibc", "2.36", "--requirement", name]
    words += ["--locked", actions.write(f"bazel-out/{name}.json", json.dumps(package))]
    words += ["--answer", actions.write(f"bazel-out/{name}.answer.json", json.dumps(answer))]
    return actions.run("lock", words, {"--output": "locked"})


def test_responses_hold_what_is_printed(tmp_path: Path) -> None:
    """Also what is none of Python's, much of it, and a mistake of ours."""
    with started(serving(LOUD), tmp_path) as worker:
        loud = worker.ask([], 7)
        assert (loud["exitCode"], loud["requestId"]) == (3, 7)
        assert loud["output"].count("{") == 200_000
        assert all(text in loud["output"] for text in ("\ufffd", "of a child", "to a person"))
        assert "ZeroDivisionError: of a verb" in worker.ask(["raise"])["output"]
        assert worker.ask([])["exitCode"] == 3


@pytest.mark.parametrize(
    "line", ["{", "[]", "7", "{}", '{"arguments": 1}', '{"arguments": [], "requestId": "x"}', "é\0"]
)
def test_a_line_that_is_no_request_stops_it(tmp_path: Path, line: str) -> None:
    """With a word for Bazel's log and none for Bazel, which starts another."""
    told = "a worker of rules_bento received an invalid request"
    with started(serving(LOUD), tmp_path, code=1, errors=told) as worker:
        worker.send(line)
        worker.process.wait(SECONDS)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_request_ends_with_its_worker(tmp_path: Path, number: signal.Signals) -> None:
    """Lest it writes what Bazel has had made again."""
    held = tmp_path / "held"
    with started(serving(SLOW), tmp_path, code=-number) as worker:
        worker.send('{"arguments": []}')
        until(held.exists)
        assert not is_free(held)
        worker.process.send_signal(number)
        until(lambda: is_free(held))


def is_free(path: Path) -> bool:
    """Whether no process has the lock of a file."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
