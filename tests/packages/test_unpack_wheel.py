"""The program for wheels of tools unpacks what the subcommand `unpack_wheel` unpacks, which verifies RECORD, too."""

import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run

from tests.helpers.made_wheels import Maker, patched

PROGRAM = Path("toolchains/programs/unpack_wheel.py").absolute()
LARGE = bytes(range(256)) * 5000


def unpacked(wheel, directory, *options):
    directory.mkdir()
    command = [sys.executable, "-I", "-S", "-B", PROGRAM, wheel, directory, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_wheel_has_the_files_that_the_subcommand_unpacks(tmp_path):
    maker = Maker().add({"odd/a.py": "a", "large.bin": LARGE, "other-1.0.data/purelib/b.py": "b", "BUILD": ""})
    maker.add({f"{maker.data}/purelib/c.py": "c", f"{maker.data}/platlib/odd/d.so": "d"})
    maker.add({"./flat.py": "flat", "./flat/a.py": "a"})
    maker.add({f"{maker.data}/scripts/run": "#!python", f"{maker.data}/headers/a.h": "", f"{maker.data}/data/x": ""})
    wheel = maker.write(tmp_path)
    done = unpacked(wheel, tmp_path / "ours")
    assert (done.returncode, done.stderr) == (0, "")
    assert run(["unpack_wheel", "--wheel", str(wheel), "--output", str(tmp_path / "theirs")]) == 0
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert {"c.py", "odd/d.so", "large.bin", "flat.py", "flat/a.py"} <= contents(tmp_path / "ours").keys()
    assert unpacked(wheel, tmp_path / "all", "--all").returncode == 0
    others = {f"{maker.data}/{name}" for name in ("scripts/run", "headers/a.h", "data/x")}
    assert contents(tmp_path / "all").keys() - contents(tmp_path / "ours").keys() == others


LINK, EXECUTABLE = 0o120777, 0o100755
# Names in the central directory, and the beginning of the message.
HOSTILE_NAMES = {
    "../outside": "invalid path '../outside'",
    "a/../../outside": "invalid path",
    "odd-1.0.data/purelib/../../outside": "invalid path",
    "a/..": "invalid path",
    "../": "invalid path",
    "/outside": "invalid path",
    "{tmp}/outside": "invalid path",
    "//outside": "invalid path",
    "..\\outside": "invalid path",
    "C:outside": "invalid path",
    "C:\\outside": "invalid path",
    "outside\0.py": "invalid path 'outside\\x00.py'",
    "out\nside": "invalid path",
    "././outside": "invalid path",
    ".//outside": "invalid path",
    "./../outside": "invalid path",
    "a//outside": "invalid path",
    "": "invalid path",
    b"outside\xff": "'utf-8' codec",
}


def entries(*members):
    """Return a zip of members: name, contents, Unix mode, and the name in the local header, if another one."""
    made, directory = bytearray(), bytearray()
    for name, contents, mode, local in members:
        names = [
            text if isinstance(text, bytes) else text.encode() for text in (name, name if local is None else local)
        ]
        sizes = struct.pack("<3L", zlib.crc32(contents), len(contents), len(contents))
        head = struct.pack("<4H", 0x800, 0, 0, 0x21) + sizes
        directory += b"PK\1\2" + struct.pack("<H", 0x31E) + struct.pack("<H", 20) + head
        directory += struct.pack("<5H2L", len(names[0]), 0, 0, 0, 0, mode << 16, len(made)) + names[0]
        made += b"PK\3\4" + struct.pack("<H", 20) + head + struct.pack("<2H", len(names[1]), 0) + names[1] + contents
    count = min(len(members), 0xFFFF)  # which `zipfile` ignores
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, count, count, len(directory), len(made), 0)
    return bytes(made + directory) + end


def unpacked_entries(directory, *members):
    wheel = directory / "odd-1.0-py3-none-any.whl"
    wheel.write_bytes(entries(("odd/first.py", b"1", 0o644, None), *members))
    return unpacked(wheel, directory / "inner" / "site")


def is_only_inside(directory):
    outside = [path for path in directory.rglob("*") if path.is_file() and directory / "inner/site" not in path.parents]
    return outside == [directory / "odd-1.0-py3-none-any.whl"] and not list(Path("/").glob("outside*"))


@pytest.mark.parametrize(("name", "said"), HOSTILE_NAMES.items(), ids=ascii)
def test_a_hostile_name_is_rejected_before_the_first_file(tmp_path, name, said):
    (tmp_path / "inner").mkdir()
    name = name if isinstance(name, bytes) else name.format(tmp=tmp_path)
    done = unpacked_entries(tmp_path, (name, b"2", 0o644, None))
    assert done.returncode == 1
    assert done.stderr.startswith(f"odd-1.0-py3-none-any.whl: cannot unpack the wheel: {said}")
    assert done.stderr.count("\n") == 1
    assert not contents(tmp_path / "inner")
    assert is_only_inside(tmp_path)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a.py", b"2", 0o644, "../outside")], "File name in directory 'a.py' and header b'../outside' differ"),
        ([("../outside", b"2", 0o644, "a.py")], "invalid path '../outside'"),
        ([("link", b"../..", LINK, None), ("link/outside", b"2", 0o644, None)], "'link' is a symbolic link"),
        ([("a", b"2", 0o644, None), ("a/b", b"2", 0o644, None)], "File exists"),
        ([("a/b", b"2", 0o644, None), ("a", b"2", 0o644, None)], "File exists"),
        ([("a", b"2", 0o644, None), ("a", b"3", 0o644, None)], "File exists"),
        ([(f"{at}.py", b"", 0o644, None) for at in range(200_001)], "unpack to 200002 files"),
    ],
    ids=["local", "central", "link", "parent", "child", "twice", "many"],
)
def test_hostile_members_write_nothing_outside(tmp_path, members, said):
    (tmp_path / "inner").mkdir()
    done = unpacked_entries(tmp_path, *members)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert is_only_inside(tmp_path)


