"""eStargz: each file can be read alone, and verified, by what the table at the end of a layer says."""

import hashlib
import io
import json
import random
import struct
import sys
import tarfile
import zlib
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_layers import ADDED, LARGE, LAYOUT, SITE, members, odd_wheel, parts_of, two_wheels, unpacked
from made_wheels import Maker, record_line
from rules_bento.archives import zipread
from rules_bento.archives.tarstream import Member
from rules_bento.archives.zipread import Chunk
from rules_bento.errors import BentoError
from rules_bento.images.layers import deflate, deflate_blocks, estargz, toc_layer
from rules_bento.images.layers.layer import write_files_layer, write_tar_layer, write_wheel_layer
from rules_bento.images.layers.parts import join_parts
from rules_bento.images.wheels.wheel import Wheel
from test_layer_chunked import check as check_chunked

FOOTER = 51
PREFETCHED = ".prefetch.landmark"
TEXT = b"".join(f"{number:x} lines of {number % 7}\n".encode() for number in range(60_000))


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def toc_digest(info):
    return dict(info.annotations).get(estargz.TOC_DIGEST)


class Table(NamedTuple):
    digest: str
    entries: list[dict]


def inflated(blob, offset, size):
    """So many bytes from the member at an offset on, read as runtimes read a range of a blob."""
    data = b""
    while len(data) < size:
        inflate = zlib.decompressobj(31)
        data += inflate.decompress(blob[offset:], size - len(data))
        offset = len(blob) - len(inflate.unused_data)
    return data


def table_of(blob):
    """The table, found by the footer alone, as the specification has it."""
    footer = blob[-FOOTER:]
    assert footer[:4] == b"\x1f\x8b\x08\x04"  # gzip, with an extra field
    assert struct.unpack("<H2sH", footer[10:16]) == (26, b"SG", 22)
    assert footer[32:38] == b"STARGZ"
    assert zlib.decompressobj(31).decompress(footer) == b""
    tar = zlib.decompressobj(31).decompress(blob[int(footer[16:32], 16) : -FOOTER])
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        [member] = archive.getmembers()
        text = archive.extractfile(member).read()
    assert member.name == "stargz.index.json"
    assert json.loads(text)["version"] == 1
    return Table(sha256(text), json.loads(text)["entries"])


def read_by_table(blob):
    """Each entry by name, and the contents of files, of which every chunk has been verified."""
    found = {}
    contents = {}
    offsets = []
    for entry in table_of(blob).entries:
        if entry["type"] == "chunk":
            assert entry["chunkOffset"] == len(contents[entry["name"]])
        else:
            assert entry["name"] not in found
            found[entry["name"]] = entry
            contents[entry["name"]] = b""
        whole = found[entry["name"]]
        if whole["type"] == "reg" and whole.get("size"):
            size = entry.get("chunkSize") or whole["size"] - entry.get("chunkOffset", 0)
            assert size <= toc_layer.CHUNK
            chunk = inflated(blob, entry["offset"], size)
            assert sha256(chunk) == entry["chunkDigest"]
            contents[entry["name"]] += chunk
            offsets.append(entry["offset"])
    assert offsets == sorted(set(offsets))
    for name, entry in found.items():
        if entry["type"] == "reg":
            assert len(contents[name]) == entry.get("size", 0)
            assert sha256(contents[name]) == entry["digest"]
    return found, contents


TYPES = {tarfile.REGTYPE: "reg", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}


