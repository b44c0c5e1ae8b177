"""A workspace of a user's, with nothing but a bazel_dep on rules_bento."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Workbench

WORKSPACE = "e2e/smoke"


def a_consumer_builds_a_bento_that_imports(bench: Workbench) -> str:
    """e2e/smoke, whose own test imports the Bento; with an empty cache of downloads."""
    checkout = bench.consumer
    built = checkout.bazel("test", "//...", workspace=WORKSPACE).succeeded()
    assert "//:imports_test" in built.output, built.told()
    archive = f"{WORKSPACE}/bazel-bin/hello.bento"
    size = (checkout.root / archive).stat().st_size
    assert size < 100_000, f"the Bento of one service has {size} bytes"
    return f"a Bento of {size} bytes, imported by BentoML; {built.seconds:.0f} s from nothing"
