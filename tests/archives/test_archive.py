"""Archives: parts, joining, the other forms; read back by tarfile, GNU tar, xz and real BentoML."""

import doctest
import importlib
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest
from bento_cli.store import export
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.actions.subcommands import run
from rules_bento.base.archives import archive, tarstream, xz
from rules_bento.base.archives.tarstream import Member, check_links
from rules_bento.base.errors import BentoError
from rules_bento.bentos.models.model import ModelDescription

from tests.helpers.tar_files import tar_of

RANDOM = random.Random(6).randbytes(2 * xz.BLOCK)

NAME = st.text(st.characters(exclude_characters="/\\\0:", exclude_categories=["Cs"]), min_size=1, max_size=60)
PART = NAME.filter(lambda name: name not in (".", ".."))
PATH = st.lists(PART, min_size=1, max_size=4).map("/".join)
DATA = st.one_of(st.binary(max_size=2000), st.integers(0, 200_000).map(lambda size: RANDOM[:size]))
MEMBER = st.one_of(
    st.builds(Member.inline, PATH, DATA, mode=st.sampled_from([0o644, 0o755, 0o4711])),
    st.builds(Member.symlink, PATH, PATH),
    st.builds(Member.directory, PATH),
)


def consistent(members):
    """The members without those below a file or a link, at a path that is taken, and links that lead outside."""
    kept = {}
    for member in sorted(members, key=lambda member: member.path.count("/")):
        parents = [member.path[:at] for at, char in enumerate(member.path) if char == "/"]
        if member.path not in kept and all(
            kept.get(parent, member).is_directory for parent in parents if parent in kept
        ):
            kept[member.path] = member
    links = {member.path: member.link for member in kept.values() if member.link is not None}
    try:
        check_links(links, "")
    except BentoError:
        return [member for member in kept.values() if member.link is None]
    return list(kept.values())


MEMBERS = st.lists(MEMBER, max_size=8).map(consistent)


def tar_info(member):
    info = tarfile.TarInfo(f"./{member.path}")
    info.mode, info.size = member.mode, member.size
    if member.is_directory:
        info.type = tarfile.DIRTYPE
    elif member.link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, member.link
    return info


def header_by_tarfile(member):
    return tar_info(member).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tar_by_tarfile(members):
    return tar_of(((tar_info(member), member.data or b"") for member in members), format=tarfile.PAX_FORMAT)


def required(program):
    found = shutil.which(program)
    assert found, f"these tests need {program} on PATH"
    return found


@given(MEMBER)
@settings(max_examples=300)
def test_headers_are_those_of_tarfile(member):
    assert tarstream.header(member) == header_by_tarfile(member)


@pytest.mark.parametrize("length", [*range(85, 105), 255, 990, 995, 9990])
@pytest.mark.parametrize("letter", ["n", "é"])
def test_long_names_and_links_are_those_of_tarfile(length, letter):
    for member in Member.inline(letter * length, b""), Member.symlink("l" * length, letter * length):
        assert tarstream.header(member) == header_by_tarfile(member)


@pytest.mark.parametrize("size", [2**32, 8**11 - 1, 8**11, 2**40])
def test_sizes_are_those_of_tarfile(size):
    member = Member.file("weights", "none", size=size)
    assert tarstream.header(member) == header_by_tarfile(member)


def test_a_name_that_is_not_utf8_is_as_in_tarfile():
    member = Member.inline(os.fsdecode(b"caf\xe9.txt"), b"")
    assert tarstream.header(member) == header_by_tarfile(member)


@given(MEMBERS)
@settings(max_examples=60)
def test_the_stream_is_the_tar_of_tarfile_without_its_end(members):
    expected = tar_by_tarfile(members)
    stream = b"".join(tarstream.stream(members))
    assert len(stream) % tarstream.RECORD == 0
    assert expected.startswith(stream + tarstream.END)
    assert not expected[len(stream) :].strip(b"\0")


