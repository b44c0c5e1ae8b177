"""`bento image`: images of uv projects, from packages of an index and a layout as base. No code of a project runs."""

import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from bento_cli.cli import status
from bento_cli.projects.uv_project import UvProject
from bento_cli.sharing import (
    base_syntax,
    known_files,
    native_build,
    native_project,
    native_wheel,
)
from bento_cli.transports.address import RefusedError
from rules_bento.base.net import transfers
from rules_bento.bentos.packages import uv, uv_lock_conflicts
from rules_bento.bentos.packages.platforms import marker_environment
from rules_bento.bentos.packages.uv_lock_conflicts import PackageSelection
from rules_bento.bentos.service import import_twice
from rules_bento.bentos.sources import snapshot
from rules_bento.images import entrypoint, plan
from rules_bento.images.layers.members import LARGE
from rules_bento.images.plan import PlannedLayer
from rules_bento.images.registry import push_to_registry, response_error
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.reference import Reference

from tests.helpers import system_calls
from tests.helpers.made_gpu_code import MACHINE_CODE, PTX, container, entry, library
from tests.helpers.made_wheels import Maker
from tests.registry import servers
from tests.sharing.front_support import CASES, Rules, rules_told
from tests.sharing.image_support import APP, BACK, DEBIAN, PROJECT, UV_BUILD, build, make_base, program_digest, read
from tests.sharing.support import other_machine

GIT = shutil.which("git")
LOCKED = '[[package]]\nname = "api"\nversion = "1"\nsource = { virtual = "api" }\n'


def test_the_digest_of_a_package_is_that_of_the_rules(machine, bento, wheels, tmp_path, monkeypatch):
    """With the same wheel in a layer above the other packages."""
    script = f'[project.scripts]\nweb = "web:main"\n{UV_BUILD}'
    project = machine({"src/web/__init__.py": "def main(): pass\n"}, "fastapi", "large", "tiny", pyproject=script)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build(bento, project, tmp_path)
    [own] = (tmp_path / "cache").glob("rules_bento/native/layers/*/web-1.0-*.whl")
    rules = Rules(tmp_path / "rules", tmp_path / "base")
    rules.environment()
    rules.wheels({"large": next(wheels.glob("large-*"))}, {})
    rules.wheels({name: next(wheels.glob(f"{name}-*")) for name in ("fastapi", "tiny")}, {})
    rules.wheels({"web": own}, {})
    expected = program_digest(rules, "web:1.0", ["/app/.venv/bin/web"], "/", {})
    assert Layout.open(tmp_path / "out").find().descriptor.digest == expected
    with other_machine(project, tmp_path / "base") as build_again:
        assert build_again("image", "project", "--base", "oci:base") == expected


def test_the_digest_is_that_of_python_image(machine, bento, wheels, tmp_path, monkeypatch):
    large = {f"data/{number}.csv": f"{number}" * LARGE for number in range(3)}
    files = large | {"main.py": APP, "data/x.csv": "1\n", ".env": "SECRET=1", ".gitignore": "*.log\n", "a.log": ""}
    project = machine(files, "fastapi", "uvicorn", "large", "tiny")
    build(bento, project, tmp_path, "--exclude", "tiny:/tiny/tests/")
    found = Layout.open(tmp_path / "out").find()
    rules = Rules(tmp_path / "rules", tmp_path / "base")
    rules.environment()
    paths = {name: next(wheels.glob(f"{name}-*")) for name in ("large", "fastapi", "tiny", "uvicorn")}
    rules.wheels({"large": paths.pop("large")}, {})
    rules.wheels(paths, {"tiny": ["/tiny/tests/"]})
    kept = ("main.py", "data/x.csv", "pyproject.toml", *large)
    tag = rules.program("web", {path: project / path for path in kept})
    env = {"PYTHONPATH": "/app/_main", "RUNFILES_DIR": "/app"}
    command = ["uvicorn", "main:app", "--host", "0.0.0.0"]
    expected = program_digest(rules, tag, command, "/app/_main", env)
    assert expected == found.descriptor.digest
    config, _, contents = read(tmp_path / "out")
    assert config["config"]["Entrypoint"] == entrypoint.command(plan.ENVIRONMENT)
    assert config["config"]["Cmd"] == command
    *_, first, second, third, last = (
        {path.removeprefix("app/_main/") for path in each} - {"app", "app/_main", "data"} for each in contents
    )
    assert (first | second | third, last) == ({*large}, {*kept} - {*large})
    # Another user, time zone, umask, and time of the files.
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        for path in (project / "main.py", project / "data/x.csv"):
            path.write_bytes(path.read_bytes())
            path.chmod(0o600)
            os.utime(path, (0, 0))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        build(bento, project, tmp_path, "--exclude", "tiny:/tiny/tests/", out="again")
    finally:
        os.umask(before)
    assert Layout.open(tmp_path / "again").find().content == found.content


def test_a_build_without_a_change_reads_no_file_and_packs_none(machine, bento, tmp_path, monkeypatch):
    project = machine({"main.py": "1\n", "data.csv": "1" * LARGE})
    monkeypatch.setattr(known_files, "_RESOLUTION", -(10**10))  # as if the files were older
    read_entry, write = snapshot.read_entry, PlannedLayer.of_members
    opened, packed = [], []
    monkeypatch.setattr(snapshot, "read_entry", lambda file, **_: opened.append(file.path) or read_entry(file))

    def of_members(name, *words):
        layer = write(name, *words)
        return layer._replace(prepare=lambda: packed.append(name) or layer.prepare())

    monkeypatch.setattr(PlannedLayer, "of_members", of_members)
    told = []
    for line in ("1\n", "1\n", "2\n"):
        if line != (project / "main.py").read_text():
            (project / "main.py").write_text(line)
        build(bento, project, tmp_path, out=f"out{len(told)}")
        told.append((sorted(opened), packed.copy(), read(tmp_path / f"out{len(told)}")[1]["layers"]))
        opened.clear(), packed.clear()
    large = "app/_main/data.csv"
    assert [each[:2] for each in told] == [
        (["data.csv", "main.py", "pyproject.toml"], [large, "program"]),
        ([], []),
        (["main.py"], ["program"]),
    ]
    assert told[0][2] == told[1][2]
    assert [one == other for one, other in zip(told[0][2], told[2][2], strict=True)][-2:] == [True, False]


def test_a_package_of_uv_build_has_a_layer_and_a_script(machine, bento, tmp_path):
    script = f'[project.scripts]\nweb = "web:main"\n{UV_BUILD}'
    project = machine({"src/web/__init__.py": "def main(): pass\n"}, "fastapi", pyproject=script)
    digests = []
    for out in ("one", "two"):
        told = build(bento, project, tmp_path, "-t", "x/web:v1", out=out)
        config, _, contents = read(tmp_path / out)
        digests.append(Layout.open(tmp_path / out).find().descriptor.digest)
    assert digests[0] == digests[1]
    assert config["config"]["Cmd"] == ["/app/.venv/bin/web"]
    assert config["history"][-1]["created_by"] == "rules_bento: web 1.0"
    pin = re.search(r'with another version, set (requires = \["uv_build==[0-9.]+"\]) in \[build-system\]', told)[1]
    text = (project / "pyproject.toml").read_text().replace('requires = ["uv_build>=0.1"]', pin)
    (project / "pyproject.toml").write_text(text)
    assert "the wheel depends on" not in build(bento, project, tmp_path, "-t", "x/web:v1", out="three")
    assert "app/.venv/lib/python3.11/site-packages/web/__init__.py" in contents[-1]
    assert "app/.venv/bin/web" in contents[-1]


# A back end that reports what it can read and change, as the content of the wheel.
BACK_END = """
import os, pathlib, re, socket, zipfile
def build_wheel(directory, settings=None, metadata=None):
    found = [f"listed {path}" for path in LISTED if os.path.exists(path)]
    for path in READ:
        try: found.append(open(path).read())
        except OSError: pass
    for path in WRITTEN:
        try: open(path, "w").close()
        except OSError: pass
    for name in ("HOME", "UV_DEFAULT_INDEX", "SECRET"):
        if os.environ.get(name, "").startswith(PLACE) or name != "HOME" and name in os.environ: found.append(name)
    try: socket.create_connection(ADDRESS, 1); found.append("network")
    except OSError: pass
    name = re.search('name = "(.*?)"', pathlib.Path("pyproject.toml").read_text())[1].replace("-", "_")
    files = {path.name: path.read_bytes() for path in sorted(pathlib.Path("src", name).iterdir())}
    with zipfile.ZipFile(os.path.join(directory, f"{name}-1.0-{TAG}.whl"), "w") as wheel:
        for path, data in files.items(): wheel.writestr(f"{name}/{path}", data)
        wheel.writestr(f"{name}/found", chr(10).join(found))
        info = f"{name}-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {TAG}\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return f"{name}-1.0-{TAG}.whl"
"""


def back_end(directory, address, tag="py3-none-any"):
    """The code of a back end that looks for files of the user in a directory, which has a secret and a canary."""
    (directory / "home").mkdir(exist_ok=True)
    (directory / "home/secret").write_text("TOPSECRET")
    host, _, port = address.partition("//")[2].partition("/")[0].partition(":")
    places = [str(directory / "home/secret"), "/proc/1/environ"]
    written = [str(directory / "canary"), str(directory / "project/canary"), str(directory / "home/canary")]
    listed = [str(directory / name) for name in ("home", "wheels")]
    values = (listed, places, written, str(directory), (host, int(port)), tag)
    return f"LISTED, READ, WRITTEN, PLACE, ADDRESS, TAG = {values!r}\n{BACK_END}"


@pytest.mark.parametrize("place", ["index", "project"])
def test_a_back_end_runs_in_isolation_only(place, machine, bento, tmp_path, wheels, monkeypatch):
    """A package of the index, or of the project: it finds and changes nothing of the user, and the image is the same."""
    code = back_end(tmp_path, os.environ["UV_DEFAULT_INDEX"])
    files = {"src/web/__init__.py": ""}
    if place == "index":
        Maker("back").add({"back.py": code}).write(wheels)
        more = BACK.format('"back"')
    else:
        files["back.py"] = code
        more = BACK.format("") + 'backend-path = ["."]\n'
    project = machine(files, "tiny", pyproject=more)
    monkeypatch.setenv("SECRET", "x")
    digests = []
    for out, umask, zone in (("one", 0o022, "UTC"), ("two", 0o077, "Asia/Tokyo")):
        before = os.umask(umask)
        try:
            monkeypatch.setenv("TZ", zone)
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{out}"))
            told = build(bento, project, tmp_path, "--entrypoint", "python", out=out)
        finally:
            os.umask(before)
        digests.append(Layout.open(tmp_path / out).find().descriptor.digest)
    assert digests[0] == digests[1]
    layout = Layout.open(tmp_path / "one")
    with tarfile.open(layout.blob([*layout.find().layers()][-1].digest)) as layer:
        site = "app/.venv/lib/python3.11/site-packages/web"
        assert layer.extractfile(f"{site}/found").read() == b""
        assert f"{site}/__init__.py" in layer.getnames()
    assert not list(tmp_path.rglob("canary"))
    note = 'set build-constraint-dependencies = ["back==1.0"] in [tool.uv].'
    assert (note in told) is (place == "index")
    if place == "index":
        text = (project / "pyproject.toml").read_text() + f"[tool.uv]\n{note[4:].partition(' in ')[0]}\n"
        (project / "pyproject.toml").write_text(text)
        words = [os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable]
        subprocess.run(words, cwd=project, check=True)
        assert "the wheel depends on" not in build(bento, project, tmp_path, "--entrypoint", "python", out="three")
        assert Layout.open(tmp_path / "three").find().descriptor.digest == digests[0]


