"""The packages of actions are few files, which Python imports alone, wherever they lie."""

from __future__ import annotations

import importlib.util
import py_compile
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from verbs import Actions, Outcome

NATIVE = ("blake3", "yaml")
USED = """\
import sys
sys.path += sys.argv[1:]
import acme.inner, blake3, yaml
from yaml import CSafeLoader
print(acme.inner.ANSWER, blake3.blake3(b"").hexdigest()[:8], yaml.load("a: [1]", CSafeLoader))
print(sys.modules["yaml._yaml"].__name__, sys.modules["blake3.blake3"].__name__, yaml._yaml.__spec__.loader.path)
"""


@pytest.fixture
def actions(tmp_path):
    return Actions(tmp_path)


def pack(actions: Actions, *packages: str, machine_code: bool = True) -> Outcome:
    """BentoHelperPackages of some folders."""
    words = []
    for name in packages:
        output = f"bazel-out/{name}"
        words += ["--packed", name, f"{output}.zip", output if machine_code else ""]
        (actions.root / output).mkdir(parents=True, exist_ok=True)
    return actions.run("pack_packages", words, {})


def write_packages(actions: Actions) -> None:
    """Write a package of sources, and copy two with machine code."""
    actions.write("pure/acme/__init__.py", "")
    actions.write("pure/acme/inner.py", "ANSWER = 'source'\n")
    actions.write("pure/acme-1.0.dist-info/METADATA", "Name: acme\n")
    actions.write("pure/acme/py.typed", "")
    for name in NATIVE:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, actions.root / name / name)


def names(actions: Actions, package: str) -> list[str]:
    with zipfile.ZipFile(actions.root / f"bazel-out/{package}.zip") as archive:
        assert not archive.testzip()
        return archive.namelist()


def test_packed_packages_are_imported_from_wherever_they_lie(actions):
    write_packages(actions)
    done = pack(actions, "pure", *NATIVE)
    assert done.code == 0, done.errors
    assert names(actions, "pure") == ["acme/__init__.pyc", "acme/inner.pyc"]
    moved = actions.root / "moved"
    (actions.root / "bazel-out").rename(moved)
    for name in ("pure", *NATIVE):
        shutil.rmtree(actions.root / name)
    zips = [f"moved/{name}.zip" for name in ("pure", *NATIVE)]
    command = [sys.executable, "-I", "-S", "-B", "-c", USED, *zips]
    used = subprocess.run(command, cwd=actions.root, capture_output=True, text=True, check=False)
    assert used.returncode == 0, used.stderr
    told, modules = used.stdout.splitlines()
    assert told == "source af1349b9 {'a': [1]}"
    assert modules.startswith("yaml._yaml blake3.blake3 moved/yaml/yaml/_yaml.")
    assert {path.suffix for name in NATIVE for path in (moved / name).rglob("*") if path.is_file()} == {".so"}


def test_the_same_packages_are_the_same_bytes(actions):
    write_packages(actions)
    assert pack(actions, "pure", "yaml").code == 0
    before = {path: path.read_bytes() for path in (actions.root / "bazel-out").rglob("*") if path.is_file()}
    (actions.root / "elsewhere").mkdir()
    for name in ("pure", "yaml"):
        shutil.copytree(actions.root / name, actions.root / "elsewhere" / name)
        shutil.rmtree(actions.root / name)
        shutil.move(actions.root / "elsewhere" / name, actions.root / name)
        (actions.root / f"bazel-out/{name}.zip").unlink()
    assert pack(actions, "pure", "yaml").code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_byte_code_is_taken_from_beside_the_source_if_it_is_for_this_python(actions):
    actions.write("pure/one.py", "ANSWER = 1\n")
    compiled = actions.root / "pure/__pycache__" / f"one.{sys.implementation.cache_tag}.pyc"
    actions.write("other.py", "ANSWER = 2\n")
    py_compile.compile(str(actions.root / "other.py"), str(compiled), doraise=True)
    assert pack(actions, "pure").code == 0
    assert answer(actions) == "2"
    compiled.write_bytes(b"\0\0\r\n" + compiled.read_bytes()[4:])
    assert pack(actions, "pure").code == 0
    assert answer(actions) == "1"


def answer(actions: Actions) -> str:
    code = "import sys; sys.path.append(sys.argv[1]); import one; print(one.ANSWER)"
    command = [sys.executable, "-I", "-S", "-B", "-c", code, "bazel-out/pure.zip"]
    return subprocess.run(command, cwd=actions.root, capture_output=True, text=True, check=True).stdout.strip()


def test_machine_code_without_a_folder_is_refused(actions):
    actions.write("pure/fast.abi3.so", b"\x7fELF\0")
    done = pack(actions, "pure", machine_code=False)
    assert done.code == 1
    assert "pure/fast.abi3.so: is machine code, for which there is no folder" in done.errors


def test_a_folder_without_modules_is_refused(actions):
    actions.write("pure/acme-1.0.dist-info/METADATA", "Name: acme\n")
    done = pack(actions, "pure")
    assert done.code == 1
    assert "pure: has no module" in done.errors
