"""Layers of wheels hold what uv installs of them: the same files, bytes and executable bits, and a RECORD that is true.

Real wheels are those that Bazel lays beside the test, or by hand those in the folder RULES_BENTO_WHEELS.
"""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.base.archives.recipe import assemble
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.layer import write_wheel_layer, write_wheel_recipe
from rules_bento.images.layers.members import LARGE
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import check_record, members, odd_wheel, required
from tests.helpers.made_wheels import METADATA, Maker, record_line


def real_wheels():
    if "RULES_BENTO_WHEELS" in os.environ:
        return sorted(Path(os.environ["RULES_BENTO_WHEELS"]).glob("*.whl"))
    return sorted(Path("..").glob("*/*.whl")) if "TEST_SRCDIR" in os.environ else []


WHEELS = real_wheels()
LAYOUT = InstallLayout.venv("/app/.venv", 11)
NOT_OF_THE_WHEEL = ("uv_cache.json", "direct_url.json")  # what uv notes about its own source


@pytest.fixture
def out(tmp_path):
    return tmp_path / "layer"


@pytest.fixture(scope="module")
def uv(tmp_path_factory):
    return Uv(tmp_path_factory.mktemp("uv"))


class Uv:
    """The real uv, offline, with a cache of its own."""

    def __init__(self, directory):
        self.program = required(os.environ.get("RULES_BENTO_UV") or shutil.which("uv"), "uv")
        self.directory = directory
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "UV_CACHE_DIR": str(directory / "cache"),
            "UV_NO_CONFIG": "1",
            "UV_OFFLINE": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def run(self, *arguments):
        done = subprocess.run(
            [self.program, *arguments], env=self.variables, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def install(self, wheel):
        """A new environment, what is in one without wheels, and what this one brought."""
        environment = self.directory / "environment"
        shutil.rmtree(environment, ignore_errors=True)
        self.run("venv", "--quiet", "--python", sys.executable, str(environment))
        before = files_of(environment)
        options = ["--no-deps", "--no-compile", "--link-mode", "copy", "--no-index", "--python", str(environment)]
        self.run("pip", "install", "--quiet", *options, str(wheel))
        return environment, before, {path: file for path, file in files_of(environment).items() if path not in before}

    def takes(self, wheel, target):
        """Whether it installs the wheel."""
        options = ["--quiet", "--no-deps", "--no-index", "--python", sys.executable, "--target", str(target)]
        command = [self.program, "pip", "install", *options, str(wheel)]
        return not subprocess.run(command, env=self.variables, check=False, capture_output=True).returncode


def files_of(directory):
    """Contents and executable bit of each file, by its path; nothing for a folder."""
    return {
        path.relative_to(directory).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))
        if path.is_file()
        else None
        for path in directory.rglob("*")
        if path != directory / ".lock"
    }


def compare(wheel, uv, out):
    environment, before, theirs = uv.install(wheel)
    layout = InstallLayout.venv(str(environment), sys.version_info[1])
    write_wheel_layer(out, Wheel.read(wheel), layout, "gzip")
    ours = {
        os.path.relpath(f"/{name}", environment): (data, bool(entry.mode & 0o100)) if entry.isfile() else None
        for name, (entry, data) in members(out, "gzip").items()
        if f"/{name}".startswith(f"{environment}/")
    }
    for directory in before:
        ours.pop(directory, None)
    notes = [path for path in theirs if path.endswith(NOT_OF_THE_WHEEL)]
    for path in notes:
        del theirs[path]
    site = os.path.relpath(layout.site_packages, environment)
    (record,) = [path for path in theirs if re.fullmatch(rf"{site}/[^/]+\.dist-info/RECORD", path)]
    data, executable = theirs[record]
    lines = [
        line
        for line in data.splitlines(keepends=True)
        if not line.partition(b",")[0].endswith(tuple(name.encode() for name in NOT_OF_THE_WHEEL))
    ]
    theirs[record] = (b"".join(lines), executable)
    assert sorted(ours) == sorted(theirs)
    assert [path for path in ours if ours[path] != theirs[path]] == []
    check_record({path: file[0] for path, file in ours.items() if file}, *record.rsplit("/", 2)[:2])


def test_an_odd_wheel_as_uv_installs_it(uv, out, tmp_path):
    maker = odd_wheel()
    # uv lists twice what a wheel brings and it writes itself, and keeps the line of a script that it leaves out.
    for path in (
        f"{maker.dist_info}/INSTALLER",
        f"{maker.dist_info}/RECORD.jws",
        f"{maker.data}/scripts/odd-script.py",
    ):
        del maker.files[path]
    compare(maker.write(tmp_path), uv, out)


