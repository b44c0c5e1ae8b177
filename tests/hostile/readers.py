"""Lists the readers of untrusted input: valid inputs for each reader, created in memory, and the call on a file."""

import bz2
import contextlib
import gzip
import importlib.util
import io
import json
import lzma
import os
import re
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import yaml
import zstandard
from bento_cli.library import Store
from bento_cli.projects import from_directory
from bento_cli.sharing import native_packages, native_wheel
from bento_cli.sharing.command_remedies import CommandRemedies
from bento_cli.sharing.native_build import BuildWorkspace
from bento_cli.sharing.registry import layouts
from bento_cli.sharing.registry_cache import CachedBase, CachedLayer, dumps
from bento_cli.store.home import Home
from bento_cli.store.import_session import Options
from blake3 import blake3
from rules_bento.actions.wheels import unpack_wheel
from rules_bento.base.archives.recipe import Recipe
from rules_bento.base.archives.zipread import Chunk
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import Layer
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.net import http_headers
from rules_bento.base.net.transfers import Progress
from rules_bento.base.subcommand_arguments import decode
from rules_bento.bentos.assembly import bento_yaml
from rules_bento.bentos.assembly.kinds import BENTO, MODEL
from rules_bento.bentos.models import model_store
from rules_bento.bentos.models.weights import check_weights
from rules_bento.bentos.packages import build_wheel, lock_format, lock_with_uv
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.bentos.packages.locks.any_lock import pins, read_lock
from rules_bento.bentos.packages.uv_lock_conflicts import Choice
from rules_bento.images import oci_image, sbom, unpack_image
from rules_bento.images.debian import apt
from rules_bento.images.debian.deb import Deb
from rules_bento.images.debian.deb_rootfs import PathFilter, Rootfs
from rules_bento.images.layers import contents, members
from rules_bento.images.layers.layer import write_files_layer, write_wheel_layer, write_wheel_recipe
from rules_bento.images.plan import ImagePlan, Packing, PlannedLayer, PlannedWheel
from rules_bento.images.registry import base_images, docker_archive
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import BytesSource
from rules_bento.images.registry.layout import Layout
from rules_bento.images.reports.layer_contents import LayerReader
from rules_bento.images.signing import SignatureError, cosign
from rules_bento.images.signing.keyless import Identity, entry_check, read_trusted_root
from rules_bento.images.system_packages import InstalledPackage, SystemFiles
from rules_bento.images.validation import all_checks, gpus
from rules_bento.images.validation.base_compatibility import Base
from rules_bento.images.validation.bento_requirements import ImageSystem
from rules_bento.images.wheels.elf import SparseFile, read_elf
from rules_bento.images.wheels.gpu_code import GpuCodeScanner
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.libraries import Libraries
from rules_bento.images.wheels.wheel import Wheel

from tests.debian.made_debs import ar_of, member
from tests.debian.made_debs import tar_of as tar_of_members
from tests.helpers import made_gpu_code, tar_files
from tests.helpers.made_wheels import record_line

METADATA = b"""\
Metadata-Version: 2.1
Name: odd
Version: 1.0
Requires-Dist: six>=1; extra == 'x'
License: MIT

A text
"""
_PROGRAMS = Path("toolchains/programs").absolute()
DAY = "2026-01-01T00:00:00+00:00"


def seed(name: str) -> bytes:
    """Return an input that a reader accepts."""
    return (Path(__file__).parent / "seeds" / name).read_bytes()


def _seed(name: str) -> Callable[[], list[bytes]]:
    return lambda: [seed(name)]


class Reader(NamedTuple):
    """Describes a reader of one format."""

    kind: str  # how its inputs are changed: see mutations.py
    file: str  # the name of the file that it is given
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path, Path], object]  # of the file and a path at which it may write
    kept: str = "-"  # what files may begin with that are below that path when it refuses

    def keeps(self, path: str) -> bool:
        """Return whether a file can remain although the input was rejected."""
        return path.startswith(self.kept)


# Project

SERVICE = seed("service").decode()


