"""Delivers a built Bento with `bazel run`: to a store, a file, and a cloud."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

from tests.sharing.cloud_server import TOKEN, Cloud

if TYPE_CHECKING:
    from workbench import Workbench

PACKAGE = "tests/deliveries"
BENTO = "//examples/iris:iris_bento"
BUILD = """\
load("//rules:defs.bzl", "bento_cloud_push", "bento_export", "bento_import")

bento_export(
    name = "export",
    src = "//examples/iris:iris_bento",
    stamp = 1,
    destination = "out/iris-{STABLE_TEAM}.tar",
)

bento_import(
    name = "import",
    src = "//examples/iris:iris_bento",
)

bento_cloud_push(
    name = "cloud",
    src = "//examples/iris:iris_bento",
)
"""
STATUS = "#!/bin/sh\necho STABLE_TEAM flora\n"


def bentos_are_delivered(bench: Workbench) -> str:
    """Deliver with the attributes of targets, with arguments after `--`, and from the target of the Bento."""
    checkout = bench.plain
    checkout.write(f"{PACKAGE}/BUILD.bazel", BUILD)
    checkout.write(f"{PACKAGE}/status.sh", STATUS)
    (checkout.root / PACKAGE / "status.sh").chmod(0o755)
    (checkout.root / "out").mkdir(exist_ok=True)
    status = f"--workspace_status_command={checkout.root}/{PACKAGE}/status.sh"
    home = bench.directory / "delivered"
    checkout.bazel("run", status, f"//{PACKAGE}:export").succeeded()
    with tarfile.open(checkout.root / "out/iris-flora.tar") as tar:
        names = tar.getnames()
    assert "./bento.yaml" in names, names
    assert any(name.startswith("./models/") for name in names), names
    checkout.bazel("run", f"//{PACKAGE}:import", BENTOML_HOME=str(home)).succeeded()
    listed = checkout.bazel("run", "//tools:bento", "--", "list", "-o", "json", BENTOML_HOME=str(home)).succeeded()
    [entry] = json.loads(listed.output)
    elsewhere = bench.directory / "elsewhere.zip"
    checkout.bazel("run", BENTO, "--", "export", str(elsewhere)).succeeded()
    assert elsewhere.is_file()
    wrong = checkout.bazel("run", BENTO, "--", "push", "registry/name")
    assert wrong.code != 0, "an invalid reference was accepted"
    assert "invalid reference" in wrong.errors, wrong.told()
    assert "Traceback" not in wrong.errors, wrong.told()
    with Cloud("presigned_url").serve() as cloud:
        variables = {"BENTO_CLOUD_API_KEY": TOKEN, "BENTO_CLOUD_API_ENDPOINT": cloud.address}
        pushed = checkout.bazel("run", f"//{PACKAGE}:cloud", "--", "--threads", "2", **variables).succeeded()
        assert cloud.status("bento", entry["tag"]) == "success", pushed.told()
        assert TOKEN not in pushed.output + pushed.errors
        again = checkout.bazel("run", BENTO, "--", "push", **variables).succeeded()
        assert "is already in" in again.output, again.told()
    size = elsewhere.stat().st_size
    return f"{entry['tag']} to a store, a tar, a zip ({size / 1e3:.0f} kB) and a cloud"
