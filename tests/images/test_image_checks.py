"""What is wrong with an image is found before it runs, and named with its package and a way out."""

import itertools
import mmap
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.base.archives.zipread import Chunk
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import Layer
from rules_bento.bentos.sources.cpu_arch import machine_of
from rules_bento.images.layers.parts import write_wheel_part
from rules_bento.images.validation.base_compatibility import Base, check, too_large
from rules_bento.images.wheels.elf import Elf, SparseFile, read_elf
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.libraries import Libraries, Linked, words
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker, patched
from tests.images.elf_support import library_that_names_itself, library_with_tables

BASE = Base("//base", "amd64", (2, 36), frozenset({"libc.so.6", "libm.so.6"}))


def package(name="acme", path="acme/_a.so", *, machine="amd64", soname="", needed=("libc.so.6",), versions=()):
    """A wheel of one extension module, or of a library that is loaded like one."""
    modules = (path.rpartition("/")[2].partition(".")[0],)
    elf = Elf(machine, soname, tuple(needed), tuple(versions), modules=modules)
    wheel = f"{name}-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    return Libraries(wheel, name, (Linked(path, elf),), machines=((path, machine),))


def library(name, path, *, soname="", needed=()):
    """A wheel of one library."""
    return Libraries(f"{name}-1.0-py3-none-any.whl", name, (Linked(path, Elf("amd64", soname, tuple(needed), ())),))


def found(*packages, base=BASE, unchecked=()):
    return list(check(base, [one.wheel for one in packages], packages, unchecked).problems)


def test_nothing_is_wrong():
    assert found(package(versions=("GLIBC_2.36", "GLIBC_2.2.5", "OPENSSL_9"))) == []
    pure = ["acme-1.0-py3-none-any.whl", "b-1-cp311-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"]
    assert check(BASE, pure, [], ()) == ((), ())


def test_a_wheel_for_a_newer_glibc():
    [one], _ = check(BASE, ["acme-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"], [], ())
    assert one.startswith("acme-1.0-cp311-cp311-manylinux_2_39_x86_64.whl: requires glibc 2.39, but //base has 2.36.")
    assert 'glibc = "2.36"' in one
    assert check(BASE._replace(glibc=None), ["acme-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"], [], ()) == ((), ())


def test_symbols_of_a_newer_glibc():
    [one] = found(package(versions=("GLIBC_2.4", "GLIBC_2.38", "GLIBC_PRIVATE")))
    assert "acme/_a.so uses functions of glibc 2.38, but //base has 2.36" in one


def test_what_the_hub_allows_holds_where_the_glibc_of_the_base_is_not_known():
    base = BASE._replace(glibc=None, allowed=(2, 28))
    newer = package(versions=("GLIBC_2.38",))
    [one] = found(newer, base=base)
    assert (
        "acme/_a.so uses functions of glibc 2.38, the package hub allows 2.28, and the glibc version of //base is unknown"
        in one
    )
    [other], _ = check(base, ["acme-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"], [], ())
    assert (
        "requires glibc 2.39, the package hub allows 2.28, and the glibc version of //base is unknown. Set glibc of the base"
        in other
    )
    assert found(newer, base=base._replace(glibc=(2, 38))) == [], "the way out"
    assert found(newer, base=base._replace(allowed=(2, 38))) == []
    assert found(package(versions=("GLIBC_2.28",)), base=base) == []


def test_another_machine():
    [one] = found(package(machine="arm64"))
    assert "acme/_a.so is for arm64, but //base is for amd64. Lock another version of acme." in one


def head(machine, *, kind=3, order="<", size=2):
    """The first bytes of an ELF file."""
    return struct.pack(f"{order}4sBB10xHH", b"\x7fELF", size, 1 if order == "<" else 2, kind, machine)


def macho(kind, order="<", magic=0xFEEDFACF):
    return struct.pack(f"{order}IIIII", magic, 0x0100000C, 0, kind, 1)


