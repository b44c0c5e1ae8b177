"""What hubs ask of a wheel is what `zipfile` reads of it, with its sizes in 32 bits and in 64."""

import hashlib
import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import packaging
import pytest
from rules_bento.bentos.packages.platforms import includes_python

PROGRAM = Path("toolchains/programs/inspect_wheel.py").absolute()
ATTRIBUTE = "user.rules_bento.sha256"
# Modules that the program imports for unusual ranges: the helper, and packaging.
IMPORT_PATH = [Path("py").absolute(), Path(packaging.__file__).parents[1]]
NAME = "mine-1.0.dist-info/METADATA"
METADATA = "Metadata-Version: 2.4\nName: mine\nRequires-Python: >=3.10,<4\n\nRequires-Python: >=9\n"


def wheel(metadata=METADATA, *, method=zipfile.ZIP_DEFLATED, name=NAME, comment=b""):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("mine/nested.dist-info/METADATA", "Requires-Python: >=8\n")
        archive.writestr("mine/__init__.py", "")
        archive.writestr(name, metadata)
        archive.writestr("mine-1.0.dist-info/RECORD", "")
        archive.comment = comment
    return file.getvalue()


def in_64_bits(data):
    """Return the zip with sizes and offset of METADATA, and those of the directory, where zip64 has them."""
    end = data.rfind(b"PK\5\6")
    length, start = struct.unpack_from("<2L", data, end + 12)
    directory = bytearray(data[start : start + length])
    at = directory.rindex(b"PK\1\2", 0, directory.index(NAME.encode()))
    packed_size, size = struct.unpack_from("<2L", directory, at + 20)
    [offset] = struct.unpack_from("<L", directory, at + 42)
    struct.pack_into("<2L", directory, at + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<L", directory, at + 42, 0xFFFFFFFF)
    extra = struct.pack("<2H4x", 0x7875, 4) + struct.pack("<2H3Q", 1, 24, size, packed_size, offset)
    struct.pack_into("<H", directory, at + 30, len(extra))
    extra_at = at + 46 + len(NAME)
    directory[extra_at:extra_at] = extra
    record_at = start + len(directory)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 4, 4, len(directory), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, record_at, 1)
    tail = bytearray(data[end:])
    struct.pack_into("<2L", tail, 12, 0xFFFFFFFF, 0xFFFFFFFF)
    return data[:start] + bytes(directory) + record + locator + bytes(tail)


def has_attributes(directory):
    """Return whether the file system has extended attributes of users."""
    probe = directory / "probe"
    probe.touch()
    try:
        os.setxattr(probe, ATTRIBUTE, b"")
    except (AttributeError, OSError):
        return False
    return True


def asked(directory, data, version="2.7"):
    path = directory / "mine-1.0-py3-none-any.whl"
    path.write_bytes(data)
    command = [sys.executable, "-I", "-S", "-B", PROGRAM, path, hashlib.sha256(data).hexdigest(), version]
    return subprocess.run([*command, *IMPORT_PATH], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("data", "python"),
    [
        (wheel(), ">=3.10,<4"),
        (wheel(method=zipfile.ZIP_STORED), ">=3.10,<4"),
        (wheel(comment=b"a" * 0xFFFF), ">=3.10,<4"),
        (wheel("requires-python:>=3.10 \r\n"), ">=3.10"),
        (wheel("Name: mine\n\nRequires-Python: >=9\n"), ""),
        (wheel("Name: \xe9\nRequires-Python: >=3.10\n" + "a" * (2 << 20)), ">=3.10"),
        (wheel(name="mine-1.0.dist-info/METADATA.txt"), ""),
    ],
)
def test_size_and_an_unsuitable_python_are_printed(tmp_path, data, python):
    done = asked(tmp_path, data)
    assert (done.stdout, done.stderr) == (f"{len(data)}\n{python}\n", "")


@pytest.mark.parametrize("version", ["3.9", "3.12", "3.12.4"])
@pytest.mark.parametrize(
    "required",
    [
        ">=3.10", ">= 3.12", ">=3.12.4", ">=3.12.5", ">=3.9,<4", ">=3.9, <3.14", "<3.12.4", "<3.12", "<3.12.0", ">=3",
        "<4.0", ">3.9", "<=3.10", "!=3.12.*,>=3.9", "~=3.10", "==3.12.4", ">=3.6.*", ">=3.10,<3.12,!=3.11.2", "nonsense",
        ">=3..1", ">=\u00b2", f">={'9' * 5000}",
    ],
)  # fmt: skip
def test_a_range_includes_what_packaging_includes(tmp_path, required, version):
    done = asked(tmp_path, wheel(f"Requires-Python: {required}\n"), version)
    assert not done.stderr
    assert (done.stdout.splitlines()[1] == "") == includes_python(required, version)


def test_the_hash_becomes_an_attribute_where_there_are_such(tmp_path):
    data = wheel()
    path = tmp_path / "mine-1.0-py3-none-any.whl"
    if not has_attributes(tmp_path):
        assert asked(tmp_path, data).returncode == 0
        return
    path.touch()
    os.setxattr(path, ATTRIBUTE, b"of another file")
    for _ in range(2):
        assert asked(tmp_path, data).returncode == 0
        assert os.getxattr(path, ATTRIBUTE) == hashlib.sha256(data).digest()
        assert path.read_bytes() == data
    path.unlink()
    assert asked(tmp_path, b"<html>").returncode == 1
    assert ATTRIBUTE not in os.listxattr(path)


def test_a_file_that_has_the_attribute_is_left_alone(tmp_path):
    data = wheel()
    asked(tmp_path, data)
    path = tmp_path / "mine-1.0-py3-none-any.whl"
    before = path.stat().st_ctime_ns
    command = [sys.executable, "-I", "-S", "-B", PROGRAM, path, hashlib.sha256(data).hexdigest(), "3.12"]
    subprocess.run(command, check=True, capture_output=True)
    assert path.stat().st_ctime_ns == before


def test_sizes_in_64_bits_are_read(tmp_path):
    data = in_64_bits(wheel())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
    assert asked(tmp_path, data).stdout == f"{len(data)}\n>=3.10,<4\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the end of the central directory is missing"),
        (b"<html>", "the end of the central directory is missing"),
        (wheel()[:-10], "truncated"),
        (wheel(method=zipfile.ZIP_BZIP2), "unsupported compression"),
        (wheel().replace(b"PK\1\2", b"PK\1\3"), "directory"),
    ],
)
def test_an_invalid_wheel_is_rejected_in_a_line(tmp_path, data, said):
    done = asked(tmp_path, data)
    assert done.returncode == 1
    assert not done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
