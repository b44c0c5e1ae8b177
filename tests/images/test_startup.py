"""Starts of containers: the files that they read, their time, their limits, and what they see of the machine."""

import http.server
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from types import SimpleNamespace

import pytest
from rules_bento.actions import subcommands
from rules_bento.base import namespaces
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.images import unpack_image as of_image
from rules_bento.run import container, image_start, startup_test

from tests.conftest import until
from tests.images.startup_support import (
    SERVICE,
    STAYS,
    TAR,
    changed,
    file,
    file_with,
    image,
    link,
    member,
    python_image,
    running,
    serving,
)

__all__ = ["image"]

with_log = image_start._with_log


def unpacked(directory, *layers):
    """Unpack layers of (path, contents), (path, link) as tars have them; returns the root."""
    blobs = []
    for number, members in enumerate(layers):
        path = directory / f"{number}.tar"
        with tarfile.open(path, "w") as tar:
            for member, data in members:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        blobs.append((path, TAR, ""))
    root = directory / "root"
    root.mkdir()
    of_image.unpack(blobs, root)
    return root


def found(root):
    return {path: (root / path).read_bytes() for path, _ in of_image.files(root)}


def test_a_link_that_takes_the_place_of_a_removed_directory_leads_nowhere_else(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    lower = [file("a/b/f"), file("c/f"), file("d/e/f")]
    swapped = [file(".wh.a", b""), link("a", str(outside)), file("a/b/x"), link("c", str(outside)), file("c/x")]
    emptied = [file("d/.wh..wh..opq", b""), link("d/e", str(outside)), file("d/e/x")]
    later = [file("d/e/.wh..wh..opq", b""), file("a/b/y"), file("c/.wh.kept", b""), file("d/e/y")]
    root = unpacked(tmp_path, lower, [*swapped, *emptied], later)
    assert sorted(path.name for path in outside.iterdir()) == ["kept"]
    inside = f"{outside}/"[1:]
    assert found(root) == dict.fromkeys((f"{inside}b/y", f"{inside}y"), b"data")


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..", "a/.wh..."])
def test_a_whiteout_of_no_name_is_rejected_and_removes_nothing(tmp_path, name):
    with pytest.raises(BentoError, match=r"^1\.tar: '.*' cannot be unpacked"):
        unpacked(tmp_path, [file("a/b"), file("b")], [file(name, b"")])
    assert found(tmp_path / "root") == {"a/b": b"data", "b": b"data"}


NO_FILES = ("..", "a/..", "", "a", "missing/b", "a/b/../../..", "x" * 300, "a\0b")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        *(([file("a/b"), (member("c", tarfile.LNKTYPE, target), b"")], r"0\.tar: ") for target in NO_FILES),
        ([file("a/" * 300 + "b")], "more than 256 nested directories"),
        ([file("x" * 300)], r"cannot be unpacked \(File name too long\)"),
        *(([file(name)], "cannot be unpacked") for name in ("..", "a/..")),
        ([link("a", "b"), link("b", "a"), file("a/c")], "the symbolic links form a loop"),
    ],
)
def test_what_has_no_place_in_the_image_is_rejected(tmp_path, members, message):
    with pytest.raises(BentoError, match=message):
        unpacked(tmp_path, members)


def test_a_hard_link_to_itself_keeps_the_file(tmp_path):
    assert found(unpacked(tmp_path, [file("a"), (member("./a", tarfile.LNKTYPE, "a"), b"")])) == {"a": b"data"}


def test_what_a_layer_empties_is_empty_below_the_directories_that_it_names(tmp_path):
    upper = [(member("a/b", tarfile.DIRTYPE, mode=0o755), b""), file("a/b/new"), file("a/.wh..wh..opq", b"")]
    assert found(unpacked(tmp_path, [file("a/b/old"), file("a/old")], upper)) == {"a/b/new": b"data"}


