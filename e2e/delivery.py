"""Delivers a built Bento with `bazel run`: to a store, a file, and a cloud."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

from tests.sharing.cloud_server import TOKEN, Cloud

if TYPE_CHECKING:
    from workbench import Workbench

BENTO = "//examples/iris:iris_bento"


def bentos_are_delivered(bench: Workbench) -> str:
    """Export, import, and push from the target of a Bento, with arguments after `--`."""
    checkout = bench.plain
    home = bench.directory / "delivered"
    exported = bench.directory / "iris.tar"
    checkout.bazel("run", BENTO, "--", "export", str(exported)).succeeded()
    with tarfile.open(exported) as tar:
        names = tar.getnames()
    assert "./bento.yaml" in names, names
    assert any(name.startswith("./models/") for name in names), names
    checkout.bazel("run", BENTO, "--", "import", BENTOML_HOME=str(home)).succeeded()
    listed = checkout.bazel("run", "//tools:bento", "--", "list", "-o", "json", BENTOML_HOME=str(home)).succeeded()
    [entry] = json.loads(listed.output)
    wrong = checkout.bazel("run", BENTO, "--", "push", "registry/name")
    assert wrong.code != 0, "an invalid reference was accepted"
    assert "invalid reference" in wrong.errors, wrong.told()
    assert "Traceback" not in wrong.errors, wrong.told()
    with Cloud("presigned_url").serve() as cloud:
        variables = {"BENTO_CLOUD_API_KEY": TOKEN, "BENTO_CLOUD_API_ENDPOINT": cloud.address}
        pushed = checkout.bazel("run", BENTO, "--", "push", "--threads", "2", **variables).succeeded()
        assert cloud.status("bento", entry["tag"]) == "success", pushed.told()
        assert TOKEN not in pushed.output + pushed.errors
        again = checkout.bazel("run", BENTO, "--", "push", **variables).succeeded()
        assert "is already in" in again.output, again.told()
    return f"{entry['tag']} to a store, a tar, and a cloud"
