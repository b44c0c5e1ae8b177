"""Installs a wheel into a layer, without unpacking it to anywhere."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.layers import description
from rules_bento.images.layers.layer import write_wheel_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = description.FLAGS | description.ENVIRONMENT | {"--name": 1, "--wheel": 1}


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    info = write_wheel_layer(out, Path(arguments.one("--wheel")), layout, compression)
    description.describe(arguments, info, arguments.one("--name"))
