"""Caches in registries keep layers of wheels for other versions of rules_bento, so a change of bytes needs a number."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from rules_bento.images.layers.layer import MEDIA_TYPES, write_wheel_layer
from rules_bento.images.layers.parts import join_parts
from rules_bento.images.plan import FORMAT, PlannedLayer
from rules_bento.images.wheels import bytecode
from rules_bento.images.wheels.bytecode import Compiler, write_bytecode_part
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import LARGE, LAYOUT, parts_of
from tests.helpers.made_wheels import Maker
from tests.images.elf_support import library_that_names_itself

# If a digest changes, increase FORMAT of `images/plan.py`, and record the digests under the new number. A number that
# no release has can be recorded again.
RECORDED = {
    6: {
        "gzip group": "bbdf80e40c096fa3f80bc9f38b8f969f87b86456680101c529e63cb5b067feed",
        "gzip layer": "491850da61dd945075fa04d579f4edb87815caf9bf06b88cb7111f38e27bdaaa",
        "libraries": "55c116e7ba3906f93517d569bb34f08c92fe4672f12a7100ad350d58a1dd746b",
        "none group": "6cd47ce784bbc64529f953beedc271584d489ad7f4d389d80b4573f598ff1708",
        "none layer": "e3ca29f7e33f7cbd23f3552e30bb55f2bf0dffd5263734c2b3db0fb63da05156",
        "wheel one": "d1993c3135237f1eacb520c89ecbe1cc354ae5af935e1fe351a75976def89625",
        "wheel two": "063cfd7e8dfa116be90cbcc7a887eb1761775ae91db87fb1e979fa647eeccd17",
        "zstd group": "32f286d61bb8e7fb32d3dc2c0073f3bc5d82742c47fe88027abd7961d3555f42",
        "zstd layer": "b065f5f96a5c4f9243df21fb06d303c02cd8de1f2db994d9159908a8c17b05d1",
    }
}


# The same for bytecode, by version of Python. Its releases rarely write other bytes.
BYTECODE: dict[int, dict[str, str]] = {
    6: {
        "3.10": "481aca07cfe1cb6392ce9ead292bf3eaf4725baefcbb2e01bef03c8836ea0636",
        "3.11": "e574e8dbb27ca771bae4624c0db58c12115ee8bc6eece69b05db409afb43f071",
        "3.12": "cfa0cc5c8c45d3a461e66a9d3545c885886692abc70fa36c201ef1dd680a006c",
        "3.13": "44503b7c86d058fbd110bc93dfbb501db29e527ac97d70ffdd358955c6cf6cf2",
    }
}
PROGRAM = Path(bytecode.__file__).with_name("bytecode_program.py")
# Constants that equal a qualified name, and equal sets, which the compiler shares.
NAMES = """\
class A:
  class B:
    class C: pass
  TEXT = 'A.B.C', 'A.B', 'f.<locals>.B'
def f(x): return x in {'passthrough', 'drop'}
def g(x): return x in {'passthrough', 'drop'}
"""


def wheels(directory):
    """Two wheels with equal bytes on each machine: each zlib compresses a few bytes to the same."""
    one, two = Maker("one"), Maker("two")
    one.add({"one/__init__.py": "x = 1\n", "one/sub/empty.py": ""})
    one.add({"one/large.bin": LARGE[:300_000], "one/text.py": "def f(): pass\n" * 5000}, stored=True)
    one.add({"one/_one.cpython-312-x86_64-linux-gnu.so": library_that_names_itself(0)}, mode=0o755, stored=True)
    one.add({f"{one.data}/scripts/tool": "#!python\n1\n", f"{one.data}/headers/a.h": "x", f"{one.data}/data/y": "z"})
    one.entry_points("[console_scripts]\none = a:b\n")
    two.add({"two.py": "y = 2\n"})
    for maker in (one, two):
        maker.stored |= {path for path in maker.files if path.startswith(maker.dist_info)}
        maker.stored.add(f"{maker.dist_info}/RECORD")
    return [maker.write(directory) for maker in (one, two)]


def test_layers_have_the_bytes_of_their_format(tmp_path):
    paths = wheels(tmp_path)
    found = {f"wheel {path.name[:3]}": hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    for compression in MEDIA_TYPES:
        layer = write_wheel_layer(tmp_path / "layer", Wheel.read(paths[0]), LAYOUT, compression)
        group = join_parts(tmp_path / "group", parts_of(tmp_path, paths, compression), LAYOUT, compression)
        found |= {f"{compression} layer": layer.digest[7:], f"{compression} group": group.digest[7:]}
    text = Libraries.read(Wheel.read(paths[0])).dumps()
    found["libraries"] = hashlib.sha256(text.encode()).hexdigest()
    assert RECORDED.get(FORMAT) == found, "increase FORMAT"


def bytecode_digest(directory, interpreter):
    """Return the version of an interpreter, and the digest of the bytecode that it writes in both modes."""
    wheel = Maker("one").add({"one/__init__.py": NAMES, "one/tests/x.py": "", "tests.py": ""}).write(directory)
    digest = hashlib.sha256()
    for mode in ("checked-hash", "unchecked-hash"):
        with Compiler(interpreter, str(PROGRAM), mode) as compiler:
            version = compiler.version.rpartition(".")[0]
            layout = LAYOUT._replace(python_minor=int(version[2:]))
            write_bytecode_part(directory / mode, Wheel.read(wheel), layout, "none", compiler)
        digest.update((directory / mode).read_bytes())
    return version, digest.hexdigest()


def test_bytecode_has_the_bytes_of_its_format(tmp_path):
    version, digest = bytecode_digest(tmp_path, sys.executable)
    assert BYTECODE[FORMAT].get(version, digest) == digest, "increase FORMAT"


@pytest.mark.parametrize(
    "other", [[True, LAYOUT, ["b"]], [False, LAYOUT, ["a"]], [True, InstallLayout.venv("/", 1), ["a"]]]
)
def test_keys_of_layers_depend_on_what_their_bytes_depend_on(other):
    key = PlannedLayer("", [True, LAYOUT, ["a"]], None).shared_key("gzip")
    assert key == PlannedLayer("another name", [True, LAYOUT, ["a"]], None).shared_key("gzip")
    assert key == hashlib.sha256(json.dumps([FORMAT, "gzip", [True, [*LAYOUT], ["a"]]]).encode()).hexdigest()
    assert key != PlannedLayer("", other, None).shared_key("gzip")
    assert key != PlannedLayer("", [True, LAYOUT, ["a"]], None).shared_key("zstd")