@pytest.mark.parametrize("whiteout", ["a/.wh..wh..opq", ".wh.a", ".wh..wh..opq"])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_a_layer_removes_is_of_those_below_and_nothing_that_it_has_itself(tmp_path, whiteout, is_first):
    whiteouts, own = [file(whiteout, b"")], [file("a/b/new"), file("a/c", b"new"), link("a/d", "b")]
    upper = whiteouts + own if is_first else own + whiteouts
    root = unpacked(tmp_path, [file("a/b/old"), file("a/c"), file("a/d/old"), file("a/old")], upper)
    assert found(root) == {"a/b/new": b"data", "a/c": b"new"}
    assert (root / "a/d").is_symlink()


def test_a_file_that_a_layer_has_and_removes_is_its_own(tmp_path):
    upper = [file("a", b"new"), file(".wh.a", b""), link("b", "a"), file(".wh.b", b"")]
    root = unpacked(tmp_path, [file("a"), file("b")], upper)
    assert found(root) == {"a": b"new"}
    assert (root / "b").is_symlink()


def test_links_that_make_each_path_long_are_rejected_before_they_take_time(tmp_path):
    way = "/".join(["d/.."] * 500)
    links = [link(f"l{at}", f"{way}/l{at - 1}" if at else way) for at in range(38)]
    began = time.process_time()
    with pytest.raises(BentoError, match="the path contains too many symbolic links"):
        unpacked(tmp_path, [file("d/a"), *links], [file(f"l37/{at}") for at in range(1000)])
    assert time.process_time() - began < 9


def test_a_directory_that_is_emptied_again_and_again_is_looked_through_once(tmp_path):
    files = [file(f"a/{'b/' * 50}{at}", b"") for at in range(200)]
    again = [file(f"a/{'b/' * depth}.wh..wh..opq", b"") for depth in range(50, -1, -1) for _ in range(10)]
    began = time.process_time()
    assert len(found(unpacked(tmp_path, [*files, *again]))) == 200
    assert time.process_time() - began < 3


def test_hard_links_and_what_is_not_a_file(tmp_path):
    hard = member("usr/b", tarfile.LNKTYPE, "lib/a"), b""
    layer = [link("lib", "usr/lib"), file("lib/a"), hard, (member("dev/null", tarfile.CHRTYPE), b"")]
    assert found(unpacked(tmp_path, layer)) == {"usr/lib/a": b"data", "usr/b": b"data"}


# A container with the Python that runs this test, which answers requests.


PROBE = """
import os
for path in {paths}:
    try:
        with open(path, "a"):
            print("written", path, flush=True)
    except OSError as error:
        print(error.errno, path, flush=True)
for path in ("/srv/secret", "/srv/own_secret", "/srv/of_group"):
    try:
        print("read", path, open(path).read(), flush=True)
    except OSError as error:
        print(error.errno, path, flush=True)
"""
# Paths that a program can't write in a container, and paths that it can.
DENIED = [
    "/etc/x",
    "/usr/lib/x",
    "/var/x",
    "/app/_main/x",
    "/x",
    "/srv/service.py",
    "/dev/x",
    "/etc/hosts",
    "/var/lib/x",
]
ALLOWED = ["/home/bentoml/x", "/app/.venv/x", "/app/.venv/owned", "/tmp/x", "/var/tmp/x", "/srv/shared", "/opt/group/x"]


def owned(name, kind=tarfile.REGTYPE, mode=0o644, uid=0, gid=0):
    info = member(name, kind, mode=mode)
    info.uid, info.gid = uid, gid
    return info, b"" if kind == tarfile.DIRTYPE else b"1"