@pytest.mark.parametrize(
    ("system", "code", "message"),
    [
        ('requires = ["back @ https://h/back-1.0-py3-none-any.whl"]', "", "build-system.requires: unsupported requirement 'back @ "),
        ('requires = ["-r /etc/passwd"]', "", "build-system.requires: unsupported requirement '-r /etc/passwd'."),
        ('requires = ["absent"]', "", "uv can't lock the build requirements. Correct build-system.requires."),
        ('requires = ["source"]', "", "uv can't lock the build requirements. Correct build-system.requires."),
        ('requires = []\n[[tool.uv.index]]\nurl = "../wheels"', "", "the path '../wheels' isn't a directory or a wheel in the project."),
        ("requires = []", "import os\nos._exit(3)\n", "the build failed (status 3). Builds have no network access,"),
        ("requires = []", "def build_wheel(*_): raise ValueError('by the back end')\n", "ValueError: by the back end"),
        ("requires = []", "def build_wheel(*_): return '../../x-1-py3-none-any.whl'\n", "No such file or directory"),
        ("requires = []", "import os\nfor number in map(int, os.listdir('/proc/self/fd')):\n  try: os.write(number, b'{\"wheel\": \"../x.whl\"}\\nx')\n  except OSError: pass\nos._exit(0)\n", "reported a wheel that doesn't exist: '../x.whl'."),
        ("requires = []", "raise SystemExit('\\x1b]0;x\\x07' + '\\x1b[2J')\n", "]0;x"),
        ("requires = []", "def get_requires_for_build_wheel(_): return ['more>1']\n", "the build backend requires more. Add more to the requirements of [build-system]"),
        ("requires = []", "BACK", "web-1.0-cp39-cp39-linux_x86_64.whl: the built wheel doesn't run on oci:"),
    ],
)  # fmt: skip
def test_problems_of_builds_are_reported(system, code, message, machine, bento, tmp_path, wheels):
    (wheels / "source-1.0.tar.gz").write_bytes(b"x")
    project = machine({"src/web/__init__.py": ""}, "tiny", pyproject="[tool.uv]\npackage = true\n")
    if code == "BACK":
        code = back_end(tmp_path, os.environ["UV_DEFAULT_INDEX"], "cp39-cp39-linux_x86_64")
    (project / "back.py").write_text(code)
    index = system.partition("[[")
    text = BACK.format("").replace("requires = []", index[0]) + 'backend-path = ["."]\n' + "".join(index[1:])
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text() + text)
    told = build(bento, project, tmp_path, "--entrypoint", "python", code=status.ERROR)
    assert message in told
    assert "bento: " in told
    assert "\x1b" not in told
    assert not (tmp_path / "out").exists()


def test_a_back_end_leaves_its_namespaces_by_no_system_call(machine, bento, tmp_path):
    project = machine({"src/web/__init__.py": ""}, "tiny", pyproject=BACK.format("") + 'backend-path = ["."]\n')
    code, refused = system_calls.refused()
    code += f"{system_calls.ORDINARY}EXPECTED = {refused | system_calls.ALLOWED}\n"
    code += "def build_wheel(*_): raise ValueError(f'different: {dict(FOUND.items() ^ EXPECTED.items())}')\n"
    (project / "back.py").write_text(code)
    told = build(bento, project, tmp_path, "--entrypoint", "python", code=status.ERROR)
    assert "ValueError: different: {}" in told


@pytest.mark.parametrize("field", ['readme = "{}"', 'license = {{ file = "{}" }}'])
@pytest.mark.parametrize("path", ["{}/home/secret", "../home/secret"])
def test_the_back_end_of_uv_reads_no_file_of_the_user(field, path, machine, bento, tmp_path):
    """Such a file would be in the metadata of the package, and thus in the image."""
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home/secret").write_text("TOPSECRET")
    line = field.format(path.format(tmp_path))
    project = machine({"src/web/__init__.py": ""}, "tiny", pyproject=f"{line}\n{UV_BUILD}")
    told = build(bento, project, tmp_path, "--entrypoint", "python", code=status.ERROR)
    assert "the build failed" in told
    assert "secret" in told
    assert "TOPSECRET" not in told
    assert not (tmp_path / "out").exists()


def test_a_build_requires_isolation(machine, bento, tmp_path, monkeypatch):
    code = f"open({str(tmp_path / 'canary')!r}, 'w')\n"
    more = BACK.format("") + 'backend-path = ["."]\n'
    project = machine({"src/web/__init__.py": "", "back.py": code}, "tiny", pyproject=more)
    monkeypatch.setattr(import_twice.IsolatedProcess, "isolation_problem", lambda _: "no user namespaces")
    told = build(bento, project, tmp_path, "--entrypoint", "python", code=status.ERROR)
    assert (
        "this system can't isolate the build of the project (no user namespaces). Without isolation, the code" in told
    )
    assert "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`" in told
    assert not (tmp_path / "canary").exists()


def test_settings_of_uv_write_and_run_nothing(machine, bento, tmp_path, wheels, local):
    """Neither for the export of the lock, nor for the build requirements. uv reads a configuration, and has a keyring."""
    canary = tmp_path / "canary"
    Maker("back").add({"back.py": back_end(tmp_path, os.environ["UV_DEFAULT_INDEX"])}).write(wheels)
    keyring = local / "keyring"
    keyring.write_text(f"#!/bin/sh\n/usr/bin/touch {canary}\n")
    keyring.chmod(0o755)
    index = os.environ["UV_DEFAULT_INDEX"].replace("://", "://user@")
    settings = (
        f'[tool.uv]\nkeyring-provider = "subprocess"\ncache-dir = "{canary}"\nindex-url = "{index}"\n'
        f'[tool.uv.pip]\noutput-file = "{canary}"\npython = "{keyring}"\ntarget = "{canary}"\n'
    )
    project = machine({"src/web/__init__.py": ""}, "tiny", pyproject=BACK.format('"back"'))
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text() + settings)
    (project / "uv.toml").write_text(f'cache-dir = "{canary}"\n')
    assert "uv.toml: the file isn't supported." in build(bento, project, tmp_path, code=status.ERROR)
    (project / "uv.toml").unlink()
    assert "isn't an https:// URL of a host, without a user" in build(
        bento, project, tmp_path, "--entrypoint", "python", code=status.ERROR
    )
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace("://user@", "://"))
    told = build(bento, project, tmp_path, "--entrypoint", "python")
    assert not canary.exists()
    assert "Traceback" not in told


def test_an_interpreter_of_a_project_does_not_run(machine, bento, tmp_path):
    canary = tmp_path / "canary"
    project = machine({"main.py": f"open({str(canary)!r}, 'w')\n"}, "tiny")
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    (project / ".venv/bin/python").write_text(f"#!/bin/sh\n/usr/bin/touch {canary}\nexit 1\n")
    (project / ".venv/bin/python").chmod(0o755)
    build(bento, project, tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("files", "dependencies", "words", "message"),
    [
        ({"main.py": ""}, ["tiny"], ["--package", "other"], "--package: other isn't a project of "),
        ({"uv.toml": ""}, ["tiny"], [], "uv.toml: the file isn't supported. Move the settings to [tool.uv]"),
        ({"main.py": APP}, ["fastapi"], [], "app is an application for ASGI, but the packages include no server for it. Run `uv add uvicorn`"),
        ({"x.py": ""}, ["tiny"], [], "no application (FastAPI, Litestar, Quart, Starlette, Flask) in a file such as main.py or app.py. Set --entrypoint to"),
        ({"main.py": "", ".python-version": "3.12\n"}, ["tiny"], [], "requires 3.12. Use a base image with Python 3.12, or run `uv python pin 3.11`"),
        ({"main.py": "", ".python-version": "3.11t\n"}, ["tiny"], [], "requires 3.11t. Use a base image with Python 3.11t, or run `uv python pin 3.11`"),
        ({"main.py": "key = 'AKIAIOSFODNN7EXAMPLA'\n"}, ["tiny"], [], "the project contains possible secrets:\n  main.py:1: "),
        ({"service.py": "import bentoml\n"}, ["tiny"], [], "service.py imports bentoml. For a BentoML service, run `bento build`, and then `bento image TAG`. For another program, set --entrypoint"),
        ({"main.py": ""}, ["tiny"], ["--platform", "linux/arm64"], "contains no image for linux/arm64"),
        ({"main.py": ""}, ["tiny"], ["--entrypoint", "'x"], "--entrypoint: No closing quotation."),
        ({"main.py": ""}, ["tiny"], ["--entrypoint", " "], "--entrypoint: ' ' isn't a command. Quote the command"),
        ({"main.py": ""}, ["tiny"], ["--entrypoint", "python x\0"], r"--entrypoint: 'python x\x00' isn't a command. Quote"),
        ({"main.py": ""}, ["tiny"], ["--sbom", "x"], "--sbom: expected cyclonedx or spdx or none, got 'x'."),
        ({"main.py": ""}, ["tiny"], ["--exclude", "other:x"], "--exclude: other isn't a package of the image."),
        ({"main.py": ""}, ["tiny"], ["--extra", "gpu"], "--extra: web has no 'gpu'. Valid values: none."),
        ({"main.py": ""}, ["tiny"], ["--group", "gpu"], "--group: web has no 'gpu'. Valid values: none."),
        ({"main.py": ""}, ["tiny"], ["--only-group", "x", "--all-extras"], "--only-group: not supported with --group, --extra, or "),
        ({"main.py": ""}, ["large"], ["--size-limit", "1"], "--size-limit: the image has "),
    ],
)  # fmt: skip
def test_problems_are_reported(files, dependencies, words, message, machine, bento, tmp_path):
    project = machine(files, *dependencies)
    told = build(bento, project, tmp_path, *words, code=status.ERROR)
    assert message in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_a_project_without_a_command_names_the_others_of_its_workspace(machine, bento, tmp_path):
    project = machine({"x.py": ""}, "tiny")
    lock = project / "uv.lock"
    lock.write_text(f"{lock.read_text()}\n{LOCKED}")
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert told.endswith("For another project of the workspace, set --package: api.\n")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"app.py": ""}, "no pyproject.toml. Specify the directory of a uv project, or run `uv init --bare` and `uv add PACKAGE` in"),
        ({"requirements.txt": ""}, "or run `uv init --bare` and `uv add -r requirements.txt` in this one."),
        ({"pyproject.toml": "[tool.poetry]\n"}, "no uv.lock. Write [project] of pyproject.toml, and run `uv lock`."),
        ({"pyproject.toml": PROJECT.format("")}, "no uv.lock. Run `uv lock` in the project."),
        ({"pyproject.toml": "", "uv.lock": f'version = 1\nrequires-python = ""\n{LOCKED}'}, "pyproject.toml: no [project]. Set --package to a project of the workspace: api."),
    ],
)  # fmt: skip
def test_a_directory_without_a_project_of_uv_gets_the_commands(files, message, bento, tmp_path):
    for path, content in files.items():
        (tmp_path / path).write_text(content)
    told = bento("image", tmp_path, "--base", "oci:base", "--output", "oci:out", code=status.ERROR)
    assert message in told


