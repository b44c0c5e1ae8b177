"""Base images of another person whose interpreter, or whose files, attack the machine that builds an image of them."""

import ctypes
import gzip
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from bento_cli.cli import status
from bento_cli.sharing import native_build, native_bytecode
from rules_bento.base.errors import BentoError
from rules_bento.bentos.service import import_twice

from tests.helpers import system_calls
from tests.sharing.cache_support import get_notes, push_base, put_note
from tests.sharing.image_support import make_base
from tests.sharing.python_support import PATH, complete_python, files_of_python, project, real_base

__all__ = ["project"]
pytestmark = pytest.mark.skipif(bool(import_twice.isolation_problem()), reason="needs namespaces")
VERSION = complete_python()[0]
MINOR = VERSION.rpartition(".")[0]
FUNCTIONS = f"""\
import os, signal, struct, sys, time

def answer(data):
    os.write(1, struct.pack(">L", len(data)) + data)

def start():
    answer(f"{{sys.implementation.cache_tag}} {VERSION}".encode())

def serve(reply):
    start()
    requests = sys.stdin.buffer
    while head := requests.read(8):
        path, source = map(requests.read, struct.unpack(">2L", head))
        answer(reply(source))
"""
COMPILE = f'os.execv("/usr/local/bin/python{MINOR}", sys.argv)'  # as an honest interpreter does
PROGRAM = (
    "import sys; from rules_bento.images.wheels import bytecode; bytecode._SECONDS = 3; "
    "from bento_cli.cli import main; sys.exit(main())"
)


def hostile(directory, code, files=()):
    """A base whose interpreter runs `code`."""
    script = f"#!/usr/local/bin/python{MINOR} -S\n{FUNCTIONS}\n{code}\n"
    files = files_of_python() | {"usr/local/bin/python3": script.encode(), **dict(files)}
    return make_base(directory, files, (PATH, f"PYTHON_VERSION={VERSION}"))


def run(project, base, *words):
    """Run the command in a session of its own. Returns the exit status and the output."""
    words = ["image", project, "--base", f"oci:{base}", "--output", f"oci:{base.parent / 'out'}", *words]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, ["py", *filter(None, sys.path)]))},
        capture_output=True,
        text=True,
        timeout=600,
        start_new_session=True,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


# Without an answer, the image has no bytecode.
NOTE = "note: The image has no bytecode, without which it starts slower"


@pytest.mark.parametrize("path", ["bytecode_program.py", "dev", "proc", "x/dev", "x/./proc"])
def test_links_of_a_base_lead_nowhere(path, project, tmp_path):
    """To a file or a directory of this machine."""
    victim = tmp_path / "victim"
    if path.startswith("bytecode"):
        victim.write_text("mine")
    else:
        victim.mkdir()
    assert run(project, hostile(tmp_path / "base", COMPILE, {"x": ".", path: str(victim)}))[0] == 0
    assert victim.is_dir() or victim.read_text() == "mine"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("answer(b'\\xff\\xfe')", NOTE),
        ("answer(b'a' * 200_000_000)", NOTE),
        ("start(); os.kill(0, signal.SIGKILL)", "cannot compile the module: the interpreter gave no valid answer"),
        ("os.write(1, bytes(3)); os.close(1)\nwhile True: os.write(2, b'x' * 100_000)", NOTE),
        ("start(); time.sleep(1e6)", "cannot compile the module: the interpreter gave no valid answer"),
        ("start(); os.read(0, 100); time.sleep(1e6)", "cannot compile the module"),
        ("start(); os._exit(0)", "cannot compile the module"),
        ("time.sleep(1e6)", NOTE),
        ("serve(lambda source: bytes(2 << 20))", "cannot compile the module"),
        ("start(); bytearray(5 << 30)", "MemoryError"),
        ("serve(lambda source: b''); time.sleep(1e6)", ""),
    ],
)  # fmt: skip
def test_an_interpreter_of_a_base_ends_with_an_error(code, problem, project, tmp_path):
    # The command is stated, because finding it requires an interpreter.
    returned, told = run(project, hostile(tmp_path / "base", code), "--entrypoint", "python")
    is_error = bool(problem) and problem != NOTE
    assert (returned, problem in told) == (status.ERROR if is_error else 0, True), told
    assert "internal error" not in told
    assert (tmp_path / "out").exists() is not is_error


