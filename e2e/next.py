"""Checks that the rules are compatible with the next Bazel releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducibility import TARGET

if TYPE_CHECKING:
    from workbench import Workbench

FLAGS = "--config=next"
# Packages with all public rules, and with most rules of the tests.
ANALYZED = ("//examples/iris/...", "//rules/...", "//tests/analysis/...")
# A Bento with packages without `__init__.py`, and the flag that creates these files for programs.
OF_PACKAGES = "//tests/sources:bento"
ARCHIVE = "bazel-bin/tests/sources/bento.bento"
MADE_UP = "--noincompatible_default_to_explicit_init_py"
# A rule that Bazel 7 accepts, and newer releases reject.
OLD = """\
def _impl(ctx):
    output = ctx.actions.declare_file("out")
    ctx.actions.run(executable = "/bin/true", outputs = [output], tools = ctx.files.srcs)
    return DefaultInfo(files = depset([output]))

old = rule(
    implementation = _impl,
    attrs = {"srcs": attr.label_list(allow_files = True)},
    toolchains = ["//toolchains:toolchain_type"],
)
"""


def next_bazel_flags_are_supported(bench: Workbench) -> str:
    """Analyze targets of all rules, and build Bentos, with the flags that Bazel 8 and 9 set."""
    checkout = bench.checkout("next")
    checkout.build(*ANALYZED, FLAGS, "--nobuild")
    built = checkout.build(TARGET, OF_PACKAGES, FLAGS)
    digest = checkout.digest(ARCHIVE)
    checkout.write("old/defs.bzl", OLD)
    checkout.write("old/BUILD.bazel", 'load(":defs.bzl", "old")\n\nold(name = "old", srcs = ["defs.bzl"])\n')
    refused = checkout.bazel("build", "//old", FLAGS, "--nobuild")
    assert "Please set the toolchain parameter" in refused.errors, f"the flags have no effect\n{refused.told()}"
    # With the other flags, because without them, repositories have other names, and all are fetched again.
    checkout.build(OF_PACKAGES, FLAGS, MADE_UP)
    assert checkout.digest(ARCHIVE) == digest, f"{MADE_UP} changes a Bento"
    lines = [line for line in checkout.read(".bazelrc").splitlines() if line.startswith("common:next ")]
    return f"{len(lines)} flags; {len(built.spawns)} actions ran with them"
