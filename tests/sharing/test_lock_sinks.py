"""Strings of locks become no paths: files and directories of builds of images have numbers, or checked names."""

import hashlib
import os
import re
import zipfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from bento_cli.sharing import native_packages, native_wheel
from bento_cli.sharing.native_build import BuildWorkspace
from bento_cli.sharing.native_packages import LocalWheel
from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import Progress
from rules_bento.images.plan import ImagePlan, PlannedBytecode, PlannedWheel
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker

SHA = "ab" * 32


@pytest.fixture
def around(tmp_path):
    """A directory for a build among files that nothing may change. The first level below it has names that lead out."""
    work = tmp_path / "a/b/work"
    (work / "sdist-xx").mkdir(parents=True)
    (work / "project-xx").mkdir()
    for directory in (tmp_path / "a/b/victim", tmp_path / "a/victim", tmp_path / "victim", work / "victim"):
        directory.mkdir()
        for name in ("keep", "x.whl", "x-1.0-py3-none-any.whl"):
            (directory / name).write_text("precious")
    for suffix in ("part", "bytecode"):
        (tmp_path / f"a/b/victim.{suffix}").write_text("precious")

    def seen():
        inside = f"{work / 'scratch'}/"
        return {
            str(path): path.read_text() if path.is_file() else ""
            for path in tmp_path.rglob("*")
            if not f"{path}/".startswith(inside)
        }

    (work / "scratch").mkdir()
    before = seen()
    yield work
    assert seen() == before


def spellings(directory):
    """Names that lead to `directory`, or to nothing that may be made."""
    up = "/".join([".."] * 3)
    return [
        *(f"xx/{up}/victim", "../victim", "../../victim", "../../../victim", f"{directory.parent}/victim", str(directory.parent / "victim/keep")),
        *("..", ".", "", "/", "~/x", "a/b", "a\\..\\b", "..\\victim", "a\0b", "a\nb", "\x1b[2J", "\u202e", "x" * 300, "\ud800", "C:\\x", "-rf"),
        *("../victim/x.whl", "../../victim/x-1.0-py3-none-any.whl", "%2e%2e", "%2e%2e%2fvictim%2fx.whl", "..%5cvictim", "%00", "..?a", "..#a"),
    ]  # fmt: skip


def test_files_of_the_cache_are_below_their_digest(around):
    cache, found = around / "scratch/cache", 0
    for text in spellings(around):
        for ending in ("", ".whl", ".tar.gz", "/x-1.0-py3-none-any.whl"):
            url = f"https://h/{quote(text, safe='%/?#', errors='surrogatepass')}{ending}"
            for sha256 in (SHA, text, f"{SHA}/{text}", f"{text}/{SHA}"):
                try:
                    path = native_packages.location(url, sha256, cache)
                except BentoError as error:
                    assert str(error).isprintable()
                    continue
                found += 1
                assert sha256 == SHA
                assert path.parent in (cache / "wheels" / SHA, cache / "sdists" / SHA)
                assert path.name not in ("", ".", "..")
                assert "/" not in path.name
    assert found > 20
    assert native_packages.location("https://h/a%2Bb.zip?c/d", SHA, cache) == cache / "sdists" / SHA / "a+b.zip"


def test_the_best_wheel_is_in_the_cache(around):
    base = SimpleNamespace(machine="x86_64", python_version="3.11", glibc=(2, 36))
    cache = around / "scratch/cache"
    for sha256 in (f"{around.parent}/victim", "../../../victim", "..", ""):
        with pytest.raises(BentoError, match="isn't a SHA-256"):
            native_packages.best_wheel("x", "1.0", {sha256: "https://h/x-1.0-py3-none-any.whl"}, base, cache)


def workspace(around):
    return BuildWorkspace(
        around / "scratch", around / "scratch/cache", around / "scratch/cache", {}, ExitStack(), Progress()
    )


def relative(path, around):
    return str(path.relative_to(around / "scratch/cache/layers"))


