"""Compiles the modules of a wheel into a part of layers."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.layers import description
from rules_bento.images.wheels import wheel_flags as wheel_arguments
from rules_bento.images.wheels.bytecode import Compiler, write_bytecode_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = (
    description.ENVIRONMENT
    | wheel_arguments.FLAGS
    | {
        "--bytecode": 1,  # checked-hash or unchecked-hash
        "--compression": 1,
        "--interpreter": 1,  # that compiles
        "--listing": 1,
        "--output": 1,
        "--program": 1,  # that it runs
    }
)


def run(arguments: Arguments) -> None:
    """Write part and listing."""
    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    words = [arguments.required(flag) for flag in ("--interpreter", "--program", "--bytecode")]
    with Compiler(*words) as compiler:
        listing = write_bytecode_part(out, wheel_arguments.read_wheel(arguments), layout, compression, compiler)
    Path(arguments.required("--listing")).write_text(listing.dumps(), "utf-8")
