"""`bento doctor`: what is missing is named with what to do, and nothing is asked over a network unless it is told to."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from bento_cli.cli import cache_check, main
from bento_cli.cli.diagnosis import (
    ERROR,
    OK,
    OLDEST_BAZEL,
    OLDEST_RULES_PYTHON,
    WARNING,
    Finding,
    HostEnvironment,
    diagnose,
    index,
)
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.programs import which

from tests.helpers.loopback import Handler, running

MODULE = """\
bazel_dep(name = "rules_bento", version = "0.1.0")
tools = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_tools")
tools.python(interpreter = "python3")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(name = "pypi", lock = "//svc:requirements.lock.json")
use_repo(bento, "pypi")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_requirements")

bento_requirements(
    name = "requirements",
    srcs = ["requirements.in"],
    platforms = ["linux_amd64"],
)
"""
LOCK = {"lock": 1, "requires_python": ">=3.10", "roots": [], "packages": [], "inputs": {"requirements": ["bentoml"]}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A machine that lacks nothing, and a workspace that is well; tests take things away."""
    monkeypatch.setattr("bento_cli.cli.diagnosis.find_uv", lambda path: which("uv", path))
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs / "bazel", "echo bazel 8.1.0")
    program(programs / "podman", "")
    program(programs / "python3", f'exec "{sys.executable}" "$@"')
    program(programs / "uv", "echo uv")
    root = tmp_path / "workspace"
    (root / "svc").mkdir(parents=True)
    (root / "MODULE.bazel").write_text(MODULE)
    (root / ".bazelrc").write_text("common --disk_cache=/somewhere\n")
    (root / "svc/BUILD.bazel").write_text(BUILD)
    (root / "svc/requirements.in").write_text("bentoml\n")
    (root / "svc/requirements.lock.json").write_text(json.dumps(LOCK))
    return HostEnvironment(root, {"PATH": str(programs), "HOME": str(tmp_path)})


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def with_variables(here: HostEnvironment, **variables: str) -> HostEnvironment:
    return replace(here, variables={**here.variables, **variables})


def found(here: HostEnvironment, about: str) -> Finding:
    [finding] = [finding for finding in diagnose(here) if finding.about == about]
    return finding


def test_all_is_well(here):
    assert {finding.about: finding.state for finding in diagnose(here)} == dict.fromkeys(
        ["bazel", "python", "containers", "workspace", "lock of @pypi", "cache"], OK
    )


def test_the_oldest_bazel_is_that_of_the_module():
    text = Path("MODULE.bazel").read_text("utf-8")
    assert f'bazel_compatibility = [">={".".join(map(str, OLDEST_BAZEL))}"]' in text
    assert f'bazel_dep(name = "rules_python", version = "{OLDEST_RULES_PYTHON}")' in text
    constants = Path("private/versions.bzl").read_text("utf-8")
    assert f'OLDEST_RULES_PYTHON = "{OLDEST_RULES_PYTHON}"' in constants


@pytest.mark.parametrize(
    ("version", "state"),
    [("6.5.0", ERROR), ("7.7.0", ERROR), ("7.7.1", OK), ("7.x", OK), ("6.x", ERROR), ("10.0.0", OK), ("8.0.0rc1", OK), ("latest", WARNING), ("", OK)],
)  # fmt: skip
def test_the_version_of_bazel_is_that_of_its_file_else_the_programs(here, version, state):
    (here.root / ".bazelversion").write_text(f"{version}\n")
    assert found(here, "bazel").state == state


def test_a_bazel_that_is_too_old_gets_the_line_for_who_names_it(here):
    program(Path(here.variables["PATH"], "bazel"), "echo bazel 6.5.0")
    finding = found(here, "bazel")
    assert (finding.state, finding.text) == (ERROR, "Bazel 6.5.0 is too old for rules_bento")
    assert finding.remedy == "Install bazelisk, and set .bazelversion to 7.7.1 or newer."
    (here.root / ".bazelversion").write_text("6.4.0\n")
    assert found(here, "bazel").remedy == "Set .bazelversion to 7.7.1 or newer."
    finding = found(with_variables(here, USE_BAZEL_VERSION="5.0.0"), "bazel")
    assert finding.remedy == "Set USE_BAZEL_VERSION to 7.7.1 or newer, or unset the variable."


