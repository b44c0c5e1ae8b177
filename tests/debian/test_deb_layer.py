"""Layers of Debian packages, from packages that are made here; the action is called as Bazel calls it."""

import functools
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.archives.tarstream import Member
from rules_bento.images.debian import alternatives, any_base, system
from rules_bento.images.debian.apt import parse_stanzas
from rules_bento.images.layers.layer import write_files_layer

from tests.debian.made_debs import make_deb, member
from tests.helpers.made_gpu_code import library
from tests.helpers.tar_files import extract_all

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
COMPILER = (sys.executable, Path(__file__).parents[2] / "py/rules_bento/images/wheels/bytecode_program.py")
MINOR, TAG = sys.version_info.minor, sys.implementation.cache_tag
LIBRARY = f"usr/lib/python3.{MINOR}"


class Layer:
    """A layer that was made, and what is in it."""

    def __init__(self, base):
        self.bytes = base.with_suffix(".layer").read_bytes()
        self.index = base.with_suffix(".index")
        self.description = json.loads(base.with_suffix(".json").read_text())

    @functools.cached_property
    def tar(self):
        return tarfile.open(fileobj=io.BytesIO(self.bytes))

    @functools.cached_property
    def names(self):
        return self.tar.getnames()

    def read(self, path):
        return self.tar.extractfile(path).read()

    def __getitem__(self, path):
        return self.tar.getmember(path)


@pytest.fixture
def make(tmp_path, capsys):
    """Calls the action; the text of the error if it fails."""

    def make(*debs, name="it", lower=None, compression="none", compiler=(), **flags):
        base = tmp_path / name
        outputs = {"output": ".layer", "description": ".json", "index": ".index"}
        argv = [word for flag, ending in outputs.items() for word in (f"--{flag}", str(base.with_suffix(ending)))]
        argv += ["--target", "//x:y", "--compression", compression]
        argv += [word for deb in debs for word in ("--deb", str(deb))]
        argv += ["--lower", str(lower.index)] if lower else []
        argv += ["--compiler", *map(str, compiler)] if compiler else []
        for flag, values in flags.items():
            for value in values:
                argv += [f"--{flag}", *([json.dumps(part) for part in value] if isinstance(value, tuple) else [value])]
        if run(["deb_layer", *argv]):
            return capsys.readouterr().err
        return Layer(base)

    return make


def one(tmp_path, *members, name="one", **options):
    return make_deb(tmp_path, name, list(members), **options)


def test_the_description_of_a_base_matches_its_layer(make, tmp_path):
    layer = make(one(tmp_path, member("usr/x", data=b"x")))
    digest = f"sha256:{hashlib.sha256(layer.bytes).hexdigest()}"
    assert layer.description == {
        "media_type": "application/vnd.oci.image.layer.v1.tar",
        "digest": digest,
        "size": len(layer.bytes),
        "diff_id": digest,
        "uncompressed_size": len(layer.bytes),
        "name": "Debian package one",
    }


def test_the_bytes_depend_on_the_packages_alone(make, tmp_path):
    debs = [one(tmp_path, member(f"usr/{name}", data=b"x"), name=name) for name in ("aa", "base-files", "zz")]
    first = make(*debs, compression="zstd")
    before = os.umask(0o077)
    try:
        second = make(*reversed(debs), debs[0], compression="zstd", name="other")
    finally:
        os.umask(before)
    assert first.bytes == second.bytes
    assert first.index.read_bytes() == second.index.read_bytes()


def test_a_package_of_another_architecture_is_named(make, tmp_path):
    file = member("usr/x", data=b"x")
    foreign = one(tmp_path, file, name="foreign", architecture="arm64")
    error = make(foreign, architecture=["amd64"])
    assert "foreign_1.0_arm64.deb: foreign is for arm64, but the layer is for amd64." in error
    assert make(foreign, architecture=["arm64"]).names
    assert make(one(tmp_path, file, name="any", architecture="all"), architecture=["arm64"]).names


