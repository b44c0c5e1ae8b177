"""What a hostile service can do while it is imported: in namespaces, and on a system that doesn't allow them."""

from __future__ import annotations

import copy
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from rules_bento.base import namespaces
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.virtualenv import make_environment
from rules_bento.bentos.service import import_twice
from rules_bento.bentos.service.import_twice import Subject, import_service

from tests.conftest import locked_wheels, until
from tests.service.forked import environment_of, fork_imports, links_followed

SERVICE = "\nimport bentoml\n\n@bentoml.service(labels=globals().get('LABELS', {}))\nclass Svc: ...\n"


@pytest.fixture
def place():
    """A directory with files of a user. BentoML reads no files below a directory whose name begins with a dot."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "secret").write_text("TOPSECRET")
        (place / "precious").write_text("x")
        model = place / "bento" / "models" / "clf" / "v1"
        model.mkdir(parents=True)
        (model / "weights").write_text("GOOD")
        yield place


@pytest.fixture
def imported(place, monkeypatch):
    fork_imports(monkeypatch, place / "home")

    def importing(lines: str, **of):
        source = place / "bento" / "src"
        source.mkdir()
        (source / "service.py").write_text(lines + SERVICE, "utf-8")
        (source / "data.txt").write_text("1", "utf-8")
        environment = environment_of(make_environment(place / "environment", locked_wheels()))
        subject = Subject("service:Svc", source.parent, is_unprotected=True, **of)
        return import_service(subject, environment, place / "imports")

    return importing


@pytest.fixture(params=["isolated", "not isolated"])
def kind(request, monkeypatch):
    if request.param == "not isolated":

        def isolate(_view):
            raise namespaces.NamespaceError("user namespaces: not allowed.")

        monkeypatch.setattr(namespaces, "isolate", isolate)
    return request.param


def harm(place: Path) -> list[str]:
    found = [name for name in ("canary", "linked") if os.path.lexists(place / name)]
    found += [] if (place / "precious").exists() else ["removed"]
    weights = place / "bento" / "models" / "clf" / "v1" / "weights"
    found += [] if weights.exists() and weights.read_text() == "GOOD" else ["model"]
    found += (
        [] if [*(place / "bento" / "models").rglob("*")] == [weights.parents[1], weights.parent, weights] else ["store"]
    )
    return found + ([] if (place / "bento" / "src" / "data.txt").read_text() == "1" else ["source"])


def attempt(imported, lines: str, place: Path):
    """Import a hostile service. Returns the error, or the labels."""
    start = "import os, sys, threading, ctypes, glob\nP = " + repr(str(place)) + "\n"
    start += "HOME = os.environ['BENTOML_HOME']\nW = HOME + '/models/clf/v1/weights'\n"
    try:
        return imported(start + lines).info.labels
    except BentoError as error:
        return str(error)


READS = {
    "link": "os.symlink(P + '/secret', 'link')\nLABELS = {'a': open('link').read()}",
    "link of a directory": "os.symlink(P, 'link')\nLABELS = {'a': open('link/secret').read()}",
    "link by another name": "os.symlink('data.txt', 'l')\nos.rename(P + '/secret', 'l')\nLABELS = {'a': open('l').read()}",
    "hard link": "os.link(P + '/secret', 'link')\nLABELS = {'a': open('link').read()}",
    "link in home": "os.symlink(P, HOME + '/l')\nLABELS = {'a': open(HOME + '/l/secret').read()}",
    "process": "LABELS = {'a': open('/proc/%d/environ' % os.getppid()).read()}",
}
CHANGES = {
    "unlink": "os.unlink(P + '/precious')",
    "rename": "os.rename(P + '/precious', 'x')",
    "rename to": "open('z', 'w').close()\nos.rename('z', P + '/canary')",
    "mkdir": "os.mkdir(P + '/canary')",
    "symlink": "os.symlink('x', P + '/canary')",
    "thread": "t = threading.Thread(target=open, args=(P + '/canary', 'w'))\nt.start()\nt.join()",
    "model": "open(W, 'w').write('EVIL')",
    "model by thread": "t = threading.Thread(target=open, args=(W, 'w'))\nt.start()\nt.join()",
    "model removed": "os.remove(W)",
    "model added": "os.makedirs(HOME + '/models/evil/v1')",
    "truncated": "os.truncate(W, 0)",
    "source": "open('data.txt', 'w').write('2')",
}
# What no audit hook reports.
NAMESPACED = {
    "thread that reads": "import multiprocessing.pool\nLABELS = {'a': "
    "multiprocessing.pool.ThreadPool(1).map(os.path.exists, [P + '/secret'])[0]}",
    "libc": "ctypes.CDLL(None).system(('touch %s/canary' % P).encode())",
    "libc reads": "LABELS = {'a': ctypes.CDLL(None).access((P + '/secret').encode(), 0)}",
    "thread that starts a program": "t = threading.Thread(target=os.system, args=('touch %s/canary' % P,))\nt.start()\nt.join()",
    "at exit": "import atexit\natexit.register(os.system, 'touch %s/canary' % P)",
    "mounts": "c = ctypes.CDLL(None)\nLABELS = {'a': [c.mount(b'none', (HOME + '/models').encode(), b'', 0x1020, None), "
    "c.mount(b'none', b'/usr', b'', 0x1020, None), c.umount2((HOME + '/models').encode(), 2), c.chroot(b'/tmp')]}",
    "signals": "for n in range(1, 1 << 15):\n    ctypes.CDLL(None).kill(n, 0) == 0 and globals().setdefault('LABELS', {}).update({str(n): n})",
}


@pytest.mark.parametrize("lines", READS.values(), ids=READS)
def test_a_service_reads_no_file_of_the_user(imported, place, kind, lines):
    assert "TOPSECRET" not in str(found := attempt(imported, lines, place)), found
    assert isinstance(found, str) and not harm(place)


@pytest.mark.parametrize("lines", CHANGES.values(), ids=CHANGES)
def test_a_service_changes_no_file_of_the_user(imported, place, kind, lines):
    found = attempt(imported, lines, place)
    assert not harm(place), found


@pytest.mark.parametrize("name", NAMESPACED)
def test_an_isolated_service_reaches_nothing_by_other_ways(imported, place, name):
    found = attempt(imported, NAMESPACED[name], place)
    assert not harm(place), found
    expected = {"thread that reads": "False", "libc reads": "-1", "mounts": "[-1, -1, -1, -1]"}.get(name)
    assert expected is None or found == {"a": expected}
    assert name != "signals" or set(found) <= {*"1234"}  # its own processes and threads


def test_a_service_sends_no_packets(imported, place):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        send = f"s.sendto(b'x', ('127.0.0.1', {server.getsockname()[1]}))"
        lines = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        lines += f"t = threading.Thread(target=ctypes.CDLL(None).system, args=(b'true',))\ntry:\n    {send}\nexcept OSError: pass"
        assert "opens the network" in attempt(imported, lines, place)
        with pytest.raises(TimeoutError):
            server.recv(9)


def test_memory_and_the_log_are_limited(imported, place):
    assert "The import can use 4 GiB" in attempt(imported, "x = bytearray(8 << 30)", place)


def test_a_long_log_is_not_kept(imported, place):
    found = attempt(imported, "for _ in range(64): os.write(1, b'x' * (1 << 20))\nos._exit(3)", place)
    assert "status 3" in found and len(found) < 6000


def test_the_import_can_write_outside_of_the_project(imported, place, kind):
    lines = "os.makedirs('logs')\nopen(os.path.expanduser('~/a'), 'w').write('1')\nos.rmdir('logs')"
    assert attempt(imported, lines, place) == {} and not harm(place)


@pytest.mark.parametrize(
    "line",
    [
        "open('data.txt', 'a')",
        "open('data.txt', 'r+')",
        "os.open('new', os.O_CREAT)",
        "os.makedirs('logs'), open('logs/a', 'x')",
        "os.rename('data.txt', 'b')",
        "os.replace(os.path.expanduser('~/a'), 'data.txt')",
        "os.remove('data.txt')",
        "os.symlink('data.txt', 'link')",
        "os.link('data.txt', 'link')",
        "os.truncate('data.txt', 0)",
        "os.chmod('data.txt', 0o755)",
        "__import__('pathlib').Path('new').touch()",
        "__import__('shutil').copy('data.txt', 'copy')",
        "__import__('sqlite3').connect('new.db')",
        "__import__('logging').FileHandler('app.log')",
        'exec(\'try: open("new", "w")\\nexcept BaseException: pass\')',
    ],
)
def test_the_import_changes_no_file_of_the_project(imported, place, kind, line):
    found = attempt(imported, line, place)
    assert "importing the service changes a file (src/" in found and "service.py:" in found


def test_an_import_that_is_not_isolated_is_reported(imported, place, kind):
    """Whatever the service does, and only with the user's permission."""
    lines = (
        "import json\ndump = json.dump\njson.dump = lambda answer, *a, **b: dump(answer | {'isolated': True}, *a, **b)"
    )
    notes = imported(lines).notes
    assert ["can read and change your files" in note for note in notes] == ([True] if kind == "not isolated" else [])


