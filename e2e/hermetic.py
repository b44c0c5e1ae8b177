"""Checks that the user's environment variables reach no action."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reproducibility import TARGET

if TYPE_CHECKING:
    from workbench import Workbench

HOSTILE = {
    "BENTOML_HOME": "/nowhere",
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "tr_TR.UTF-8",
    "LD_LIBRARY_PATH": "/nowhere",
    "PATH": f"{os.environ['PATH']}:/nowhere",
    "PYTHONHASHSEED": "7",
    "PYTHONPATH": "/nowhere",
    "PYTHONSTARTUP": "/nowhere",
    "SOURCE_DATE_EPOCH": "1",
    "TZ": "Pacific/Kiritimati",
    "UV_INDEX_URL": "/nowhere",
}
EXAMPLE = """\
genrule(
    name = "control",
    outs = ["control.txt"],
    cmd = "echo $${LC_ALL:-none} > $@",
)
"""


def caller_variables_rerun_nothing(bench: Workbench) -> str:
    """Build with environment variables, and with variables of `--action_env`: no action of a Bento runs again."""
    checkout = bench.plain
    checkout.write("control/BUILD.bazel", EXAMPLE)
    targets = (TARGET, "//control")
    checkout.build(*targets)
    changed = checkout.build(*targets, **HOSTILE)
    assert changed.ran == [], changed.ran
    asked = checkout.build(*targets, *(f"--action_env={name}={value}" for name, value in HOSTILE.items()))
    bento = [spawn.mnemonic for spawn in asked.spawns if spawn.mnemonic.startswith("Bento")]
    assert bento == [], bento
    assert "//control:control" in {spawn.target for spawn in asked.spawns}, "the variable reached no action"
    return f"{len(HOSTILE)} variables, also by --action_env, and no action of the Bento ran again"
