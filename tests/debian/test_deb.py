"""Reading of .deb files."""

import re
import tarfile

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.debian.deb import Deb
from rules_bento.images.debian.deb_rootfs import PathFilter, Rootfs

from tests.debian.made_debs import COMPRESS, ar_of, make_deb, member, tar_of

CONTENT = bytes(range(256)) * 3000


def members_of(path):
    return [(item, b"".join(data)) for item, data in Deb(path).members()]


@pytest.mark.parametrize("compression", COMPRESS)
def test_every_compression_is_read(tmp_path, compression):
    members = [member(""), member("usr"), member("usr/big", data=CONTENT)]
    path = make_deb(tmp_path, "hello", members, compression=compression)
    assert b"Package: hello" in Deb(path).control()["control"]
    root, directory, (file, data) = members_of(path)
    assert (root[0].name, directory[0].name, directory[0].kind) == ("", "usr", "folder")
    assert (file.name, file.kind, file.size, data == CONTENT) == ("usr/big", "file", len(CONTENT), True)


def test_links_owners_and_modes(tmp_path):
    members = [member("usr/su", data=b"x", mode=0o4755, uid=1, gid=42), member("usr/to", link="/etc/alternatives/to")]
    path = make_deb(tmp_path, "hello", [*members, member("usr/same", hard="usr/su")])
    file, link, hard = [item for item, _ in members_of(path)]
    assert (file.mode, file.uid, file.gid) == (0o4755, 1, 42)
    assert (link.kind, link.link) == ("link", "/etc/alternatives/to")
    assert (hard.kind, hard.link) == ("hard link", "usr/su")


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "usr/../../x"])
def test_paths_that_leave_the_root_are_rejected(tmp_path, name):
    info, data = member("x", data=b"")
    info.name = name
    path = make_deb(tmp_path, "evil", [(info, data)])
    with pytest.raises(BentoError, match=r"evil_1\.0_amd64\.deb: .*is outside the root"):
        members_of(path)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", b"a\x01"])
def test_names_that_no_list_can_hold_are_rejected(tmp_path, name):
    hard = [member("a", data=b""), member("h", hard="xxxx")]
    for members in ([member("xxxx", data=b"")], [member("l", link="xxxx")], hard):
        plain = tar_of(members).replace(b"xxxx", name.ljust(4, b"\0"))
        for start in range(0, len(members) * 512, 512):
            total = sum(plain[start : start + 148]) + sum(plain[start + 156 : start + 512]) + 256
            plain = plain[: start + 148] + b"%06o\0 " % total + plain[start + 156 :]
        path = tmp_path / "evil.deb"
        path.write_bytes(ar_of({"debian-binary": b"2.0\n", "data.tar": plain}))
        with pytest.raises(BentoError, match=r"evil\.deb: .*contains a control character or isn't UTF-8"):
            members_of(path)


@pytest.mark.parametrize("kind", ["control", "data"])
def test_a_package_that_declares_an_enormous_file_is_rejected_at_once(tmp_path, kind):
    info = tarfile.TarInfo("./big")
    info.size = 1 << 62
    path = tmp_path / "evil.deb"
    path.write_bytes(ar_of({"debian-binary": b"2.0\n", f"{kind}.tar": info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)}))
    with pytest.raises(BentoError, match=r"evil\.deb: .*exceed the size limit"):
        Deb(path).control() if kind == "control" else list(Deb(path).members())


def test_a_package_that_ends_within_a_file_is_named(tmp_path):
    plain = tar_of([member("a", data=b"x" * 5000)])[:3000]
    path = tmp_path / "cut.deb"
    path.write_bytes(ar_of({"debian-binary": b"2.0\n", "data.tar": plain}))
    with pytest.raises(BentoError, match=r"cut\.deb: invalid Debian package: data\.tar: the archive is truncated"):
        members_of(path)


@pytest.mark.parametrize(
    ("control", "problem"),
    [
        (b"", "got 0"),
        (b"Package: a\n\nPackage: b\n", "got 2"),
        (b" goes on\nPackage: a\n", "line ' goes on' has no field name"),
        (b"Package: caf\xe9\n", "control isn't UTF-8"),
        (b"Package: hello\nArchitecture: all\n", "invalid Version ''"),
        (b"Version: 1\nArchitecture: all\n", "invalid Package ''"),
        (b"Package: ../../x\nVersion: 1\nArchitecture: all\n", "invalid Package '../../x'"),
        (b"Package: hello\nVersion: 1\nArchitecture: ../x\n", "invalid Architecture '../x'"),
        (b"Package: hello\nVersion: 1/../2\nArchitecture: all\n", "invalid Version '1/../2'"),
    ],
)
def test_a_control_file_that_is_none_is_reported(tmp_path, control, problem):
    path = tmp_path / "odd.deb"
    path.write_bytes(ar_of({"control.tar": tar_of([member("control", data=control)]), "data.tar": tar_of([])}))
    with pytest.raises(BentoError, match=re.escape(problem)) as caught:
        list(Rootfs(None, PathFilter.from_patterns((), ()), lambda path: False).install(Deb(path)))
    assert str(caught.value).startswith("odd.deb: ")


def test_devices_are_rejected(tmp_path):
    path = make_deb(tmp_path, "evil", [member("dev/null", kind=tarfile.CHRTYPE)])
    with pytest.raises(BentoError, match=r"evil_1\.0_amd64\.deb: .*dev/null is a device"):
        members_of(path)


def test_a_damaged_package_is_named(tmp_path):
    path = make_deb(tmp_path, "hello", [member("usr/big", data=CONTENT)])
    data = path.read_bytes()
    for damaged in (b"PK" + data, data[: len(data) // 2], data[:-200] + bytes(200), b""):
        path.write_bytes(damaged)
        with pytest.raises(BentoError, match=r"hello_1\.0_amd64\.deb: invalid Debian package"):
            members_of(path)


@pytest.mark.parametrize(
    ("members", "problem"),
    [({"debian-binary": b"2.0\n"}, "data.tar is missing"), ({"data.tar.lz": b"x"}, "compression .lz")],
)
def test_what_is_missing_is_said(tmp_path, members, problem):
    path = tmp_path / "odd.deb"
    path.write_bytes(ar_of(members))
    with pytest.raises(BentoError, match=f"odd.deb: .*{problem}"):
        members_of(path)


def test_a_package_without_a_control_file_is_named(tmp_path):
    path = tmp_path / "odd.deb"
    path.write_bytes(ar_of({"control.tar": tar_of([member("md5sums", data=b"")])}))
    with pytest.raises(BentoError, match=r"odd\.deb: .*the control file is missing"):
        Deb(path).control()
