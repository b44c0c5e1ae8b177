"""Joins parts of wheels to a layer."""

from __future__ import annotations

from pathlib import Path

from rules_bento.images.layers import description
from rules_bento.images.layers.parts import PartListing, WheelPart, join_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = (
    description.FLAGS
    | description.ENVIRONMENT
    | {
        "--name": 1,
        "--part": 2,  # listing, part
    }
)


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    parts = [
        WheelPart(PartListing.loads(Path(listing).read_text("utf-8")), Path(part))
        for listing, part in arguments.tuples("--part")
    ]
    out, compression = description.output(arguments)
    info = join_parts(out, parts, description.environment(arguments), compression)
    description.describe(arguments, info, arguments.required("--name"))