@given(st.lists(MEMBERS, max_size=3))
@settings(max_examples=25)
def test_joined_parts_hold_the_tar_of_all(tmp_path_factory, groups):
    directory = tmp_path_factory.mktemp("joined")
    parts = [directory / f"{number}.part" for number in range(len(groups))]
    for part, members in zip(parts, groups, strict=True):
        archive.write_part(part, members)
    archive.join(directory / "it.bento", parts)
    streams = b"".join(b"".join(tarstream.stream(members)) for members in groups)
    assert lzma.decompress((directory / "it.bento").read_bytes()) == streams + tarstream.END


@pytest.mark.parametrize("threads", [2, 4, None])
def test_threads_do_not_show_in_a_part(tmp_path, threads):
    members = [Member.inline("a", RANDOM), Member.inline("b", b"text" * 700_000), Member.inline("c", RANDOM[:9])]
    archive.write_part(tmp_path / "one", members, threads=1)
    archive.write_part(tmp_path / "more", members, threads=threads)
    assert (tmp_path / "more").read_bytes() == (tmp_path / "one").read_bytes()


@pytest.fixture
def bento(tmp_path):
    """The parts of a small Bento: its sources; a file that is streamed, larger than a block."""
    weights = tmp_path / "weights.bin"
    weights.write_bytes(RANDOM)
    description = (
        b"service: service:Hi\nname: hi\nversion: v1\nbentoml_version: 1.4.40\nspec: 2\nentry_service: Hi\n"
        b"creation_time: '2026-01-01T00:00:00+00:00'\nservices: [{name: Hi, service: ''}]\n"
    )
    sources = [
        Member.inline("bento.yaml", description),
        Member.inline("env/docker/entrypoint.sh", b"#!/bin/sh\n", mode=0o755),
        Member.directory("src"),
        Member.inline("src/service.py", b"import bentoml\n" * 100),
        Member.inline(f"src/{'long/' * 30}é.txt", b"text"),
    ]
    model = [Member.file("src/data/weights.bin", str(weights))]
    archive.write_part(tmp_path / "sources.part", sources)
    archive.write_part(tmp_path / "model.part", model)
    return tmp_path, [*sources, Member.inline("src/data/weights.bin", RANDOM)]


def parts_of(bento):
    return [bento[0] / "sources.part", bento[0] / "model.part"]


