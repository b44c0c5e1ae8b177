"""Files of Debian packages are proven, and each change of them is found. What dpkg and scripts write isn't proven."""

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections import Counter
from types import SimpleNamespace

import pytest
from bento_cli.sharing.image_proof import _UNPACK
from rules_bento.images.debian import ld_cache
from rules_bento.images.debian.any_base import AnyBase, write_packages
from rules_bento.images.layers import headers

from tests.debian.made_debs import make_deb, member
from tests.helpers.made_gpu_code import library

pytest.importorskip("tomllib", reason="bento-proof requires Python 3.11")

from bento_proof import judge, layers, sources
from bento_proof.base import Base
from bento_proof.model import ROOT, Expected, Member, Report
from bento_proof.packages import Environment

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg is missing")

TAR = "application/vnd.oci.image.layer.v1.tar"
PLACE = "usr/lib/x86_64-linux-gnu"
ELF = library(b"")
STANZA = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\nDescription: of {0}\n more\n\n"
DATABASE = "auto\n/usr/bin/editor\n\n/usr/bin/zed\n10\n\n"
VIM = """\
#!/bin/sh
tools='vim vimdiff'
priority=30
# update-alternatives --install /usr/bin/editor editor /usr/bin/zed 99
update-alternatives --install /usr/bin/editor editor \\
  /usr/bin/vim.basic 50 --slave /usr/share/info/editor editor.info /usr/share/info/vim
update-alternatives --install /usr/bin/editor editor /usr/bin/vim.gone 70
for i in $tools; do
    slave="--slave /usr/share/info/$i.i $i.i /usr/share/info/${i}"
    update-alternatives --install /usr/bin/$i "$i" /usr/bin/$i.basic $priority $slave
done
"""


def cache(*names):
    """Return the linker's cache with libraries, each by its name, or as `FILE=NAME`."""
    pairs = [name.split("=") for name in names]
    elf = {f"{PLACE}/{each[0]}": SimpleNamespace(machine="amd64", soname=each[-1]) for each in pairs}
    return ld_cache.updated(b"", SimpleNamespace(linked=elf, links=(), has=lambda _: False), "amd64")


BASE = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "etc/ld.so.cache": cache("libc.so.6"),
    "etc/os-release": b"ID=debian\n",
    "etc/shadow": b"",
    "etc/dpkg/dpkg.cfg.d/docker": b"path-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\n",
    "etc/alternatives/editor": "/usr/bin/zed",
    "usr/bin/zed": b"",
    "usr/bin/editor": "/etc/alternatives/editor",
    f"{PLACE}/libc.so.6": ELF,
    "usr/share/old/gone": b"1",
    "usr/share/old/kept": b"1",
    "var/lib/dpkg/alternatives/editor": DATABASE.encode(),
    "var/lib/dpkg/info/old.list": b"/.\n/usr/share/old/gone\n/usr/share/old/kept\n/usr/bin/zed\n",
    "var/lib/dpkg/info/old.postinst": b"",
    "var/lib/dpkg/info/zed.list": b"/.\n/usr/bin/zed\n",
    "var/lib/dpkg/status": "".join(
        STANZA.format(*each) for each in (("libc6", "2"), ("old", "1"), ("zed", "1"))
    ).encode(),
}


