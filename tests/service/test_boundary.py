"""The boundary around an import: what wheels, environments, and projects change before it exists, and how it fails."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bento_cli.__main__ import main
from rules_bento.base import namespaces
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.interpreter_files import named_environment
from rules_bento.bentos.packages.virtualenv import make_environment
from rules_bento.bentos.service.import_twice import Subject, import_service, isolation_problem

from tests.conftest import built, locked_wheels
from tests.helpers import keyring, system_calls
from tests.service.forked import environment_of, follow_links_once, fork_imports, links_followed

VERSION = "python{}.{}".format(*sys.version_info)
SERVICE = """
import bentoml

@bentoml.service(labels={key: str(value) for key, value in globals().get("LABELS", {}).items()})
class Svc: ...
"""
# What hostile code does, wherever it runs.
HARM = """
import builtins, contextlib
RAN = builtins.__dict__.setdefault("ran", {{}})
RAN[{name!r}] = "nothing"
with contextlib.suppress(OSError):
    RAN[{name!r}] = open({place!r} + "/home/.ssh/id").read()
with contextlib.suppress(OSError):
    open({place!r} + "/canary", "w").close()
"""
REPORTING = "import builtins\nLABELS = builtins.__dict__.get('ran', {})\n"


@pytest.fixture
def place(monkeypatch):
    """A directory with the home of a user. BentoML reads no files below a directory whose name begins with a dot."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "home/.ssh").mkdir(parents=True)
        (place / "home/.ssh/id").write_text("TOPSECRET")
        monkeypatch.setenv("HOME", str(place / "home"))
        yield place
        assert not (place / "canary").exists()


def harm(place: Path, name: str) -> str:
    return HARM.format(name=name, place=str(place))


def write(directory: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, "utf-8")
    return directory


def imported(place: Path, wheel: dict[str, str], service: str, **of):
    """Import a service with a hostile wheel, as the rules do."""
    hostile = write(place / "wheel", wheel)
    write(place / "bento", {"src/service.py": service + SERVICE})
    environment = environment_of(make_environment(place / "environment", [hostile, *locked_wheels()]), hostile)
    return import_service(Subject("service:Svc", place / "bento", **of), environment, place / "imports")


def test_code_of_wheels_runs_only_in_the_isolated_process(place):
    """Nor does a wheel replace a module of ours, or of Python, or show another directory."""
    modules = ("sitecustomize", "usercustomize", "rules_bento/__init__", "rules_bento/bentos/service/import_sandbox")
    modules += ("encodings/__init__", "ctypes", "json", "_sysconfigdata__linux_x86_64-linux-gnu", "evil")
    urls = [f"file://{place}/home", "file:///", "file:///var/run", f"file://{place}/home/.ssh"]
    editable = [json.dumps({"url": url, "dir_info": {"editable": True}}) for url in urls]
    wheel = {
        **{f"{name}.py": harm(place, name) for name in modules},
        **{f"evil_{number}-1.dist-info/direct_url.json": text for number, text in enumerate(editable)},
        "evil.pth": f"import evil\n{place}/home\n",
        "python._pth": f"{place}/home\nimport site\n",
        "pyvenv.cfg": f"home = {place}/home/.ssh\n",
        f"lib/{VERSION}/site-packages/sitecustomize.py": harm(place, "below lib"),
    }
    variables = {"PYTHONPATH": f"{place}/home", "PYTHONSTARTUP": f"{place}/home/evil.py"}
    write(place / "home", {"sitecustomize.py": harm(place, "PYTHONPATH")})
    (place / "home/lib/python3.11/site-packages").mkdir(parents=True)
    service = REPORTING + f"import os\nLABELS['home'] = os.path.exists({str(place)!r} + '/home')\n"
    labels = imported(place, wheel, service, variables=variables).info.labels
    assert labels.pop("home") == "False"
    assert labels in ({"sitecustomize": "nothing"}, {})  # some interpreters have a sitecustomize of their own


def test_a_wheel_sees_no_files_of_the_machine_in_an_action():
    """Bazel's sandbox shows them."""
    with tarfile.open(built("tests/service/hostile/bento.bento"), "r:xz") as archive:
        document = yaml.safe_load(archive.extractfile("./bento.yaml"))
    assert document["labels"] == {"seen": "nothing"}


def test_variables_of_the_dynamic_linker_are_those_of_the_isolated_process(place):
    """The linker writes a file when a program starts."""
    variables = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": f"{place}/home/canary"}
    service = f"LABELS = {{'debug': __import__('os').environ['LD_DEBUG_OUTPUT'] == {str(place)!r} + '/home/canary'}}"
    assert imported(place, {}, service, variables=variables).info.labels == {"debug": "True"}
    assert [path.name for path in (place / "home").iterdir()] == [".ssh"]