def test_a_directory_as_the_base_is_a_layout_with_a_prefix(machine, bento, tmp_path):
    base = make_base(tmp_path / "base")
    project = machine({"main.py": ""}, "tiny")
    told = bento("image", project, "--base", base, "--output", f"oci:{tmp_path / 'out'}", code=status.ERROR)
    assert f"--base {base}: not an image reference. For an OCI layout, write oci:{base}." in told


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("pyproject.toml", '[project]\nname = "--offline"\n', "invalid project.name '--offline'."),
        ("pyproject.toml", "[project]\nname = 1\n", "project.name: expected a string, got a number."),
        ("pyproject.toml", "project = []\n", "project: expected a mapping, got a list."),
        ("pyproject.toml", '[project]\nname = "web"\nscripts = ["x"]\n', "project.scripts: expected a mapping"),
        ("pyproject.toml", PROJECT.format("") + "[tool.uv]\ndefault-groups = [5]\n", "default-groups[0]: expected a string"),
        ("pyproject.toml", "tool = 5\n" + PROJECT.format(""), "tool: expected a mapping, got a number."),
        ("pyproject.toml", "\udcff", "pyproject.toml"),
        ("uv.lock", "version = 1\nrequires-python = ''\npackage = 1\n", "package: expected a list, got a number."),
        ("uv.lock", 'version = 1\nrequires-python = ""\n[[package]]\nname = "web"\nsource = "x"\n', "package[0].source: expected a mapping"),
        ("uv.lock", "x", "uv.lock"),
    ],
)  # fmt: skip
def test_invalid_files_are_named(path, content, message, machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    (project / path).write_text(content, errors="surrogateescape")
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize("place", ["../other", "/etc"])
def test_a_lock_selects_no_directory_outside_of_the_workspace(place, machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/pyproject.toml").write_text(PROJECT.format(""))
    lock = (project / "uv.lock").read_text()
    (project / "uv.lock").write_text(lock.replace('virtual = "."', f'virtual = "{place}"'))
    told = build(bento, project, tmp_path, "--package", "web", code=status.ERROR)
    assert f"the project is outside of {project}. In {project}, run `uv build --wheel --out-dir wheels /" in told


@pytest.mark.parametrize("name", ["entry point", "needs", "library", "glibc", "shared files", "size"])
def test_each_check_of_packages_is_one_of_the_other_fronts(name, machine, bento, tmp_path, wheels, capsys):
    """In the same words, with options of this command. A project has no models, and no requirements of a Bento."""
    case = CASES[name]
    for package, files in case.wheels:
        Maker(package).add(files).write(wheels)
    project = machine({"main.py": ""}, "large", *(package.replace("_", "-") for package, _ in case.wheels))
    base = make_base(tmp_path / "base", case.base)

    def options(texts):
        return [word for text in texts for word in (f"--{text.partition('=')[0]}", text.partition("=")[2])]

    told = build(bento, project, tmp_path, *options(case.opt), code=status.ERROR).removeprefix("bento: ")
    assert told.replace(f"oci:{base}", "BASE").replace("--size-limit:", "size_limit:").startswith(case.problem)
    assert case.remedies[1] in told
    assert not (tmp_path / "out").exists()
    if name == "entry point":
        files = {"config": {"architecture": "amd64", "os": "linux"}, "libraries": ["libc.so.6"]}
        for file, content in files.items():
            (tmp_path / file).write_text(json.dumps(content))
        words = ["--base", "BASE", "--base-config", tmp_path / "config", "--base-libraries", tmp_path / "libraries"]
        words += [word for each in ("serve", "--port", "80") for word in ("--command", each)]
        words += ["--python-version", "3.11", "--environment", plan.ENVIRONMENT, "--output", tmp_path / "checked"]
        assert rules_told(capsys, "check_image", *words).strip() == f"{case.problem} {case.remedies[0]}"
    if case.ignore:
        kept = case.opt if name == "entry point" else []
        build(bento, project, tmp_path, *options([*kept, *case.ignore.split(" ")]))


def write_sdist(path, name, system, files):
    """Write a source archive with a [project] table and the table [build-system]."""
    text = PROJECT.replace('"web"', f'"{name}"').format("") + system
    contents = {"PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n", "pyproject.toml": text, **files}
    with tarfile.open(path / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for member, content in contents.items():
            info = tarfile.TarInfo(f"{name}-1.0/{member}")
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))


def test_a_package_with_wheels_of_other_systems_needs_a_wheel_of_the_project(machine, bento, tmp_path, wheels):
    wheel = Maker("plain").add({"plain/__init__.py": b""}).write(wheels)
    wheel.rename(wheel.with_name(wheel.name.replace("-any", "-win_amd64")))
    told = build(bento, machine({"main.py": ""}, "plain"), tmp_path, code=status.ERROR)
    assert "plain==1.0: the lock has no wheel for linux/amd64 and Python 3.11" in told
    remedy = 'build a wheel for the base, and add plain = { path = "wheels/NAME.whl" } to [tool.uv.sources]'
    assert remedy in told
    write_sdist(wheels, "plain", UV_BUILD, {"src/plain/__init__.py": "", "src/plain/of_sdist.py": ""})
    (tmp_path / "project/uv.lock").unlink()
    build(bento, machine({"main.py": ""}, "plain"), tmp_path)
    paths = {path for layer in read(tmp_path / "out")[2] for path in layer}
    assert "app/.venv/lib/python3.11/site-packages/plain/of_sdist.py" in paths
    wheel = Maker("plain").add({"plain/__init__.py": b"1"}).write(wheels)
    wheel.rename(wheel.with_name(wheel.name.replace("py3-none-any", "cp39-cp39-manylinux_2_17_x86_64")))
    (tmp_path / "project/uv.lock").unlink()
    told = build(bento, machine({"main.py": ""}, "plain"), tmp_path, code=status.ERROR)
    assert remedy in told  # without a build, which takes minutes for a package such as numpy


def test_a_file_next_to_a_package_needs_file(machine, bento, tmp_path):
    project = machine({"src/web/__init__.py": "", "manage.py": ""}, pyproject=UV_BUILD)
    words = "--entrypoint", "python3 /srv/manage.py"
    told = build(bento, project, tmp_path, "--entrypoint", "python3 manage.py", code=status.ERROR)
    assert "or add the file with --file, such as manage.py=/srv/manage.py, whose path --entrypoint then needs." in told
    build(bento, project, tmp_path, *words, "--file", f"{project}/manage.py=/srv/manage.py")


@pytest.mark.skipif(GIT is None, reason="git is missing")
def test_files_next_to_a_package_are_noted(machine, bento, tmp_path, monkeypatch):
    files = {f"{each}/x": "" for each in ("a space", "static", "tests", "docs", "local", ".github", "src/web/data")}
    files |= dict.fromkeys(("alembic.ini", "README.md", "Dockerfile", "LICENSE", "a=b", ".gitignore", "Makefile"), "")
    files |= {"more/lib/pyproject.toml": "", "manage.py": "", "src/web/__init__.py": ""}
    project = machine(files, pyproject=UV_BUILD)
    subprocess.run([GIT, "init", "-q", project], check=True)
    assert "next to the package" not in build(bento, project, tmp_path, "--entrypoint=python")
    subprocess.run([GIT, "add", ".", ":!local"], cwd=project, check=True)
    monkeypatch.chdir(project)
    told = build(bento, ".", tmp_path, "--entrypoint=python")
    names = re.search("note: .*: files next to the package aren't in the image: (.*?)\\. If", told)[1]
    assert names == "alembic.ini, manage.py, a space/, a=b, static/"
    words = shlex.split(re.search("where it starts, add (.*)\\.\n", told)[1])
    told = build(bento, ".", tmp_path, "--entrypoint=python3 manage.py", *words)
    assert "files next to the package aren't in the image: a=b" not in told
    assert {"alembic.ini", "manage.py", "a space/x", "static/x"} <= {*read(tmp_path / "out")[2][-1]}


@pytest.mark.parametrize("place", ["index", "path", "url", "directory"])
def test_a_source_distribution_is_built(place, machine, bento, tmp_path, wheels):
    files = {"src/plain/__init__.py": ""}
    write_sdist(wheels, "plain", UV_BUILD, files)
    address = os.environ["UV_DEFAULT_INDEX"].replace("simple", "files")
    source = {"path": 'path = "x/plain-1.0.tar.gz"', "url": f'url = "{address}/plain-1.0.tar.gz"'}.get(
        place, 'path = "x/plain"'
    )
    more = "" if place == "index" else f"[tool.uv.sources]\nplain = {{ {source} }}\n"
    project = machine({"main.py": ""}, "plain", "tiny", pyproject=more, lock=False)
    (project / "x").mkdir()
    write_sdist(project / "x", "plain", UV_BUILD, files)
    if place == "directory":
        with tarfile.open(wheels / "plain-1.0.tar.gz") as archive:
            archive.extractall(project / "x")
        (project / "x/plain-1.0").rename(project / "x/plain")
    subprocess.run([os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable], cwd=project, check=True)
    digests = set()
    for out in ("out", "again"):
        told = build(bento, project, tmp_path, out=out)
        digests.add(Layout.open(tmp_path / out).find().descriptor.digest)
    assert len(digests) == 1
    assert "the wheel depends on the version of uv, " in told
    paths = {path for layer in read(tmp_path / "out")[2] for path in layer}
    assert "app/.venv/lib/python3.11/site-packages/plain/__init__.py" in paths


@pytest.mark.parametrize(
    ("settings", "is_built"),
    [
        ("no-binary = true", True),
        ('no-binary-package = ["Plain"]', True),
        ('no-binary-package = ["tiny"]', None),
        ("no-build = true", False),
        ('no-build-package = ["plain"]', False),
        ('no-binary-package = ["plain"]\nno-build-package = ["plain"]', None),
    ],
)
def test_uv_settings_select_wheels_or_builds(settings, is_built, machine, bento, tmp_path, wheels):
    wheel = Maker("plain").add({"plain/of_wheel.py": b""}).write(wheels)
    wheel.rename(wheel.with_name(wheel.name.replace("py3-none-any", "cp311-cp311-manylinux_2_17_x86_64")))
    write_sdist(wheels, "plain", UV_BUILD, {"src/plain/__init__.py": "", "src/plain/of_sdist.py": ""})
    names = ("plain", "tiny") if '"tiny"' in settings else ("plain",)
    project = machine({"main.py": ""}, *names, pyproject=f"[tool.uv]\n{settings}\n")
    told = build(bento, project, tmp_path, code=0 if is_built is not None else status.ERROR)
    if is_built is None:
        assert "the lock has no wheel for linux/amd64" in told
        return
    paths = {path.rpartition("/")[2] for layer in read(tmp_path / "out")[2] for path in layer}
    assert ("of_sdist.py" in paths, "of_wheel.py" in paths) == (is_built, not is_built)


def test_a_cached_source_distribution_is_verified(machine, bento, tmp_path, wheels):
    write_sdist(wheels, "plain", UV_BUILD, {"src/plain/__init__.py": ""})
    project = machine({"main.py": ""}, "plain")
    build(bento, project, tmp_path)
    [cached] = (tmp_path / "home").rglob("sdists/*/plain-1.0.tar.gz")
    right = cached.read_bytes()
    write_sdist(cached.parent, "plain", UV_BUILD, {"src/plain/__init__.py": "", "src/plain/planted.py": ""})
    build(bento, project, tmp_path, out="again")
    digests = {Layout.open(tmp_path / out).find().descriptor.digest for out in ("out", "again")}
    assert len(digests) == 1
    assert cached.read_bytes() == right
    lock = project / "uv.lock"
    lock.write_text(re.sub(r"(sdist = .*) }", r"\1, size = 99 }", lock.read_text()))
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert f"plain-1.0.tar.gz: the lock or the index states 99 bytes, but the file has {len(right)}." in told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # uv rejects the first two when it reads the lock, and the others when it installs the wheel.
        ("1.0-py3", "1.1-py3", "the lock has the wheel 'tiny-1.1-py3-none-any.whl' for tiny 1.0. "),
        ('"tiny-1.0-', '"x-1.0-', "the lock has the wheel 'x-1.0-py3-none-any.whl' for tiny 1.0. "),
        ('"x/tiny', '"x/other', "tiny: the lock has the wheel 'other-1.0-py3-none-any.whl' for tiny 1.0. "),
        ('"x/tiny', '"x/evil/tiny', "evil-1.0"),
    ],
)
def test_a_wheel_of_another_package_is_rejected(old, new, message, machine, bento, tmp_path, wheels):
    """The SBOM would name a package that the image doesn't contain."""
    source = '[tool.uv.sources]\ntiny = { path = "x/tiny-1.0-py3-none-any.whl" }\n'
    project = machine({"main.py": ""}, "tiny", pyproject=source, lock=False)
    (project / "x/evil").mkdir(parents=True)
    for name in ("tiny", "other"):
        shutil.copy(wheels / "tiny-1.0-py3-none-any.whl", project / f"x/{name}-1.0-py3-none-any.whl")
    evil = Maker("evil").add({"evil.py": b""}).write(project / "x/evil", file_name="tiny-1.0-py3-none-any.whl")
    lock = [os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable]
    subprocess.run(lock, cwd=project, check=True)
    for path in (project / "pyproject.toml", project / "uv.lock") if "/" in old else (project / "uv.lock",):
        text = path.read_text()
        assert old in text
        text = text.replace(old, new)
        if "evil" in new:
            text = re.sub(r"sha256:\w+", f"sha256:{hashlib.sha256(evil.read_bytes()).hexdigest()}", text)
        path.write_text(text)
    assert message in build(bento, project, tmp_path, code=status.ERROR)


