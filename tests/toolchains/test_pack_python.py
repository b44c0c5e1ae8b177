"""An interpreter is packed into few files, which serve alone; where they do not, actions have all of it."""

import marshal
import subprocess
import sys
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

PACKER = Path("toolchains/programs/pack_python.py").absolute()
VERSION = "{}.{}".format(*sys.version_info)
LIBRARY = f"lib/python{VERSION}"
ZIP = "lib/python{}{}.zip".format(*sys.version_info)
MODULES = {"encodings/__init__.py", "json/__init__.py", "json/decoder.py", "os.py"}
OF_PEOPLE = {"idlelib/__init__.py", "json/tests/__init__.py", "site-packages/pip/__init__.py"}
TEMPLATE = "json/template.py"
EXTENSION = "_acme.cpython-312-x86_64-linux-gnu.so"
# What programs name, as linkers of Linux and macOS write it.
NAMES = b"\x7fELF\0$ORIGIN/../lib/libpython.so.1.0\0libm.so.6\0@executable_path/../lib/libpython.dylib\0"
# For a program, the folder beside it.
BESIDE = f"${{0%/bin/*}}/{LIBRARY}"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Lay an interpreter out as `make install` does."""
    prefix = tmp_path / "prefix"
    for name in MODULES | OF_PEOPLE | {TEMPLATE}:
        path = prefix / LIBRARY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def (" if name == TEMPLATE else "import sys\n\n\ndef f():\n    return sys\n")
    for name in (EXTENSION, "_test_acme.so", "_tkinter.so"):
        write(prefix / LIBRARY / "lib-dynload" / name, b"\0libacme.so.2\0")
    write(prefix / "lib/libpython.so.1.0", b"\0libdeep.so\0")
    for name in ("libpython.dylib", "libpython.so", "libdeep.so", "libacme.so.2", "libtcl.so"):
        write(prefix / "lib" / name, b"")
    write(prefix / "bin/python3", NAMES)
    return prefix


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)


def program(directory: Path | str, before: str = "") -> bytes:
    """Return a program that tells, as an interpreter would, that its modules are in a folder."""
    return f"#!/bin/sh\n{before}printf '%s\\n' \"{directory}/os.py\"\n".encode()


def packed(prefix: Path, output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Pack into a folder in which Bazel has made those of the outputs."""
    (output / "bin").mkdir(parents=True)
    (output / "lib").mkdir()
    command = [sys.executable, "-I", "-S", "-B", PACKER, *flags, prefix / "bin/python3", output / "bin/python3"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files_of(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_files_are_few(prefix, tmp_path):
    done = packed(prefix, tmp_path / "packed")
    assert (done.returncode, done.stderr) == (0, "")
    libraries = {"libacme.so.2", "libdeep.so", "libpython.dylib", "libpython.so.1.0"}
    named = {f"{LIBRARY}/os.py", f"{LIBRARY}/lib-dynload/{EXTENSION}", ZIP, "bin/python3"}
    assert files_of(tmp_path / "packed") == named | {f"lib/{name}" for name in libraries}
    assert (tmp_path / "packed/bin/python3").stat().st_mode & 0o111


def test_the_library_is_bytecode_without_times_and_places(prefix, tmp_path):
    packed(prefix, tmp_path / "packed")
    with zipfile.ZipFile(tmp_path / "packed" / ZIP) as archive:
        assert set(archive.namelist()) == {f"{name}c" for name in MODULES}
        for entry in archive.infolist():
            content = archive.read(entry)
            assert content[:16] == MAGIC_NUMBER + b"\1\0\0\0" + bytes(8), "what is not checked needs no source"
            assert marshal.loads(content[16:]).co_filename == entry.filename.removesuffix("c")
            assert (entry.compress_type, entry.date_time[0]) == (zipfile.ZIP_STORED, 1980)
    packed(prefix, tmp_path / "again")
    assert (tmp_path / "again" / ZIP).read_bytes() == (tmp_path / "packed" / ZIP).read_bytes()


@pytest.mark.parametrize("is_there", [False, True])
def test_the_directory_of_compiled_modules_is_never_empty(prefix, tmp_path, is_there):
    for path in (prefix / LIBRARY / "lib-dynload").iterdir():
        path.unlink()
    if not is_there:
        (prefix / LIBRARY / "lib-dynload").rmdir()
    assert packed(prefix, tmp_path / "packed").returncode == 0
    assert f"{LIBRARY}/lib-dynload/README" in files_of(tmp_path / "packed"), "or a cache would lose it"


def test_an_interpreter_that_serves_is_packed(prefix, tmp_path):
    write(prefix / "bin/python3", program(BESIDE))
    done = packed(prefix, tmp_path / "packed", "--checked")
    assert (done.returncode, done.stderr) == (0, "")
    assert ZIP in files_of(tmp_path / "packed")


def test_one_that_misses_something_has_all_files(prefix, tmp_path):
    write(prefix / "bin/python3", program(BESIDE, f'[ -e "{BESIDE}/json/__init__.py" ] || exit 3\n'))
    (prefix / LIBRARY / "sitecustomize.py").symlink_to("/nowhere/sitecustomize.py")
    write(prefix / LIBRARY / "json/__pycache__/decoder.pyc", b"of this machine")
    done = packed(prefix, tmp_path / "packed", "--checked")
    assert done.returncode == 0
    assert "cannot be packed, so actions use all of its files: the exit code is 3" in done.stderr
    found = files_of(tmp_path / "packed")
    assert {f"{LIBRARY}/{name}" for name in MODULES | OF_PEOPLE | {TEMPLATE}} <= found
    assert not [path for path in found if "__pycache__" in path or path.endswith((".zip", "sitecustomize.py"))]


def test_one_that_imports_from_elsewhere_is_rejected(prefix, tmp_path):
    write(prefix / "bin/python3", program(prefix / LIBRARY))
    done = packed(prefix, tmp_path / "packed", "--checked")
    assert done.returncode == 1
    assert f"{prefix}/bin/python3: doesn't run from another directory" in done.stderr
    assert f"the interpreter imports {prefix}/{LIBRARY}/os.py" in done.stderr
    assert "bento_tools.python(interpreter = ...)" in done.stderr


def test_one_that_does_not_start_is_rejected(prefix, tmp_path):
    done = packed(prefix, tmp_path / "packed", "--checked")
    assert (done.returncode, done.stderr.count("doesn't run from another directory")) == (1, 1)
    assert "Exec format error" in done.stderr
