"""Which GPUs a library has code for is read from its headers, whatever its size, order, or damage."""

import struct
import time

import pytest
from rules_bento.base.archives.zipread import Chunk
from rules_bento.images.wheels import gpu_code
from rules_bento.images.wheels.elf import SparseFile, read_elf
from rules_bento.images.wheels.gpu_code import GpuCodeScanner
from rules_bento.images.wheels.libraries import Libraries, code
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_gpu_code import (
    ARCHITECTURE_ONLY,
    FAMILY_ONLY,
    JOINED,
    MACHINE_CODE,
    PTX,
    container,
    entry,
    header,
    joined,
    library,
)
from tests.helpers.made_wheels import Maker

# The beginning of what `fatbinary --concat --compress-all` (CUDA 13.3) writes, of which cuobjdump lists sm_75, sm_90a,
# sm_120, and PTX for sm_90.
PTX_HEADER = """
    01000101 50000000 58000000 00000000 52000000 40000000 08000800 5a000000 00000000 00000000 11800000 00000000
    00000000 00000000 49000000 00000000 48000000 00000000 00000000 00000000"""
CODE_HEADER = """
    02000101 78000000 60040000 00000000 5f040000 40000000 08000100 78000000 00000000 00000000 11800001 00000000
    00000000 00000000 ea120000 00000000 48000000 28000000 00020900 00020c00 00020201 00030d01 01030701 01020300
    00040b08 00500000 00000000 00030e40 04000000 00000000"""
JOINED_HEADER = """
    00010101 c8000000 98040000 00000000 93040000 40000000 01000000 00000000 00000000 00000000 11800000 00000000
    00000000 00000000 90170000 00000000 02000000 88000000 02000101 00000000 280b0000 00000000 00000000 00000000
    08000100 4b000000 00000000 00000000 11000000 00000000 00000000 00000000 00000000 00000000 02000101 280b0000
    680c0000 00000000 00000000 00000000 08000100 5a000000 00000000 00000000 11001000 00000000 00000000 00000000
    00000000 00000000"""


def architectures(data, length=1 << 18):
    """Return what is read from a file in pieces of `length` bytes."""

    def read():
        for at in range(0, len(data), length):
            yield Chunk(data[at : at + length], None)

    _, elf = code(len(data), read)
    return elf.gpu_code


def test_what_nvidia_s_compiler_writes():
    headers = [(PTX_HEADER, 0x58), (CODE_HEADER, 0x460), (JOINED_HEADER, 0x498)]
    made = container(*(bytes.fromhex(text) + bytes(size) for text, size in headers))
    assert len(made) == 2800
    assert architectures(library(made)) == ("sm_75", "sm_90a", "sm_120", "compute_90")


EACH = {
    "sm_75": entry(MACHINE_CODE, 75),
    "sm_90a": entry(MACHINE_CODE, 90, ARCHITECTURE_ONLY),
    "sm_100": entry(MACHINE_CODE, 100, FAMILY_ONLY, more=bytes(56)),
    "sm_103a": joined(header(MACHINE_CODE, 103, ARCHITECTURE_ONLY), header(64, 110)),
    "compute_90": entry(PTX, 90),
    "compute_90a": entry(PTX, 90, ARCHITECTURE_ONLY),
    "compute_120f": entry(PTX, 120, FAMILY_ONLY),
}


@pytest.mark.parametrize("name", EACH)
def test_each_kind_of_code(name):
    assert architectures(library(container(EACH[name]))) == (name,)
    assert architectures(library(container(entry(64, 90), EACH[name]) + bytes(24) + container(entry(8, 75)))) == (name,)


@pytest.mark.parametrize(
    ("length", "before"), [(1, 0), (7, 0), (16, 0), (63, 0), (1 << 12, 3 << 20), (1 << 20, 3 << 20)]
)
def test_code_is_found_in_pieces_of_any_size(length, before):
    containers = b"".join(container(each, entry(PTX, 75)) for each in EACH.values())
    assert architectures(library(containers, before=bytes(before)), length) == (
        *("sm_75", "sm_90a", "sm_100", "sm_103a", "compute_75", "compute_90", "compute_90a", "compute_120f"),
    )


