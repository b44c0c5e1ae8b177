"""Reading wheels: what is in them, and everything that no installer should take."""

import itertools
import os
import random
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version
from rules_bento.actions.subcommands import run
from rules_bento.base.archives import zipread as reader
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.wheels.install import InstallLayout, installed_files
from rules_bento.images.wheels.wheel import EntryPoint, Locked, Wheel
from rules_bento.images.wheels.wheel_metadata import canonical_version, normalized

from tests.helpers.made_wheels import Maker, central, local, patched, record_line, renamed

CHANCE = random.Random(8)
LARGE = b"".join(CHANCE.randbytes(100) + bytes(900) for _ in range(3000))


@pytest.fixture(params=["zlib_ng", "zlib"])
def inflater(request, monkeypatch):
    """Both libraries that may inflate."""
    module = pytest.importorskip("zlib_ng.zlib_ng") if request.param == "zlib_ng" else zlib
    monkeypatch.setattr(reader, "_zlib_module", module)
    return module


def contents(wheel):
    """The members' contents, and their streams."""
    found = {}
    for member, chunks in zip(wheel.members, wheel.chunks(wheel.members), strict=True):
        pieces = list(chunks)
        assert all(len(piece.data) <= reader._MAX_INFLATED for piece in pieces)
        packed = [piece.packed for piece in pieces]
        data = b"".join(piece.data for piece in pieces)
        found[member.path] = (data, None if packed[0] is None else b"".join(packed))
    return found


def refused(path, words, member=None):
    """Reading the wheel and all of it fails, and the message says where and what."""
    with pytest.raises(BentoError) as caught:
        contents(Wheel.read(path))
    message = str(caught.value)
    assert path.name in message
    assert words in message
    if member:
        assert repr(member) in message


def test_the_metadata_of_a_wheel_is_read(tmp_path):
    maker = Maker("Zope.Inter_face", "2.0").add({"zope/a.py": "1", "zope/run": "2", "b.py": ""})
    maker.modes["zope/run"] = 0o755
    maker.directories.append("zope/empty")
    maker.entry_points(
        "[console_scripts]\nRun = zope.a:main\nOther= zope.a : Class.main [extra, more]\n"
        "[gui_scripts]\nwindow = zope.a:show\n[zope.plugins]\nx = not a script\nno value\n"
    )
    wheel = Wheel.read(maker.write(tmp_path))
    assert wheel.distribution == "zope-inter-face"
    assert wheel.dist_info == "Zope.Inter_face-2.0.dist-info"
    assert wheel.directories == ("zope/empty",)
    paths = [member.path for member in wheel.members]
    assert paths == sorted([*maker.files, f"{maker.dist_info}/RECORD"])
    assert {member.path for member in wheel.members if member.executable} == {"zope/run"}
    assert wheel.entry_points == (
        EntryPoint("Run", "zope.a", "main"),
        EntryPoint("Other", "zope.a", "Class.main"),
        EntryPoint("window", "zope.a", "show"),
    )


@pytest.mark.usefixtures("inflater")
def test_contents_and_their_streams(tmp_path):
    maker = Maker().add({"large.bin": LARGE, "small.py": "pass\n" * 50, "empty.py": "", "zeros": bytes(3 << 20)})
    maker.add({"stored.bin": LARGE, "short.bin": b"abc", "nothing": b""}, stored=True)
    wheel = Wheel.read(maker.write(tmp_path))
    found = contents(wheel)
    for path, data in maker.files.items():
        inflated, stream = found[path]
        assert inflated == data
        if path in maker.stored:
            assert stream is None
        else:
            inflate = zlib.decompressobj(-15)
            assert inflate.decompress(stream) == data
            assert inflate.eof
            assert not inflate.unused_data


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2_000_000), st.booleans()), max_size=4))
def test_any_size(tmp_path_factory, sizes):
    maker = Maker()
    for number, (size, stored) in enumerate(sizes):
        maker.add({f"{number}.bin": LARGE[:size]}, stored=stored)
    found = contents(Wheel.read(maker.write(tmp_path_factory.mktemp("any"))))
    assert {path: data for path, (data, _) in found.items() if path in maker.files} == maker.files


