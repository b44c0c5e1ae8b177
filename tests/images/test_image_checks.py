"""What is wrong with an image is found before it runs, and named with its package and a way out."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest
from made_wheels import Maker
from rules_bento.images.image_checks import Base, check, too_large
from rules_bento.images.oci_image import Layer
from rules_bento.images.wheels.elf import Elf, read_elf
from rules_bento.images.wheels.libraries import Libraries, Linked
from rules_bento.images.wheels.wheel import Wheel

BASE = Base("//base", "amd64", (2, 36), frozenset({"libc.so.6", "libm.so.6"}))


def package(name="acme", path="acme/_a.so", *, machine="amd64", soname="", needed=("libc.so.6",), versions=()):
    """A wheel of one extension module, or of a library that is loaded like one."""
    modules = (path.rpartition("/")[2].partition(".")[0],)
    elf = Elf(machine, soname, tuple(needed), tuple(versions), modules=modules)
    return Libraries(f"{name}-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", name, (Linked(path, elf),))


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
    assert one.startswith("acme-1.0-cp311-cp311-manylinux_2_39_x86_64.whl: is for glibc 2.39, but //base has 2.36.")
    assert 'glibc = "2.36"' in one
    assert check(BASE._replace(glibc=None), ["acme-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"], [], ()) == ((), ())


def test_symbols_of_a_newer_glibc():
    [one] = found(package(versions=("GLIBC_2.4", "GLIBC_2.38", "GLIBC_PRIVATE")))
    assert "acme/_a.so uses functions of glibc 2.38, but //base has 2.36" in one


def test_another_machine():
    [one] = found(package(machine="arm64"))
    assert "acme/_a.so is for arm64, but //base is for amd64. Take another wheel of acme." in one


def test_a_library_that_nothing_has():
    one, last = found(package(needed=("libc.so.6", "libGL.so.1")))
    assert "acme/_a.so needs libGL.so.1, which neither //base nor another package has." in one
    assert last.endswith('unchecked_libraries = ["libGL.so.1"]')
    assert found(package(needed=("libGL.so.1",)), unchecked=["libGL.so.1"]) == []
    assert found(package(needed=("libGL.so.1",)), package("gl", "gl.libs/libGL.so.1.7", soname="libGL.so.1")) == []
    assert found(package(needed=("libGL.so.1",)), package("gl", "gl.libs/libGL.so.1")) == []
    assert found(package(needed=("libGL.so.1",)), base=BASE._replace(libraries=None)) == []


def test_a_base_without_the_gnu_c_library_is_one_problem():
    musl = BASE._replace(glibc=None, libraries=frozenset({"libc.musl-x86_64.so.1"}))
    wheels = [package("b", needed=("libc.so.6", "libm.so.6")), package("a", needed=("libc.so.6", "libstdc++.so.6"))]
    [one] = found(*wheels, base=musl)
    assert one.startswith("//base: has no libc.so.6, which a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl and all others")
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
        f"libcudart: is loaded from more than one package, nvidia/libcudart.so.12 of a and {other} of b"
    )
    if name != "libcudart.so.12":
        assert last.endswith(f'unchecked_libraries = ["{name}", "libcudart.so.12"]')
    assert found(first, second, package(needed=("libcudart.so.12", name)), unchecked=[name, "libcudart.so.12"]) == []
    assert found(first, second, package(needed=())) == [], "one that nobody loads is in nobody's way"


def test_cuda_twice_in_one_package_or_where_only_one_is_loaded():
    near = package(path="acme/_a.so", needed=("libcudart.so.12",))
    near = near._replace(
        linked=(near.linked[0]._replace(elf=near.linked[0].elf._replace(search=("$ORIGIN/../nvidia",))),)
    )
    first, second = library("a", "nvidia/libcudart.so.12"), library("b", "b/lib/libcudart.so.12")
    assert found(first, second, near) == []


def test_names_to_type_are_one_list():
    wheels = [package("b", needed=("libB.so",)), package("a", needed=("libA.so", "libB.so"))]
    *texts, last = found(*wheels, unchecked=["libkept.so"])
    assert [text.partition(":")[0].partition("-")[0] for text in texts] == ["a", "a", "b"]
    assert last.endswith('unchecked_libraries = ["libA.so", "libB.so", "libkept.so"]')


def test_what_a_part_lacks_that_nobody_loads_is_told_and_fails_nothing():
    plugin = library("acme", "acme/lib/transport.so.3", needed=("libmlx5.so.1", "libc.so.6", "libcuda.so.1"))
    assert check(BASE, [], [plugin], ()) == ((), ("acme: acme/lib/transport.so.3 needs libmlx5.so.1",))
    assert check(BASE, [], [plugin], ["libmlx5.so.1"]) == ((), ())


def test_too_large():
    layers = [Layer("", "", size * 1_000_000, "", name) for size, name in ((3, "numpy 2"), (7, "torch 2"))]
    assert list(too_large(layers, 10_000_000)) == []
    [one] = too_large(layers, 9_000_000)
    assert "has 10.0 MB, more than 9.0 MB. The largest layers are torch 2 (7.0 MB), numpy 2 (3.0 MB)." in one


def test_what_is_no_elf_file():
    for data in (b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(200), b"\x7fELF\x01\x01" + bytes(200)):
        assert read_elf(data) is None


def system_libraries():
    """Real ones: of the system that the tests run in."""
    return sorted({path.resolve() for path in Path("/usr/lib").glob("*-linux-gnu/lib*.so.*")})[:40]


@pytest.mark.skipif(not shutil.which("readelf"), reason="binutils' readelf is the judge")
@pytest.mark.parametrize("path", system_libraries(), ids=lambda path: path.name)
def test_as_readelf_says(path):
    lines = subprocess.run(["readelf", "-dVW", path], check=True, capture_output=True, text=True).stdout.splitlines()

    def bracketed(tag):
        return tuple(line.rpartition("[")[2].rstrip("]") for line in lines if f"({tag})" in line)

    elf = read_elf(path.read_bytes())
    assert elf.needed == bracketed("NEEDED")
    assert (elf.soname,) == (bracketed("SONAME") or ("",))
    needs = [line for line in lines if "Name: " in line and "Flags: " in line and "Version: " in line]
    named = {line.partition("Name: ")[2].split()[0] for line in needs}
    assert set(elf.versions) == named


def library_that_names_itself(count, strings=b"GLIB\0", length=0):
    """A library of a kB whose table of versions goes round in a circle, so that its two counts multiply."""
    at = 64 + 2 * 56
    dynamic = [(5, 0x300), (10, len(strings)), (0x6FFFFFFE, 0x3C0), (0x6FFFFFFF, count), (1, 0), (0, 0)]
    table = b"".join(struct.pack("<QQ", *entry) for entry in dynamic)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0x1000, 0x1000, 0x1000)
    linked = struct.pack("<IIQQQQQQ", 2, 6, at, at, at, length or len(table), len(table), 8)
    body = bytearray(0x400)
    for place, data in ((0, head + load + linked), (at, table), (0x300, strings)):
        body[place : place + len(data)] = data
    body[0x3C0:0x3D0] = struct.pack("<HHIII", 1, 65535, 0, 16, 0)
    return bytes(body)


@pytest.mark.parametrize("count", [1, 65535, 1 << 63])
def test_tables_without_end_are_damage_and_take_no_time(count):
    start = time.process_time()
    assert read_elf(library_that_names_itself(count)) is None
    assert time.process_time() - start < 1
    assert read_elf(library_that_names_itself(0)) == Elf("amd64", "", ("GLIB",), ())
    assert read_elf(library_that_names_itself(0, length=1 << 62)) == Elf("amd64", "", ("GLIB",), ())
    assert read_elf(library_that_names_itself(0, strings=b"x" * 192) + b"x" * 5000) is None


def test_cut_libraries_are_no_error():
    for path in system_libraries()[:3]:
        data = path.read_bytes()
        for end in range(0, len(data), max(1, len(data) // 50)):
            read_elf(data[:end])


def test_libraries_of_a_wheel(tmp_path):
    [first, *_] = system_libraries()
    wheel = Maker("acme").add({"acme/_a.so": first.read_bytes(), "acme/a.so": "text", "acme/b.py": ""}).write(tmp_path)
    libraries = Libraries.read(Wheel.read(wheel))
    assert [path for path, _ in libraries.linked] == ["acme/_a.so"]
    assert libraries.linked[0].elf == read_elf(first.read_bytes())
    assert Libraries.loads(libraries.dumps()) == libraries
    assert "_a.so" in libraries.names()