def packages(directory):
    """Yield packages with all that packages have."""
    sums = b"".join(b"%032d  %s\n" % (0, name) for name in (b"usr/bin/vim.basic", b"usr/share/doc/vim/README"))
    control = [("postinst", VIM), ("conffiles", "/etc/vim/vimrc\n"), ("md5sums", sums.decode())]
    yield make_deb(
        directory,
        "vim",
        [
            member(""),
            member("var/mail", mode=0o2775, gid=8),
            *(member(f"usr/bin/{name}.basic", data=name.encode(), mode=0o755) for name in ("vim", "vimdiff", "more")),
            member("usr/bin/su", data=b"su", mode=0o4755),
            member("usr/bin/wall", data=b"wall", mode=0o2755, gid=5),
            member("bin/ex", hard="usr/bin/vim.basic"),
            member("usr/share/info/vim", data=b"i"),
            member("etc/vim/vimrc", data=b"set\n"),
            member("usr/share/doc/vim"),
            member("usr/share/doc/vim/README", data=b"read"),
            member("usr/share/doc/vim/copyright", data=b"free"),
            member("usr/share/doc/vim-doc", link="vim"),
        ],
        fields="Depends: libc6,\n libz1\nMulti-Arch: same\n",
        control_files=[member(name, data=text.encode()) for name, text in control],
    )
    libraries = [member(f"lib/x86_64-linux-gnu/{name}", data=ELF) for name in ("libz.so.1.2", "libz.so.10")]
    libraries.append(member("lib/x86_64-linux-gnu/libz.so.1", link="libz.so.1.2"))
    yield make_deb(directory, "libz1", libraries, compression=".zst")
    yield make_deb(directory, "old", [member("usr/share/old/kept", data=b"2")], version="2", compression=".gz")
    certificates = [member(f"usr/share/ca-certificates/m/{name}.crt", data=name.encode()) for name in "BA"]
    yield make_deb(directory, "ca-certificates", certificates, compression="", architecture="all")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base, what dpkg-deb unpacks of packages, and the layer that the product writes."""
    directory = tmp_path_factory.mktemp("debian")
    path = directory / "base"
    with tarfile.open(path, "w") as tar:
        for name, content in BASE.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = (tarfile.SYMTYPE, content) if isinstance(content, str) else (tarfile.REGTYPE, "")
            info.size = 0 if isinstance(content, str) else len(content)
            tar.addfile(info, io.BytesIO(b"" if isinstance(content, str) else content))
    debs = {each.name.partition("_")[0]: each for each in packages(directory)}
    any_base = AnyBase.read([(path, TAR, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")], "base")
    write_packages(directory / "layer", any_base, debs, "amd64", "none")
    (directory / "unpacked").mkdir()
    for deb in debs.values():
        subprocess.run(["sh", "-c", _UNPACK, deb, directory / "unpacked"], check=True)
    kinds = {str: ("link", 0o777), bytes: ("file", 0o644)}
    there = {
        name: Member(*kinds[type(each)], ROOT, each if isinstance(each, str) else "") for name, each in BASE.items()
    }
    there["usr/bin"] = Member("directory", 0o755, ROOT)
    base = Base(None, directory, there, {})
    expected, _ = sources.given([(directory / "unpacked", "/", ROOT)], base, (), exact=True)
    return SimpleNamespace(base=base, expected=expected, layer=(directory / "layer").read_bytes())


def prove(made, layer):
    members = [(0, *each) for each in layers.members(io.BytesIO(layer))]
    report = Report("", proven=[Counter()], sizes=[Counter()])
    wanted = judge.Wanted(Environment(), {}, [], set(), True, made.expected)
    solid = {path for _, path, each in members if each.kind != "directory"}
    judge.Judge(made.base, wanted, report)._packages(members, solid)
    return report


class Layer:
    """The members of a layer by path: header fields and content."""

    def __init__(self, data):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.members = {each.name: (each, tar.extractfile(each).read() if each.isreg() else b"") for each in tar}

    def set(self, path, data=None, **fields):
        info, before = self.members.setdefault(path, (tarfile.TarInfo(path), b""))
        for name, value in fields.items():
            setattr(info, name, value)
        self.members[path] = info, before if data is None else data

    def data(self, *more):
        parts = []
        for info, data in [*self.members.values(), *(self.members[path] for path in more)]:
            kind, name = info.type, info.name.rstrip("/")
            parts.append(headers.header(name, kind, info.mode, info.uid, info.gid, len(data), info.linkname))
            parts.append(data + headers.padding(len(data)))
        return b"".join(parts) + bytes(1024)


# What dpkg and scripts write, and remove. None of it has code.
WRITTEN = {
    "etc/alternatives/editor",
    "etc/alternatives/editor.info",
    "etc/alternatives/vim",
    "etc/alternatives/vim.i",
    "etc/alternatives/vimdiff",
    "etc/ca-certificates.conf",
    "etc/ld.so.cache",
    "etc/ssl/certs/ca-certificates.crt",
    "usr/bin/vim",
    "usr/bin/vimdiff",
    "usr/lib/ssl/cert.pem",
    "usr/lib/ssl/certs",
    "usr/share/info/editor",
    "usr/share/info/vim.i",
    "usr/share/old/.wh.gone",
    "var/lib/dpkg/alternatives/editor",
    "var/lib/dpkg/alternatives/vim",
    "var/lib/dpkg/alternatives/vimdiff",
    "var/lib/dpkg/status",
}
PLACE_OF_LISTS = "var/lib/dpkg/info/"


def test_the_files_of_packages_are_proven(made):
    report = prove(made, made.layer)
    assert report.findings == []
    doubts = {path: reason for _, path, reason, _ in report.unproven}
    assert doubts.pop("Debian packages") == "1 files are missing, such as usr/share/doc/vim/README"
    assert doubts.pop("var/mail") == "has mode 2775 of (0, 8)"
    assert doubts.pop("usr/bin/wall") == "belongs to the group 5"  # dpkg-deb states no groups
    assert {path for path in doubts if not path.startswith(PLACE_OF_LISTS)} == WRITTEN
    files = {path for path, (info, _) in Layer(made.layer).members.items() if not info.isdir()}
    assert report.proven[0]["Debian packages"] == len(files - doubts.keys() - {"usr/bin/wall"}) > 10
    assert prove(made, Layer(made.layer).data()).findings == []  # so attacks fail for their own reason


VIMRC, INFO = "etc/vim/vimrc", f"{PLACE_OF_LISTS}vim:amd64"
NEW_LINK = {"type": tarfile.SYMTYPE, "linkname": "/tmp", "mode": 0o777}
# Contents before and after, fields, or other contents.
CHANGES = {
    VIMRC: [(b"set", b"sex"), {"uid": 1000}, {"type": tarfile.LNKTYPE, "linkname": "etc/shadow"}],
    "usr/bin/evil": [b"evil", NEW_LINK, NEW_LINK | {"linkname": "/etc/alternatives/../../tmp/x"}],
    "usr/bin/zed": [b"evil", NEW_LINK | {"linkname": "/etc/alternatives/vim"}],
    "lib/evil.so": [b"evil"],
    "usr/bin/vim.basic": [{"mode": 0o4755}, b""],
    "usr/bin": [{"uid": 1034}, {"mode": 0o777}, NEW_LINK],
    "etc/vim": [NEW_LINK],
    "lib": [NEW_LINK, {"type": tarfile.DIRTYPE, "mode": 0o755}],
    f"{PLACE}/libz.so.1": [{"linkname": "libz.so.10"}],
    "usr/bin/ex": [{"linkname": "usr/bin/su"}, {"type": tarfile.SYMTYPE, "linkname": "vim.basic"}],
    "etc/shadow": [b"", {"type": tarfile.LNKTYPE, "linkname": VIMRC}],
    "etc/.wh..wh..opq": [b""],
    "usr/.wh.bin": [b""],
    "usr/bin/.wh.zed": [b"content"],
    "etc/ld.so.cache": [{"uid": 1034}],
    "etc/ld.so.preload": [b"/tmp/x"],
    f"{INFO}.postinst": [b""],
}


@pytest.mark.parametrize(
    ("path", "change"), [(path, change) for path, changes in CHANGES.items() for change in changes]
)
def test_each_change_is_found(made, path, change):
    layer = Layer(made.layer)
    if isinstance(change, bytes):
        layer.set(path, change)
    elif isinstance(change, dict):
        layer.set(path, b"", **change) if "type" in change else layer.set(path, **change)
    else:
        assert change[0] in layer.members[path][1]
        layer.set(path, layer.members[path][1].replace(*change))
    assert path in {each for _, each, _ in prove(made, layer.data()).findings}


def test_a_hard_link_before_its_file_is_found(made):
    layer = Layer(made.layer)
    layer.members["usr/bin/vim.basic"] = layer.members.pop("usr/bin/vim.basic")
    assert [path for _, path, _ in prove(made, layer.data()).findings] == ["usr/bin/ex"]


@pytest.mark.parametrize(
    ("path", "fields"), [("usr/bin/wall", {"gid": 1034}), ("usr/bin/wall", {"gid": 0}), (VIMRC, {"gid": 42})]
)
def test_groups_are_not_proven(made, path, fields):
    layer = Layer(made.layer)
    layer.set(path, **fields)
    assert path in {each for _, each, _, _ in prove(made, layer.data()).unproven}


def test_no_limit_of_bytes_accepts_links_and_removed_files(made):
    sizes = {path: size for _, path, _, size in prove(made, made.layer).unproven}
    own = {path for path, (info, _) in Layer(made.layer).members.items() if info.issym() or "/.wh." in path}
    assert {path for path, size in sizes.items() if size < 0} == own & sizes.keys() != set()
    assert prove(made, made.layer).unproven_bytes == float("inf")


def test_no_file_is_below_a_link_that_a_script_made(made):
    layer = Layer(made.layer)
    layer.set("etc/vim", b"", **NEW_LINK | {"linkname": "/etc/alternatives/vim"})
    assert VIMRC in {path for _, path, _ in prove(made, layer.data()).findings}


def test_no_link_of_a_script_hides_other_layers(made):
    """A link in a later layer replaces a directory, and what is in it."""
    file, link = Member("file", 0o644, ROOT), Member("link", 0o777, ROOT, "/etc/alternatives/x")
    members = [(0, "app/main.py", file), (1, "app", link), (1, "var/lib/dpkg/status", file)]
    report = Report("", proven=[Counter(), Counter()], sizes=[Counter(), Counter()])
    wanted = judge.Wanted(Environment(), {"app/main.py": Expected(file, "sources", "")}, [], set(), True, made.expected)
    judge.Judge(made.base, wanted, report).run(members)
    assert (0, "app/main.py", "is below app, which is a file or a link") in report.findings
