"""The packages of actions are few files, which Python imports alone, wherever they lie."""

import importlib.metadata
import subprocess
import sys
import zipfile

import pytest

from tests.actions.helper import Actions, Outcome

NATIVE = {"blake3": "blake3", "tomli": "tomli", "yaml": "pyyaml"}
USED = """\
import sys
sys.path += sys.argv[1:]
import acme.inner, blake3, tomli, yaml
from yaml import CSafeLoader
print(acme.inner.ANSWER, blake3.blake3(b"").hexdigest()[:8], yaml.load("a: [1]", CSafeLoader))
print(tomli.loads("a = {\\n}"), tomli.__name__, tomli._parser.__spec__.origin)
print(sys.modules["yaml._yaml"].__name__, sys.modules["blake3.blake3"].__name__, yaml._yaml.__spec__.loader.path)
"""


def pack(actions: Actions, *wheels: str, machine_code: bool = True) -> Outcome:
    """BentoHelperPackages of some wheels."""
    words = []
    for name in wheels:
        output = f"bazel-out/{name}"
        words += ["--packed", f"{name}.whl", f"{output}.zip", output if machine_code else ""]
        (actions.root / output).mkdir(parents=True, exist_ok=True)
    return actions.run("pack_packages", words, {})


def write_wheel(actions: Actions, name: str, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(actions.root / f"{name}.whl", "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def write_wheels(actions: Actions) -> None:
    """Write a wheel of sources, and two of packages here that have machine code."""
    sources = {
        "acme/__init__.py": b"",
        "acme-1.0.data/purelib/acme/inner.py": b"ANSWER = 'source'\n",
        "acme/py.typed": b"",
    }
    script = {"acme-1.0.data/scripts/acme.py": b"", "acme-1.0.dist-info/METADATA": b"Name: acme\n"}
    write_wheel(actions, "pure", sources | script)
    for name, distribution in NATIVE.items():
        files = [path for path in importlib.metadata.files(distribution) or () if path.suffix in (".py", ".so")]
        write_wheel(actions, name, {str(path): path.read_binary() for path in files})


def names(actions: Actions, package: str) -> list[str]:
    with zipfile.ZipFile(actions.root / f"bazel-out/{package}.zip") as archive:
        assert not archive.testzip()
        return archive.namelist()


def test_packed_packages_are_imported_from_wherever_they_lie(actions):
    write_wheels(actions)
    done = pack(actions, "pure", *NATIVE)
    assert done.code == 0, done.errors
    assert names(actions, "pure") == ["acme/__init__.pyc", "acme/inner.pyc"]
    moved = actions.root / "moved"
    (actions.root / "bazel-out").rename(moved)
    for name in ("pure", *NATIVE):
        (actions.root / f"{name}.whl").unlink()
    zips = [f"moved/{name}.zip" for name in ("pure", *NATIVE)]
    command = [sys.executable, "-I", "-S", "-B", "-c", USED, *zips]
    used = subprocess.run(command, cwd=actions.root, capture_output=True, text=True, check=False)
    assert used.returncode == 0, used.stderr
    told, toml, modules = used.stdout.splitlines()
    assert told == "source af1349b9 {'a': [1]}"
    # The wheel of tomli has machine code of mypyc, and the same modules as sources.
    assert toml == "{'a': {}} tomli moved/tomli.zip/tomli/_parser.pyc"
    assert modules.startswith("yaml._yaml blake3.blake3 moved/yaml/yaml/_yaml.")
    assert {path.suffix for name in NATIVE for path in (moved / name).rglob("*") if path.is_file()} == {".so"}


def test_the_same_wheels_are_the_same_bytes(actions):
    write_wheels(actions)
    assert pack(actions, "pure", "yaml").code == 0
    made = (actions.root / "bazel-out").rglob("*")
    before = {path: path.read_bytes() for path in made if path.suffix in (".so", ".zip")}
    assert len(before) == 3
    for path in before:
        path.unlink()
    assert pack(actions, "yaml", "pure").code == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("fast.abi3.so", b"\x7fELF\0", "pure.whl: unexpected extension module fast.abi3.so"),
        ("acme-1.0.dist-info/METADATA", b"Name: acme\n", "pure.whl: the wheel contains no Python modules"),
        ("../../fast.abi3.so", b"\x7fELF\0", "the path '../../fast.abi3.so' isn't relative and normalized"),
    ],
)
def test_what_cannot_be_packed_is_rejected(actions, member, content, message):
    write_wheel(actions, "pure", {member: content})
    done = pack(actions, "pure", machine_code=member != "fast.abi3.so")
    assert done.code == 1
    assert message in done.errors
    assert not [*actions.root.rglob("*.so")]