@pytest.mark.parametrize("user", ["1034:1034", "0:0"])
def test_what_belongs_to_root_is_read_only_as_in_a_container(image, tmp_path, capfd, user):
    """The same as runc 1.1 allows, for the same tar."""
    folder = tarfile.DIRTYPE
    layer = [
        owned("etc", folder, 0o755),
        owned("app/_main/server.py"),
        owned("home/bentoml", folder, 0o755, 1034, 1034),
        owned("app/.venv", folder, 0o755, 1034, 1034),
        owned("app/.venv/owned", uid=1034),
        owned("var/tmp", folder, 0o1777),
        owned("srv/shared", mode=0o666),
        owned("srv/secret", mode=0o600),
        owned("srv/own_secret", mode=0o600, uid=1034),
        owned("srv/of_group", mode=0o640, gid=1034),
        owned("opt/group", folder, 0o775, gid=1034),
        owned("var/lib", folder, 0o700),
    ]
    command = [os.path.realpath(sys.executable), "-S", "-c", PROBE.format(paths=DENIED + ALLOWED)]
    probed = changed(image, tmp_path / "probed", {"Entrypoint": command, "User": user}, layer)
    assert limit(probed) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if " /" in line and not line.startswith("//:x: ")]
    written = [line.removeprefix("written ") for line in lines if line.startswith("written ")]
    read = [line.split()[1] for line in lines if line.startswith("read ")]
    assert written == (ALLOWED if user == "1034:1034" else DENIED + ALLOWED)
    assert (
        read == ["/srv/own_secret", "/srv/of_group"]
        if user == "1034:1034"
        else ["/srv/secret", "/srv/own_secret", "/srv/of_group"]
    )
    assert {line.split()[0] for line in lines} <= {"written", "read", "13", "the"}, lines


def test_a_server_without_http_is_ready_when_its_port_accepts_connections(image, tmp_path, capfd):
    listens = "import socket\ns = socket.create_server(('127.0.0.1', 80))\nwhile True: s.accept()[0].close()\n"
    config = {"Entrypoint": [os.path.realpath(sys.executable), "-S", "-c", listens]}
    config["ExposedPorts"] = {"3000/tcp": {}}
    server = changed(image, tmp_path / "server", config)
    assert limit(server, "--ready", "", "--port", "80") == 0, capfd.readouterr().err
    assert limit(server, "--ready", "", timeout=5) == 1
    assert re.search(r"tcp://127.0.0.1:3000: not ready within \d s \(no response\)", capfd.readouterr().err)


WORDS = ("--contents", "contents.json", "--target", "//:x")


def limit(image, *words, timeout=75):
    defaults = {"--ready": "/readyz", "--max-megabytes": "0"}
    defaults = {flag: value for flag, value in defaults.items() if flag not in words}
    words = [*(word for pair in defaults.items() for word in pair), *words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_TIMEOUT", str(timeout))
        return subcommands.run(["startup_test", "--directory", str(image), *WORDS, *words])


def read_files(image, *words):
    """The files that the start of a container reads."""
    words = ["--directory", str(image), *WORDS, "--ready", "/readyz", *words]
    words += ["--max-megabytes", "0"]
    return set(startup_test.start(decode(startup_test.run, words)).files)


def test_the_files_that_a_start_reads(image):
    read = read_files(image, "--request", "/predict", "{}")
    assert {path for path in read if path.startswith("srv/")} == {"srv/service.py", "srv/read", "srv/of_an_answer"}
    assert os.path.realpath(sys.executable)[1:] in read
    assert any("ld-linux" in path or "libc." in path for path in read)
    assert os.path.realpath(file_with(http.server.__file__))[1:] in read


def test_a_startup_within_its_limits_passes_with_a_report(image, capfd):
    assert limit(image, "--max-megabytes", "1000", "--forbidden-import", "torch") == 0
    report = capfd.readouterr().out
    read, size = re.match(r"files read: (\d+), ([\d.]+) MB\nCPU: \d+\.\d\d s\n", report).groups()
    assert 10 < int(read) < 1_000
    assert 1 < float(size) < 1_000
    assert re.search(r"^ +\d\.\d{3}  [a-z]+$", report, re.MULTILINE)
    assert re.search(r"^ +\d{5,}  /.*lib.*\.so", report, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--max-megabytes", "1"), r"//:x: max_megabytes: the startup uses \d+\.\d, but the limit is 1\. Change the service, or"),
        (("--forbidden-import", "http"), r"//:x: forbidden_imports: the startup imports http\. Change"),
        (("--forbidden-import", "http.server"), r"//:x: forbidden_imports: the startup imports http\.server\. Change"),
    ],
)  # fmt: skip
def test_a_startup_above_a_limit_fails(image, capfd, words, problem):
    assert limit(image, *words) == 1
    assert re.search(problem, capfd.readouterr().out)