def test_bazelisk_is_not_asked_for_its_version_as_it_would_fetch_it(here):
    asked = here.root / "asked"
    program(Path(here.variables["PATH"], "bazel"), f"# bazelisk\ntouch {asked}")
    assert found(here, "bazel").state == WARNING
    assert not asked.exists()


@pytest.mark.parametrize(("name", "about"), [("bazel", "bazel"), ("python3", "python")])
def test_a_program_that_does_not_exist_is_missing(here, name, about):
    Path(here.variables["PATH"], name).unlink()
    assert found(here, about).state == ERROR
    assert found(here, about).remedy


@pytest.mark.parametrize(
    "where", ["./evil.sh", "evil.sh", "bin/../evil.sh", "{root}/evil.sh", "//evil.sh", "", "\0", "ü"]
)
def test_no_program_of_the_project_is_started(here, monkeypatch, where):
    """An interpreter of MODULE.bazel, and programs that a PATH with the current directory in it finds there."""
    monkeypatch.chdir(here.root)
    ran = here.root.parent / "ran"
    for name in ("evil.sh", "bazel", "python3", "uv", "docker", "pip"):
        program(here.root / name, f"touch {ran}; echo 3.11")
    (here.root / "pip.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (here.root / ".venv/bin").mkdir(parents=True)
    program(here.root / ".venv/bin/python3", f"touch {ran}; echo 3.11")
    module = MODULE.replace(
        'interpreter = "python3"', f"interpreter = {where.format(root=here.root)!r}".replace("'", '"')
    )
    (here.root / "MODULE.bazel").write_text(module)
    for path in ("{path}", ".:{path}", ":{path}", "{root}:{path}", "{root}/.venv/bin", ".", ""):
        searched = with_variables(here, PATH=path.format(path=here.variables["PATH"], root=here.root))
        assert any(finding.about == "python" for finding in diagnose(searched))
    assert not ran.exists()


def test_the_index_is_asked_by_no_program_of_the_project(here, monkeypatch, tmp_path):
    monkeypatch.chdir(here.root)
    ran = tmp_path / "ran"
    for name in ("pip.py", "tempfile.py", "encodings.py", "site.py"):
        (here.root / name).write_text(f"open({str(ran)!r}, 'w')\n")
    for name in ("uv", "python3", ".venv/bin/python"):
        (here.root / name).parent.mkdir(parents=True, exist_ok=True)
        program(here.root / name, f"touch {ran}")
    Path(here.variables["PATH"], "uv").unlink()
    for path in (here.variables["PATH"], f".:{here.root}:{here.variables['PATH']}", "."):
        index(with_variables(here, PATH=path))
    assert not ran.exists()


def test_a_bazel_of_the_workspace_is_not_started(here):
    """Debian's `bazel` starts tools/bazel of the workspace that it is called in."""
    program(Path(here.variables["PATH"], "bazel"), "test -e tools/bazel && exec tools/bazel; echo bazel 8.1.0")
    (here.root / "tools").mkdir()
    program(here.root / "tools/bazel", "echo bazel 1.0.0")
    before = Path.cwd()
    os.chdir(here.root)
    try:
        assert found(here, "bazel").text == "Bazel 8.1.0"
    finally:
        os.chdir(before)


def test_programs_are_those_of_absolute_entries_of_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin/tool", "")
    program(tmp_path / "tool", "")
    for path in ("", ".", ":", "bin", f".:bin:{tmp_path}/none"):
        assert which("tool", path) is None
    assert which("tool", f".::{tmp_path}/bin") == str(tmp_path / "bin/tool")
    for name in ("", "./tool", "bin/tool", str(tmp_path / "tool"), "to\0ol", "\ud800"):
        assert which(name, f"{tmp_path}:{tmp_path}/bin") is None


def test_a_python_that_is_too_old_or_is_none_is_reported(here):
    for text, problem in (
        ("echo 3.9", "is Python 3.9"),
        ("exit 1", "isn't a Python"),
        ("echo Usage", "isn't a Python"),
    ):
        program(Path(here.variables["PATH"], "python3"), text)
        assert found(here, "python").state == ERROR
        assert problem in found(here, "python").text


def test_what_runs_images_is_a_hint(here):
    podman, docker = (Path(here.variables["PATH"], name) for name in ("podman", "docker"))
    podman.unlink()
    finding = found(here, "containers")
    assert (finding.state, finding.text) == (WARNING, "docker, podman, and nerdctl aren't on PATH")
    assert "`bento containerize --backend native` pushes images and writes OCI layouts without" in finding.remedy
    program(docker, "echo null; exit 1")
    assert found(here, "containers") == replace(finding, text="the Docker daemon isn't responding")
    program(docker, """echo '"29.1.0"'""")
    assert (found(here, "containers").state, found(here, "containers").text) == (OK, "docker")
    program(docker, "exit 1")
    program(podman, "")
    assert (found(here, "containers").state, found(here, "containers").text) == (OK, "podman")


def test_what_an_included_file_declares_counts(here):
    (here.root / "MODULE.bazel").write_text('module(name = "mine")\ninclude("//:bento.MODULE.bazel")\n')
    (here.root / "bento.MODULE.bazel").write_text(MODULE)
    assert {finding.state for finding in diagnose(here)} == {OK}
    Path(here.variables["PATH"], "python3").unlink()
    assert found(here, "python").state == ERROR


@pytest.mark.parametrize("name", ["WORKSPACE", "WORKSPACE.bazel", "REPO.bazel"])
def test_a_workspace_without_a_module_gets_the_line(here, name):
    (here.root / "MODULE.bazel").rename(here.root / name)
    assert found(here, "workspace").state == ERROR
    assert "bazel_dep(" in found(here, "workspace").remedy


UPDATE = "run: bazel run //svc:requirements.update"


def hub(label: str) -> str:
    return MODULE.replace("//svc:requirements.lock.json", label)


# Files of the workspace, the state of a finding, its text, and its remedy.
MODULE_FILE, RC, IN, TARGETS = "MODULE.bazel", ".bazelrc", "svc/requirements.in", "svc/BUILD.bazel"
FINDINGS = [
    ({RC: "common --disk_cache=/x\ncommon --noenable_bzlmod\n"}, "bazel", ERROR, ".bazelrc contains --noenable_bzlmod, which disables MODULE.bazel", ""),
    ({RC: "common --enable_bzlmod=false\n"}, "bazel", ERROR, ".bazelrc contains --enable_bzlmod=false, which disables MODULE.bazel", ""),
    ({RC: "common --disk_cache=/x --enable_bzlmod\n"}, "bazel", OK, "", ""),
    ({RC: "# common --disk_cache=/somewhere\n"}, "cache", WARNING, "", ""),
    ({MODULE_FILE: 'module(name = "mine")\n'}, "workspace", ERROR, "", "bazel_dep("),
    ({MODULE_FILE: MODULE.replace('use_repo(bento, "pypi")', 'use_repo(bento, "pipy")')}, "name of @pypi", ERROR, "", 'Add to MODULE.bazel: use_repo(bento, "pypi")'),
    ({MODULE_FILE: MODULE.replace('interpreter = "python3"', 'version = "3.11"')}, "python", OK, "", ""),
    ({IN: "bentoml\nflask\n"}, "lock of @pypi", ERROR, "outdated: requirements.in:2: flask is not locked", f"To update the lock, {UPDATE}"),
    ({IN: ""}, "lock of @pypi", ERROR, "bentoml is locked, but no source requires this package", ""),
    # Another test compares the lock of a target whose files are computed, or in another package.
    ({IN: "flask\n", TARGETS: BUILD.replace('["requirements.in"]', "FILES")}, "lock of @pypi", OK, "", ""),
    ({IN: "flask\n", TARGETS: BUILD.replace('"requirements.in"', '"//other:requirements.in"')}, "lock of @pypi", OK, "", ""),
    ({MODULE_FILE: hub("//svc:other.json")}, "lock of @pypi", ERROR, "", ""),
    ({MODULE_FILE: hub(":other.json")}, "lock of @pypi", ERROR, "", ""),
    ({MODULE_FILE: hub("@//svc:requirements.lock.json")}, "lock of @pypi", OK, "", ""),
    ({MODULE_FILE: hub("@@//svc:requirements.lock.json")}, "lock of @pypi", OK, "", ""),
    ({MODULE_FILE: hub("@other//:requirements.lock.json")}, "lock of @pypi", WARNING, "", ""),
    ({MODULE_FILE: hub("requirements.lock.json")}, "lock of @pypi", WARNING, "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("files", "about", "state", "text", "remedy"), FINDINGS)
def test_problems_of_a_workspace_are_reported_by_line(here, files, about, state, text, remedy):
    for path, content in files.items():
        (here.root / path).write_text(content)
    if about:
        finding = found(here, about)
        assert (finding.state, text in finding.text, remedy in finding.remedy) == (state, True, True), finding
    else:
        assert {finding.state for finding in diagnose(here)} == {state}


def test_a_version_that_nothing_asks_rules_python_for_gets_the_lines(here):
    module = MODULE.replace('interpreter = "python3"', 'version = "3.13"')
    (here.root / "MODULE.bazel").write_text(module)
    finding = found(here, "python")
    assert (finding.state, finding.text) == (WARNING, "MODULE.bazel declares no toolchain for Python 3.13")
    lines = finding.remedy.partition("MODULE.bazel: ")[2].replace("; ", "\n")
    (here.root / "MODULE.bazel").write_text(f"{module}{lines}\n")
    assert {finding.state for finding in diagnose(here)} == {OK}


@pytest.mark.parametrize(
    ("make", "text", "remedy"),
    [
        (lambda lock: None, None, "To create the lock, run: bazel run //svc:requirements.update"),
        (lambda lock: lock.write_text(""), None, "To create the lock, run: bazel run //svc:requirements.update"),
        (
            lambda lock: lock.mkdir(),
            "//svc:requirements.lock.json is a directory",
            "Move the directory, and run: bazel run //svc:requirements.update",
        ),
    ],
    ids=["missing", "empty", "directory"],
)
def test_a_lock_that_is_no_file_names_the_target(here, make, text, remedy):
    lock = here.root / "svc/requirements.lock.json"
    lock.unlink()
    make(lock)
    finding = found(here, "lock of @pypi")
    assert (finding.state, finding.remedy) == (ERROR, remedy)
    assert text in (None, finding.text)


def test_a_damaged_lock_is_one_sentence(here, capsys, monkeypatch):
    (here.root / "svc/requirements.lock.json").write_text("{")
    assert main(["doctor", str(here.root)]) == 1
    said = capsys.readouterr().err
    assert "requirements.lock.json" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("answer", "state"), [("exit 0", OK), ("echo refused >&2; exit 2", ERROR)])
def test_an_index_is_asked_when_one_wants_it(here, answer, state):
    asked = here.root / "asked"
    program(Path(here.variables["PATH"], "uv"), f'[ "$1" = pip ] && : > {asked}\n{answer}')
    diagnose(here)
    assert not asked.exists()
    assert diagnose(here, online=True)[-1].state == state
    assert asked.exists()


@pytest.mark.parametrize(
    ("limit", "state", "text"),
    [
        (99, OK, "accepts blobs of 8 MiB"),
        (3, WARNING, "but not of 4 MiB (status 413)"),
        (0, ERROR, "doesn't accept uploads (status 413)"),
    ],
)
def test_a_cache_is_measured(monkeypatch, limit, state, text):
    class Cache(Handler):
        def do_PUT(self):
            size = int(self.headers["Content-Length"])
            assert len(self.body()) == size
            assert len(self.path) == len("/prefix/cas/") + 64
            self.send(200 if size <= limit << 20 else 413)

    monkeypatch.setattr(cache_check, "_LARGEST", 8)
    with running(Cache) as server:
        found = cache_check.check(f"http://{server.host}/prefix/")
    assert found.state == state
    assert text in found.text
    assert ("--remote_timeout=" in found.remedy) == (state != ERROR)
    assert ("Raise the limit" in found.remedy) == (state == WARNING)


@pytest.mark.parametrize(
    ("limit", "state", "text"),
    [
        (99, OK, "accepts blobs of 8 MiB"),
        (3, WARNING, "but not of 4 MiB (gRPC status 8: at most 3 MiB: Überlänge)"),
        (0, ERROR, "doesn't accept uploads (gRPC status 8: at most 0 MiB: Überlänge)"),
    ],
)
def test_a_cache_with_grpc_is_measured(monkeypatch, limit, state, text):
    blobs = {}

    def write(requests, context):
        name, data = "", bytearray()
        for request in requests:
            fields = dict(protobuf(request))
            name = fields.get(1, b"").decode() or name
            assert fields[2] == len(data)
            data += fields[10]
            if len(data) > limit << 20:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {limit} MiB: Überlänge")
        assert fields[3]
        blobs[name] = bytes(data)
        return b""

    handler = grpc.method_handlers_generic_handler(
        "google.bytestream.ByteStream", {"Write": grpc.stream_unary_rpc_method_handler(write)}
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([handler])
    host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    monkeypatch.setattr(cache_check, "_LARGEST", 8)
    server.start()
    try:
        found = cache_check.check(f"grpc://{host}/main/instance")
        assert cache_check.check(f"grpc://{host}").state == state
    finally:
        server.stop(None).wait()
    assert (found.state, text in found.text) == (state, True), found
    for name, data in blobs.items():
        *instance, uploads, _, kind, digest, size = name.split("/")
        assert (instance, uploads, kind) in ((["main", "instance"], "uploads", "blobs"), ([], "uploads", "blobs"))
        assert (digest, int(size)) == (hashlib.sha256(data).hexdigest(), len(data))
    assert len(blobs) == 2 * {OK: 4, WARNING: 2, ERROR: 0}[state]


def protobuf(message: bytes):
    """The fields of a message: numbers, and bytes."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        value = number()
        if key & 7 == 2:
            at, value = at + value, message[at : at + value]
        yield key >> 3, value


def test_a_server_without_grpc_accepts_no_uploads():
    with running(Handler) as server:
        found = cache_check.check(f"grpc://{server.host}")
    assert found.state == ERROR
    assert "closed the connection" in found.text


def test_a_cache_needs_a_url_and_grpc_a_package(capsys, monkeypatch):
    assert main(["doctor", "--cache", "cache.example.com"]) == 1
    text = "--cache: expected a URL with grpc, grpcs, http, or https, got 'cache.example.com'"
    assert text in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "h2", None)
    assert main(["doctor", "--cache", "grpcs://cache.example.com"]) == 1
    assert "measuring a cache with gRPC requires h2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda entry: (entry / "src/service.py").unlink(), "src/service.py: is missing"),
        (lambda entry: (entry / "src/service.py").write_text("x"), "src/service.py: has 1 bytes, not "),
        (lambda entry: (entry / "bento.yaml").write_text("{"), "bento.yaml"),
    ],
)
def test_a_damaged_store_is_an_error(tmp_path, capsys, monkeypatch, damage, text):
    (tmp_path / "project").mkdir()
    service = "import bentoml\n@bentoml.service\nclass Svc:\n    @bentoml.api\n    def f(self) -> str: return ''\n"
    (tmp_path / "project/service.py").write_text(service)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    assert main(["build", str(tmp_path / "project"), "--version", "v1", "--no-lock"]) == 0
    capsys.readouterr()

    def store() -> dict[str, str]:
        status = main(["doctor", str(tmp_path), "-o", "json"])
        [finding] = [each for each in json.loads(capsys.readouterr().out) if each["about"] == "store"]
        assert status == (finding["state"] == ERROR)
        return finding

    assert (store()["state"], store()["text"]) == (OK, f"0 damaged in {tmp_path}/home")
    damage(tmp_path / "home/bentos/svc/v1")
    assert store()["state"] == ERROR
    assert store()["text"].startswith(f"1 damaged in {tmp_path}/home, such as Bento ")
    assert text in store()["text"]
    assert main(["verify"]) == 3
    assert text in capsys.readouterr().out


def test_without_a_workspace_and_bazel_the_machine_is_ready(tmp_path, capsys, monkeypatch):
    site = tmp_path / "venv/lib/python3.11/site-packages/bentoml"
    site.mkdir(parents=True)
    (site / "__init__.py").touch()
    for name in ("bin", "venv/bin", "empty"):
        (tmp_path / name).mkdir()
    ran = tmp_path / "ran"
    for path in ("bin/uv", "bin/bento", "venv/bin/python", "venv/bin/bentoml"):
        program(tmp_path / path, f": > {ran}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "none/home"))
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    monkeypatch.delenv("BUILD_WORKSPACE_DIRECTORY", raising=False)
    monkeypatch.setattr("sys.executable", str(tmp_path / "empty/python"))
    assert main(["doctor", str(tmp_path / "empty"), "-o", "json"]) == 0
    found = {finding["about"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {about: finding["state"] for about, finding in found.items()} == {
        "bazel": OK,
        "bento": WARNING,
        "bentoml": OK,
        "containers": WARNING,
        "disk": OK,
        "extras": OK,
        "logins": OK,
        "store": OK,
        "uv": OK,
        "workspace": OK,
    }
    assert found["bento"]["text"] == f"{tmp_path}/bin/bento on PATH might be another program"
    assert found["bentoml"]["text"] == str(tmp_path / "venv/bin/python")
    assert not ran.exists()
    assert not (tmp_path / "none").exists()
    monkeypatch.delenv("VIRTUAL_ENV")
    assert main(["doctor", str(tmp_path / "empty")]) == 0
    assert "ok       bentoml: isn't installed" in capsys.readouterr().out


def test_what_a_killed_command_left_in_the_cache_is_removed_when_no_command_uses_it(tmp_path, monkeypatch):
    from bento_cli.sharing import native_cache

    monkeypatch.setattr(native_cache, "_locks", locks := {})
    cache, other = native_cache.open_cache(tmp_path / "native"), tmp_path / "native/bases/a/.b.part"
    other.parent.mkdir(parents=True)
    other.write_text("a partial download, which the next one continues")
    killed = "import os, pathlib, sys; from rules_bento.base.archives.atomic import atomic_dir\n"
    killed += "with atomic_dir(pathlib.Path(sys.argv[1])) as directory: (directory / 'layer').touch(); os._exit(9)"
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", killed, str(cache / "layers/a")], env=variables, check=False)
    assert (done.returncode, len([*cache.glob("layers/.*.part/layer")])) == (9, 1)
    first = locks.pop(cache)
    os.close(locks.pop(native_cache.open_cache(cache)))
    assert [*cache.glob("layers/*/layer")], "another command can be writing it"
    os.close(first)
    os.close(locks.pop(native_cache.open_cache(cache)))
    assert not [*cache.glob("layers/*")]
    assert other.exists()


def test_the_least_recently_used_exceeds_the_limit_once_a_day_when_no_command_uses_the_cache(tmp_path, monkeypatch):
    from bento_cli.sharing import native_cache

    monkeypatch.setattr(native_cache, "_locks", locks := {})
    monkeypatch.setattr(native_cache, "MAX_SIZE", 5000)
    cache = native_cache.open_cache(tmp_path / "native")
    for at, (name, accessed, written) in enumerate(
        [("layers/read", 900, 100), ("wheels/old", 200, 200), ("layers/new", 700, 700)]
    ):
        file = cache / name / ("blob" if at else "deep/blob")
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 2400)
        os.utime(file, (accessed, written))

    def opened(seconds):
        os.utime(cache / "lock", (seconds, seconds))
        os.close(locks.pop(native_cache.open_cache(cache)))
        return {f"{path.parent.name}/{path.name}" for path in cache.glob("*/*")}

    every = {"layers/read", "wheels/old", "layers/new"}
    first = locks.pop(cache)
    assert opened(0) == every, "another command can be using them"
    os.close(first)
    assert opened(time.time()) == every
    assert opened(0) == {"layers/read", "layers/new"}
    assert (cache / "lock").stat().st_mtime > 0


def test_the_cache_is_measured_and_removed_when_no_command_uses_it(tmp_path, capsys, monkeypatch):
    from bento_cli.sharing import native_cache

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "rules_bento"
    (native_cache.open_cache(cache / "native") / "layers").mkdir()
    (cache / "native/layers/a").write_bytes(b"x" * 2048)
    (cache / "pushed.json").write_text("{}")
    assert main(["cache", "dir"]) == 0
    assert main(["cache", "size"]) == 0
    assert capsys.readouterr().out == f"{cache}\n2.00 KiB\n"
    command = [sys.executable, "-c", "from bento_cli.cli import main; main(['cache', 'clean'])"]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stderr.readline() == "note: Waiting for other commands that use the cache.\n"
        assert (cache / "native/layers/a").exists()
        os.close(native_cache._locks.pop(cache / "native"))
        assert process.wait(60) == 0
    assert [path.name for path in cache.rglob("*")] == ["native", "lock"]
