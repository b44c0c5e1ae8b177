"""Checks that invalid packages of another module's package hub are rejected when they are built, not before."""

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
    allow_record_mismatch = {{"acme_taken": ["sha256:{taken}"]}},
)
use_repo(bento, pypi = "below_pypi")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_package")
load(":in_images.bzl", "in_image")

bento_package(
    name = "bento",
    srcs = ["service.py"],
    requirements = ["@pypi//acme_gone", "@pypi//acme_new", "@pypi//bentoml"],
    service = "service:Service",
    visibility = ["//visibility:public"],
)

{aliases}
"""
IN_IMAGES = """\
load("@rules_bento//private:wheel_parts_aspect.bzl", "wheel_parts_aspect")
load("@rules_bento//private:providers.bzl", "BentoWheelPartsInfo")

def _impl(ctx):
    return [DefaultInfo(files = depset([part.part for part in ctx.attr.wheel[BentoWheelPartsInfo].parts.to_list()]))]

in_image = rule(
    implementation = _impl,
    doc = "What images have of a wheel.",
    attrs = {
        "compression": attr.string(default = "zstd", values = ["zstd"]),
        "wheel": attr.label(aspects = [wheel_parts_aspect]),
    },
)
"""
ALIAS = 'alias(name = "{0}", actual = "@pypi//{0}:whl", visibility = ["//visibility:public"])\n'
IN_IMAGE = 'in_image(name = "{0}_in_image", visibility = ["//visibility:public"], wheel = "@pypi//{0}:whl")\n'
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Service:\n    pass\n"
MESSAGES = {
    "acme_gone": "no file with this hash. Update the lock if the release was deleted",
    "acme_mac": "acme-mac==1.0 has no wheel for linux_",
    "acme_new": "acme-new==1.0 requires Python >=3.99, but the package hub is for ",
    "bentoml_in_image": 'allow_record_mismatch = {"bentoml": ["sha256:',
}


def rejects_invalid_wheels_when_built(bench: Workbench) -> str:
    """Build a Bento with invalid wheels, and then each wheel, which fails with its name and the reason."""
    checkout = bench.checkout("misfits")
    write_workspace(checkout)
    checkout.build("@below//:bento", "@below//:bentoml", "@below//:acme_taken_in_image", workspace=WORKSPACE)
    for name, message in MESSAGES.items():
        failed = checkout.bazel("build", f"@below//:{name}", workspace=WORKSPACE)
        assert failed.code != 0, f"the invalid wheel {name} was accepted"
        assert message in failed.errors, failed.told()
    return f"a Bento of a module below builds; {', '.join(MESSAGES)} fail when they are asked for"


def write_workspace(checkout: Checkout) -> None:
    below = checkout.root / WORKSPACE / "below"
    (below / "wheels").mkdir(parents=True)
    files = {
        "acme_gone": write_wheel(below / "wheels", "acme_gone", "py3-none-any"),
        "acme_mac": write_wheel(below / "wheels", "acme_mac", "cp311-cp311-macosx_11_0_arm64"),
        "acme_new": write_wheel(below / "wheels", "acme_new", "py3-none-any", "Requires-Python: >=3.99\n"),
        "acme_taken": write_wheel(below / "wheels", "acme_taken", "py3-none-any"),
        "bentoml": write_wheel(below / "wheels", "bentoml", "py3-none-any"),
    }
    # A file with other contents has this name.
    files["acme_gone"] = dict.fromkeys(files["acme_gone"], "0" * 64)
    packages = [{"name": name.replace("_", "-"), "version": "1.0", "files": found} for name, found in files.items()]
    roots = [{"name": package["name"]} for package in packages]
    lock = {"lock": 1, "requires_python": ">=3.10", "roots": roots, "packages": packages}
    (below / "requirements.lock.json").write_text(json.dumps(lock), "utf-8")
    [taken] = files["acme_taken"].values()
    module = with_python_here(BELOW.format(taken=taken)).replace(PYTHON_HERE, "")
    (below / "MODULE.bazel").write_text(module, "utf-8")
    aliases = [*map(ALIAS.format, files), *map(IN_IMAGE.format, ("acme_taken", "bentoml"))]
    (below / "BUILD.bazel").write_text(BUILD.format(aliases="".join(aliases)), "utf-8")
    (below / "in_images.bzl").write_text(IN_IMAGES, "utf-8")
    (below / "service.py").write_text(SERVICE, "utf-8")
    checkout.write(f"{WORKSPACE}/MODULE.bazel", with_python_here(MODULE))
    checkout.write(f"{WORKSPACE}/BUILD.bazel", "")


def write_wheel(directory: Path, name: str, tag: str, metadata: str = "") -> dict[str, str]:
    """Write a wheel whose RECORD lists none of its files, which image rules reject. Returns its name and digest."""
    path = directory / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: e2e\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