def test_members_of_unknown_size_and_zip64(tmp_path):
    maker = Maker().add({"a.py": "a" * 1000, "b.py": LARGE})

    class Unseekable:
        def __init__(self, file):
            self.write, self.flush = file.write, file.flush

    path = tmp_path / "odd-1.0-py3-none-any.whl"
    record = "\n".join(maker.lines()).encode()
    with path.open("wb") as file, zipfile.ZipFile(Unseekable(file), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [*maker.files.items(), (f"{maker.dist_info}/RECORD", record)]:
            with archive.open(name, "w", force_zip64=name == "b.py") as member:
                member.write(data)
    raw = path.read_bytes()
    assert struct.unpack_from("<H", raw, local(raw, "a.py") + 6)[0] & 8
    assert contents(Wheel.read(path))["b.py"][0] == LARGE


def test_a_zip64_directory(tmp_path):
    """Sizes, offset and the directory's own numbers in zip64 fields, as for a file of several GB."""
    path = Maker().add({"a.py": "pass\n" * 9}).write(tmp_path)
    data = path.read_bytes()
    at, end = central(data, "a.py"), data.rindex(b"PK\5\6")
    packed, size = struct.unpack_from("<2L", data, at + 20)
    offset = struct.unpack_from("<L", data, at + 42)[0]
    name_end = at + 46 + len("a.py")
    extra = struct.pack("<2H3Q", 1, 24, size, packed, offset)
    entry = bytearray(data[at:name_end])
    struct.pack_into("<2L", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", entry, 30, len(extra))
    struct.pack_into("<L", entry, 42, 0xFFFFFFFF)
    start, count = struct.unpack_from("<L", data, end + 16)[0], struct.unpack_from("<H", data, end + 10)[0]
    directory = data[start:at] + bytes(entry) + extra + data[name_end:end]
    end_at = start + len(directory)
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end_at, 1)
    old_end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 7) + b"comment"
    path.write_bytes(data[:start] + directory + end_64 + locator + old_end)
    assert contents(Wheel.read(path))["a.py"][0] == b"pass\n" * 9
    broken = bytearray(path.read_bytes())
    broken[broken.rindex(b"PK\6\7")] = 0
    path.write_bytes(broken)
    refused(path, "zip64")


def test_other_digests_and_what_record_may_exclude(tmp_path):
    maker = Maker().add({"a.py": "a", "b.py": "b"})
    lines = maker.lines()
    lines[lines.index(record_line("a.py", b"a"))] = record_line("/a.py", b"a", "sha512")
    lines[lines.index(record_line("b.py", b"b"))] = record_line("b.py", b"b").rpartition(",")[0] + ","
    maker.record = "\r\n".join([*lines, "", "c.pyc,,", "folder/,,"]).encode()
    maker.add({f"{maker.dist_info}/RECORD.jws": "{}"})
    found = contents(Wheel.read(maker.write(tmp_path)))
    assert found["a.py"][0] == b"a"


@pytest.mark.parametrize(
    "name",
    ["../up.py", "a/../../b", "/absolute", "a//b", "././a.py", ".//a.py", "./../a", "a/./b", "C:/windows", "a\\b", "tab\tname", "line\nfeed",
     "nul\0l", "del\x7f", "a/..", ".wh.passwd", "lib/.wh..wh..opq"],
)  # fmt: skip
def test_names_that_are_no_plain_paths(tmp_path, name):
    placeholder = "x" * len(name)
    path = renamed(Maker().add({placeholder: "1"}).write(tmp_path), placeholder, name)
    refused(path, "whiteout" if ".wh." in name else "path", name.removeprefix("./"))


def test_a_path_is_repeated_with_its_directory(tmp_path):
    refused(Maker().add({"a.py": "1", "./a.py": "2"}).write(tmp_path), "the path is repeated", "a.py")