def test_modes_owners_links_and_one_time(make, tmp_path):
    directories = (member("usr"), member("srv", mode=0o2770, gid=50))
    links = (member("usr/same", hard="usr/su"), member("usr/to", link="../etc/to"))
    layer = make(one(tmp_path, member("usr/su", data=b"su", mode=0o4755, gid=42), *links, *directories))
    assert (layer["usr/su"].mode, layer["usr/su"].gid) == (0o4755, 42)
    assert layer["usr/same"].islnk() and layer.read("usr/same") == b"su"
    assert layer["usr/to"].linkname == "../etc/to"
    assert (layer["srv"].mode, layer["srv"].gid) == (0o2770, 50)
    assert {info.mtime for info in layer.tar} == {0}
    assert {(info.uname, info.gname) for info in layer.tar} == {("", "")}


def test_directories_precede_their_contents_and_are_unique(make, tmp_path):
    layer = make(
        one(tmp_path, member("usr"), member("usr/share/a", data=b""), name="aa"),
        one(tmp_path, member("usr"), member("usr/share"), member("usr/share/b", data=b""), name="bb"),
    )
    assert len(layer.names) == len(set(layer.names))
    seen = set()
    for name in layer.names:
        above = name.rpartition("/")[0]
        assert not above or above in seen, name
        seen.add(name)


def test_two_packages_with_one_path_are_both_named(make, tmp_path):
    debs = [one(tmp_path, member("usr/bin/x", data=b"x"), name=name) for name in ("aa", "bb")]
    error = make(*debs)
    assert error.startswith("//x:y: /usr/bin/x: aa and bb both contain this path.") and "Traceback" not in error
    assert make(*debs, exclude=["/usr/bin/x"]).names


def test_a_path_of_the_old_layout_is_the_same_path(make, tmp_path):
    old = one(tmp_path, member("bin"), member("bin/x", data=b"x"), name="aa")
    layer = make(old)
    assert layer["usr/bin/x"].isfile() and layer["bin"].linkname == "usr/bin"
    assert "/bin/x" in layer.read("var/lib/dpkg/info/aa.list").decode().splitlines()
    assert "aa and bb both contain this path" in make(old, one(tmp_path, member("usr/bin/x", data=b"y"), name="bb"))


@pytest.mark.parametrize(
    ("packages", "options", "message"),
    [
        ([[member("usr/x")], [member("usr/x", link="y")]], {}, "two: another package has a directory at /usr/x."),
        ([[member("usr/x", link="/etc")], [member("usr/x/shadow", data=b"")]], {}, "/usr/x: one and two both contain this path"),
        ([[member("usr/.wh.bin", data=b"")]], {}, "is a whiteout"),
        ([[member("usr/doc/x", data=b""), member("usr/y", hard="usr/doc/x")]], {"exclude": ["/usr/doc/*"]}, "/usr/y is a hard link to /usr/doc/x, which is excluded"),
        ([[member("usr/x", data=b"")]], {"exclude": ["usr/*"]}, "excludes, includes: invalid pattern 'usr/*'"),
    ],
)  # fmt: skip
def test_what_a_layer_cannot_have_is_an_error(make, tmp_path, packages, options, message):
    debs = [one(tmp_path, *members, name=name) for name, members in zip(("one", "two"), packages, strict=False)]
    assert message in make(*debs, **options)


def test_documentation_is_excluded_but_not_the_license(make, tmp_path):
    deb = one(
        tmp_path,
        member("usr/share/doc/one"),
        member("usr/share/doc/one/changelog", data=b""),
        member("usr/share/doc/one/copyright", data=b"MIT"),
        member("usr/share/doc/alias", link="one"),
        member("usr/share/doc/one/alias", link="changelog"),
    )
    layer = make(deb, exclude=["/usr/share/doc/*"], include=["/usr/share/doc/*/copyright"])
    assert layer.read("usr/share/doc/one/copyright") == b"MIT"
    assert layer["usr/share/doc/alias"].issym()
    assert not {"usr/share/doc/one/changelog", "usr/share/doc/one/alias"} & set(layer.names)
    assert "changelog" not in layer.read("var/lib/dpkg/info/one.list").decode()


