"""What the report of an image's layers says: whose each byte is, and what differs."""

import re
from html.parser import HTMLParser

import pytest
from rules_bento.archives.tarstream import Member
from rules_bento.images.layer_report import describe_layer, page, read_packages
from rules_bento.images.layers.layer import MEDIA_TYPES, write_files_layer, write_wheel_layer
from rules_bento.images.oci_image import Layer
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker

BENTO = "/home/bentoml/bento"
COMPRESSIONS = list(MEDIA_TYPES)


def files_layer(out, files, compression="gzip"):
    write_files_layer(out, [Member.inline(path, data) for path, data in files.items()], compression)
    return Layer(MEDIA_TYPES[compression], "sha256:0", out.stat().st_size, "", "files")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_files_of_wheels_are_the_wheels(tmp_path, compression):
    wheel = Maker("Acme_Tools", "2.1").add({"acme/a.py": "1" * 5000, "acme/b.py": "22"})
    wheel.entry_points("[console_scripts]\nacme = acme.a:main\n")
    write_wheel_layer(
        tmp_path / "out", Wheel.read(wheel.write(tmp_path)), InstallLayout.venv("/app/.venv", 12), compression
    )
    packages = read_packages(tmp_path / "out", MEDIA_TYPES[compression], BENTO)
    [package] = packages
    assert package.owner == ("wheel", "acme-tools", "2.1")
    told = package.to_json()
    assert told["largest"][0] == {"path": "app/.venv/lib/python3.12/site-packages/acme/a.py", "size": 5000}
    assert any(file["path"] == "app/.venv/bin/acme" for file in told["largest"])


def test_bytecode_belongs_to_its_module_in_a_layer_below(tmp_path):
    wheel = Maker("Acme_Tools", "2.1").add({"acme/a.py": "1" * 5000}).write(tmp_path)
    write_wheel_layer(tmp_path / "out", Wheel.read(wheel), InstallLayout.venv("/app/.venv", 12), "gzip")
    site = "app/.venv/lib/python3.12/site-packages"
    layer = files_layer(tmp_path / "bytecode", {f"{site}/acme/__pycache__/a.cpython-312.pyc": b"1" * 100})
    owners = {}
    read_packages(tmp_path / "out", layer.media_type, BENTO, owners)
    [package] = read_packages(tmp_path / "bytecode", layer.media_type, BENTO, owners)
    assert (package.owner, package.size) == (("wheel", "acme-tools", "2.1"), 100)


def test_files_of_dpkg_models_and_the_bento(tmp_path):
    files = {
        "usr/lib/libacme.so.1": b"1" * 100,
        "var/lib/dpkg/info/libacme1:amd64.list": b"/.\n/usr\n/usr/lib\n/usr/lib/libacme.so.1\n",
        "home/bentoml/bento/models/iris/v7/model.pkl": b"2" * 50,
        "home/bentoml/bento/models/iris/latest": b"v7",
        "home/bentoml/bento/src/service.py": b"3",
        "opt/tool/data": b"4",
    }
    layer = files_layer(tmp_path / "out", files)
    packages = {package.owner: package.size for package in read_packages(tmp_path / "out", layer.media_type, BENTO)}
    listing = len(files["var/lib/dpkg/info/libacme1:amd64.list"])
    assert packages == {
        ("deb", "libacme1", ""): 100 + listing,
        ("model", "iris", "v7"): 50,
        ("model", "iris", ""): 2,
        ("bento", "Bento", ""): 1,
        ("other", "/opt/tool", ""): 1,
    }


def report(tmp_path, files, name="//a:b"):
    layer = files_layer(tmp_path / "out", files)
    elsewhere = Layer(MEDIA_TYPES["gzip"], "sha256:1", 5_000_000, "", "base layer 0")
    layers = [describe_layer(elsewhere, None, BENTO), describe_layer(layer, tmp_path / "out", BENTO)]
    return {"target": name, "layers": layers}


class Page(HTMLParser):
    """What a browser would fetch or run, and the text in the cells."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.open, self.cells = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.open.append(tag)

    def handle_data(self, data):
        if self.open[-1:] == ["td"] and data.strip():
            self.cells.append(data)

    def handle_endtag(self, tag):
        self.open.append("")


def test_the_page_is_whole_and_fetches_nothing(tmp_path):
    told = report(tmp_path, {"opt/<script>alert(1)</script>": b"1" * 4000, "opt/b": b"2"}, name="//a:<b>")
    text = page(told)
    read = Page(text)
    assert read.addresses == []
    assert not re.search(r"url\(|@import|https?:|//[a-z]+\.", text)
    assert "<b>" not in text.replace("&lt;b&gt;", "")
    assert "<script" not in text
    assert "4.0 kB" in read.cells
    assert page(told) == text