def test_only_the_section_counts():
    stray = container(entry(MACHINE_CODE, 50))
    data = library(container(entry(MACHINE_CODE, 90)), before=stray)
    assert architectures(data + stray) == ("sm_90",)
    assert architectures(library(stray, section=b".rodata")) == ()
    assert code(len(data), lambda: iter([Chunk(library(stray, linked=False), None)]))[1] is None


def test_a_file_is_read_to_its_end_once():
    """Installation passes all bytes through the scanner; an analysis alone reads on until the table of sections."""
    code_in_parts = container(entry(MACHINE_CODE, 90, size=5 << 20)) + container(entry(MACHINE_CODE, 80))
    data = library(code_in_parts, after=bytes(1 << 20))
    turns = []

    def read():
        turns.append(0)
        for at in range(0, len(data), 1 << 16):
            turns[-1] += 1
            yield Chunk(data[at : at + (1 << 16)], None)

    assert code(len(data), read)[1].gpu_code == ("sm_80", "sm_90")
    assert turns == [1, 97]
    scanner = GpuCodeScanner()
    with SparseFile(len(data), read) as spread:
        for _ in spread.tee(scanner.watch(read()), read_elf):
            pass
        assert read_elf(spread.data, spread.fetch, scanner.within).gpu_code == ("sm_80", "sm_90")
    assert len(turns) == 3
    first = bytearray(data)
    first[0xC0:0x1C0] = data[-256:]  # the table
    struct.pack_into("<Q", first, 40, 0xC0)
    assert architectures(bytes(first)) == ("sm_80", "sm_90")


def test_a_library_without_a_table_of_sections_is_still_linked():
    data = bytearray(library(container(entry(MACHINE_CODE, 90))))
    whole = read_elf(bytes(data))
    assert whole.needed == ("libcudart.so.13",)
    for at, form, value in ((40, "<Q", 1 << 40), (58, "<H", 1), (60, "<H", 0), (62, "<H", 9), (60, "<H", 999)):
        changed = bytearray(data)
        struct.pack_into(form, changed, at, value)
        assert read_elf(bytes(changed)) == whole
        assert architectures(bytes(changed)) == ()


def test_damaged_entries_end_their_container():
    good = container(entry(MACHINE_CODE, 90))
    endless = bytearray(header(MACHINE_CODE, 50))
    struct.pack_into("<Q", endless, 8, 1 << 60)
    for bad in (endless, header(MACHINE_CODE, 50, length=63), bytes(64)):
        assert architectures(library(container(bad, entry(MACHINE_CODE, 60)) + good)) == ("sm_90",)
    beyond = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, (1 << 64) - 1) + entry(MACHINE_CODE, 80)
    assert architectures(library(good + beyond)) == ("sm_80", "sm_90")
    table = header(JOINED, 0, length=80) + struct.pack("<II", (1 << 32) - 1, 0) + bytes(8)
    assert architectures(library(container(table) + good)) == ("sm_90",)
    assert architectures(library(container(entry(MACHINE_CODE, (1 << 32) - 1)) + good)) == ("sm_90",)


@pytest.mark.parametrize("unit", [entry(MACHINE_CODE, 90, size=0), container(), container(entry(PTX, 75, size=0))])
def test_endless_headers_take_little_time(monkeypatch, unit):
    monkeypatch.setattr(gpu_code, "_MOST", 1 << 12)
    endless = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 62) + unit * (8 << 20 >> 6)
    start = time.process_time()
    assert architectures(library(endless)) == ()
    assert time.process_time() - start < 2


def test_the_record_of_a_wheel_keeps_it(tmp_path):
    made = Maker("acme").add({"acme/_gpu.so": library(container(entry(MACHINE_CODE, 90, ARCHITECTURE_ONLY)))})
    libraries = Libraries.read(Wheel.read(made.write(tmp_path)))
    assert [elf.gpu_code for _, elf in libraries.linked] == [("sm_90a",)]
    assert Libraries.loads(libraries.dumps()) == libraries
