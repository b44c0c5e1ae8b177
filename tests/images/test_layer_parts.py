"""Layers joined from parts: the tree of the wheels, made once for each of them."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import zlib

import pytest
import zstandard
from rules_bento.actions.check_images import check_image
from rules_bento.base.archives import zipread
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.packages.shared_files import PackageFiles, check_shared_files, exclude_in_hub
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.layers.parts import join_parts
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import (
    COMPRESSIONS,
    LARGE,
    LAYOUT,
    SITE,
    members,
    odd_wheel,
    parts_of,
    two_wheels,
    unpacked,
)
from tests.helpers.made_wheels import Maker
from tests.helpers.namespace_spellings import SPELLINGS


def told(path, compression):
    """What a tar says of each member, and its contents."""
    fields = ("type", "mode", "uid", "gid", "size", "mtime", "linkname")
    return {
        name: ([getattr(member, field) for field in fields], data)
        for name, (member, data) in members(path, compression).items()
    }


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_one_part_is_the_layer_of_its_wheel(tmp_path, compression):
    wheel = odd_wheel().write(tmp_path)
    write_wheel_layer(tmp_path / "layer", Wheel.read(wheel), LAYOUT, compression)
    info = join_parts(tmp_path / "joined", parts_of(tmp_path, [wheel], compression), LAYOUT, compression)
    assert told(tmp_path / "joined", compression) == told(tmp_path / "layer", compression)
    tar = unpacked(tmp_path / "joined", compression)
    assert info.digest == f"sha256:{hashlib.sha256((tmp_path / 'joined').read_bytes()).hexdigest()}"
    assert info.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert (info.size, info.uncompressed_size) == ((tmp_path / "joined").stat().st_size, len(tar))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_no_path_is_there_twice_and_directories_come_first(tmp_path, compression):
    join_parts(tmp_path / "out", parts_of(tmp_path, two_wheels(tmp_path), compression), LAYOUT, compression)
    with tarfile.open(fileobj=io.BytesIO(unpacked(tmp_path / "out", compression))) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    for number, name in enumerate(names):
        directory = name.rpartition("/")[0]
        assert not directory or directory in names[:number]
    found = members(tmp_path / "out", compression)
    assert found[f"{SITE}/tests/a.py"][1] == b"a"
    assert {f"{SITE}/shared/one.py", f"{SITE}/shared/two.py", f"{SITE}/shared/__init__.py"} <= found.keys()


def test_parts_are_copied(tmp_path):
    parts = parts_of(tmp_path, [Maker("one").add({"one.py": "1"}).write(tmp_path)])
    join_parts(tmp_path / "out", parts, LAYOUT, "gzip")
    assert parts[0].path.read_bytes() in (tmp_path / "out").read_bytes()


HEADLESS = {"cv2/__init__.py": "1", "cv2/core.so": "two", "cv2/data.xml": "x", "tests/__init__.py": ""}
FULL = HEADLESS | {"cv2/core.so": "one"}
IN_HUB = " of bento.pypi in MODULE.bazel"


def choices(pattern):
    """The settings for two packages whose names don't show which one to keep."""
    settings = [f'set exclude = {{"{name}": ["{pattern}"]}}{IN_HUB}' for name in ("cv-full", "cv-headless")]
    return f", or keep cv-headless: {settings[0]}, or keep cv-full: {settings[1]}."


def check(directory, *wheels):
    """Run the check of an image, and the join of its layers; both must agree. Returns the message."""
    (directory / "base.json").write_text('{"architecture": "amd64"}')
    words = ["--target", "//:image", "--base", "base", "--base-config", str(directory / "base.json")]
    words += ["--python-version", "3.12", "--output", str(directory / "out")]
    for number, wheel in enumerate(wheels):
        (directory / f"{number}.json").write_text(Libraries.read(Wheel.read(wheel)).dumps())
        words += ["--libraries", str(directory / f"{number}.json")]
    message = ""
    try:
        check_image(decode(check_image, words))
    except BentoError as error:
        message = str(error)
    try:
        join_parts(directory / "layer", parts_of(directory, wheels), LAYOUT, "gzip")
    except BentoError as error:
        assert str(error) == message
    else:
        assert not message
    return message


def made(directory, name, files, points=""):
    maker = Maker(name).add(files)
    return (maker.entry_points(f"[console_scripts]\n{points}\n") if points else maker).write(directory)


def test_equal_files_of_two_wheels_pass(tmp_path):
    wheels = [made(tmp_path, name, HEADLESS, "run = a:main") for name in ("one", "two")]
    assert check(tmp_path, *wheels) == ""


