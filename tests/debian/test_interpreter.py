"""The layer with an interpreter of rules_python, from files that are made here and from //tests/debian:installed."""

import hashlib
import io
import json
import platform
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run

from tests.conftest import built
from tests.debian.made_debs import make_deb, member
from tests.helpers.tar_files import extract_all

HOST = {"files": {"usr/lib/x/libc.so.6": "libc6", "usr/lib/x/libssl.so.3": "libssl3t64"}, "links": {}, "packages": {}}
LIBRARY = "lib/python3.12"
# What python-build-standalone 20241219 has in lib/libpython3.11.so.1.0.
STATIC = b"\0OpenSSL 3.0.15 3 Sep 2024\0\x06$\x99\xff3.47.1\0\0deflate 1.2.13 Copyright 1995-2022 Jean-loup Gailly\0"
MODULES = ("PyInit__ssl", "PyInit__sqlite3", "PyInit_zlib", "PyInit__ctypes")


def elf(*needed, glibc="2.17", machine=62, names=(), data=b""):
    """Return a shared library: one segment with its dynamic table, names, and the version of the C library."""
    version = f"GLIBC_{glibc}"
    words = ["", *needed, "libc.so.6", version, *names]
    offsets = {word: len("\0".join(words[:number])) + bool(number) for number, word in enumerate(words)}
    strings = "\0".join(words).encode() + b"\0"
    at = 64 + 2 * 56
    need_at = at + len(strings)
    need = struct.pack("<HHIII", 1, 1, offsets["libc.so.6"], 16, 0)
    need += struct.pack("<IHHII", 0, 0, 2, offsets[version], 0)
    dynamic_at = need_at + len(need)
    entries = [(1, offsets[name]) for name in (*needed, "libc.so.6")]
    entries += [(5, at), (10, len(strings)), (0x6FFFFFFE, need_at), (0x6FFFFFFF, 1), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    size = dynamic_at + len(dynamic)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, size, size, 1)
    segment = struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8)
    return head + load + segment + strings + need + dynamic + data


FILES = {
    "bin/python3.12": elf("$ORIGIN/../lib/libpython3.12.so.1.0"),
    "lib/libpython3.12.so": elf(),
    "lib/libpython3.12.so.1.0": elf(names=MODULES, data=b"\x003.12.8\0" + STATIC),
    "lib/libtcl8.6.so": elf(),
    "lib/tcl8.6/init.tcl": b"",
    "include/python3.12/Python.h": b"",
    f"{LIBRARY}/os.py": b"",
    f"{LIBRARY}/test/test_os.py": b"",
    f"{LIBRARY}/tkinter/__init__.py": b"",
    f"{LIBRARY}/config-3.12/libpython3.12.a": b"",
    f"{LIBRARY}/ctypes/test/__init__.py": b"",
    f"{LIBRARY}/site-packages/pip/__init__.py": b"",
    f"{LIBRARY}/lib-dynload/_hashlib.cpython-312.so": elf("libssl.so.3", names=["PyInit__hashlib"]),
    f"{LIBRARY}/lib-dynload/_tkinter.cpython-312.so": elf("libtcl8.6.so"),
    f"{LIBRARY}/lib-dynload/readline.cpython-312.so": elf("libreadline.so.8"),
}


@pytest.fixture
def layer(tmp_path, capsys):
    """Calls the action. Returns the tar and the index, or the text of the error."""

    def layer(changes=None, program="bin/python3.12", glibc="2.41", version="3.12", compiler=()):
        inputs = tmp_path / "repository"
        files = []
        for name, data in (FILES | (changes or {})).items():
            file = inputs / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if data is not None:
                file.write_bytes(data)
                files += ["--file", str(file)]
        (tmp_path / "lower").write_text(json.dumps(HOST))
        outputs = {"output": tmp_path / "layer", "description": tmp_path / "json", "index": tmp_path / "index"}
        argv = [word for flag, path in outputs.items() for word in (f"--{flag}", str(path))]
        argv += ["--architecture", "amd64", "--glibc", glibc, "--lower", str(tmp_path / "lower")]
        argv += [
            "--compression",
            "none",
            "--python-version",
            version,
            "--program",
            str(inputs / program),
            "--target",
            "//x:y",
        ]
        argv += ["--compiler", *map(str, compiler)] if compiler else []
        if run(["interpreter_layer", *argv, *files]):
            return capsys.readouterr().err
        return tarfile.open(outputs["output"]), json.loads(outputs["index"].read_text())

    return layer


def test_the_layer_has_what_a_service_needs(layer):
    tar, index = layer()
    files = {info.name.removeprefix("usr/local/"): info for info in tar if not info.isdir()}
    assert sorted(files) == [
        "bin/python",
        "bin/python3",
        "bin/python3.12",
        "lib/libpython3.12.so.1.0",
        f"{LIBRARY}/lib-dynload/_hashlib.cpython-312.so",
        f"{LIBRARY}/os.py",
    ]
    assert files["bin/python3"].linkname == "python3.12"
    assert (files["bin/python3.12"].mode, files[f"{LIBRARY}/os.py"].mode) == (0o755, 0o644)
    assert {path for path in index["files"] if path.endswith(".so.1.0")} == {"usr/local/lib/libpython3.12.so.1.0"}