@pytest.mark.parametrize(("workers", "status"), [(2, 0), (3, 1)])
def test_a_service_that_differs_from_bento_yaml_fails_the_test(image, tmp_path, capfd, workers, status):
    assert limit(serving(image, tmp_path / "serving", workers)) == status, capfd.readouterr().err
    line = (
        "//:x: bento.yaml isn't right: services.0.config.workers is 3 in bento.yaml, but 2 in the service that runs.\n"
    )
    assert (line in capfd.readouterr().out) == (status == 1)


def test_cpu_time_includes_ended_processes_and_children(image, tmp_path, capfd):
    burns = "import os, time\nif not os.fork():\n while time.process_time() < 0.6: pass\n os._exit(0)\nos.wait()\n"
    burns += "exec(open('/srv/service.py').read())"
    busy = changed(image, tmp_path / "busy", {"Entrypoint": [os.path.realpath(sys.executable), "-S", "-c", burns]})
    assert limit(busy) == 0, capfd.readouterr().err
    assert float(re.search(r"^CPU: ([\d.]+) s$", capfd.readouterr().out, re.MULTILINE)[1]) >= 0.6


def test_imports_that_python_does_not_report_are_an_error(image, tmp_path, capfd):
    quiet = [os.path.realpath(sys.executable), "-S", "-E", "/srv/service.py"]
    isolated = changed(image, tmp_path / "isolated", {"Entrypoint": quiet})
    assert limit(isolated, "--forbidden-import", "torch") == 1
    assert "forbidden_imports: the image's Python reported no imports." in capfd.readouterr().err


def test_a_container_that_ends_or_answers_no_is_reported_with_its_log(image, tmp_path, capfd):
    assert limit(image, "--request", "/predict", "500") == 1
    assert (
        "requests: the server responded with 500: . Check the body of the request to /predict, and the container's log."
        in capfd.readouterr().err
    )
    assert limit(image, "--ready", "/other", timeout=12) == 1
    told = capfd.readouterr().err
    assert re.search(r"http://127.0.0.1:3000/other: not ready within \d+ s \(last response: status 404\)\. ", told)
    assert "Check readiness_path and port, or increase timeout.\nThe log" in told
    command = [os.path.realpath(sys.executable), "-S", "/srv/missing.py"]
    ended = changed(image, tmp_path / "ended", {"Entrypoint": command})
    assert limit(ended) == 1
    told = capfd.readouterr().err
    assert re.search(
        "the container exited with status 2 before it was ready: .*/srv/missing.py.*. Check the container's log.\nThe log",
        told,
    )
    assert "/srv/missing.py" in told
    killed = {"Entrypoint": [*command[:2], "-c", "import os; os.kill(os.getpid(), 9)"]}
    assert limit(changed(image, tmp_path / "killed", killed)) == 1
    silent = "exited with status 137 before it was ready. Check the container's log.\nThe log of the container has no"
    assert silent in capfd.readouterr().err


def test_an_image_whose_directories_are_links_changes_nothing_of_the_machine(image, tmp_path, capfd):
    outside = tmp_path / "outside"
    outside.mkdir()
    links = [link(name, str(outside / name)) for name in ("etc", "proc", "dev", "sys")]
    limit(changed(image, tmp_path / "links", layer=links))  # fails where `outside` is in /tmp
    dangling = changed(image, tmp_path / "dangling", layer=[link("etc/hosts", str(outside / "hosts"))])
    assert limit(dangling) == 0, capfd.readouterr().err
    assert not list(outside.iterdir())


def test_a_command_or_a_directory_that_is_none_is_reported(image, tmp_path, capfd):
    for number, config in enumerate(({"WorkingDir": "missing"}, {"Entrypoint": ["/none"]}, {"Entrypoint": ["a\0b"]})):
        assert limit(changed(image, tmp_path / str(number), config)) == 1
        told = capfd.readouterr().err
        assert "Traceback" not in told
        assert "internal error" not in told


