"""What the report of an image's layers says: whose each byte is, and what differs."""

import doctest
import importlib
import io
import json
import re
import tarfile

import pytest
from rules_bento.base.archives import sha256_of
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.formats.oci import Layer
from rules_bento.images.layers.layer import MEDIA_TYPES, write_files_layer, write_wheel_layer
from rules_bento.images.reports.html_page import page
from rules_bento.images.reports.layer_contents import LayerReader
from rules_bento.images.reports.report_changes import compare
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_gpu_code import MACHINE_CODE, container, entry, library
from tests.helpers.made_layers import LAYOUT
from tests.helpers.made_wheels import Maker

BENTO = "/home/bentoml/bento"
COMPRESSIONS = list(MEDIA_TYPES)


def files_layer(out, files, compression="gzip"):
    write_files_layer(out, [Member.inline(path, data) for path, data in files.items()], compression)
    return Layer(MEDIA_TYPES[compression], f"sha256:{sha256_of(out)}", out.stat().st_size, "", name="files")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_files_of_wheels_are_the_wheels(tmp_path, compression):
    wheel = Maker("Acme_Tools", "2.1").add({"acme/a.py": "1" * 5000, "acme/b.py": "22"})
    wheel.entry_points("[console_scripts]\nacme = acme.a:main\n")
    write_wheel_layer(
        tmp_path / "out", Wheel.read(wheel.write(tmp_path)), InstallLayout.venv("/app/.venv", 12), compression
    )
    packages = LayerReader(BENTO).read(tmp_path / "out", MEDIA_TYPES[compression])
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
    reader = LayerReader(BENTO)
    reader.read(tmp_path / "out", layer.media_type)
    [package] = reader.read(tmp_path / "bytecode", layer.media_type)
    assert reader.report()["replaced"] == {"files": 0, "size": 0}
    reader.read(tmp_path / "bytecode", layer.media_type)
    assert reader.report()["replaced"] == {"files": 1, "size": 100}
    assert (package.owner, package.size) == (("wheel", "acme-tools", "2.1"), 100)


def test_bytecode_of_a_wheel_is_named_if_another_tool_installed_it(tmp_path):
    """Installers write lines without digests for bytecode that they compile."""
    reader = LayerReader(BENTO)
    for name, line in {
        "decoy": "decoy/__pycache__/__init__.cpython-311.pyc,sha256=abc,3", "quoted": '"quoted/__pycache__/a,b.pyc",sha256=abc,3',
        "compiled": "compiled/__pycache__/__init__.cpython-311.pyc,,", "plain": "plain/__init__.pyc,sha256=abc,3",
    }.items():  # fmt: skip
        record = f"{name}/__init__.py,sha256=abc,1\n{line}\n".encode()
        layer = files_layer(tmp_path / "out", {f"app/site-packages/{name}-1.0.dist-info/RECORD": record})
        reader.add(layer, tmp_path / "out")
    report = {"target": "//a:b", **reader.report()}
    assert report["bytecode"] == ["decoy", "quoted"]
    assert "Packages with bytecode of their wheels, which can differ from the sources: decoy, quoted." in page(report)


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
    packages = {package.owner: package.size for package in LayerReader(BENTO).read(tmp_path / "out", layer.media_type)}
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
    reader = LayerReader(BENTO)
    reader.add(Layer(MEDIA_TYPES["gzip"], "sha256:1", 5_000_000, "", name="base layer 0"), None)
    reader.add(layer, tmp_path / "out")
    return {"target": name, **reader.report()}


def test_packages_of_the_image_with_what_requires_them(tmp_path):
    site, status = (
        "app/.venv/lib/python3.13/site-packages",
        "Package: libacme1\nVersion: 1.2-3\nStatus: install ok installed\n",
    )
    requires = [
        "B.c>=1",
        "old; python_version < '3.11'",
        "d; extra == 'x'",
        "e; sys_platform == 'win32'",
        "not a name!",
        f"g; {'(' * 120}python_version < '3'{')' * 120}",
        "g; python_version == 'x' and os_name < '1'",
        "g; 'x' in extras",
        "g; os_name ~= 'x'",
        "g; platform_release > '1'",
        "f",
    ]
    metadata = "Name: a\n" + "".join(f"Requires-Dist: {each}\n" for each in requires) + "\nRequires-Dist: g\n"
    files = {
        f"{site}/{name}-1.dist-info/RECORD": f"{name}.py,,\n{name}-1.dist-info/RECORD,,\n"
        for name in ["a", "b_c", "old", "d", "e", "f", "g"]
    }
    files |= {f"{site}/a-1.dist-info/METADATA": metadata, f"{site}/b_c.py": "1" * 50, "var/lib/dpkg/status": status}
    files |= {"var/lib/dpkg/info/libacme1.list": "/usr/lib/a\n", "usr/lib/a": "1" * 9}
    schema = {
        "name": "S",
        "routes": [{"name": "ask", "route": "/ask", "input": {"properties": {"x": {"type": "string"}}}}, 7],
    }
    files["home/bentoml/bento/bento.yaml"] = json.dumps({"schema": schema})
    told = report(tmp_path, {path: text.encode() for path, text in files.items()})
    users = {each["name"]: each["required_by"] for each in told["packages"] if each["kind"] == "wheel"}
    assert users == {"a": [], "b-c": ["a"], "old": [], "d": [], "e": [], "f": ["a"], "g": []}
    assert [each["version"] for each in told["packages"] if each["kind"] == "deb"] == ["1.2-3"]
    order = [(-each["size"], each["kind"], each["name"]) for each in told["packages"]]
    assert order == sorted(order), "the largest first"
    [service] = told["services"]
    assert service["apis"] == [{"name": "ask", "route": "/ask", "what": "x: string → any"}]


