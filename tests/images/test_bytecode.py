"""Byte code of wheels: what Python takes instead of compiling, bound to its sources, the same wherever it is made."""

import hashlib
import io
import marshal
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import hypothesis
import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.parts import WheelPart, join_parts
from rules_bento.images.wheels import bytecode
from rules_bento.images.wheels.bytecode import Compiler, write_bytecode_part
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import COMPRESSIONS, members, unpacked
from tests.helpers.made_wheels import Maker
from tests.helpers.tar_files import extract_all

PROGRAM = Path(__file__).parents[2] / "py/rules_bento/images/wheels/bytecode_program.py"
MINOR = sys.version_info.minor
LAYOUT = InstallLayout.venv("/app/.venv", MINOR, uid=1034, gid=1035)
SITE = LAYOUT.site_packages[1:]
TAG = sys.implementation.cache_tag
MODULES = {
    "acme/__init__.py": "",
    "acme/number.py": "NAMES = frozenset({'a', 'b', 'c', None})\n\n\ndef number():\n    return 1\n",
    "acme/latin.py": "# -*- coding: latin-1 -*-\nNAME = 'größe'\n".encode("latin-1"),
    "acme/templates/old.py": "print 'for Python 2'\n",
    "acme/templates/new.py": "{{ name }} = \0\n",
    "acme/table.csv": "1,2\n",
}
COMPILED = {f"{SITE}/acme/__pycache__/{name}.{TAG}.pyc" for name in ("__init__", "latin", "number")}


def part_of(directory, wheel, mode="checked-hash", compression="none", layout=LAYOUT, program=PROGRAM):
    with Compiler(sys.executable, str(program), mode) as compiler:
        listing = write_bytecode_part(directory / "part", Wheel.read(wheel), layout, compression, compiler)
    return WheelPart(listing, directory / "part")


def made(directory, files=MODULES):
    return Maker("acme").add(files).write(directory)


def installed(directory, part, compression="none"):
    """What an image with the wheel and its byte code has, below `folder`."""
    join_parts(directory / "layer", [part], LAYOUT, compression)
    with tarfile.open(fileobj=io.BytesIO(unpacked(directory / "layer", compression))) as layer:
        extract_all(layer, directory, "data")
    for path, content in MODULES.items():
        target = directory / SITE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory / SITE


def run(site, code):
    """What Python says, which may write nothing, and the byte code that it took."""
    script = f"import sys; sys.path.insert(0, {str(site)!r}); {code}"
    done = subprocess.run([sys.executable, "-I", "-B", "-v", "-c", script], capture_output=True, text=True, check=True)
    taken = {line.split("'")[1] for line in done.stderr.splitlines() if line.startswith("# code object from '")}
    return done.stdout.strip(), {
        Path(path).relative_to(site).as_posix() for path in taken if path.startswith(str(site))
    }


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_python_takes_it_instead_of_compiling(tmp_path, compression):
    site = installed(tmp_path, part_of(tmp_path, made(tmp_path), compression=compression), compression)
    said, taken = run(site, "import acme.number, acme.latin; print(acme.number.number(), acme.latin.NAME)")
    assert said == "1 größe"
    assert {f"{SITE}/{path}" for path in taken} == COMPILED


@pytest.mark.parametrize(("mode", "expected"), [("checked-hash", "2"), ("unchecked-hash", "1")])
def test_a_source_that_is_another_one_counts_where_it_is_checked(tmp_path, mode, expected):
    site = installed(tmp_path, part_of(tmp_path, made(tmp_path), mode))
    (site / "acme/number.py").write_text(MODULES["acme/number.py"].replace("1", "2"))
    assert run(site, "import acme.number; print(acme.number.number())")[0] == expected


