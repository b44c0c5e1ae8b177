"""Installs a wheel into a part of layers."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.layers import description
from rules_bento.images.layers.parts import write_part
from rules_bento.images.wheels import arguments as wheel_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = description.ENVIRONMENT | wheel_arguments.FLAGS | {"--compression": 1, "--listing": 1, "--output": 1}


def run(arguments: Arguments) -> None:
    """Write part and listing."""
    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    listing = write_part(out, wheel_arguments.read_wheel(arguments), layout, compression)
    Path(arguments.one("--listing")).write_text(listing.dumps(), "utf-8")
