"""A persistent worker gives what a process of its own would, whatever it was asked before."""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
from helper import FLAGS, HELPER, LABEL, SERVICE, TIME, Actions, Outcome, packages

SECONDS = 20
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
    if words == ["die"]:
        os.kill(os.getpid(), 9)
    print("{" * 200_000)
    os.write(1, b"\\xff")
    subprocess.run([sys.executable, "-c", "import os; os.write(1, b'of a child')"], check=True)
    sys.stderr.write("to a person")
    return 3
"""
# A verb that says that it leaves nothing behind, and tells which process ran it before it does what it is asked to.
REUSABLE = """\
import locale, os, signal, sys, threading, time, types, warnings
from rules_bento import worker
worker.find = lambda name: types.SimpleNamespace(reusable=name == "words")
def run(words):
    print(os.getpid())
    return eval(words[1]) or 0
"""
CHANGES = [
    "1", "1 / 0", "os.chdir('/')", "os.umask(0o071) * 0", "os.environ.update(MORE='1')", "sys.path.append('/more')",
    "sys.argv.append('more')", "warnings.simplefilter('error')", "os.open('/', os.O_RDONLY) * 0",
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "sys.setrecursionlimit(2000)",
    "signal.signal(signal.SIGUSR1, signal.SIG_IGN) * 0", "locale.setlocale(locale.LC_ALL, 'C') and 0",
    "__import__('fractions') and 0",
]  # fmt: skip
# Runs subcommands one after the other, twice, and then others, and tells which variables of modules these changed.
WATCHED = """\
import functools, json, sys, types
from rules_bento.subcommands import run
PLAIN = (str, bytes, int, float, type(None))
ITEMS = (list, tuple, set, frozenset)
def described(value, depth=0):
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, (dict, *ITEMS)) and depth > 6:
        return "deep"
    if isinstance(value, dict):
        return sorted((repr(key), described(item, depth + 1)) for key, item in value.items())
    if isinstance(value, ITEMS):
        return sorted((described(item, depth + 1) for item in value), key=repr)
    if isinstance(value, functools._lru_cache_wrapper):
        return "a cache"
    if isinstance(value, (type, types.FunctionType)) or type(value).__module__.startswith("rules_bento"):
        # The first record of a class has its `__init__` compiled.
        own = {name: item for name, item in vars(value).items() if name not in ("__init__", "__wrapped__", "__dict__")}
        defaults = [value.__defaults__, value.__kwdefaults__] if isinstance(value, types.FunctionType) else []
        return [id(value), described(own, depth + 1), described(defaults, depth + 1)]
    return id(value)
def variables():
    modules = {name: vars(module) for name, module in sys.modules.items() if name.startswith("rules_bento")}
    return {f"{name}.{key}": described(value) for name, own in modules.items() for key, value in own.items()}
def caches():
    modules = [module for name, module in sys.modules.items() if name.startswith("rules_bento")]
    return [f"{module.__name__}.{key}" for module in modules for key, value in vars(module).items()
            if isinstance(value, functools._lru_cache_wrapper) and value.__module__ == module.__name__]