def test_texts_of_two_wheels_can_differ(tmp_path):
    """As LICENSE of fastapi-cache2 and lazy-model, in site-packages."""
    texts = ("LICENSE", "licence.txt", "CHANGELOG.md", "docs/README.rst", "x/py.typed", "NOTICE")
    wheels = [made(tmp_path, name, {f"{name}.py": "", **dict.fromkeys(texts, name)}) for name in ("one", "two")]
    assert check(tmp_path, *wheels) == ""
    with tarfile.open(tmp_path / "layer") as layer:
        found = {each.name.rpartition("site-packages/")[2]: each for each in layer}
        assert {layer.extractfile(found[path]).read() for path in texts} == {b"two"}
    for path in ("license.py", "LICENSE/data.csv", "readme.json"):
        wheels = [made(tmp_path, name, {path: name}) for name in ("one", "two")]
        assert f"both packages install {path}, with different contents" in check(tmp_path, *wheels)


def test_modules_of_a_namespace_can_be_spelled_differently(tmp_path):
    """As those of dbt-core and dbt-postgres. One that also does something else is an error."""

    def wheels(*texts):
        named = zip(("one", "two"), texts, strict=True)
        return [made(tmp_path, name, {"ns/__init__.py": text, f"ns/{name}.py": ""}) for name, text in named]

    first, second, *_ = SPELLINGS["pkgutil"]
    for texts in ((first, second), (second, first)):
        assert check(tmp_path, *wheels(*texts)) == ""
        with tarfile.open(tmp_path / "layer") as layer:
            [found] = [each for each in layer if each.name.endswith("/ns/__init__.py")]
            assert layer.extractfile(found).read().decode() == texts[1]
    for other in (SPELLINGS["pkg_resources"][0], f"{first}x = 1\n", ""):
        assert "both packages install ns/__init__.py, with different contents" in check(tmp_path, *wheels(first, other))


@pytest.mark.parametrize(("one", "two"), [("fastapi", "fastapi_cli"), ("fastapi_cli", "fastapi")])
def test_a_package_and_its_addition_can_install_a_script(tmp_path, one, two):
    """As fastapi[standard] does: its two scripts start the same program. Of other packages, one script would be lost."""
    wheels = [made(tmp_path, name, {f"{name}/__init__.py": name}, f"fastapi = {name}:main") for name in (one, two)]
    assert check(tmp_path, *wheels) == ""
    with tarfile.open(tmp_path / "layer") as layer:
        names = [name for name in layer.getnames() if name.endswith("bin/fastapi")]
        assert len(names) == 1, names
    other = made(tmp_path, "slow_api", {"slow.py": ""}, "fastapi = slow:main")
    advice = 'or keep slow-api: set exclude = {"fastapi": ["/bin/fastapi"]} of bento.pypi in MODULE.bazel'
    told = check(tmp_path, wheels[0], other)
    assert "both packages install ../../../bin/fastapi, with different contents. Remove one" in told
    if one == "fastapi":
        assert advice in told


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (FULL, HEADLESS, "cv-full and cv-headless: both packages install cv2/core.so, with different contents. Remove one of the packages from the requirements" + choices("/cv2/core.so")),
        (
            {f"cv2/{name}.py": "1" for name in "abcde"},
            {f"cv2/{name}.py": "2" for name in "abcde"},
            "cv-full and cv-headless: both packages install cv2/a.py and 4 more files, with different contents. Remove "
            "one of the packages from the requirements" + choices("/cv2/"),
        ),
        (
            {"google/__init__.py": "1", "google/a.py": ""},
            {"google/__init__.py": "2", "google/b.py": ""},
            "cv-full and cv-headless: both packages install google/__init__.py, with different contents. In a "
            "namespace package, __init__.py must be equal in all packages, or absent. Remove one of the packages from "
            "the requirements" + choices("/google/__init__.py"),
        ),
    ],
)  # fmt: skip
def test_different_files_of_two_wheels_are_an_error(tmp_path, one, two, expected):
    full, headless = made(tmp_path, "cv_full", one), made(tmp_path, "cv_headless", two)
    assert check(tmp_path, full, headless) == expected
    assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize(
    ("pair", "kept"),
    [
        ("onnxruntime onnxruntime-gpu", "onnxruntime-gpu"),
        ("onnxruntime onnxruntime-openvino", "onnxruntime-openvino"),
        ("onnxruntime-gpu onnxruntime-openvino", ""),
        ("opencv-python opencv-python-headless", "opencv-python-headless"),
        ("opencv-contrib-python opencv-python", "opencv-contrib-python"),
        ("opencv-contrib-python opencv-python-headless", ""),
        ("opencv-contrib-python opencv-contrib-python-headless", "opencv-contrib-python-headless"),
        ("opencv-contrib-python-headless opencv-python", "opencv-contrib-python-headless"),
        ("faiss-cpu faiss-gpu", "faiss-gpu"),
        ("faiss-cpu faiss-gpu-cu12", "faiss-gpu-cu12"),
        ("tensorflow tensorflow-cpu", "tensorflow-cpu"),
        ("tensorflow-cpu tensorflow-gpu", "tensorflow-gpu"),
        ("intel-tensorflow tensorflow", "intel-tensorflow"),
        ("intel-tensorflow tensorflow-gpu", ""),
        ("psycopg2 psycopg2-binary", "psycopg2-binary"),
        ("cupy cupy-cuda12x", "cupy-cuda12x"),
        ("cupy-cuda11x cupy-cuda12x", ""),
        ("mysql-python mysqlclient", ""),
        ("pillow pillow-simd", "pillow-simd"),
    ],
)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_remedy_keeps_the_specific_package(pair, kept, is_reversed):
    one, other = sorted(pair.split(), reverse=is_reversed)
    packages = [PackageFiles(name, {"top/a.py": name}) for name in (one, other)]
    with pytest.raises(BentoError) as caught:
        check_shared_files(packages, exclude_in_hub)
    choices = [(kept, other if kept == one else one)] if kept else [(other, one), (one, other)]
    settings = "".join(f', or keep {k}: set exclude = {{"{o}": ["/top/a.py"]}}{IN_HUB}' for k, o in choices)
    assert str(caught.value).endswith(f"Remove one of the packages from the requirements{settings}.")


