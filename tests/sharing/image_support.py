"""Helpers for tests of images: bases, an index, machines without builders, and what a layout contains."""

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import zstandard
from bento_cli.projects import image_table
from bento_cli.projects.uv_project import read_tables
from bento_cli.sharing import base_syntax, native_build, native_bytecode, native_cache
from bento_cli.sharing.image_options import read_options
from rules_bento.base.formats.oci import digest_of
from rules_bento.base.programs import which
from rules_bento.images import plan
from rules_bento.images.registry.layout import Layout

from tests.helpers.loopback import Handler, running
from tests.helpers.made_wheels import Maker
from tests.helpers.store_support import DAY_1, bento_files, bento_yaml, write_archive

STATUS = """\
Package: {}
Status: install ok installed
Architecture: amd64
Version: {}

"""
DEBIAN = {
    "usr/local/bin/python3": "python3.11",
    "usr/local/bin/python3.11": b"\x7fELF",
    "var/lib/dpkg/status": (STATUS.format("libc6", "2.36-9+deb12u10") + STATUS.format("libgomp1", "12")).encode(),
    "etc/os-release": b"ID=debian\n",
}


def make_base(
    directory,
    files=DEBIAN,
    env=("PATH=/usr/local/bin:/usr/bin",),
    architecture="amd64",
    compress=None,
    diff_id="",
    entrypoint=None,
):
    """An OCI layout with an image of one layer; strings are links, and numbers modes of directories."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            elif isinstance(content, int):
                info.type, info.mode = tarfile.DIRTYPE, content
            else:
                info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    layer = buffer.getvalue()
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": list(env), "Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [diff_id or digest_of(layer)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(directory, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [
            blob(directory, compress(layer), "application/vnd.oci.image.layer.v1.tar+zstd")
            if compress
            else blob(directory, layer, "application/vnd.oci.image.layer.v1.tar")
        ],
    }
    entry = blob(directory, json.dumps(manifest).encode(), manifest["mediaType"])
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory


def blob(directory, content, media_type):
    path = directory / "blobs" / digest_of(content).replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


@contextmanager
def index(wheels, has_sizes=False):
    """The address of a package index with the files of a folder, which replaces the user's directory (`wheels`)."""
    os.environ.pop("UV_FIND_LINKS", None)
    requests = []

    class Pages(Handler):
        def do_GET(self):
            requests.append(self.path)
            place, name = self.path.strip("/").split("/")[-2:]
            files = [path for path in wheels.iterdir() if path.name.startswith(f"{name.replace('-', '_')}-")]
            if place == "files":
                body = (wheels / name).read_bytes()
            else:
                python = 'data-requires-python="&gt;=3.12"' if name == "later" else ""
                links = (f'<a href="/files/{path.name}#sha256={sha(path)}" {python}>{path.name}</a>' for path in files)
                body = "".join(links)
                body = f"<!DOCTYPE html><html><body>{body}</body></html>".encode()
            form = "application/octet-stream" if place == "files" else "text/html"
            self.send(200 if place == "files" or files else 404, body, {"Content-Type": form})

        def do_HEAD(self):
            if has_sizes:
                self.do_GET()
            else:
                self.send_error(405)  # uv then reads metadata from the complete wheel

    with running(Pages) as server:
        yield f"http://{server.host}/simple", requests


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Wheels of bentoml, of two small packages, and of a large one, in a directory that the user names."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    for name, size in (("bentoml", 10), ("acme_tools", 2_000), ("tiny", 5), ("large", 3 << 20)):
        (directory / f"{name}-1.0-py3-none-any.whl").write_bytes(_wheel(name, size))
    monkeypatch.setenv("UV_FIND_LINKS", str(directory))
    return directory


@cache
def _wheel(name, size):
    """A wheel with random bytes, compressed once for all tests."""
    with tempfile.TemporaryDirectory() as directory:
        maker = Maker(name).add({f"{name}/__init__.py": os.urandom(size), f"{name}/tests/x.py": b"1"})
        return maker.write(Path(directory)).read_bytes()


