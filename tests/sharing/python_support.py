"""Bases with this interpreter, or with copies of its files."""

import functools
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.helpers.made_wheels import Maker
from tests.sharing.image_support import DEBIAN, make_base

VERSION = platform.python_version()
MINOR = VERSION.rpartition(".")[0]
PATH = "PATH=/usr/local/bin:/usr/bin"
LIBRARY = f"usr/local/lib/python{MINOR}"
BASE = {path: data for path, data in DEBIAN.items() if "python" not in path}
BASE |= {"usr/local/bin/python3": f"python{MINOR}", f"usr/local/bin/python{MINOR}": b"\x7fELF", f"{LIBRARY}/os.py": b""}
BASE[f"{LIBRARY}/__pycache__/os.{sys.implementation.cache_tag}.pyc"] = b""
_UNUSED = {"__pycache__", "dist-packages", "ensurepip", "idlelib", "site-packages", "test"}


@pytest.fixture
def project(machine, wheels, monkeypatch):
    """A project with a large wheel, two small ones, and options for its image."""
    for name, size in (("large", 3 << 20), ("tiny", 5), ("fastapi", 5)):
        next(wheels.glob(f"{name}-*")).unlink()
        code = "class A:\n  class B: pass\nNAMES = {'a', 'b'}\n"
        Maker(name).add({f"{name}/__init__.py": code, f"{name}/data.bin": os.urandom(size)}).write(wheels)
    return machine({"main.py": "import tiny\n"}, "large", "tiny", "fastapi")


def base_of(directory, *variables, files=BASE):
    return make_base(directory, files, (PATH, *variables))


# Prints the version, the program, the standard library, and the loaded libraries of an interpreter.
DESCRIBE = """\
import json, platform, re, sys, sysconfig
libraries = re.findall(r"(/\\S+\\.so\\S*)$", open("/proc/self/maps").read(), re.MULTILINE)
print(json.dumps([platform.python_version(), sys.executable, sysconfig.get_path("stdlib"), sorted({*libraries})]))
"""


@functools.cache
def complete_python():
    """What DESCRIBE prints about this interpreter, or about the system's: in Bazel, this one has a packed library."""
    is_complete = Path(sysconfig.get_path("stdlib"), "encodings/__init__.py").exists()
    words = [sys.executable if is_complete else "/usr/bin/python3", "-I", "-S", "-c", DESCRIBE]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def files_of_python():
    """The files of a base with a complete interpreter, and the libraries that it loads."""
    version, program, library, libraries = complete_python()
    minor = version.rpartition(".")[0]
    files = {path: data for path, data in BASE.items() if not path.startswith(LIBRARY)}
    files |= {
        "usr/local/bin/python3": f"python{minor}",
        f"usr/local/bin/python{minor}": Path(program).resolve().read_bytes(),
    }
    modules = Path(library)
    for path in modules.rglob("*"):
        relative = path.relative_to(modules)
        if path.is_file() and _UNUSED.isdisjoint(relative.parts) and path.suffix in (".py", ".so"):
            files[f"usr/local/lib/python{minor}/{relative}"] = path.read_bytes()
    for path in libraries:
        # libz.so.1.3.1 is loaded as libz.so.1, but libpython3.13.so.1.0 has this name.
        for name in (Path(path).name, re.sub(r"(\.so\.\d+)\..*", r"\1", Path(path).name)):
            files[f"lib64/{name}"] = files[f"lib/{name}"] = Path(path).read_bytes()
    return files


def real_base(directory, files=()):
    return make_base(directory, files_of_python() | dict(files), (PATH, f"PYTHON_VERSION={complete_python()[0]}"))