# Answers that the service's code writes.

FLAGS = {"is_task": False, "batchable": False, "is_stream": False}
INFO = {
    "service": "service:Svc",
    "path": "service.py",
    "bento_name": "svc",
    "entry_service": "Svc",
    "kind": "new",
    "services": [
        {
            "name": "Svc",
            "class_name": "Svc",
            "path": "service.py",
            "line": 3,
            "models": [],
            "dependencies": [],
            "config": {},
            "apis": [{"name": "f", "route": "/f", "input_type": None, "output_type": None} | FLAGS],
            "mounts": [],
            "doc": "a\nb",
        }
    ],
    "labels": {"a": "b\nc"},
    "envs": [{"name": "A", "value": "1", "stage": "all"}],
    "description": None,
    "image": {"arguments": {"base_image": "debian", "commands": ["a"]}, "calls": []},
    "models": [],
    "runners": [],
    "apis": [],
    "unknowns": [],
}
FORGED = [
    ("envs.0.name", "A\nRUN touch /pwn\nENV B"),
    ("envs.0.name", 5),
    ("envs.0.value", ["1"]),
    ("envs.0.stage", "x\r"),
    ("envs", [{"name": "A"}]),
    ("image.arguments.base_image", "x\nRUN id"),
    ("image.arguments.python_version", "3.11\u2028"),
    ("image.arguments.distro", "debian\x1b[0m"),
    ("image.calls", [{"method": "run\n", "args": 5}]),
    ("description", 5),
    ("bento_name", "a\nb"),
    ("entry_service", "a\x85b"),
    ("labels", {"a": 5}),
    ("kind", "other"),
    ("more", 1),
    ("services.0.line", "x"),
    ("services.0.line", True),
    ("services.0.name", "a\nb"),
    ("services.0.apis.0.route", "/f\ny"),
    ("services.0.config", [1]),
    ("services.0.models", [{"alias": "a"}]),
    ("services", {}),
]


