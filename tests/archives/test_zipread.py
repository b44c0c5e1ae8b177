"""Zips that readers interpret differently are rejected, with a message, and nothing is written."""

import io
import struct
import zipfile
import zlib

import pytest
from bento_cli.library import Store
from rules_bento.actions.wheels import unpack_wheel
from rules_bento.base.archives import zipread
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode

from tests.helpers.made_wheels import Maker, central, local

BOUNDS = zipread.Bounds(ratio=100, unpacked=1 << 26)
CONTENTS = struct.pack("<2HL", 0xCAFE, 4, 0) + b"contents"  # begins like an extra field
NOTES, OTHER = "a/notes.txt", "a/other.txt"


def unicode_path(name, other):
    body = b"\1" + struct.pack("<L", zlib.crc32(name.encode())) + other.encode()
    return struct.pack("<2H", 0x7075, len(body)) + body


def zip_of(*, extra=b"", in_local=b"", comment=b"", names=(NOTES, OTHER)):
    """Return a zip of files, with extra fields of the first one."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (0o040755 if name[-1] == "/" else 0o100644) << 16
            info.extra = in_local if name == NOTES else b""
            archive.writestr(info, CONTENTS if name[-1] != "/" else b"")
        archive.infolist()[0].extra = extra
        archive.comment = comment
    return made.getvalue()


def changed(data, name, *, in_central=(), in_local=()):
    made = bytearray(data)
    for at, changes in ((central(data, name), in_central), (local(data, name), in_local)):
        for offset, form, value in changes:
            struct.pack_into(form, made, at + offset, value)
    return bytes(made)


def inserted(data, name, more):
    """Return the zip with bytes before the local header of a member. Changes the offsets after them."""
    at, directory = local(data, name), struct.unpack_from("<L", data, len(data) - 6)[0]
    made = bytearray(data)
    struct.pack_into("<L", made, central(data, name) + 42, at + len(more))
    struct.pack_into("<L", made, len(data) - 6, directory + len(more))
    return bytes(made[:at] + more + made[at:])


def with_descriptor(descriptor):
    """Return a zip whose first member has a data descriptor, and zeros for its numbers in the local header."""
    data = inserted(zip_of(), OTHER, descriptor)
    zeros = [(at, "<L", 0) for at in (14, 18, 22)]
    return changed(data, NOTES, in_central=[(8, "<H", 8)], in_local=[(6, "<H", 8), *zeros])


def with_end_64(data, *, record=(), locator=(0, 0, 1), end=(), gap=b""):
    """Return the zip with a zip64 end record, which CPython reads whatever the old record contains."""
    count, size, start = struct.unpack_from("<H2L", data, len(data) - 12)
    record = record or (44, 45, 45, 0, 0, count, count, size, start)
    first, shift, disks = locator
    made = struct.pack("<4sQ2H2L4Q", b"PK\6\6", *record)
    made += gap + struct.pack("<4sLQL", b"PK\6\7", first, len(data) - 22 + shift, disks)
    return data[:-22] + made + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *(end or (count, count, size, start)), 0)


def other_directory():
    """Return a zip in whose last comment is a zip64 end record with another directory, which Python 3.13 reads."""
    data = zip_of()
    first = central(data, NOTES)
    _, size, start = struct.unpack_from("<H2L", data, len(data) - 12)
    hidden = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, central(data, OTHER) - first, start)
    hidden += struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    made = bytearray(data[:-22] + hidden + data[-22:])
    struct.pack_into("<H", made, central(data, OTHER) + 32, len(hidden))
    struct.pack_into("<L", made, len(made) - 10, size + len(hidden))
    return bytes(made)


def two_ends():
    """Return a zip whose first end record has a comment with the second one."""
    data = zip_of()
    end = data[-22:-2]
    return data[:-22] + end + struct.pack("<H", 22) + data[-22:]


def read(data):
    archive = zipread.FileZip(io.BytesIO(data), "x.zip", BOUNDS)
    return {member.path: b"".join(archive.contents(member)) for member in archive.members()}


def with_empty(*, deflated=b"", **changes):
    """Return a zip with an empty file, which no reader of the contents opens."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo(NOTES), b"")
        archive.writestr(zipfile.ZipInfo(OTHER), CONTENTS)
    data = made.getvalue()
    if deflated:
        data = inserted(data, OTHER, deflated)
        method = [(8, "<H", 8), (18, "<L", len(deflated))]
        data = changed(data, NOTES, in_local=method, in_central=[(at + 2, form, value) for at, form, value in method])
    return changed(data, NOTES, **changes)


