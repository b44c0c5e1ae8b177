"""Runs the `bento` command for `bazel run`, in the directory where Bazel was started."""

from __future__ import annotations

import os

from rules_bento.arguments import Arguments, Subcommand

from bento_cli.cli import main


@Subcommand({})
def run(arguments: Arguments) -> int:
    """Run the `bento` command with the arguments after `--`."""
    directory = os.environ.get("BUILD_WORKING_DIRECTORY")
    if directory:
        os.chdir(directory)
    return main(arguments.rest)