@pytest.mark.parametrize("place", ["x/tiny-1.0-py3-none-any.whl", "links/linked-1.0-py3-none-any.whl"])
def test_a_pipe_in_place_of_a_wheel_is_rejected(place, machine, bento, tmp_path, wheels, monkeypatch):
    monkeypatch.delenv("UV_NO_CONFIG")
    settings = '[[tool.uv.index]]\nurl = "../links"\nformat = "flat"\n[tool.uv.sources]\ntiny = { path = "../x/tiny-1.0-py3-none-any.whl" }\n'
    project = machine({"main.py": ""}, "tiny", "linked", pyproject=settings, lock=False)
    for name in ("x", "links"):
        (tmp_path / name).mkdir()
    shutil.copy(wheels / "tiny-1.0-py3-none-any.whl", tmp_path / "x")
    Maker("linked").add({"linked/__init__.py": b""}).write(tmp_path / "links")
    subprocess.run([os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable], cwd=project, check=True)
    (tmp_path / place).unlink()
    os.mkfifo(tmp_path / place)
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert f"{place}: the lock has the file, but it doesn't exist. Run `uv lock` again." in told


def test_a_source_distribution_with_machine_code_is_rejected(machine, bento, tmp_path, wheels):
    code = back_end(tmp_path, os.environ["UV_DEFAULT_INDEX"], "cp311-cp311-linux_x86_64")
    system = BACK.format("") + 'backend-path = ["."]\n'
    write_sdist(wheels, "plain", system, {"src/plain/__init__.py": "", "back.py": code})
    told = build(bento, machine({"main.py": ""}, "plain"), tmp_path, code=status.ERROR)
    assert "plain==1.0: the source distribution builds plain-1.0-cp311-cp311-linux_x86_64.whl, which contains" in told
    assert "wheels/NAME.whl\", marker = \"python_version == '3.11' and sys_platform == 'linux'\" } to [tool" in told
    code = 'import os, subprocess\ndef build_wheel(*_): subprocess.run([os.environ["CC"], "x.c"], check=True)\n'
    write_sdist(wheels, "plain", system, {"back.py": code})
    (tmp_path / "project/uv.lock").unlink()
    told = build(bento, machine({"main.py": ""}, "plain"), tmp_path, code=status.ERROR)
    assert (
        "plain==1.0: the source distribution builds a wheel, which contains machine code of this machine. Lock" in told
    )


# A back end with wheels for its own version of Python, as some write them.
OF_VERSION = """
import os, sys, zipfile
def build_wheel(directory, settings=None, metadata=None):
    name = "plain-1.0-cp{}{}-none-any.whl".format(*sys.version_info) if TAGGED else "plain-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("plain/of_{}_{}.py".format(*sys.version_info), "")
        wheel.writestr("plain-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: plain\\nVersion: 1.0\\n")
        wheel.writestr("plain-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("plain-1.0.dist-info/RECORD", "")
    return name
"""
OTHER = 12 if sys.version_info[1] != 12 else 13  # the minor version of another Python, for a base
PROGRAMS = [*Path.home().glob(f".pyenv/versions/3.{OTHER}.*/bin/python3"), *Path("/usr/bin").glob(f"python3.{OTHER}")]


@pytest.fixture
def other_python(machine, wheels, tmp_path):
    """A base with another Python than this one. Returns a function that writes a project with a source distribution."""
    files = {"usr/local/bin/python3": f"python3.{OTHER}", f"usr/local/bin/python3.{OTHER}": b"\x7fELF"}
    make_base(tmp_path / "base", {path: DEBIAN[path] for path in ("etc/os-release", "var/lib/dpkg/status")} | files)

    def write(*, is_tagged):
        code = f"TAGGED = {is_tagged}\n{OF_VERSION}"
        write_sdist(wheels, "plain", BACK.format("") + 'backend-path = ["."]\n', {"back.py": code})
        return machine({"main.py": ""}, "plain")

    native_wheel._interpreter.cache_clear()
    yield write
    native_wheel._interpreter.cache_clear()


def test_a_wheel_for_another_python_is_never_in_an_image(other_python, bento, tmp_path, monkeypatch):
    monkeypatch.setattr(uv, "find_python", lambda _: sys.executable)
    own, base = ".".join(map(str, sys.version_info[:2])), f"3.{OTHER}"
    told = build(bento, other_python(is_tagged=False), tmp_path)
    assert f"plain==1.0: the wheel is built with Python {own}, because this machine has no Python {base}. If it" in told
    shutil.rmtree(tmp_path / "project")
    told = build(bento, other_python(is_tagged=True), tmp_path, code=status.ERROR)
    assert f"plain-1.0-cp{own.replace('.', '')}-none-any.whl: the built wheel doesn't run on oci:" in told
    assert f"Run `uv python install {base}`" in told


def test_a_wheel_is_built_with_the_python_version_of_the_base(other_python, bento, tmp_path, monkeypatch):
    if not PROGRAMS:
        pytest.skip(f"no Python 3.{OTHER}")
    monkeypatch.setattr(uv, "find_python", lambda _: str(PROGRAMS[0]))
    told = build(bento, other_python(is_tagged=True), tmp_path)
    assert "because this machine has no Python" not in told
    paths = {path for layer in read(tmp_path / "out")[2] for path in layer}
    assert f"app/.venv/lib/python3.{OTHER}/site-packages/plain/of_3_{OTHER}.py" in paths


def test_a_source_distribution_that_does_not_build_is_named(machine, bento, tmp_path, wheels):
    write_sdist(wheels, "plain", UV_BUILD, {})
    project = machine({"main.py": ""}, "plain")
    assert "plain==1.0: the build failed" in build(bento, project, tmp_path, code=status.ERROR)


def test_a_package_of_git_is_rejected_with_a_command(machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    git = f'source = {{ git = "https://user:key@h/x?rev=1#{"a" * 40}" }}\n'
    text = re.sub(r"(?s)source = \{ registry = [^}]*\}\nwheels = .*?\n]\n", git, (project / "uv.lock").read_text())
    (project / "uv.lock").write_text(text.replace('"tiny" }]', '"tiny", git = "https://h/x?rev=1" }]'))
    source = '[tool.uv.sources]\ntiny = { git = "https://h/x", rev = "1" }\n'
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text() + source)
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert f"Run `pip wheel --no-deps -w wheels 'tiny @ git+https://h/x@{'a' * 40}'`, and then add tiny = " in told


SCM = """
import os, zipfile
def build_wheel(directory, settings=None, metadata=None):
    versions = {os.environ.get(name) for name in NAMES}
    if versions != {"3.2"}: raise ValueError("no version in git")
    with zipfile.ZipFile(os.path.join(directory, "web-3.2-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("web-3.2.dist-info/METADATA", "Metadata-Version: 2.1\\nName: web\\nVersion: 3.2\\n")
        wheel.writestr("web-3.2.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("web-3.2.dist-info/RECORD", "")
    return "web-3.2-py3-none-any.whl"
"""


def make_dynamic(project, system):
    """Give a project with the build system `system` a version that the build determines."""
    for path, old, new in (
        ("pyproject.toml", 'version = "1.0"', 'dynamic = ["version"]'),
        ("uv.lock", '(?<=name = "web"\n)version = "1.0"\n', ""),
    ):
        text = (project / path).read_text()
        (project / path).write_text(re.sub(old, new, text, count=1))
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text() + system)


@pytest.mark.parametrize(
    "variable",
    [
        "SETUPTOOLS_SCM_PRETEND_VERSION",
        "VCS_VERSIONING_PRETEND_VERSION",
        "PDM_BUILD_SCM_VERSION",
        "UV_DYNAMIC_VERSIONING_BYPASS",
    ],
)
def test_the_version_of_git_is_an_option_or_a_variable(variable, machine, bento, tmp_path, monkeypatch):
    code = f"NAMES = [{variable!r}]\n{SCM}"
    project = machine({"back.py": code}, "tiny", pyproject="[tool.uv]\npackage = true\n")
    make_dynamic(project, BACK.format("") + 'backend-path = ["."]\n')
    words = ["--entrypoint", "python"]
    told = build(bento, project, tmp_path, *words, code=status.ERROR)
    assert "pyproject.toml: the build failed" in told
    assert "If the build can't read the version from Git, add --project-version. If the" in told
    assert 'run `uv build --wheel`, and in a project that requires the wheel, add web = { path = "wheels/' in told
    assert "no version in git" in told
    build(bento, project, tmp_path, *words, "--project-version", "3.2")
    monkeypatch.setenv(variable, "3.2")
    build(bento, project, tmp_path, *words, out="again")
    one, two = (Layout.open(tmp_path / name).find().descriptor.digest for name in ("out", "again"))
    assert one == two


def test_a_version_that_is_not_of_git_has_a_note(machine, bento, tmp_path, wheels):
    """A back end can have another version for sources without git, which isn't the version of the commit."""
    Maker("versioningit").add({"back.py": "NAMES = []\n" + SCM.replace('{"3.2"}', "set()")}).write(wheels)
    project = machine({"main.py": ""}, "tiny", pyproject="[tool.uv]\npackage = true\n")
    make_dynamic(project, BACK.format('"versioningIt >=1"'))
    note = "pyproject.toml: the wheel has version 3.2, because the build can't read a Git repository. To set the version, add --project-version."
    words = ["--entrypoint", "python"]
    assert note in build(bento, project, tmp_path, *words)
    assert note not in build(bento, project, tmp_path, *words, "--project-version", "3.2", out="again")


