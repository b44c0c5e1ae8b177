"""Layers: the installed tree, the bytes, the digests, and what real tools make of them."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from rules_bento.actions.layers import tar_layer
from rules_bento.actions.subcommands import run
from rules_bento.base.archives import zipread
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.images.layers import deflate, headers, layer, zstd
from rules_bento.images.layers.description import DIGEST_ATTRIBUTE
from rules_bento.images.layers.layer import write_files_layer, write_wheel_layer
from rules_bento.images.plan import PlannedLayer
from rules_bento.images.wheels import wheel as wheels
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import (
    CHANCE,
    COMPRESSIONS,
    LARGE,
    LAYOUT,
    SITE,
    check_record,
    members,
    odd_wheel,
    required,
    unpacked,
)
from tests.helpers.made_wheels import Maker, record_line
from tests.helpers.tar_files import tar_of


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return odd_wheel().write(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "layer"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_said_of_a_layer_is_true(wheel, out, compression):
    info = write_wheel_layer(out, Wheel.read(wheel), LAYOUT, compression)
    tar = unpacked(out, compression)
    assert info.digest == f"sha256:{hashlib.sha256(out.read_bytes()).hexdigest()}"
    assert info.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert (info.size, info.uncompressed_size) == (out.stat().st_size, len(tar))


def test_the_tar_is_the_same_for_each_compression(wheel, out):
    infos = [write_wheel_layer(out, Wheel.read(wheel), LAYOUT, compression) for compression in COMPRESSIONS]
    assert len({info.digest for info in infos}) == len(COMPRESSIONS)
    tars = {compression: info.diff_id for compression, info in zip(COMPRESSIONS, infos, strict=True)}
    assert len(set(tars.values())) == 1


def test_where_files_go(wheel, out):
    write_wheel_layer(out, Wheel.read(wheel), LAYOUT, "none")
    found = members(out)
    info = "Odd.Name-1.0+x.dist-info"
    files = {
        f"{SITE}/odd.pth": b"import odd\n",
        f"{SITE}/odd/empty.py": b"",
        f"{SITE}/odd/größe.txt": "ü".encode(),
        f"{SITE}/odd/large.bin": LARGE,
        f"{SITE}/odd/stored.bin": LARGE[:100_000],
        f"{SITE}/odd/pure.py": b"2",
        f"{SITE}/odd/plat.py": b"3",
        f"{SITE}/{info}/INSTALLER": b"uv",
        f"{SITE}/{info}/RECORD.jws": b"{}",
        "app/.venv/share/odd/a.json": b"{}",
        "app/.venv/include/site/python3.12/odd-name/sub/odd.h": b"int x;",
        "app/.venv/bin/tool": b"#!/app/.venv/bin/python\nprint('tool')\n",
        "app/.venv/bin/window": b"#!/app/.venv/bin/python\nprint()",
        "app/.venv/bin/shell": b"#!/bin/sh\necho shell\n",
    }
    assert {path: found[path][1] for path in files} == files
    assert found[f"{SITE}/odd/empty/sub"][0].isdir()
    assert found["app/.venv/var/odd"][0].isdir()
    assert not any(".data" in path or "odd-script" in path for path in found)
    executable = {path for path, (entry, _) in found.items() if entry.isfile() and entry.mode & 0o111}
    scripts = {f"app/.venv/bin/{name}" for name in ("odd", "odd-window", "tool", "window", "shell")}
    assert executable == {*scripts, f"{SITE}/odd/run.sh", f"{SITE}/odd/lib.so"}


def test_order_owners_and_times(wheel, out):
    write_wheel_layer(out, Wheel.read(wheel), LAYOUT, "none")
    found = members(out)
    names = list(found)
    files = [name for name, (entry, _) in found.items() if entry.isfile()]
    assert names[0] == "app"
    assert files == sorted(files)
    for name, (entry, _) in found.items():
        parent = name.rpartition("/")[0]
        assert not parent or names.index(parent) < names.index(name)
        assert entry.mtime == 0
        assert (entry.uid, entry.gid) == ((0, 0) if name == "app" else (1034, 1035))
        assert (entry.uname, entry.gname) == ("", "")
        assert entry.mode == 0o755 if entry.isdir() else entry.mode in (0o644, 0o755)


def test_record_is_true(wheel, out):
    write_wheel_layer(out, Wheel.read(wheel), LAYOUT, "none")
    files = {name: data for name, (entry, data) in members(out).items() if entry.isfile()}
    assert files[f"{SITE}/Odd.Name-1.0+x.dist-info/REQUESTED"] == b""
    check_record(files, SITE, "Odd.Name-1.0+x.dist-info")


def test_streams_are_carried_over(wheel, out):
    """As they are in the wheel, but for the first bit of those that others follow."""
    write_wheel_layer(out, Wheel.read(wheel), LAYOUT, "gzip")
    written = out.read_bytes()
    read = Wheel.read(wheel)
    carried = [
        member for member in read.members if member.method == zipread.DEFLATED and member.path.startswith("odd/")
    ]
    for chunks in read.chunks(carried):
        stream = b"".join(chunk.packed for chunk in chunks)
        assert stream[1:] in written


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_same_bytes_again(wheel, tmp_path, compression, monkeypatch):
    """Whatever the order of the zip, its times, the threads, or who inflates."""
    monkeypatch.setattr(wheels, "_LARGE", 1 << 20)
    one = write_wheel_layer(tmp_path / "one", Wheel.read(wheel), LAYOUT, compression, threads=1)
    assert write_wheel_layer(tmp_path / "two", Wheel.read(wheel), LAYOUT, compression, threads=4) == one
    monkeypatch.setattr(zipread, "_zlib_module", zlib)
    assert write_wheel_layer(tmp_path / "three", Wheel.read(wheel), LAYOUT, compression) == one
    other = tmp_path / "other"
    other.mkdir()
    shuffled = odd_wheel().write(other, order=lambda items: items[::-1], date=(1999, 1, 1, 0, 0, 0))
    assert write_wheel_layer(tmp_path / "four", Wheel.read(shuffled), LAYOUT, compression) == one


@pytest.mark.parametrize("interpreter", ["/usr/bin/python3", "/opt/it's here/python", "/long" * 30 + "/python"])
def test_scripts_start(wheel, out, tmp_path, interpreter):
    """As installed in a folder whose interpreter has an awkward path."""
    python = Path(f"{tmp_path}{interpreter}")
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    prefix = tmp_path / "env"
    layout = InstallLayout.venv(str(prefix), sys.version_info[1])._replace(interpreter=str(python))
    write_wheel_layer(out, Wheel.read(wheel), layout, "none")
    for name, (entry, data) in members(out).items():
        target = Path("/", name)
        if entry.isfile() and target.is_relative_to(prefix):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            target.chmod(entry.mode)
    variables = {**os.environ, "PYTHONPATH": layout.site_packages}
    for name, expected in [("odd", "started\n"), ("shell", "shell\n")]:
        command = [prefix / "bin" / name]
        assert subprocess.run(command, check=True, capture_output=True, text=True, env=variables).stdout == expected


def test_commands_of_pip(out, tmp_path):
    points = "[console_scripts]\npip = pip:main\npip3 = pip:main\npip3.9 = pip:main\npip3.x = pip:main\n"
    wheel = Maker("pip", "1").entry_points(points).write(tmp_path)
    write_wheel_layer(out, Wheel.read(wheel), LAYOUT, "none")
    commands = {name.rpartition("/")[2] for name in members(out) if name.startswith("app/.venv/bin/")}
    assert commands == {"pip", "pip3", "pip3.12", "pip3.x"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"{data}/purelib/a.py": "1", "a.py": "2"}, "two files would be installed as"),
        ({"{data}/secrets/a.py": "1"}, "unknown scheme or invalid path"),
        ({"{data}/scripts/sub/a.py": "1"}, "unknown scheme or invalid path"),
        ({"{data}/stray": "1"}, "unknown scheme or invalid path"),
        ({"{data}/data/bin/run": "1", "{data}/scripts/run": "2"}, "two files would be installed as"),
        ({"{data}/scripts/python": "1"}, "would overwrite"),
        ({"{data}/data/bin/python": "1"}, "would overwrite"),
        ({"{data}/data/pyvenv.cfg": "1"}, "would overwrite"),
    ],
)
def test_wheels_without_a_place(out, tmp_path, files, words):
    maker = Maker()
    maker.add({path.format(data=maker.data): data for path, data in files.items()})
    with pytest.raises(BentoError, match=words) as caught:
        write_wheel_layer(out, Wheel.read(maker.write(tmp_path)), LAYOUT, "none")
    assert "odd-1.0-py3-none-any.whl" in str(caught.value)
    assert list(tmp_path.glob("*layer*")) == []


@pytest.mark.parametrize("name", ["python", "python3", "python3.12"])
def test_commands_that_would_replace_the_interpreter(out, tmp_path, name):
    wheel = Maker().entry_points(f"[console_scripts]\n{name} = a:b\n").write(tmp_path)
    with pytest.raises(BentoError, match="would overwrite the interpreter"):
        write_wheel_layer(out, Wheel.read(wheel), LAYOUT, "none")


def test_prefixes_that_are_no_paths(wheel, out):
    for prefix in ("app", "/app/", "/app/../x", "/"):
        with pytest.raises(BentoError, match="absolute"):
            write_wheel_layer(out, Wheel.read(wheel), InstallLayout.venv(prefix, 12), "none")


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_is_left_of_a_wheel_that_turns_out_bad(out, tmp_path, compression, threads, monkeypatch):
    monkeypatch.setattr(wheels, "_LARGE", 1 << 20)
    maker = Maker().add({"a.bin": LARGE, "b.bin": LARGE})
    maker.record = (
        "\n".join(maker.lines()).replace(record_line("a.bin", LARGE), record_line("a.bin", LARGE[::-1])).encode()
    )
    wheel = maker.write(tmp_path)
    with zipfile.ZipFile(wheel) as archive:  # a later error, which another thread may find first
        header = archive.getinfo("b.bin").header_offset
    with wheel.open("r+b") as file:
        file.seek(header)
        file.write(b"no")
    before = set(tmp_path.iterdir())
    with pytest.raises(BentoError, match=r"odd-1.0-.*a\.bin"):
        write_wheel_layer(out, Wheel.read(wheel), LAYOUT, compression, threads=threads)
    assert set(tmp_path.iterdir()) == before


# Layers of files.


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_files(out, tmp_path, compression):
    source = tmp_path / "weights"
    source.write_bytes(LARGE)
    entries = [
        Member.file("home/bentoml/models/m/weights", str(source), mode=0o600, uid=1034, gid=1034),
        Member.inline("home/bentoml/run.sh", b"#!/bin/sh\n", mode=0o4755),
        Member.symlink("home/bentoml/latest", "/somewhere/else"),
        Member.directory("home/bentoml", mode=0o700, uid=1034, gid=1035),
        Member.inline("etc/" + "ü" * 60 + "/" + "long" * 50, b"", uid=3_000_000),
        Member.symlink("etc/link", "../" * 60 + "target"),
    ]
    info = write_files_layer(out, entries, compression)
    assert write_files_layer(out, entries[::-1], compression, threads=3) == info
    found = members(out, compression)
    assert list(found) == sorted(found)
    assert found["home/bentoml/models/m/weights"][1] == LARGE
    shown = {name: (entry.mode, entry.uid, entry.gid) for name, (entry, _) in found.items()}
    assert shown["home"] == (0o755, 0, 0)
    assert shown["home/bentoml"] == (0o700, 1034, 1035)
    assert shown["home/bentoml/models/m"] == (0o755, 1034, 1035)
    assert shown["home/bentoml/models/m/weights"] == (0o600, 1034, 1034)
    assert shown["home/bentoml/run.sh"] == (0o4755, 0, 0)
    assert shown["etc/" + "ü" * 60 + "/" + "long" * 50] == (0o644, 3_000_000, 0)
    assert found["home/bentoml/latest"][0].linkname == "/somewhere/else"
    assert found["etc/link"][0].linkname == "../" * 60 + "target"


@pytest.mark.parametrize("path", ["/a", "a/../b", "a//b", "", ".", "a/.wh.b", "a\0b", "a/"])
def test_paths_that_are_not_plain(out, path):
    with pytest.raises(BentoError, match="normalized relative path"):
        write_files_layer(out, [Member.inline(path, b"")], "none")


def test_names_that_are_not_utf8(out):
    for entry in (Member.inline("a\udcff", b""), Member.symlink("a", "\udcff")):
        with pytest.raises(BentoError, match="the name isn't UTF-8"):
            write_files_layer(out, [entry], "none")


def test_entries_that_exclude_each_other(out):
    with pytest.raises(BentoError, match="a/b: the layer contains this path twice"):
        write_files_layer(out, [Member.inline("a/b", b""), Member.directory("a/b")], "none")
    with pytest.raises(BentoError, match="a is also a file or a link"):
        write_files_layer(out, [Member.inline("a/b/c", b""), Member.symlink("a", "x")], "none")


@pytest.mark.parametrize(("content", "words"), [(b"1", "fewer"), (b"123", "more"), (b"21", "changed during")])
def test_sources_that_changed(tmp_path, content, words):
    (tmp_path / "source").write_bytes(b"12")
    member = Member.file("a", str(tmp_path / "source"))._replace(blake3=blake3(b"12").hexdigest())
    layer = PlannedLayer.of_members("", [member], "none").prepare()
    assert layer.write(tmp_path / "out").size == 3 * 512 + 512
    (tmp_path / "source").write_bytes(content)
    with pytest.raises(BentoError, match=words):
        layer.write(tmp_path / "changed")
    assert not (tmp_path / "changed").exists()


def test_the_key_has_all_that_is_written():
    """And nothing else: not the path of the source."""
    member = Member.file("a", "source", size=1)._replace(blake3="00")
    key = PlannedLayer.of_members("", [member], "none").key
    assert PlannedLayer.of_members("", [member._replace(source="elsewhere", below="else")], "none").key == key
    others = {"path": "b", "mode": 0o755, "size": 2, "uid": 1, "gid": 1, "blake3": "01", "data": b"1", "link": "x"}
    assert (
        len(
            {
                key,
                *(
                    PlannedLayer.of_members("", [member._replace(**{name: value})], "none").key
                    for name, value in others.items()
                ),
            }
        )
        == 9
    )
    with pytest.raises(ValueError, match="a has no digest"):
        PlannedLayer.of_members("", [member._replace(blake3="")], "none")


# The formats.

RECORDS = st.lists(
    st.lists(
        st.one_of(
            st.integers(0, 700).map(bytes),
            st.integers(0, 300).map(lambda size: b"0" * size),
            st.binary(max_size=60),
            st.sampled_from([b"0000644\0", b"ustar\00000"]),
        ),
        max_size=10,
    ).map(lambda parts: b"".join(parts)[:512].ljust(512, b"\0")),
    max_size=4,
).map(b"".join)


def inflated(block):
    inflate = zlib.decompressobj(-15)
    data = inflate.decompress(block + zipread.DEFLATE_END)
    assert inflate.eof
    assert not inflate.unused_data
    return data


@given(st.integers(0, 511), RECORDS, RECORDS, st.one_of(st.integers(0, 600), st.integers(32_000, 33_000)))
def test_deflated_records(padding, data, before, between):
    """Alone, and behind others, near enough or not to match them."""
    assert inflated(deflate.records(padding, data)) == bytes(padding) + data
    stored = before[-512:] + CHANCE.randbytes(between)
    first = zlib.compressobj(0, zlib.DEFLATED, -15)
    begin = first.compress(stored) + first.flush(zlib.Z_FULL_FLUSH)
    block = deflate.records(padding, data, before[-512:], len(stored))
    assert inflated(begin + block) == stored + bytes(padding) + data


def test_deflated_runs_of_each_length_and_matches_of_each_distance():
    for length in range(512):
        record = CHANCE.randbytes(512 - length) + bytes(length)
        assert inflated(deflate.records(length, record)) == bytes(length) + record
    record = CHANCE.randbytes(512)
    for between in [*range(1, 600), 1000, 8191, 16384, 32255, 32256, 32257]:
        stored = record + CHANCE.randbytes(between)
        first = zlib.compressobj(0, zlib.DEFLATED, -15)
        begin = first.compress(stored) + first.flush(zlib.Z_FULL_FLUSH)
        block = deflate.records(0, record, record, len(stored))
        assert inflated(begin + block) == stored + record
        assert (len(block) < 30) == (len(stored) <= deflate.WINDOW)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300)
NAME = TEXT.filter(lambda name: not name.startswith("/") and not name.endswith("/"))


@given(
    NAME,
    st.sampled_from([headers.REGULAR, headers.LINK, headers.DIRECTORY]),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 2),
    st.integers(0, 2**32 - 2),
    st.one_of(st.integers(0, 1000), st.integers(8**11 - 2, 8**11 + 2)),
    TEXT,
)
def test_headers_as_tarfile_reads_them(name, kind, mode, uid, gid, size, link):
    size, link = (size if kind == headers.REGULAR else 0), (link if kind == headers.LINK else "")
    data = headers.header(name, kind, mode, uid, gid, size, link)
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data + bytes(1024)), mode="r:") as tar:
        info = tar.next()
    assert (info.name, info.type, info.mode, info.uid, info.gid) == (name, kind, mode, uid, gid)
    assert (info.mtime, info.size, info.linkname) == (0, size, link)


def test_zstd_frames(out, tmp_path):
    """Each has its content size and no checksum; so threads and readers may take them apart."""
    write_files_layer(out, [Member.inline("a", LARGE * 2)], "zstd")
    data, sizes = out.read_bytes(), []
    while data:
        parameters = zstandard.get_frame_parameters(data)
        assert not parameters.has_checksum
        sizes.append(parameters.content_size)
        inflate = zstandard.ZstdDecompressor().decompressobj()
        inflate.decompress(data)
        data = inflate.unused_data
    assert all(size == layer.ZSTD_FRAME for size in sizes[:-1])
    assert len(sizes) > 1


@pytest.mark.parametrize("size", [0, 1, 255, 256, (128 << 10) - 1, 128 << 10, (128 << 10) + 1, (2 << 20) + 3])
def test_a_frame_that_is_stored_is_one_that_others_read(tmp_path, size):
    data = CHANCE.randbytes(size)
    frame = zstd.stored(data)
    assert len(frame) == 9 + size + 3 * max(1, -(-size // (128 << 10)))
    parameters = zstandard.get_frame_parameters(frame)
    assert (parameters.content_size, parameters.has_checksum) == (size, False)
    assert zstandard.ZstdDecompressor().decompress(frame) == data
    (tmp_path / "frame.zst").write_bytes(frame + frame)
    if program := shutil.which("zstd"):
        assert subprocess.run([program, "-dc", str(tmp_path / "frame.zst")], capture_output=True).stdout == data * 2


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_what_does_not_compress_is_stored_and_what_does_is_not(out, compression):
    weights = CHANCE.randbytes(layer.ZSTD_FRAME * 2)
    info = write_files_layer(out, [Member.inline("a", weights), Member.inline("b", LARGE)], compression)
    written = out.read_bytes()
    assert any(weights[at : at + 8192] in written for at in range(layer.ZSTD_FRAME, layer.ZSTD_FRAME + 65536, 8192))
    assert info.size < len(weights) + len(LARGE) // 3
    write_files_layer(out, [Member.inline("b", LARGE)], compression)
    assert LARGE[5000:9000] not in out.read_bytes()


def test_a_single_member_is_read_as_a_stream(out):
    """`tarfile` stops at the end of the first member. KServe's `oci+fetch` reads layers this way."""
    files = {"a": CHANCE.randbytes(3 * layer.GZIP_BLOCK), "b": LARGE, "c": b""}
    entries = [Member.inline(name, data) for name, data in files.items()]
    for threads in (1, 4):
        info = write_files_layer(out, entries, "gzip", threads=threads, one_member=True)
        assert f"sha256:{hashlib.sha256(out.read_bytes()).hexdigest()}" == info.digest
        with tarfile.open(out, "r|gz") as tar:
            assert {member.name: tar.extractfile(member).read() for member in tar} == files
    streamed = b"".join(layer.stream_files_layer(entries, "gzip", layer.Sum()))
    assert streamed == out.read_bytes()
    assert f"sha256:{hashlib.sha256(gzip.decompress(streamed)).hexdigest()}" == info.diff_id