def test_modules_have_bytecode_of_the_compiler(layer):
    version = f"3.{sys.version_info.minor}"
    changes = dict.fromkeys(FILES) | {
        name.replace("3.12", version): data.replace(b"3.12", version.encode()) for name, data in FILES.items()
    }
    program = Path(__file__).parents[2] / "py/rules_bento/images/wheels/bytecode_program.py"
    tar, index = layer(changes, f"bin/python{version}", version=version, compiler=(sys.executable, program))
    [name] = [name for name in tar.getnames() if name.endswith(".pyc")]
    assert name == f"usr/local/lib/python{version}/__pycache__/os.{sys.implementation.cache_tag}.pyc"
    assert name in index["files"]


def test_the_index_lists_the_interpreter_and_what_it_includes(layer):
    _, index = layer()
    found = {each["name"]: each["version"] for each in index["components"]}
    assert found == {"python": "3.12.8", "libffi": "", "openssl": "3.0.15", "sqlite": "3.47.1", "zlib": "1.2.13"}
    program = next(each for each in index["components"] if each["name"] == "python")
    assert program["digest"] == f"sha256:{hashlib.sha256(FILES['bin/python3.12']).hexdigest()}"
    # A module that needs the library of a Debian package includes no copy.
    _, index = layer({"lib/libpython3.12.so.1.0": elf("libssl.so.3", names=MODULES, data=b"\x003.12.8\0" + STATIC)})
    assert "openssl" not in {each["name"] for each in index["components"]}


def test_packages_above_an_interpreter_keep_its_components(layer, tmp_path):
    _, index = layer()
    deb = make_deb(tmp_path, "acme", [member("usr/bin/acme", data=b"x", mode=0o755)])
    outputs = [word for flag in ("output", "description") for word in (f"--{flag}", str(tmp_path / flag))]
    lower, above = tmp_path / "index", tmp_path / "above"
    argv = ["--lower", str(lower), "--index", str(above), "--deb", str(deb), "--compression", "none", *outputs]
    assert not run(["deb_layer", "--target", "//x:y", *argv])
    upper = json.loads(above.read_text())
    assert upper["components"] == index["components"]
    assert {"usr/bin/acme", "usr/local/bin/python3"} <= upper["files"].keys()


@pytest.mark.parametrize(
    "changes, options, error",
    [
        ({f"{LIBRARY}/os.py": None}, {}, f"the layout of the interpreter isn't supported: {LIBRARY}/os.py is missing"),
        ({}, {"version": "3.13"}, "Python 3.13 of rules_python: the layout of the interpreter isn't supported"),
        ({"lib/libpython3.12.so.1.0": elf()}, {}, "isn't supported: no file contains its complete version"),
        ({}, {"glibc": "2.16"}, "requires glibc 2.17, but the Debian packages of the base have 2.16. Add libc6"),
        ({}, {"glibc": ""}, "requires glibc 2.17, but the Debian packages of the base have no glibc. Add libc6"),
        (
            {f"{LIBRARY}/lib-dynload/_hashlib.cpython-312.so": elf("libssl.so.1.1")},
            {},
            "_hashlib.cpython-312.so requires libssl.so.1.1, which no Debian package of the base provides. Add the pack",
        ),
        ({"bin/python3.12": elf(machine=183)}, {}, "bin/python3.12 is for arm64, but the base is for amd64"),
    ],
)
def test_unfit_interpreters_are_refused_by_name(layer, changes, options, error):
    told = layer(changes, **options)
    assert f"//x:y: Python {options.get('version', '3.12')} of rules_python: " in told
    assert error in told


def test_the_bytes_depend_on_the_files_alone(layer):
    first = hashlib.sha256(layer()[0].fileobj.read()).hexdigest()
    again = hashlib.sha256(layer(dict(reversed(FILES.items())))[0].fileobj.read()).hexdigest()
    assert first == again


@pytest.mark.skipif(platform.machine() != "x86_64", reason="nothing is executed for a foreign architecture")
def test_the_installed_python_runs(tmp_path):
    blob = built("tests/debian/installed.interpreter.layer.gzip")
    with tarfile.open(fileobj=io.BytesIO(blob.read_bytes())) as tar:
        extract_all(tar, tmp_path)
    code = "import ctypes, decimal, sqlite3, ssl, sys, zlib; print(sys.version_info[:2], sys.prefix)"
    program = tmp_path / "usr/local/bin/python"
    done = subprocess.run([program, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"(3, 13) {tmp_path}/usr/local\n", "")
    index = json.loads(Path("tests/debian/installed.interpreter.index.json").read_text("utf-8"))
    assert index["packages"].keys() >= {"libc6", "ca-certificates"}
    assert index["components"][0]["name"] == "python"