def test_names_of_no_encoding(tmp_path):
    path = renamed(Maker().add({"xxxxx.py": "1"}).write(tmp_path), "xxxxx", "éé.")
    refused(path, "isn't UTF-8")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_come_twice(tmp_path):
    maker = Maker().add({"a.py": "1"})
    refused(maker.write(tmp_path, order=lambda items: [*items, ("a.py", b"2")]), "repeated", "a.py")
    maker = Maker().add({"a": "1"})
    maker.directories.append("a")
    refused(maker.write(tmp_path), "repeated", "a")


def test_files_below_a_file(tmp_path):
    refused(Maker().add({"a": "1", "a/b/c.py": "2"}).write(tmp_path), "is both a file and a directory", "a")


@pytest.mark.usefixtures("inflater")
@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_wrong_digest(tmp_path, data):
    maker = Maker().add({"a.bin": data})
    lines = maker.lines()
    lines[lines.index(record_line("a.bin", data))] = record_line("a.bin", data[:-1] + b"?")
    maker.record = "\n".join(lines).encode()
    refused(maker.write(tmp_path), "sha256 doesn't match RECORD", "a.bin")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (None, "RECORD doesn't list the file"),
        ("a.py,,", "the digest in RECORD is missing"),
        ("a.py,md5=rL0Y20zC-Fzt72VPzMSk2A,1", "the digest in RECORD is md5"),
        ("a.py,sha256=abc,1", "is invalid"),
        ("a.py,sha256=!é$,1", "is invalid"),
        (f"a.py,sha256={'g' * 64},1", "is invalid"),
        (f"a.py,sha256={'é' * 64},1", "is invalid"),
        (f"a.py,sha512={'0' * 64},1", "is invalid"),
        (record_line("a.py", b"1").replace(",1", ",2"), "2 in RECORD"),
        (record_line("a.py", b"1") + "\n" + record_line("a.py", b"1"), "repeated"),
        ("a.py", "isn't PATH,DIGEST,SIZE"),
    ],
)
def test_a_wrong_record(tmp_path, line, words):
    maker = Maker().add({"a.py": "1"})
    lines = [other for other in maker.lines() if not other.startswith("a.py")] + ([line] if line else [])
    maker.record = "\n".join(lines).encode()
    refused(maker.write(tmp_path), words, "a.py")


WRONG_RECORDS = {
    "not listed": (lambda lines: [line for line in lines if not line.startswith("a.py")]),
    "another size": (lambda lines: [line.replace(",1", ",2") if line.startswith("a.py") else line for line in lines]),
    "another digest": (
        lambda lines: [record_line("a.py", b"2") if line.startswith("a.py") else line for line in lines]
    ),
    "md5": (lambda lines: [record_line("a.py", b"1", "md5") if line.startswith("a.py") else line for line in lines]),
    "not there": (lambda lines: [*lines, record_line("gone.py", b"1")]),
    "twice": (lambda lines: [*lines, lines[0]]),
}


def wrong_record(tmp_path, change):
    maker = Maker("Acme_Tools").add({"a.py": "1", "b.bin": LARGE})
    maker.record = "\n".join(change(maker.lines())).encode()
    return maker.write(tmp_path)


@pytest.mark.parametrize("change", WRONG_RECORDS.values(), ids=WRONG_RECORDS)
def test_a_wrong_record_is_rejected_with_the_line_that_takes_the_wheel(tmp_path, change):
    path = wrong_record(tmp_path, change)
    with pytest.raises(BentoError) as caught:
        contents(Wheel.read(path, Locked("ab" * 32)))
    assert f'allow_record_mismatch = {{"acme-tools": ["sha256:{"ab" * 32}"]}}' in str(caught.value)
    with pytest.raises(BentoError) as caught:
        contents(Wheel.read(path))  # of no lock: there is nowhere to write the line
    assert "allow_record_mismatch" not in str(caught.value)


@pytest.mark.parametrize("change", WRONG_RECORDS.values(), ids=WRONG_RECORDS)
def test_a_wrong_record_becomes_a_right_one_where_the_wheel_is_accepted(tmp_path, change):
    wheel = Wheel.read(wrong_record(tmp_path, change), Locked("ab" * 32, allow_record_mismatch=True))
    assert {path: data for path, (data, _) in contents(wheel).items() if not path.startswith("Acme")} == {
        "a.py": b"1",
        "b.bin": LARGE,
    }
    [record] = [
        file for file in installed_files(wheel, InstallLayout.venv("/app", 12)) if file.path.endswith("/RECORD")
    ]
    lines = record.data.decode().splitlines()
    assert record_line("a.py", b"1") in lines
    assert record_line("b.bin", LARGE) in lines
    assert not [line for line in lines if "gone" in line]