def test_the_status_is_what_dpkg_writes(make, tmp_path):
    deb = one(
        tmp_path,
        member("etc/one.conf", data=b"a=1\n"),
        member("usr/one", data=b"one"),
        fields="Multi-Arch: same\nDepends: two,\n three\n",
        control_files=[
            member("conffiles", data=b"/etc/one.conf\nremove-on-upgrade /etc/old\n"),
            member("md5sums", data=b"%s  usr/one\n%s  usr/gone\n" % (b"0" * 32, b"1" * 32)),
            member("postinst", data=b"#!/bin/sh\nexit 1\n", mode=0o755),
        ],
    )
    layer = make(deb)
    assert layer.read("var/lib/dpkg/status").decode() == (
        "Package: one\nStatus: install ok installed\nVersion: 1.0\nArchitecture: amd64\nMulti-Arch: same\n"
        "Depends: two,\n three\nDescription: of one\nConffiles:\n"
        f" /etc/one.conf {hashlib.md5(b'a=1' + bytes([10])).hexdigest()}\n\n"
    )
    assert layer.read("var/lib/dpkg/info/one:amd64.md5sums") == b"%s  usr/one\n" % (b"0" * 32)
    assert layer.read("var/lib/dpkg/info/one:amd64.list").decode().splitlines() == ["/.", "/etc/one.conf", "/usr/one"]
    assert not [name for name in layer.names if "postinst" in name]


def test_a_layer_over_another_has_only_what_is_new(make, tmp_path):
    shared = one(tmp_path, member("usr/lib", mode=0o2755), member("usr/lib/a", data=b"a"), name="aa")
    lower = make(shared, name="lower", user=[("bentoml", "1034")])
    upper = make(shared, one(tmp_path, member("usr/lib"), member("usr/lib/b", data=b"b"), name="bb"), lower=lower)
    files = [info.name for info in upper.tar if not info.isdir()]
    assert files == ["usr/lib/b", "var/lib/dpkg/info/bb.list", "var/lib/dpkg/status"]
    assert upper["usr/lib"].mode == 0o2755
    assert upper.description["name"] == "Debian package bb"
    stanzas = parse_stanzas(upper.read("var/lib/dpkg/status").decode())
    assert [(stanza["Package"], stanza["Version"]) for stanza in stanzas] == [("aa", "1.0"), ("bb", "1.0")]
    other = one(tmp_path, member("usr/lib/a", data=b"x"), name="cc")
    assert "/usr/lib/a: aa and cc both contain this path" in make(other, lower=lower, name="third")
    newer = one(tmp_path, member("usr/lib/a", data=b"x"), name="aa", version="2.0")
    assert "aa 2.0: the image already contains version 1.0" in make(newer, lower=lower, name="third")


def test_users_and_directories(make, tmp_path):
    layer = make(one(tmp_path, member("usr/x", data=b"")), user=[("bentoml", "1034"), ("nonroot", "65532")])
    passwd = layer.read("etc/passwd").decode()
    assert passwd.startswith("root:x:0:0:") and "\nbentoml:x:1034:1034:bentoml:/home/bentoml:" in passwd
    assert "nonroot:x:65532:" in layer.read("etc/group").decode()
    home = layer["home/bentoml"]
    assert (home.uid, home.gid, home.mode) == (1034, 1034, 0o755)
    assert (layer["tmp"].mode, layer["root"].mode) == (0o1777, 0o700)
    assert layer["var/run"].linkname == "/run"


def test_a_number_that_a_user_cannot_have(make, tmp_path):
    problems = dict.fromkeys(("0", "42", "65534"), "reserved") | {"x": "expected a decimal", "70000": "from 1 to 65533"}
    for number, problem in problems.items():
        error = make(one(tmp_path, member("usr/x", data=b"")), user=[("me", number)])
        assert "users: me" in error and problem in error


def test_the_bundle_has_the_certificates_of_the_package_and_given_ones(make, tmp_path):
    deb = one(
        tmp_path,
        member("usr/share/ca-certificates/m/b.crt", data=CERTIFICATE.replace(b"MIIB", b"BBBB")),
        member("usr/share/ca-certificates/m/a.crt", data=CERTIFICATE.replace(b"MIIB", b"AAAA").rstrip()),
    )
    own = tmp_path / "corp.pem"
    own.write_bytes(CERTIFICATE)
    layer = make(deb, certificate=[str(own)])
    bundle = layer.read("etc/ssl/certs/ca-certificates.crt")
    assert [line for line in bundle.split() if len(line) == 4] == [b"AAAA", b"BBBB", b"MIIB"]
    assert bundle.count(b"\n-----END") == 3
    assert layer["usr/lib/ssl/cert.pem"].linkname == "/etc/ssl/certs/ca-certificates.crt"
    assert layer.read("usr/local/share/ca-certificates/corp.crt") == CERTIFICATE
    assert "Set certificates on that layer" in make(certificate=[str(own)], lower=layer, name="upper")
    own.write_bytes(b"\x30\x82")
    assert "isn't in PEM format" in make(deb, certificate=[str(own)])