def check(path, info):
    """The table says of a layer what its tar says to those who unpack it, and nothing else."""
    blob = path.read_bytes()
    assert table_of(blob).digest == toc_digest(info)
    assert sha256(blob) == info.digest
    assert sha256(unpacked(path, "estargz")) == info.diff_id
    found, contents = read_by_table(blob)
    with tarfile.open(fileobj=io.BytesIO(unpacked(path, "estargz"))) as tar:
        listed = tar.getmembers()
        [mark] = {member.name for member in listed} & estargz.LANDMARKS
        assert listed[-1].name == ADDED[1]
        assert mark == PREFETCHED or [member.name for member in listed][-2:] == list(ADDED)
        assert [name.rstrip("/") for name in found] == [member.name for member in listed[:-1]]
        for member, (name, entry) in zip(listed[:-1], found.items(), strict=True):
            assert name.endswith("/") == member.isdir()
            told = [entry.get(key, 0) for key in ("mode", "uid", "gid")]
            assert told == [member.mode, member.uid, member.gid]
            assert entry["type"] == TYPES[member.type]
            assert entry.get("linkName", "") == member.linkname
            assert entry.get("modtime", "1970-01-01T00:00:00Z") == stamp(member.mtime)
            assert contents[name] == (tar.extractfile(member).read() if member.isreg() else b"")
    assert contents[mark] == b"\x0f"
    return found


FORMATS = pytest.mark.parametrize("compression", ["estargz", "zstd:chunked"])


def check_either(path, info, compression):
    """The entries of the table of either format, and the contents of its files, both of which are held to the tar."""
    if compression == "estargz":
        return check(path, info), read_by_table(path.read_bytes())[1]
    return check_chunked(path, info)


def stamp(seconds):
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_wheel(tmp_path):
    wheel = odd_wheel().write(tmp_path)
    info = write_wheel_layer(tmp_path / "out", Wheel.read(wheel), LAYOUT, "estargz")
    check(tmp_path / "out", info)
    write_wheel_layer(tmp_path / "plain", Wheel.read(wheel), LAYOUT, "gzip")
    found, plain = members(tmp_path / "out", "estargz"), members(tmp_path / "plain", "gzip")
    assert [(name, data) for name, (_, data) in found.items()] == [(name, data) for name, (_, data) in plain.items()]


def test_a_large_file_is_read_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(toc_layer, "CHUNK", 100_000)
    maker = Maker().add({"a.bin": LARGE[:1_000_001], "b.bin": LARGE[:1_000_000], "c.py": "1"})
    maker.add({"stored.bin": LARGE[:250_000]}, stored=True)
    info = write_wheel_layer(tmp_path / "out", Wheel.read(maker.write(tmp_path)), LAYOUT, "estargz")
    check(tmp_path / "out", info)
    entries = table_of((tmp_path / "out").read_bytes()).entries
    chunks = [entry for entry in entries if entry["name"] == f"{SITE}/a.bin"]
    assert len(chunks) > 10
    assert "chunkSize" not in chunks[-1]
    assert "digest" not in chunks[1]


def test_a_large_file_is_cut_alike_whoever_inflates_and_compresses(tmp_path, monkeypatch):
    isal_zlib = pytest.importorskip(
        "isal.isal_zlib", reason="actions have it, and so has this test where Bazel runs it"
    )
    monkeypatch.setattr(toc_layer, "CHUNK", 100_000)
    wheel = Maker().add({"a.bin": LARGE[:500_000], "b.txt": TEXT[:700_000]}).write(tmp_path)
    found = set()
    for module, threads in ((isal_zlib, 1), (zlib, 3)):
        monkeypatch.setattr(zipread, "_zlib_module", module)
        found.add(write_wheel_layer(tmp_path / "out", Wheel.read(wheel), LAYOUT, "estargz", threads=threads))
    assert len(found) == 1


@FORMATS
def test_a_table_does_not_depend_on_threads(tmp_path, monkeypatch, compression):
    monkeypatch.setattr(toc_layer, "CHUNK", 100_000)
    files = {"a.bin": LARGE[:150_000], "b.bin": LARGE[:150_000], "c.txt": TEXT[:150_000], "d.txt": "d"}
    wheel = Wheel.read(Maker().add(files).write(tmp_path))
    infos = {write_wheel_layer(tmp_path / "out", wheel, LAYOUT, compression, threads=count) for count in (1, 2, 3, 8)}
    assert len(infos) == 1