def test_a_bomb_is_rejected_before_the_first_file(tmp_path):
    wheel = Maker().add({"zeros.bin": bytes(80 << 20)}).write(tmp_path)
    done = unpacked(wheel, tmp_path / "site")
    assert done.returncode == 1
    assert f"{wheel.stat().st_size} bytes unpack to 4 files with 8" in done.stderr
    assert not contents(tmp_path / "site")


def test_more_contents_than_declared_are_not_written(tmp_path):
    wheel = patched(
        Maker().add({"zeros.bin": bytes(80 << 20)}).write(tmp_path),
        "zeros.bin",
        in_central=[(24, "<L", 10)],
        in_local=[(22, "<L", 10)],
    )
    done = unpacked(wheel, tmp_path / "site")
    assert done.returncode == 1
    assert "Bad CRC-32 for file 'zeros.bin'" in done.stderr
    assert (tmp_path / "site/zeros.bin").stat().st_size <= 10


def test_programs_are_executable(tmp_path):
    wheel = (
        Maker().add({"bin/run": "#!", "odd-1.0.data/purelib/tool": "#!"}, mode=0o755).add({"a.py": ""}).write(tmp_path)
    )
    assert unpacked(wheel, tmp_path / "site").returncode == 0
    found = {path.name for path in (tmp_path / "site").rglob("*") if path.is_file() and os.access(path, os.X_OK)}
    assert found == {"run", "tool"} if os.getuid() else {"run", "tool"} <= found
    assert not (tmp_path / "site/a.py").stat().st_mode & 0o111


def test_modules_are_compiled_without_running_modules_of_the_wheel(tmp_path):
    """The first entry of the import path is the directory of the program, never the wheel or the current directory."""
    evil = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()"
    names = ("compileall", "filecmp", "py_compile", "zipfile", "struct", "concurrent/__init__", "sitecustomize")
    wheel = Maker().add({f"{name}.py": evil for name in names} | {"mine/a.py": "x = {'b', 'a'}\n"}).write(tmp_path)
    (tmp_path / "site").mkdir()
    for name in names:
        (tmp_path / f"{name.partition('/')[0]}.py").write_text(evil, "utf-8")
    flags = ["env", "-i", "PYTHONHASHSEED=0", sys.executable, "-s", "-S", "-B", "-X", "utf8"]
    command = [*flags, PROGRAM, wheel, "site", "--compile"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.rglob("*.ran"))
    bytecode = (tmp_path / f"site/mine/__pycache__/a.{sys.implementation.cache_tag}.pyc").read_bytes()
    assert bytecode[4:8] == b"\1\0\0\0"  # by the hash of the source, unchecked (PEP 552)
    assert b"mine/a.py" in bytecode and str(tmp_path).encode() not in bytecode


@pytest.mark.parametrize(
    "files",
    [
        {"a": "1", "odd-1.0.data/purelib/a": "2"},
        {"odd-1.0.data/platlib/a": "1", "odd-1.0.data/purelib/a": "2"},
        {"a": "1", "odd-1.0.data/purelib/a/b": "2"},
    ],
)
def test_two_files_at_one_path_are_an_error(tmp_path, files):
    done = unpacked(Maker().add(files).write(tmp_path), tmp_path / "site")
    assert done.returncode == 1
    assert done.stderr.startswith("odd-1.0-py3-none-any.whl: cannot unpack the wheel: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("cut", [100, 10, 1])
def test_a_damaged_wheel_is_an_error(tmp_path, cut):
    wheel = Maker().add({"large.bin": LARGE}).write(tmp_path)
    data = wheel.read_bytes()
    for damaged in (data[:-cut], data[: len(data) // 3] + bytes(cut) + data[len(data) // 3 + cut :]):
        wheel.write_bytes(damaged)
        done = unpacked(wheel, tmp_path / f"site{len(damaged)}")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_an_unsupported_compression_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "odd-1.0-py3-none-any.whl", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", "1")
    data = (tmp_path / "odd-1.0-py3-none-any.whl").read_bytes()
    at = data.index(b"PK\1\2")
    (tmp_path / "odd-1.0-py3-none-any.whl").write_bytes(
        data[:8] + b"\x63" + data[9 : at + 10] + b"\x63" + data[at + 11 :]
    )
    done = unpacked(tmp_path / "odd-1.0-py3-none-any.whl", tmp_path / "site")
    assert done.returncode == 1
    assert "That compression method is not supported" in done.stderr