def test_given_links(make, tmp_path):
    layer = make(one(tmp_path, member("usr/x", data=b"")), symlink=[("/usr/bin/python", "python3")])
    assert layer["usr/bin/python"].linkname == "python3"


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is missing")
def test_dpkg_reads_what_is_installed(make, tmp_path):
    sums = member("md5sums", data=b"%s  usr/one\n" % hashlib.md5(b"one").hexdigest().encode())
    fields = "Maintainer: me <me@example.org>\n"
    first = one(tmp_path, member("usr/one", data=b"one"), control_files=[sums], fields=fields)
    second = one(tmp_path, member("etc/c", data=b""), name="two", fields=fields)
    extract_all(make(first, second).tar, tmp_path / "root")
    call = ["dpkg", f"--root={tmp_path}/root"]
    listing = subprocess.run([*call, "--list"], check=True, capture_output=True, text=True).stdout
    assert [line.split()[:3] for line in listing.splitlines()[-2:]] == [["ii", "one", "1.0"], ["ii", "two", "1.0"]]
    assert subprocess.run([*call, "--verify"], check=True, capture_output=True).stdout == b""
    assert b"one: /usr/one" in subprocess.run([*call, "--search", "/usr/one"], check=True, capture_output=True).stdout


def python_of(tmp_path, name="python", directory=LIBRARY, *more):
    modules = [member(f"{directory}/{name}.py", data=b"NAMES = {'a', 'b'}\n") for name in ("acme", "more/__init__")]
    return one(tmp_path, *modules, *more, name=name)


def bytecode(layer):
    return {name for name in layer.names if name.endswith(".pyc")}


def test_modules_of_python_have_bytecode_and_others_have_none(make, tmp_path):
    others = (
        member(f"{LIBRARY}/old.py", data=b"print 'for Python 2'\n"),
        member(f"{LIBRARY}/data.txt", data=b"x"),
        member(f"{LIBRARY}/to.py", link="acme.py"),
        member(f"{LIBRARY}/site.py", link=f"/etc/python3.{MINOR}/site.py"),
        member(f"etc/python3.{MINOR}/site.py", data=b""),
        member(f"usr/lib/python3.{MINOR + 1}/x.py", data=b""),
        member("usr/lib/python3/dist-packages/deb.py", data=b""),
        member("usr/lib/python3/dist-packages/own.py", data=b""),
        member(f"usr/lib/python3/dist-packages/__pycache__/own.{TAG}.pyc", data=b"of the package"),
        member("usr/share/x.py", data=b""),
    )
    deb = python_of(tmp_path, "python", LIBRARY, *others)
    layer = make(deb, compiler=COMPILER)
    assert bytecode(layer) == {
        f"{LIBRARY}/__pycache__/acme.{TAG}.pyc",
        f"{LIBRARY}/__pycache__/to.{TAG}.pyc",
        f"{LIBRARY}/more/__pycache__/__init__.{TAG}.pyc",
        f"usr/lib/python3/dist-packages/__pycache__/deb.{TAG}.pyc",
        f"usr/lib/python3/dist-packages/__pycache__/own.{TAG}.pyc",
    }
    assert layer.read(f"usr/lib/python3/dist-packages/__pycache__/own.{TAG}.pyc") == b"of the package"
    extract_all(layer.tar, tmp_path / "root")
    code = f"import sys; sys.path[:0] = [{str(tmp_path / 'root' / LIBRARY)!r}]; import acme, more, to"
    done = subprocess.run([sys.executable, "-I", "-B", "-v", "-c", code], capture_output=True, text=True, check=True)
    taken = [line for line in done.stderr.splitlines() if line.startswith(f"# code object from '{tmp_path}")]
    assert len(taken) == 3 and all("/__pycache__/" in line for line in taken), taken
    assert bytecode(make(deb)) == {f"usr/lib/python3/dist-packages/__pycache__/own.{TAG}.pyc"}