@pytest.mark.parametrize("size", [204_800, 204_801])
def test_a_last_file_whose_stream_is_not_joinable(tmp_path, size):
    """The tar has no padding after a file whose size is a multiple of 512."""
    path = Maker().add({"z.bin": TEXT[:size]}).write(tmp_path)
    info = write_wheel_layer(tmp_path / "out", Wheel.read(path), LAYOUT, "estargz")
    found, _ = read_by_table((tmp_path / "out").read_bytes())
    assert [name for name, entry in found.items() if entry.get("size")][-2] == f"{SITE}/z.bin".lstrip("/")
    check(tmp_path / "out", info)


@pytest.mark.parametrize("large", [False, True])
def test_a_stream_whose_last_piece_holds_no_contents_is_carried_over_whole(tmp_path, monkeypatch, large):
    if large:
        monkeypatch.setattr(toc_layer, "CHUNK", 100_000)
    path = Maker().add({"a.bin": LARGE[:300_000]}).write(tmp_path, level=9)
    member = Wheel.read(path).member("a.bin")
    monkeypatch.setattr(zipread, "PIECE", member.packed_size - 1)
    [chunks] = map(list, Wheel.read(path).chunks([member]))
    assert (chunks[-1].data, len(chunks[-1].packed)) == (b"", 1)
    info = write_wheel_layer(tmp_path / "out", Wheel.read(path), LAYOUT, "estargz")
    check(tmp_path / "out", info)


@FORMATS
@pytest.mark.parametrize("name", ["small.py", "large.bin"])
def test_digests_of_record_are_verified_before_they_are_the_tables(tmp_path, monkeypatch, compression, name):
    monkeypatch.setattr(toc_layer, "CHUNK", 100_000)
    maker = Maker().add({"large.bin": LARGE[:300_000], "small.py": "1"})
    lines = maker.lines()
    data = maker.files[name]
    at = lines.index(record_line(name, data))
    lines[at] = record_line(name, data[:-1] + b"?")
    maker.record = "\n".join([*lines, ""]).encode()
    with pytest.raises(BentoError, match=f"{name}.*the sha256 doesn't match RECORD"):
        write_wheel_layer(tmp_path / "out", Wheel.read(maker.write(tmp_path)), LAYOUT, compression)
    assert not (tmp_path / "out").exists()


def test_the_table_has_sha256_where_record_has_another(tmp_path, monkeypatch):
    monkeypatch.setattr(toc_layer, "CHUNK", 100_000)
    maker = Maker().add({"large.bin": LARGE[:300_000], "small.py": "1"})
    lines = [record_line(path, data, "sha512") for path, data in maker.files.items()]
    maker.record = "\n".join([*lines, f"{maker.dist_info}/RECORD,,", ""]).encode()
    info = write_wheel_layer(tmp_path / "out", Wheel.read(maker.write(tmp_path)), LAYOUT, "estargz")
    check(tmp_path / "out", info)


def test_the_streams_of_small_files_are_carried_over(tmp_path):
    wheel = Wheel.read(Maker().add({f"{number}.py": f"value = {number}\n" * 50 for number in range(9)}).write(tmp_path))
    write_wheel_layer(tmp_path / "out", wheel, LAYOUT, "estargz")
    written = (tmp_path / "out").read_bytes()
    for chunks in wheel.chunks(member for member in wheel.members if member.path.endswith(".py")):
        assert b"".join(chunk.packed for chunk in chunks)[1:] in written


