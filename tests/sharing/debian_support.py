"""A Debian base, a mirror with packages, and projects whose images include them."""

import hashlib
import json
import tarfile

import pytest
from bento_cli.sharing import debian_packages
from rules_bento.images.registry.layout import Layout

from tests.debian.made_debs import make_deb, member
from tests.helpers.loopback import Handler, running
from tests.sharing.image_support import DEBIAN, make_base

STANZA = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\nDescription: of {0}\n\n"
STATUS = "".join(STANZA.format(name, version) for name, version in (("libc6", "2.36-9"), ("old", "1.0")))
# An Alpine or a distroless base has other files.
SYSTEM = DEBIAN | {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
    "etc/dpkg/dpkg.cfg.d/docker": b"path-exclude /usr/share/man/*\n",
    "etc/alternatives/editor": "/usr/bin/ed",
    "run": 0o711,
    "tmp": 0o1777,
    "usr/bin/ed": b"",
    "usr/bin/editor": "/etc/alternatives/editor",
    "usr/share/old/gone": b"1",
    "usr/share/old/kept": b"1",
    "var/lib/dpkg/alternatives/editor": b"auto\n/usr/bin/editor\n\n/usr/bin/ed\n10\n\n",
    "var/lib/dpkg/info/old.list": b"/.\n/usr/share/old/gone\n/usr/share/old/kept\n",
    "var/lib/dpkg/status": STATUS.encode(),
    "var/run": "/run",
}
VIM = "update-alternatives --install /usr/bin/editor editor /usr/bin/vim 50\n"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with packages. Returns a function that writes a lock with some of them."""
    pool = tmp_path / "mirror/pool/main"
    pool.mkdir(parents=True)
    postinst = (member("postinst", data=VIM.encode(), mode=0o755),)
    files = [member("usr/bin/vim", data=b"vim"), member("usr/share/man/vim.1", data=b"manual")]
    make_deb(pool, "vim", files, fields="Depends: libc6 (>= 2.3), libvim\n", control_files=postinst)
    make_deb(pool, "libvim", [member("lib/libvim.so.1", data=b"library")])
    make_deb(pool, "libc6", [], version="2.36-10")
    make_deb(pool, "old", [member("usr/share/old/kept", data=b"2")], version="2.0")

    class Files(Handler):
        def do_GET(self):
            path = tmp_path / "mirror" / self.path.lstrip("/")
            self.send(200 if path.is_file() else 404, path.read_bytes() if path.is_file() else b"")

    def entry(path):
        name, version, _ = path.name.split("_")
        return ({"replaces": "1.0"} if name == "old" else {}) | {
            "name": name,
            "version": version,
            "archive": "debian",
            "filename": f"pool/main/{path.name}",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
            "dependencies": [],
        }

    def lock(project, requested, *names):
        chosen = [entry(path) for path in sorted(pool.iterdir()) if path.name.split("_")[0] in names]
        inputs = {"suites": [], "architectures": ["amd64"], "packages": sorted(requested), "exclude": []}
        text = json.dumps({"deb_lock": 1, "inputs": inputs, "packages": {"amd64": chosen}})
        (project / "debian.lock.json").write_text(text)

    with running(Files) as server:
        monkeypatch.setattr(debian_packages.apt, "host_mirrors", lambda: {"debian": f"http://{server.host}"})
        monkeypatch.setattr(debian_packages, "which", lambda _: "apt-get")
        yield lock


@pytest.fixture
def project(machine, tmp_path):
    make_base(tmp_path / "base", SYSTEM)
    return machine({"main.py": "print('hello')\n", "web/index.html": "<p>"})


def build(bento, project, tmp_path, *words, code=0, out="out"):
    return bento(
        "image", project, "--base", f"oci:{tmp_path / 'base'}", "--output", f"oci:{tmp_path / out}", *words, code=code
    )


def layer(layout, number):
    directory = Layout.open(layout)
    return tarfile.open(directory.blob(json.loads(directory.find().content)["layers"][number]["digest"]))


def layer_owners(layout, number):
    with layer(layout, number) as tar:
        return {each.name: (each.mode, each.uid, each.gid) for each in tar}