def start_own(build, base, version, mode):
    """Start this interpreter instead of a base's."""
    return build.stack.enter_context(native_bytecode._start(sys.executable, build, mode))


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A machine with uv and without builders; its platform is linux/amd64. Commands keep their caches until the end.

    The bases of tests have no real interpreter, so images have bytecode only if a test names one, and this interpreter
    parses modules.
    """
    monkeypatch.setattr(native_cache, "_locks", locks := {})
    plan_bytecode = native_build.plan_bytecode
    monkeypatch.setattr(
        native_build,
        "plan_bytecode",
        lambda build, base: plan_bytecode(build, base) if "bytecode-python" in build.settings else None,
    )
    monkeypatch.setattr(base_syntax, "find", start_own)
    programs = tmp_path / "programs"
    programs.mkdir()
    uv = os.environ.get("RULES_BENTO_UV")
    if not uv:
        pytest.skip("no uv is here: it comes with Bazel")
    (programs / "uv").symlink_to(Path(uv).absolute())
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin/none")
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: which("uv"))
    for name in ("BENTOML_CONTAINERIZE_BACKEND", "XDG_CACHE_HOME", "UV_INDEX", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6", "1", "x86_64")))
    yield programs
    for lock in locks.values():
        os.close(lock)


def locked(wheels, names=("bentoml", "acme-tools", "tiny", "large"), options=""):
    """A requirements file with hashes."""
    lines = [options] if options else []
    for name in names:
        [wheel] = wheels.glob(f"{name.replace('-', '_')}-*")
        lines.append(f"{name}==1.0 --hash=sha256:{sha(wheel)}")
    return ("\n".join(lines) + "\n").encode()


def add(store, tmp_path, requirements, tag="nat:v1", models=None, files=None, **fields):
    """Add a Bento with requirements to the store."""
    models = models or {}
    content = bento_files(tag, DAY_1, models, **(files or {}))
    content["bento.yaml"] = bento_yaml(tag, DAY_1, models, labels={"team": "botany"}, envs=[], **fields)
    content["env/python/requirements.lock.txt"] = requirements
    archive = tmp_path / f"{tag.replace(':', '-')}.bento"
    store.bentos.import_archive(write_archive(archive, content))


def read(layout, name=""):
    """Config, manifest and the files of each layer."""
    directory = Layout.open(layout)
    root = directory.find(name)
    manifest = json.loads(root.content)
    config = json.loads(directory.blob(root.config.digest).read_bytes())
    contents = []
    for layer in manifest["layers"]:
        data = directory.blob(layer["digest"]).read_bytes()
        if layer["mediaType"].endswith("zstd"):
            data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
            contents.append(tar.getnames())
    return config, manifest, contents


def read_facts(told):
    """The JSON output, without the notes after it."""
    return json.JSONDecoder().raw_decode(told)[0]


def module(name, glibc="GLIBC_2.17"):
    """An extension module for amd64 that requires libc.so.6 and libstdc++.so.6."""
    strings = f"\0libc.so.6\0libstdc++.so.6\0{glibc}\0PyInit_{name}\0".encode()
    need = struct.pack("<HHIII", 1, 1, 1, 16, 0) + struct.pack("<IHHII", 0, 0, 2, strings.index(b"GLIBC_"), 0)
    dynamic = [(5, 0x300), (10, len(strings)), (1, 1), (1, 11), (0x6FFFFFFE, 0x380), (0x6FFFFFFF, 1), (0, 0)]
    table = b"".join(struct.pack("<QQ", *entry) for entry in dynamic)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0x400, 0x400, 0x1000)
    head += struct.pack("<IIQQQQQQ", 2, 6, 176, 176, 176, len(table), len(table), 8)
    return (head + table).ljust(0x300, b"\0") + strings.ljust(0x80, b"\0") + need.ljust(0x80, b"\0")


APP = "from fastapi import FastAPI\n\napp = FastAPI()\n"
PROJECT = '[project]\nname = "web"\nversion = "1.0"\nrequires-python = ">=3.9"\ndependencies = [{}]\n'
UV_BUILD = '[build-system]\nrequires = ["uv_build>=0.1"]\nbuild-backend = "uv_build"\n'


@pytest.fixture
def machine(local, wheels, tmp_path, monkeypatch):
    """An index with more wheels. Returns a function that writes and locks a project."""
    for name in ("fastapi", "uvicorn", "flask", "gunicorn"):
        script = f"[console_scripts]\n{name} = {name}:main\n"
        Maker(name).add({f"{name}/__init__.py": b""}).entry_points(script).write(wheels)
    uv = os.environ["RULES_BENTO_UV"]
    monkeypatch.setattr("rules_bento.bentos.packages.uv.find_uv", lambda: uv)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with index(wheels) as (address, _):
        monkeypatch.setenv("UV_DEFAULT_INDEX", address)

        def write(files, *dependencies, lock=True, pyproject=""):
            directory = tmp_path / "project"
            listed = ", ".join(f'"{name}"' for name in dependencies)
            for path, content in ({"pyproject.toml": PROJECT.format(listed) + pyproject} | files).items():
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                (directory / path).write_text(content)
            if lock:
                words = [uv, "lock", "-q", "--python", sys.executable]
                done = subprocess.run(words, cwd=directory, check=False, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
            return directory

        yield write


def build(bento, directory, tmp_path, *words, code=0, out="out"):
    base = tmp_path / "base"
    if not base.exists():
        make_base(base)
    return bento("image", directory, "--base", f"oci:{base}", "--output", f"oci:{tmp_path / out}", *words, code=code)


def program_digest(rules, tag, command, working_dir, env):
    """The digest of the image that the action of `python_image` writes."""
    (rules.directory / "tag").write_text(tag)
    written = {name: rules.directory / name for name in ("config", "manifest", "digest")}
    words = [word for name, path in written.items() for word in (f"--{name}", path)]
    words += [word for layer in rules.layers for word in ("--layer", layer)]
    words += [word for each in command for word in ("--entrypoint", each)]
    for name, value in env.items():
        words += ["--env", json.dumps(name), json.dumps(value)]
    rules.run(
        "image", "--tag", rules.directory / "tag", "--base-config", rules.config, "--environment", plan.ENVIRONMENT,
        "--home", plan.HOME, "--compression", "gzip", "--created", "1980-01-01T00:00:00+00:00", "--user", "1034:1034",
        "--working-dir", working_dir, *words,
    )  # fmt: skip
    return written["digest"].read_text().strip()


BACK = '[build-system]\nrequires = [{}]\nbuild-backend = "back"\n'


def table_of(project):
    return image_table.of_document(read_tables(project / "pyproject.toml", {}), project, project)


def settings_of(project, options=None):
    """The settings of a project with a table, and of words of the command line."""
    return read_options(options or {}, (), table=table_of(project), is_delivered=False)