@FORMATS
def test_parts_are_copied_and_their_entries_move(tmp_path, monkeypatch, compression):
    if compression == "estargz":
        monkeypatch.setitem(sys.modules, "zstandard", None)  # which these actions have not
    wheels = [Maker(name).add({f"{name}.py": name * 99}).write(tmp_path) for name in ("one", "two", "three")]
    parts = parts_of(tmp_path, wheels, compression)
    info = join_parts(tmp_path / "out", parts, LAYOUT, compression)
    found, _ = check_either(tmp_path / "out", info, compression)
    assert {f"{SITE}/{name}.py" for name in ("one", "two", "three")} <= found.keys()
    written = (tmp_path / "out").read_bytes()
    assert all(part.path.read_bytes() in written for part in parts)


@FORMATS
def test_of_a_file_that_two_wheels_have_the_later_one_is_read(tmp_path, compression):
    parts = parts_of(tmp_path, two_wheels(tmp_path), compression)
    info = join_parts(tmp_path / "out", parts, LAYOUT, compression)
    _, contents = check_either(tmp_path / "out", info, compression)
    assert contents[f"{SITE}/tests/a.py"] == b"two"


@FORMATS
def test_a_hard_link_of_a_system(tmp_path, compression):
    with tarfile.open(tmp_path / "in", "w", format=tarfile.PAX_FORMAT) as tar:
        file = tarfile.TarInfo("usr/a")
        file.size, file.mtime = 3, 1_700_000_000
        tar.addfile(file, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("usr/b")
        link.type, link.linkname = tarfile.LNKTYPE, "usr/a"
        tar.addfile(link)
    content = (tmp_path / "in").read_bytes()[: 3 * 512]
    info = write_tar_layer(tmp_path / "out", (content[at : at + 7] for at in range(0, len(content), 7)), compression)
    found, _ = check_either(tmp_path / "out", info, compression)
    assert found["usr/a"]["modtime"] == "2023-11-14T22:13:20Z"
    assert (found["usr/b"]["type"], found["usr/b"]["linkName"]) == ("hardlink", "usr/a")


@pytest.mark.parametrize("name", ["stargz.index.json", ".prefetch.landmark", ".no.prefetch.landmark"])
def test_a_name_of_the_format_is_refused(tmp_path, name):
    with pytest.raises(BentoError, match=f"{name}: eStargz reserves this name"):
        write_files_layer(tmp_path / "out", [Member.inline(name, b"")], "estargz")
    assert not (tmp_path / "out").exists()


NAMES = st.text(st.sampled_from("abü"), min_size=1, max_size=3)
FILES = st.dictionaries(NAMES, st.binary(max_size=2000), min_size=0, max_size=8)


@settings(max_examples=80, deadline=None)
@given(
    files=FILES,
    links=st.dictionaries(NAMES, NAMES, max_size=3),
    chunk=st.integers(1, 900),
    threads=st.integers(1, 3),
    formats=st.sampled_from([("estargz", "gzip"), ("zstd:chunked", "zstd")]),
)
def test_whatever_is_in_it(tmp_path_factory, files, links, chunk, threads, formats):
    directory = tmp_path_factory.mktemp("layer")
    compression, plain = formats
    entries = [Member.inline(f"app/{name}", data, uid=7) for name, data in files.items()]
    entries += [Member.symlink(f"links/{name}", target) for name, target in links.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toc_layer, "CHUNK", chunk)
        info = write_files_layer(directory / "out", entries, compression, threads=threads)
        check_either(directory / "out", info, compression)
    write_files_layer(directory / "plain", entries, plain)
    found, expected = members(directory / "out", compression), members(directory / "plain", plain)
    assert {name: data for name, (_, data) in found.items()} == {name: data for name, (_, data) in expected.items()}


# What a start reads comes first.


# Streams of others, cut at their blocks.

CONTENTS = {"mixed": LARGE[:1_500_000], "text": TEXT, "random": random.Random(2).randbytes(300_000)}
COMPRESSORS = {
    "zlib's own": {"level": 6},
    "small blocks": {"level": 9, "memLevel": 1},
    "fixed codes": {"level": 6, "strategy": zlib.Z_FIXED},
    "no matches": {"level": 6, "strategy": zlib.Z_HUFFMAN_ONLY},
    "stored": {"level": 0},
}


def deflated(data, options, flushes=()):
    compressor = zlib.compressobj(wbits=-15, **options)
    packed = b""
    for number, begin in enumerate(range(0, len(data), 50_000)):
        packed += compressor.compress(data[begin : begin + 50_000])
        packed += compressor.flush(flushes[number % len(flushes)]) if flushes else b""
    return packed + compressor.flush()


def cuts_of(packed, size, piece=40_000):
    def inflated(pieces, inflate):
        for data in pieces:
            yield Chunk(inflate.decompress(data), data)
        assert inflate.eof

    pieces = (packed[begin : begin + piece] for begin in range(0, len(packed), piece))
    return list(deflate_blocks.cut(pieces, size, inflated))


def inflated_alone(cut):
    inflate = zlib.decompressobj(-15)
    data = inflate.decompress(cut.packed + (deflate.END if cut.joined else b""))
    assert inflate.eof
    assert not inflate.unused_data
    return data


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_each_piece_of_a_stream_can_be_inflated_alone(compressor, kind):
    data, packed = CONTENTS[kind], deflated(CONTENTS[kind], COMPRESSORS[compressor])
    cuts = cuts_of(packed, 200_000)
    assert b"".join(cut.data for cut in cuts) == data
    assert max(len(cut.data) for cut in cuts) <= 200_000
    with_stream = [cut for cut in cuts if cut.packed]
    assert all(inflated_alone(cut) == cut.data for cut in with_stream)
    if kind == "text":  # zeros may be told in many ways
        assert len(with_stream) == len(cuts) > 1
        assert sum(len(cut.packed) for cut in cuts) < 1.1 * len(packed)


FLUSHES = st.lists(st.sampled_from([zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_BLOCK]), max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(CONTENTS)),
    compressor=st.sampled_from(sorted(COMPRESSORS)),
    level=st.integers(0, 9),
    flushes=FLUSHES,
    size=st.integers(1, 400_000),
    length=st.integers(0, 250_000),
)
def test_whatever_made_a_stream_nothing_is_lost(kind, compressor, level, flushes, size, length):
    data = CONTENTS[kind][:length]
    packed = deflated(data, COMPRESSORS[compressor] | {"level": level}, flushes)
    cuts = cuts_of(packed, size, 7_001)
    assert b"".join(cut.data for cut in cuts) == data
    assert all(len(cut.data) <= size for cut in cuts)
    assert all(inflated_alone(cut) == cut.data for cut in cuts if cut.packed)