FAT = struct.pack(">IIIII", 0xCAFEBABE, 2, 0x01000007, 3, 0x4000)
JAVA = struct.pack(">IHHII", 0xCAFEBABE, 0, 61, 0, 0)


@pytest.mark.parametrize(
    ("first", "machine"),
    [
        (head(62), "amd64"),
        (head(183, kind=2), "arm64"),
        (head(3, size=1), "386"),
        (head(40, size=1, kind=2), "arm"),
        (head(22, order=">"), "s390x"),
        (head(21, order=">"), "ppc64"),
        (head(21), "ppc64le"),
        (head(62, kind=1), ""),  # an object, which a linker reads
        (head(62, kind=4), ""),  # a core
        (head(190), ""),  # CUDA
        (head(247), ""),  # BPF
        (head(224), ""),  # AMD's GPUs
        (head(164, size=1), ""),  # a signal processor
        (head(62, order=">"), ""),
        (head(62)[:19], ""),
        (b"\x7fELF\2\7" + head(62)[6:], ""),
        (macho(2), "macOS"),
        (macho(6), "macOS"),
        (macho(8, magic=0xFEEDFACE), "macOS"),
        (macho(2, ">"), "macOS"),
        (macho(1), ""),
        (FAT, "macOS"),
        (JAVA, ""),
        (b"#!/bin/sh\necho of a script\n", ""),
        (b"", ""),
    ],
)
def test_machines_by_first_bytes(first, machine):
    assert machine_of(first) == machine


def test_a_part_of_layers_tells_of_the_machine_code_that_is_in_it(tmp_path):
    wheel = Maker("acme").add({"acme/_a.so": head(183, kind=2), "acme/b.py": ""}).write(tmp_path)
    words = [
        "--wheel", str(wheel), "--prefix", "/env", "--python-version", "3.12", "--user", "1034", "--compression",
        "none",
    ]  # fmt: skip
    outputs = {name: tmp_path / name for name in ("output", "listing", "libraries")}
    assert (
        run(["wheel_part", *words, *(word for name, path in outputs.items() for word in (f"--{name}", str(path)))]) == 0
    )
    assert run(["wheel_libraries", "--wheel", str(wheel), "--output", str(tmp_path / "alone")]) == 0
    assert outputs["libraries"].read_bytes() == (tmp_path / "alone").read_bytes()
    [one, _] = found(Libraries.loads(outputs["libraries"].read_text()))
    assert "acme/_a.so is for arm64, but //base is for amd64" in one


def of_layers(machines, unchecked=(), base=BASE):
    return list(check(base, [], [], unchecked, machines).problems)


def test_files_of_layers_for_another_machine_are_named_with_a_way_out():
    one, two, last = of_layers({"usr/bin/tool": "arm64", "opt/lib/libx.so.1": "macOS", "usr/bin/own": "amd64"})
    assert one == (
        "layers: /opt/lib/libx.so.1 is for macOS, but //base is for amd64. Use a file for amd64, or exclude the file."
    )
    assert two.startswith("layers: /usr/bin/tool is for arm64")
    assert last.endswith('ignore_libraries = ["libx.so.1", "tool"]')
    assert of_layers({"usr/bin/tool": "arm64"}, unchecked=["tool"]) == []
    assert of_layers({"usr/bin/tool": "arm64"}, base=BASE._replace(architecture="arm64")) == []
    assert of_layers({"usr/bin/tool": "386"}) == []


def test_a_library_that_nothing_has():
    one, last = found(package(needed=("libc.so.6", "libGL.so.1")))
    assert "acme/_a.so needs libGL.so.1, which neither //base nor another package provides." in one
    assert last.endswith('ignore_libraries = ["libGL.so.1"]')
    assert found(package(needed=("libGL.so.1",)), unchecked=["libGL.so.1"]) == []
    assert found(package(needed=("libGL.so.1",)), package("gl", "gl.libs/libGL.so.1.7", soname="libGL.so.1")) == []
    assert found(package(needed=("libGL.so.1",)), package("gl", "gl.libs/libGL.so.1")) == []
    assert found(package(needed=("libGL.so.1",)), base=BASE._replace(libraries=None)) == []