def _document(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()


# Locks

SHA = "0" * 64
LOCK = json.loads(seed("lock.json"))


def uv_locks() -> list[bytes]:
    registry = {"registry": "https://index.example/simple"}

    def file(name: str) -> dict[str, Any]:
        return {"url": f"https://f.example/{name}", "hash": f"sha256:{SHA}", "size": 1}

    def package(name: str, source: dict[str, str], *files: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"name": name, "version": "1.0", "source": source, "wheels": list(files), **fields}

    edge = {"name": "odd", "extra": ["fast"], "marker": "sys_platform == 'linux'"}
    packages = [
        {"name": "proj", "version": "0", "source": {"virtual": "."}, "dependencies": [edge, {"name": "old"}]},
        package("odd", registry, file("odd-1.0-py3-none-any.whl"), **{"optional-dependencies": {"fast": [edge]}}),
        package("old", registry, sdist=file("old-1.0.tar.gz")),
        package("at-url", {"url": "https://h.example/at_url-1.0.zip", "subdirectory": "a"}, sdist={"hash": f"sha256:{SHA}"}),
        package("at-path", {"path": "x/at_path-1.0-py3-none-any.whl"}, {"filename": "at_path-1.0-py3-none-any.whl", "hash": f"sha256:{SHA}"}),
        package("flat", {"registry": "../links"}, {"path": "flat-1.0-py3-none-any.whl"}),
        package("git", {"git": f"https://g.example/x?rev=a#{'a' * 40}"}),
    ]  # fmt: skip
    head = {"version": 1, "revision": 3, "requires-python": ">=3.11", "manifest": {"members": ["proj"]}}
    return [_document({**head, "package": packages})]


def pylocks() -> list[bytes]:
    wheels = [{"name": "odd-1.0-py3-none-any.whl", "url": "https://f.example/odd-1.0-py3-none-any.whl", "size": 1}]
    wheels[0]["hashes"] = {"sha256": SHA}
    vcs = {"type": "git", "url": "https://g.example/x", "commit-id": "a" * 40, "subdirectory": "a"}
    archive = {"url": "https://f.example/b-1.zip", "hashes": {"sha256": SHA}}
    packages = [
        {"name": "odd", "version": "1.0", "marker": "os_name == 'posix'", "wheels": wheels},
        {"name": "a", "vcs": vcs},
        {"name": "b", "archive": archive},
    ]
    return [_document({"lock-version": "1.0", "created-by": "uv", "packages": packages})]


def toml_of(document: bytes) -> str:
    """Return a document in JSON as TOML, and other text unchanged."""

    def value(of: Any) -> str:
        if isinstance(of, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {value(of[key])}" for key in of if of[key] is not None) + "}"
        if isinstance(of, list):
            return f"[{', '.join(value(each) for each in of if each is not None)}]"
        return json.dumps(of, ensure_ascii=False).replace("\x7f", "\\u007f")

    try:
        found = json.loads(document)
        return "".join(f"{json.dumps(key)} = {value(found[key])}\n" for key in found if found[key] is not None)
    except (ValueError, TypeError, RecursionError, AttributeError):
        return document.decode("utf-8", "surrogateescape")


def _absolute(path: Path, out: Path) -> str:
    """Return a document as TOML, with the path of a file that must remain in place of `/x`."""
    return toml_of(path.read_bytes()).replace('"/x"', json.dumps(f"{out}/x"))


@contextlib.contextmanager
def _sinks(out: Path) -> Iterator[BuildWorkspace]:
    """Yield a workspace for a build among files that must remain. Names that are paths would lead to them."""
    base = out / "a/b/c"
    scratch, cache = base / "scratch", base / "cache"
    for directory in (
        out,
        out / "a",
        out / "a/b",
        base,
        scratch / "sdist-a",
        cache / "layers",
        cache / "wheels/sha256",
        cache / "sdists",
    ):
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("x", "x.part", "x.bytecode", "con"):
            (directory / name).write_bytes(b"precious")
    allowed = re.compile(
        rf"{re.escape(str(base))}/(scratch/tmp[a-z0-9_]{{8}}|cache/(layers|wheels|sdists)/[0-9a-f]{{64}})(/|\Z)"
    )

    def seen() -> dict[str, bytes]:
        paths = [path for path in out.rglob("*") if not allowed.match(str(path))]
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in paths}

    def download(_address: object, path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"x")

    def stop(*_: object) -> None:
        raise BentoError("stopped")

    before = seen()
    with (
        mock.patch.object(native_packages.transports, "download", download),
        mock.patch.object(native_wheel, "require_uv", lambda _: "uv"),
        mock.patch.object(native_wheel, "_version_of_back_end", stop),
    ):
        yield BuildWorkspace(scratch, cache, cache, {}, contextlib.ExitStack(), Progress())
    assert seen() == before


def _carry(packages: Iterable[tuple[str, str, dict[str, str]]], workspace: BuildWorkspace) -> None:
    """Carry names, versions, and files by their digests to all that makes paths of them."""
    project: Any = SimpleNamespace(_replace=lambda **fields: SimpleNamespace(**fields))
    base: Any = SimpleNamespace(machine="x86_64", python_version="3.11", glibc=(2, 36))
    good = workspace.scratch.parent / "good-1.0-py3-none-any.whl"
    archive = workspace.scratch.parent / "good.zip"
    for name, version, files in {repr(package): package for package in packages}.values():  # each once
        wheels = []
        with contextlib.suppress(BentoError, OSError):
            best = native_packages.best_wheel(name, version, files, base, workspace.cache)
            wheels += [best] if best else []
        for digest, url in files.items():
            with contextlib.suppress(BentoError, OSError):
                place = native_packages.location(url, digest, workspace.downloads)
                wheels.append(native_packages.LocalWheel(name, version, place, digest, url, 1))
        for wheel in wheels:
            with contextlib.suppress(BentoError, OSError):
                native_packages.fetch(wheel, workspace.progress)
            with contextlib.suppress(BentoError):
                workspace.plan_wheels([wheel])
        archive.write_bytes(zip_of({"odd-1/setup.py": b""}))
        with contextlib.suppress(BentoError):
            package = native_packages.LocalWheel(name, version, archive, SHA)
            native_wheel.build_archive(package, project, workspace, "3.11")
        good.write_bytes(wheel_of_plan())
        planned = PlannedWheel(name, version, good.name, 1, SHA, (), lambda: good, lambda: Wheel.read(good))
        for layer in _plan(planned).layers(workspace.packed):
            if layer.wheels:
                layer.prepare().write(good.with_name("layer"))
        for path in (good, archive, good.with_name("layer")):
            path.unlink(missing_ok=True)


def wheel_of_plan() -> bytes:
    return zip_of(_wheel_files("good", {}))