def test_gnu_tar_and_xz_read_it(bento):
    directory, members = bento
    archive.join(directory / "it.bento", parts_of(bento))
    subprocess.run([required("xz"), "--test", directory / "it.bento"], check=True)
    tar = required("tar")
    process = subprocess.run(
        [tar, "tJf", directory / "it.bento"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert process.stderr == ""
    assert process.stdout.replace("\\303\\251", "é").splitlines() == [
        f"./{member.path}{'/' * member.is_directory}" for member in members
    ]


def names_in(directory):
    return sorted(path.name for path in directory.iterdir())


def imported(bentoml, file):
    """The store's directory of the Bento after real BentoML imported the file."""
    bentoml.run("import", str(file))
    return bentoml.home / "bentos" / "hi" / "v1"


def files_in(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def contents(members):
    return {member.path: member.data for member in members if member.data is not None}


def test_bentoml_imports_it(bento, bentoml):
    directory, members = bento
    # BentoML 1.4.39 cannot import a link to nothing; 1.4.40 can.
    archive.write_part(directory / "links.part", [Member.symlink("src/data/latest", "weights.bin")])
    archive.join(directory / "it.bento", [*parts_of(bento), directory / "links.part"])
    there = imported(bentoml, directory / "it.bento")
    assert (there / "src/data/latest").read_bytes() == RANDOM
    assert files_in(there) == contents([*members, Member.inline("src/data/latest", RANDOM)])


@pytest.mark.parametrize("form", ["tar", "gz", "zip"])
def test_bentoml_imports_the_other_forms(bento, bentoml, form):
    directory, members = bento
    archive.transcode(directory / f"it.{form}", parts_of(bento), form)
    assert files_in(imported(bentoml, directory / f"it.{form}")) == contents(members)


@pytest.mark.parametrize("form", ["tar", "gz", "zip"])
def test_the_other_forms_have_the_same_bytes_again(bento, form):
    directory, _ = bento
    for name in "first", "second":
        archive.transcode(directory / name, parts_of(bento), form)
    assert (directory / "first").read_bytes() == (directory / "second").read_bytes()


def test_zip_stores_what_does_not_compress_and_keeps_modes(bento):
    directory, members = bento
    archive.transcode(directory / "it.zip", parts_of(bento), "zip")
    with zipfile.ZipFile(directory / "it.zip") as file:
        assert file.testzip() is None
        entries = {entry.filename: entry for entry in file.infolist()}
        assert list(entries) == [f"{member.path}{'/' * member.is_directory}" for member in members]
    assert entries["src/data/weights.bin"].compress_type == zipfile.ZIP_STORED
    assert entries["src/service.py"].compress_type == zipfile.ZIP_DEFLATED
    assert entries["env/docker/entrypoint.sh"].external_attr >> 16 == 0o100755
    assert entries["src/"].is_dir()


def test_directory_has_modes_and_links(bento):
    directory, members = bento
    archive.write_part(directory / "links.part", [Member.symlink("models/hi/latest", "v1")])
    (directory / "it").mkdir()  # as Bazel does for a declared directory
    before = os.umask(0o077)
    try:
        archive.transcode(directory / "it", [*parts_of(bento), directory / "links.part"], "folder")
    finally:
        os.umask(before)
    assert files_in(directory / "it") == contents(members)
    assert (directory / "it/models/hi/latest").readlink() == Path("v1")
    for member in members:
        assert (directory / "it" / member.path).stat().st_mode & 0o7777 == member.mode


def test_a_link_has_no_place_in_a_zip(tmp_path):
    archive.write_part(tmp_path / "part", [Member.symlink("here", "there")])
    with pytest.raises(BentoError, match="here: `bentoml import` rejects symbolic links"):
        archive.transcode(tmp_path / "it.zip", [tmp_path / "part"], "zip")
    assert names_in(tmp_path) == ["part"]


def test_an_empty_part_is_one(tmp_path):
    archive.write_part(tmp_path / "part", [])
    archive.join(tmp_path / "it.bento", [tmp_path / "part"] * 2)
    with tarfile.open(tmp_path / "it.bento") as tar:
        assert tar.getnames() == []
    archive.transcode(tmp_path / "it", [tmp_path / "part"], "folder")
    assert names_in(tmp_path / "it") == []


@pytest.mark.parametrize(("declared", "word"), [(9, "more"), (11, "fewer"), (0, "more")])
def test_a_source_of_another_size_is_an_error_and_leaves_what_was_there(tmp_path, declared, word):
    source, out = tmp_path / "source", tmp_path / "out"
    source.write_bytes(b"0123456789")
    out.write_bytes(b"before")
    with pytest.raises(BentoError, match=f"source: expected {declared} bytes, but the file has {word}"):
        archive.write_part(out, [Member.file("a", str(source), size=declared)])
    assert out.read_bytes() == b"before"
    assert names_in(tmp_path) == ["out", "source"]


def test_an_error_leaves_no_incomplete_part(tmp_path):
    members = [Member.inline("a", RANDOM), Member.file("b", str(tmp_path / "gone"), size=1)]
    with pytest.raises(FileNotFoundError):
        archive.write_part(tmp_path / "out", members, threads=2)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["part", "archive", "tar", "gz", "zst", "folder", "exported folder", "tarball"])
def test_a_link_that_leaves_through_another_is_rejected(tmp_path, kind):
    """Each text alone stays inside."""
    links = [Member.symlink("src/up", ".."), Member.symlink("src/out", "up/../x")]
    for member in links:
        tarstream.check(member.path, member.link)
    part, out = tmp_path / "part", tmp_path / "out"
    (part).write_bytes(b"".join(xz.stream(map(tarstream.header, links))))
    writers = {
        "part": lambda: archive.write_part(out, links),
        "archive": lambda: archive.write_archive(out, links),
        "folder": lambda: archive.transcode(out, [part], "folder"),
        "exported folder": lambda: export.write_directory(out, links),
    }
    with pytest.raises(BentoError, match=r"'src/out': the link target 'up/\.\./x' is outside"):
        writers.get(kind, lambda: export_as(out, kind, links))()
    assert not out.exists()


def export_as(out, form, members):
    with export.whole(out) as file:
        export.write(file, form, members)


def test_bytes_at_hand_of_another_size_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="a: expected 2 bytes, got 3"):
        archive.write_part(tmp_path / "out", [Member("a", 0o644, 2, data=b"abc")])


ABSOLUTE = ["", "/a", "a/../b", "..", ".", "./a", "a/", "a//b", "a\\b", "C:/a", "c:a", "a\0b", "a/./b"]


@pytest.mark.parametrize(
    ("path", "link", "message"),
    [
        *((path, "", "the path must be relative") for path in ABSOLUTE),
        *(("a/b", link, "isn't relative") for link in ["/etc", "", "a\\b", "C:x", "a\0"]),
        *(("a/b", link, "outside the archive") for link in ["../../x", "../..", "x/../../../a", ".//../../b"]),
    ],
)
def test_paths_and_links_that_bentoml_would_reject_or_move(path, link, message):
    with pytest.raises(BentoError, match=message):
        tarstream.check(path, *([link] if path == "a/b" else []))


def test_a_path_may_come_once_and_not_below_a_file_or_a_link(tmp_path):
    for members, message in [
        ([Member.inline("a", b""), Member.directory("a")], "a: duplicate path"),
        (
            [Member.inline("a/b/c", b""), Member.inline("a", b"")],
            "a: the archive contains a directory and another entry",
        ),
        (
            [Member.symlink("a/b", "c"), Member.inline("a/b/c/d", b"")],
            "a/b: the archive contains a directory and another entry",
        ),
    ]:
        with pytest.raises(BentoError, match=message):
            archive.write_part(tmp_path / "out", members)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")
@pytest.mark.parametrize("count", [39, 40, 41])
def test_a_chain_of_links_may_be_as_long_as_on_linux(tmp_path, count):
    links = {f"link{number}": f"link{number + 1}" for number in range(count)}
    for path, target in links.items():
        (tmp_path / path).symlink_to(target)
    (tmp_path / f"link{count}").touch()
    is_cycle = []
    for follow in (lambda: check_links(links, ""), lambda: (tmp_path.resolve() / "link0").stat()):
        try:
            follow()
            is_cycle.append(False)
        except (BentoError, OSError):
            is_cycle.append(True)
    assert is_cycle == [count > 40] * 2


GOOD = b"".join(xz.stream([RANDOM[:1000]]))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "too short"),
        (GOOD[:20], "too short"),
        (bytes(1024), "the xz footer"),
        (GOOD[:-1], "the xz footer"),
        (GOOD + bytes(4), "the xz footer"),
        (lzma.compress(RANDOM[:1000]), "the xz footer"),
        (GOOD[:-20] + bytes(4) + GOOD[-16:], "the xz index is damaged"),
        (GOOD + GOOD, "expected exactly one xz stream"),
        (b"x" + GOOD[1:], "expected exactly one xz stream"),
        (GOOD[:100] + GOOD[104:], "expected exactly one xz stream"),
        (GOOD[-12:], "too short"),
        (GOOD[-24:], "index is damaged|one xz stream"),
    ],
)
def test_an_invalid_part_is_not_joined(tmp_path, contents, message):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(GOOD)
    bad.write_bytes(contents)
    with pytest.raises(BentoError, match=f"bad: invalid archive part.*({message})"):
        archive.join(tmp_path / "out", [good, bad])
    assert names_in(tmp_path) == ["bad", "good"]


