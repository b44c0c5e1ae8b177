"""What code of packages reaches while `bento lock` gets their metadata: real uv, and back ends that try everything."""

import ast
import os
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
from rules_bento.base import landlock
from rules_bento.bentos.packages import uv
from rules_bento.bentos.service.import_twice import IsolatedProcess

from tests.packages.metadata_index import Index, archive, package, serve

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


ACT = """
def act():
    import os, socket, sys
    found = {{}}
    def attempt(name, function):
        try:
            found[name] = function()
        except OSError as error:
            found[name] = type(error).__name__
    def read(path):
        with open(path) as file:
            return file.read()
    def write(path):
        with open(path, "w") as file:
            file.write("x")
    def connect(*address):
        with socket.socket(*address[:-1]) as client:
            client.connect(address[-1])
    for path in {files}:
        attempt(path[-20:], lambda: read(path))  # a message has only the end of a long log
    attempt("settings", lambda: read(os.path.join({root!r}, ".git/config")))
    attempt("variables", lambda: [name for name in os.environ if "CANARY" in os.environ[name]])
    attempt("agent", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, {agent!r}))
    attempt("network", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, {index}))
    for path in ({home!r} + "/new", {cache!r} + "/new", {root!r} + "/new", "/tmp/new-of-the-back-end"):
        attempt("write " + path[-20:], lambda: write(path))
    write("new")  # in a copy of the project
    found["processes"] = [each for each in os.listdir("/proc") if each.isdigit() and int(each) > 99]
    print("FOUND", found, file=sys.stderr)
    if {is_shown}:
        raise ValueError
"""
SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
LOGINS = (
    ".git-credentials",
    ".config/gh/hosts.yml",
    ".ssh/id_ed25519",
    ".docker/config.json",
    ".netrc",
    ".bash_history",
)
REFUSED = {"FileNotFoundError", "PermissionError", "ConnectionRefusedError", "OSError"}


def put(kind, directory, index, act):
    """Let a back end run: of the project, or of a source distribution on the index."""
    if kind == "project":
        (directory / "backend.py").write_text(act + BACKEND)
        return
    project = PROJECT.format(version='version = "1"').replace('"idna"]', '"idna", "other"]')
    (directory / "pyproject.toml").write_text(project)
    index.add(package("other", "1", wheels=(), sdist=True))
    back_end = (act + BACKEND).replace("proj", "other")
    index.files["other-1.tar.gz"] = archive("other-1", {"backend.py": back_end, "pyproject.toml": SYSTEM})
    del index.files["other-1.tar.gz.metadata"]


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize("kind", ["project", "archive"])
def test_code_of_packages_reaches_nothing_and_changes_nothing(place, kind, is_shown):
    directory, index, variables = place
    home = directory.parent / "home"
    for name in LOGINS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"# {SECRET}\n")
    subprocess.run(["git", "init", "-q", directory], check=True)
    with (directory / ".git/config").open("a") as file:
        file.write(f'[remote "origin"]\n\turl = https://me:{SECRET}@example.com/x.git\n')
    host, _, port = variables["UV_DEFAULT_INDEX"].split("/")[2].partition(":")
    with socket.socket(socket.AF_UNIX) as agent, tempfile.TemporaryDirectory(dir="/tmp") as short:
        agent.bind(f"{short}/agent")  # a path of a socket has at most 107 bytes
        agent.listen()
        paths = {
            "home": str(home),
            "cache": variables["UV_CACHE_DIR"],
            "root": str(directory),
            "agent": f"{short}/agent",
        }
        files = [str(home / name) for name in LOGINS]
        put(kind, directory, index, ACT.format(**paths, files=files, index=(host, int(port)), is_shown=is_shown))
        before = {path for path in directory.rglob("*") if ".git/" not in str(path)}
        secrets = {"AWS_SECRET_ACCESS_KEY": SECRET, "UV_INDEX_OTHER_PASSWORD": SECRET}
        shown, status = lock(directory, variables | secrets)
        agent.setblocking(False)
        with pytest.raises(BlockingIOError):
            agent.accept()
    assert {path for path in directory.rglob("*") if ".git/" not in str(path)} - before <= {directory / "uv.lock"}
    assert not any(map(os.path.exists, (home / "new", f"{variables['UV_CACHE_DIR']}/new", "/tmp/new-of-the-back-end")))
    assert status == int(is_shown), shown
    if is_shown:
        found = ast.literal_eval(re.search("FOUND (.*)", shown)[1])
        assert (found.pop("variables"), found.pop("processes")) == ([], [])
        settings = found.pop("settings")
        assert SECRET not in settings
        read = {name: value for name, value in found.items() if not name.startswith("write")}
        assert len(read) >= 8
        assert set(read.values()) <= REFUSED