def test_proxies_of_the_caller_are_not_asked(image, tmp_path, monkeypatch, capfd):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    lenient = changed(image, tmp_path / "lenient", {"Env": [*env_of(image), "LONELY"]})
    assert limit(lenient) == 0, capfd.readouterr().err


def env_of(image):
    return json.loads((image / "config.json").read_text("utf-8"))["config"]["Env"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_recording_that_is_ended_leaves_no_process_and_no_file(image, tmp_path, number):
    """What is started neither stops when it is told to, nor stays in its session."""
    python = os.path.realpath(sys.executable)
    starts = f"import os; os.fork() or os.setsid(); {STAYS}"
    silent = changed(image, tmp_path / "silent", {"Entrypoint": [python, "-S", "-c", starts]})
    words = ["--directory", str(silent), *WORDS, "--max-megabytes", "0"]
    code = "import sys; from rules_bento.actions import subcommands; from rules_bento.run import container; "
    code += f"container._STOPPING_SECONDS = 0.5; sys.exit(subcommands.run({['startup_test', *words, *NEVER]!r}))"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(scratch)},
        start_new_session=True,
    )
    mark = f"{python}\0-S\0-c\0{starts}".encode()
    until(lambda: running(mark) == 2)
    if number == signal.SIGINT:  # a terminal tells all of them, more than once
        for _ in range(3):
            os.killpg(program.pid, number)
            time.sleep(0.1)
    else:
        program.send_signal(number)
    program.wait()
    until(lambda: not running(mark))
    assert number == signal.SIGKILL or not list(scratch.iterdir())


NEVER = ("--ready", "/readyz")


@pytest.mark.parametrize("user", ["1034:1034", "0:0"])
def test_a_container_sees_nothing_of_the_machine(image, tmp_path, capfd, user):
    """Not with the rights of root that it has in namespaces, which lead out of a mere chroot."""
    (tmp_path / "mark").write_text("of the machine", "utf-8")
    looks = LOOKS.format(marks=[f"{way}{tmp_path}/mark" for way in ("", "/proc/1/root", "/proc/1/cwd")])
    command = [os.path.realpath(sys.executable), "-S", "-c", looks]
    curious = changed(image, tmp_path / "curious", {"Entrypoint": command, "User": user})
    assert limit(curious) == 1
    told = capfd.readouterr().err
    assert "keys none" in told
    assert "processes ['1', '2'], others False" in told
    assert "read none, written none" in told
    assert f"may {'00000000000404fb' if user == '0:0' else '0000000000000000'} of 00000000000404fb" in told
    assert "devices ['fd', 'full', 'null', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'urandom', 'zero']" in told


LOOKS = """
import os
def does(function, *words):
    try:
        return function(*words) or True
    except OSError:
        return False
print("processes", sorted(name for name in os.listdir("/proc") if name.isdigit()), end=", ")
print("others", does(os.kill, 1 << 21, 0) or does(os.kill, -1, 0) and os.getuid() != 0)
with open("/proc/self/status") as status:
    known = dict(line.split(":", 1) for line in status)
print("may", known["CapEff"].strip(), "of", known["CapBnd"].strip())
print("keys", open("/proc/keys").read() or "none")
print("devices", sorted(os.listdir("/dev")))
written = [path for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/power/state")
           if does(open, path, "r+")]
os.mkdir("/tmp/deep")
does(os.chroot, "/tmp/deep")
for _ in range(40):
    os.chdir("..")
does(os.chroot, ".")
print("read", [path for path in {marks} if does(open, path)] or "none", end=", ")
print("written", written or "none")
"""


def test_the_end_of_a_long_log_is_shown_and_names_that_are_no_text_are_excluded(image, tmp_path, capfd):
    noise = "import sys; sys.stdout.write('begin' + 9 * 'x' * (1 << 20) + 'the end')"
    loud = changed(image, tmp_path / "loud", {"Entrypoint": [os.path.realpath(sys.executable), "-S", "-c", noise]})
    assert limit(loud) == 1
    told = capfd.readouterr().err
    assert told.rstrip().endswith("xxthe end")
    assert len(told) < 6000
    service = f"import os; open(os.fsdecode(b'/srv/caf\\xe9')).read()\n{SERVICE}"
    layer = [(member("srv/caf\udce9"), b"1"), (member("srv/service.py"), service.encode())]
    read = read_files(changed(image, tmp_path / "odd", layer=layer))
    assert {path for path in read if path.startswith("srv/")} == {"srv/service.py", "srv/read"}


