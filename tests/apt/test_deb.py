"""Reading of .deb files."""

from __future__ import annotations

import tarfile

import pytest
from made_debs import COMPRESS, ar_of, make_deb, member, tar_of
from rules_bento.debian.deb import Deb
from rules_bento.errors import BentoError

CONTENT = bytes(range(256)) * 3000


def members_of(path):
    return [(item, b"".join(data)) for item, data in Deb(path).members()]


@pytest.mark.parametrize("compression", COMPRESS)
def test_every_compression_is_read(tmp_path, compression):
    path = make_deb(
        tmp_path, "hello", [member(""), member("usr"), member("usr/big", data=CONTENT)], compression=compression
    )
    assert b"Package: hello" in Deb(path).control()["control"]
    root, folder, (file, data) = members_of(path)
    assert (root[0].path, folder[0].path, folder[0].kind) == ("", "usr", "folder")
    assert (file.path, file.kind, file.size, data == CONTENT) == ("usr/big", "file", len(CONTENT), True)


def test_links_owners_and_modes(tmp_path):
    path = make_deb(
        tmp_path,
        "hello",
        [
            member("usr/su", data=b"x", mode=0o4755, uid=1, gid=42),
            member("usr/to", link="/etc/alternatives/to"),
            member("usr/same", hard="usr/su"),
        ],
    )
    file, link, hard = [item for item, _ in members_of(path)]
    assert (file.mode, file.uid, file.gid) == (0o4755, 1, 42)
    assert (link.kind, link.link) == ("link", "/etc/alternatives/to")
    assert (hard.kind, hard.link) == ("hard link", "usr/su")


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "usr/../../x"])
def test_paths_that_leave_the_root_are_refused(tmp_path, name):
    info, data = member("x", data=b"")
    info.name = name
    path = make_deb(tmp_path, "evil", [(info, data)])
    with pytest.raises(BentoError, match=r"evil_1\.0_amd64\.deb: .*not a path inside of the root"):
        members_of(path)


def test_devices_are_refused(tmp_path):
    path = make_deb(tmp_path, "evil", [member("dev/null", kind=tarfile.CHRTYPE)])
    with pytest.raises(BentoError, match=r"evil_1\.0_amd64\.deb: .*dev/null is a device"):
        members_of(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"PK" + data,
        lambda data: data[: len(data) // 2],
        lambda data: data[:-200] + bytes(200),
        lambda data: b"",
    ],
)
def test_a_damaged_package_is_named(tmp_path, damage):
    path = make_deb(tmp_path, "hello", [member("usr/big", data=CONTENT)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BentoError, match=r"hello_1\.0_amd64\.deb: not a Debian package"):
        members_of(path)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"debian-binary": b"2.0\n"}, "has no data.tar"),
        ({"data.tar.lz": b"x"}, "compression .lz"),
    ],
)
def test_what_is_missing_is_said(tmp_path, members, problem):
    path = tmp_path / "odd.deb"
    path.write_bytes(ar_of(members))
    with pytest.raises(BentoError, match=f"odd.deb: .*{problem}"):
        members_of(path)


def test_a_package_without_a_control_file_is_named(tmp_path):
    path = tmp_path / "odd.deb"
    path.write_bytes(ar_of({"control.tar": tar_of([member("md5sums", data=b"")])}))
    with pytest.raises(BentoError, match=r"odd\.deb: has no control file"):
        Deb(path).control()
