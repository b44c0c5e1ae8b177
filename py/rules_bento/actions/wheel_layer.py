"""Installs a wheel into a layer, without unpacking it to anywhere; looks for libraries in it, where it is asked for."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.layers import description
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.wheels import wheel_flags as wheel_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = (
    description.FLAGS
    | description.ENVIRONMENT
    | wheel_arguments.FLAGS
    | {
        "--libraries": 1,  # output, what wheel_libraries writes
        "--name": 1,
    }
)


def run(arguments: Arguments) -> None:
    """Write layer and description, and what checks have to know of the wheel."""
    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    wheel = wheel_arguments.read_wheel(arguments)
    scanner = wheel_arguments.library_scanner(arguments, wheel)
    info = write_wheel_layer(out, wheel, layout, compression, watch=scanner.watch if scanner else None)
    description.describe(arguments, info, arguments.required("--name"))
    if scanner:
        Path(arguments.required("--libraries")).write_text(scanner.libraries().dumps(), "utf-8")
