"""Installs a wheel into a part of layers."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.layers import description
from rules_bento.images.layers.parts import write_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = description.ENVIRONMENT | {"--compression": 1, "--listing": 1, "--output": 1, "--wheel": 1}


def run(arguments: Arguments) -> None:
    """Write part and listing."""
    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    listing = write_part(out, Path(arguments.one("--wheel")), layout, compression)
    Path(arguments.one("--listing")).write_text(listing.dumps(), "utf-8")
