"""What the commands can reach while they read a project, by the kernel."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import bento_cli
import pytest
import rules_bento
from bento_cli.cli import main
from bento_cli.projects import project_reach
from rules_bento.base import landlock
from rules_bento.base.landlock import Reach

pytestmark = pytest.mark.skipif(bool(landlock.problem()), reason=landlock.problem() or "-")


@pytest.fixture
def places(tmp_path):
    """Two directories with a file."""
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "inside/link").symlink_to(tmp_path / "outside/file")
    (tmp_path / "inside/up").symlink_to("../outside")
    return tmp_path / "inside", tmp_path / "outside"


def bind(path):
    """Bind a socket, whose address is too short for long paths."""
    directory = os.open(path.parent, os.O_PATH)
    try:
        socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)


WRITES = {
    "append": lambda path: path.open("a").close(),
    "truncate": lambda path: os.truncate(path, 0),
    "unlink": lambda path: path.unlink(),
    "rename": lambda path: path.rename(path.with_name("moved")),
    "replace": lambda path: (path.parents[1] / "inside/file").replace(path),
    "hard link": lambda path: path.with_name("hard").hardlink_to(path),
    "symbolic link": lambda path: path.with_name("soft").symlink_to("file"),
    "directory": lambda path: path.with_name("made").mkdir(),
    "FIFO": lambda path: os.mkfifo(path.with_name("fifo")),
    "socket": lambda path: bind(path.with_name("s")),
    "new file": lambda path: path.with_name("new").touch(),
    "temporary file": lambda path: os.close(os.open(path.parent, os.O_TMPFILE | os.O_WRONLY)),
    "through a link": lambda path: (path.parents[1] / "inside/link").write_text("x"),
    "through a directory's link": lambda path: (path.parents[1] / "inside/up/new").write_text("x"),
    "through ..": lambda path: (path.parents[1] / "inside/../outside/new").write_text("x"),
    "through /proc": lambda path: Path(f"/proc/self/root{path}").write_text("x"),
    "program": lambda path: subprocess.run(["sh", "-c", 'echo x > "$0"', path], check=True, stderr=subprocess.DEVNULL),
}


@pytest.mark.parametrize("name", WRITES)
def test_nothing_outside_is_written(places, name):
    inside, outside = places
    with pytest.raises((PermissionError, subprocess.CalledProcessError)):
        landlock.call(Reach([inside]), WRITES[name], outside / "file")
    assert [each.name for each in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "outside"


READS = {
    "file": lambda path: path.read_text(),
    "list": lambda path: [*path.parent.iterdir()],
    "through a link": lambda path: (path.parents[1] / "inside/link").read_text(),
    "through /proc": lambda path: Path(f"/proc/self/root{path}").read_text(),
    "program": lambda path: subprocess.run(["/bin/cat", path], check=True, capture_output=True),
    "the program": lambda path: subprocess.run([path], check=True),
}


@pytest.mark.parametrize("name", READS)
def test_nothing_outside_is_read(places, name):
    inside, outside = places
    (outside / "file").chmod(0o755)
    with pytest.raises((PermissionError, subprocess.CalledProcessError)):
        landlock.call(Reach([], [inside, *landlock.SYSTEM]), READS[name], outside / "file")
    assert READS["file"](outside / "file") == "outside"


def test_settings_of_the_network_can_be_links(places, monkeypatch):
    """As /etc/resolv.conf of systemd, which leads to /run."""
    inside, _ = places
    monkeypatch.setattr(landlock, "SYSTEM", [*landlock.SYSTEM, str(inside / "link")])
    assert landlock.call(Reach([], landlock.SYSTEM), (inside / "link").read_text) == "outside"
    assert {"/etc/hosts", "/etc/resolv.conf"} <= {*landlock.SYSTEM}


def test_a_thread_without_network(places):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        landlock.call(Reach([]), lambda: socket.create_connection(address).close())
        if landlock._version() >= 4:
            with pytest.raises(PermissionError):
                landlock.call(Reach([], has_network=False), lambda: socket.create_connection(address))


def test_functions_outside_have_no_limits(places):
    inside, outside = places

    def write():
        with pytest.raises(PermissionError):
            (outside / "new").write_text("x")
        landlock.outside((outside / "new").write_text, "x")
        with pytest.raises(ZeroDivisionError):
            landlock.outside(lambda: 1 / 0)
        # In the thread of a limited thread, which waits for this one, as in this one.
        landlock.call(Reach([]), landlock.outside, (outside / "other").write_text, "y")
        return "result"

    assert landlock.call(Reach([inside], [inside]), write) == "result"
    assert (outside / "new").read_text() + (outside / "other").read_text() == "xy"


def test_an_interrupt_stops_what_a_thread_waits_for():
    stopped = threading.Event()

    def wait():
        landlock.on_interrupt(stopped.set)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        stopped.wait(60)

    with pytest.raises(KeyboardInterrupt):
        landlock.call(Reach([]), wait)
    assert stopped.is_set()


CONFINED = """
import os, sys, tempfile
from pathlib import Path
from bento_cli.projects import project_reach
from bento_cli.store.home import Home
from rules_bento.base import landlock
out, other = map(Path, sys.argv[1:])
project_reach.confine(Home(out / "home"), [str(out / "empty"), str(out / "used")])
for path in (out / "used/file", Path(tempfile.gettempdir(), "scratch")):
    path.write_text("x")
