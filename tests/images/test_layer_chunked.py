"""zstd:chunked: each file can be pulled alone, and the tar made of the files, by what a layer has behind its tar."""

import hashlib
import io
import json
import random
import struct
import sys
import tarfile
from base64 import b64decode

import pytest
import zstandard
from made_layers import LARGE, LAYOUT, SITE, odd_wheel, unpacked
from made_wheels import Maker
from rules_bento.archives.tarstream import Member
from rules_bento.images.layers import chunked, toc_layer
from rules_bento.images.layers.layer import write_files_layer, write_wheel_layer
from rules_bento.images.wheels.wheel import Wheel

SKIPPABLE = b"\x50\x2a\x4d\x18"
TYPES = {tarfile.REGTYPE: "reg", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}
ISO = []
for number in range(256):
    for _ in range(8):
        number = number >> 1 ^ (0xD800000000000000 if number & 1 else 0)
    ISO.append(number)


def crc64(data):
    """CRC-64 as Go's `crc64.ISO`."""
    crc = 2**64 - 1
    for byte in data:
        crc = ISO[crc & 0xFF ^ byte] ^ crc >> 8
    return struct.pack(">Q", crc ^ 2**64 - 1)


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def decompressed(data):
    return zstandard.ZstdDecompressor().decompress(data)


def numbers(info, name):
    return [int(number) for number in dict(info.annotations)[f"io.github.containers.zstd-chunked.{name}"].split(":")]


def table_of(blob, info):
    """The table and the tar-split, each held to its digest, by the annotations, which say what the footer does."""
    assert blob[-72:-64] == SKIPPABLE + struct.pack("<L", 64)
    *footer, magic = struct.unpack("<7Q8s", blob[-64:])
    assert magic == b"GNUlInUx"
    at, size, unpacked_size, form = numbers(info, "manifest-position")
    split_at, split_size, unpacked_split_size = numbers(info, "tarsplit-position")
    assert footer == [at, size, unpacked_size, form, split_at, split_size, unpacked_split_size]
    assert form == 1
    assert blob[at - 8 : at] == SKIPPABLE + struct.pack("<L", size)
    assert blob[split_at - 8 : split_at] == SKIPPABLE + struct.pack("<L", split_size)
    assert (at + size + 8, split_at + split_size + 72) == (split_at, len(blob))
    packed, packed_split = blob[at : at + size], blob[split_at : split_at + split_size]
    assert dict(info.annotations)["io.github.containers.zstd-chunked.manifest-checksum"] == sha256(packed)
    text, split = decompressed(packed), decompressed(packed_split)
    assert (len(text), len(split)) == (unpacked_size, unpacked_split_size)
    table = json.loads(text)
    assert (table["version"], table["tarSplitDigest"]) == (1, sha256(packed_split))
    return table["entries"], [json.loads(line) for line in split.splitlines()]


def pulled(blob, begin, end, size):
    """The first bytes that come out of a range, which begins with a frame and ends with one."""
    out = zstandard.ZstdDecompressor().stream_reader(blob[begin:end], read_across_frames=True).read()
    return out[:size]


def read_by_table(blob, entries):
    """Each entry by name, and the contents of files; every digest is true."""
    found, contents = {}, {}
    for entry in entries:
        name = entry["name"]
        if entry["type"] != "chunk":
            assert name not in found
            found[name], contents[name] = entry, b""
        whole = found[name]
        if not (whole["type"] == "reg" and whole.get("size")):
            assert "offset" not in entry
            continue
        following = [other["offset"] for other in entries if other.get("offset", 0) > entry["offset"]]
        end = min([whole["endOffset"], *following])
        assert entry.get("chunkOffset", 0) == len(contents[name])
        data = pulled(blob, entry["offset"], end, entry.get("chunkSize", whole["size"]))
        assert entry.get("chunkDigest", sha256(data)) == sha256(data)
        contents[name] += data
    for name, entry in found.items():
        if entry["type"] == "reg":
            assert len(contents[name]) == entry.get("size", 0)
            assert sha256(contents[name]) == entry["digest"]
    return found, contents


def tar_of_split(lines, contents):
    """The tar that tar-split's reader makes of files; it compares a CRC-64 of each."""
    tar = b""
    for number, line in enumerate(lines):
        assert line["position"] == number
        if line["type"] == 2:
            tar += b64decode(line["payload"])
            continue
        data = contents[line["name"]]
        assert (line["type"], line["size"]) == (1, len(data))
        if data:
            assert b64decode(line["payload"]) == crc64(data)
        tar += data
    return tar


