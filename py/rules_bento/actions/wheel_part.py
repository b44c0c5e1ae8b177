"""Installs a wheel into a part of layers."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images import layer_description
from rules_bento.images.layer_parts import write_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = layer_description.ENVIRONMENT | {"--compression": 1, "--listing": 1, "--output": 1, "--wheel": 1}


def run(arguments: Arguments) -> None:
    """Write part and listing."""
    layout = layer_description.environment(arguments)
    out, compression = layer_description.output(arguments)
    listing = write_part(out, Path(arguments.one("--wheel")), layout, compression)
    Path(arguments.one("--listing")).write_text(listing.dumps(), "utf-8")