def test_an_interpreter_of_a_base_leaves_its_namespaces_by_no_system_call(project, tmp_path):
    """Nor does it find a name of this machine, of the user, or a path."""
    code, refused = system_calls.refused()
    names = [socket.gethostname(), str(tmp_path)]
    code += f"""
start()
names = [os.uname().nodename, socket.gethostname(), os.readlink("/proc/self/exe"), *os.listdir("/proc")]
shown = b"".join(open(path, "rb").read() for path in glob.glob("/proc/*/[cm]*") if os.path.isfile(path))
different = dict(FOUND.items() ^ {refused}.items())
os.write(2, repr((names, different, [name for name in {names} if name.encode() in shown])).encode())
os._exit(1)
"""
    assert ctypes  # which loads this library
    paths = re.findall(r"(/\S+/(libffi\S*\.so\.\d+)\S*)$", Path("/proc/self/maps").read_text(), re.MULTILINE)
    files = {f"lib/{name}": Path(path).read_bytes() for path, name in paths}
    returned, told = run(project, hostile(tmp_path / "base", f"import glob\n{code}", files))
    program = "/usr/local/bin/python3"
    assert (returned, f"(['localhost', 'localhost', '{program}', 'self'], {{}}, [])" in told) == (status.ERROR, True), (
        told
    )


@pytest.mark.parametrize("has_registry", [False, True])
def test_an_interpreter_of_a_base_compiles_only_for_the_base(has_registry, machines, tmp_path, monkeypatch):
    """Also if another base has the same version of Python."""
    monkeypatch.setattr(native_build, "plan_bytecode", native_bytecode.plan_bytecode)
    base = hostile(tmp_path / "hostile", "serve(lambda source: b'hostile')")
    machines.base = real_base(tmp_path / "real")
    digest = machines.build()[0]
    machines.base, cache = base, f"{machines.host}/poisoned"
    words = ["--cache-to", cache] if has_registry else []
    poisoned = machines.build(*words)[0]
    machines.base = tmp_path / "real"
    found = machines.build(*(["--cache-from", cache] if has_registry else []), new=has_registry)
    assert (found[0], found[0] != poisoned) == (digest, True)


def test_a_false_note_of_a_base_changes_no_later_build(machines, name, tmp_path, monkeypatch):
    """Another interpreter that the base contains. The note isn't kept, and the base's files are read to compile."""
    monkeypatch.setattr(native_build, "plan_bytecode", native_bytecode.plan_bytecode)
    files = {"opt/bin/python3": f"/usr/local/bin/python{MINOR}"}
    base, _ = push_base(machines, name, real_base(tmp_path / "real", files))
    digest, cache, lie = machines.build("--cache-to", f"{machines.host}/{name}")[0], f"{name}-lie", b"x"
    for key, note in get_notes(machines.host, name).items():
        if "python" in note:
            lie = gzip.compress(json.dumps(note | {"python": "/opt/bin/python3"}).encode())
            put_note(machines.host, cache, key, lie)
    put_note(machines.host, cache, "empty", b"{}", b"{}")
    lied = machines.build("--cache-from", f"{machines.host}/{cache}")[0]
    assert lied != digest, "the environment has a link to the other interpreter"
    assert [*machines.cache.glob(f"interpreters/{base[7:]}-*/root/usr/local/bin/python3")], "the base's own"
    assert machines.build(new=False)[0] == digest


def test_a_base_unpacks_a_limited_size(monkeypatch):
    image = SimpleNamespace(config={"env": {}})
    base = SimpleNamespace(python="/usr/bin/python3", python_version="3.11", image=image)
    library = SimpleNamespace(name="usr/lib/libx.so", kind="file", size=1 << 20)
    link, other = (SimpleNamespace(name="x", kind=kind, size=0) for kind in ("link", "file"))
    monkeypatch.setattr(native_bytecode, "_MAX_UNPACKED", 4 << 20)
    for member, count in ((library, 3), (link, 512)):
        selection = native_bytecode._selection(base)
        assert all(selection(member) for _ in range(count))
        assert not any(selection(other) for _ in range(1000))
        with pytest.raises(BentoError, match="have more than 4194304 bytes"):
            for _ in range(2):
                selection(member)
