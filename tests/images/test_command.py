"""A container whose command doesn't exist ends with exit code 127, so the image isn't built."""

import subprocess
import sys

import pytest
from rules_bento.images import entrypoint
from rules_bento.images.entrypoint import ContainerCommand, problem
from rules_bento.images.validation.base_compatibility import Base
from rules_bento.images.validation.remedies import Remedies
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker

PATH = {"PATH": "/usr/local/bin:/usr/bin"}
BASE = Base("BASE", "amd64", None, frozenset({"libc.so.6", "env", "sh"}), "3.11")
FILES = ("_main/main.py", "_main/run.sh", "_main/acme/web.py", "_main/data/")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    maker = Maker("uvicorn").add({"uvicorn/__init__.py": b"", "single.py": b""})
    maker.entry_points("[console_scripts]\nuvicorn = uvicorn:main\n")
    maker.add({f"{maker.data}/scripts/old": b"#!python\n", f"{maker.data}/scripts/tool": b"#!/bin/sh\n"}, mode=0o755)
    return [Libraries.read(Wheel.read(maker.write(tmp_path_factory.mktemp("wheels"))))]


def found(words, packages, *, base=BASE, env=PATH, working_dir="/app/_main", files=FILES, ignored=(), scripts=()):
    command = ContainerCommand(tuple(words.split()), "/app/.venv", env, working_dir, "/app", files, dict(scripts))
    return problem(command, base, packages, ignored, Remedies("image"))


@pytest.mark.parametrize(
    "words",
    [
        "", "uvicorn main:app", "old", "tool", "/app/.venv/bin/uvicorn", "python3 main.py",
        "python", "python3.11", "/app/.venv/bin/entrypoint.py", "sh -c x", "/usr/bin/env x", "/bin/sh", "./run.sh",
        "/app/_main/run.sh", "python main.py", "python -u ./main.py x", "python .", "python acme", "python -m acme.web",
        "python -Im uvicorn", "python -mhttp.server", "python -m single", "python data/x.py", "python -c absent",
        "python -X dev absent.py", "python -W error absent.py", "python -", "/opt/acme/start", "/usr/bin/python3 /opt/x.py",
        "python /app/.venv/lib/python3.11/site-packages/absent.py", "../../opt/run", "/srv/../opt/run",
    ],
)  # fmt: skip
def test_a_command_of_the_image(words, packages):
    base = BASE._replace(libraries=frozenset({*BASE.libraries, "python3"}))
    assert found(words, packages, base=base) == ""


@pytest.mark.parametrize(
    ("words", "kind", "name"),
    [
        ("fastapi run", "program", "fastapi"),
        ("uv run uvicorn", "program", "uv"),
        ("/app/.venv/bin/gunicorn", "program", "gunicorn"),
        ("/usr/bin/bash -c x", "program", "bash"),
        ("./start.sh", "program", "start.sh"),
        ("/app/_main/start.sh", "program", "start.sh"),
        ("python3.12 main.py", "program", "python3.12"),
        ("python server.py", "file", "server.py"),
        ("python -u src/main.py", "file", "main.py"),
        ("/app/.venv/bin/python /app/_main/x/../server.py", "file", "server.py"),
        ("python -m gunicorn", "module", "gunicorn"),
        ("/app/.venv/bin/python -um gunicorn.app", "module", "gunicorn.app"),
        ("python -mpip install", "module", "pip"),
    ],
)
def test_a_command_that_the_image_lacks(words, kind, name, packages):
    first, rest = found(words, packages).split(": ", 1)
    assert first in words
    assert first.rpartition("/")[2] == name
    assert rest == (
        f"the entry point runs this {kind}, but neither BASE, the packages, nor the files of the image contain the "
        f"{kind}. Correct entrypoint, or add a package or layer that contains {name}. If a volume contains {name}, set "
        f'ignore_libraries = ["{name}"].'
    )
    assert found(words, packages, ignored=[name]) == ""
    assert ", ".join(f'"{each}"' for each in sorted(["a.so", name])) in found(words, packages, ignored=["a.so"])


def test_what_cannot_be_looked_at_is_not_refused(packages):
    unknown = BASE._replace(libraries=None)
    assert found("fastapi run", packages, base=unknown) == ""
    assert found("/usr/bin/bash", packages, base=unknown) == ""
    assert found("/app/.venv/bin/gunicorn", packages, base=unknown)  # only packages install programs there
    assert found("fastapi run", packages, env={"PATH": "/usr/bin:/opt/tools"}) == ""
    for words in ("./start.sh", "python server.py", "python -m gunicorn"):
        assert found(words, packages, files=None) == ""
        assert found(words, packages, working_dir="/srv") == ""
    assert found("python -m gunicorn", packages, env=PATH | {"PYTHONPATH": "/opt"}) == ""


def test_an_image_without_files_of_the_user(packages):
    """A project that is a package: the image has no directory of its files."""
    for words in ("python main.py", "./run.sh", "python /app/_main/main.py"):
        assert found(words, packages, working_dir="/", files=())
    assert found("python /opt/x.py", packages, working_dir="/", files=()) == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("server.py", "can't open file"),
        ("-u -I server.py", "can't open file"),
        ("-bbEsB server.py -m x", "can't open file"),
        ("-m server", "No module named server"),
        ("-Bm server x.py", "No module named server"),
        ("-uImserver", "No module named server"),
    ],
)
def test_arguments_mean_what_python_reads(words, expected, tmp_path):
    done = subprocess.run([sys.executable, *words.split()], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert expected in done.stderr
    kind, name = entrypoint.target(["python", *words.split()])
    assert (kind, name) == (("file", "server.py") if "open" in expected else ("module", "server"))


@pytest.mark.parametrize("words", ["uvicorn", "/app/.venv/bin/uvicorn x"])
@pytest.mark.parametrize("module", ["uvicorn", "single", "uvicorn.absent", "absent", "http.server"])
def test_the_module_of_a_script(words, module, packages):
    """An installer writes the script, whether or not the module exists."""
    told = found(words, packages, scripts={"uvicorn": module}, files=None)
    is_absent = module.endswith("absent")
    assert (
        told.startswith(f"{module}: the entry point runs this module, but neither BASE" if is_absent else "\0")
        is is_absent
    )
    command = ContainerCommand((), "/app/.venv", PATH, scripts={"uvicorn": module})
    assert bool(entrypoint.script_notes(command, packages)) is is_absent
    assert found("/opt/bin/uvicorn", packages, scripts={"uvicorn": "absent"}, files=None) == ""
    assert found(words, packages, scripts={"uvicorn": "a.absent"}, files=None, ignored=["a.absent"]) == ""