def test_the_page_shows_the_layers_and_lazy_pulling(tmp_path):
    told = report(tmp_path, {"opt/<script>alert(1)</script>": b"1" * 4096, "opt/b": b"2"}, name="//a:<b>")
    text = page(told)
    assert "4.00 KiB" in text
    assert "1. base layer 0" in text
    assert "contents are unknown" in text
    assert "hardly helps, because the image is small" in text
    assert "<script>alert" not in text
    assert page(told) == text
    models = {
        "home/bentoml/bento/models/m/v/weights": b"1" * 9000,
        "home/bentoml/bento/models/m/latest": b"v",
        "opt/b": b"2",
    }
    told = report(tmp_path, models)
    assert [(model["tag"], model["size"]) for model in told["models"]] == [("m:v", 9000)]
    assert "models are 99 % of the files" in page(told)


def test_the_page_shows_what_changed(tmp_path):
    wheel, _, rest = "var/lib/dpkg/info/a.list", None, {"opt/b": b"2"}
    before, after = report(tmp_path, rest), report(tmp_path, {wheel: b"/opt/a\n", "opt/a": b"1" * 93, **rest}, "//a:c")
    told = compare(before, after)
    assert told["packages"] == [{"change": "added", "name": "a", "before": "", "after": "", "size": 100}]
    assert re.fullmatch(r"A host with the other image pulls 1 of 2 layers: \d+.00 B of 4.77 MiB.", told["pull"])
    text = page(after, before)
    assert "What changed since //a:b" in text
    assert "+100.00 B" in text
    assert "Packages, models, APIs, and files are equal." in page(before, before)


@pytest.mark.parametrize(
    "name",
    [
        "layers.forms",
        "layers.layer",
        "reports.layer_contents",
        "sbom",
        "system_packages",
        "wheels.declared_license",
        "wheels.install",
        "wheels.wheel_metadata",
    ],
)
def test_the_examples_of_classes_are_right(name):
    tested = doctest.testmod(importlib.import_module(f"rules_bento.images.{name}"))
    assert tested.attempted and not tested.failed


def test_code_at_startup_and_for_gpus(tmp_path):
    acme = Maker("acme", "1.0").add(
        {"acme.pth": "import acme\n", "acme/__init__.py": "", "data.pth": "acme\n# import x\n"}
    )
    acme.add(
        {"acme/libgpu.so.1": library(container(entry(MACHINE_CODE, 90))), "acme/empty.so": b"", "acme/text.so": b"x"}
    )
    other = Maker("other", "1.0").add(
        {"sitecustomize.py": "", "usercustomize/__init__.py": "", "other/a.pth": "import a", "b.pth": "x\rimport\ta"}
    )
    stray = container(entry(MACHINE_CODE, 50))
    other.add(
        {
            "other/rodata.so": library(stray, section=b".rodata"),
            "other/large.so": library(container(entry(MACHINE_CODE, 50)), before=bytes(2 << 20)),
        }
    )
    reports = []
    for wheels in ([acme], [acme, other]):
        reader = LayerReader(BENTO)
        for maker in wheels:
            written = write_wheel_layer(tmp_path / "out", Wheel.read(maker.write(tmp_path)), LAYOUT, "gzip")
            reader.add(written._replace(name="x"), tmp_path / "out")
        reports.append({"target": "//a:b", **reader.report()})
    before, after = reports
    assert [each["path"].partition("site-packages/")[2] for each in after["startup"]] == [
        *("acme.pth", "b.pth", "sitecustomize.py", "usercustomize/__init__.py")
    ]
    assert after["gpu_code"] == {"acme": "9.0", "other": "5.0"}
    assert compare(after, before)["startup"] == ""
    note = "New code that runs at each start of Python: b.pth of other, sitecustomize.py of other, usercustomize/__init__.py of other. Read these files."
    assert compare(before, after)["startup"] == note
    assert note in page(after, before)
    assert "Code that runs at each start of Python: acme.pth of acme." in page(before)
    assert "Packages with code for GPUs, and compute capabilities: acme (9.0); other (5.0)." in page(after)


def test_code_at_startup_cannot_hide(tmp_path):
    """In a file that another layer had without code, or behind a link."""
    directory, reader = "usr/lib/python3.11/site-packages", LayerReader(BENTO)
    layers = (
        {"a.pth": (tarfile.REGTYPE, b"x\n"), "code.txt": (tarfile.REGTYPE, b"import os\n")},
        {"a.pth": (tarfile.REGTYPE, b"import os\n"), "b.pth": (tarfile.SYMTYPE, b"code.txt")}
        | {"c.pth": (tarfile.LNKTYPE, f"{directory}/code.txt".encode())},
    )
    for files in layers:
        with tarfile.open(tmp_path / "layer", "w") as archive:
            for name, (kind, content) in files.items():
                info = tarfile.TarInfo(f"{directory}/{name}")
                info.type, info.linkname = kind, "" if kind == tarfile.REGTYPE else content.decode()
                info.size = 0 if info.linkname else len(content)
                archive.addfile(info, io.BytesIO(content))
        reader.read(tmp_path / "layer", "application/vnd.oci.image.layer.v1.tar")
    found = [each["path"].rpartition("/")[2] for each in reader.report()["startup"]]
    assert found == ["a.pth", "b.pth", "c.pth"]
