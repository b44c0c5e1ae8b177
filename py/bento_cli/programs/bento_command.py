"""Runs the `bento` command for `bazel run`, in the directory where Bazel was started."""

from __future__ import annotations

import os
from pathlib import Path

from rules_bento.base.subcommand_arguments import Request

from bento_cli.cli import main


class _CommandRequest(Request):
    uv: str = ""


def run(request: _CommandRequest) -> int:
    """Run the `bento` command with the arguments after `--`. Adds Bazel's uv to the end of PATH."""
    if uv := request.uv:
        os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(uv).parent)])
    directory = os.environ.get("BUILD_WORKING_DIRECTORY")
    if directory:
        os.chdir(directory)
    return main(request.rest)