def test_a_stale_lock_is_rejected(machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    (project / "pyproject.toml").write_text(PROJECT.format('"tiny", "flask"'))
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert (
        "uv.lock: the lock isn't current: mismatched requirements for: `web==1.0` (flask). Run `uv lock` in the project.\n"
        in told
    )
    (project / "uv.lock").unlink()
    assert "project: no uv.lock. Run `uv lock` in the project." in build(bento, project, tmp_path, code=status.ERROR)


def test_errors_of_uv_are_not_stale_locks(machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(f'{text}[tool.uv]\nrequired-version = "<0.1"\n')
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert "Required uv version `<0.1` does not match the running version" in told
    command = f"uv pip install --no-config --python {shlex.quote(sys.executable)} 'uv<0.1'"
    assert f"Install such a version next to `bento`, with `{command}`.\n" in told
    assert "uv lock" not in told


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_path_source_without_a_project_is_not_a_stale_lock(is_empty, machine, bento, tmp_path):
    source = '[tool.uv.sources]\nlib = { path = "lib" }\n'
    project = machine(
        {"main.py": "", "lib/pyproject.toml": PROJECT.format("").replace('"web"', '"lib"')}, "lib", pyproject=source
    )
    (project / "lib/pyproject.toml").unlink()
    (project / "lib/x").touch() if not is_empty else None
    told = build(bento, project, tmp_path, code=status.ERROR)
    remedy = "lib: the directory of a package is empty. If it is a Git submodule, run `git submodule update --init`.\n"
    assert (remedy if is_empty else "does not appear to be a Python project") in told
    assert "uv lock" not in told


@pytest.mark.parametrize(
    ("pinned", "required", "expected"),
    [("3.11.9\n", ">=3.9", "3.11"), ("", ">=3.11", "3.11"), ("", ">=3.10,!=3.10.*", "3.11"), ("", ">3.10.2", "3.10")],
)  # fmt: skip
def test_the_default_base_has_the_version_of_the_project(
    pinned, required, expected, machine, bento, tmp_path, server, registries, progress, monkeypatch
):
    """The digest of the tag is printed for a later build, whose image is the same."""
    project = machine({"main.py": "", ".python-version": pinned} if pinned else {"main.py": ""}, "tiny", lock=False)
    text = (project / "pyproject.toml").read_text().replace(">=3.9", required)
    (project / "pyproject.toml").write_text(text)
    subprocess.run([os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable], cwd=project, check=True)
    default = f"{server.host}/library/python:{{}}-slim"
    monkeypatch.setattr(native_project, "DEFAULT_BASE", default)
    root = Layout.open(make_base(tmp_path / "base"))
    push_to_registry.push(root.pushable(), [Reference.parse(default.format(expected))], registries, progress)
    words = ["--output", f"oci:{tmp_path / 'out'}"]
    told = bento("image", project, *words)
    pin = f"{default.format(expected)}@{root.find().descriptor.digest}"
    assert f'{default.format(expected)} is the default base. To pin it, write base = "{pin}" in [tool' in told
    assert f"{default.format(expected)} is a tag" in bento("image", project, "--locked", *words, code=status.ERROR)
    told = bento("image", project, "--base", pin, "--output", f"oci:{tmp_path / 'again'}")
    assert "To pin it" not in told
    digests = {Layout.open(tmp_path / out).find().descriptor.digest for out in ("out", "again")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        *((text, "3.12") for text in ("3.12", "3.12.4\n3.11", "3.12rc1", "3.12.0a1 # x", "cpython@3.12.1", "cpython-3.12-linux-x86_64-gnu")),
        *((text, text) for text in ("pypy@3.10", "pypy3.10", "3.12t", "3.12.1+freethreaded", "graalpy-3.11", "cpython@3.13t")),
        *((text, "") for text in ("", "web-env", "# 3.12")),
    ],
)  # fmt: skip
def test_the_python_that_a_project_pins(text, pinned, tmp_path):
    """Another implementation or build is another Python than a base's, and isn't in the name of the default base."""
    (tmp_path / ".python-version").write_text(text)
    project = UvProject(tmp_path, tmp_path, {"project": {}}, False, {}, {"requires-python": ">=3.11"})
    assert project.pinned_python == (pinned, tmp_path / ".python-version")
    assert project.default_python == ("3.12" if pinned == "3.12" else "3.11")


def test_without_a_registry_a_copy_of_the_base_is_proposed(machine, bento, tmp_path, monkeypatch):
    project = machine({"main.py": "", ".python-version": "3.12.4\n"}, "tiny")
    monkeypatch.setattr(native_project, "DEFAULT_BASE", "127.0.0.1:9/library/python:{}-slim")
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    told = bento("image", project, "--output", f"oci:{tmp_path / 'out'}", code=status.ERROR)
    assert (
        "`skopeo copy docker://127.0.0.1:9/library/python:3.12-slim oci:../python`, and add --base oci:../python."
        in told
    )
    assert "skopeo" in bento("image", project, "--base", "127.0.0.1:9/x", "--explain", "-t", "a.b/c", code=status.ERROR)


def test_dotted_files_are_noted(machine, bento, tmp_path):
    hidden = {".streamlit/config.toml": "", ".web/a/b": "", ".old/x": "", ".kept/x": "", ".github/x.yml": ""}
    project = machine(
        {"main.py": "", ".gitignore": ".old/\n!.kept/\n", ".env": "", ".ruff_cache/x": ""} | hidden, "tiny"
    )
    (project / "alembic").mkdir()
    (project / "alembic/.template").touch()
    found = r"note: Dotted files aren't in the image: (.*)\. To include one, add a line such as (\S+) to .gitignore\.\n"
    told = build(bento, project, tmp_path)
    assert re.findall(found, told) == [(".streamlit/, .web/, alembic/.template", "!.streamlit/")]
    added = [f"--file={project}/{name}=/srv/{name}" for name in (".streamlit", "alembic")]
    assert re.findall(found, build(bento, project, tmp_path, *added)) == [(".web/", "!.web/")]
    (project / ".gitignore").write_text("!.web/\n!.kept/\n.old\n.streamlit/\n!alembic/.template\n")
    assert "in the image:" not in build(bento, project, tmp_path)
    names = [name for name in read(tmp_path / "out")[2][-1] if "/." in name]
    assert names == [
        *("app/_main/.kept", "app/_main/.kept/x", "app/_main/.web", "app/_main/.web/a", "app/_main/.web/a/b"),
        "app/_main/alembic/.template",
    ]


def test_a_link_in_place_of_gitignore_is_not_read(machine, bento, tmp_path):
    """Its patterns would determine the image, and could be of a secret file."""
    project = machine({"main.py": ""}, "tiny")
    (tmp_path / "outside").write_text("main.py\n")
    (project / ".gitignore").symlink_to(tmp_path / "outside")
    told = build(bento, project, tmp_path, "--entrypoint", "python", code=status.ERROR)
    assert ".gitignore: the file is a link to a file outside of the project. Replace the link with a copy" in told
    (project / ".gitignore").unlink()
    (project / "patterns").write_text("*.log\n")
    (project / ".gitignore").symlink_to("patterns")
    build(bento, project, tmp_path, "--entrypoint", "python")


def test_all_ignore_files_of_git_apply(machine, bento, tmp_path):
    """As for Git: those of parent directories up to the root, those of subdirectories, and that of the clone."""
    files = {
        "main.py": "",
        "data/a.txt": "",
        "data/.gitignore": "*.db\n",
        "data/x.db": "",
        "users.sqlite3": "",
        "local": "",
    }
    project = machine({**files, "keep/users.sqlite3": "", "keep/.gitignore": "!*.sqlite3\n", "cache/x/y": ""}, "tiny")
    above = tmp_path / "repository/.git/info"
    above.mkdir(parents=True)
    (above / "exclude").write_text("local\n")
    (above.parents[1] / ".gitignore").write_text("*.sqlite3\n/project/cache/*\n!/project/cache/x/y\n")
    project = project.rename(above.parents[1] / "project")
    build(bento, project, tmp_path)
    found = {name.removeprefix("app/_main/") for name in read(tmp_path / "out")[2][-1]}
    assert found == {
        "app",
        "app/_main",
        "main.py",
        "pyproject.toml",
        "data",
        "data/a.txt",
        "keep",
        "keep/users.sqlite3",
    }


@pytest.mark.skipif(GIT is None, reason="git is missing")
def test_files_that_git_tracks_are_in_the_image(machine, bento, tmp_path):
    """Although patterns match them, as after `git add -f`."""
    files = {"main.py": "import lib", "lib/__init__.py": "", "data/seed.csv": "", ".gitignore": "lib/\n*.csv\n.env\n"}
    project = machine({**files, ".env": ""}, "tiny")
    for words in (["init", "-q"], ["add", "-f", "lib", "data", ".env"]):
        subprocess.run([GIT, *words], cwd=project, check=True)
    for path in ("lib/new.py", "data/new.csv"):
        (project / path).touch()
    assert "lib" not in build(bento, project, tmp_path)
    found = {name.removeprefix("app/_main/") for name in read(tmp_path / "out")[2][-1]}
    assert {"lib/__init__.py", "data/seed.csv"} <= found and found.isdisjoint({"lib/new.py", "data/new.csv", ".env"})


def test_links_to_directories_are_in_the_image(machine, bento, tmp_path):
    files = {"main.py": "", "shared/x.txt": "", "data/y.txt": "", ".gitignore": "data/\n", "static/deep/z": ""}
    project = machine(files, "tiny")
    (project / "package").mkdir()
    (project / "package/data").symlink_to("../shared")
    (project / "absolute").symlink_to(project / "static/deep")
    for name, target in (("lost", "data"), ("outside", tmp_path / "wheels"), ("silent", "data")):
        (project / name).symlink_to(target)
    (project / ".bentoignore").write_text("silent\n")
    told = build(bento, project, tmp_path)
    lost = f"lost (a link to data), outside (a link to {tmp_path}/wheels)"
    assert f"note: Linked directories aren't in the image: {lost}. To include one, replace the link with a copy" in told
    layout = Layout.open(tmp_path / "out")
    with tarfile.open(layout.blob([*layout.find().layers()][-1].digest)) as layer:
        links = {member.name: member.linkname for member in layer if member.issym()}
    assert links == {"app/_main/absolute": "static/deep", "app/_main/package/data": "../shared"}


def test_layouts_in_the_project_are_noted(machine, bento, tmp_path):
    project = machine({"main.py": "", "x/python/oci-layout": "", "x/python/index.json": "{}"}, "tiny")
    note = "note: src contains x/python/ (an OCI image layout). To exclude it, add x/python/ to .bentoignore.\n"
    assert note in build(bento, project, tmp_path)
    (project / ".bentoignore").write_text("x/python/\n")
    assert "OCI image layout" not in build(bento, project, tmp_path)


@pytest.mark.parametrize("output", ["project/out", "project/a/b", "link/out"])
def test_an_image_in_the_project_is_not_in_the_next_image(output, machine, bento, tmp_path):
    project = machine({"main.py": "", "outer.py": "", "a/x.py": ""}, "tiny")
    (tmp_path / "link").symlink_to(project)
    digests = set()
    for _ in range(2):
        told = build(bento, project, tmp_path, out=output)
        digests.add(re.search("sha256:[0-9a-f]{64}", told)[0])
        assert {"app/_main/outer.py", "app/_main/a/x.py"} <= set(read(tmp_path / output)[2][-1])
    assert len(digests) == 1


@pytest.mark.parametrize("words", [(), ("--no-bytecode",)])
def test_bytecode_of_a_wheel_is_not_installed(words, machine, bento, tmp_path, wheels, capsys):
    """It can be other code than the source that everyone reads."""
    stale = {"decoy/__pycache__/__init__.cpython-311.pyc": b"x", "decoy-1.0.data/purelib/decoy/__pycache__/b.pyc": b"x"}
    maker = Maker("decoy").add({"decoy/__init__.py": b"1 +", "decoy/sourceless.pyc": b"x", **stale})
    maker.directories.append("decoy/__pycache__")
    maker.write(wheels)
    project = machine({"main.py": "import decoy"}, "decoy")
    note = "decoy-1.0-py3-none-any.whl: the wheel contains bytecode, which can differ from its sources and isn't installed (number of files: 2)."
    for _ in range(2):
        assert note in build(bento, project, tmp_path, *words)
    paths = [path.partition("/site-packages/")[2] for layer in read(tmp_path / "out")[2] for path in layer]
    assert [path for path in paths if path.startswith("decoy/")] == ["decoy/__init__.py", "decoy/sourceless.pyc"]
    [sbom] = Layout.open(tmp_path / "out").referrers(
        Layout.open(tmp_path / "out").find().descriptor.digest, "application/"
    )
    text = Layout.open(tmp_path / "out").read(sbom.layers()[0])
    for part in (
        "The image omits bytecode of the wheel (2 files).",
        "pkg:deb/debian/libgomp1@12?arch=amd64",
        "pkg:oci/base@",
    ):
        assert part.encode() in text


def test_images_of_one_version_are_in_one_layout(machine, bento, tmp_path):
    for name in ("a:2", "b:2", "localhost:5000/team/b", "a:2"):
        build(bento, machine({"main.py": f"print('{name}')\n"}, "tiny"), tmp_path, "-t", name)
    layout = Layout.open(tmp_path / "out")
    names = ["b:2", "localhost:5000/team/b:latest", "a:2"]
    keys = "org.opencontainers.image.ref.name", "io.containerd.image.name"
    assert [[entry.annotations[key] for key in keys] for entry in layout.index()] == [[name, name] for name in names]
    assert layout.find("a:2") != layout.find("b:2")


def test_a_link_out_of_the_project_is_rejected(machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    (tmp_path / "secret").write_text("x")
    (project / "link").symlink_to("../secret")
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert "link" in told
    assert not (tmp_path / "out").exists()


WSGI = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
GREETING = 'def main() -> None:\n    print("Hello from web!")\n'  # of `uv init`
SCRIPT = '[project.scripts]\nweb = "web:main"\n'
SCRIPTS = '[project.scripts]\nserve = "web:serve"\nmigrate = "web:migrate"\n'


@pytest.mark.parametrize(
    ("files", "pyproject", "found", "entrypoint"),
    [
        ({"src/web/__init__.py": ""}, SCRIPTS + UV_BUILD, "project.scripts defines migrate, serve.", "migrate"),
        ({"x.py": ""}, SCRIPTS, "project.scripts defines migrate, serve, which only a package with [build-system] installs.", None),
        ({"src/web/__init__.py": ""}, '[project.gui-scripts]\nview = "web:view"\n' + UV_BUILD, "project.gui-scripts defines view.", "view"),
        ({"src/web/__init__.py": "", "src/web/__main__.py": "from web import main; main()\n"}, UV_BUILD, "web/__main__.py is a program.", "python -m web"),
        ({"tool.py": "if __name__ == '__main__':\n    pass\n", "x/y/z/deep.py": "import streamlit\n"}, "", "tool.py is a program.", "python -m tool"),
        ({"manage.py": "", "site/wsgi.py": WSGI}, "", "site/wsgi.py creates Django's application.", "gunicorn site.wsgi:application --bind 0.0.0.0:8000"),
        ({"a/manage.py": "if __name__ == '__main__': pass\n", "a/b/wsgi.py": WSGI}, "", "a/b/wsgi.py creates Django's application; a/manage.py is a program.", "gunicorn --chdir a b.wsgi:application --bind 0.0.0.0:8000"),
        ({"a/main.py": "app = create()\n"}, "", "a/main.py assigns app.", "uvicorn a.main:app --host 0.0.0.0"),
        ({"src/web/__init__.py": "", "src/web/ui.py": "import streamlit\n"}, UV_BUILD, "web/ui.py imports streamlit.", "streamlit run /app/.venv/lib/python3.11/site-packages/web/ui.py --server.address 0.0.0.0"),
        ({"app.py": "def create_app(): pass\n"}, "", "app.py defines create_app.", "uvicorn --factory app:create_app --host 0.0.0.0"),
        ({"app.py": "def create_app(): return Flask(__name__)\n"}, "", "app.py defines create_app.", "gunicorn 'app:create_app()' --bind 0.0.0.0:8000"),
        ({"src/web/__init__.py": GREETING, "src/web/other.py": APP}, SCRIPT + UV_BUILD, "web/other.py creates app.", "uvicorn web.other:app --host 0.0.0.0"),
        ({"backend/app.py": APP}, "", "backend/app.py creates app.", "uvicorn backend.app:app --host 0.0.0.0"),
        ({"main.py": "import streamlit as st\n"}, "", "main.py imports streamlit.", "streamlit run main.py --server.address 0.0.0.0"),
        ({"bad.py": "(", "a.py": "def make_app(): pass\n", "b.py": "import os, streamlit\n"}, "", "a.py defines make_app; b.py imports streamlit.", "uvicorn --factory a:make_app --host 0.0.0.0"),
    ],
)  # fmt: skip
def test_what_could_be_the_command_is_named(files, pyproject, found, entrypoint, machine, bento, tmp_path):
    project = machine(files, "tiny", pyproject=pyproject)
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert f"{project}: the container's command is unknown: {found} Set --entrypoint" in told
    if entrypoint:
        assert f'--entrypoint "{entrypoint}".' in told
        build(bento, project, tmp_path, "--entrypoint", entrypoint, "--ignore-library", entrypoint.split()[0])


@pytest.mark.parametrize("packages", [["uvicorn"], ["tiny"]])
def test_a_proposed_server_is_among_the_packages(packages, machine, bento, tmp_path):
    asgi = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
    project = machine({"manage.py": "", "site1/asgi.py": asgi, "site1/wsgi.py": WSGI}, *packages)
    told = build(bento, project, tmp_path, code=status.ERROR)
    [entrypoint] = re.findall('such as --entrypoint "(.*?)"\\.', told)
    assert entrypoint.split()[0] in packages or "Before, run `uv add uvicorn`." in told
    if packages != ["tiny"]:
        build(bento, project, tmp_path, "--entrypoint", entrypoint)


@pytest.mark.parametrize(
    ("files", "packages", "expected"),
    [
        ({"app.py": "import flask\napp: flask.Flask = flask.Flask(__name__)\n"}, ["flask", "gunicorn"], ["gunicorn", "app:app"]),
        ({"app/main.py": APP, "tests/main.py": ""}, ["fastapi", "uvicorn"], ["uvicorn", "app.main:app", "--host", "0.0.0.0"]),
        ({"main.py": "print(1)\n"}, ["tiny"], ["/app/.venv/bin/python", "/app/_main/main.py"]),
        ({"src/app.py": APP}, ["fastapi", "uvicorn"], ["uvicorn", "src.app:app", "--host", "0.0.0.0"]),
        ({"src/web/__init__.py": "", "src/web/api.py": APP}, ["fastapi", "uvicorn"], ["uvicorn", "web.api:app", "--host", "0.0.0.0"]),
        ({"src/web/app/__init__.py": APP}, ["fastapi", "uvicorn"], ["uvicorn", "web.app:app", "--host", "0.0.0.0"]),
        ({"src/web/__init__.py": APP}, ["fastapi", "uvicorn"], ["uvicorn", "web:app", "--host", "0.0.0.0"]),
        ({"src/web/__init__.py": GREETING, "src/web/main.py": APP}, ["fastapi", "uvicorn"], ["uvicorn", "web.main:app", "--host", "0.0.0.0"]),
        ({"src/web/__init__.py": GREETING + "# mine\n", "src/web/main.py": APP, "main.py": APP}, ["fastapi", "uvicorn"], ["/app/.venv/bin/web"]),
    ],
)  # fmt: skip
def test_the_command_of_a_container(files, packages, expected, machine, bento, tmp_path):
    is_package = any(path.startswith("src/web/") for path in files)
    files = ({"src/web/__init__.py": ""} if is_package else {}) | files
    pyproject = (SCRIPT if "def main" in files.get("src/web/__init__.py", "") else "") + UV_BUILD * is_package
    told = build(bento, machine(files, *packages, pyproject=pyproject), tmp_path)
    config = read(tmp_path / "out")[0]["config"]
    assert config["Cmd"] == expected
    assert f"note: The container runs `{shlex.join(expected)}`. To change the command, add --entrypoint.\n" in told
    assert ("PORT=8000" in config["Env"]) is ("gunicorn" in expected)


def test_an_application_next_to_a_package_is_rejected(machine, bento, tmp_path):
    """`uv init` writes a package, whose script prints a greeting."""
    project = machine({"src/web/__init__.py": GREETING, "main.py": APP}, "uvicorn", pyproject=SCRIPT + UV_BUILD)
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert (
        f"{project}/main.py: app is an application, but the image has only the files of the package. Move the" in told
    )
    command = "uvicorn main:app --host 0.0.0.0"
    told = build(bento, project, tmp_path, "--entrypoint", command, code=status.ERROR)
    assert "main: the entry point runs this module, but neither" in told
    build(bento, project, tmp_path, "--entrypoint", f"{command} --app-dir /srv", "--file", f"{project}/main.py=/srv/")
    build(bento, project, tmp_path, "--entrypoint", command.replace("main:app", "web:main"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("1 1 app = FastAPI()\n", "note: The container runs `uvicorn main:app --host 0.0.0.0`."),
        ("!2 odd", "bento: main.py:2: Python 3.11, which the base has, can't compile this line (odd). Correct the code"),
    ],
)  # fmt: skip
def test_the_python_of_the_base_parses_a_project(answer, told, machine, bento, tmp_path, monkeypatch):
    """So that another Python, which runs the command, writes the same image."""
    project = machine({"main.py": "no Python has this syntax\n"}, "fastapi", "uvicorn")
    monkeypatch.setattr(base_syntax, "find", lambda *_: SimpleNamespace(compile=lambda *_: answer.encode()))
    assert told in build(bento, project, tmp_path, code=status.ERROR if answer[0] == "!" else 0)


def test_the_module_of_a_script_is_in_the_image(machine, bento, tmp_path):
    scripts = '[project.scripts]\nweb = "web.absent:main"\nother = "web:main"\n' + UV_BUILD
    project = machine({"src/web/__init__.py": ""}, "tiny", pyproject=scripts)
    assert "web.absent: the entry point runs this module, but neither" in build(
        bento, project, tmp_path, code=status.ERROR
    )
    told = build(bento, project, tmp_path, "--entrypoint", "other")
    assert "note: No package of the image provides the modules of the scripts web (web.absent).\n" in told


WEB = "import redis\n" + APP
PACKAGED = f'[project.scripts]\nweb = "web.cli:main"\n{UV_BUILD}'


@pytest.mark.parametrize(
    ("files", "pyproject", "words", "place"),
    [
        ({"main.py": WEB}, "", (), "main.py:1"),
        ({"main.py": "import own.part\n" + APP, "own/part.py": "import os\nimport redis"}, "", (), "own/part.py:2"),
        ({"main.py": "from fastapi import FastAPI\nimport large.x, tomllib, own\napp = FastAPI()", "lib/own.py": ""}, "", (), ""),
        ({"main.py": WEB.replace("redis", "redis  # bento: provided")}, "", (), ""),
        ({"main.py": "try:\n    import redis\nexcept ImportError:\n    redis = None\n" + APP}, "", (), ""),
        ({"src/web/__init__.py": "", "src/web/cli.py": "import redis\ndef main(): pass"}, PACKAGED, (), "web/cli.py:1"),
        ({"src/web/__init__.py": "", "src/web/cli.py": "import large\ndef main(): pass"}, PACKAGED, (), ""),
        ({"work/jobs.py": "import redis"}, "", ("--entrypoint", "python -m work.jobs"), "work/jobs.py:1"),
        ({"work/jobs.py": "import redis"}, "", ("--entrypoint", "python work/jobs.py"), "work/jobs.py:1"),
        ({"work/jobs.py": "import redis"}, "", ("--entrypoint", "/usr/bin/python3 work/jobs.py"), ""),
    ],
)  # fmt: skip
def test_an_import_without_a_package_is_noted(files, pyproject, words, place, machine, bento, tmp_path):
    project = machine(files, "fastapi", "uvicorn", "large", pyproject=pyproject)
    found = [line for line in build(bento, project, tmp_path, *words).splitlines() if "no package" in line]
    expected = (
        f"{place}: no package of the image provides `redis`. Add the package, or, if the base provides the module, "
    )
    assert [expected in line for line in found] == [True] * bool(place)


def test_the_creation_time_is_constant_or_a_variable(machine, bento, tmp_path, monkeypatch):
    project = machine({"main.py": ""}, "tiny")
    build(bento, project, tmp_path)
    assert read(tmp_path / "out")[0]["created"] == "1980-01-01T00:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    build(bento, project, tmp_path, out="again")
    assert read(tmp_path / "again")[0]["created"] == "1970-01-01T00:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "now")
    assert "SOURCE_DATE_EPOCH: expected seconds since 1970, got 'now'." in build(
        bento, project, tmp_path, code=status.ERROR
    )


@pytest.mark.skipif(GIT is None, reason="git is missing")
def test_the_entry_point_of_a_base_is_noted(machine, bento, tmp_path):
    make_base(tmp_path / "base", DEBIAN | {"usr/bin/tini": b""}, entrypoint=["tini", "--"])
    project = machine({"main.py": APP}, "fastapi", "uvicorn")
    told = build(bento, project, tmp_path)
    note = "The container doesn't run the base's entry point `tini --`. To run it, add --entrypoint "
    words = shlex.split(told.partition(note)[2].partition(".\n")[0])
    assert words == ["tini -- uvicorn main:app --host 0.0.0.0"]
    assert note not in build(bento, project, tmp_path, "--entrypoint", *words)
    assert read(tmp_path / "out")[0]["config"]["Cmd"] == shlex.split(*words)


def test_commits_of_others_leave_the_digest(machine, bento, tmp_path):
    """Of other members, README, CI, and of nothing."""
    member = PROJECT.format('"tiny"').replace('"web"', '"{}"').format
    more = '[tool.uv.workspace]\nmembers = ["services/*"]\n'
    files = {f"services/{name}/pyproject.toml": member(name) for name in ("api", "other")}
    project = machine(files | {"services/api/main.py": ""}, pyproject=more)
    paths = ("services/other/main.py", "README.md", ".github/workflows/ci.yaml", "services/other/data/x.csv", "main.py")
    digests = set()
    for commit in range(11):
        if path := (*paths, "")[commit % 6]:
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(f"# {commit}\n")
        env = {f"GIT_{who}_{what}": "x@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env["GIT_COMMITTER_DATE"] = f"{1700000000 + commit * 977} +0000"
        for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x", "--allow-empty"]):
            subprocess.run([GIT, *words], cwd=project, check=True, env=env)
        build(bento, project / "services/api", tmp_path, out=f"out{commit}")
        digests.add(Layout.open(tmp_path / f"out{commit}").find().descriptor.digest)
    assert len(digests) == 1


def test_a_member_of_a_workspace(machine, bento, tmp_path):
    member = PROJECT.format('"fastapi", "uvicorn"').replace('"web"', '"api"')
    more = '[tool.uv.workspace]\nmembers = ["services/*"]\n'
    project = machine(
        {"services/api/pyproject.toml": member, "services/api/main.py": APP, "main.py": ""}, "flask", pyproject=more
    )
    for words in ((project, "--package", "api"), (project / "services/api",)):
        build(bento, *words[:1], tmp_path, *words[1:], "-t", "api:v1", out=f"out{len(words)}")
    one, two = (Layout.open(Path(f"{tmp_path}/out{count}")).find() for count in (1, 3))
    assert one.content == two.content
    names = {name for layer in read(tmp_path / "out1")[2] for name in layer}
    assert "app/_main/main.py" in names
    assert any("fastapi" in name for name in names)
    assert not any("flask" in name or "services" in name for name in names)


def test_all_packages_are_all_members_of_a_workspace(machine, bento, tmp_path):
    lib = PROJECT.format('"tiny"').replace('"web"', '"lib"') + UV_BUILD
    files = {"main.py": "", "libs/lib/pyproject.toml": lib, "libs/lib/src/lib/__init__.py": ""}
    project = machine(files, "flask", pyproject='[tool.uv.workspace]\nmembers = ["libs/*"]\n')
    for words, expected in (((), {"flask==1.0"}), (("--all-packages",), {"flask==1.0", "tiny==1.0", "lib==1.0"})):
        told = build(bento, project, tmp_path, "--dry-run", "-o", "json", *words)
        assert {*json.loads(told[told.index("[") :])[0]["packages"]} == expected


def test_a_member_that_a_project_requires_is_a_layer(machine, bento, tmp_path):
    more = '[tool.uv.workspace]\nmembers = ["libs/*"]\n[tool.uv.sources]\nlib = { workspace = true }\n'
    lib = PROJECT.format('"tiny"').replace('"web"', '"lib"') + UV_BUILD
    files = {"main.py": "", "libs/lib/pyproject.toml": lib, "libs/lib/src/lib/__init__.py": ""}
    project = machine(files, "lib", pyproject=more)
    (project / "libs/lib/src/lib/key.py").write_text("key = 'AKIAIOSFODNN7EXAMPLA'\n")
    (project / ".gitignore").write_text("libs/\n")  # so that only the member has the file
    told = build(bento, project, tmp_path, code=status.ERROR)
    path = re.search("possible secrets:\n  (libs/lib/src/lib/key.py):1: ", told)[1]
    build(bento, project, tmp_path, "--allow-secret", path)
    config, _, contents = read(tmp_path / "out")
    assert [each["created_by"].rpartition(": ")[2] for each in config["history"][-3:]] == [
        "tiny 1.0",
        "lib 1.0",
        "program",
    ]
    assert "app/.venv/lib/python3.11/site-packages/lib/__init__.py" in contents[-2]
    [sbom] = Layout.open(tmp_path / "out").referrers(
        Layout.open(tmp_path / "out").find().descriptor.digest, "application/vnd.cyclonedx+json"
    )
    named = json.loads(Layout.open(tmp_path / "out").read(sbom.layers()[0]))["components"]
    assert {each["name"] for each in named} - {"base", "libc6", "libgomp1"} == {"lib", "tiny", "web"}


@pytest.mark.skipif(GIT is None, reason="git is missing")
def test_a_path_source_in_the_repository_is_a_layer(machine, bento, tmp_path):
    """Only if Git tracks it: a repository can have other projects, and links to them."""
    lib = {"pyproject.toml": PROJECT.format("").replace('"web"', '"lib"') + UV_BUILD, "src/lib/__init__.py": ""}
    files = {"main.py": "import lib", **{f"../sdks/lib/{path}": text for path, text in lib.items()}}
    (tmp_path / "project").mkdir()
    project = machine(files, "lib", pyproject='[tool.uv.sources]\nlib = { path = "../sdks/lib" }\n')
    top = tmp_path / "repository"
    top.mkdir()
    project, lib = project.rename(top / "project"), (tmp_path / "sdks").rename(top / "sdks") / "lib"
    outside = f"{lib}: the project is outside of {project}. In {project}, run `uv build --wheel"
    told = build(bento, project, tmp_path, code=status.ERROR)  # two projects without Git
    assert outside in told
    assert 'add lib = { path = "wheels/NAME.whl" } to [tool.uv.sources]' in told
    subprocess.run([GIT, "init", "-q", top], check=True)
    assert outside in build(bento, project, tmp_path, code=status.ERROR)
    subprocess.run([GIT, "add", "."], cwd=top, check=True)
    build(bento, project, tmp_path)
    assert "app/.venv/lib/python3.11/site-packages/lib/__init__.py" in read(tmp_path / "out")[2][-2]
    subprocess.run([GIT, "rm", "-rq", "--cached", "sdks/lib"], cwd=top, check=True)
    user = ["-c", "user.name=x", "-c", "user.email=x@example.invalid"]
    for words in (["init", "-q"], ["add", "."], [*user, "commit", "-qm", "x"]):
        subprocess.run([GIT, *words], cwd=lib, check=True)
    assert outside in build(bento, project, tmp_path, code=status.ERROR)
    subprocess.run([GIT, "add", "sdks/lib"], cwd=top, check=True)  # as `git submodule add`
    build(bento, project, tmp_path)
    clone = tmp_path / "clone"
    shutil.copytree(project, clone / "project")
    (clone / "sdks").symlink_to(top / "sdks")
    subprocess.run([GIT, "init", "-q", clone], check=True)
    subprocess.run([GIT, "add", "-A"], cwd=clone, check=True)
    told = build(bento, clone / "project", tmp_path, code=status.ERROR)
    assert f"{lib}: the project is outside of {clone}/project." in told


NEEDS = "gitpython: the package runs git at its import, but oci:"


@pytest.mark.parametrize("place", ["package", "member", "member of a package", "extra"])
def test_a_package_that_only_own_sources_require_has_its_needs(place, machine, bento, tmp_path, wheels):
    for name in ("gitpython", "other"):
        Maker(name).write(wheels)
    script = '[project.scripts]\nweb = "web:main"\n' + UV_BUILD
    sources = {"src/web/__init__.py": "def main(): pass\n"}
    member = {"libs/lib/pyproject.toml": PROJECT.format('"gitpython"').replace('"web"', '"lib"') + UV_BUILD}
    member |= {"libs/lib/src/lib/__init__.py": ""}
    workspace = '[tool.uv.workspace]\nmembers = ["libs/*"]\n[tool.uv.sources]\nlib = { workspace = true }\n'
    files, dependencies, pyproject, words = {
        "package": (sources, ["gitpython"], script, []),
        "member": ({"main.py": ""} | member, ["lib"], workspace, []),
        "member of a package": (sources | member, ["lib"], script + workspace, []),
        "extra": (sources, [], '[project.optional-dependencies]\ngit = ["gitpython"]\n' + script, ["--extra", "git"]),
    }[place]
    project = machine(files, *dependencies, pyproject=pyproject)
    assert NEEDS in build(bento, project, tmp_path, *words, code=status.ERROR)
    build(bento, project, tmp_path, *words, "--ignore-library", "git")


def test_a_package_that_another_requires_has_no_needs(machine, bento, tmp_path, wheels):
    Maker("gitpython").write(wheels)
    other = Maker("other")
    other.files[f"{other.dist_info}/METADATA"] += b"Requires-Dist: gitpython\n"
    other.write(wheels)
    script = '[project.scripts]\nweb = "web:main"\n' + UV_BUILD
    build(bento, machine({"src/web/__init__.py": ""}, "other", pyproject=script), tmp_path)


def test_packages_need_code_for_the_gpu(machine, bento, tmp_path, wheels):
    code = container(entry(MACHINE_CODE, 80), entry(PTX, 80))
    Maker("gpu").add({"gpu/__init__.py": b"", "gpu/libgpu.so": library(code)}).write(wheels)
    project = machine({"main.py": ""}, "gpu")
    assert "compiles" not in build(bento, project, tmp_path, "--gpu", "L4")
    told = build(bento, project, tmp_path, "--gpu", "L4", "--gpu", "T4", code=status.ERROR)
    assert "GPU T4 (compute capability 7.5): packages have code only for other GPUs: gpu (8.0, PTX 8.0)." in told
    assert "add --ignore-library=libgpu.so" in told
    for words in (["--gpu", "L4"], ["--gpu", "9.0"]):  # the record of the wheel is from the cache
        told = build(bento, project, tmp_path, *words)
        assert ("only PTX, which the driver compiles: libgpu.so of gpu." in told) is (words[1] == "9.0")
    assert "--gpu: unknown GPU 'X1'." in build(bento, project, tmp_path, "--gpu", "X1", code=status.ERROR)


SELECTED = """\
[project.optional-dependencies]
all = ["web[server]", "large"]
Server_X = ["uvicorn"]
server = ["gunicorn; sys_platform == 'linux'", "acme-tools; sys_platform == 'win32'"]
[dependency-groups]
dev = ["flask"]
docs = [{ include-group = "dev" }, "acme-tools; python_version < '3.9'"]
tools = ["large", "web[server]"]
[tool.uv.workspace]
members = ["members/*"]
"""
MEMBER = PROJECT.format('"fastapi"').replace('"web"', '"api"') + '[dependency-groups]\ntools = ["large"]\n'
WORDS = [
    *("", "--group dev", "--group docs", "--group Tools --extra server", "--all-extras", "--extra server-x --group dev"),
    *("--only-group docs", "--only-group dev --only-group tools", "--group tools --no-group tools", "--no-group docs"),
    *("--package api", "--package api --group tools", "--package web --extra all", "--package api --only-group tools"),
    "--only-group tools --no-group dev",
]  # fmt: skip


@pytest.mark.parametrize(
    "defaults", ["", 'default-groups = ["docs"]', 'default-groups = ["dev", "tools"]', 'default-groups = "all"']
)
def test_options_select_the_packages_of_uv_sync(defaults, machine, monkeypatch):
    """With `--no-dev`, unless an option names `dev`."""
    more = f"[tool.uv]\n{defaults}\n{SELECTED}"
    project = machine({"members/api/pyproject.toml": MEMBER}, "fastapi", "tiny", pyproject=more)
    for words in map(str.split, WORDS):
        pairs = list(zip(words, [*words, ""][1:], strict=True))
        package = dict(pairs).get("--package", "")
        names = {option: tuple(name for each, name in pairs if each == option) for option, _ in pairs}
        fields = ("--extra", "--group", "--no-group", "--only-group")
        selection = PackageSelection(*(names.get(each, ()) for each in fields), all_extras="--all-extras" in words)
        found = UvProject.read(project, package)
        environment = marker_environment("linux", "x86_64", "3.11")
        packages = uv_lock_conflicts.installed(
            found.lock, selection.choice(found.lock, found.name, found.default_groups), "uv.lock", environment
        )
        ours = {each["name"] for each, _ in packages if "registry" in each["source"]}
        no_dev = [] if "dev" in words else ["--no-dev"]
        command = [
            os.environ["RULES_BENTO_UV"],
            "sync",
            "--locked",
            "--dry-run",
            *no_dev,
            *words,
            "--python",
            sys.executable,
        ]
        done = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        theirs = {name for name in re.findall(r"(?m)^ \+ (\S+)==", done.stderr) if name not in ("web", "api")}
        assert ours == theirs, words


def test_a_named_group_of_developers_is_in_the_image(machine, bento, tmp_path):
    """The name `dev`, which uv selects by default, too."""
    project = machine({"main.py": ""}, "tiny", pyproject='[dependency-groups]\ndev = ["flask"]\n')
    build(bento, project, tmp_path, "--group", "dev")
    assert any(path.endswith("flask/__init__.py") for layer in read(tmp_path / "out")[2] for path in layer)


def test_a_hash_other_than_sha256_is_an_error(machine, bento, tmp_path):
    project = machine({"main.py": ""}, "tiny")
    text = re.sub(r'hash = "sha256:\w+"', f'hash = "sha512:{"0" * 128}"', (project / "uv.lock").read_text())
    (project / "uv.lock").write_text(text)
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert re.search(
        r"uv.lock: tiny 1.0: the index http://\S+ has no SHA-256 of tiny-1.0-py3-none-any.whl. Use an", told
    )


def test_wheels_at_paths_and_urls_are_in_the_image(machine, bento, tmp_path, wheels, monkeypatch):
    """Also in a directory with an index, of whose files the lock has no hash."""
    monkeypatch.delenv("UV_NO_CONFIG")
    address = os.environ["UV_DEFAULT_INDEX"].replace("simple", "files")
    sources = '[[tool.uv.index]]\nurl = "./links"\nformat = "flat"\n[tool.uv.sources]\ntiny = { path = "x/tiny-1.0-py3-none-any.whl" }\n'
    sources += f'flask = {{ url = "{address}/flask-1.0-py3-none-any.whl" }}\n'
    project = machine({"main.py": ""}, "tiny", "flask", "linked", pyproject=sources, lock=False)
    (project / "x").mkdir()
    (project / "links").mkdir()
    shutil.copy(wheels / "tiny-1.0-py3-none-any.whl", project / "x")
    Maker("linked").add({"linked/__init__.py": b""}).write(project / "links")
    subprocess.run([os.environ["RULES_BENTO_UV"], "lock", "-q", "--python", sys.executable], cwd=project, check=True)
    build(bento, project, tmp_path)
    paths = {path for layer in read(tmp_path / "out")[2] for path in layer}
    for name in ("tiny", "flask", "linked"):
        assert any(path.endswith(f"site-packages/{name}/__init__.py") for path in paths)


def test_a_missing_login_names_the_variables_of_uv(machine, bento, tmp_path, monkeypatch):
    index = '[[tool.uv.index]]\nname = "acme"\nurl = "https://acme.test/simple"\nexplicit = true\n'
    project = machine({"main.py": ""}, pyproject=index)

    def fail(*_):
        raise RefusedError("the transfer failed (the server responded with 401)", remedy="Add it to ~/.netrc.")

    monkeypatch.setattr(native_build, "build", fail)
    told = build(bento, project, tmp_path, code=status.ERROR)
    assert "Or set UV_INDEX=acme=https://acme.test/simple, UV_INDEX_ACME_USERNAME, and UV_INDEX_ACME_PASSWORD." in told


def test_a_number_in_another_error_is_no_missing_login(machine, bento, tmp_path):
    told = build(bento, machine({"main.py": ""}), tmp_path, "--file", "403.txt=/srv/401", code=status.ERROR)
    assert "403.txt: no such file" in told
    assert "login" not in told


def test_the_address_of_the_sources_is_a_label(machine, bento, tmp_path):
    urls = '[project.urls]\nHomepage = "https://web.test"\n"Source Code" = "https://git.test/web"\n'
    build(bento, machine({"main.py": ""}, pyproject=urls), tmp_path)
    labels = read(tmp_path / "out")[0]["config"]["Labels"]
    assert labels["org.opencontainers.image.source"] == "https://git.test/web"


def test_a_registry_that_refuses_the_sbom_has_the_image(machine, bento, tmp_path, server, monkeypatch):
    """As GitLab answers to types of artifacts that it doesn't know."""
    error = {"code": "MANIFEST_INVALID", "message": "manifest invalid", "detail": "unknown media type: x"}

    def push_all(pushes, *rest, **options):
        pushes = [*pushes]
        if any(b"cyclonedx" in package.root.content for package, _ in pushes):
            raise response_error(400, json.dumps({"errors": [error]}).encode(), "manifest", "host")
        return original(pushes, *rest, **options)

    original = push_to_registry.push_all
    monkeypatch.setattr(push_to_registry, "push_all", push_all)
    name = f"{server.host}/refused/web:v1"
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "-t", name, "--push"]
    told = bento("image", machine({"main.py": ""}), *words)
    assert servers.tags(Reference.parse(name)) == ["v1"]
    assert "its SBOM isn't: manifest: the registry returned 400 (manifest invalid; unknown media type: x)" in told
    assert "add --sbom none" in told


def test_a_push_asks_for_permission_before_the_build(machine, bento, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["--base", f"oci:{make_base(tmp_path / 'base')}", "-t", "127.0.0.1:1/web:v1", "--push"]
    assert "127.0.0.1:1" in bento("image", machine({"main.py": ""}), *words, code=status.ERROR)
    assert not [*(tmp_path / "cache").glob("**/layers/*")]


def test_what_a_server_pulls_is_explained(machine, bento, tmp_path, server, wheels):
    """Without an image, then with the same image, then with another version of a package and another line."""
    project = machine({"main.py": "print(1)\n"}, "tiny", "acme-tools", "large")
    name = f"{server.host}/x/web:v1"
    base = ["--base", f"oci:{make_base(tmp_path / 'base')}", "-t", name]

    def explain(*words):
        told = bento("image", project, *base, "--explain", "-o", "json", *words)
        return json.JSONDecoder().raw_decode(told)[0]["changes"][0]

    first = explain()
    assert (first["before"], first["has_packages"]) == ("", False)
    assert {layer["status"] for layer in first["layers"]} == {"new"}
    assert first["pulled"] == sum(layer["size"] for layer in first["layers"])
    told = bento("image", project, *base, "--explain")
    assert "no image with this tag" in told and "\nA server pulls " in told
    assert servers.tags(Reference.parse(name)) == []
    bento("image", project, *base, "--push", "--sbom", "spdx")
    same = explain("--push")
    assert ({layer["status"] for layer in same["layers"]}, same["pulled"]) == ({"same"}, 0)
    (project / "main.py").write_text("print(2)\n")
    Maker("tiny", "2.0").add({"tiny/__init__.py": b""}).write(wheels)
    (project / "pyproject.toml").write_text(PROJECT.format('"tiny", "large"'))
    subprocess.run([os.environ["RULES_BENTO_UV"], "lock", "-qU", "--python", sys.executable], cwd=project, check=True)
    changes = explain()
    new = {layer["name"]: layer["packages"] for layer in changes["layers"] if layer["status"] == "new"}
    assert new == {"tiny 2.0": ["tiny 1.0 -> 2.0"], "program": []}
    removed = {layer["name"] for layer in changes["layers"] if layer["status"] == "removed"}
    assert removed == {"2 small packages", "program"}
    assert changes["removed"] == ["acme-tools 1.0"]
    assert changes["pulled"] == sum(layer["size"] for layer in changes["layers"] if layer["status"] == "new")
    told = bento("image", project, *base, "--explain")
    assert "Removed packages: acme-tools 1.0\n" in told
    assert "                      tiny 1.0 -> 2.0\n" in told
    bento("image", project, *base, "--push")
    Maker("other", "3.0").add({"other/__init__.py": b""}).write(wheels)
    (project / "pyproject.toml").write_text(PROJECT.format('"other", "large"'))
    subprocess.run([os.environ["RULES_BENTO_UV"], "lock", "-qU", "--python", sys.executable], cwd=project, check=True)
    assert bento("image", project, *base, "--explain").count("other 3.0\n") == 1
    assert "--explain: the image name web:latest has no registry." in bento(
        "image", project, "--explain", code=status.ERROR
    )