first, second = json.load(sys.stdin)
codes = [run(words) for words in first * 2]
before = variables()
codes += [run(words) for words in second]
after = variables()
changed = sorted(name for name in before | after if name in before and before[name] != after.get(name))
print(json.dumps([codes, changed, sorted(caches())]))
"""
# Caches of what is given by value.
OF_VALUES = {
    "rules_bento.archives.archive._end_block", "rules_bento.archives.tarstream.owner",
    "rules_bento.packages.lock_subset._load_resolution", "rules_bento.packages.lock_subset._matches_platform",
    "rules_bento.packages.lock_subset._with_hashes", "rules_bento.sources.patterns._expression",
    "rules_bento.sources.patterns._tokens", "rules_bento.sources.snapshot._normalized",
}  # fmt: skip
SLOW = """\
import fcntl, os, pathlib, time
def run(words):
    held = open("held.new", "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    os.rename("held.new", "held")
    time.sleep(60)
    return 0
"""


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
        files = [path for path in self.root.rglob("*") if path.is_file()]
        inputs = {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}
        outcome = super().run(verb, arguments, outputs)
        words = (self.root / f"bazel-out/{verb}.params").read_text("utf-8").split("\n")[:-1]
        self.requests.append(Request([verb, *words], outcome, paths, inputs))
        return outcome

    def clear(self) -> None:
        """Take all files away."""
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (self.root / "bazel-out").mkdir()

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
    start = f"import sys; sys.path.insert(0, {str(HELPER.parent)!r}); from rules_bento.worker import serve"
    return ["-c", f"{start}\n{run}\nsys.exit(serve(run, []))"]


@pytest.fixture
def actions(tmp_path: Path) -> Recorded:
    """An execution root."""
    (tmp_path / "root").mkdir()
    return Recorded(tmp_path / "root")


@pytest.fixture
def helper() -> list[str]:
    """The words that start the helper as a worker."""
    given = [word for root in packages("blake3", "packaging", "pathspec", "yaml") for word in ("--packages", str(root))]
    return [str(HELPER), *given, "--persistent_worker"]


@pytest.mark.parametrize("seed", range(3))
def test_it_makes_what_processes_of_their_own_make(actions: Recorded, helper: list[str], seed: int) -> None:
    """In any order, with refusals and mistakes in between."""
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
            response = worker.ask(request.words)
            assert (response["exitCode"], response["output"]) == (request.outcome.code, request.outcome.errors)
            files = {flag: actions.root / path for flag, path in request.paths.items()}
            assert {flag: file.read_bytes() for flag, file in files.items() if file.exists()} == request.outcome.outputs


HEADS = [
    "", "import parts\n", "from parts import LABELS\n", "import sys\nsys.path.append('lib')\n",
    "args = bentoml.use_arguments()\n", "class Base:\n    m = bentoml.models.BentoModel('iris:v1')\n", "x = [\n",
    "(" * 300 + "1" + ")" * 300 + "\n",
]  # fmt: skip
ARGUMENTS = [
    "", "labels=LABELS", "labels={'a': args.name}", "name='größe-s'", "envs=[{'name': 'A', 'value': '1'}]",
    "envs=['A']", "traffic={'timeout': 5}", "traffic={'timeout': '5'}",
    "image=bentoml.images.Image(python_version='3.11').python_packages('idna').run('echo a')",
    "image=bentoml.images.Image(python_version='3.11').requirements_file('requirements.txt')",
    "description='file: README.md'",
]  # fmt: skip
BODIES = [
    "    @bentoml.api\n    def ask(self, text: str) -> str:\n        return text\n",
    "    @bentoml.task\n    def ask(self, text: str) -> str:\n        return text\n",
    "    on = bentoml.depends(Other)\n",
    "    m = bentoml.models.BentoModel('iris:v1')\n",
]
BESIDE = {
    ".bentoignore": ["*.txt\n", "!*.txt\n*\n", "lib/\n", "[\n"],
    "README.md": ["# One\n", "# Größe\n", b"\xff"],
    "requirements.txt": ["idna==3.7\n", "idna\nsix>=1\n", "-r none.txt\n"],
    "notes.txt": ["a", "password = 'hunter2hunter2'\n", "AKIA" + "ABCDEFGHIJKLMNOP\n"],
    "bentofile.yaml": [
        "service: service:Service\n",
        "service: service:Service\nlabels:\n  owner: me\nenvs:\n- name: B\n  value: x\n",
        "service: service:Service\ninclude: ['*.py', 'nothing.json']\nexclude: ['lib/*']\n",
        "service: service:Service\ndescription: of the file\ndocker:\n  system_packages: [git]\n",
        "service: service:Service\nargs:\n  name: given\n",
        "labls: {}\n",
        "a: [\n",
    ],
}


def draw(actions: Recorded, chance: random.Random) -> None:
    """Note down what rules ask for a service that is drawn, whose files have the names that those of others have."""
    actions.clear()
    head, more = chance.choice(HEADS), chance.choice(ARGUMENTS)
    bases = "(Base)" if "class Base" in head else ""
    other = "@bentoml.service\nclass Other:\n    pass\n"
    source = f"import bentoml\n{head}{other}@bentoml.service({more})\nclass Service{bases}:\n{chance.choice(BODIES)}"
    srcs = [actions.write("svc/service.py", source), actions.write("svc/lib/found.py", f"X = {chance.random()}\n")]
    srcs += [
        actions.write(f"svc/{name}", chance.choice(contents))
        for name, contents in BESIDE.items()
        if chance.random() < 0.5 and name != "bentofile.yaml"
    ]
    deps = [actions.write("parts.py", f"LABELS = {{'part': '{chance.randint(0, 9)}'}}\n")] if "parts" in head else []
    options: list[str] = []
    if chance.random() < 0.5:
        path = actions.write("svc/bentofile.yaml", chance.choice(BESIDE["bentofile.yaml"]))
        options = ["--bentofile", path, path]
    secrets = ["--scan-secrets"] if chance.random() < 0.5 else []
    read = actions.snapshot(srcs=srcs, deps=deps, more=[*options, *secrets])
    if read.code:
        return
    words = ["--target", LABEL, "--options", '{"service": "service:Service"}', "--creation-time", TIME, *options]
    words += ["--bentoml-version", "1.4.39", "--python-version", "3.11"]
    words += ["--sources", actions.write("bazel-out/sources.json", read.outputs["--manifest"])]
    words += ["--service-info", actions.write("bazel-out/service.json", read.outputs["--service-info"])]
    words += [word for path in srcs for word in ("--file", path, path)]
    names = ("part", "bento-yaml", "manifest", "digest", "tag")
    actions.run("package", [*words, *secrets], {f"--{name}": name for name in names})


@pytest.mark.parametrize("seed", range(int(os.environ.get("RULES_BENTO_EXAMPLES", "1"))))
def test_a_service_is_made_as_if_it_were_the_only_one(actions: Recorded, helper: list[str], seed: int) -> None:
    """Whatever was made or refused before it in the process that goes on, of other files of the same names."""
    chance = random.Random(seed)
    while len(actions.requests) < 24:
        draw(actions, chance)
    codes = [request.outcome.code for request in actions.requests]
    assert {0, 1} <= set(codes), codes
    order = actions.requests * 3
    chance.shuffle(order)
    for verb in ("snapshot", "package"):
        with started([*helper[:-1], verb, helper[-1]], actions.root) as worker:
            for request in (each for each in order if each.words[0] == verb):
                actions.clear()
                for path, content in request.inputs.items():
                    actions.write(path, content)
                response = worker.ask(request.words[1:])
                assert (response["exitCode"], response["output"]) == (request.outcome.code, request.outcome.errors)
                files = {flag: actions.root / path for flag, path in request.paths.items()}
                assert {
                    flag: file.read_bytes() for flag, file in files.items() if file.exists()
                } == request.outcome.outputs


def test_the_verb_may_come_with_the_start(actions: Recorded, helper: list[str]) -> None:
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


def test_a_verb_that_leaves_nothing_goes_on_in_its_process(tmp_path: Path) -> None:
    """Which spares each request a fork."""
    with started(serving(REUSABLE), tmp_path) as worker:
        assert len({worker.ask(["words", "0"])["output"] for _ in range(5)}) == 1
        assert len({worker.ask(["words", "0", "--then", "words"])["output"] for _ in range(3)}) == 1
        for others in (["others", "0"], ["words", "0", "--then", "others"]):
            assert len({worker.ask(others)["output"] for _ in range(3)}) == 3


def test_a_process_that_somebody_ended_between_requests_costs_nothing(tmp_path: Path) -> None:
    with started(serving(REUSABLE), tmp_path) as worker:
        first = worker.ask(["words", "0"])["output"]
        os.kill(int(first), signal.SIGKILL)
        while Path(f"/proc/{int(first)}/stat").read_text("utf-8").split()[2] != "Z":
            time.sleep(0.01)
        second = worker.ask(["words", "0"])
        assert second["exitCode"] == 0
        assert second["output"] == worker.ask(["words", "0"])["output"] != first


def test_a_process_that_ends_without_an_answer_has_failed(tmp_path: Path) -> None:
    """Whatever status it ends with."""
    with started(serving(REUSABLE), tmp_path) as worker:
        for status, code in ((0, 1), (3, 3)):
            answer = worker.ask(["words", f"os._exit({status})"])
            assert answer["exitCode"] == code
            assert "ended without an answer" in answer["output"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_request_that_leaves_something_ends_its_process(tmp_path: Path, change: str) -> None:
    """Whatever the verb says of itself."""
    with started(serving(REUSABLE), tmp_path) as worker:
        first, changing, after, last = (worker.ask(["words", what])["output"] for what in ("0", change, "0", "0"))
    assert first in changing
    assert after == last != first


def lock(actions: Recorded, name: str) -> Outcome:
    """The lock of a package that the index of a hub has resolved alone."""
    files = {f"{name}-1.0-py3-none-any.whl": "a" * 64}
    package = {"name": name, "version": "1.0", "dependencies": [], "files": files}
    answer = {"requirement": name, "pins": {name: f"{name}==1.0"}}
    words = ["--target", LABEL, "--python", "absent", "--uv", "absent", "--python-version", "3.11"]
    words += ["--platform", "linux_x86_64", "--glibc", "2.36", "--requirement", name]
    words += ["--locked", actions.write(f"bazel-out/{name}.json", json.dumps(package))]
    words += ["--answer", actions.write(f"bazel-out/{name}.answer.json", json.dumps(answer))]
    return actions.run("lock", words, {"--output": "locked"})


def test_programs_that_say_so_change_no_variable(actions: Recorded) -> None:
    """Of ours, whatever they are asked: what they remember, they were given by value."""
    requests: list[list[list[str]]] = []
    for text, label in (("text: str", "a=1"), ("other: list[int]", "b=größe")):
        actions.requests.clear()
        source = actions.write("svc/service.py", SERVICE.replace("text: str", text))
        note = actions.write("svc/notes.txt", text)
        key, _, value = label.partition("=")
        actions.package(labels=[[key, value]], srcs=[source, note])
        lock(actions, key)
        assert {request.outcome.code for request in actions.requests} == {0}
        requests.append([request.words for request in actions.requests])
    given = [str(HELPER.parent), *map(str, packages("blake3", "packaging", "pathspec", "yaml"))]
    done = subprocess.run(
        [sys.executable, *FLAGS, "-c", f"import sys; sys.path += {given!r}\n{WATCHED}"],
        cwd=actions.root,
        input=json.dumps(requests),
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    codes, changed, caches = json.loads(done.stdout)
    assert set(codes) == {0}, done.stderr
    assert changed == []
    assert set(caches) <= OF_VALUES


def test_responses_hold_what_is_printed(tmp_path: Path) -> None:
    """Also what is none of Python's, much of it, a mistake of ours, and the end of the process."""
    with started(serving(LOUD), tmp_path) as worker:
        loud = worker.ask([], 7)
        assert (loud["exitCode"], loud["requestId"]) == (3, 7)
        assert loud["output"].count("{") == 200_000
        assert all(text in loud["output"] for text in ("\ufffd", "of a child", "to a person"))
        assert "ZeroDivisionError: of a verb" in worker.ask(["raise"])["output"]
        assert worker.ask(["die"]) == {"exitCode": 9, "output": "the process was ended by signal 9\n", "requestId": 0}
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
        wait_until(held.exists)
        assert not is_free(held)
        worker.process.send_signal(number)
        wait_until(lambda: is_free(held))


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when it holds, or fail."""
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until, "it goes on"
        time.sleep(0.01)


def is_free(path: Path) -> bool:
    """Whether no process has the lock of a file."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