def test_a_part_has_bytecode_alone_and_none_of_what_cannot_be_compiled(tmp_path):
    part = part_of(tmp_path, made(tmp_path))
    join_parts(tmp_path / "layer", [part], LAYOUT, "none")
    found = members(tmp_path / "layer")
    files = {name: (info, content) for name, (info, content) in found.items() if info.isfile()}
    assert files.keys() == COMPILED == part.listing.files.keys()
    for name, (info, content) in files.items():
        assert (info.mode, info.uid, info.gid, info.mtime) == (0o644, 1034, 1035, 0)
        assert part.listing.files[name] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    directories = {name for name, (info, _) in found.items() if info.isdir()}
    assert directories == {str(parent) for name in COMPILED for parent in Path(name).parents} - {"."}


def test_directories_named_tests_have_no_bytecode_and_their_modules_work(tmp_path):
    """At any depth below site-packages, and also at its top. Other names, such as a module `tests`, have bytecode."""
    empty = dict.fromkeys(("tests/a.py", "acme/tests/__init__.py", "acme/tests/sub/b.py"), "")
    others = dict.fromkeys(("acme/tests.py", "acme/testing/c.py", "acme/test/d.py", "acme/my_tests/e.py"), "")
    wheel = made(tmp_path, MODULES | empty | others | {"acme/tests/number.py": "X = 3\n"})
    part = part_of(tmp_path, wheel)
    names = {path.removeprefix(f"{SITE}/").replace(f".{TAG}.pyc", ".py") for path in part.listing.files}
    found = {name.replace("__pycache__/", "") for name in names}
    assert found == {*others, "acme/__init__.py", "acme/latin.py", "acme/number.py"}
    site = installed(tmp_path, part)
    (site / "acme/tests").mkdir()
    (site / "acme/tests/number.py").write_text("X = 3\n")
    assert run(site, "import acme.tests.number; print(acme.tests.number.X)")[0] == "3"


def test_tracebacks_name_the_path_in_the_image(tmp_path):
    part_of(tmp_path, made(tmp_path))
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "part").read_bytes() + bytes(1024))) as tar:
        content = tar.extractfile(f"{SITE}/acme/__pycache__/number.{TAG}.pyc").read()
    assert marshal.loads(content[16:]).co_filename == f"{LAYOUT.site_packages}/acme/number.py"


def test_it_is_the_same_in_every_process_place_and_environment(tmp_path):
    """Of a library that is large, for its sets, its constants, and names that many modules share."""
    library = Path(hypothesis.__file__).parent
    modules = sorted(library.rglob("*.py"))[:120]
    files = {f"library/{path.relative_to(library)}": path.read_bytes() for path in modules}
    wheel = made(tmp_path, files)
    digests = set()
    for seed in ("0", "1", "random"):
        directory = tmp_path / seed
        (directory / "beside").mkdir(parents=True)
        program = directory / "beside/bytecode_program.py"
        program.write_bytes(PROGRAM.read_bytes())
        os.environ["PYTHONHASHSEED"] = seed
        try:
            part_of(directory, wheel, program=program)
        finally:
            del os.environ["PYTHONHASHSEED"]
        digests.add(hashlib.sha256((directory / "part").read_bytes()).hexdigest())
    assert len(files) > 100
    assert len(digests) == 1


LONELY = {
    "named": b"class A:\n  class B:\n    class C: pass\n  TEXT = 'A.B.C', 'A.B'\n",
    "sets": b"def f(x):\n  return x in {'passthrough', 'drop'}\ndef g(x):\n  return x in {'passthrough', 'drop'}\n",
    "drop": b"drop = passthrough = 'drop', 'passthrough'\n",
    "other": b"def f():\n  class B: pass\nclass A:\n  class B:\n    class C: pass\nX = 'f.<locals>.B'\n",
    "unicode": b"X = '\\N{BULLET}', '\xc3\xa9', 'normalize', '\xc2\xb5', 'east_asian_width'\n",
    "latin": b"# coding: iso8859-15\nX = 'decoding_table', 'IncrementalDecoder', '\xb5'\n",
    "names": "µ = é = 1\nX = 'é', 'µ', 'getregentry', 'a b'\n".encode(),
    "broken": b"def f(:\n",
}