def archive(around):
    with zipfile.ZipFile(path := around / "scratch/x-1.0.zip", "w") as file:
        file.writestr("x-1.0/pyproject.toml", "")
        file.writestr("x-1.0/planted.sh", "")
    return path


def test_directories_of_builds_have_no_names_of_documents(around, monkeypatch):
    path, project = archive(around), SimpleNamespace(_replace=lambda **fields: SimpleNamespace(**fields))
    stopped = BentoError("stopped", place="x", remedy="Stop.")

    def stop(*_):
        raise stopped

    monkeypatch.setattr(native_wheel, "require_uv", lambda _: "uv")
    monkeypatch.setattr(native_wheel, "_version_of_back_end", stop)
    for text in spellings(around):
        package = LocalWheel(text, "1.0", path, hashlib.sha256(path.read_bytes()).hexdigest())
        with pytest.raises(BentoError, match="stopped"):
            native_wheel.build_archive(package, project, workspace(around), "3.11")
    made = [each for each in (around / "scratch").iterdir() if each != path]
    assert len(made) == 2 * len(spellings(around)), "one to unpack, and one to build"


@pytest.mark.parametrize("suffix", ["part", "bytecode"])
def test_parts_of_layers_have_no_names_of_documents(around, suffix):
    wheel = Maker("x").add({"x/data": b"1"}).write(around / "scratch")
    base = SimpleNamespace(python_version="3.11.4")
    compiler = SimpleNamespace(cache_tag="cpython-311", version="3.11.4", compile_all=lambda *_: iter(()))
    for text in spellings(around):
        planned = PlannedWheel(text, "1.0", wheel.name, 10, SHA, (), lambda: wheel, lambda: Wheel.read(wheel))
        other = planned._replace(distribution="other")
        bytecode = PlannedBytecode("3.11.4", lambda _: compiler, is_trusted=True) if suffix == "bytecode" else None
        fields = {"base_config": {"digest": SHA}, "base_layers": (), "system": None, "python": "/p", "bento": {}}
        plan = ImagePlan(
            base=base, **fields, directory="", wheels=(planned, other), contents=(), created="", bytecode=bytecode
        )
        layers = [
            each
            for each in plan.layers(workspace(around).packed)
            if each.wheels and bool(each.python) == bool(bytecode)
        ]
        assert layers
        for layer in layers:
            layer.prepare().write(around / "scratch/layer")
    cached = [*(around / "scratch/cache/layers").rglob("*")]
    assert len(cached) == 4, "all names have one directory with three files"
    assert all(re.fullmatch(r"[0-9a-f]{64}(/(digests|part|part\.json))?", relative(path, around)) for path in cached)


def test_a_wheel_of_another_package_is_rejected_before_it_is_read(around):
    """Also in images of Bentos, whose requirements name packages and hashes."""
    for file in ("evilpkg-0.1-py3-none-any.whl", "requests-2.32.6-py3-none-any.whl", "a.b-2.32.5-py3-none-any.whl"):
        wheel = LocalWheel("requests", "2.32.5", Path(file), SHA, size=1)
        with pytest.raises(BentoError, match=f"the lock has the wheel '{file}' for requests 2.32.5. Lock"):
            workspace(around).plan_wheels([wheel])
    for file in ("Requests-2.32.5-1-py3-none-any.whl", "requests-2.32.5+cu1-py3-none-any.whl"):
        [planned] = workspace(around).plan_wheels([LocalWheel("requests", "2.32.5", Path(file), SHA, size=1)])
        assert planned.name == file


def test_a_device_is_no_wheel(around):
    for path in ("/dev/zero", str(around), str(around / "absent"), "x" * 300, "a\0b"):
        with pytest.raises(BentoError, match="the lock has the file, but it doesn't exist"):
            native_packages.location(path, SHA, around / "scratch")
    assert os.path.exists("/dev/zero")  # noqa: PTH110
