"""Writes down which shared libraries a wheel has and needs."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.wheels.libraries import Libraries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {"--output": 1, "--wheel": 1}


def run(arguments: Arguments) -> None:
    """Write the JSON object."""
    Path(arguments.one("--output")).write_text(Libraries.read(Path(arguments.one("--wheel"))).dumps(), "utf-8")
