"""What code of packages reaches while `bento lock` builds them: real uv, and a build back end that tries everything."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from bento_cli.cli import main
from rules_bento.base import landlock, namespaces
from rules_bento.bentos.packages import uv
from rules_bento.bentos.service.import_twice import isolation_problem

from tests.helpers import system_calls
from tests.packages.metadata_index import Index, package, serve

pytestmark = pytest.mark.skipif(bool(landlock.problem()), reason=landlock.problem() or "-")
UV = str(Path(os.environ["RULES_BENTO_UV"]).absolute())
SERVICE = "import bentoml\n\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self, x: int) -> int:\n        return x\n"
PROJECT = """\
[project]
name = "proj"
{version}
requires-python = ">=3.9"
dependencies = ["bentoml==1.4.39", "idna"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
DYNAMIC = PROJECT.format(version='dynamic = ["version"]')
BACKEND = """\
import os
def prepare_metadata_for_build_wheel(directory, settings=None):
    act()
    os.mkdir(f"{directory}/proj-1.dist-info")
    with open(f"{directory}/proj-1.dist-info/METADATA", "w") as file:
        file.write("Metadata-Version: 2.1\\nName: proj\\nVersion: 1\\nRequires-Dist: bentoml==1.4.39\\nRequires-Dist: idna\\n")
    return "proj-1.dist-info"
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
def get_requires_for_build_wheel(settings=None):
    return []
get_requires_for_build_editable = get_requires_for_build_wheel
"""
SECRET = "CANARY"


@contextmanager
def prepared(place):
    """The directory of a project with a dynamic version, the variables of a command, and the index of its packages."""
    directory, home = place / "project", place / "home"
    for path in (directory, home / ".config/gh", home / ".config/uv", home / ".ssh", home / ".local/share/uv"):
        path.mkdir(parents=True)
    (directory / "service.py").write_text(SERVICE)
    (directory / "pyproject.toml").write_text(DYNAMIC)
    kept = {name: value for name, value in os.environ.items() if not re.match(r"(?i)UV_|XDG_|CI$|\w+_proxy$", name)}
    index = Index([package("bentoml", "1.4.39"), package("idna", "3.10")])
    with serve(index) as address:
        yield (
            directory,
            index,
            {
                **kept,
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
                "PATH": f"{Path(UV).parent}:{os.environ['PATH']}",
                "HOME": str(home),
                "BENTOML_HOME": str(place / "bentoml"),
                "UV_DEFAULT_INDEX": address,
                "UV_CACHE_DIR": str(place / "cache"),
                "UV_PYTHON": sys.executable,
                "UV_HTTP_RETRIES": "0",
            },
        )


@pytest.fixture
def place(tmp_path):
    with prepared(tmp_path) as found:
        yield found


def command(directory, variables, **settings):
    words = [sys.executable, "-m", "bento_cli", "lock", str(directory)]
    return subprocess.Popen(words, env=variables, stderr=subprocess.PIPE, text=True, **settings)


def lock(directory, variables):
    done = command(directory, variables)
    return done.communicate()[1], done.returncode


PROBES = r"""
def act():
    import ctypes, errno, fcntl, glob, json, mmap, os, platform, resource, signal, socket, subprocess
    results, libc = {}, ctypes.CDLL(None, use_errno=True)
    def call(*words):
        ctypes.set_errno(0)
        if libc.syscall(*words) < 0:
            raise OSError(ctypes.get_errno(), "")
    def attempt(name, function):
        try:
            results[name] = repr(function())
        except OSError as error:
            results[name] = errno.errorcode[error.errno]
    def unix(kind, address):
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(address)
    def pair_to(kind, address):
        socket.socketpair(socket.AF_UNIX, kind)[0].connect(address)
    def attach():
        if libc.ptrace(16, PID, None, None) < 0:
            raise OSError(ctypes.get_errno(), "")
    def read_memory():
        text = ctypes.create_string_buffer(8)
        vector = (ctypes.c_size_t * 2)(ctypes.addressof(text), 8)
        if libc.process_vm_readv(PID, vector, 1, (ctypes.c_size_t * 2)(ADDRESS, 8), 1, 0) < 0:
            raise OSError(ctypes.get_errno(), "")
        return text.raw
    def steal():
        handle = os.pidfd_open(PID)
        call(438, handle, SOCKET, 0)
    def inject(path):
        with open(path, "r+b", buffering=0) as terminal:
            fcntl.ioctl(terminal, 0x5412, b"x")
    def write(path):
        with open(path, "a") as file:
            file.write("x")
    def read(path):
        with open(path, "rb") as file:
            return file.read()
    is_arm = platform.machine() == "aarch64"
    for kind in ("STREAM", "DGRAM", "SEQPACKET"):
        for name, address in (("path", AGENT), ("abstract", "\0" + AGENT)):
            attempt(f"socket {kind} {name}", lambda: unix(getattr(socket, f"SOCK_{kind}"), address))
    attempt("pair DGRAM", lambda: pair_to(socket.SOCK_DGRAM, AGENT))
    attempt("pair RAW", lambda: pair_to(socket.SOCK_RAW, AGENT))
    attempt("keyctl", lambda: call(219 if is_arm else 250, 0, -3, 0))
    attempt("shared memory", lambda: call(194 if is_arm else 29, 1, 0, 0))
    attempt("message queue", lambda: call(186 if is_arm else 68, 1, 0))
    if not is_arm:
        attempt("x32", lambda: call(0x40000000 | 41, 1, 1, 0))
    for name in ("/dev/tty", TERMINAL, f"/proc/{PID}/fd/{TERMINAL_FILE}", "/dev/ptmx", "/dev/console"):
        attempt(f"terminal {name}", lambda: inject(name))
    for number in range(256):
        if os.path.exists(f"/proc/self/fd/{number}") and os.isatty(number):
            attempt(f"terminal {number}", lambda: fcntl.ioctl(number, 0x5412, b"x"))
    attempt("new terminal", os.openpty)
    for name in FILES:
        attempt(f"read {name}", lambda: read(name))
    for name in ("environ", "mem", "maps", "auxv", "stack"):
        attempt(f"process {name}", lambda: read(f"/proc/{PID}/{name}"))
    attempt("process files", lambda: os.readlink(f"/proc/{PID}/fd/{SOCKET}"))
    attempt("process root", lambda: os.listdir(f"/proc/{PID}/root" + HOME))
    attempt("ptrace", attach)
    attempt("process_vm_readv", read_memory)
    attempt("pidfd_getfd", steal)
    attempt("limit of a process", lambda: resource.prlimit(PID, resource.RLIMIT_CPU, (0, 0)))
    attempt("mode", lambda: os.chmod(HOME + "/.gitconfig", 0o4777))
    attempt("time", lambda: os.utime(HOME + "/.gitconfig", (1, 1)))
    attempt("attribute", lambda: os.setxattr(HOME + "/.gitconfig", "user.x", b"x"))
    if SIGNALS:
        attempt("signal", lambda: os.kill(PID, 0))
        attempt("signal of the parent", lambda: os.kill(COMMAND, 0))
    for name in (CACHE + "/new", CACHED, HOME + "/new", HOME + "/.bashrc", PLACE + "/new"):
        attempt(f"write {name}", lambda: write(name))
    attempt("list the cache", lambda: os.listdir(CACHE))
    attempt("network", lambda: socket.create_connection((INDEX, PORT)).close())
    stream = socket.socketpair()
    stream[0].send(b"x")
    results["pair STREAM"] = repr(stream[1].recv(1))
    with open("/proc/self/status") as file:
        results["status"] = {line.split()[0]: line.split()[1] for line in file if line.startswith(("Cap", "NoNew"))}
    results["session"] = [os.getsid(0), os.getpgid(0), os.getsid(COMMAND)]
    seen = [json.dumps(dict(os.environ))]
    for top, _, names in os.walk(os.environ["HOME"] + "/.."):
        for name in names:
            if os.path.isfile(f"{top}/{name}") and os.access(f"{top}/{name}", os.R_OK):
                seen.append(read(f"{top}/{name}").decode(errors="replace"))
    results["secrets"] = sum("CANARY" in text for text in seen)
    exec(SYSTEM_CALLS, scope := {"__name__": "calls"})
    results["calls"] = scope["FOUND"]
    with open("found.json", "w") as file:
        json.dump(results, file)
"""
LOGINS = (".git-credentials", ".config/gh/hosts.yml", ".ssh/id_ed25519", ".ssh/config", ".gitconfig", ".docker", ".aws")
LOGINS += (".local/share/uv/credentials/credentials.toml", ".netrc", ".config/pip/pip.conf")
FAILED = {"EACCES", "EPERM", "ENOENT", "ENXIO", "ENOTTY", "EIO", "EAFNOSUPPORT", "ENOSYS", "ECONNREFUSED", "EBADF"}
FAILED |= {"EROFS"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the probes found, by name. The test's process has a terminal, sockets, and a variable with a secret."""
    place = tmp_path_factory.mktemp("sandbox")
    local, master_and_slave = socket.socket(socket.AF_UNIX), pty.openpty()
    with prepared(place) as (directory, _, variables), local, tempfile.TemporaryDirectory(dir="/tmp") as short:
        local.bind(agent := f"{short}/agent")  # a path of a socket has at most 107 bytes
        local.listen()
        home = place / "home"
        for name in LOGINS[:-2]:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(f"{SECRET}\n")
        (home / ".local/share/uv/credentials/credentials.toml").write_text(
            f'[[credential]]\nservice = "https://other.invalid"\nusername = "u"\npassword = "{SECRET}"\n'
        )
        (home / ".netrc").write_text(f"machine other.invalid login me password {SECRET}\n")
        (place / "cache").mkdir()
        (place / "cache/kept.py").write_text("kept")
        other = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(id(sys), flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OF_THE_USER": SECRET},
            pass_fds=[local.fileno(), master_and_slave[1]],
        )
        host, _, port = variables["UV_DEFAULT_INDEX"].removeprefix("http://").partition("/")[0].partition(":")
        names = {
            "PID": other.pid,
            "ADDRESS": int(other.stdout.readline()),
            "SOCKET": local.fileno(),
            "TERMINAL": os.ttyname(master_and_slave[1]),
            "TERMINAL_FILE": master_and_slave[1],
            "PLACE": str(place),
            "AGENT": agent,
            "FILES": [str(home / name) for name in LOGINS],
            "CACHE": str(place / "cache"),
            "CACHED": str(place / "cache/kept.py"),
            "HOME": str(home),
            "INDEX": host,
            "PORT": int(port),
            "SIGNALS": landlock._version() >= 6,
            "SYSTEM_CALLS": system_calls.refused()[0],
        }
        text = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        text += "with open(__file__ + '.command') as file:\n    COMMAND = int(file.read())\n"
        (directory / "backend.py").write_text(f"{text}{PROBES}{BACKEND}")
        variables |= {"AWS_SECRET_ACCESS_KEY": SECRET, "HF_TOKEN": SECRET, "UV_INDEX_OTHER_PASSWORD": SECRET}
        # A terminal is the controlling terminal, and the standard input and error output, as in a shell.
        process, terminal = pty.fork()
        if not process:
            (directory / "backend.py.command").write_text(str(os.getpid()))
            words = [sys.executable, "-m", "bento_cli", "lock", str(directory)]
            os.execvpe(sys.executable, words, variables)
        shown = b""
        with suppress(OSError):  # at the end of a terminal
            while piece := os.read(terminal, 4096):
                shown += piece
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        other.communicate(b"")
        assert not status, shown.decode()
        assert (place / "cache/kept.py").read_text() == "kept"
        assert not (home / "new").exists()
        yield json.loads((directory / "found.json").read_text())


def test_code_of_packages_reaches_nothing_of_the_user(results):
    kinds = ("socket", "pair DGRAM", "pair RAW", "keyctl", "shared", "message", "x32", "terminal", "new terminal")
    kinds += ("read", "process", "ptrace", "pidfd_getfd", "limit", "signal", "write", "list")
    kinds += ("mode", "time", "attribute") if not isolation_problem() else ()
    tried = {name: found for name, found in results.items() if name.startswith(kinds)}
    assert not {name: found for name, found in tried.items() if found not in FAILED}
    assert len(tried) >= 40
    assert not results["secrets"]


def test_code_of_packages_has_no_privileges_and_no_terminal(results):
    limit = {"CapBnd:"} if os.geteuid() else set()  # only privileged processes can change it
    assert {name: int(value, 16) for name, value in results["status"].items() if name not in limit} == {
        **dict.fromkeys({"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"} - limit, 0),
        "NoNewPrivs:": 1,
    }
    session, group, of_the_command = results["session"]
    assert session == group != of_the_command


def test_code_of_packages_makes_no_special_system_calls(results):
    calls = {**results["calls"], **dict.fromkeys(("unshare", "clone", "clone3"), "ENOSPC")}
    assert calls == system_calls.refused()[1]
    assert [results["calls"][name] for name in ("unshare", "clone", "clone3")] == ["ENOSYS"] * 3


def test_code_of_packages_has_what_builds_need(results):
    assert (results["pair STREAM"], results["network"]) == ("b'x'", "None")


BACKGROUND = """
def act():
    import os, signal, sys, time
    if not os.fork():
        for leave in (os.setsid, os.setpgrp, lambda: os.setpgid(0, 0)):
            try:
                leave()
            except OSError:
                pass
        if not os.fork():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            {close}
            import fcntl
            with open("alive", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.rename("alive", "held")
                time.sleep(600)
        os._exit(0)
    while not os.path.exists("held"):
        time.sleep(0.01)
    {last}
"""
CLOSE = "os.closerange(0, 3)"


def is_alive(directory):
    """Whether the process that holds the lock of a file runs. A killed process needs a moment to end."""
    deadline = time.monotonic() + 60
    with (directory / "held").open() as file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return False
    return True


@pytest.mark.parametrize("last", ["pass", "raise ValueError"])
def test_no_program_of_a_package_outlives_the_command(place, last):
    """uv itself waits for a program that keeps its output open."""
    directory, _, variables = place
    (directory / "backend.py").write_text(BACKGROUND.format(close=CLOSE, last=last) + BACKEND)
    shown, status = lock(directory, variables)
    assert status == (last != "pass"), shown
    assert not is_alive(directory)


@pytest.mark.parametrize("close", ["pass", CLOSE])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_programs_of_a_package(place, close, number):
    directory, _, variables = place
    text = BACKGROUND.format(close=close, last="time.sleep(600)")
    (directory / "backend.py").write_text(text + BACKEND)
    process = command(directory, variables)
    while not (directory / "held").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 128 + number
    assert not is_alive(directory)


def with_address(home, variables):
    variables["UV_DEFAULT_INDEX"] = variables["UV_DEFAULT_INDEX"].replace("//", "//me:s3cret@")


def with_variables(home, variables):
    address = variables.pop("UV_DEFAULT_INDEX")
    variables |= {"UV_INDEX": f"corp={address}", "UV_INDEX_CORP_USERNAME": "me", "UV_INDEX_CORP_PASSWORD": "s3cret"}


def with_netrc(home, variables):
    (home / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")


def with_store(home, variables):
    words = ["auth", "login", variables["UV_DEFAULT_INDEX"], "--username", "me", "--password", "s3cret"]
    subprocess.run([UV, *words], env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, check=True, capture_output=True)


def with_settings(home, variables):
    address = variables.pop("UV_DEFAULT_INDEX").replace("//", "//me:s3cret@")
    (home / ".config/uv/uv.toml").write_text(f'[[index]]\nurl = "{address}"\ndefault = true\n')


LOGIN_WAYS = (with_address, with_variables, with_netrc, with_store, with_settings)


@pytest.mark.parametrize("way", LOGIN_WAYS)
@pytest.mark.parametrize("version", ['dynamic = ["version"]', 'version = "1"'])
def test_only_a_project_whose_code_does_not_run_gets_logins(place, way, version):
    directory, index, variables = place
    index.credentials = "me:s3cret"
    way(directory.parent / "home", variables)
    (directory / "pyproject.toml").write_text(PROJECT.format(version=version))
    (directory / "backend.py").write_text(f"def act():\n    open('ran', 'w').close()\n{BACKEND}")
    shown, status = lock(directory, variables)
    assert not (directory / "ran").exists()
    assert "s3cret" not in shown
    if "dynamic" not in version:
        assert not status, shown
        return
    assert status == 1
    named = r"uv\.toml" if way is with_settings else r"http://127\.0\.0\.1:\d+/simple"
    problem = rf"{directory}: proj @ \S+ has dynamic metadata, so uv must run its code, but \S*{named} needs a login, "
    assert re.search(f"{problem}which the code can't get. If you trust the code, lock with uv, ", shown), shown


def test_logins_of_other_servers_and_proxies(place):
    directory, _, variables = place
    (directory / "backend.py").write_text(f"def act():\n    open('ran', 'w').close()\n{BACKEND}")
    (directory.parent / "home/.netrc").write_text("machine other.invalid login me password s3cret\n")
    proxy = {"https_proxy": "http://me:s3cret@127.0.0.1:9"}
    shown, status = lock(directory, variables | proxy)
    assert (status, (directory / "ran").exists()) == (1, False)
    assert "http://127.0.0.1:9 needs a login" in shown
    shown, status = lock(directory, variables)
    assert (status, (directory / "ran").exists()) == (0, True), shown


def test_a_dynamic_project_has_the_lock_of_uv(place):
    directory, _, variables = place
    (directory / "backend.py").write_text(f"def act():\n    pass\n{BACKEND}")
    shutil.copytree(directory, directory.parent / "copy")
    subprocess.run([UV, "lock"], cwd=directory.parent / "copy", env=variables, check=True, capture_output=True)
    shown, status = lock(directory, variables)
    assert not status, shown
    assert (directory / "uv.lock").read_bytes() == (directory.parent / "copy/uv.lock").read_bytes()


def test_temporary_files_of_packages_are_removed_at_any_depth(place):
    directory, _, variables = place
    act = 'def act():\n    import os\n    here = os.getcwd()\n    os.chdir(os.environ["HOME"])\n'
    act += '    for _ in range(2000):\n        os.mkdir("d")\n        os.chdir("d")\n    os.chmod("..", 0)\n    os.chdir(here)\n'
    (directory / "backend.py").write_text(act + BACKEND)
    (temporary := directory.parent / "tmp").mkdir()
    shown, status = lock(directory, variables | {"TMPDIR": str(temporary)})
    left = [*temporary.iterdir()]
    subprocess.run(["rm", "-rf", temporary], check=True)  # pytest can't
    assert (status, left) == (0, []), shown


@pytest.mark.skipif(os.geteuid() != 0, reason="requires root")
def test_the_code_cannot_use_files_of_other_users_as_root(place):
    directory, _, variables = place
    (directory / "backend.py").write_text(f"def act():\n    open('new', 'w').close()\n{BACKEND}")
    try:
        os.chown(directory, 65534, 65534)
    except OSError:
        pytest.skip("a sandbox has one user")
    shown, status = lock(directory, variables)
    assert status == 1
    assert "which has no privileges of root (see above). Run the command as the owner of the project." in shown
    assert not (directory / "new").exists()


@pytest.mark.parametrize("missing", ["landlock", "filter", "namespaces"])
def test_no_code_runs_on_a_system_that_cannot_limit_it(place, monkeypatch, capfd, missing):
    directory, _, variables = place
    (directory / "backend.py").write_text(f"def act():\n    open('ran', 'w').close()\n{BACKEND}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(uv, "find_uv", lambda *_: UV)
    if missing == "landlock":
        monkeypatch.setattr(landlock, "problem", lambda: "the kernel doesn't provide Landlock")
    elif missing == "filter":
        monkeypatch.setattr(namespaces, "_CALLS", {})
    else:
        monkeypatch.setattr(namespaces, "_NEW_USERS", 1)  # no flag of namespaces
    assert main(["lock", str(directory)]) == 1
    reason = {
        "landlock": "the kernel doesn't provide Landlock",
        "filter": "a filter of system calls: Function",
        "namespaces": "user namespaces: Invalid argument)",
    }[missing]
    assert f"so uv must run its code, but this system can't limit the code ({reason}" in capfd.readouterr().err
    assert not (directory / "ran").exists()


def test_control_characters_of_packages_are_escaped(place):
    directory, _, variables = place
    text = "\x1b[31m\x9b31m\u202e\u2066\r\x07"
    (directory / "backend.py").write_text(f"def act():\n    print({text!r})\n    raise ValueError({text!r})\n{BACKEND}")
    shown, status = lock(directory, variables)
    assert status == 1
    assert "ValueError" in shown
    assert not [each for each in shown if not each.isprintable() and each != "\n"]