def test_a_base_without_the_gnu_c_library_is_one_problem():
    musl = BASE._replace(glibc=None, libraries=frozenset({"libc.musl-x86_64.so.1"}))
    wheels = [package("b", needed=("libc.so.6", "libm.so.6")), package("a", needed=("libc.so.6", "libstdc++.so.6"))]
    [one] = found(*wheels, base=musl)
    assert one.startswith(
        "//base: libc.so.6 is missing, but a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl and all other wheels"
    )
    assert found(package(needed=()), base=musl) == []


def test_what_the_driver_brings_is_not_missed():
    assert found(package(needed=("libcuda.so.1", "libnvidia-ml.so.1"))) == []


@pytest.mark.parametrize("other", ["b/lib/libcudart.so.12", "b.libs/libcudart-d0da41ae.so.11.0"])
def test_cuda_twice(other):
    name = other.rpartition("/")[2]
    first = library("a", "nvidia/libcudart.so.12", soname="libcudart.so.12")
    second = library("b", other, soname=name)
    one, last = found(first, second, package(needed=("libcudart.so.12", name)))
    assert one.startswith(
        f"libcudart: several packages contain this library, nvidia/libcudart.so.12 of a and {other} of b"
    )
    assert "Add the system packages that provide the missing libraries" not in last
    if name != "libcudart.so.12":
        assert last.endswith(f'ignore_libraries = ["{name}", "libcudart.so.12"]')
    assert found(first, second, package(needed=("libcudart.so.12", name)), unchecked=[name, "libcudart.so.12"]) == []
    assert found(first, second, package(needed=())) == [], "one that nobody loads is in nobody's way"


def test_cuda_twice_in_one_package_or_where_only_one_is_loaded():
    near = package(path="acme/_a.so", needed=("libcudart.so.12",))
    near = near._replace(
        linked=(near.linked[0]._replace(elf=near.linked[0].elf._replace(search=("$ORIGIN/../nvidia",))),)
    )
    first, second = library("a", "nvidia/libcudart.so.12"), library("b", "b/lib/libcudart.so.12")
    assert found(first, second, near) == []


def test_what_a_part_lacks_that_nothing_loads_is_reported_and_fails_nothing():
    plugin = library("acme", "acme/lib/transport.so.3", needed=("libmlx5.so.1", "libc.so.6", "libcuda.so.1"))
    assert check(BASE, [], [plugin], ()) == ((), ("acme: acme/lib/transport.so.3 needs libmlx5.so.1",))
    assert check(BASE, [], [plugin], ["libmlx5.so.1"]) == ((), ())


def test_too_large():
    layers = [Layer("", "", size * 1_000_000, "", name=name) for size, name in ((3, "numpy 2"), (7, "torch 2"))]
    assert list(too_large(layers, 10_000_000)) == []
    [one] = too_large(layers, 9_000_000)
    assert "has 10.0 MB, but the limit is 9.0 MB. The largest layers are torch 2 (7.0 MB), numpy 2 (3.0 MB)." in one


def test_what_is_no_elf_file():
    for data in (b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(200), b"\x7fELF\x01\x01" + bytes(200)):
        assert read_elf(data) is None


def system_libraries():
    """Real ones: of the system that the tests run in."""
    return sorted({path.resolve() for path in Path("/usr/lib").glob("*-linux-gnu/lib*.so.*")})[:40]


@pytest.mark.skipif(not shutil.which("readelf"), reason="binutils' readelf is the judge")
@pytest.mark.parametrize("path", system_libraries(), ids=lambda path: path.name)
def test_as_readelf_says(path):
    command = ["env", "LC_ALL=C", "readelf", "-dVW", path]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    def bracketed(tag):
        return tuple(line.rpartition("[")[2].rstrip("]") for line in lines if f"({tag})" in line)

    elf = read_elf(path.read_bytes())
    assert elf.needed == bracketed("NEEDED")
    assert (elf.soname,) == (bracketed("SONAME") or ("",))
    needs = [line for line in lines if "Name: " in line and "Flags: " in line and "Version: " in line]
    named = {line.partition("Name: ")[2].split()[0] for line in needs}
    assert set(elf.versions) == named


