"""Delivers a built Bento with `bazel run`: to a store, and a file."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

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
    return f"{entry['tag']} to a store, and a tar"