def test_files_know_their_layer_and_their_time(tmp_path):
    old, new = member("a"), member("b/c")
    old.mtime, new.mtime = 1_700_000_000, -1
    for number, members in enumerate(([(old, b"1"), file("b/c"), file("gone")], [(new, b"22"), file(".wh.gone", b"")])):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            for info, data in members:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    root = tmp_path / "root"
    root.mkdir()
    paths = of_image.unpack([(tmp_path / f"{number}.tar", TAR, "") for number in (0, 1)], root)
    assert paths == {"a": 0, "b/c": 1, "gone": 0}
    assert ((root / "a").stat().st_mtime, (root / "b/c").stat().st_mtime) == (1_700_000_000, 0)
    os.utime(root / "b/c", (time.time(), 0))
    (root / "a").unlink()
    (root / "a").symlink_to("/etc/passwd")
    files, sums = image_start._files_read(str(root), paths | {"d": 0}, [[0, 0], [0, 0]], time.time())
    assert (files, sums) == ({"b/c": 2}, [[0, 0], [2, 2]])


def test_an_unpacked_image_is_removed_at_any_depth(tmp_path):
    root, scratch = tmp_path / "root", tmp_path / "removed"
    for directory in (root, scratch, tmp_path / "kept"):
        directory.mkdir()
    (tmp_path / "kept/file").touch()
    (root / "link").symlink_to(tmp_path / "kept")
    (root / "0").mkdir(0)
    at = os.open(root, os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("x" * 20, dir_fd=at)
        below = os.open("x" * 20, os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    of_image.remove_image(root, scratch)
    assert (root.exists(), list(scratch.iterdir()), (tmp_path / "kept/file").exists()) == (False, [], True)


def test_what_an_image_can_contain_is_limited():
    limit = of_image.Limit("the image", 100, 10)
    assert limit(SimpleNamespace(size=80))
    with pytest.raises(BentoError, match="^the image: the files, each with 10 more bytes, have more than 100 bytes$"):
        limit(SimpleNamespace(size=1))


SERVER = "import socket, time\ns = socket.create_server(('127.0.0.1', 3000))\nwhile True:\n c = s.accept()[0]\n {}\n"


def test_a_server_that_never_ends_its_answer_is_late(image, tmp_path, capfd):
    drips = SERVER.format("c.sendall(b'HTTP/1.1 200 OK\\r\\n')\n while True:\n  time.sleep(0.2)\n  c.sendall(b'x')")
    began = time.monotonic()
    assert limit(python_image(image, tmp_path / "drips", drips), timeout=8) == 1
    assert re.search(r"/readyz: not ready within \d s \(no response\)\.", capfd.readouterr().err)
    assert time.monotonic() - began < 60


def test_a_redirect_is_an_answer_and_is_not_followed(image, tmp_path, capfd):
    away = SERVER.format(
        "c.recv(999); c.sendall(b'HTTP/1.0 307 x\\r\\nLocation: http://127.0.0.1:9/\\r\\n\\r\\n'); c.close()"
    )
    assert limit(python_image(image, tmp_path / "away", away)) == 0, capfd.readouterr().err


def test_requests_have_the_host_localhost_and_its_rejection_is_explained(image, tmp_path, capfd):
    """As from curl on the machine, and with an IP address, Django and Starlette reject more."""
    answer = "c.sendall(b'HTTP/1.0 %d x\\r\\n\\r\\n' % (200 if HOST in c.recv(999) else 400)); c.close()"
    for host, code in (("localhost:3000", 0), ("example.com", 1)):
        served = SERVER.format(answer.replace("HOST", repr(f"\r\nHost: {host}\r\n".encode())))
        assert limit(python_image(image, tmp_path / host, served), timeout=8) == code
    told = capfd.readouterr().err
    assert "(last response: status 400). Allow the host localhost, as in ALLOWED_HOSTS of Django, or correct" in told


def test_a_refused_connection_is_explained_and_a_long_output_is_bounded(image, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(container, "_MAX_LOG", 1 << 16)
    monkeypatch.setattr(container, "_LOG_END", 1 << 10)
    kept = []
    monkeypatch.setattr(
        image_start, "_with_log", lambda error, log, *more: kept.append(log.read_bytes()) or with_log(error, log, *more)
    )
    code = (
        "import socket, sys\nsys.stdout.write('begin' + 'x' * (1 << 20))\nsocket.socket().connect(('127.0.0.1', 5432))"
    )
    assert limit(python_image(image, tmp_path / "refused", code)) == 1
    told = capfd.readouterr().err
    assert "\nThe container has no network: connections to databases and other servers fail.\nThe log" in told
    assert told.rstrip().endswith("Connection refused")
    assert b"beginx" in kept[0]
    assert len(kept[0]) <= (1 << 16) * 2


def test_a_file_that_only_root_can_write_is_explained(image, tmp_path, capfd):
    code = "raise PermissionError(13, 'Permission denied', '/app/_main/app.log')"
    assert limit(python_image(image, tmp_path / "root", code)) == 1
    told = capfd.readouterr().err
    assert "\nThe program can't write to /app/_main: use files in its home directory, or mount a volume.\nThe" in told


def test_a_user_without_an_entry_has_a_name_and_a_home(image, tmp_path, capfd):
    """Only programs that read /etc/passwd need an entry there."""
    names = "import os; print(os.environ['USER'], os.path.expanduser('~'), flush=True)\n"
    variables = ["USER=bentoml", "HOME=/tmp"]
    assert limit(python_image(image, tmp_path / "x", f"{names}import pwd; pwd.getpwuid(1034)", Env=variables)) == 1
    told = capfd.readouterr().err
    assert "\nThe program requires its user in /etc/passwd. Use a base with this user.\nThe log" in told
    assert "\nbentoml /tmp\n" in told and "uid not found: 1034" in told


@pytest.mark.parametrize(
    ("log", "directory", "place"),
    [
        ("PermissionError: [Errno 13] Permission denied: '/app/_main/data/app.log'", "/app/_main", "/app/_main/data"),
        ("OSError: [Errno 30] Read-only file system: 'logs'", "/app/_main", "/app/_main/logs"),
        ("PermissionError: [Errno 13] Permission denied: '/app/_main/.files'", "/", "/app/_main/.files"),
        ("Permission denied: 'logs'\nPermission denied: '../web/x.db'", "/srv/app", "/srv/web"),
        ("sqlite3.OperationalError: unable to open database file", "/app/_main", "/app/_main"),
        ("django.db.utils.OperationalError: attempt to write a readonly database", "/app/_main", "/app/_main"),
        ("PermissionError: [Errno 13] Permission denied: 'logs'", "/", "/logs"),
        ("PermissionError: [Errno 13] Permission denied: 'app.log'", "/", ""),
        ("PermissionError: [Errno 13] Permission denied: '/etc/hosts'", "/app/_main", ""),
        ("PermissionError: [Errno 13] Permission denied: '/appendix/x'", "/app", ""),
    ],
)
def test_the_directory_of_a_failed_write(log, directory, place):
    assert image_start._unwritable(log, directory) == place


def test_a_container_without_namespaces_is_never_started(image, capfd, monkeypatch):
    monkeypatch.setattr(namespaces, "enter", lambda _: namespaces._check(1, "user namespaces"))
    assert limit(image) == 1
    told = capfd.readouterr().err
    assert "which this system doesn't allow (user namespaces: Success.) On Ubuntu, run `sysctl kernel.apparmor" in told
    monkeypatch.undo()
    monkeypatch.setattr(namespaces, "separate_mounts", lambda: namespaces._check(1, "private mounts"))
    assert limit(image) == 1
    assert "this system doesn't allow (private mounts: " in capfd.readouterr().err