def test_a_module_has_the_same_bytecode_after_any_others():
    """Other modules import codecs, and intern names and qualified names of classes."""
    library = Path(hypothesis.__file__).parent
    modules = {f"/{path.name}": path.read_bytes() for path in sorted(library.rglob("*.py"))[:30]}
    modules |= {f"/{name}": source for name, source in LONELY.items()}
    found = []
    for names in (sorted(modules), sorted(modules, reverse=True), sorted(modules, key=hash)):
        with Compiler(sys.executable, str(PROGRAM), "unchecked-hash") as compiler:
            found.append({name: compiler.compile(name, modules[name]) for name in names})
    assert found[0] == found[1] == found[2]
    for name in LONELY.keys() - {"broken"}:
        with Compiler(sys.executable, str(PROGRAM), "unchecked-hash") as compiler:
            assert found[0][f"/{name}"] == compiler.compile(f"/{name}", LONELY[name]), name
    assert not found[0]["/broken"]


def test_a_python_of_another_version_is_rejected(tmp_path):
    layout = InstallLayout.venv("/app/.venv", MINOR + 1)
    with pytest.raises(
        BentoError, match=rf"CPython 3\.{MINOR + 1}, but the bytecode compiler uses {TAG}\. Set a matching interpreter"
    ):
        part_of(tmp_path, made(tmp_path), layout=layout)
    assert not (tmp_path / "part").exists()