@pytest.mark.parametrize("case", [str.lower, str.upper])
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_digits_as_digests_are_accepted_as_by_uv(algorithm, case, uv, tmp_path):
    files = {"odd/__init__.py": b"x = 1\n", "odd/data.bin": b"data"}
    plain, hexadecimal = (Maker().add(files) for _ in range(2))
    rows = [(path, hashlib.new(algorithm, data), len(data)) for path, data in hexadecimal.files.items()]
    lines = [f"{path},{algorithm}={case(digest.hexdigest())},{size}" for path, digest, size in rows]
    hexadecimal.record = "\n".join([*lines, f"{hexadecimal.dist_info}/RECORD,,", ""]).encode()
    own = f"{plain.dist_info}/RECORD,,"
    plain.record = "\n".join([*(record_line(*file, algorithm) for file in plain.files.items()), own, ""]).encode()
    layers = []
    for name, maker in (("plain", plain), ("hexadecimal", hexadecimal)):
        (tmp_path / name).mkdir()
        wheel = maker.write(tmp_path / name)
        assert uv.takes(wheel, tmp_path / name / "target")
        layers.append(write_wheel_layer(tmp_path / name / "layer", Wheel.read(wheel), LAYOUT, "gzip"))
    assert layers[0] == layers[1]
    hexadecimal.files["odd/data.bin"] = b"Data"
    with pytest.raises(BentoError, match=f"the {algorithm} doesn't match RECORD"):
        write_wheel_layer(tmp_path / "layer", Wheel.read(hexadecimal.write(tmp_path)), LAYOUT, "gzip")


@pytest.mark.skipif("TEST_SRCDIR" not in os.environ, reason="Bazel brings the wheels")
def test_there_are_many_real_wheels():
    assert len(WHEELS) >= 60


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name.split("-")[0])
def test_the_recipe_of_a_real_wheel_is_its_layer(wheel, tmp_path):
    layout = InstallLayout.venv("/app/.venv", 11)
    info = write_wheel_layer(tmp_path / "layer", Wheel.read(wheel), layout, "gzip")
    recipe = tmp_path / "recipe"
    assert write_wheel_recipe(recipe, Wheel.read(wheel), layout) == info
    assert b"".join(assemble(recipe, wheel, info.digest, info.size)) == (tmp_path / "layer").read_bytes()
    if wheel.stat().st_size >= LARGE:  # only such wheels have recipes
        assert recipe.stat().st_size < info.size / 10


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name.split("-")[0])
def test_real_wheels_as_uv_installs_them(uv, out, wheel):
    compare(wheel, uv, out)


def metadata(name, version):
    return METADATA.format(name, version)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("odd-1.0", metadata("odd", "1.0")),
        ("odd-1.0", metadata("oDd", "1.0.0")),
        ("odd-1.0", metadata("odd", "v1")),
        ("od_d-1.0", metadata("Od.D", "1.0")),
        ("odd-1.0", metadata("other", "1.0")),
        ("odd-1.0", metadata("odd", "2.0")),
        ("odd-1.0", metadata("odd", "banana")),
        ("odd-banana", metadata("odd", "banana")),
        ("odd-1.0", None),
        ("odd-1.0", ""),
        ("odd-1.0", "Metadata-Version: 2.1\nName: odd\n"),
        ("odd-1.0", "Metadata-Version: 2.1\nVersion: 1.0\n"),
        ("odd-1.0", "metadata-version: 2.1\r\nname:\r\n odd\r\nversion: 1.0\r\n"),
        ("odd-1.0", metadata("odd", "1.0") + "\nName: other\nVersion: 2.0\n"),
        ("odd-1.0", "Metadata-Version: 2.1\nSummary: x\n\nName: odd\nVersion: 1.0\n"),
        ("odd-1.0+cu132", metadata("odd", "1.0+cu132")),
        ("odd-1.0+cu132", metadata("odd", "1.0")),
        ("odd-1.0+Cu.132", metadata("odd", "1.0+cu-132")),
        ("odd-1.0+cu132", metadata("odd", "1.0+cu126")),
        ("odd-1.0", metadata("odd", "1.0+cu132")),
        ("odd-1.0_cu132", metadata("odd", "1.0+cu132")),
        ("odd-1!2.0", metadata("odd", "1!2.0")),
        ("odd-2.0", metadata("odd", "1!2.0")),
        ("odd-0!2.0", metadata("odd", "2.0")),
        ("odd-1.0rc1", metadata("odd", "1.0.RC.1")),
        ("odd-1.0rc1", metadata("odd", "1.0")),
        ("odd-1.0.post1", metadata("odd", "1.0-1")),
        ("odd-1.0-1abc", metadata("odd", "1.0")),
    ],
)
def test_who_a_wheel_is_is_judged_as_by_uv(uv, tmp_path, file, text):
    maker = Maker(*file.split("-")[:2])
    maker.add({f"{maker.dist_info}/METADATA": text or ""})
    if text is None:
        del maker.files[f"{maker.dist_info}/METADATA"]
    wheel = maker.write(tmp_path, file_name=f"{file}-py3-none-any.whl")
    try:
        Wheel.read(wheel)
        taken = True
    except BentoError:
        taken = False
    assert uv.takes(wheel, tmp_path / "target") == taken
