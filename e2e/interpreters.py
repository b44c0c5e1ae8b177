"""Checks that actions write the same bytes with every Python interpreter."""

from __future__ import annotations

import json
import random
import re
import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from remote_cache import ours
from workers import contents

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Checkout, Spawn, Workbench

INTERPRETER = 'bento_tools_dev.python(debian_lock = "//debian:python.lock.json")'
# Debian's Bazel includes a newer version.
OTHER = 'bento_tools_dev.python(interpreter = "python3", is_default = True)'
DEFAULT = 'bento_tools_dev.python(debian_lock = "//debian:python.lock.json", is_default = True)'
COMPILER = '\nbento_tools_dev.python(version = "3.13", debian_lock = "//debian:python.lock.json")'
# The first three pack the interpreter and its packages. The others run code of users, which requires the Python version
# of its packages.
LEFT_OUT = {"BentoCompile", "BentoHelperPackages", "BentoInterpreter"}
LEFT_OUT |= {"BentoImportService", "BentoWheel"}
# The step before an import. The same subcommand is the first step of a BentoPackage.
LEFT_OUT |= {"BentoSnapshot"}
# Installs an interpreter that this scenario replaces.
LEFT_OUT |= {"BentoInterpreterLayer"}
# Outputs in addition to the default outputs of the targets below.
# The same newer version as several hundred files, as in rules_python's toolchains.
UNPACKED = """
unpacked_python = use_repo_rule("//twice:unpacked_python.bzl", "unpacked_python")
unpacked_python(name = "unpacked_python")
override_repo(bento_tools_dev, bento_python = "unpacked_python")
"""
UNPACKED_RULE = '''\
"""An interpreter of the machine as files."""

_COPY = """\
import os, shutil, sys
library = os.path.dirname(os.__file__)
ignored = shutil.ignore_patterns("__pycache__", "dist-packages", "test", "tests")
shutil.copytree(library, "lib/" + os.path.basename(library), ignore=ignored, ignore_dangling_symlinks=True)
os.mkdir("bin")
shutil.copy(os.path.realpath(sys.executable), "bin/python3")
print("%d.%d.%d" % sys.version_info[:3], end="")
"""

_BUILD = """\
load("@rules_bento//private:interpreters.bzl", "bento_python")
package(default_visibility = ["//visibility:public"])
bento_python(name = "python", files = glob(["lib/**"]), interpreter = "bin/python3", version = "{}")
"""

def _unpacked_python_impl(rctx):
    copied = rctx.execute(["python3", "-I", "-S", "-c", _COPY])
    if copied.return_code:
        fail(copied.stderr)
    python = str(rctx.path("bin/python3"))
    rctx.file("BUILD.bazel", _BUILD.format(copied.stdout))
    rctx.file("path", python)
    rctx.file("pip", "[]")
    rctx.file("version", copied.stdout)

unpacked_python = repository_rule(implementation = _unpacked_python_impl)
'''
# The interpreter's program, the packed files, and the files next to them.
PACKED_FILES = 60
LARGE = 11 << 20
"""Bytes that give a wheel a layer of its own, with a zTOC."""
GROUPS = (
    "archives bento_yaml build_definition checked docker_archive folder layer oci_layout report "
    "sbom summary tar tar_gz zip"
)
HUB = """
bento.pypi(
    name = "own",
    exclude = {"bentoml": ["/bentoml/left_out.txt"]},
    find_links = ["twice"],
    lock = "//twice:lock.json",
    more_python_versions = ["3.12"],
    no_index = True,
    python_version = "3.13",
)
use_repo(bento, "own")
"""
SERVICE = """\
import bentoml


@bentoml.service(labels={"team": "rocket"}, image=bentoml.images.Image(python_version="3.13").run("echo"))
class Hello:
    @bentoml.api
    def hello(self, name: str = "w\u00f6rld") -> str:
        return name
"""
LOCAL = """\
import bentoml


@bentoml.service
class Local:
    @bentoml.api
    def hello(self) -> str:
        return ""
"""
BUILD = """\
load("//rules:defs.bzl", "bento_base", "bento_image")
load("//rules:defs.bzl", "bento_image_index")
load("//rules:defs.bzl", "bento_layout_base", "bento_model", "bento_model_image", "bento_package")
load("//rules:defs.bzl", "bento_wheel")

bento_wheel(name = "acme", src = "acme-1.0-py3-none-manylinux_2_17_x86_64.whl", deps = ["@own//bentoml"])

bento_model(name = "model", srcs = ["weights.txt"], tag = "weights")

bento_package(
    name = "hello",
    srcs = ["service.py"],
    data = ["table.csv"],
    labels = {"b": "2", "a": "1", "label": "{BUILD_EMBED_LABEL}"},
    models = [":model"],
    python_version = "3.13",
    requirements = ["@own//bentoml"],
    service = "service:Hello",
)

bento_image(
    name = "image",
    base = "//examples/base:python",
    bento = ":hello",
    ignore_system_requirements = ["echo"],
    size_limit = 500,
)

bento_image(
    name = "gzip_image",
    base = ":lazy_base",
    bento = ":hello",
    compression = "gzip",
    ignore_system_requirements = ["echo"],
    soci = True,
)

bento_package(
    name = "local",
    srcs = ["local.py"],
    platform = "linux_amd64",
    python_version = "3.12",
    requirements = [":acme", "@own//bentoml"],
    service = "local:Local",
)

bento_layout_base(
    name = "made_base",
    layer_count = 2,
    layout = "//tests/base:layout_of_a_rule",
    python = "/usr/local/bin/python3",
    python_version = "3.12",
)

bento_image(name = "local_image", base = "@layout_base", bento = ":local", bytecode = "none", platform = "linux_amd64")

bento_base(name = "lazy_base", compression = "gzip", packages = ["@debian//python3"])

bento_image(
    name = "lazy_image",
    base = ":lazy_base",
    bento = ":hello",
    compression = "gzip",
    ignore_system_requirements = ["echo"],
)

bento_image_index(name = "index", image = ":image", platforms = ["//toolchains/platforms:linux_amd64"])

bento_model_image(name = "model_image", model = ":model")
"""


