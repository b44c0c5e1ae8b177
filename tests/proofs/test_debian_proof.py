"""A layer of Debian packages that the product writes is proven, and each change to it is found."""

import hashlib
import io
import tarfile
from types import SimpleNamespace

import pytest
from bento_cli.proofs.base_files import BaseFiles
from bento_cli.proofs.debian_proof import DebianProof
from bento_cli.proofs.layer_reader import LayerError, LayerReader
from hypothesis import given
from hypothesis import strategies as st
from rules_bento.base.errors import BentoError
from rules_bento.images.debian import ld_cache
from rules_bento.images.debian.any_base import AnyBase, write_packages
from rules_bento.images.layers import headers

from tests.debian.made_debs import make_deb, member
from tests.helpers.made_gpu_code import library

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


class Made:
    """A base, a lock, packages, and the layer that the product writes."""

    def __init__(self, base, lock, debs, layer):
        self.base, self.lock, self.debs, self.layer = base, lock, debs, layer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("debian")
    with tarfile.open(directory / "base", "w") as tar:
        for path, content in BASE.items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname = (tarfile.SYMTYPE, content) if isinstance(content, str) else (tarfile.REGTYPE, "")
            info.size = 0 if isinstance(content, str) else len(content)
            tar.addfile(info, io.BytesIO(b"" if isinstance(content, str) else content))
    base = directory / "base"
    layer = SimpleNamespace(
        digest="", media_type=TAR, diff_id=f"sha256:{hashlib.sha256(base.read_bytes()).hexdigest()}"
    )
    image = SimpleNamespace(image=SimpleNamespace(layers=[layer]), layout=SimpleNamespace(blob=lambda _: base))
    image.complete = lambda: image
    debs = {path.name.partition("_")[0]: path for path in packages(directory)}
    lock = [
        {"name": name, "version": path.name.split("_")[1], "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        | ({"replaces": "1"} if name == "old" else {})
        for name, path in debs.items()
    ]
    any_base = AnyBase.read([(base, TAR, layer.diff_id)], "base")
    write_packages(directory / "layer", any_base, debs, "amd64", "none")
    return Made(BaseFiles.list(image), lock, debs, (directory / "layer").read_bytes())


def prove(made, layer):
    proof = DebianProof(made.lock, made.debs, made.base, "amd64")
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    members = [*LayerReader(proof.keeps).members(1, [layer], TAR, diff_id)]
    judged = proof.judge(1, members)
    assert len(judged.proven) + len(judged.unproven) + len({each.path for each in judged.findings}) >= len(members)
    return judged


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


def test_the_layer_of_the_product_is_proven(made):
    judged = prove(made, made.layer)
    assert judged.findings == judged.unproven == []
    paths = {each.path: each.kind for each in judged.proven}
    assert paths["usr/bin/ex"] == "hard link" and paths["usr/share/old/.wh.gone"] == "file"
    assert {"usr/bin/vimdiff", "etc/alternatives/vim.i", "usr/share/doc/vim-doc", "etc/ld.so.cache"} <= paths.keys()
    assert not {"usr/share/doc/vim/README", "usr/bin/.wh.zed"} & paths.keys()
    assert prove(made, Layer(made.layer).data()).findings == []  # so attacks fail for their own reason


STATUS, CHOICES = "var/lib/dpkg/status", "var/lib/dpkg/alternatives/"
EDITOR = f"{CHOICES}editor"
BUNDLE, VIMRC, INFO = "etc/ssl/certs/ca-certificates.crt", "etc/vim/vimrc", "var/lib/dpkg/info/vim:amd64"
LIBRARIES = ("libc.so.6", "libz.so.1", "libz.so.1.2", "libz.so.10")
CACHE, ORDERED = "etc/ld.so.cache", cache(*LIBRARIES)
NEW_LINK = {"type": tarfile.SYMTYPE, "linkname": "/tmp", "mode": 0o777}
# Contents before and after, fields, other contents, or None for a member that is missing.
CHANGES = {
    VIMRC: [(b"set", b"sex"), {"gid": 1000}, {"type": tarfile.LNKTYPE, "linkname": "etc/shadow"}],
    "usr/bin/evil": [b"evil", NEW_LINK],
    "lib/evil.so": [b"evil"],
    "usr/bin/vim.basic": [{"mode": 0o4755}, b"", None],
    "usr/bin": [{"uid": 1000}],
    "usr/share/info/vim": [None],
    "etc/vim": [NEW_LINK],
    "var/mail": [{"mode": 0o2777}, None],
    f"{PLACE}/libz.so.1": [{"linkname": "libz.so.10"}],
    "usr/bin/ex": [{"linkname": "usr/bin/su"}, {"type": tarfile.SYMTYPE, "linkname": "vim.basic"}],
    "etc/shadow": [{"type": tarfile.LNKTYPE, "linkname": VIMRC}],
    "etc/.wh.shadow": [b""],
    "etc/.wh..wh..opq": [b""],
    "usr/bin/.wh.zed": [b""],
    "usr/share/old/.wh.gone": [None, b"content"],
    "etc/alternatives/editor": [{"linkname": "/usr/bin/zed"}, None],
    "etc/alternatives/vim": [{"linkname": "/usr/bin/vimdiff.basic"}],
    EDITOR: [
        *((b"vim.basic\n50", other) for other in (b"su\n50", b"vim.basic\n5")),
        *((b"/usr/bin/zed\n10\n\n", other) for other in (b"", b"/usr/bin/zed\n10\n", b"/usr/bin/zed\n10\n\n" * 2)),
        *(
            (b"/usr/bin/zed\n10\n", other)
            for other in (b"/usr/bin/zed\n99\n", b"/usr/bin/vim.gone\n70\n\n/usr/bin/zed\n10\n")
        ),
        (b"\n/usr/share/info/vim", b"\n"),
        b"auto\n/usr/bin/editor\n\n/usr/bin/vim.basic\n50\n/usr/bin/zed\n10\n\n",
        b"auto\n/usr/bin/editor\neditor.info\n/usr/share/info/editor\nevil\n/usr/bin/evil\n\n"
        b"/usr/bin/vim.basic\n50\n/usr/share/info/vim\n\n/usr/bin/zed\n10\n\n\n\n",
        b"auto\n/usr/bin/editor\neditor.info\n/usr/share/info/editor\nevil\n/usr/bin/evil\n\n"
        b"/usr/bin/vim.basic\n50\n/usr/share/info/vim\n/usr/bin/su\n/usr/bin/zed\n10\n\n\n\n",
        (b"auto", b"manual"),
        None,
    ],
    CHOICES + "more": [b"auto\n/usr/bin/more\n\n/usr/bin/more.basic\n30\n\n"],
    CHOICES + "vim": [(b"/usr/bin/vim.basic", b"/usr/bin/vimdiff.basic"), (b"30", b"vim"), b"auto\n/usr/bin/vim\n\n\n"],
    STATUS: [
        (b"Version: 1.0", b"Version: 1.1"),
        (b"Package: libc6", b"Package: libc7"),
        (b"Version: 2\n", b"Version: 2\nVersion: 3\n"),
        (b"/etc/vim/vimrc ", b"/etc/vim/vimrc 0"),
        (b" more\n\n", b" more"),
        None,
    ],
    f"{INFO}.postinst": [b""],
    f"{INFO}.list": [(b"/etc/vim/vimrc\n", b"")],
    f"{INFO}.md5sums": [(b"0", b"1")],
    CACHE: [
        (b"/lib/x86_64-linux-gnu/libc.so.6", b"/tmp/libc.so.6".ljust(31, b"\0")),
        ORDERED + b"\0",
        ORDERED[:48] + ORDERED[72:96] + ORDERED[48:72] + ORDERED[96:],
        *(cache(*names) for names in (LIBRARIES[1:], (*LIBRARIES, "libevil.so.1"))),
        cache(*LIBRARIES[1:], "libz.so.1.2=libc.so.6"),
    ],
    BUNDLE: [(b"A\n", b"C\n")],
    "etc/ca-certificates.conf": [(b"m/A.crt\n", b"")],
}


@pytest.mark.parametrize(
    ("path", "change"), [(path, change) for path, changes in CHANGES.items() for change in changes]
)
def test_each_change_is_found(made, path, change):
    layer = Layer(made.layer)
    if change is None:
        layer.members.pop(path)
    elif isinstance(change, bytes):
        layer.set(path, change)
    elif isinstance(change, dict):
        layer.set(path, b"", **change) if "type" in change else layer.set(path, **change)
    else:
        assert change[0] in layer.members[path][1]
        layer.set(path, layer.members[path][1].replace(*change))
    assert path in {each.path for each in prove(made, layer.data()).findings}


def test_a_hard_link_before_its_file_is_found(made):
    layer = Layer(made.layer)
    layer.members["usr/bin/vim.basic"] = layer.members.pop("usr/bin/vim.basic")
    assert [each.path for each in prove(made, layer.data()).findings] == ["usr/bin/ex"]


def test_other_packages_and_bases_are_refused(made):
    lock = [each | {"sha256": "0" * 64} if each["name"] == "libz1" else each for each in made.lock]
    with pytest.raises(BentoError, match="libz1_1.0_amd64.deb: isn't the package of the lock"):
        DebianProof(lock, made.debs, made.base, "amd64")
    with pytest.raises(BentoError, match="the base has old 1, which the lock doesn't replace"):
        DebianProof([{**each, "replaces": "0"} for each in made.lock], made.debs, made.base, "amd64")


@pytest.mark.parametrize("path", [VIMRC, "etc/vim"])
def test_a_path_that_is_in_the_layer_twice_is_found(made, path):
    with pytest.raises(LayerError, match=f"has '{path}' twice"):
        prove(made, Layer(made.layer).data(path))


def test_a_name_of_a_library_that_no_file_has_is_not_proven(made):
    layer = Layer(made.layer)
    layer.set(CACHE, cache(*LIBRARIES, "libz.so.10=libzz.so.1"))
    judged = prove(made, layer.data())
    assert not judged.findings and [each.path for each in judged.unproven] == [CACHE]


def test_files_that_are_compared_have_a_limit(made):
    layer = Layer(made.layer)
    for number in range(1000):
        layer.set(f"{CHOICES}{number}", bytes(1 << 15))
    layer.members[CACHE] = layer.members.pop(CACHE)
    findings = {each.path: each.problem for each in prove(made, layer.data()).findings}
    assert len(findings) == 1001 and findings[CACHE] == "has an unusual size"


@given(st.data())
def test_each_changed_byte_is_found(made, data):
    layer = Layer(made.layer)
    path = data.draw(st.sampled_from([path for path, (_, content) in layer.members.items() if content]))
    content = bytearray(layer.members[path][1])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    layer.set(path, bytes(content))
    assert path not in {each.path for each in prove(made, layer.data()).proven}


@given(st.binary(), st.sampled_from([STATUS, EDITOR, CACHE]), st.integers(0, 200))
def test_no_content_of_a_database_is_an_error(made, noise, path, at):
    layer = Layer(made.layer)
    before = layer.members[path][1]
    layer.set(path, before[:at] + noise + before[at + len(noise) :])
    proven = {each.path for each in prove(made, layer.data()).proven}
    assert layer.members[path][1] == before or path not in proven