def test_a_wrong_crc_is_no_wrong_record(tmp_path):
    path = wrong_record(tmp_path, WRONG_RECORDS["another digest"])
    wrong = zlib.crc32(LARGE) ^ 1
    patched(path, "b.bin", in_central=[(16, "<L", wrong)], in_local=[(14, "<L", wrong)])
    with pytest.raises(BentoError, match=r"'b\.bin': .*CRC") as caught:
        Wheel.read(path, Locked("ab" * 32, allow_record_mismatch=True))
    assert "allow_record_mismatch" not in str(caught.value)


def test_encrypted_linked_or_packed_otherwise(tmp_path):
    def wheel():
        return Maker().add({"a.py": "1" * 100}).write(tmp_path)

    refused(patched(wheel(), "a.py", in_central=[(8, "<H", 1)], in_local=[(6, "<H", 1)]), "is encrypted", "a.py")
    refused(patched(wheel(), "a.py", in_central=[(10, "<H", 9)]), "deflate64", "a.py")
    refused(patched(wheel(), "a.py", in_central=[(10, "<H", 93)]), "zstd", "a.py")
    refused(patched(wheel(), "a.py", in_central=[(10, "<H", 77)]), "method 77", "a.py")
    refused(patched(wheel(), "a.py", in_central=[(38, "<L", 0o120777 << 16)]), "is a symbolic link", "a.py")
    refused(patched(wheel(), "a.py", in_central=[(38, "<L", 0o010644 << 16)]), "isn't a regular file", "a.py")
    refused(patched(wheel(), "a.py", in_central=[(10, "<H", 0)], in_local=[(8, "<H", 0)]), "two sizes", "a.py")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = wheel()
        with zipfile.ZipFile(path, "a", method) as archive, warnings.catch_warnings():
            archive.writestr("b.py", "2" * 100)
        refused(path, "bzip2" if method == zipfile.ZIP_BZIP2 else "lzma", "b.py")


def test_two_headers_that_do_not_agree(tmp_path):
    def wheel():
        return Maker().add({"a.py": "1" * 100}).write(tmp_path)

    for offset, form, value in [(6, "<H", 1), (8, "<H", 0), (14, "<L", 1), (18, "<L", 1), (22, "<L", 1)]:
        refused(patched(wheel(), "a.py", in_local=[(offset, form, value)]), "contradicts the central directory", "a.py")
    refused(patched(wheel(), "a.py", in_local=[(30, "<4s", b"b.py")]), "contradicts the central directory", "a.py")
    refused(patched(wheel(), "a.py", in_local=[(0, "<4s", b"PK\1\2")]), "the header is missing", "a.py")


def test_members_that_overlap(tmp_path):
    maker = Maker().add({"a.bin": LARGE[:5000], "b.bin": LARGE[:5000]})
    path = maker.write(tmp_path)
    at = local(path.read_bytes(), "a.bin")
    refused(patched(path, "b.bin", in_central=[(42, "<L", at)]), "overlaps")
    field = struct.pack("<2HL", 0xCAFE, 4, 0)  # the contents' beginning, as an extra field that shifts the contents
    maker = Maker().add({"a.bin": field + LARGE[:100]}, stored=True)
    refused(patched(maker.write(tmp_path), "a.bin", in_local=[(28, "<H", len(field))]), "overlaps", "a.bin")


