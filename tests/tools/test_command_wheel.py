"""The wheel of the command: what py/pyproject.toml says of it, and what it does where it is installed."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest
from rules_bento.formats.toml import read_toml

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "py/rules_bento"
PROJECT = read_toml((ROOT / "py/pyproject.toml").read_text("utf-8"), "py/pyproject.toml")["project"]
DISTRIBUTIONS = {"azure": "azure-identity", "google": "google-auth", "nacl": "pynacl", "yaml": "pyyaml"}
SERVICE = """\
import bentoml


@bentoml.service
class Hello:
    @bentoml.api
    def greet(self, name: str) -> str:
        return f"Hello, {name}!"
"""
SECONDS_TO_SERVE = 100
# Imported in the environment of a Bento, which has its own.
OF_BENTOS = {"_bentoml_sdk", "bentoml", "coverage", "pydantic", "pydantic_core", "pytest"}


def imported():
    """The names of distributions that the package imports."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
    tops = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - OF_BENTOS - {"rules_bento"}
    # By its name, for Python 3.10.
    assert '("tomllib", "tomli")' in (PACKAGE / "formats/toml.py").read_text("utf-8")
    return {DISTRIBUTIONS.get(name, name) for name in tops} | {"tomli"}


def test_the_wheel_asks_for_what_is_imported():
    extras = PROJECT["optional-dependencies"].values()
    stated = {*PROJECT["dependencies"], *(text for extra in extras for text in extra)}
    names = {re.match(r"[\w-]+", text)[0] for text in stated}
    assert names - {"rules-bento"} == imported()


def test_the_version_is_said_once():
    module = (ROOT / "MODULE.bazel").read_text("utf-8")
    version = re.search(r'^    version = "([^"]+)"', module, re.MULTILINE)[1]
    assert PROJECT["version"] == version
    dependency = f'bazel_dep(name = "rules_bento", version = "{version}")'
    for path in ("README.md", "py/rules_bento/bento/migrate.py"):
        text = (ROOT / path).read_text("utf-8")
        assert text.count('bazel_dep(name = "rules_bento"') == text.count(dependency) == 1, path
    assert re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1] == version


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """As `pip wheel ./py` makes it, by the locked build system."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "py", folder / "py", ignore=shutil.ignore_patterns("__pycache__"))
    build = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    variables = os.environ | {"PYTHONPATH": os.environ["RULES_BENTO_ROOTS"]}
    subprocess.run([sys.executable, "-c", build], cwd=folder / "py", env=variables, check=True, capture_output=True)
    [made] = folder.glob("rules_bento-*.whl")
    return made


@pytest.fixture(scope="module")
def bento(wheel, tmp_path_factory):
    """Give commands of the wheel in a fresh environment, where the packages of the lock are what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    environment = folder / "venv"
    subprocess.run([os.environ["RULES_BENTO_UV"], "venv", "-q", "--python", sys.executable, environment], check=True)
    python = environment / "bin/python"
    install = [os.environ["RULES_BENTO_UV"], "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python]
    variables = {"HOME": str(folder), "PATH": os.environ["PATH"], "BENTOML_DO_NOT_TRACK": "true"}
    subprocess.run([*install, wheel], env=variables, check=True)
    [packages] = environment.glob("lib/*/site-packages")
    packages.joinpath("locked.pth").write_text(os.environ["RULES_BENTO_ROOTS"].replace(os.pathsep, "\n"), "utf-8")

    class Bento:
        def start(self, *words):
            return subprocess.Popen([environment / "bin/bento", *words], cwd=folder, env=variables)

        def __call__(self, *words):
            command = [environment / "bin/bento", *words]
            done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

    made = Bento()
    folder.joinpath("svc").mkdir()
    folder.joinpath("svc/service.py").write_text(SERVICE)
    folder.joinpath("svc/bentofile.yaml").write_text("service: service:Hello\npython: {packages: [bentoml]}\n")
    made("build", "svc")
    return made


def test_the_wheel_has_all_modules_the_license_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [license_file] = [name for name in names if name.endswith("/licenses/LICENSE")]
        assert b"Apache License" in archive.read(license_file)
    modules = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == modules | {"rules_bento/py.typed"}


def test_the_wheel_builds_lists_exports_imports_and_migrates(bento):
    [built] = json.loads(bento("list", "-o", "json"))
    assert built["tag"].startswith("hello:")
    bento("export", built["tag"], "hello.bento")
    bento("--home", "other", "import", "hello.bento")
    [imported] = json.loads(bento("--home", "other", "list", "-o", "json"))
    assert imported["tag"] == built["tag"]
    assert "bento_package(" in bento("migrate", "svc")


def test_the_wheel_serves(bento):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = bento.start("serve", "hello:latest", "--host", "127.0.0.1", "--port", str(port))
    try:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/greet", b'{"name": "Ada"}', {"Content-Type": "application/json"}
        )
        assert answer(asked, server) == "Hello, Ada!"
    finally:
        server.terminate()
        server.wait(30)


def answer(asked, server):
    deadline = time.monotonic() + SECONDS_TO_SERVE
    while True:
        assert server.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "nothing answers"
        try:
            with urllib.request.urlopen(asked, timeout=5) as response:
                return response.read().decode()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