def check(path, info):
    """What a layer says behind its tar is true, and is all that is in the tar."""
    blob = path.read_bytes()
    assert sha256(blob) == info.digest
    entries, lines = table_of(blob, info)
    found, contents = read_by_table(blob, entries)
    tar = unpacked(path, "zstd:chunked")
    assert sha256(tar) == info.diff_id
    assert tar_of_split(lines, contents) == tar
    # Whoever compares table and tar-split wants each header in a segment of its own, behind the padding before it.
    padding = 0
    told = []
    for segment, file in zip(lines[::2], lines[1::2], strict=False):
        with tarfile.open(fileobj=io.BytesIO(b64decode(segment["payload"])[padding:] + bytes(1024))) as header:
            told.append((file["name"], header.next()))
        padding = -file["size"] % 512
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        listed = archive.getmembers()
    assert list(found) == [name for name, _ in told]
    for member, (name, entry), (_, header) in zip(listed, found.items(), told, strict=True):
        assert name == header.name + "/" * header.isdir() == member.name + "/" * member.isdir()
        assert [entry.get(key, 0) for key in ("mode", "uid", "gid")] == [member.mode, member.uid, member.gid]
        assert (entry["type"], entry.get("linkName", "")) == (TYPES[member.type], member.linkname)
    return found, contents


def test_a_wheel(tmp_path):
    wheel = odd_wheel().write(tmp_path)
    info = write_wheel_layer(tmp_path / "out", Wheel.read(wheel), LAYOUT, "zstd:chunked")
    found, _ = check(tmp_path / "out", info)
    assert not any("modtime" in entry for entry in found.values())
    plain = write_wheel_layer(tmp_path / "plain", Wheel.read(wheel), LAYOUT, "zstd")
    assert plain.diff_id == info.diff_id


def test_the_checksum_is_that_of_tar_split(tmp_path):
    info = write_files_layer(tmp_path / "out", [Member.inline("a", b"123456789")], "zstd:chunked")
    _, lines = table_of((tmp_path / "out").read_bytes(), info)
    assert b64decode(lines[1]["payload"]).hex() == "b90956c775a41001"


def test_a_large_file_is_pulled_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(toc_layer, "CHUNK", 100_000)
    maker = Maker().add({"a.bin": LARGE[:500_001], "b.bin": LARGE[:500_000], "c.py": "1"})
    info = write_wheel_layer(tmp_path / "out", Wheel.read(maker.write(tmp_path)), LAYOUT, "zstd:chunked")
    check(tmp_path / "out", info)
    entries, _ = table_of((tmp_path / "out").read_bytes(), info)
    sizes = {
        name: [entry["chunkSize"] for entry in entries if entry["name"] == f"{SITE}/{name}"]
        for name in ("a.bin", "b.bin")
    }
    assert sizes == {"a.bin": [100_000] * 5 + [1], "b.bin": [100_000] * 5}


@pytest.mark.parametrize("files", [{}, {"a": b""}, {"a": b"1"}, {"z": bytes(512)}])
def test_few_files_or_none(tmp_path, files):
    info = write_files_layer(tmp_path / "out", [Member.inline(*file) for file in files.items()], "zstd:chunked")
    assert check(tmp_path / "out", info)[1] == files


def test_many_headers_do_not_make_a_frame_that_decoders_refuse(tmp_path, monkeypatch):
    monkeypatch.setattr(chunked, "_FRAME", 20_000)
    monkeypatch.setattr(toc_layer, "CHUNK", 10_000)
    entries = [Member.inline("a", LARGE[:10_000]), *(Member.inline(f"b{number}", b"") for number in range(100))]
    info = write_files_layer(tmp_path / "out", [*entries, Member.inline("c", b"last")], "zstd:chunked")
    check(tmp_path / "out", info)
    blob = (tmp_path / "out").read_bytes()
    at, sizes = 0, []
    while blob[at : at + 4] != SKIPPABLE:
        frame = zstandard.ZstdDecompressor().decompressobj()
        sizes.append(len(frame.decompress(blob[at:])))
        at = len(blob) - len(frame.unused_data)
    assert max(sizes) == 20_000


def test_what_compresses_by_less_than_a_quarter_is_stored_unless_it_is_of_a_wheel(tmp_path):
    weights = bytes(byte & 0x7F for byte in random.Random(1).randbytes(1 << 20))
    info = write_files_layer(tmp_path / "out", [Member.inline("weights", weights)], "zstd:chunked")
    check(tmp_path / "out", info)
    assert info.size > len(weights)
    wheel = Wheel.read(Maker().add({"weights": weights}).write(tmp_path))
    assert write_wheel_layer(tmp_path / "out", wheel, LAYOUT, "zstd:chunked").size < 0.9 * len(weights)


def test_others_do_without_the_package_for_checksums(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastcrc", None)
    wheel = Wheel.read(odd_wheel().write(tmp_path))
    for compression in ("zstd", "gzip", "estargz", "none"):
        write_wheel_layer(tmp_path / compression, wheel, LAYOUT, compression)