def interpreters_write_equal_bytes(bench: Workbench) -> str:
    """Run every kind of action with the Python of locked packages, unpacked and packed, and with a newer Python."""
    checkout = bench.spare
    write_targets(checkout)
    checkout.edit("MODULE.bazel", INTERPRETER, DEFAULT + COMPILER)
    first = built(checkout)
    checkout.edit("MODULE.bazel", DEFAULT + COMPILER, OTHER + COMPILER)
    second = built(checkout)
    assert first, "no action ran"
    assert contents(first) == contents(second), differing(first, second)
    checkout.edit("MODULE.bazel", OTHER + COMPILER, OTHER + COMPILER + UNPACKED)
    third = built(checkout)
    assert contents(second) == contents(third), differing(second, third)
    inputs_are_packed(third)
    missing = mnemonics(checkout) - LEFT_OUT - {spawn.mnemonic for spawn in second}
    assert not missing, f"not compared: {sorted(missing)}"
    return f"{len(second)} actions of {len({spawn.mnemonic for spawn in second})} kinds: the same bytes"


def inputs_are_packed(spawns: list[Spawn]) -> None:
    """Check that actions have the packed files as inputs, and not hundreds of separate files."""
    assert spawns, "no action ran"
    for spawn in spawns:
        packed = [path for path in spawn.inputs if "/packed_python/" in path]
        assert 0 < len(packed) < PACKED_FILES, f"{spawn.mnemonic}: the interpreter has {len(packed)} files"
        others = [path for path in spawn.inputs if "unpacked_python" in path]
        assert not others, f"{spawn.mnemonic} has {len(others)} files in addition to the packed files: {others[0]}"


def write_targets(checkout: Checkout) -> None:
    """Write a package with a target for each kind of action, and a package hub with one wheel."""
    checkout.write("twice/BUILD.bazel", BUILD)
    checkout.write("twice/unpacked_python.bzl", UNPACKED_RULE)
    checkout.write("twice/service.py", SERVICE)
    checkout.write("twice/local.py", LOCAL)
    checkout.write("twice/table.csv", "1,2\n")
    checkout.write("twice/weights.txt", "0.5\n")
    write_wheel(checkout.root / "twice", "acme", "1.0", "manylinux_2_17_x86_64", "Requires-Dist: bentoml\n")
    locked = write_wheel(checkout.root / "twice", "bentoml", "1.4.39", size=LARGE)
    package = {"name": "bentoml", "version": "1.4.39", "files": locked}
    lock = {"lock": 1, "requires_python": ">=3.10", "inputs": {"requirements": ["bentoml"]}}
    checkout.write("twice/lock.json", json.dumps(lock | {"roots": [{"name": "bentoml"}], "packages": [package]}))
    checkout.write("MODULE.bazel", checkout.read("MODULE.bazel") + HUB)


def write_wheel(
    directory: Path, name: str, version: str, platform: str = "any", more: str = "", size: int = 0
) -> dict[str, str]:
    """Write a wheel with `size` bytes of data, and return its name and SHA-256 digest."""
    info, purelib = f"{name}-{version}.dist-info", str(platform == "any").lower()
    texts = {
        f"{name}/__init__.py": f"NAME = {name!r}\n",
        f"{name}/left_out.txt": "of no use in an image\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {purelib}\nTag: py3-none-{platform}\n",
    }
    files = {path: text.encode() for path, text in texts.items()}
    files |= {f"{name}/data.bin": random.Random(name).randbytes(size)} if size else {}
    lines = [f"{path},sha256={encoded(data)},{len(data)}\n" for path, data in files.items()]
    record = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    file = directory / f"{name}-{version}-py3-none-{platform}.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in [*files.items(), (f"{info}/RECORD", record)]:
            wheel.writestr(zipfile.ZipInfo(path), data)
    return {file.name: sha256(file.read_bytes()).hexdigest()}


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


def built(checkout: Checkout) -> list[Spawn]:
    groups = ",".join(f"+{group}" for group in GROUPS.split())
    flags = (f"--output_groups={groups}", "--stamp")
    spawns = ours(checkout.build("//twice/...", *flags))
    return [spawn for spawn in spawns if spawn.mnemonic not in LEFT_OUT]


def mnemonics(checkout: Checkout) -> set[str]:
    """Return the mnemonics of the rules."""
    lines = [line for path in checkout.root.glob("rules/**/*.bzl") for line in path.read_text("utf-8").splitlines()]
    return {name for line in lines if "mnemonic = " in line for name in re.findall(r'"(Bento[A-Za-z]+)"', line)}


def differing(first: list[Spawn], second: list[Spawn]) -> str:
    """Return the actions that wrote different bytes, or ran in only one of the builds."""
    made, again = ({(spawn.mnemonic, spawn.target): spawn.outputs for spawn in spawns} for spawns in (first, second))
    return "\n".join(str(key) for key in made | again if made.get(key) != again.get(key))