# What real tools make of it.


@pytest.mark.parametrize(
    ("compression", "command"),
    [
        ("gzip", ["zcat"]),
        ("gzip", ["gzip", "-dc"]),
        ("gzip", ["pigz", "-dc"]),
        ("gzip", ["busybox", "zcat"]),
        ("zstd", ["zstd", "-dc"]),
        ("zstd", ["zstdmt", "-dc"]),
    ],
)
def test_decompressors(wheel, out, compression, command):
    program = shutil.which(command[0])
    if program is None and command[0] in ("pigz", "busybox", "zstdmt"):
        pytest.skip(f"no {command[0]} here")
    required(program, command[0])
    write_wheel_layer(out, Wheel.read(wheel), LAYOUT, compression)
    with out.open("rb") as file:
        done = subprocess.run(command, stdin=file, check=True, capture_output=True)
    assert done.stdout == unpacked(out, compression)
    assert not done.stderr


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_gnu_tar(wheel, out, compression, tmp_path):
    tar = required(shutil.which("tar"), "tar")
    write_wheel_layer(out, Wheel.read(wheel), LAYOUT, compression)
    program, *option = {"none": ["tar"]}.get(
        compression, ["zstd", "--zstd"] if "zstd" in compression else ["gzip", "-z"]
    )
    required(shutil.which(program), program)
    listed = subprocess.run([tar, *option, "-tf", out], check=True, capture_output=True, text=True)
    assert not listed.stderr
    assert len(listed.stdout.splitlines()) == len(members(out, compression))
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run([tar, *option, "--no-same-owner", "-C", target, "-xf", out], check=True)
    files = {name: data for name, (entry, data) in members(out, compression).items() if entry.isfile()}
    assert {
        path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()
    } == files


