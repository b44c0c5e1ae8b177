"""Installs a wheel into a layer, without unpacking it to anywhere."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images import layer_description
from rules_bento.images.layer import write_wheel_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = layer_description.FLAGS | layer_description.ENVIRONMENT | {"--name": 1, "--wheel": 1}


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    layout = layer_description.environment(arguments)
    out, compression = layer_description.output(arguments)
    info = write_wheel_layer(out, Path(arguments.one("--wheel")), layout, compression)
    layer_description.describe(arguments, info, arguments.one("--name"))