def _plan(planned: PlannedWheel) -> ImagePlan:
    fields: dict[str, Any] = {"base": SimpleNamespace(python_version="3.11.4"), "system": None}
    more: dict[str, Any] = {"base_config": {}, "base_layers": (), "python": "/p", "bento": {}, "directory": ""}
    wheels = (planned, planned._replace(distribution=f"{planned.distribution}2"))
    return ImagePlan(**fields, **more, wheels=wheels, contents=(), created="")


def _uv_lock(path: Path, out: Path) -> None:
    lock = lock_format.read_uv_lock(_absolute(path, out), path.name)
    with _sinks(out) as workspace:
        found = []
        for package in lock["package"]:
            with contextlib.suppress(BentoError):
                files = lock_format.locked_files(package, path.name, workspace.scratch)
                found.append((package["name"], str(package.get("version", "")), files))
        _carry(found, workspace)


def _unchecked_uv_lock(path: Path, out: Path) -> None:
    """Read a lock whose strings aren't checked: what makes paths of them is safe on its own."""
    reader = SimpleNamespace(check=schema.validate, require=lambda *_: None)  # only types
    with (
        mock.patch.object(lock_format, "shapes", reader),
        mock.patch.object(lock_format.requirement_syntax, "check_wheel", lambda *_: None),
    ):
        _uv_lock(path, out)


def _pylock(path: Path, out: Path) -> None:
    """Read a lock that a user gives, and one that uv writes, whose strings are of an index."""
    text, refused = _absolute(path, out), []
    try:
        lines = pins(read_lock(Path("pylock.toml"), read=lambda _: text.encode(errors="surrogatepass")), Choice())
        pyproject = lock_with_uv.Project([line.text for line in lines], ">=3.11").pyproject()
        assert read_toml(pyproject, "x")["project"]["dependencies"] == [line.text for line in lines]
    except BentoError as error:
        refused.append(error)
    base: Any = SimpleNamespace(machine="x86_64", python_version="3.11", glibc=(2, 36))
    with (
        _sinks(out) as workspace,
        mock.patch.object(native_packages.uv, "require_uv", lambda _: "uv"),
        mock.patch.object(native_packages.uv, "start", lambda *_, **__: CompletedProcess((), 0, text, "")),
    ):
        try:
            located = native_packages.locate([], base, Indexes())
            files = {digest: url for digest, (url, _) in located.items()}
            _carry([("odd", "1.0", files)], workspace)
        except BentoError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def _metadata(path: Path, out: Path) -> None:
    """Read METADATA in a wheel, and write its layer and SBOM."""
    good = path.with_name("odd-1.0-py3-none-any.whl")
    good.write_bytes(wheel({"odd-1.0.dist-info/METADATA": path.read_bytes()}))
    try:
        package = Libraries.read(Wheel.read(good))
        out.mkdir()
        write_wheel_layer(out / "layer", Wheel.read(good), InstallLayout.venv("/app/.venv", 11), "gzip", threads=1)
        subject = sbom.ImageSubject("odd", "1.0", f"sha256:{SHA}", DAY)
        components = sbom.image_components(
            sbom.sources("odd", "1.0", f"sha256:{SHA}"), [("odd", "1.0", SHA)], {}, [package], []
        )
        sbom.make_sbom(subject, components, "cyclonedx")
    finally:
        good.unlink()


# Wheels and Debian packages


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of files by name."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2020, 2, 2, 2, 2, 2))
            info.create_system, info.external_attr, info.compress_type = 3, 0o100644 << 16, method
            archive.writestr(info, data)
    return made.getvalue()