def test_a_layer_has_bytecode_of_its_own_modules(make, tmp_path):
    lower = make(python_of(tmp_path), name="lower", compiler=COMPILER)
    upper = make(python_of(tmp_path, "upper", "usr/lib/python3/dist-packages"), lower=lower, compiler=COMPILER)
    assert {name.partition("__pycache__")[0] for name in bytecode(upper)} == {
        "usr/lib/python3/dist-packages/",
        "usr/lib/python3/dist-packages/more/",
    }
    assert bytecode(lower) | bytecode(upper) <= json.loads(upper.index.read_text())["files"].keys()


def test_bytecode_depends_on_the_modules_alone(make, tmp_path, monkeypatch):
    deb = python_of(tmp_path)
    first = make(deb, compiler=COMPILER)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setattr("rules_bento.images.wheels.bytecode.default_threads", lambda: 1)
    assert make(deb, compiler=COMPILER, name="again").bytes == first.bytes


BLAS = "/usr/lib/blas/libblas.so.3"
SCRIPTS = [
    (f"update-alternatives --install /usr/lib/libblas.so.3 \\\n  blas {BLAS} 10\n", [("blas", "/usr/lib/libblas.so.3", BLAS, 10)]),
    ('for i in a "b"; do\n\tupdate-alternatives --install /usr/bin/$i ${i} /usr/bin/$i-im6 5; true\ndone',
     [("a", "/usr/bin/a", "/usr/bin/a-im6", 5), ("b", "/usr/bin/b", "/usr/bin/b-im6", 5)]),
    ("tools='java jar'\ndir=/usr/lib/jvm\npriority=7\npriority=$(expr $priority - 1)\nfor i in $tools\ndo\n"
     ' slave="--slave /usr/share/man/$i.1 $i.1 $dir/$i.1"\n update-alternatives --quiet --install /usr/bin/$i $i $dir/$i $priority $slave\ndone',
     [("java", "/usr/bin/java", "/usr/lib/jvm/java", 7), ("jar", "/usr/bin/jar", "/usr/lib/jvm/jar", 7)]),
    ('each() {\n  NAME="$1"\n  if [ -e x ]; then\n update-alternatives --install "$2/$NAME" "$NAME" "$2"/"$NAME".procps 50\n  fi\n}\neach ps /bin',
     [("ps", "/bin/ps", "/bin/ps.procps", 50)]),
    ("update-alternatives --install /usr/bin/$unknown x /usr/bin/y 1", []),
    ("update-alternatives --install /usr/bin/x x $(find y) 1", []),
    ("update-alternatives --remove x /usr/bin/y && update-alternatives --auto x", []),
    ("# update-alternatives --install /usr/bin/x x /usr/bin/y 1", []),
    ("update-alternatives --install /usr/../../x x /usr/bin/y 1", []),
    ("update-alternatives --install /usr/bin/x ../x /usr/bin/y 1", []),
    ("update-alternatives --install /usr/bin/x x /usr/bin/y 'many", []),
    ("f() {\nf\nupdate-alternatives --install /usr/bin/x\n}\nf", []),
    ("for a in " + "x " * 50_000 + "; do\nfor b in " + "y " * 50_000 + "; do\nupdate-alternatives --x\ndone\ndone", []),
    ("a='" + "x " * 2_000 + "'\nupdate-alternatives --install " + "$a " * 80_000, []),  # 160 million words
    ("a=" + "x" * 4_000 + "\nupdate-alternatives --install " + "$a" * 120_000, []),  # a word of 480 MB
    ("".join(f"v{n}=1\n" for n in range(14_000)) + "f() {\ntrue\n}\n" + "f\n" * 60_000 + "update-alternatives", []),
    ("for a in " + "x " * 50_000 + "; do\nfor b in ; do\n" + "true\n" * 20_000 + "done\ndone", []),
    ("for a in " + "x " * 5_000 + "; do\necho '" + "y " * 50_000 + "' | update-alternatives --x\ndone", []),
    ("a=" + "x" * 200 + "\n" + 'a="$a$a$a$a$a$a$a$a"\n' * 400 + "update-alternatives --install /usr/bin/x x /usr/bin/y 1", None),
]  # fmt: skip


@pytest.mark.parametrize(("script", "found"), SCRIPTS)
def test_literal_calls_of_update_alternatives_are_read(script, found):
    read = [each[:4] for each in alternatives.read(script)]
    assert found is None or read == found