@pytest.mark.usefixtures("inflater")
@pytest.mark.parametrize("size", [100, len(LARGE)])
@pytest.mark.parametrize("change", [-1, 1])
def test_another_size_than_declared(tmp_path, size, change):
    path = Maker().add({"a.bin": LARGE[:size]}).write(tmp_path)
    patched(path, "a.bin", in_central=[(24, "<L", size + change)], in_local=[(22, "<L", size + change)])
    with pytest.raises(BentoError, match="in RECORD"):
        Wheel.read(path)
    maker = Maker().add({"a.bin": LARGE[:size]})
    lines = [line for line in maker.lines() if not line.startswith("a.bin")]
    maker.record = "\n".join([*lines, record_line("a.bin", LARGE[:size]).rpartition(",")[0] + ","]).encode()
    path = maker.write(tmp_path)
    patched(path, "a.bin", in_central=[(24, "<L", size + change)], in_local=[(22, "<L", size + change)])
    refused(path, "don't have the declared", "a.bin")


@pytest.mark.usefixtures("inflater")
@pytest.mark.parametrize("data", [b"small" * 20, LARGE], ids=["small", "large"])
def test_damaged_streams(tmp_path, data):
    path = Maker().add({"a.bin": data}).write(tmp_path)
    raw = bytearray(path.read_bytes())
    at = local(raw, "a.bin") + 30 + len("a.bin")
    packed = struct.unpack_from("<L", raw, central(raw, "a.bin") + 20)[0]
    for offset in (0, packed // 2, packed - 1):
        damaged = bytearray(raw)
        damaged[at + offset] ^= 0xFF
        path.write_bytes(damaged)
        refused(path, "a.bin")
    # A stream that ends early, with bytes behind it.
    short = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = short.compress(data) + short.flush()
    longer = Maker().add({"a.bin": data}, stored=True)
    longer.files["a.bin"] = stream + b"behind"
    lines = [line for line in longer.lines() if not line.startswith("a.bin")] + [record_line("a.bin", data)]
    longer.record = "\n".join(lines).encode()
    path = longer.write(tmp_path)
    fields = [(0, "<H", 8), (6, "<L", zlib.crc32(data)), (14, "<L", len(data))]
    patched(
        path,
        "a.bin",
        in_central=[(10 + offset, form, value) for offset, form, value in fields],
        in_local=[(8 + offset, form, value) for offset, form, value in fields],
    )
    refused(path, "directory", "a.bin")


def carrying(directory, stream, data):
    """Return a wheel that contains `data` as the deflate stream `stream`."""
    maker = Maker().add({"a.bin": data})
    path = Maker().add({"a.bin": stream}, stored=True)
    path.record = "\n".join(maker.lines()).encode()
    changes = (zipfile.ZIP_DEFLATED, zlib.crc32(data), len(data))
    fields = tuple(zip(("<H", "<L", "<L"), changes, strict=True))
    return patched(
        path.write(directory),
        "a.bin",
        in_central=[(at, *field) for at, field in zip((10, 16, 24), fields, strict=True)],
        in_local=[(at, *field) for at, field in zip((8, 14, 22), fields, strict=True)],
    )


# The distance codes of the stream are incomplete. ISA-L inflates it to these bytes, but zlib, Go, pip, and uv refuse it.
INCOMPLETE = bytes.fromhex("05c10101000008c3a02a54dbeddf41b4a2e5dc91b4e2684cc603")
OF_ISAL = b" baa  aba c cc  a a abaa  c  ab  b a b  "


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_stream_that_zlib_refuses_is_in_no_layer(tmp_path, compression):
    wheel = carrying(tmp_path, INCOMPLETE, OF_ISAL)
    with pytest.raises(BentoError, match="'a.bin': the deflate stream is damaged"):
        write_wheel_layer(tmp_path / "layer", Wheel.read(wheel), InstallLayout.venv("/app", 12), compression)
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def mutated_streams(count):
    """Yield deflate streams of all kinds of blocks with some changed bits and bytes, most in the codes of a block."""
    text = Path(__file__).read_bytes()
    contents = (b"", b"ab" * 50, text[:300], text[:9000], CHANCE.randbytes(300), bytes(5000))
    streams = [INCOMPLETE]
    for data, level, strategy in itertools.product(contents, (1, 9), range(5)):
        compressor = zlib.compressobj(level, zlib.DEFLATED, -15, strategy=strategy)
        streams.append(compressor.compress(data) + compressor.flush())
    for _ in range(count):
        stream = bytearray(CHANCE.choice(streams))
        for _ in range(CHANCE.choice((0, 1, 1, 2, 8))):
            place = CHANCE.randrange(min(len(stream), CHANCE.choice((12, 60, 1 << 16))))
            stream[place] = CHANCE.choice((stream[place] ^ 1 << CHANCE.randrange(8), CHANCE.randrange(256)))
        yield bytes(stream)


def inflated(module, stream):
    inflate = module.decompressobj(-15)
    try:
        return inflate.decompress(stream, 1 << 20), inflate.eof, inflate.unused_data
    except module.error:
        return None


def test_each_inflater_accepts_the_streams_of_zlib():
    differing = [
        stream.hex()
        for stream in mutated_streams(int(os.environ.get("RULES_BENTO_STREAMS", "5000")))
        if inflated(reader.fast_zlib(), stream) != inflated(zlib, stream)
    ]
    assert not differing


def test_bombs(tmp_path):
    maker = Maker().add({"zeros.bin": bytes(80 << 20)})
    refused(maker.write(tmp_path), "unpacks to", "zeros.bin")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-30], "isn't a complete zip"),
        (lambda data: b"", "isn't a complete zip"),
        (lambda data: b"no zip" * 1000, "isn't a complete zip"),
        (lambda data: data + b"more", "data after the end"),
        (lambda data: b"#!/bin/sh\n" + data, "undeclared bytes"),
        (lambda data: data[:-22] + b"hidden" + data[-22:], "undeclared bytes"),
        (lambda data: data[:-18] + struct.pack("<2H", 1, 0) + data[-14:], "multi-part"),
        (lambda data: data[:-14] + struct.pack("<2H", 9, 9) + data[-10:], "declares 9"),
    ],
)
def test_zips_that_are_not_whole(tmp_path, change, words):
    path = Maker().add({"a.py": "1"}).write(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    refused(path, words)


def test_no_such_file(tmp_path):
    refused(tmp_path / "odd-1.0-py3-none-any.whl", "cannot read the file")


def test_metadata_that_is_not_a_wheels(tmp_path):
    maker = Maker()
    refused(maker.write(tmp_path, file_name="odd.zip"), "the file name isn't NAME-VERSION")
    refused(maker.write(tmp_path, file_name="other-1.0-py3-none-any.whl"), "belongs to another distribution")
    maker = Maker()
    del maker.files[f"{maker.dist_info}/WHEEL"]
    refused(maker.write(tmp_path), "is missing", f"{maker.dist_info}/WHEEL")
    maker = Maker()
    maker.files[f"{maker.dist_info}/WHEEL"] = b"Wheel-Version: 2.0\n"
    refused(maker.write(tmp_path), "no supported Wheel-Version")
    refused(Maker().add({"x-1.dist-info/METADATA": ""}).write(tmp_path), "expected one *.dist-info directory")
    maker = Maker()
    maker.record = b"\xff\xfe"
    refused(maker.write(tmp_path), "isn't UTF-8", f"{maker.dist_info}/RECORD")


@pytest.mark.parametrize(
    "line",
    [
        "run = nothing", "run = a:b:c", "run = a:b; import os", "run", "../run = a:b", "a/b = a:b", "t\tb = a:b",
        "run =", "[open",
    ],
)  # fmt: skip
def test_entry_points_that_are_no_commands(tmp_path, line):
    refused(Maker().entry_points(f"[console_scripts]\n{line}\n").write(tmp_path), "odd-1.0")


def unpack(wheel, directory):
    return run(["unpack_wheel", "--wheel", str(wheel), "--output", str(directory)])


def test_an_unpacked_wheel_has_what_is_imported(tmp_path):
    maker = Maker().add({"odd/a.py": "a", "large.bin": LARGE, "other-1.0.data/purelib/b.py": "b"})
    maker.add({f"{maker.data}/purelib/c.py": "c", f"{maker.data}/platlib/odd/d.so": "d"})
    maker.add({f"{maker.data}/scripts/run": "#!python", f"{maker.data}/headers/a.h": "", f"{maker.data}/data/x": ""})
    assert unpack(maker.write(tmp_path), tmp_path / "site") == 0
    found = {
        str(path.relative_to(tmp_path / "site")): path.read_bytes()
        for path in (tmp_path / "site").rglob("*")
        if path.is_file() and maker.dist_info not in str(path)
    }
    assert found == {
        "c.py": b"c",
        "large.bin": LARGE,
        "odd/a.py": b"a",
        "odd/d.so": b"d",
        "other-1.0.data/purelib/b.py": b"b",
    }
    assert (tmp_path / f"site/{maker.dist_info}/METADATA").read_bytes() == maker.files[f"{maker.dist_info}/METADATA"]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "odd-1.0.data/purelib/../../outside"])
