"""Writes down which shared libraries a wheel has and needs."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.wheels import wheel_flags as wheel_arguments
from rules_bento.images.wheels.libraries import Libraries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = wheel_arguments.FLAGS | {"--output": 1}


def run(arguments: Arguments) -> None:
    """Write the JSON object."""
    Path(arguments.required("--output")).write_text(
        Libraries.read(wheel_arguments.read_wheel(arguments)).dumps(), "utf-8"
    )