def test_a_module_of_the_project_replaces_none_of_ours(place):
    write(
        place / "bento/src",
        {"rules_bento/__init__.py": harm(place, "rules_bento"), "sitecustomize.py": harm(place, "s")},
    )
    assert imported(place, {}, REPORTING).info.labels == {}


# Environments that the user names


@pytest.fixture
def build(place, capfd, monkeypatch):
    """Builds a project with `--import` and the environment in `place/environment`. Returns the error, or the labels."""

    follow_links_once(monkeypatch)

    def building(service: str, *options: str) -> str:
        project = write(place / "project", {"service.py": service + SERVICE})
        home = place / "store"
        words = ["--home", str(home), "build", str(project), "--import", "--python", str(place / "environment")]
        status = main([*words, "--version", "v1", *options])
        errors = capfd.readouterr().err
        assert "Traceback" not in errors
        return errors if status else errors + (home / "bentos/svc/v1/bento.yaml").read_text()

    return building


def site_packages(place: Path) -> Path:
    make_environment(place / "environment", locked_wheels())
    return place / "environment/lib" / VERSION / "site-packages"


def exists(*paths: str) -> str:
    return f"import os\nLABELS = {{p.replace('/', '.'): os.path.exists(p) for p in {list(map(str, paths))!r}}}\n"


def label(path: object) -> str:
    return str(path).replace("/", ".")


def test_the_interpreter_of_an_environment_starts_only_in_the_isolated_process(place, build):
    write(site_packages(place), {"evil.pth": "import evil\n", "evil.py": harm(place, "evil")})
    assert "evil: nothing" in build(REPORTING)


def test_a_program_in_place_of_the_interpreter_starts_only_in_the_isolated_process(place, build):
    site_packages(place)
    python = place / "environment/bin/python"
    python.unlink()
    python.write_text(f"#!/bin/sh\ntouch {place}/canary\ncat {place}/home/.ssh/id\nexit 7\n")
    python.chmod(0o755)
    found = build("")
    assert "importing the service ended the process with status 7." in found
    assert "TOPSECRET" not in found
    python.unlink()
    python.symlink_to(place / "home/.ssh/id")
    found = build("")
    assert "the import of the service can't start: [Errno 13] Permission denied" in found


@pytest.mark.parametrize("form", [".pth", "direct_url.json"])
@pytest.mark.parametrize("path", ["/", "home", "home/.."])
def test_an_environment_that_shows_the_home_of_the_user_is_rejected(place, build, form, path):
    directory = place / path
    editable = json.dumps({"url": f"file://{directory}", "dir_info": {"editable": True}})
    files = {".pth": {"a.pth": f"# all\n{directory}\n"}, "direct_url.json": {"a-1.dist-info/direct_url.json": editable}}
    write(site_packages(place), files[form])
    assert "which contains your home directory" in build(exists(place / "home"))


def test_an_environment_shows_only_directories_with_modules(place, build):
    site = site_packages(place)
    write(place / "library", {"src/library/__init__.py": "NAME = 'lib'\n", "pyproject.toml": ""})
    write(place / "other", {"other.py": "NAME = 'other'\n"})
    write(place / "linked", {"linked/__init__.py": "NAME = 'linked'\n", "secret": "TOPSECRET"})
    sock = place / "home/.run/docker.sock"
    sock.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(sock))
        lines = [
            *(f"{place}/home/.ssh", str(sock), str(sock.parent), "/dev/null", f"{place}/other"),
            f"{site}/../../nothing",
        ]
        editable = [f"{place}/library", f"{place}/home/.ssh", str(sock)]
        texts = [json.dumps({"url": f"file://{path}", "dir_info": {"editable": True}}) for path in editable]
        files = {f"e{number}-1.dist-info/direct_url.json": text for number, text in enumerate(texts)}
        write(site, {"a.pth": "\n".join(lines), "b.pth": f"{place}/library/src\n", **files})
        (site / "linked").symlink_to(place / "linked/linked")
        (site / "key.py").symlink_to(place / "home/.ssh/id")
        (site / ".ssh").symlink_to(place / "home/.ssh")
        lines = "import library, other, linked\n" + exists(place / "home", place / "linked/secret")
        found = build(lines + "LABELS |= {m.__name__: m.NAME for m in (library, other, linked)}\n")
    expected = {"library": "lib", "other": "other", "linked": "linked"}
    expected |= {label(place / "home"): "'False'", label(place / "linked/secret"): "'False'"}
    for name, value in expected.items():
        assert f"  {name}: {value}\n" in found


