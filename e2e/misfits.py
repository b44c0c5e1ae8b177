"""Packages that do not fit are told of when they are built, and not before; the hub is that of a module below."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING

from workbench import PYTHON_HERE, with_python_here

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Checkout, Workbench

WORKSPACE = "e2e/misfits"
MODULE = """\
module(name = "misfits")
bazel_dep(name = "below", version = "1.0")
local_path_override(module_name = "below", path = "below")
bazel_dep(name = "rules_bento", version = "0.1.0")
local_path_override(module_name = "rules_bento", path = "../..")
"""
BELOW = """\
module(name = "below", version = "1.0")
bazel_dep(name = "rules_bento", version = "0.1.0")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(
    name = "below_pypi",
    find_links = ["wheels"],
    lock = "//:requirements.lock.json",
    no_index = True,
)
use_repo(bento, pypi = "below_pypi")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_package")

bento_package(
    name = "bento",
    srcs = ["service.py"],
    requirements = ["@pypi//acme_gone", "@pypi//acme_new", "@pypi//bentoml"],
    service = "service:Service",
    visibility = ["//visibility:public"],
)

{aliases}
"""
ALIAS = 'alias(name = "{0}", actual = "@pypi//{0}:whl", visibility = ["//visibility:public"])\n'
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Service:\n    pass\n"
MESSAGES = {
    "acme_gone": "no file of this hash; was the release deleted or replaced?",
    "acme_mac": "acme-mac==1.0 has no wheel for linux_",
    "acme_new": "acme-new==1.0 is for Python >=3.99, but the hub for ",
}


def misfits_are_told_of_when_they_are_built(bench: Workbench) -> str:
    """A Bento that states them builds; each wheel fails on its own, with its name and the reason."""
    checkout = bench.checkout("misfits")
    write_workspace(checkout)
    checkout.build("@below//:bento", "@below//:bentoml", workspace=WORKSPACE)
    for name, message in MESSAGES.items():
        failed = checkout.bazel("build", f"@below//:{name}", workspace=WORKSPACE)
        assert failed.code != 0, f"{name} is built"
        assert message in failed.errors, failed.told()
    return f"a Bento of a module below builds; {', '.join(MESSAGES)} fail when they are asked for"


def write_workspace(checkout: Checkout) -> None:
    below = checkout.root / WORKSPACE / "below"
    (below / "wheels").mkdir(parents=True)
    files = {
        "acme_gone": write_wheel(below / "wheels", "acme_gone", "py3-none-any"),
        "acme_mac": write_wheel(below / "wheels", "acme_mac", "cp311-cp311-macosx_11_0_arm64"),
        "acme_new": write_wheel(below / "wheels", "acme_new", "py3-none-any", "Requires-Python: >=3.99\n"),
        "bentoml": write_wheel(below / "wheels", "bentoml", "py3-none-any"),
    }
    # Another file came under this name.
    files["acme_gone"] = dict.fromkeys(files["acme_gone"], "0" * 64)
    packages = [{"name": name.replace("_", "-"), "version": "1.0", "files": found} for name, found in files.items()]
    roots = [{"name": package["name"]} for package in packages]
    lock = {"lock": 1, "requires_python": ">=3.10", "roots": roots, "packages": packages}
    (below / "requirements.lock.json").write_text(json.dumps(lock), "utf-8")
    (below / "MODULE.bazel").write_text(with_python_here(BELOW).replace(PYTHON_HERE, ""), "utf-8")
    (below / "BUILD.bazel").write_text(BUILD.format(aliases="".join(map(ALIAS.format, files))), "utf-8")
    (below / "service.py").write_text(SERVICE, "utf-8")
    checkout.write(f"{WORKSPACE}/MODULE.bazel", with_python_here(MODULE))
    checkout.write(f"{WORKSPACE}/BUILD.bazel", "")


def write_wheel(folder: Path, name: str, tag: str, metadata: str = "") -> dict[str, str]:
    """Its name and SHA-256."""
    path = folder / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: e2e\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