def test_a_damaged_part_is_named(tmp_path):
    part = tmp_path / "part"
    archive.write_part(part, [Member.inline("a", RANDOM[:9999])])
    damaged = bytearray(part.read_bytes())
    damaged[5000] ^= 1
    part.write_bytes(damaged)
    for form in "tar", "folder":
        with pytest.raises(BentoError, match="part: the xz data is damaged"):
            archive.transcode(tmp_path / "out", [part], form)


def test_what_a_part_of_another_maker_could_hold_is_rejected(tmp_path):
    for name, kind in ("../a", tarfile.REGTYPE), ("pipe", tarfile.FIFOTYPE):
        info = tarfile.TarInfo(name)
        info.type = kind
        part = tmp_path / "part"
        part.write_bytes(lzma.compress(info.tobuf()))
        with pytest.raises(BentoError, match=r"'../a': the path must be relative|'pipe' is a pipe"):
            archive.transcode(tmp_path / "out", [part], "folder")
    assert names_in(tmp_path) == ["part"]


@pytest.mark.parametrize("behaviour", ["is missing", "refuses", "stops", "goes on"])
def test_joining_where_the_kernel_copies_not_or_little(bento, monkeypatch, behaviour):
    directory, _ = bento
    archive.join(directory / "expected", parts_of(bento))

    def copy_file_range(source, target, count):
        if behaviour == "refuses":
            raise OSError("not here")
        if behaviour == "stops" and os.lseek(source, 0, os.SEEK_CUR) > 1000:
            return 0
        return os.write(target, os.read(source, min(count, 3000)))

    if behaviour == "is missing":
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    else:
        monkeypatch.setattr(os, "copy_file_range", copy_file_range, raising=False)
    archive.join(directory / "actual", parts_of(bento))
    assert (directory / "actual").read_bytes() == (directory / "expected").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the peak")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """A model of 400 MiB. The process itself says its peak: for getrusage the one of its parent counts."""
    weights = tmp_path / "weights"
    with weights.open("wb") as file:
        for _ in range(200):
            file.write(RANDOM)
    program = """
        import sys
        from pathlib import Path
        from rules_bento.base.archives import archive, tarstream

        weights, part, out = map(Path, sys.argv[1:])
        archive.write_part(part, [tarstream.Member.file("weights", str(weights))], threads=4)
        archive.join(out, [part])
        print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM:")))
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), weights, tmp_path / "part", tmp_path / "out"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert int(process.stdout.split()[1]) < 100 << 10  # in KiB


def test_the_order_of_models_changes_no_byte(tmp_path):
    made = []
    for order in (("a:1", "b:1", "a:2"), ("a:2", "b:1", "a:1")):
        arguments = ["archive", "--target", "//:t", "--output", str(tmp_path / order[0].replace(":", "_"))]
        for tag in order:
            stem = tmp_path / tag.replace(":", "_part_")
            description = ModelDescription(tag, "", f"2026-01-0{tag[-1]}T00:00:00+00:00", "0" * 64, 1)
            stem.with_suffix(".json").write_text(description.dumps(), "utf-8")
            member = Member.inline(f"models/{tag.replace(':', '/')}/x", tag.encode())
            archive.write_part(stem.with_suffix(".part"), [member], threads=1)
            arguments += ["--model", str(stem.with_suffix(".json")), str(stem.with_suffix(".part"))]
        assert run(arguments) == 0
        made.append((tmp_path / order[0].replace(":", "_")).read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["archives.streams", "archives.tarread", "archives.tarstream", "threads"])
def test_the_examples_of_classes_are_right(name):
    tested = doctest.testmod(importlib.import_module(f"rules_bento.base.{name}"))
    assert tested.attempted and not tested.failed