def test_no_wheel_is_unpacked_outside(tmp_path, capsys, name):
    placeholder = "x" * len(name)
    wheel = renamed(Maker().add({placeholder: "1"}).write(tmp_path), placeholder, name)
    assert unpack(wheel, tmp_path / "below/site") == 1
    assert "path" in capsys.readouterr().err
    assert not list(tmp_path.rglob("outside"))
    assert not (tmp_path / "below").exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": "1", "odd-1.0.data/purelib/a": "2"}, "two files would be installed as a"),
        ({"odd-1.0.data/platlib/a": "1", "odd-1.0.data/purelib/a": "2"}, "two files would be installed as a"),
        ({"a": "1", "odd-1.0.data/purelib/a/b": "2"}, "a is both a file and a directory"),
        ({"a/b/c": "1", "odd-1.0.data/purelib/a": "2"}, "a is both a file and a directory"),
    ],
)
def test_files_of_one_place_are_rejected_when_a_wheel_is_spread(tmp_path, capsys, files, words):
    wheel = Maker().add(files).write(tmp_path)
    assert unpack(wheel, tmp_path / "site") == 1
    assert words in capsys.readouterr().err
    with pytest.raises(BentoError, match="two files|is both a file and a directory"):
        installed_files(Wheel.read(wheel), InstallLayout.venv("/app/.venv", 14))


