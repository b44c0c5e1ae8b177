"""An image of `bento image`, and a way to change anything of it as somebody who can write to its registry."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import pytest
from bento_cli.cli import main, status
from bento_cli.sharing import native_bytecode
from bento_cli.sharing.image_proof import Inputs, verify_image
from bento_cli.store.home import Home
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import digest_of
from rules_bento.images.registry.layout import Layout

from tests.helpers.made_wheels import Maker
from tests.helpers.namespace_spellings import SPELLINGS
from tests.sharing.image_support import DEBIAN, blob, index, make_base, sha

VERSION = platform.python_version()
MINOR = int(VERSION.split(".")[1])
TAG = f"cpython-3{MINOR}"
SITE = f"app/.venv/lib/python3.{MINOR}/site-packages"
LIBRARY = f"usr/local/lib/python3.{MINOR}"
PYC = f"{SITE}/alpha/__pycache__/one.{TAG}.pyc"
_ENV = ("PATH=/usr/local/bin:/usr/bin", f"PYTHON_VERSION={VERSION}")
_BASE = {path: data for path, data in DEBIAN.items() if "python" not in path} | {
    "usr/local/bin/python3": f"python3.{MINOR}",
    f"usr/local/bin/python3.{MINOR}": b"\x7fELF",
    "usr/local/bin/tool": b"#!/bin/sh\n",
    f"{LIBRARY}/os.py": b"NAMES = {'a', 'b'}\n",
    f"{LIBRARY}/abc.py": b"X = 1\n",
    f"{LIBRARY}/broken.py": b"print 1\n",
    f"{LIBRARY}/linked.py": "os.py",
    "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
    "lib": "usr/lib",
    f"{LIBRARY}/site-packages/tool.py": b"",
    "app/tmp": 0o1777,
    "app/tmp/x": b"",
}
_PROJECT = """\
[project]
name = "web"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["alpha", "beta"]
"""
INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def _write_wheels(directory: Path, code: str = "") -> Path:
    """A wheel of each kind of file, with more `code` in a module, and one with names that need extended headers."""
    directory.mkdir()
    alpha = Maker("alpha").entry_points("[console_scripts]\nalpha = alpha.one:main\n")
    one, two, *_ = SPELLINGS["pkgutil"]
    alpha.add({"ns/__init__.py": one, "ns/ab.py": "", "alpha/__init__.py": "A = 1\n"})
    alpha.add({"alpha/one.py": f"def main():\n    return 'a', {{'b', 'c'}}\n{code}"})
    alpha.add({"alpha/two.py": "class Two:\n    x = 2\n", "alpha/broken.py": "print 1\n"})
    alpha.add({"alpha/_native.abi3.so": b"native\0" * 99, "alpha-1.0.data/data/share/alpha.txt": "text\n"}, mode=0o755)
    alpha.add({"alpha-1.0.data/scripts/alpha-tool": "#!python\nprint(1)\n"})
    alpha.add({"alpha/tests/case.py": "", "alpha-1.0.data/data/share/alpha.py": "", "alpha/x-1.dist-info/WHEEL": ""})
    alpha.directories.append("alpha.libs")  # empty, as pandas has
    alpha.write(directory)
    long = f"beta/{'long' * 20}/{'name' * 20}.txt"
    Maker("beta").add(
        {"ns/__init__.py": two, "beta/__init__.py": "B = 'b'\n", long: "x", "beta/donn\u00e9es.txt": "y"}
    ).write(directory)
    return directory


class Case:
    """A machine with a project, its base and image (`out`), the wheels of its index, and an image of other wheels."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory, self.project, self.base = directory, directory / "project", directory / "base"
        self.out = directory / "out"
        self._patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in (("XDG_CACHE_HOME", "cache"), ("UV_CACHE_DIR", "uv"), ("HOME", "home")):
            self._patch.setenv(name, str(directory / value))
        self._patch.setenv("UV_NO_CONFIG", "1")
        uv = os.environ["RULES_BENTO_UV"]
        self._patch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: uv)
        self._patch.delenv("UV_FIND_LINKS", raising=False)
        make_base(self.base, _BASE, _ENV)
        make_base(directory / "other-base", _BASE | {"etc/os-release": b"ID=debian\nX=1\n"}, _ENV)
        files = {"pyproject.toml": _PROJECT, "main.py": "import alpha\n", "data/x.csv": "1\n", "run.sh": "#!/bin/sh\n"}
        for path, text in files.items():
            (self.project / path).parent.mkdir(parents=True, exist_ok=True)
            (self.project / path).write_text(text)
        (self.project / "run.sh").chmod(0o755)
        (self.project / "data/latest.csv").symlink_to("x.csv")
        for name, pin in (("hash.txt", f"alpha==1.0 --hash=sha256:{'0' * 64}\n"), ("pin.txt", "alpha==1.0\n")):
            (directory / name).write_text(pin)
        evil = directory / "evil-project"
        shutil.copytree(self.project, evil, symlinks=True)
        self.wheels, evil_wheels = _write_wheels(directory / "wheels"), _write_wheels(directory / "evil", "X = 1\n")
        for project, wheels, name in ((evil, evil_wheels, "evil-out"), (self.project, self.wheels, "out")):
            address, _ = stack.enter_context(index(wheels))
            self._patch.setenv("UV_DEFAULT_INDEX", address)
            subprocess.run([uv, "lock", "-q", "--python", sys.executable], cwd=project, check=True)
            words = ["image", str(project), "--base", f"oci:{self.base}", "--platform", "linux/amd64"]
            words += ["--output", f"oci:{directory / name}", f"--bytecode-python={sys.executable}"]
            assert main(words) == 0
        self.share_interpreters(stack)

    def share_interpreters(self, stack: ExitStack) -> None:
        """Let all proofs ask the same interpreters, which compile only the sources that the user trusts."""
        start, started = native_bytecode._start, {}

        def shared(interpreter, build, mode):
            if (interpreter, mode) not in started:
                started[interpreter, mode] = stack.enter_context(start(interpreter, build, mode))
            return nullcontext(started[interpreter, mode])

        self._patch.setattr(native_bytecode, "_start", shared)

    def cached(self, name: str) -> Path:
        """The cached wheel of the project's lock."""
        paths = (self.directory / "cache").rglob(f"{name}-*.whl")
        return next(path for path in paths if sha(path) == sha(self.wheels / path.name))

    def prove(self, layout: Path, **inputs: object) -> tuple[int, str]:
        """The exit status of `bento verify --rebuild`, and what it finds."""
        inputs = {"source": self.project, "base": self.base} | inputs
        options = {"base": [f"oci:{inputs.pop('base')}"], "bytecode-python": [sys.executable]}
        try:
            proofs = verify_image(f"oci:{layout}", Inputs(options, **inputs), Home(self.directory / "store")).reports
        except BentoError as error:
            return status.ERROR, str(error)
        if findings := [f"{path}: {problem}" for proof in proofs for _, path, problem in proof.findings]:
            return status.FOUND, "\n".join(findings)
        return (status.UNPROVEN if any(proof.unproven for proof in proofs) else status.OK), ""