def elf() -> bytes:
    """Return a shared library that requires other libraries with versioned symbols."""
    strings = b"\0libc.so.6\0libm.so.6\0libodd.so\0$ORIGIN/x\0GLIBC_2.17\0"
    need = struct.pack("<HHLLL", 1, 1, 1, 16, 0) + struct.pack("<LHHLL", 0, 0, 2, strings.index(b"GLIBC"), 0)
    entries = [(5, 0x300), (10, len(strings)), (1, 1), (1, 11), (14, 21), (29, 31), (0x6FFFFFFE, 0x380)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0x6FFFFFFF, 1), (0, 0)])
    head = struct.pack("<16sHHLQQQLHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    segments = struct.pack("<LLQQQQQQ", 1, 5, 0, 0, 0, 0x400, 0x400, 0x1000)
    segments += struct.pack("<LLQQQQQQ", 2, 6, 176, 176, 176, len(dynamic), len(dynamic), 8)
    data = bytearray(0x400)
    for at, part in ((0, head + segments + dynamic), (0x300, strings), (0x380, need)):
        data[at : at + len(part)] = part
    return bytes(data)


def _gpu_libraries() -> list[bytes]:
    made = made_gpu_code
    machine_code = made.entry(made.MACHINE_CODE, 90, made.ARCHITECTURE_ONLY, size=8, more=bytes(16))
    table = made.joined(made.header(made.MACHINE_CODE, 75), made.header(made.MACHINE_CODE, 120), size=16)
    containers = made.container(machine_code, made.entry(made.PTX, 90, size=8)), made.container(table), made.container()
    return [made.library(containers[0] + containers[1]), made.library(bytes(8).join(containers))]


def _gpu_library(path: Path, _out: Path) -> None:
    """Read a library in pieces, as the analysis of a wheel does."""
    data, scanner = path.read_bytes(), GpuCodeScanner()

    def read() -> Iterator[Chunk]:
        return scanner.watch(Chunk(data[at : at + 100], None) for at in range(0, len(data), 100))

    if data:
        with SparseFile(len(data), read) as spread:
            read_elf(spread.data, spread.fetch, scanner.within)


def wheel(more: dict[str, bytes] | None = None) -> bytes:
    """Return a wheel whose RECORD has no digests, so that changed files aren't rejected because of digests."""
    return zip_of(_wheel_files("odd", more or {}))


def _wheel_files(distribution: str, more: dict[str, bytes]) -> dict[str, bytes]:
    info = f"{distribution}-1.0.dist-info/"
    files = {
        "odd/__init__.py": b"x = 1\n" * 20,
        "odd/lib.so": elf(),
        "odd-1.0.data/scripts/odd": b"#!python\n",
        "odd-1.0.data/data/share/odd": b"y",
        f"{info}METADATA": METADATA.replace(b"odd", distribution.encode()),
        f"{info}WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}entry_points.txt": b"[console_scripts]\nodd = odd:main\n[gui_scripts]\nodd2 = odd.x:main.y\n",
        **more,
    }
    rows = [record_line(name, data) for name, data in files.items()]
    files[f"{info}RECORD"] = "\n".join([*rows, f"{info}RECORD,,", ""]).encode()
    return files


def _wheel(path: Path, out: Path) -> None:
    Libraries.read(Wheel.read(path))
    out.mkdir()
    write_wheel_layer(out / "layer", Wheel.read(path), InstallLayout.venv("/app/.venv", 11), "gzip", threads=1)
    with tarfile.open(out / "layer") as layer:
        _check_names(layer, "app")


def _check_names(tar: tarfile.TarFile, *tops: str) -> None:
    """Check that the members of a layer are below some directories, also after a link is followed."""
    for each in tar:
        parts = each.name.split("/")
        assert parts[0] in tops and not {"", ".", ".."} & {*parts}, each.name
        assert not any(part.startswith(".wh.") for part in parts), each.name
        assert each.isreg() or each.isdir() or each.issym(), each.type


def _program(name: str) -> Callable[..., None]:
    """Return the main function of a program that repository rules run."""
    spec = importlib.util.spec_from_file_location(name, _PROGRAMS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def _modules(path: Path, out: Path) -> None:
    """Inspect and unpack a wheel, as package hubs of Bazel do."""
    try:
        _program("inspect_wheel")(str(path), SHA, "3.12")
        _program("unpack_wheel")(str(path), str(out))
    except SystemExit as error:
        raise BentoError(str(error)) from None
    assert not any(each.is_symlink() for each in out.rglob("*"))


def _recipes() -> list[bytes]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "odd-1.0-py3-none-any.whl")
        path.write_bytes(wheel())
        out = path.with_name("recipe")
        write_wheel_recipe(out, Wheel.read(path), InstallLayout.venv("/app/.venv", 11))
        return [out.read_bytes()]


def _recipe(path: Path, out: Path) -> None:
    out.write_bytes(wheel())
    for _ in zip(Recipe(path, out).pieces(), range(100), strict=False):
        pass


# Notes of layers in a registry


def planned_layer() -> PlannedLayer:
    name = "odd-1.0-py3-none-any.whl"
    wheel_of_note = PlannedWheel("odd", "1.0", name, len(wheel()), SHA, (), Path, lambda: Wheel.read(Path(name)))
    packing = Packing([], lambda _: Layer("", "", 0, ""))
    return PlannedLayer("odd 1.0", [True, [wheel_of_note.key]], lambda: packing, (wheel_of_note,))


def layer_notes() -> list[bytes]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "odd-1.0-py3-none-any.whl")
        path.write_bytes(wheel())
        libraries = Libraries.read(Wheel.read(path))
    [linked] = libraries.linked
    code = linked.elf._replace(gpu_code=("sm_80", "sm_90a", "compute_90"))
    libraries = libraries._replace(linked=(linked._replace(elf=code),), named=frozenset(["lib", "odd_"]))
    layer = Layer("", f"sha256:{SHA}", 1000, f"sha256:{SHA}", None, 2000)
    return [dumps(planned_layer().shared_key("gzip"), CachedLayer(layer, (libraries,), BytesSource(b"")))]


def _note_documents() -> list[bytes]:
    [note] = map(json.loads, map(gzip.decompress, layer_notes()))
    return [_document(note | {"packages": [json.loads(text) for text in note["packages"]]})]


def note_with_named(word: str) -> bytes:
    """Return a note whose package names a library by `word`."""
    note = json.loads(_note_documents()[0])
    note["packages"][0]["named"] = [word]
    return _document(note)


def _note(path: Path, _out: Path) -> None:
    """Read a note, whose packages are values in the file, and use it as a build does."""
    text = path.read_bytes()
    with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError, RecursionError):
        note = json.loads(text)
        text = json.dumps(note | {"packages": [json.dumps(package) for package in note["packages"]]}).encode()
    repository: Any = None
    layer, packages, _ = CachedLayer.loads(planned_layer(), "gzip", gzip.compress(text), repository)
    json.dumps(["noted", layer])  # the key of a cached layer
    image = oci_image.make_image([layer], oci_image.data_config(DAY, {}, {}))
    oci.Manifest.read(image.manifest, oci.MANIFEST, "the image")
    wheels, remedies = [package.wheel for package in packages], CommandRemedies("base")
    base = Base("base", "amd64", (2, 36), ("libc.so.6", "libm.so.6", "libodd.so"), "3.12")
    subject = sbom.ImageSubject("odd", "1.0", f"sha256:{SHA}", DAY)
    components = sbom.image_components(
        sbom.sources("odd", "1.0", f"sha256:{SHA}"), [("odd", "1.0", f"sha256:{SHA}")], {}, packages, []
    )
    sbom.make_sbom(subject, components, "cyclonedx")
    with contextlib.suppress(BentoError):  # the packages are also read by the next check
        gpus.check([gpus.Gpu("H100", 90)], lambda: packages, ["13.0"], (), remedies)
    all_checks.check_packages(base, wheels, packages, (), remedies)


