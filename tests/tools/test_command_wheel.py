"""The wheels of the library and of the command: their dependencies, contents, and commands."""

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
from rules_bento.base.formats.toml import read_toml

ROOT = Path(__file__).parent.parent.parent
PROJECTS = {"rules_bento": ROOT / "py", "bento_cli": ROOT / "py/bento_cli", "bento_proof": ROOT / "py/bento_proof"}
DISTRIBUTIONS = {"dropbox": "dropboxdrivefs", "google": "google-auth", "nacl": "pynacl", "yaml": "pyyaml"}
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


def project(package):
    path = PROJECTS[package] / "pyproject.toml"
    return read_toml(path.read_text("utf-8"), str(path))["project"]


def imported(package):
    """The names of distributions that a package imports."""
    found = set()
    for path in (ROOT / "py" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
    tops = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - OF_BENTOS - {package}
    return {DISTRIBUTIONS.get(name, name) for name in tops}


@pytest.mark.parametrize("package", PROJECTS)
def test_a_wheel_requires_what_is_imported(package):
    extras = project(package).get("optional-dependencies", {}).items()
    declared = {
        *project(package)["dependencies"],
        *(text for name, extra in extras for text in extra if name != "test"),
    }
    names = {re.match(r"[\w-]+", text)[0] for text in declared}
    # obstore and google-auth import them.
    by_name = {"azure-identity", "requests"} if package == "bento_cli" else set()
    assert names - {project(package)["name"]} == {name.replace("_", "-") for name in imported(package)} | by_name


def test_the_extra_for_tests_requires_what_bazel_gives_them():
    lines = (ROOT / "tests/requirements.in").read_text("utf-8").splitlines()
    given = {line for line in lines if line and not line.startswith("#")}
    extra = set(project("rules_bento")["optional-dependencies"]["test"])
    assert extra - given == {"pip-tools", "rules-bento[keyless,remote-cache,signing]", "uv"}
    assert given <= extra


def test_the_version_is_said_once():
    module = (ROOT / "MODULE.bazel").read_text("utf-8")
    version = re.search(r'^    version = "([^"]+)"', module, re.MULTILINE)[1]
    assert {project(package)["version"] for package in PROJECTS} == {version}
    assert f"rules-bento=={version}" in project("bento_cli")["dependencies"]
    dependency = f'bazel_dep(name = "rules_bento", version = "{version}")'
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.count('bazel_dep(name = "rules_bento"') == text.count(dependency) > 0
    assert f'\nVERSION = "{version}"\n' in (ROOT / "py/rules_bento/images/reports/html_page.py").read_text("utf-8")
    assert re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1] == version


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """As `pip wheel ./py ./py/bento_cli ./py/bento_proof` builds them, by the locked build system."""
    directory = tmp_path_factory.mktemp("wheels")
    shutil.copytree(ROOT / "py", directory / "py", ignore=shutil.ignore_patterns("__pycache__"))
    build = f"from hatchling.build import build_wheel; build_wheel({str(directory)!r})"
    variables = os.environ | {"PYTHONPATH": os.environ["RULES_BENTO_ROOTS"]}
    for source in ("py", "py/bento_cli", "py/bento_proof"):
        subprocess.run([sys.executable, "-c", build], cwd=directory / source, env=variables, check=True)
    [library] = directory.glob("rules_bento-*.whl")
    [command] = directory.glob("rules_bento_cli-*.whl")
    [proof] = directory.glob("bento_proof-*.whl")
    return {"rules_bento": library, "bento_cli": command, "bento_proof": proof}


@pytest.fixture(scope="module")
def bento(wheels, tmp_path_factory):
    """Give commands of the wheel in a fresh environment, where the packages of the lock are what it depends on."""
    directory = tmp_path_factory.mktemp("installed")
    environment = directory / "venv"
    subprocess.run([os.environ["RULES_BENTO_UV"], "venv", "-q", "--python", sys.executable, environment], check=True)
    python = environment / "bin/python"
    install = [os.environ["RULES_BENTO_UV"], "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python]
    variables = {"HOME": str(directory), "PATH": os.environ["PATH"], "BENTOML_DO_NOT_TRACK": "true"}
    subprocess.run([*install, *wheels.values()], env=variables, check=True)
    [packages] = environment.glob("lib/*/site-packages")
    packages.joinpath("locked.pth").write_text(os.environ["RULES_BENTO_ROOTS"].replace(os.pathsep, "\n"), "utf-8")

    class Bento:
        def start(self, *words):
            return subprocess.Popen([environment / "bin/bento", *words], cwd=directory, env=variables)

        def __call__(self, *words):
            command = [environment / "bin/bento", *words]
            done = subprocess.run(command, cwd=directory, env=variables, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

    made = Bento()
    directory.joinpath("svc").mkdir()
    directory.joinpath("svc/service.py").write_text(SERVICE)
    directory.joinpath("svc/bentofile.yaml").write_text("service: service:Hello\npython: {packages: [bentoml]}\n")
    made("build", "svc", "--no-lock")
    return made


def test_the_version_is_that_of_the_metadata(bento):
    assert bento("--version") == bento("-V") == bento("version") == f"bento {project('bento_cli')['version']}\n"


@pytest.mark.parametrize("package", PROJECTS)
def test_a_wheel_has_all_modules_the_license_and_nothing_else(wheels, package):
    with zipfile.ZipFile(wheels[package]) as archive:
        names = set(archive.namelist())
        [license_file] = [name for name in names if name.endswith("/licenses/LICENSE")]
        assert b"Apache License" in archive.read(license_file)
    files = (path for suffix in ("j2", "py") for path in (ROOT / "py" / package).rglob(f"*.{suffix}"))
    modules = {path.relative_to(ROOT / "py").as_posix() for path in files}
    assert {name for name in names if ".dist-info/" not in name} == modules | {f"{package}/py.typed"}


def test_the_wheel_of_bento_proof_is_a_program_of_its_own(wheels, tmp_path):
    uv, path = os.environ["RULES_BENTO_UV"], tmp_path / "venv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, path], check=True)
    words = [
        uv,
        "pip",
        "install",
        "-q",
        "--offline",
        "--no-deps",
        "--python",
        path / "bin/python",
        wheels["bento_proof"],
    ]
    subprocess.run(words, check=True)
    [packages] = path.glob("lib/*/site-packages")
    [zstandard] = [
        each for top in os.environ["RULES_BENTO_ROOTS"].split(os.pathsep) for each in Path(top).glob("zstandard")
    ]
    packages.joinpath("zstandard").symlink_to(zstandard)
    done = subprocess.run([path / "bin/bento-proof", "--help"], capture_output=True, text=True, check=True)
    assert "--expect" in done.stdout


def test_an_editable_installation_loads_the_package_from_the_checkout(tmp_path):
    code = f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})"
    variables = os.environ | {"PYTHONPATH": os.environ["RULES_BENTO_ROOTS"]}
    subprocess.run([sys.executable, "-c", code], cwd=PROJECTS["bento_cli"], env=variables, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".pth")]
        assert Path(archive.read(path).decode()).resolve() == PROJECTS["bento_cli"].parent.resolve()


def test_the_command_builds_lists_exports_and_imports(bento):
    [built] = json.loads(bento("list", "-o", "json"))
    assert built["tag"].startswith("hello:")
    bento("export", built["tag"], "hello.bento")
    bento("--home", "other", "import", "hello.bento")
    [imported] = json.loads(bento("--home", "other", "list", "-o", "json"))
    assert imported["tag"] == built["tag"]


def test_the_command_serves(bento):
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