def test_a_file_that_is_a_directory_in_another_wheel(tmp_path):
    one = Maker("one").add({"shared": "file"}).write(tmp_path)
    two = Maker("two").add({"shared/two.py": "2"}).write(tmp_path)
    with pytest.raises(
        BentoError, match=r"one-1.0-.*: \S*shared is a file in this package, but a directory in two-1.0"
    ):
        join_parts(tmp_path / "out", parts_of(tmp_path, [one, two]), LAYOUT, "gzip")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_bytes_are_those_of_any_inflater(tmp_path, compression, monkeypatch):
    zlib_ng = pytest.importorskip("zlib_ng.zlib_ng", reason="actions have it, and so has this test where Bazel runs it")
    wheels = [odd_wheel().write(tmp_path), *two_wheels(tmp_path)]
    found = []
    for module in (zlib_ng, zlib):
        monkeypatch.setattr(zipread, "_zlib_module", module)
        parts = parts_of(tmp_path, wheels, compression)
        found.append((join_parts(tmp_path / "out", parts, LAYOUT, compression), (tmp_path / "out").read_bytes()))
    assert found[0] == found[1]


JOINED = r"""
import re, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.layers.parts import WheelPart, join_parts, write_wheel_part
from rules_bento.images.wheels.wheel import Wheel
out, layout = Path(sys.argv[2]), InstallLayout.venv("/app", 12)
parts = []
for wheel in map(Path, sys.argv[3].split(":")):
    path = wheel.with_suffix(".part")
    parts.append(WheelPart(write_wheel_part(path, Wheel.read(wheel), layout, sys.argv[1]), path))
info = join_parts(out, parts, layout, sys.argv[1])
print(info.diff_id, re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of one process")
def test_memory_does_not_grow_with_what_is_joined(tmp_path):
    """A wheel that is copied, where 100 kB of a stream hold 100 MB, and one that is packed again."""
    big = {"zeros.bin": bytes(100_000_000), "large.bin": LARGE * 10}
    copied = Maker("copied").add({f"copied/{name}": data for name, data in big.items()}).write(tmp_path)
    again = Maker("again").add(big | {"shared.py": "1"}).write(tmp_path)
    later = Maker("later").add({"shared.py": "1"}).write(tmp_path)
    wheels = ":".join(map(str, (copied, again, later)))
    command = [sys.executable, "-c", JOINED, "zstd", tmp_path / "out", wheels, *filter(None, sys.path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    diff_id, peak = done.stdout.split()
    assert int(peak) < 80 << 10
    assert diff_id == f"sha256:{tar_digest(tmp_path / 'out', 'zstd')}"


def tar_digest(path, compression):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        open_output = (
            gzip.GzipFile(fileobj=file)
            if compression == "gzip"
            else zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        )
        while piece := open_output.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