def test_a_link_in_a_visible_directory_leads_to_no_place_outside_of_the_view(place, monkeypatch):
    """In the view, which is deeper, the `..` of this link lead to another directory of the machine."""
    follow_links_once(monkeypatch)
    site = site_packages(place)
    write(place / "outside/sub", {"library.py": ""})
    place = Path(os.path.realpath(place))
    ups = len((place / "environment").parts) + 1  # to `imports`, above the root of the view
    (place / "environment/bin/link").symlink_to(f"{'../' * ups}{place}/outside")
    write(site, {"a.pth": f"{place}/environment/bin/link/sub\n"})
    write(place / "bento", {"src/service.py": SERVICE})
    environment = named_environment(place / "environment/bin/python")
    assert f"{place}/environment/bin/link/sub" in environment.visible
    import_service(Subject("service:Svc", place / "bento"), environment, place / "imports")
    assert sorted(path.name for path in (place / "imports").iterdir()) == ["here", "there"]


def test_the_settings_of_an_environment_show_only_an_installation(place, build):
    """`home` in pyvenv.cfg, and links in place of the directories of an environment."""
    write(site_packages(place), {"a.py": ""})
    environment = place / "environment"
    settings = (environment / "pyvenv.cfg").read_text()
    (environment / "pyvenv.cfg").write_text(f"home = {place}/home/.ssh/x\n{settings}home = {place}/home/bin\n")
    (environment / "share").symlink_to(place / "home/.ssh")
    (environment / "include").symlink_to("/")
    found = build(exists(place / "home"))
    assert "TOPSECRET" not in found
    assert f"{label(place / 'home')}: 'False'" in found or "the process with status" in found


def test_a_temporary_directory_in_a_visible_directory(place, build, monkeypatch):
    write(site_packages(place), {"a.pth": f"{place}/library\n"})
    (write(place / "library", {"library.py": ""}) / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place / "library/tmp"))
    assert "imported: 'True'" in build("import library\nLABELS = {'imported': bool(library.__file__)}\n")
    assert not [*(place / "library/tmp").iterdir()]


# Failures, and systems without namespaces


@pytest.fixture
def forked(place, monkeypatch):
    fork_imports(monkeypatch, place / "bentoml")
    return lambda service, **of: imported(place, {}, service, **of)


@pytest.mark.parametrize("name", ["_show", "_make_writable", "_make_read_only", "change_root", "drop_capabilities"])
def test_a_failure_after_the_probe_is_an_error(forked, place, monkeypatch, name):
    def fails(*words, **_):
        raise OSError(28, "No space left on device")

    def probed(directory, probe=namespaces.probe) -> str:
        reason = probe(directory)
        monkeypatch.setattr(namespaces, name, fails)
        return reason

    monkeypatch.setattr(namespaces, "probe", probed)
    with pytest.raises(BentoError, match=r"the import of the service can't start: .*No space left on device"):
        forked(f"__import__('ctypes').CDLL(None).system(b'touch {place}/canary')", is_unprotected=True)


def test_sources_that_do_not_fit_into_memory_are_an_error(forked, place, monkeypatch):
    """Where the system doesn't support overlays, as Linux before 5.11."""
    mount = namespaces.mount

    def without_overlays(source, target, form, flags, options=""):
        if form == "overlay":
            raise namespaces.NamespaceError("mount: no such device.")
        mount(source, target, form, flags, options)

    monkeypatch.setattr(namespaces, "mount", without_overlays)
    monkeypatch.setattr(namespaces, "_SCRATCH", "mode=755,size=4m")
    write(place / "bento/src", {"a.txt": "1"})
    assert forked("LABELS = {'files': sorted(__import__('os').listdir())}").info.labels == {
        "files": "['a.txt', 'service.py']"
    }
    shutil.rmtree(place / "imports")
    shutil.rmtree(place / "environment")
    with (place / "bento/src/large").open("wb") as file:
        file.truncate(8 << 20)
    with pytest.raises(BentoError, match=r"can't start: copy .*/bento/src to memory: .*No space left on device"):
        forked("", is_unprotected=True)


