"""Installs a wheel into a part of layers; looks for machine code in it, where it is asked for."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.layers import description
from rules_bento.images.layers.parts import write_part
from rules_bento.images.wheels import wheel_flags as wheel_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = (
    description.ENVIRONMENT
    | wheel_arguments.FLAGS
    | {
        "--compression": 1,
        "--libraries": 1,  # output, what wheel_libraries writes
        "--listing": 1,
        "--output": 1,
    }
)


def run(arguments: Arguments) -> None:
    """Write part and listing, and what checks have to know of the wheel."""
    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    wheel = wheel_arguments.read_wheel(arguments)
    watched = wheel_arguments.watched(arguments, wheel)
    listing = write_part(out, wheel, layout, compression, watch=watched.watch if watched else None)
    Path(arguments.one("--listing")).write_text(listing.dumps(), "utf-8")
    if watched:
        Path(arguments.one("--libraries")).write_text(watched.libraries().dumps(), "utf-8")