@pytest.mark.parametrize("count", [1, 65535, 1 << 63])
def test_tables_without_end_are_damage_and_take_no_time(count):
    start = time.process_time()
    assert read_elf(library_that_names_itself(count)) is None
    assert time.process_time() - start < 1
    assert read_elf(library_that_names_itself(0)) == Elf("amd64", "", ("GLIB",), ())
    assert read_elf(library_that_names_itself(0, length=1 << 62)) == Elf("amd64", "", ("GLIB",), ())
    assert read_elf(library_that_names_itself(0, strings=b"x" * 192) + b"x" * 5000) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which files are in a process's memory")
def test_names_of_a_large_library_do_not_stay_in_memory(tmp_path):
    strings = b"GLIB\0" + bytes(8) + b"_ZN4name5space\0" * (2 << 20) + b"PyInit_last\0"
    (tmp_path / "large.so").write_bytes(library_that_names_itself(0, strings))

    def mapped():
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("RssFile:", "RssShmem:")))  # of tmpfs

    with (tmp_path / "large.so").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        before = mapped()
        assert read_elf(data).modules == ("last",)
        assert mapped() - before < 4 << 10
        assert data.find(b"PyInit_last") > 30_000_000
        assert mapped() - before > 24 << 10  # which is what a search of all at once takes


class Pieces:
    """Contents in pieces of a few bytes, and how many of these were read, in how many turns."""

    def __init__(self, data, length):
        self.data, self.length, self.read, self.turns = data, length, 0, 0

    def __call__(self):
        self.turns += 1
        for at in range(0, len(self.data), self.length):
            piece = self.data[at : at + self.length]
            self.read += len(piece)
            yield Chunk(piece, None)


FAR = [0x400, 3 << 20, 7 << 20]


def far_library(strings_at, versions_at, dynamic_at, following=0):
    """A library of 8 MiB with its tables in these places."""
    strings = b"\0GLIB\0libc.so.6\0PyInit_far\0"
    dynamic = [(5, strings_at), (10, len(strings)), (1, 6), (0x6FFFFFFE, versions_at), (0x6FFFFFFF, 9), (0, 0)]
    version = struct.pack("<HHIII", 1, 1, 0, 16, following) + struct.pack("<IHHII", 0, 0, 2, 1, 0)
    return library_with_tables(8 << 20, dynamic_at, dynamic, {strings_at: strings, versions_at: version})


def test_unordered_tables_are_unpacked_at_most_a_few_times():
    # Each of nine records sends the reader to its version near the end, and back.
    data = bytearray(far_library(0x400, 3 << 20, 0xC00))
    for number in range(9):
        at = (3 << 20) + number * (256 << 10)
        version_at = (8 << 20) - (number + 1) * 8192
        struct.pack_into("<HHIII", data, at, 1, 1, 0, version_at - at, 256 << 10)
        struct.pack_into("<IHHII", data, version_at, 0, 0, 1, 1, 0)
    pieces = Pieces(bytes(data), 1 << 12)
    with SparseFile(len(data), pieces) as spread:
        assert read_elf(spread.data, spread.fetch) == read_elf(bytes(data))
    assert read_elf(bytes(data)).versions == ("GLIB",)
    assert pieces.turns == 5