class Image:
    """The parts of an image, to be changed. Unchanged layers keep their blobs."""

    def __init__(self, case: Case, name: str = "out") -> None:
        self.case = case
        self._layout = Layout.open(case.directory / name)
        found = self._layout.find()
        self.digest = found.descriptor.digest
        self.manifest = json.loads(found.content)
        self.config = json.loads(self._layout.read(found.config))
        self._referrer = next(self._layout.referrers(self.digest, ""))
        self.sbom = json.loads(self._layout.read(self._referrer.layers()[0]))
        self.layers = [self._members(layer["digest"]) for layer in self.manifest["layers"]]
        self.rewritten: set[int] = set()
        self.on_tar: dict[int, Callable] = {}
        self.on_blob: dict[int, Callable] = {}
        self.on_layers: list[Callable] = []
        self.on_manifest: list[Callable] = []
        self.on_layout: list[Callable] = []
        self.on_config: Callable = bytes
        self.on_sbom: Callable = bytes
        self.of_config: dict[str, object] = {}
        self.of_sbom: dict[str, object] = {}
        self.inputs: dict[str, Path | None] = {}
        self.replaced: list[tuple[Path, bytes]] = []

    @contextmanager
    def changed(self, attack):
        """Change the image, and at the end restore what `replace` changed."""
        try:
            attack(self)
            yield self
        finally:
            for path, content in self.replaced:
                path.unlink(missing_ok=True)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)

    def replace(self, path: Path, content: bytes | None) -> None:
        """Replace or remove a file of the machine."""
        self.replaced.append((path, path.read_bytes()))
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    def recompress(self, compress, suffix: str) -> None:
        """Compress all layers above the base in another way."""
        for at, layer in enumerate(self.manifest["layers"][1:], 1):
            data = self.unpacked(layer["digest"])
            layer["mediaType"] = f"{_LAYER}{suffix}"
            self.on_blob[at] = lambda _, data=data: compress(data)

    def data(self, path: str) -> bytes:
        at, number = self.place(path)
        return self.layers[at][number][1]

    def _members(self, digest: str) -> list[tuple[tarfile.TarInfo, bytes]]:
        with tarfile.open(fileobj=io.BytesIO(self.unpacked(digest))) as tar:
            found = [(info, tar.extractfile(info).read() if info.isfile() else b"") for info in tar]
        for info, _ in found:
            info.pax_headers = {}  # written where a name needs them
        return found

    def blob(self, digest: str) -> bytes:
        return self._layout.blob(digest).read_bytes()

    def unpacked(self, digest: str) -> bytes:
        data = self.blob(digest)
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data

    def place(self, path: str) -> tuple[int, int]:
        """The position of the last member of a path: of its layer, and in the layer."""
        places = {info.name: (at, each) for at, layer in enumerate(self.layers) for each, (info, _) in enumerate(layer)}
        return places[path]

    def edit(self, path: str, change=None, **fields) -> None:
        """Change a member: `change` is new contents, or a function of the contents."""
        at, number = self.place(path)
        info, data = self.layers[at][number]
        info = copy.copy(info)
        data = change(data) if callable(change) else data if change is None else change
        self._set(info, data, fields)
        self.layers[at][number] = info, data
        self.rewritten.add(at)

    @staticmethod
    def _set(info: tarfile.TarInfo, data: bytes, fields) -> None:
        for name, value in ({"size": len(data)} | fields).items():
            setattr(info, name, value)

    def add(self, path: str, data: bytes = b"x\n", at: int = -1, first: bool = False, **fields) -> None:
        info = tarfile.TarInfo(path)
        self._set(info, data, {"mode": 0o644} | fields)
        at %= len(self.layers)
        self.layers[at].insert(0 if first else len(self.layers[at]), (info, data))
        self.rewritten.add(at)

    def remove(self, selects) -> None:
        """Remove members: of a path, or those that a function selects."""
        matches = selects if callable(selects) else selects.__eq__
        for at, layer in enumerate(self.layers):
            kept = [each for each in layer if not matches(each[0].name)]
            if len(kept) != len(layer):
                self.layers[at] = kept
                self.rewritten.add(at)

    def tar(self, at: int) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for info, data in self.layers[at]:
                tar.addfile(info, io.BytesIO(data))
            tar.fileobj.write(b"\0" * 1024)
            tar.closed = True  # without the zeros that complete a record
        return buffer.getvalue()

    def write(self, directory: Path) -> str:
        """Write a layout with the image, and return the digest of what it lists."""
        Layout.create(directory)
        for at, layer in enumerate(self.manifest["layers"]):
            data = self.blob(layer["digest"])
            if at in self.rewritten or at in self.on_tar:
                tar = self.tar(at) if at in self.rewritten else self.unpacked(layer["digest"])
                tar = self.on_tar.get(at, bytes)(tar)
                self.config["rootfs"]["diff_ids"][at] = digest_of(tar)
                data = packed(tar) if layer["mediaType"].endswith("gzip") else tar
            layer |= blob(directory, self.on_blob.get(at, bytes)(data), layer["mediaType"])
        for change in self.on_layers:
            change(self.manifest["layers"], self.config["rootfs"]["diff_ids"])
        entry = self.manifest["config"]
        entry |= blob(directory, self.on_config(json.dumps(self.config).encode()), entry["mediaType"])
        entry |= self.of_config
        for change in self.on_manifest:
            change(self.manifest)
        entry = blob(directory, json.dumps(self.manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        referrer = json.loads(self._referrer.content) | {"subject": entry}
        sbom = referrer["layers"][0]
        text = json.dumps(self.sbom).replace(self.digest, entry["digest"]).encode()
        sbom |= blob(directory, self.on_sbom(text), sbom["mediaType"]) | self.of_sbom
        blob(directory, self.blob(referrer["config"]["digest"]), "")
        blob(directory, json.dumps(referrer).encode(), referrer["mediaType"])
        for change in self.on_layout:
            entry = change(directory, entry)
        (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return entry["digest"]


def packed(data: bytes) -> bytes:
    """Compress as simply as a layer can be."""
    deflate = zlib.compressobj(1, wbits=31)
    return deflate.compress(data) + deflate.flush()


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    with ExitStack() as stack:
        yield Case(tmp_path_factory.mktemp("case"), stack)