MEASURED = r"""
import re, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.wheels.wheel import Wheel
for compression in ("gzip", "zstd", "none"):
    write_wheel_layer(Path(sys.argv[2]), Wheel.read(Path(sys.argv[1])), InstallLayout.venv("/app", 12), compression, threads=4)
print(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of one process")
def test_memory_does_not_grow_with_the_wheel(out, tmp_path):
    """A member of 108 MB, and one that is stored."""
    big = LARGE * 36
    wheel = Maker().add({"big.bin": big}).add({"big.stored": big[: 1 << 26]}, stored=True).write(tmp_path)
    del big
    command = [sys.executable, "-c", MEASURED, wheel, out, *filter(None, sys.path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 80 << 10


def made_layer(verb, directory, *words):
    """The tar and the description that a verb makes, with the folder's layer as its output."""
    words = [
        *("--target", "//:layer", "--output", str(directory / "layer"), "--description", str(directory / "json")),
        *words,
    ]
    verb(decode(verb, words))
    description = json.loads((directory / "json").read_text("utf-8"))
    assert description["digest"] == f"sha256:{hashlib.sha256((directory / 'layer').read_bytes()).hexdigest()}"
    assert description["size"] == (directory / "layer").stat().st_size
    tar = unpacked(directory / "layer", description["media_type"].rpartition("+")[2])
    assert description["diff_id"] == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert description["uncompressed_size"] == len(tar)
    return tar, description


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_has_its_digest_in_an_attribute_where_there_are_such(tmp_path, compression):
    (tmp_path / "f").write_bytes(tar_of([("x", b"")]))
    _, described = made_layer(tar_layer, tmp_path, "--tar", str(tmp_path / "f"), "f.tar", "--compression", compression)
    try:
        os.setxattr(tmp_path / "f", DIGEST_ATTRIBUTE, b"")
    except (AttributeError, OSError):
        return
    assert os.getxattr(tmp_path / "layer", DIGEST_ATTRIBUTE).hex() == described["digest"].removeprefix("sha256:")