def all_kinds_of_files():
    """Libraries with their tables in all places, and what looks like one or is not installed as it is."""
    places = [
        (strings, versions, dynamic) for strings in FAR for versions in (0x800, 6 << 20) for dynamic in (0xC00, 5 << 20)
    ]
    files = {f"acme/far{number}.so": far_library(*place) for number, place in enumerate(places)}
    small = [path for path in system_libraries() if path.stat().st_size < 4 << 20]
    files |= {f"acme/{path.name}": path.read_bytes() for path in small[:8]}
    files |= {
        "acme/empty.so": b"",
        "acme/short.so": b"\x7fE",
        "acme/text.so": b"text" * (1 << 18),
        "acme/b.so": macho(6),
    }
    files |= {"acme/cut.so": files["acme/far0.so"][: 2 << 20], "acme/object.so": head(62, kind=1) + bytes(2 << 20)}
    return files | {"acme/__init__.py": b'ctypes.CDLL("libfar.so.1")', "acme/stored.so": files["acme/far3.so"]}


def test_what_is_installed_is_looked_into_on_its_way(tmp_path):
    made = Maker("acme").add(all_kinds_of_files()).add({"acme-1.0.data/scripts/run": far_library(*FAR)}, mode=0o755)
    made.add({"acme-1.0.data/scripts/tool": b"#!python\n"}, mode=0o755).stored.add("acme/stored.so")
    wheel = made.write(tmp_path)
    alone = Libraries.read(Wheel.read(wheel))
    assert len(alone.linked) > 15
    assert alone.named >= {"libfar"}
    shared = ["--wheel", str(wheel), "--prefix", "/env", "--python-version", "3.12", "--user", "1034"]
    blobs = {}
    for compression, (verb, other), asked in itertools.product(
        ("gzip", "zstd"), (("wheel_part", "listing"), ("wheel_layer", "description")), (True, False)
    ):
        words = [*shared, "--compression", compression, "--output", str(tmp_path / "blob")]
        words += [f"--{other}", str(tmp_path / other), *(["--name", "acme 1.0"] if verb == "wheel_layer" else [])]
        assert run([verb, *words, *(["--libraries", str(tmp_path / "libraries")] if asked else [])]) == 0
        blob = (tmp_path / "blob").read_bytes() + (tmp_path / other).read_bytes()
        blobs.setdefault((compression, verb), set()).add(blob)
        if asked:
            assert (tmp_path / "libraries").read_text() == alone.dumps()
            (tmp_path / "libraries").unlink()
    assert [len(one) for one in blobs.values()] == [1] * 4, "a layer is the same with and without"


@pytest.mark.parametrize("size", [1 << 16, 4 << 20])
def test_what_is_damaged_where_no_linker_reads_is_reported_by_the_action_that_installs_it(tmp_path, size):
    library = library_that_names_itself(0) + bytes(size)
    wheel = Maker("acme").add({"acme/a.so": library}).write(tmp_path)
    assert [path for path, _ in Libraries.read(Wheel.read(wheel)).linked] == ["acme/a.so"]
    patched(wheel, "acme/a.so", in_central=[(16, "<L", 1)], in_local=[(14, "<L", 1)])
    with pytest.raises(BentoError, match="the CRC doesn't match"):
        write_wheel_part(tmp_path / "part", Wheel.read(wheel), InstallLayout.venv("/app/.venv", 11), "gzip")


def test_words_that_may_name_libraries(tmp_path):
    """As one expression says, which takes five times as long."""
    named = re.compile(rb"(?<![A-Za-z0-9_+-])(?:lib[A-Za-z0-9_+-]+|[A-Za-z0-9_+-]+(?=\.so\b))")
    text = (
        b"libc glib liblib lib lib. lib.so _liba -libb alib.so x.so.6 y.sock z.so_ .so a..so lib\xc3\xa4.so \xc3\xa4lib.so "
        b'"libfoo-1.2.so.3" lib+.so lib-x.so.so b.so.so lib_a.so libd.sob "e.so"\nlibend'
    )
    source = text + b"".join(path.read_bytes() for path in sorted(Path(re.__file__).parent.glob("*.py")))
    assert sum(len(named.findall(text[cut:])) for cut in range(len(text))) > 1000
    for cut in range(len(text)):
        assert set(words(text[cut:])) == set(named.findall(text[cut:]))
    assert set(words(source)) == set(named.findall(source))