try:
    other.write_text("x")
except PermissionError:
    print(tempfile.gettempdir())
landlock.outside((out / "log").write_text, "x")
import antigravity_of_this_test
"""


def test_a_process_writes_only_to_its_outputs(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/antigravity_of_this_test.py").touch()
    paths = [str(tmp_path / "modules"), *map(os.path.abspath, filter(None, sys.path))]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", CONFINED, str(tmp_path), str(tmp_path / "other")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    assert not Path(done.stdout.strip()).exists(), done.stdout
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cache", "log", "modules", "used"]
    assert [*(tmp_path / "modules").rglob("*.pyc")], "modules that are imported later have bytecode"


# A bug of a reader: it tries to read and to change files of the user, and imports modules that nothing has loaded.
BUGS = """
import importlib, json, os, sys, tempfile
from pathlib import Path
from bento_cli.projects import project_reach
from bento_cli.store.home import Home
project, *places = map(Path, sys.argv[1:])
if project.name == "confined":
    project_reach.confine(Home(project / "home"))
scratch = Path(tempfile.gettempdir())
(scratch / "program.py").touch()

def attempt(function, path):
    try:
        return function(path) is None or True
    except PermissionError:
        return False

def bug():
    own = Path(tempfile.mkdtemp())
    (own / "file").write_text("x")
    lazy = [name for name in ("bento_cli.projects.git_ignore", "third_party.lazy") if name not in sys.modules]
    names = [importlib.import_module(name).__name__ for name in lazy]
    data = Path(sys.modules["third_party"].__file__).with_name("data.txt").read_text()
    writes = [
        (lambda path: path.write_text("x")), (lambda path: (path.parent / "new").mkdir()), os.unlink,
        (lambda path: (own / "file").rename(path)), (lambda path: path.with_name("link").symlink_to("/")),
    ]
    changed = [str(path) for path in (*places, scratch / "program.py") if any(attempt(act, path) for act in writes)]
    seen = [str(path) for path in places if attempt(Path.read_text, path) or attempt(os.listdir, path.parent)]
    return [changed, seen, names, data, str(own)]