def _base_note_documents() -> list[bytes]:
    python = {"python": "/usr/bin/python3", "version": "3.13", "release": "3.13.5", "libraries": ["libc.so.6"]}
    python["uncompiled"] = 600
    packages = InstalledPackage("libc6", "2.41-12", "amd64"), InstalledPackage("odd", "1", "all", (("virtual", "2"),))
    system = SystemFiles(("debian",), packages).dumps()
    return [_document({"key": SHA, **python, "system": json.loads(system)})]


_SETTINGS = ["home", "include-system-site-packages", "version"]


def _base_note(path: Path, out: Path) -> None:
    """Read the note of a base, whose system files are a value in the file, and use it as a build does."""
    text = path.read_bytes()
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        note = json.loads(text)
        text = json.dumps(note | {"system": json.dumps(note["system"])}).encode()
    repository: Any = None
    fields = CachedBase.loads(SHA, gzip.compress(text), repository).fields
    python, version, release = (fields[name] for name in ("python", "version", "release"))
    assert re.fullmatch(r"/[!-~]+ 3\.[0-9]{1,3} ([0-9.]+)?", f"{python} {version} {release}")  # words of commands
    InstallLayout.venv("/app/.venv", int(version.split(".")[1]))
    environment = members.environment_members("/home/bentoml", "/app/.venv", python, version, "1034:1034")
    write_files_layer(out, environment, "gzip")
    with tarfile.open(out) as layer:
        _check_names(layer, "app", "home")
    [settings] = [member.data.decode() for member in environment if member.path.endswith("pyvenv.cfg")]
    assert [line.partition(" = ")[0] for line in settings.splitlines()] == _SETTINGS
    ids, packages = SystemFiles.loads(fields["system"])
    system = ImageSystem("base", ids, packages or (), packages is not None, ())
    bento = {"docker": {"distro": "debian", "system_packages": ["odd=1*", "virtual"]}}
    all_checks.check_system(bento, system, (), [("odd-1.0-py3-none-any.whl", 1)], CommandRemedies("base"))


def deb(form: str = "") -> bytes:
    """Return a package with compressed tars, or with uncompressed tars, so that mutations can change the contents."""
    control = b"Package: odd\nVersion: 1.0-1\nArchitecture: amd64\nDepends: a | b (>= 1), c\nDescription: x\n y\n"
    files = [
        member("usr"),
        member("usr/bin"),
        member("usr/bin/odd", data=b"#!/bin/sh\n", mode=0o755),
        member("usr/bin/more", link="odd"),
        member("usr/bin/hard", hard="usr/bin/odd"),
        member("etc/odd.conf", data=b"a=b\n"),
    ]
    controls = [
        member("control", data=control),
        member("md5sums", data=b"0" * 32 + b"  usr/bin/odd\n"),
        member("conffiles", data=b"/etc/odd.conf\n"),
    ]
    tars = {"control.tar": tar_of_members(controls), "data.tar": tar_of_members(files)}
    ending = f".{form}" if form else ""
    return ar_of({"debian-binary": b"2.0\n", **{name + ending: packed(tar, form) for name, tar in tars.items()}})


def _deb(path: Path, _out: Path) -> None:
    root = Rootfs(None, PathFilter.from_patterns(["/usr/share/doc/*"], []), lambda path: path.startswith("etc/"))
    for _ in root.install(Deb(path)):
        pass
    for _ in root.database():
        pass


# Weights


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    """Return a file of tensors."""
    return len(header).to_bytes(8, "little") + header + data


def _headers_of_tensors() -> list[bytes]:
    tensors = {"a": ["F32", [2, 3], [0, 24]], "b": ["BF16", [], [24, 26]], "c": ["F4", [0], [26, 26]]}
    header = {name: dict(zip(("dtype", "shape", "data_offsets"), of, strict=True)) for name, of in tensors.items()}
    return [_document({"__metadata__": {"format": "pt"}, **header})]


def _weights(path: Path, _out: Path) -> None:
    path.write_bytes(safetensors(path.read_bytes(), bytes(26)))
    check_weights({"m.safetensors": str(path)}, "m:v1")


def _indexes() -> list[bytes]:
    return [_document({"metadata": {"total_size": 1}, "weight_map": {"a": "m-1.bin", "b": "m-2.bin"}})]


def _index(path: Path, _out: Path) -> None:
    check_weights({"m.index.json": str(path), "m-1.bin": "", "m-2.bin": ""}, "m:v1")


# Archives, layouts and descriptors


def bento_document() -> dict[str, Any]:
    """Return the content of a bento.yaml."""
    return json.loads(seed("bento.json"))  # type: ignore[no-any-return]


def model_document() -> dict[str, Any]:
    """Return the content of a model.yaml."""
    return json.loads(seed("model.json"))  # type: ignore[no-any-return]


