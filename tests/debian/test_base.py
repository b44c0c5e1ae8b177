"""The base of examples/base, for both architectures, as it is in the layers."""

import gzip
import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile

import pytest

from tests.conftest import built
from tests.helpers.tar_files import extract_all

HERE = built("tests/debian/amd64/python.layer.json").parents[1]
MACHINES = {"amd64": 62, "arm64": 183}  # of the ELF specification: EM_X86_64, EM_AARCH64


class Base:
    def __init__(self, architecture):
        directory = HERE / architecture
        self.architecture = architecture
        self.description = json.loads((directory / "python.layer.json").read_text())
        self.blob = (directory / "python.layer.gzip").read_bytes()
        with gzip.open(io.BytesIO(self.blob)) as stream:
            self.bytes = stream.read()
        self.tar = tarfile.open(fileobj=io.BytesIO(self.bytes))  # noqa: SIM115
        self.names = self.tar.getnames()

    def read(self, path):
        return self.tar.extractfile(path).read()


@pytest.fixture(scope="module", params=MACHINES)
def base(request):
    return Base(request.param)


def test_the_description_of_a_base_matches_its_layer(base):
    assert base.description["digest"] == f"sha256:{hashlib.sha256(base.blob).hexdigest()}"
    assert base.description["diff_id"] == f"sha256:{hashlib.sha256(base.bytes).hexdigest()}"
    assert (base.description["size"], base.description["uncompressed_size"]) == (len(base.blob), len(base.bytes))


def test_every_program_and_library_is_of_the_architecture(base):
    machines = {}
    for info in base.tar:
        head = base.tar.extractfile(info).read(20) if info.isreg() else b""
        if head[:4] == b"\x7fELF":
            machines[info.name] = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    assert len(machines) > 100
    assert set(machines.values()) == {MACHINES[base.architecture]}, machines


def test_dpkg_has_every_package_for_the_architecture(base):
    status = base.read("var/lib/dpkg/status").decode()
    fields = [[line.split(": ", 1) for line in stanza.splitlines() if ": " in line] for stanza in status.split("\n\n")]
    stanzas = list(map(dict, fields))
    installed = {stanza["Package"]: stanza for stanza in stanzas if stanza}
    assert {"python3.13", "libc6", "ca-certificates", "base-files", "libgomp1"} <= installed.keys()
    assert {stanza["Architecture"] for stanza in installed.values()} == {base.architecture, "all"}
    assert {stanza["Status"] for stanza in installed.values()} == {"install ok installed"}
    lists = [name for name in base.names if name.startswith("var/lib/dpkg/info/") and name.endswith(".list")]
    assert len(lists) == len(installed)


def test_sums_of_dpkg_are_those_of_the_files(base):
    checked = 0
    for name in base.names:
        if name.startswith("var/lib/dpkg/info/") and name.endswith(".md5sums"):
            for line in base.read(name).decode().splitlines():
                digest, _, path = line.partition("  ")
                assert hashlib.md5(base.read(path)).hexdigest() == digest, path
                checked += 1
    assert checked > 500


def test_there_is_what_a_service_needs_and_nothing_else(base):
    assert "bentoml:x:1034:1034:" in base.read("etc/passwd").decode()
    assert base.read("etc/ssl/certs/ca-certificates.crt").count(b"-----BEGIN CERTIFICATE-----") > 100
    assert "usr/lib/locale/C.utf8/LC_CTYPE" in base.names
    assert "usr/share/doc/libssl3t64/copyright" in base.names
    links = {"bin": "usr/bin", "lib": "usr/lib", "sbin": "usr/sbin", "usr/bin/python3": "python3.13"}
    assert {name: base.tar.getmember(name).linkname for name in links} == links
    assert base.tar.getmember("tmp").mode == 0o1777
    packed = [name for name in base.names if name.endswith(".gz")]
    assert not [name for name in packed if name.startswith(("usr/share/man/man", "usr/share/doc/"))]
    assert not {"usr/bin/sh", "usr/bin/perl", "usr/bin/dpkg"} & set(base.names)
    assert not [info.name for info in base.tar if info.mode & 0o6000], "no program gives more rights"
    assert len(base.blob) < 25_500_000


@pytest.mark.skipif(platform.machine() != "x86_64", reason="nothing is executed for a foreign architecture")
def test_its_python_runs(tmp_path):
    extract_all(Base("amd64").tar, tmp_path)
    library = tmp_path / "usr/lib/x86_64-linux-gnu"
    command = [tmp_path / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", library, tmp_path / "usr/bin/python3.13"]
    code = """\
import bz2, ctypes, curses, decimal, http.server, lzma, readline, sqlite3, ssl, sys, uuid, zlib
print(sys.version_info[:2], ssl.create_default_context().cert_store_stats()["x509_ca"] > 100)
print(sqlite3.connect(":memory:").execute("select 1").fetchone(), ctypes.CDLL("libgomp.so.1").omp_get_max_threads() > 0)
print(all(not module.__file__ or module.__file__.startswith(sys.prefix) for module in (ssl, sqlite3, ctypes)))
"""
    environment = {
        "PYTHONHOME": str(tmp_path / "usr"),
        "LD_LIBRARY_PATH": str(library),
        "SSL_CERT_FILE": str(tmp_path / "etc/ssl/certs/ca-certificates.crt"),
    }
    done = subprocess.run([*command, "-I", "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(3, 13) True\n(1,) True\nTrue\n", "")

    # Users can change sitecustomize.py, a link to a file in /etc.
    code = "import sys; print(*sorted(sys.stdlib_module_names - {'antigravity', 'idlelib', 'this', 'turtledemo'}))"
    names = subprocess.run([*command, "-I", "-c", code], env=environment, capture_output=True, text=True, check=True)
    code = "\n".join(f"try: import {name}\nexcept ImportError: pass" for name in names.stdout.split())
    code += "\nimport sysconfig; sysconfig.get_config_vars()"
    done = subprocess.run(
        [*command, "-I", "-B", "-v", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    taken = re.findall(r"^# code object from '?([^'\n]+)", done.stderr, re.MULTILINE)
    assert len(taken) > 200, done.stderr
    assert {path for path in taken if "/__pycache__/" not in path} <= {
        str(tmp_path / "usr/lib/python3.13/sitecustomize.py")
    }
