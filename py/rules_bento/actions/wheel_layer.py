"""Installs a wheel into a layer, without unpacking it to anywhere."""

from __future__ import annotations

from rules_bento.images.layers import description
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.wheels import arguments as wheel_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = description.FLAGS | description.ENVIRONMENT | wheel_arguments.FLAGS | {"--name": 1}


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    info = write_wheel_layer(out, wheel_arguments.read_wheel(arguments), layout, compression)
    description.describe(arguments, info, arguments.one("--name"))
