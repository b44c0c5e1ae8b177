"""The program for wheels of tools unpacks what the subcommand `unpack_wheel` unpacks, which verifies RECORD, too."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run

from tests.helpers.made_wheels import Maker, renamed

PROGRAM = Path("toolchains/programs/unpack_wheel.py").absolute()
LARGE = bytes(range(256)) * 5000


def unpacked(wheel, directory):
    directory.mkdir()
    command = [sys.executable, "-I", "-S", "-B", PROGRAM, wheel, directory]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_wheel_has_the_files_that_the_subcommand_unpacks(tmp_path):
    maker = Maker().add({"odd/a.py": "a", "large.bin": LARGE, "other-1.0.data/purelib/b.py": "b", "BUILD": ""})
    maker.add({f"{maker.data}/purelib/c.py": "c", f"{maker.data}/platlib/odd/d.so": "d"})
    maker.add({f"{maker.data}/scripts/run": "#!python", f"{maker.data}/headers/a.h": "", f"{maker.data}/data/x": ""})
    wheel = maker.write(tmp_path)
    done = unpacked(wheel, tmp_path / "ours")
    assert (done.returncode, done.stderr) == (0, "")
    assert run(["unpack_wheel", "--wheel", str(wheel), "--output", str(tmp_path / "theirs")]) == 0
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert {"c.py", "odd/d.so", "large.bin"} <= contents(tmp_path / "ours").keys()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "odd-1.0.data/purelib/../../outside", "..\\outside"])
def test_no_wheel_is_unpacked_outside(tmp_path, name):
    placeholder = "x" * len(name)
    wheel = renamed(Maker().add({placeholder: "1"}).write(tmp_path), placeholder, name)
    done = unpacked(wheel, tmp_path / "site")
    assert done.returncode == 1
    assert f"odd-1.0-py3-none-any.whl: cannot unpack the wheel: invalid path {name!r}. Check" in done.stderr
    assert not list(tmp_path.rglob("*outside"))


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