def tar_of(files: dict[str, bytes | str], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of files by name. A string value is the target of a link."""
    return tar_files.tar_of(files.items(), format=form)


def bento_files() -> dict[str, bytes | str]:
    """Return the files of a Bento with a model."""
    return {
        "bento.yaml": _document(bento_document()),
        "README.md": b"# hi\n",
        "env/docker/Dockerfile": b"FROM scratch\n",
        "src/service.py": b"import bentoml\n",
        "src/long/" + "n" * 120: b"x",
        "src/link": "service.py",
        "models/clf/v1/model.yaml": _document(model_document()),
        "models/clf/v1/weights": b"w" * 2000,
        "models/clf/latest": b"v1",
    }


def packed(data: bytes, form: str) -> bytes:
    """Return a tar in one of the archive formats."""
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.ZstdCompressor().compress}
    return pack[form](data) if form in pack else data


def _archives(form: str) -> Callable[[], list[bytes]]:
    def seeds() -> list[bytes]:
        files = bento_files()
        if form == "zip":
            plain = {name: data for name, data in files.items() if isinstance(data, bytes)}
            return [zip_of(plain), zip_of(plain, zipfile.ZIP_STORED), zip_of(plain, zipfile.ZIP_BZIP2)]
        return [packed(tar_of(files, kind), form) for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)]

    return seeds


def _oci_archives() -> list[bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(scratch, durable=False)
        entry = store.bentos.import_archive(io.BufferedReader(io.BytesIO(tar_of(bento_files()))), "tar").entry  # type: ignore[arg-type]
        layouts.push(store.home, [entry], f"oci-archive:{scratch}/all.tar")
        return [Path(scratch, "all.tar").read_bytes()]


def _pull(path: Path, out: Path) -> None:
    layouts.pull(Home(out), BENTO, f"oci-archive:{path}", Options())


def _descriptor(kind: str) -> Callable[[Path, Path], None]:
    def read(path: Path, _out: Path) -> None:
        found = bento_yaml.parse(BENTO if kind == "bento" else MODEL, path.read_bytes(), path.name)
        yaml.safe_dump(found.document).encode()

    return read


# Images, registries and headers

CONFIG = json.loads(seed("config.json"))
_TYPE = "application/vnd.oci.image."
MANIFEST = json.loads(seed("manifest.json"))
INDEX = json.loads(seed("index.json"))


def image(documents: bytes) -> dict[str, bytes]:
    """Return the files of a layout for a config, manifest, and index. Inserts the digests and sizes."""
    layer = tar_of({"usr/lib/libc.so.6": b"x", "etc/os-release": b"ID=debian\n"})
    blobs = {"layer": layer}
    try:
        texts = [json.dumps(document).encode("utf-8", "surrogatepass") for document in json.loads(documents)][:3]
    except (ValueError, TypeError, RecursionError):
        texts = [documents, documents, documents]
    for name, text in zip(("config", "manifest", "index"), texts, strict=False):
        filled = text
        for other, blob in blobs.items():
            digest = f"sha256:{sha256(blob).hexdigest()}".encode()
            filled = filled.replace(f"@{other}".encode(), digest).replace(f'"#{other}"'.encode(), b"%d" % len(blob))
        blobs[name] = filled
    index = blobs.pop("index", b"[]")
    files = {f"blobs/sha256/{sha256(blob).hexdigest()}": blob for blob in blobs.values()}
    return {**files, "index.json": index, "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}


def _layout(path: Path, out: Path) -> None:
    for name, data in image(path.read_bytes()).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    layout = Layout.open(out)
    base_images.check_layers(layout, list(base_images.find_images(layout, ["linux/amd64"]).values()))


class _AnyKey:
    """Accepts all signatures, so that the code after the verification is also tested."""

    origin = "x"

    def verifies(self, signature: bytes, digest: bytes, _material: object) -> bool:
        return bool(signature and digest)


def _signatures(path: Path, _out: Path) -> None:
    document, key, digest = read_object(path.read_bytes(), path.name), _AnyKey(), f"sha256:{SHA}"
    parts = {name: _document(document.get(name)) for name in ("statement", "envelope", "file", "bundle")}
    refused = []
    for name, read in {
        "statement": lambda content: cosign.read_statement(content, digest),
        "envelope": lambda content: cosign.open_envelope(read_object(content, "x"), key, None),
        "file": lambda content: cosign.file_signature(content, path),
        "bundle": lambda content: cosign.bundled_statement(content, key),
    }.items():
        try:
            read(parts[name])
        except BentoError as error:  # each of them is tried
            refused.append(error)
    if refused:
        raise SignatureError("; ".join(map(str, refused)))


def _keyless() -> dict[str, Any]:
    return json.loads(Path(__file__).parents[1].joinpath("registry/keyless.json").read_text("utf-8"))


def _trusted_root(out: Path) -> Path:
    out.mkdir()
    (out / "root.json").write_bytes(_document(_keyless()["trusted_root"]))
    return out / "root.json"


def _identity_bundles() -> list[bytes]:
    return [_document(json.loads(item["bundle"])) for tool in ("bento", "cosign") for item in _keyless()[tool]]


def _identity_bundle(path: Path, out: Path) -> None:
    recorded = _keyless()
    signer = Identity(recorded["identity"], recorded["issuer"], read_trusted_root(_trusted_root(out)))
    cosign.read_statement(signer.open_bundle(path.read_bytes()), recorded["digest"])


def _log_entry(path: Path, out: Path) -> None:
    material = read_object(path.read_bytes(), path.name).get("verificationMaterial")
    with contextlib.suppress(SignatureError):  # the entry is for another signature
        entry_check(_trusted_root(out))(material, {}, b"", b"")


def _docker_archives() -> list[bytes]:
    document = [{"Config": "config.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar", "b.tar"]}]
    docker = {
        "manifest.json": _document(document),
        "config.json": _document(CONFIG | {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + SHA] * 2}}),
        "a/layer.tar": tar_of({"x": b"y"}),
        "b.tar": "a/layer.tar",
    }
    return [tar_of(docker), tar_of(image(_document([CONFIG, MANIFEST, INDEX])))]


def _manifest(path: Path, _out: Path) -> None:
    manifest = oci.Manifest.read(path.read_bytes(), "", path.name)
    _ = (manifest.blobs(), manifest.children(), manifest.subject)
    if not manifest.is_index:
        _ = (manifest.config, manifest.layers())


def _manifests() -> list[bytes]:
    digest = "sha256:" + SHA

    def filled(document: Any) -> bytes:
        text = json.dumps(document)
        for name in ("config", "layer", "manifest"):
            text = text.replace(f"@{name}", digest).replace(f'"#{name}"', "3")
        return text.encode()

    subject = {"mediaType": f"{_TYPE}manifest.v1+json", "digest": digest, "size": 3}
    return [filled(MANIFEST | {"subject": subject, "artifactType": "a/b"}), filled(INDEX)]


def _layer_of(path: Path, ending: str) -> None:
    layers = [(path, f"{_TYPE}layer.v1.tar{ending}", "")]
    contents.read_files(layers, lambda path, _head: ".so" in path)
    contents.read_files(layers + layers, lambda _path, _head: True, lambda path: path.startswith("etc/"))


def _layers() -> list[bytes]:
    return [
        tar_of({"etc/os-release": b"ID=x\n", "usr/lib/a.so": b"", "usr/lib/b.so": "a.so", "x/.wh.y": b""}, form)
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
    ]


def _headers(path: Path, _out: Path) -> None:
    for line in path.read_bytes().decode("latin-1").splitlines():
        list(http_headers.challenges(line))
        http_headers.next_link(line)
        http_headers.content_range(line)
        http_headers.parse_nonnegative_int(line)


# What users and other tools have


def _system(path: Path, _out: Path) -> None:
    data = path.read_bytes()
    names = ("var/lib/dpkg/status", "var/lib/dpkg/status.d/x", "lib/apk/db/installed", "etc/os-release")
    found = SystemFiles.from_files({name: data for name in names if SystemFiles.has(name)})
    SystemFiles.loads(found.dumps())


def _stanzas(path: Path, _out: Path) -> None:
    try:
        stanzas = apt.parse_stanzas(path.read_bytes().decode("utf-8", "replace"))
    except ValueError as error:
        raise BentoError(str(error)) from None  # as the callers say, with their file
    for stanza in stanzas:
        for field in ("Depends", "Provides"):
            apt.relations(stanza.get(field, ""))


# More forms of what is read above


def _packed_layer(form: str, ending: str) -> Reader:
    def read(path: Path, _out: Path) -> None:
        _layer_of(path, ending)
        LayerReader("home/bentoml/bento").read(path, f"{_TYPE}layer.v1.tar{ending}")

    return Reader(form, "layer", lambda: [packed(tar, form) for tar in _layers()], read)


def _sdists() -> list[bytes]:
    files: dict[str, bytes | str] = {
        "odd-1/PKG-INFO": b"Name: odd\n",
        "odd-1/odd/__init__.py": b"",
        "odd-1/x": "PKG-INFO",
    }
    return [tar_of(files, form) for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)]


def _models() -> list[bytes]:
    files: dict[str, bytes | str] = {"model.yaml": _document(model_document()), "weights": b"w" * 2000, "l": "weights"}
    return [tar_of(files), tar_of({f"models/clf/v1/{name}": of for name, of in files.items()}, tarfile.GNU_FORMAT)]


def _root(path: Path, out: Path) -> None:
    out.mkdir()
    unpack_image.unpack([(path, f"{_TYPE}layer.v1.tar", "")] * 2, out)


def _roots() -> list[bytes]:
    lower = {"a/b/f": b"1", "c": b"2", "l": "a/b", "l/g": b"3", "up": "../../..", "up/h": b"4"}
    upper = {"a/.wh.b": b"", "a/b": "/usr", "a/b/x": b"5", "c/.wh..wh..opq": b"", ".wh.l": b"", "l": "..", "l/y": b"6"}
    return [tar_of(lower | upper), tar_of(lower, tarfile.GNU_FORMAT), tar_of(upper)]


PROJECT: dict[str, Any] = {
    "bentofile.yaml": "service: 'service:Svc'\ninclude: ['*.py', 'data/**']\npython: {requirements_txt: r.txt}\n",
    "service.py": SERVICE.replace('"main"', f'"{"a" * 40}"').replace('bentoml.models.BentoModel("clf:v1")', "1"),
    "r.txt": "numpy==1.26\n-r nested/r.txt\n-rc.txt\n",
    "nested/r.txt": "scipy>=1 ; python_version > '3'\n",
    "c.txt": "six<2\n",
    ".bentoignore": "*.pyc\n!x.pyc\n",
    "data/x.bin": "x",
}


SECRET = b"TOPSECRET-xyzzy==1.0\n"
OUTSIDE = "../outside/secret.txt"


def _project(path: Path, out: Path) -> None:
    """Build a Bento from a directory that the document describes.

    A value is the text of a file, `{"link": TARGET}`, or `{"pipe": ""}`. The output must not contain files from
    `OUTSIDE`.
    """
    directory = out.with_name("out") / "project" / "in"
    directory.mkdir(parents=True)
    (secret := directory / OUTSIDE).parent.mkdir()
    secret.write_bytes(SECRET)
    try:
        files = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        files = {"bentofile.yaml": path.read_bytes().decode("utf-8", "surrogateescape")}
    for name, text in files.items() if isinstance(files, dict) else ():
        place = directory / name
        try:
            if directory in place.parents and ".." not in place.parts and len(place.parts) < 100:
                place.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(text, dict) and "link" in text:
                    place.symlink_to(text["link"])
                elif text == {"pipe": ""}:
                    os.mkfifo(place)
                else:
                    place.write_bytes(str(text).encode("utf-8", "surrogateescape"))
        except (OSError, ValueError, TypeError):
            continue
    try:
        made = from_directory.build_bentofile(directory / "bentofile.yaml", build_ctx=directory)
    except BentoError as error:
        assert "TOPSECRET" not in str(error)
        raise
    assert not [name for name, content in made.bento.files.items() if b"TOPSECRET" in content]
    assert blake3(SECRET).hexdigest() not in [entry.blake3 for entry in made.bento.manifest.entries]
    made.archive(out / "x.bento")


# Whole files without a name, by their digests, which the next import may share and `bento gc` removes.
POOL = ".rules_bento/"

READERS: dict[str, Reader] = {
    "uv.lock": Reader("document", "uv.lock", uv_locks, _uv_lock, "a/"),
    "uv.lock-unchecked": Reader("document", "uv.lock", uv_locks, _unchecked_uv_lock, "a/"),
    "pylock.toml": Reader("document", "pylock.toml", pylocks, _pylock, ""),
    "metadata": Reader("text", "METADATA", lambda: [METADATA], _metadata),
    "wheel": Reader("zip", "odd-1.0-py3-none-any.whl", lambda: [wheel()], _wheel),
    "weights": Reader("document", "header.json", _headers_of_tensors, _weights),
    "weights-index": Reader("document", "m.index.json", _indexes, _index),
    "elf": Reader("binary", "lib.so", lambda: [elf()], lambda path, _out: read_elf(path.read_bytes())),
    "gpu_code": Reader("binary", "lib.so", _gpu_libraries, _gpu_library),
    "deb": Reader("deb", "odd_1.0-1_amd64.deb", lambda: [deb()], _deb),
    **{
        f"archive-{form}": Reader(
            form,
            "x.bento" if form == "xz" else f"x.{form}",
            _archives(form),
            lambda path, out: Store(out).bentos.import_archive(path),
            POOL,
        )
        for form in ("tar", "gz", "bz2", "xz", "zst", "zip")
    },
    "oci-archive": Reader("tar", "x.tar", _oci_archives, _pull, POOL),
    "bento.yaml": Reader("document", "bento.yaml", _seed("bento.json"), _descriptor("bento")),
    "model.yaml": Reader("document", "model.yaml", _seed("model.json"), _descriptor("model")),
    "layout": Reader("blobs", "image.json", lambda: [_document([CONFIG, MANIFEST, INDEX])], _layout, ""),
    "signatures": Reader("document", "signatures.json", _seed("signatures.json"), _signatures),
    "identity-bundle": Reader("document", "bundle.json", _identity_bundles, _identity_bundle, ""),
    "log-entry": Reader("document", "bundle.json", _identity_bundles, _log_entry, ""),
    "docker-archive": Reader("tar", "image.tar", _docker_archives, lambda path, _out: docker_archive.read(path)),
    "manifest": Reader("document", "manifest.json", _manifests, _manifest),
    "base-layer": Reader("tar", "layer.tar", _layers, lambda path, _out: _layer_of(path, "")),
    "image-unpacked": Reader("tar", "layer.tar", _roots, _root, ""),
    "base-layer-gzip": _packed_layer("gz", "+gzip"),
    "base-layer-zstd": _packed_layer("zst", "+zstd"),
    "deb-packed": Reader(
        "deb", "odd_1.0-1_amd64.deb", lambda: [deb(form) for form in ("gz", "xz", "zst", "bz2")], _deb
    ),
    "base-note": Reader("document", "note.json", _base_note_documents, _base_note),
    "layer-note": Reader("document", "note.json", _note_documents, _note),
    "recipe": Reader("binary", "layer.recipe", _recipes, _recipe, ""),
    "wheel-modules": Reader("zip", "odd-1.0-py3-none-any.whl", lambda: [wheel()], _modules, ""),
    "wheel-unpacked": Reader(
        "zip",
        "odd-1.0-py3-none-any.whl",
        lambda: [wheel()],
        lambda path, out: unpack_wheel(decode(unpack_wheel, ["--wheel", str(path), "--output", str(out)])),
    ),
    "sdist": Reader("tar", "odd-1.tar", _sdists, lambda path, out: build_wheel.unpack(path, out), ""),
    "model-archive": Reader(
        "tar",
        "clf.bentomodel.tar",
        _models,
        lambda path, out: model_store.from_files(
            model_store.unpack_model(path, "clf.bentomodel.tar", out), "the model"
        ),
        "",
    ),
    "project": Reader("document", "project.json", lambda: [_document(PROJECT)], _project, "project/"),
    "system-files": Reader("text", "status", _seed("dpkg"), _system),
    "stanzas": Reader("text", "Packages", lambda: [seed("dpkg").partition(b"\nP:")[0]], _stanzas),
    "headers": Reader("text", "headers", _seed("headers"), _headers),
}
