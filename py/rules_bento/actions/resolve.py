"""Writes what uv says of one package of a lock: the packages that it needs for a target, with their versions."""

from __future__ import annotations

from pathlib import Path

from rules_bento.packages import lock_subset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--glibc": 1,
    "--locked": 1,
    "--output": 1,
    "--platform": 1,
    "--python": 1,
    "--python-version": 1,
    "--requirement": 1,
    "--target": 1,
    "--uv": 1,
}


def run(arguments: Arguments) -> None:
    """Write the answer, with nothing in it where uv finds no solution."""
    target = lock_subset.Target(
        arguments.required("--platform"), arguments.required("--python-version"), arguments.required("--glibc")
    )
    resolution = lock_subset.resolve_one(
        arguments.required("--requirement"),
        lock_subset.read(arguments.repeated("--locked")),
        target,
        lock_subset.Resolver(arguments.required("--python"), Path(arguments.required("--uv"))),
    )
    Path(arguments.required("--output")).write_text(resolution.dumps(), "utf-8")