def test_a_path_that_is_too_long_is_reported(tmp_path, capsys):
    wheel = Maker().add({"/".join(["long" * 60] * 20): "1"}).write(tmp_path)
    assert unpack(wheel, tmp_path / "site") == 1
    refusal = capsys.readouterr().err
    assert "cannot extract 'long" in refusal
    assert "File name too long." in refusal
    refused(Maker().add({f"{'é' * 128}/a": "1"}).write(tmp_path), "more than 255 bytes", f"{'é' * 128}/a")


VERSIONS = st.from_regex(
    r"v?(?:[01]!)?[01](?:\.[01]){0,2}(?:[-_.]?(?:a|alpha|c|rc|pre)[-_.]?[01]?)?(?:-[01]|[-_.]?(?:post|r)[-_.]?[01]?)?"
    r"(?:[-_.]?dev[-_.]?[01]?)?(?:\+[a01](?:[-_.][a01]){0,2})?",
    fullmatch=True,
)


@settings(max_examples=200)
@given(VERSIONS, VERSIONS)
def test_versions_are_normalized_like_packaging(one, other):
    assert (canonical_version(one) == canonical_version(other)) == (Version(one) == Version(other))
    assert Version(canonical_version(one)) == Version(one)


@given(st.text("01a.-_+!v dev", max_size=9))
def test_an_invalid_version_is_told_as_by_pypa(text):
    try:
        Version(text)
    except InvalidVersion:
        assert not canonical_version(text)
    else:
        assert canonical_version(text)


def test_names_are_normalized():
    assert normalized("Zope.Interface__x-.y") == "zope-interface-x-y"


def test_reading_needs_little_memory(tmp_path):
    """Three times the memory of the pieces, not of the members."""
    import tracemalloc

    path = Maker().add({"a.bin": LARGE * 8, "b.bin": LARGE * 8}).write(tmp_path)
    wheel = Wheel.read(path)
    tracemalloc.start()
    for chunks in wheel.chunks(wheel.members):
        for _ in chunks:
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * reader.PIECE
    assert sys.getsizeof(LARGE) * 8 > 20 * reader.PIECE