def test_links_of_alternatives_are_those_of_debian(make, tmp_path):
    def package(name, priority, *slaves):
        call = f"update-alternatives --install /bin/it it /usr/bin/it-{name} {priority} {' '.join(slaves)}\n" * 2
        files = [member(f"usr/bin/it-{name}", data=b"x"), member("usr/bin/real", data=b"x")]
        return one(
            tmp_path, *files[: 1 + (name == "low")], name=name,
            control_files=[member("postinst", data=f"#!/bin/sh\n{call}\n".encode())],
        )  # fmt: skip

    slave = ("--slave", "/usr/share/man/it.1", "it.1", "/usr/bin/it-low", "--slave", "/usr/bin/gone", "gone", "/usr/no")
    lower = make(package("low", 5, *slave), package("aa", -3), name="lower")
    assert (lower["usr/bin/it"].linkname, lower["etc/alternatives/it"].linkname) == (
        "/etc/alternatives/it",
        "/usr/bin/it-low",
    )
    assert lower["etc/alternatives/it.1"].linkname == "/usr/bin/it-low" and "usr/bin/gone" not in lower.names
    assert lower.read("var/lib/dpkg/alternatives/it").decode().splitlines() == [
        *("auto", "/bin/it", "gone", "/usr/bin/gone", "it.1", "/usr/share/man/it.1", ""),
        *("/usr/bin/it-aa", "-3", "", "", "/usr/bin/it-low", "5", "/usr/no", "/usr/bin/it-low", ""),
    ]
    upper = make(package("new", 9), name="upper", lower=lower)
    assert upper["etc/alternatives/it"].linkname == "/usr/bin/it-new" and "usr/bin/it" not in upper.names
    assert b"/usr/bin/it-new\n9\n" in upper.read("var/lib/dpkg/alternatives/it")
    assert "etc/alternatives/it" not in make(package("last", 1), name="third", lower=upper).names
    chosen = make(package("low", 5), symlink=[("/usr/bin/it", "real")])
    assert chosen["usr/bin/it"].linkname == "real", "the target of the user"
    chosen = make(package("low", 5), symlink=[("/etc/alternatives/it", "/usr/bin/real")])
    assert chosen["etc/alternatives/it"].linkname == "/usr/bin/real" and chosen.names.count("etc/alternatives/it") == 1


def test_what_cannot_start_is_named(make, tmp_path, capsys):
    """Libraries count where the linker searches them; the image has no cache of other directories."""
    system, needs = "usr/lib/x86_64-linux-gnu", "libcudart.so.13"

    def notes(*debs, lower=None):
        capsys.readouterr()
        make(*debs, lower=lower)
        return capsys.readouterr().err.splitlines()

    needing = one(
        tmp_path,
        member(f"{system}/libneeds.so.1", data=library(b"")),
        name="needing",
        fields="Depends: absent | other, aa\n",
    )
    plugin = one(tmp_path, member(f"{system}/plug/in.so", data=library(b"")), name="plugin", fields="Depends: aa\n")
    aa = one(tmp_path, member("usr/aa", data=b"x"), name="aa")
    assert notes(needing, plugin, aa) == [
        f"//x:y: /{system}/libneeds.so.1 of needing can't load {needs}, which no package contains. Add the packages absent."
    ]
    cuda = one(tmp_path, member(f"usr/lib/cuda/{needs}", data=b"x"), name="cuda", fields="Provides: other (= 1)\n")
    assert notes(needing, aa, cuda) == [
        f"//x:y: /{system}/libneeds.so.1 of needing can't load {needs}, which is only at /usr/lib/cuda/{needs}."
    ]
    link = f"update-alternatives --install /usr/lib/{needs} cuda /usr/lib/cuda/{needs} 1"
    linked = one(
        tmp_path, member(f"usr/lib/cuda/{needs}", data=b"x"), name="linked", fields="Provides: other (= 1)\n",
        control_files=[member("postinst", data=link.encode())],
    )  # fmt: skip
    assert notes(needing, aa, linked) == []
    assert notes(needing, aa, lower=make(linked, name="lower")) == []
    scripts = [
        member("usr/bin/run", data=b"#! /bin/sh -e\n"),
        member("usr/bin/py", data=b"#!/usr/bin/python3\n"),
        member("usr/bin/python3", data=b"x"),
    ]
    tool = one(
        tmp_path,
        *scripts,
        member("usr/sbin/admin", data=b"#!/bin/sh"),
        name="tool",
        control_files=[member("postinst", data=b"dot -c\n")],
    )
    required = one(tmp_path, member("usr/bin/ldd", data=b"#!/bin/sh\n"), name="libc-bin", fields="Priority: required\n")
    assert notes(tool, required) == [
        "//x:y: /usr/bin/run of tool can't start without /bin/sh. Add the package dash.",
        "//x:y: scripts of packages aren't run, so the image lacks the list of dot's plug-ins, without which dot writes no format: tool.",
    ]
    many = one(tmp_path, *(member(f"usr/bin/{n}", data=b"#!/opt/\x1b%d" % n) for n in range(30)), name="many")
    assert notes(many)[-1] == "//x:y: 10 more files can't start." and "\x1b" not in "".join(notes(many))