def test_an_interpreter_that_ends_is_an_error_with_what_it_said(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import sys\nsys.exit('no memory')\n")
    with pytest.raises(
        BentoError, match=r"cannot compile the module: no memory\. Use another interpreter, or no bytecode"
    ):
        Compiler(sys.executable, str(program), "checked-hash")
    late = PROGRAM.read_text().replace('return b""', 'sys.exit("no stack")')
    program.write_text(late)
    with pytest.raises(BentoError, match=r"acme/templates/new\.py: cannot compile.* no stack"):
        part_of(tmp_path, made(tmp_path), program=program)
    assert not (tmp_path / "part").exists()


SCRIPTS = {
    "prints and waits": "echo activating\nsleep 1000",
    "prints for ever": "yes",
    "forks": "sleep 1000 & sleep 1000",
    "leaves the group": "setsid sleep 1000 & exit 3",
    "leaves the group, and prints": "echo activating; setsid sleep 1000 & exit 3",
    "reads nothing": "printf '\\0\\0\\0\\003a 1'; setsid sleep 1000 & sleep 1000",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_ends_in_time_with_its_processes(name, tmp_path, monkeypatch):
    """A script that the user names. Its processes have the pipes, some of them in another process group."""
    monkeypatch.setattr(bytecode, "_SECONDS", 0.5)
    monkeypatch.setattr(bytecode, "_BYTES_PER_SECOND", 10**9)
    script = tmp_path / "python.sh"
    script.write_text(f"#!/bin/sh\nexport PATH={os.environ['PATH']} LEFT={tmp_path}\n{SCRIPTS[name]}\n")
    script.chmod(0o755)
    start = time.monotonic()
    with (
        pytest.raises(BentoError, match="the interpreter gave no valid answer"),
        Compiler(str(script), "x", "checked-hash") as compiler,
    ):
        compiler.compile("/x.py", bytes(1 << 20))
    assert time.monotonic() - start < 600
    can_stay = "setsid" in SCRIPTS[name]  # as any program of the user can do
    while (left := processes_of(tmp_path)) and not can_stay and time.monotonic() - start < 600:
        time.sleep(0.05)  # killed grandchildren end later, and have no parent that waits
    for each in left:
        os.kill(each, signal.SIGKILL)
    assert not left or can_stay


def processes_of(directory):
    paths = Path("/proc").glob("[0-9]*/environ")
    return [int(path.parent.name) for path in paths if f"LEFT={directory}" in text_of(path)]


def text_of(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_the_time_of_all_answers_is_limited(tmp_path, monkeypatch):
    """Not only of each: there can be 100,000 modules."""
    monkeypatch.setattr(bytecode, "_SECONDS", 4)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.read_text().replace("    try:\n", "    import time; time.sleep(1)\n    try:\n", 1))
    with (
        pytest.raises(BentoError, match=r"^/[1-4]\.py: cannot compile"),
        Compiler(sys.executable, str(program), "checked-hash") as compiler,
    ):
        for number in range(8):
            assert compiler.compile(f"/{number}.py", b"")


LARGE = {
    "constants": "".join(f"X{n} = '{n:04}' * 1023\n" for n in range(1500)).encode(),
    "punycode": b"#!/usr/bin/python\n#-*- coding: _PunyCode -*-\n" + b"#" * (3 << 20) + b"-aaaa",
    "punycode after CR": b"\r# coding=punycode\r#" + b"#" * (3 << 20) + b"-aaaa",
    "UTF-7": b"# coding: utf7\nx = f'" + b"+AHs-a}" * 50_000 + b"'",
}


@pytest.mark.parametrize("name", LARGE)
def test_code_whose_bytecode_is_too_large_or_too_slow_is_skipped(name):
    """Not an error. Whether a module has bytecode doesn't depend on the speed of the machine."""
    with Compiler(sys.executable, str(PROGRAM), "unchecked-hash") as compiler:
        assert compiler.compile("/x.py", LARGE[name]) == b""
        assert compiler.compile("/y.py", b"# coding: gbk\n" * 3000)


@pytest.mark.parametrize(("version", "has_bytecode"), [("3.11.7", False), ("3.12.1", True)])
def test_f_strings_that_an_old_version_compiles_slowly_are_skipped(version, has_bytecode):
    with Compiler(sys.executable, str(PROGRAM), "unchecked-hash") as compiler:
        compiler.version = version
        assert bool(compiler.compile("/x.py", b"x = f'" + b"{a}" * 18_500 + b"'")) is has_bytecode


@pytest.mark.parametrize("is_enough", [True, False])
def test_the_number_of_interpreters_changes_nothing(is_enough, tmp_path, monkeypatch):
    """The second and later modules are compiled by other interpreters, after other modules."""
    code = "class A:\n  class B: pass\nNAMES = {'a', 'b'}\ndef f(x): return x in {'a', 'b', %d}\n"
    if is_enough:
        monkeypatch.setattr(bytecode, "_ENOUGH", 1)
    wheel = made(tmp_path, {f"acme/module_{number}.py": code % number for number in range(40)})
    parts = []
    for threads in (1, 4):
        with Compiler(sys.executable, str(PROGRAM), "unchecked-hash") as compiler:
            listing = write_bytecode_part(tmp_path / "part", Wheel.read(wheel), LAYOUT, "none", compiler, threads)
            assert (len(compiler._others) > 0) == (threads > 1 and is_enough)
        parts.append((listing, (tmp_path / "part").read_bytes()))
    assert parts[0] == parts[1]


def test_each_thread_has_an_interpreter(tmp_path, monkeypatch):
    """Each module waits until as many interpreters as threads compile."""
    monkeypatch.setattr(bytecode, "_SECONDS", 60)
    monkeypatch.setattr(bytecode, "_ENOUGH", 2)
    count, program = 3, tmp_path / "program.py"
    waits = f"    import os, time; open({str(tmp_path / 'of-')!r} + str(os.getpid()), 'w')\n"
    waits += (
        f"    while sum(name.startswith('of-') for name in os.listdir({str(tmp_path)!r})) < {count}: time.sleep(0.01)\n"
    )
    program.write_text(PROGRAM.read_text().replace("    try:\n", f"{waits}    try:\n", 1))
    with Compiler(sys.executable, str(program), "unchecked-hash") as compiler:
        found = [*compiler.compile_all(((f"/{number}.py", b"#\n") for number in range(9)), count)]
    assert all(found)
    assert len([*tmp_path.glob("of-*")]) == count