print(json.dumps(project_reach.confined([project], bug)))
"""


def link_files(source, target):
    """Write a tree of links to each file of another one, as uv does."""
    for path in source.rglob("*"):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(source)).symlink_to(path)


def runfiles(source, target):
    """Write a tree as Bazel does: of links, to several directories, and with an empty module in each directory."""
    (target / "x.runfiles/main/py").mkdir(parents=True)
    (target / "x.runfiles/main/__init__.py").touch()
    (target / "x.runfiles/main/py/__init__.py").touch()
    link_files(source / "third_party", target / "x.runfiles/pip/site-packages/third_party")
    for name in ("bento_cli", "rules_bento"):
        link_files(source / name, target / "x.runfiles/main/py" / name)
    generated = target / "x.runfiles/main/py/bento_cli/projects/git_ignore.py"
    (source.parent / "generated").mkdir()
    generated.readlink().rename(source.parent / "generated/git_ignore.py")
    generated.unlink()
    generated.symlink_to(source.parent / "generated/git_ignore.py")
    return [target / f"x.runfiles/{path}" for path in ("", "main", "main/py", "pip/site-packages")]


def link_directories(source, target):
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)


LAYOUTS = {
    "directories": lambda source, target: shutil.copytree(source, target) and [target],
    "links of directories": lambda source, target: link_directories(source, target) or [target],
    "links of files": lambda source, target: link_files(source, target) or [target],
    "runfiles": runfiles,
}
PRIVATE = ("home/.netrc", "home/.ssh/id_rsa", "home/.docker/config.json", "cache/uv/archive-v0/x/module.py")
CACHED = "cache/rules_bento/native/interpreters/x/root/program.py"
STORED = ("home/bentos/x/1/bento.yaml", "other/main.py", "file-of-temporary-directory")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("project", ["confined", "project"])
def test_a_reader_writes_only_to_a_new_directory(layout, project, tmp_path):
    """And reads only its project, the caches, and modules, also if modules are links."""
    secrets = [tmp_path / name for name in (*PRIVATE, *STORED)]
    files = [*secrets, tmp_path / CACHED, tmp_path / project / "pyproject.toml"]
    for path in (*files, tmp_path / "installed/third_party/__init__.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for package in (bento_cli, rules_bento):
        shutil.copytree(package.__path__[0], tmp_path / "installed" / package.__name__)
    (tmp_path / "installed/third_party/lazy.py").write_text("")
    (tmp_path / "installed/third_party/data.txt").write_text("data")
    paths = LAYOUTS[layout](tmp_path / "installed", tmp_path / "linked")
    variables = {"HOME": tmp_path / "home", "XDG_CACHE_HOME": tmp_path / "cache", "TMPDIR": tmp_path}
    variables["PYTHONPATH"] = os.pathsep.join(map(str, (*paths, *map(os.path.abspath, filter(None, sys.path)))))
    command = [sys.executable, "-B", "-c", BUGS, tmp_path / project, *files]
    done = subprocess.run(command, env={**os.environ, **variables}, check=True, capture_output=True, text=True)
    changed, seen, names, data, own = json.loads(done.stdout)
    assert (changed, {*seen} & {*map(str, secrets)}) == ([], set())
    assert (names, data) == (["bento_cli.projects.git_ignore", "third_party.lazy"], "data")
    assert not Path(own).parent.exists()


def test_a_directory_stands_for_links_to_all_of_its_files(tmp_path):
    """A rule for each of Bazel's thousands of links takes a second in each call."""
    for path in (
        "whole/a.py",
        "whole/sub/b.py",
        "whole/__pycache__/a.pyc",
        "part/a.py",
        "part/secret",
        "part/sub/b.py",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "links").mkdir()
    link_files(tmp_path / "whole", tmp_path / "links/whole")
    link_files(tmp_path / "part", tmp_path / "links/part")
    links = [str(path) for path in (tmp_path / "links").rglob("*.py")]
    found = {os.path.relpath(path, tmp_path) for path in project_reach._whole(links)}
    assert found == {"whole", "part/a.py", "part/sub"}
    # In a sandbox of Bazel, links lead to links, and here through the link of a directory.
    (tmp_path / "up").symlink_to("links")
    (tmp_path / "loop.py").symlink_to("loop.py")
    for name in ("a.py", "sub/b.py"):
        (tmp_path / "chain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "chain" / name).symlink_to(tmp_path / "up/whole" / name)
    links = [str(tmp_path / path) for path in ("chain/a.py", "chain/sub/b.py", "loop.py")]
    assert {os.path.relpath(path, tmp_path) for path in project_reach._whole(links)} == {"whole", "loop.py"}


SCRATCH = """
import os, signal, sys, tempfile
from pathlib import Path
from bento_cli.projects import project_reach
from bento_cli.store.home import Home
project_reach.confine(Home(Path(sys.argv[1])))
Path(tempfile.gettempdir(), "file").touch()
print(tempfile.gettempdir(), flush=True)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


def test_a_command_removes_what_killed_commands_left(tmp_path):
    """Not the directories of running commands, and nothing that a link leads to."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").touch()
    (tmp_path / "rules_bento-command-link").symlink_to(tmp_path / "victim")
    path = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    variables = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def start(act):
        command = [sys.executable, "-c", SCRATCH, tmp_path / "home", act]
        process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return process, Path(process.stdout.readline().strip())

    with start("wait")[0] as running:
        killed, left = start("kill")
        killed.communicate()
        assert (left / "file").exists()
        ended, own = start("wait")
        assert own.exists()
        assert not left.exists()
        ended.communicate()
        found = sorted(each.name for each in tmp_path.iterdir())
        assert len(found) == 4, found  # with the directory of `running`
        running.communicate()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cache", "rules_bento-command-link", "victim"]
    assert (tmp_path / "victim/file").exists()


@pytest.mark.parametrize(
    "words", ["build", "image .", "lock", "lock --apt=curl", "lock --debian", "verify oci:x --rebuild --source=."]
)
def test_each_command_fails_if_it_requires_isolation(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENTO_REQUIRE_ISOLATION", "1")
    monkeypatch.setattr(landlock, "problem", lambda: "this system has no limits")
    assert main(["--home", str(tmp_path / "home"), *words.split()])
    assert "--require-isolation: this system has no limits. Use another" in capsys.readouterr().err


def test_the_tree_of_a_project(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (".git", "plain/deep", "repository/.git", "repository/a/b", "workspace/member/src"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("pyproject.toml", "workspace/pyproject.toml", "workspace/member/pyproject.toml"):
        (tmp_path / name).touch()
    trees = {"plain/deep": "plain/deep", "repository/a/b": "repository", "workspace/member/src": "workspace"}
    for place, root in trees.items():
        assert project_reach.tree(tmp_path / place) == tmp_path / root
    (tmp_path / "link").symlink_to("repository/a")
    assert project_reach.tree(tmp_path / "link") == tmp_path / "repository"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "workspace"))
    assert project_reach.tree(tmp_path / "workspace/member/src") == tmp_path / "workspace/member"


def test_machine_code_next_to_a_zip_is_readable(places, tmp_path, monkeypatch):
    """As in Bazel, where packages are zips."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package/code.so").write_text("code")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "package.zip")])
    project_reach._modules.cache_clear()
    try:
        assert project_reach.confined([places[0]], (tmp_path / "package/code.so").read_text) == "code"
        with pytest.raises(PermissionError):
            project_reach.confined([places[0]], (places[1] / "file").read_text)
    finally:
        project_reach._modules.cache_clear()