def test_a_complete_answer_is_read():
    info, schema, openapi = import_twice.read_answer({"metadata": INFO, "schema": {}, "openapi": ""}, "service:Svc")
    assert (info.envs[0].name, info.services[0].apis[0].route, schema, openapi) == ("A", "/f", {}, "")


@pytest.mark.parametrize(("field", "value"), FORGED)
def test_a_forged_answer_is_rejected(field, value):
    info = copy.deepcopy(INFO)
    at = info
    *above, last = [int(part) if part.isdigit() else part for part in field.split(".")]
    for part in above:
        at = at[part]
    at[last] = value
    with pytest.raises(
        BentoError, match=r"^service(\.py:3: .* contains a line break|:Svc: the result of the import is invalid)"
    ):
        import_twice.read_answer({"metadata": info, "schema": {}, "openapi": ""}, "service:Svc")


@pytest.mark.parametrize(
    "answer", [{}, {"metadata": INFO, "schema": [], "openapi": ""}, {"metadata": INFO, "schema": {}, "openapi": 5}]
)
def test_an_incomplete_answer_is_rejected(answer):
    with pytest.raises(BentoError, match="the result of the import is invalid"):
        import_twice.read_answer(answer, "service:Svc")


def test_an_answer_that_the_service_writes_to_an_open_file(imported, place):
    lines = """for n in range(3, 4096):
    try:
        os.write(n, b'{"metadata": {}, "varied": 5}')
    except OSError: pass
os._exit(0)"""
    assert "the result of the import is invalid" in attempt(imported, lines, place)


# The end of the command.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_imports_end_with_the_command(place, number):
    source, scratch = place / "project", place / "scratch"
    source.mkdir()
    scratch.mkdir()
    mark = f"{source}/service.py"
    (source / "service.py").write_text(f"import time\nwhile True: time.sleep(1)\n{SERVICE}", "utf-8")
    python = make_environment(place / "environment", locked_wheels())
    command = ["build", str(source), "--archive", str(place / "x.bento"), "--import", "--python", str(python)]
    program = subprocess.Popen(
        [sys.executable, "-c", f"{links_followed()}import sys; from bento_cli.__main__ import main; main({command!r})"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(scratch)},
    )
    until(lambda: processes(str(scratch)) >= 4, mark)
    program.send_signal(number)
    program.wait()
    until(lambda: not processes(str(scratch)), mark)
    assert number == signal.SIGKILL or not [*scratch.iterdir()]


def test_a_process_whose_parent_ended_before_it_could_ask_for_a_signal_ends():
    program = """import os, signal
from rules_bento.base import namespaces

parent, ask = os.getpid(), namespaces.die_with_parent

def ask_late():
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        pass
    ask()

namespaces.die_with_parent = ask_late
namespaces._continue_in_child()
print("continues")
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


def test_a_process_that_cannot_map_its_user_can_start_threads():
    """As on workers whose /proc is read-only: the import then continues with all of the files."""
    program = """import threading
from pathlib import Path
from rules_bento.base import namespaces

def denied(*_):
    raise PermissionError(1, "not permitted")

Path.write_text = denied
try:
    namespaces.enter((0, 0))
except namespaces.NamespaceError as error:
    print(error)
thread = threading.Thread(target=print, args=("started",))
thread.start()
thread.join()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("user namespaces: ")
    assert done.stdout.endswith("started\n"), done.stderr


def processes(text: str) -> int:
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            count += text.encode() in path.read_bytes()
    return count
