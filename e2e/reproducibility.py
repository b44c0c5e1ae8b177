"""Builds the same commit in different environments, and compares the outputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workbench import untrained

if TYPE_CHECKING:
    from workbench import Checkout, Result, Workbench

TARGET = "//examples/iris:iris_bento"
GROUPS = ("tag", "manifest", "tar", "tar_gz", "zip", "folder", "report")
ARCHIVE = "bazel-bin/examples/iris/iris_bento.bento"
# Writes the environment that an action detects. The outputs must differ, so that the comparison proves something.
WITNESS = """\
genrule(
    name = "witness",
    outs = ["witness.txt"],
    srcs = ["//:pyproject.toml"],
    cmd = " && ".join([
        "(python3 -c 'import time; print(time.gmtime().tm_year)'",
        "cat /proc/sys/kernel/hostname",
        "stat -L -c %A $<",
        "pwd",
        "echo $(COMPILATION_MODE)) > $@",
    ]),
)
"""


def checkouts_build_equal_bytes(bench: Workbench) -> str:
    """Compare two checkouts that share no action cache, and that differ in everything that a build could detect."""
    here, there = bench.here, bench.there
    first = outputs_of(here)
    second = outputs_of(there, "--compilation_mode=opt", "--jobs=1")
    facts = [checkout.read("bazel-bin/witness/witness.txt").split("\n")[:-1] for checkout in (here, there)]
    same = [one for one, other in zip(*facts, strict=True) if one == other]
    assert not same, f"both checkouts have the same {same}"
    differing = sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))
    assert not differing, f"outputs that differ: {differing}"
    assert here.digest(ARCHIVE) == there.digest(ARCHIVE)
    tag = here.read("bazel-bin/examples/iris/iris_bento.tag").strip()
    return f"{len(first)} outputs are the same, among them {tag}, sha256 {here.digest(ARCHIVE)}"


def outputs_of(checkout: Checkout, *options: str) -> dict[str, str]:
    """Return the digests of all outputs of a Bento's actions, by mnemonic and path."""
    checkout.bazel("clean").succeeded()
    checkout.write("witness/BUILD.bazel", WITNESS)
    checkout.train()  # the program and its unpacked wheels are outputs, too
    built = checkout.build(TARGET, "//witness", f"--output_groups=+{',+'.join(GROUPS)}", *options)
    untrained(checkout)  # other scenarios compare with its actions
    assert {spawn.runner for spawn in built.spawns} == {"linux-sandbox"}, "an action ran elsewhere"
    mnemonics = {spawn.mnemonic for spawn in built.spawns}
    verbs = ("Archive", "Export", "Model", "Package", "Report", "Resolve", "ToolModules")
    expected = {"Genrule", *(f"Bento{verb}" for verb in verbs)}
    assert expected <= mnemonics, f"ran only {sorted(mnemonics)}"
    return digests(built)


def digests(built: Result) -> dict[str, str]:
    return {
        f"{spawn.mnemonic} {re.sub('^bazel-out/[^/]+/', '', path)}": digest
        for spawn in built.spawns
        if spawn.target != "//witness:witness"
        for path, digest in spawn.outputs.items()
    }