def test_a_recipe_has_no_digest_of_the_layer_in_an_attribute(tmp_path):
    wheel = odd_wheel().write(tmp_path)
    words = ["--wheel", str(wheel), "--prefix", "/app", "--python-version", "3.12", "--user", "1", "--name", "odd"]
    words += ["--compression", "gzip", "--recipe"]
    assert run(["wheel_layer", *words, "--output", str(tmp_path / "r"), "--description", str(tmp_path / "d")]) == 0
    assert DIGEST_ATTRIBUTE not in os.listxattr(tmp_path / "r")


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_tar_is_a_layer_as_it_is(tmp_path, compression):
    tar = tar_of([("./etc/x", b""), ("etc/.wh.y", b"")])
    packed = {"none": tar, "gzip": gzip.compress(tar), "zstd": zstandard.compress(tar)}[compression]
    (tmp_path / "given").write_bytes(packed)
    words = ["--tar", str(tmp_path / "given"), "svc/given.tar", "--compression", "zstd"]
    found, description = made_layer(tar_layer, tmp_path, *words)
    assert found == tar
    if compression == "none":
        assert description["media_type"].endswith("+zstd")
    else:
        assert (tmp_path / "layer").read_bytes() == packed
        assert description["media_type"].endswith(f"+{compression}")
    assert description["name"] == "svc/given.tar"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar_of([("a/../../etc/x", b"")]), r"svc/given: the path 'a/../../etc/x' contains '..'"),
        (tar_of([("x", b"")])[:700], "svc/given: "),
        (gzip.compress(tar_of([("x", b"")]))[:-3], "svc/given: the archive is truncated"),
        (b"\xfd7zXZ\0 and more", "svc/given: unsupported format xz"),
        (b"PK\3\4", "svc/given: unsupported format zip"),
        (b"no tar at all" * 100, "svc/given: "),
        (b"", "svc/given: the file is empty"),
    ],
)
def test_an_invalid_tar_is_not_a_layer(tmp_path, content, message):
    (tmp_path / "given").write_bytes(content)
    with pytest.raises(BentoError, match=message):
        made_layer(tar_layer, tmp_path, "--tar", str(tmp_path / "given"), "svc/given", "--compression", "zstd")
    assert not (tmp_path / "layer").exists()
