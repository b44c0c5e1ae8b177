"""Builds the wheel of a package from its source, by the package's own build system."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rules_bento.packages import build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--distribution": 1,
    "--import-root": 1,
    "--output": 1,
    "--platform": 1,
    "--python-version": 1,
    "--source": 1,
    "--subfolder": 1,
    "--target": 1,
    "--version": 1,
}


def run(arguments: Arguments) -> None:
    """Unpack, build, and write the wheel with what would differ between two builds taken out."""
    with tempfile.TemporaryDirectory(prefix="rules_bento-build-") as scratch:
        source = build.unpack(Path(arguments.required("--source")), Path(scratch, "source"))
        made = build.build(
            source / arguments.required("--subfolder"),
            Path(scratch),
            [Path(root) for root in arguments.repeated("--import-root")],
            arguments.required("--version"),
        )
        expected = [
            arguments.required(flag) for flag in ("--distribution", "--version", "--python-version", "--platform")
        ]
        build.check(made, *expected)
        build.repack(made, Path(arguments.required("--output")))
