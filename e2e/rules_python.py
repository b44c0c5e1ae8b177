"""Checks Bentos and tests with a current rules_python, which Debian doesn't have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import NEWER_RULES_PYTHON, REPOSITORY, SkippedError

if TYPE_CHECKING:
    from workbench import Workbench

# Names a directory with a program `setup`, which writes modules, a registry, interpreters, `judge.bazelrc`, and
# `python.MODULE.bazel` into another directory.
JUDGE = "RULES_BENTO_RULES_PYTHON"
WORKSPACE = "e2e/smoke"
LAYOUTS = "tests/sources/layouts"
# The layouts are tested in a workspace that depends on this module.
REPLACED = {
    '"//rules:defs.bzl"': '"@rules_bento//rules:defs.bzl"',
    '"@layout_base"': '"@base"',
    'python_version = "3.12"': 'python_version = "3.11"',
}
SKYLIB = '\nbazel_dep(name = "bazel_skylib", version = "1.8.2")\n'
TESTS = ("//:all", "//presubmit:second_python_test", f"//{LAYOUTS}/...")


def current_rules_python_is_supported(bench: Workbench) -> str:
    """Test library layouts, packages of `pip.parse`, and a second Python."""
    judge = os.environ.get(JUDGE)
    if not judge:
        raise SkippedError(f"{JUDGE} isn't set to a directory that provides rules_python")
    checkout = bench.checkout("rules_python")
    workspace = checkout.root / WORKSPACE
    provided = checkout.root.parent / "provided"
    subprocess.run([sys.executable, Path(judge, "setup"), provided], check=True, capture_output=True)
    shutil.copytree(REPOSITORY / WORKSPACE / "presubmit", workspace / "presubmit")
    module, newer, rest = (REPOSITORY / WORKSPACE / "MODULE.bazel").read_text("utf-8").partition(NEWER_RULES_PYTHON)
    rest = re.sub(r"(?s)\npython = use_extension.*?\n(?=pip = )", '\ninclude("//:python.MODULE.bazel")\n\n', rest)
    checkout.write(f"{WORKSPACE}/MODULE.bazel", module + newer + rest + SKYLIB)
    shutil.copy(provided / "python.MODULE.bazel", workspace)
    checkout.write(f"{WORKSPACE}/.bazelrc", f'import "{provided}/judge.bazelrc"\n')
    shutil.copytree(checkout.root / LAYOUTS, workspace / LAYOUTS)
    shutil.copy(checkout.root / LAYOUTS / "../rules.bzl", workspace / LAYOUTS / "..")
    checkout.write(f"{WORKSPACE}/{LAYOUTS}/../BUILD.bazel", "")
    for old, new in REPLACED.items():
        checkout.edit(f"{WORKSPACE}/{LAYOUTS}/BUILD.bazel", old, new)
    checkout.build("//presubmit:hello", workspace=WORKSPACE)
    tested = checkout.bazel("test", *TESTS, workspace=WORKSPACE).succeeded()
    assert {"TestRunner"} <= set(tested.ran), tested.told()
    return f"{tested.ran.count('TestRunner')} tests"