EDITOR = "update-alternatives --install /usr/bin/editor editor /usr/bin/{} {}\n"
# What only `bento image` writes, above a base of another program that has this file.
DIFFERENCES = {"etc/ld.so.cache"}


def random_packages(directory, seed):
    """Packages with files, directories, links, modes, and owners. Some have alternatives and configuration files."""
    chance, debs = random.Random(seed), []
    for number in range(4):
        top = chance.choice(["opt", "usr/share", "lib", "usr/bin", "var/lib"])
        members = [
            member(f"{top}/p{number}", mode=chance.choice([0o755, 0o700, 0o1777, 0o2775]), gid=chance.choice([0, 8]))
        ]
        for name in range(chance.randrange(1, 6)):
            path, data = f"{top}/p{number}/{name}", chance.randbytes(chance.randrange(600))
            modes = {"mode": chance.choice([0o644, 0o755, 0o4755, 0o640]), "uid": chance.choice([0, 2])}
            members.append(member(path, data=data, **modes))
        kinds = {"link": f"/{path}", "hard": path}
        members += [member(f"{top}/p{number}/{kind}", **{kind: kinds[kind]}) for kind in kinds if chance.random() < 0.7]
        members += [
            member(f"etc/p{number}.conf", data=b"x=1\n"),
            member(f"usr/bin/e{number}", data=b"#!/bin/sh\n", mode=0o755),
        ]
        scripts = [member("postinst", data=EDITOR.format(f"e{number}", chance.randrange(99)).encode(), mode=0o755)]
        scripts = scripts * (chance.random() < 0.7) + [member("conffiles", data=f"/etc/p{number}.conf\n".encode())]
        debs.append(make_deb(directory, f"p{number}", members, control_files=scripts))
    if chance.random() < 0.5:
        certificates = [member(f"{system.CERTIFICATES}{name}.crt", data=CERTIFICATE) for name in "ba"]
        debs.append(make_deb(directory, "ca-certificates", certificates))
    return debs


def final_members(tar):
    """The last state of each path: kind, mode, owner, and target or contents."""
    return {
        each.name: (
            each.type,
            each.mode,
            each.uid,
            each.gid,
            each.linkname,
            tar.extractfile(each).read() if each.isreg() else b"",
        )
        for each in tar
    }


@pytest.mark.parametrize("seed", range(12))
def test_packages_above_any_base_have_the_files_of_a_base_of_the_rules(make, tmp_path, seed):
    """`bento image --apt` reads only the layer of a base, and the rules read its index."""
    release = b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
    lower = make(one(tmp_path, member("usr/lib/os-release", data=release), name="base-files"), name="lower")
    debs = random_packages(tmp_path, seed)
    expected = final_members(make(*debs, lower=lower, name="upper").tar)
    cache = write_files_layer(tmp_path / "cache.layer", [Member.inline("etc/ld.so.cache", b"old")], "none")
    layers = [(tmp_path / "cache.layer", cache.media_type, cache.diff_id)]
    layers += [(tmp_path / "lower.layer", lower.description["media_type"], lower.description["diff_id"])]
    base = any_base.AnyBase.read(layers, "x")
    named = {path.name.partition("_")[0]: path for path in debs}
    any_base.write_packages(tmp_path / "command.layer", base, named, "amd64", "none")
    with tarfile.open(tmp_path / "command.layer") as tar:
        found = final_members(tar)
    differences = {path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)}
    assert differences == DIFFERENCES
    assert len(found) > 30
