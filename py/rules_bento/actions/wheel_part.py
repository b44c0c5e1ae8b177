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
    scanner = wheel_arguments.library_scanner(arguments, wheel)
    listing = write_part(out, wheel, layout, compression, watch=scanner.watch if scanner else None)
    Path(arguments.required("--listing")).write_text(listing.dumps(), "utf-8")
    if scanner:
        Path(arguments.required("--libraries")).write_text(scanner.libraries().dumps(), "utf-8")