EMPTY = {
    "another name": (with_empty(in_local=[(30, "<B", 0x62)]), "contradicts the central"),
    "another CRC": (with_empty(in_local=[(14, "<L", 7)], in_central=[(16, "<L", 7)]), "the CRC doesn't match"),
    "no header": (with_empty(in_local=[(0, "<L", 0)]), "the header is missing"),
    "a damaged stream": (with_empty(deflated=b"\7\0"), "the deflate stream is damaged"),
    "a version that is needed": (with_empty(in_central=[(6, "<H", 64)]), r"requires version 6\.4 of the zip format"),
}


@pytest.mark.parametrize("what", EMPTY)
def test_an_empty_file_that_zipfile_rejects_is_rejected_unread(what):
    data, message = EMPTY[what]
    with pytest.raises(BentoError, match=message):
        zipread.FileZip(io.BytesIO(data), "x.zip", BOUNDS).members()
    with pytest.raises((zipfile.BadZipFile, zlib.error, NotImplementedError)):
        zipfile.ZipFile(io.BytesIO(data)).read(NOTES)


def test_empty_files_are_read():
    for data in (with_empty(), with_empty(deflated=b"\3\0"), with_empty(in_central=[(6, "<H", 63)])):
        assert read(data)[NOTES] == b""


SIZES = zlib.crc32(CONTENTS), len(CONTENTS), len(CONTENTS)
AMBIGUOUS = {
    "a Unicode path": (zip_of(extra=unicode_path(NOTES, OTHER)), "has a Unicode path or comment"),
    "a Unicode path in the local header": (zip_of(in_local=unicode_path(NOTES, OTHER)), "has a Unicode path"),
    "a Unicode comment": (zip_of(extra=struct.pack("<2H", 0x6375, 0)), "has a Unicode path or comment"),
    "an extra field that is cut": (zip_of(extra=struct.pack("<2H", 9, 5)), "the extra field is damaged"),
    "two zip64 fields": (zip_of(extra=struct.pack("<2H", 1, 0) * 2), "the zip64 sizes are damaged"),
    "a zip64 field with other sizes": (zip_of(extra=struct.pack("<2H3Q", 1, 24, 1, 1, 0)), "contradict the other sizes"),
    "other zip64 sizes in the local header": (zip_of(in_local=struct.pack("<2H2Q", 1, 16, 1, 1)), "contradict the other"),
    "a zip64 field that is too short": (zip_of(extra=struct.pack("<2HQ", 1, 8, 16)), "contradict the other sizes"),
    "a zip64 field that is missing": (changed(zip_of(), NOTES, in_central=[(24, "<L", 0xFFFFFFFF)]), "sizes are missing"),
    "another name in the local header": (changed(zip_of(), NOTES, in_local=[(30, "<B", 0x62)]), "contradicts the central"),
    "other flags in the local header": (changed(zip_of(), NOTES, in_local=[(6, "<H", 1 << 11)]), "contradicts the central"),
    "a patch": (changed(zip_of(), NOTES, in_central=[(8, "<H", 32)], in_local=[(6, "<H", 32)]), "encrypted, or a patch"),
    "another name of a directory": (changed(zip_of(names=(NOTES, "a/d/")), "a/d/", in_local=[(30, "<B", 0x62)]), "contradicts the central"),
    "a descriptor with another size": (with_descriptor(struct.pack("<3L", *SIZES[:2], 1)), "wrong data descriptor"),
    "no descriptor": (with_descriptor(b""), "wrong data descriptor"),
    "another member between two members": (inserted(zip_of(), OTHER, zip_of()[: len(NOTES) + 46]), "unexpected data after"),
    "contents that begin later": (changed(zip_of(), NOTES, in_local=[(28, "<H", 8)]), "overlaps the next member"),
    "a name twice": (zip_of(names=(NOTES, "a/OTHER.txt")).replace(b"a/OTHER.txt", NOTES.encode()), "the path is repeated"),
    "a backslash": (zip_of().replace(b"a/other", b"a\\other"), "a NUL or a backslash"),
    "a NUL": (zip_of().replace(b"a/other", b"a/\0ther"), "a NUL or a backslash"),
    "a second directory in a comment": (other_directory(), "contradicts the end record"),
    "two ends": (two_ends(), "has two ends"),
    "a zip64 end with another count": (with_end_64(zip_of(), end=(1, 1, 112, 104)), "contradicts the end record"),
    "a zip64 end elsewhere": (with_end_64(zip_of(), locator=(0, 1, 1)), "isn't before its locator"),
    "bytes after a zip64 end": (with_end_64(zip_of(), gap=b"gap"), "isn't before its locator"),
    "a zip64 end on another disk": (with_end_64(zip_of(), locator=(1, 0, 1)), "isn't before its locator"),
    "a longer zip64 end": (with_end_64(zip_of(), record=(45, 45, 45, 0, 0, 2, 2, 112, 104)), "has unsupported fields"),
    "data before an empty zip": (b"#!/bin/sh\n" + bytes(90) + struct.pack("<4s4H2LH", b"PK\5\6", *[0] * 5, 100, 0), "before the first"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", AMBIGUOUS)
def test_a_zip_that_readers_interpret_differently_is_rejected(what):
    data, message = AMBIGUOUS[what]
    with pytest.raises(BentoError, match=message):
        read(data)


@pytest.mark.parametrize("name", [NOTES, OTHER])
def test_members_that_overlap_by_a_byte_are_rejected_unread(name):
    data = zip_of()
    longer = changed(data, name, in_central=[(at, "<L", len(CONTENTS) + 1) for at in (20, 24)])
    assert len(zipread.FileZip(io.BytesIO(data), "x.zip", BOUNDS).members()) == 2
    with pytest.raises(BentoError, match=f"'{name}': the member overlaps the next member or the central directory"):
        zipread.FileZip(io.BytesIO(longer), "x.zip", BOUNDS).members()


@pytest.mark.parametrize(
    "data",
    [
        zip_of(),
        zip_of(comment=b"a comment"),
        zip_of(extra=struct.pack("<2HBL", 0x5455, 5, 1, 0), in_local=struct.pack("<2H2Q", 1, 16, *SIZES[1:])),
        with_end_64(zip_of()),
        with_end_64(zip_of(), end=(0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)),
        with_descriptor(struct.pack("<3L", *SIZES)),
        with_descriptor(b"PK\7\10" + struct.pack("<L2Q", *SIZES)),
        with_descriptor(struct.pack("<L2Q", *SIZES)),
    ],
)
def test_a_zip_that_readers_interpret_equally_is_read(data):
    assert read(data) == {NOTES: CONTENTS, OTHER: CONTENTS}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == read(data)


@pytest.mark.parametrize("count", [0xFFFE, 0xFFFF, 0x10000])
def test_the_number_of_members_that_needs_zip64(count):
    """CPython writes a zip64 end record above 65,535 members, other tools for 65,535 members as well."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    assert len(zipread.FileZip(io.BytesIO(made.getvalue()), "x.zip", BOUNDS).members()) == count


class Renamed(Maker):
    """Builds a wheel whose Unicode paths swap a clean file and an evil one."""

    def put(self, archive, path, data, date, level):
        info = zipfile.ZipInfo(path, date)
        other = {"ho/__init__.py": "ho/notes.txt", "ho/notes.txt": "ho/__init__.py"}.get(path)
        info.extra = unicode_path(path, other) if other else b""
        info.create_system, info.external_attr = 3, 0o100644 << 16
        archive.writestr(info, data)


def test_a_wheel_with_other_names_for_pip_isnt_unpacked(tmp_path):
    wheel = Renamed("ho").add({"ho/__init__.py": "print('EVIL')", "ho/notes.txt": "print('clean')"}).write(tmp_path)
    with pytest.raises(BentoError, match=r"'ho/__init__.py': the member has a Unicode path"):
        unpack_wheel(decode(unpack_wheel, ["--wheel", str(wheel), "--output", str(tmp_path / "out")]))
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def test_an_archive_with_other_names_for_zipfile_isnt_imported(tmp_path):
    archive = tmp_path / "x.zip"
    archive.write_bytes(zip_of(extra=unicode_path(NOTES, "bento.yaml"), names=(NOTES, "bento.yaml")))
    with pytest.raises(BentoError, match=r"'a/notes.txt': the member has a Unicode path"):
        Store(tmp_path / "home").bentos.import_archive(archive)
    assert not [path for path in (tmp_path / "home").rglob("*") if path.suffix in (".txt", ".yaml")]