def test_a_stream_of_blocks_with_nothing_in_them_is_not_walked():
    empty = b"\0\0\0\xff\xff"  # a stored block
    packed = empty * 100_000 + deflated(TEXT, {"level": 6})
    cuts = cuts_of(packed, 200_000)
    assert b"".join(cut.data for cut in cuts) == TEXT
    assert not any(cut.packed for cut in cuts)


@pytest.mark.parametrize("size", [300_000, 40_000])
def test_a_damaged_stream_is_refused(tmp_path, monkeypatch, size):
    """Whether blocks are found or not, the contents are verified."""
    monkeypatch.setattr(toc_layer, "CHUNK", size // 3)
    wheel = Maker().add({"odd/large.txt": TEXT[:size]}).write(tmp_path)
    member = Wheel.read(wheel).member("odd/large.txt")
    data = bytearray(wheel.read_bytes())
    for at in range(member.offset + 200, member.offset + member.packed_size, member.packed_size // 9):
        wheel.write_bytes(bytes(data[:at]) + bytes((data[at] ^ 0x10,)) + bytes(data[at + 1 :]))
        with pytest.raises(BentoError, match=r"odd/large\.txt"):
            write_wheel_layer(tmp_path / "layer", Wheel.read(wheel), LAYOUT, "estargz")