def test_a_path_with_the_separators_of_mount_options(place, build, monkeypatch):
    site_packages(place)
    (place / "a,b:c\\d").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place / "a,b:c\\d"))
    (place / "project").mkdir()
    with (place / "project/large").open("wb") as file:
        file.truncate(1100 << 20)
    found = build("import os\nos.write(1, str(os.stat('large').st_size).encode())\nos._exit(3)\n")
    assert "ended the process with status 3.\n1153433600\n" in found


def without_namespaces(place: Path, *options: str) -> subprocess.CompletedProcess:
    site_packages(place)
    hides = "import json\ndump = json.dump\njson.dump = lambda a, *b, **c: dump(a | {'isolated': True, 'notes': []}, *b, **c)\n"
    write(place / "project", {"service.py": hides + SERVICE})
    command = ["build", str(place / "project"), "--import", "--python", str(place / "environment"), *options]
    program = f"{links_followed()}import sys; from bento_cli.__main__ import main; sys.exit(main({command!r}))"
    return limited(program, BENTOML_HOME=str(place / "store"))


def limited(program: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a program of Python on a system that doesn't allow namespaces."""
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    return subprocess.run(
        ["unshare", "-Ur", "sh", "-c", limit, "-", sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_whether_the_system_can_isolate_an_import_is_known_before():
    assert isolation_problem() == ""
    found = limited("from rules_bento.bentos.service.import_twice import isolation_problem; print(isolation_problem())")
    assert (found.stdout, found.stderr) == ("user namespaces: No space left on device\n", "")


def test_a_system_without_namespaces_requires_a_decision_of_the_user(place):
    refused = without_namespaces(place)
    assert refused.returncode
    assert "this system can't isolate the import of the service (user namespaces: " in refused.stderr
    assert "If you trust this code, add --allow-unprotected-import.\n" in refused.stderr
    shutil.rmtree(place / "environment")
    done = without_namespaces(place, "--allow-unprotected-import")
    assert "the import wasn't isolated (user namespaces: " in done.stderr
    assert "can read and change your files" in done.stderr
    assert done.returncode == 0


# What the isolated process has of the machine


def test_the_keys_of_the_session_are_not_those_of_the_import(place):
    lines = f"{keyring.looking()}LABELS = {{'found': FOUND, 'listed': LISTED}}\n"
    assert imported(place, {}, lines).info.labels == {"found": "nothing", "listed": "False"}


def test_the_keys_of_the_session_are_not_those_of_a_container():
    """Of any process in namespaces."""
    program = f"from rules_bento.base import namespaces\nnamespaces.enter((0, 0))\n{keyring.looking()}print(FOUND)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("nothing\n", "")


def test_an_import_leaves_its_namespaces_by_no_system_call(place):
    """Its program is without the audit hook of the import."""
    code, refused = system_calls.refused()
    probe = f"{code}{system_calls.ORDINARY}import json; print(json.dumps(FOUND))"
    lines = f"""
import ctypes, json, os, sys
home = os.environ["HOME"]
with open(f"{{home}}/probe.py", "w") as file:
    file.write({probe!r})
ctypes.CDLL(None).system(f"'{{sys.executable}}' -I -S {{home}}/probe.py > {{home}}/found".encode())
LABELS = json.load(open(f"{{home}}/found"))
"""
    assert imported(place, {}, lines).info.labels == refused | system_calls.ALLOWED


FILTERED = [  # machine, ABI, number, argument 0, argument 2, and the error
    ("x86_64", 0xC000003E, 0, 0, 0, None),
    ("x86_64", 0xC000003E, 41, socket.AF_INET, 0, None),
    ("x86_64", 0xC000003E, 41, 1 << 32 | 40, 0, errno.EAFNOSUPPORT),
    ("x86_64", 0xC000003E, 41, 16, 0, None),
    ("x86_64", 0xC000003E, 53, 40, 0, errno.EAFNOSUPPORT),
    ("x86_64", 0xC000003E, 424, 0, 0, None),
    ("x86_64", 0xC000003E, 425, 0, 0, errno.ENOSYS),
    ("x86_64", 0xC000003E, 427, 0, 0, errno.ENOSYS),
    ("x86_64", 0xC000003E, 428, 0, 0, None),
    ("x86_64", 0xC000003E, 0x40000000 | 41, 40, 0, errno.ENOSYS),
    ("x86_64", 0x40000003, 359, 40, 0, errno.ENOSYS),
    ("aarch64", 0xC00000B7, 63, 0, 0, None),
    ("aarch64", 0xC00000B7, 198, socket.AF_UNIX, 0, None),
    ("aarch64", 0xC00000B7, 198, 10, 0, None),
    ("aarch64", 0xC00000B7, 198, 40, 0, errno.EAFNOSUPPORT),
    ("aarch64", 0xC00000B7, 199, 16, 9, errno.EAFNOSUPPORT),
    ("aarch64", 0xC00000B7, 426, 0, 0, errno.ENOSYS),
    ("aarch64", 0x40000028, 281, 40, 0, errno.ENOSYS),
]


def filter_of(machine, monkeypatch):
    """The number of the system call that installs a filter on a machine, and the filter's instructions."""
    calls = []

    def install(number, operation, flags, header):
        assert (operation.value, flags.value) == (1, 4)
        count, address = struct.unpack("@HP", header)
        calls.append((number.value, [*struct.iter_unpack("=HBBI", ctypes.string_at(address, 8 * count))]))
        return 0

    monkeypatch.setattr(namespaces, "_libc", lambda: SimpleNamespace(syscall=install))
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    namespaces.filter_system_calls()
    return calls[0]


def run_filter(program, data):
    at = value = 0
    while True:
        operation, skipped, otherwise, number = program[at]
        if operation == 0x06:
            return number
        if operation == 0x20:
            value = int.from_bytes(data[number : number + 4], "little")
        else:
            is_true = {0x15: value == number, 0x35: value >= number}[operation]
            at += skipped if is_true else otherwise
        at += 1


@pytest.mark.parametrize(("machine", "abi", "number", "first", "third", "error"), FILTERED)
def test_the_filter_of_each_machine(machine, abi, number, first, third, error, monkeypatch):
    installer, program = filter_of(machine, monkeypatch)
    assert installer == {"x86_64": 317, "aarch64": 277}[machine]
    data = struct.pack("<iIQ6Q", number, abi, 0, first, 0, third, 0, 0, 0)
    assert run_filter(program, data) == (0x7FFF0000 if error is None else 0x50000 | error)


def test_a_machine_without_a_filter_does_not_isolate(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="s390x"))
    with pytest.raises(namespaces.NamespaceError, match=r"^a filter of system calls: Function not implemented\.$"):
        namespaces.filter_system_calls()


def test_the_first_process_prints_nothing_for_a_signal(place):
    with pytest.raises(BentoError) as raised:
        imported(
            place,
            {},
            "import ctypes, os, time\nfor n in range(1, 65): ctypes.CDLL(None).kill(1, n)\ntime.sleep(0.5)\nos._exit(5)",
        )
    assert str(raised.value).startswith("importing the service ended the process with status 5.\n\nMake the service")


def test_an_import_writes_only_to_its_own_directories(place):
    """Not to the root of the view, in whose memory what it wrote would be for the rest of the import."""
    lines = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
problem = lambda path: ctypes.get_errno() if libc.mkdir(path.encode(), 0o700) else 0
PATHS = {"root": "/new", "settings": "/etc/new", "scratch": "/tmp/new", "system": "/usr/new", "home": f"{os.environ['HOME']}/new"}
LABELS = {name: problem(path) for name, path in PATHS.items()}
"""
    read_only = dict.fromkeys(("root", "settings", "system"), str(errno.EROFS))
    assert imported(place, {}, lines).info.labels == {**read_only, "scratch": "0", "home": "0"}


def test_an_import_has_no_files_but_pipes_for_its_results(place):
    lines = "import os, ctypes\nexists = lambda path: not ctypes.CDLL(None).access(path.encode(), 0)\n"
    lines += "names = [os.readlink(path) for n in range(64) if exists(path := f'/proc/self/fd/{n}')]\n"
    lines += "LABELS = {'kinds': {name[:5] for name in names if not exists(name)}, 'first': [exists(f'/proc/1/fd/{n}') for n in range(3)]}\n"
    assert imported(place, {}, lines).info.labels == {"kinds": "{'pipe:'}", "first": "[False, False, False]"}


def test_a_result_that_is_too_large(forked):
    lines = """
import os
for n in range(3, 4096):
    try:
        if os.readlink(f"/proc/self/fd/{n}").startswith("pipe:"):
            for _ in range(20): os.write(n, b" " * (1 << 20))
    except OSError: pass
os._exit(0)
"""
    with pytest.raises(BentoError, match=r"the answer of the import: the file exceeds the limit of 16 MiB"):
        forked(lines)


def test_a_process_that_continues_ends_with_the_import(forked, place):
    forked(
        "import ctypes, os, time\nif not ctypes.CDLL(None).fork():\n    os.setsid()\n    time.sleep(600)\n    os._exit(0)\n"
    )
    mark = f"{place}/imports/"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # another process can end at any time
            assert mark.encode() not in path.read_bytes()