BACKGROUND = """
def act():
    import os, signal, time
    if not os.fork():
        os.setsid()
        if not os.fork():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            {close}
            os.execvp("sleep", ["sleep", "{seconds}"])
        os._exit(0)
    {last}
"""
CLOSE = "os.closerange(0, 3)"


def is_running(seconds):
    """Whether a `sleep` runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_text() == f"sleep\0{seconds}\0":
                return True
    return False


def ends(seconds):
    """Whether a `sleep` doesn't run. A killed process needs a moment to end."""
    deadline = time.monotonic() + 60
    while is_running(seconds) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(seconds)


@pytest.mark.parametrize("last", ["pass", "raise ValueError"])
def test_no_program_of_a_package_outlives_the_command(place, last):
    directory, _, variables = place
    seconds = f"600.{os.getpid()}"
    (directory / "backend.py").write_text(BACKGROUND.format(close=CLOSE, last=last, seconds=seconds) + BACKEND)
    shown, status = lock(directory, variables)
    assert status == (last != "pass"), shown
    assert ends(seconds)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_programs_of_a_package(place, number):
    directory, _, variables = place
    seconds = f"600.{os.getpid()}{number}"
    text = BACKGROUND.format(close="pass", last="time.sleep(600)", seconds=seconds)
    (directory / "backend.py").write_text(text + BACKEND)
    process = command(directory, variables)
    while not is_running(seconds):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 128 + number
    assert ends(seconds)


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
def test_a_dynamic_project_has_packages_of_an_index_with_a_login(place, way):
    directory, index, variables = place
    index.credentials = "me:s3cret"
    way(directory.parent / "home", variables)
    act = "def act():\n    import glob, os\n    seen = str(dict(os.environ))\n    for path in glob.glob(os.environ['HOME'] + '/../**', recursive=True):\n        seen += open(path).read() if os.path.isfile(path) else ''\n    assert 's3' + 'cret' not in seen\n"
    (directory / "backend.py").write_text(act + BACKEND)
    shown, status = lock(directory, variables)
    assert not status, shown
    assert "s3cret" not in shown + (directory / "uv.lock").read_text()


def test_a_dynamic_project_has_the_lock_of_uv(place):
    directory, _, variables = place
    (directory / "backend.py").write_text(f"def act():\n    pass\n{BACKEND}")
    shutil.copytree(directory, directory.parent / "copy")
    subprocess.run([UV, "lock"], cwd=directory.parent / "copy", env=variables, check=True, capture_output=True)
    shown, status = lock(directory, variables)
    assert not status, shown
    assert (directory / "uv.lock").read_bytes() == (directory.parent / "copy/uv.lock").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="requires root")
def test_root_locks_a_project_of_another_user(place):
    directory, _, variables = place
    (directory / "backend.py").write_text(f"def act():\n    open('new', 'w').close()\n{BACKEND}")
    try:
        for path in (directory, *directory.iterdir()):
            os.chown(path, 65534, 65534)
    except OSError:
        pytest.skip("a sandbox has one user")
    shown, status = lock(directory, variables)
    assert not status, shown
    assert not (directory / "new").exists()


def test_no_code_runs_on_a_system_that_cannot_isolate_it(place, monkeypatch, capfd):
    directory, _, variables = place
    (directory / "backend.py").write_text(f"def act():\n    open({str(directory / 'ran')!r}, 'w').close()\n{BACKEND}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(uv, "find_uv", lambda *_: UV)
    monkeypatch.setattr(IsolatedProcess, "isolation_problem", lambda _: "user namespaces: none")
    assert main(["lock", str(directory)]) == 1
    told = capfd.readouterr().err
    assert "this system can't isolate the build of the project (user namespaces: none)" in told
    assert "If you trust this code, lock with `uv lock`." in told
    assert not (directory / "ran").exists()


def test_control_characters_of_packages_are_escaped(place):
    directory, _, variables = place
    text = "\x1b[31m\x9b31m\u202e\u2066\r\x07"
    (directory / "backend.py").write_text(f"def act():\n    print({text!r})\n    raise ValueError({text!r})\n{BACKEND}")
    shown, status = lock(directory, variables)
    assert status == 1
    assert "ValueError" in shown
    assert not [each for each in shown if not each.isprintable() and each != "\n"]
