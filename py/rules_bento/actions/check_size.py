"""Checks that the layers of an image are no larger than it may be."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.images.image_checks import too_large
from rules_bento.images.oci_image import Layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--layer": 1,  # description
    "--output": 1,
    "--size-limit": 1,  # in bytes
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write that all is well, or raise BentoError."""
    layers = [Layer.loads(Path(path).read_text("utf-8")) for path in arguments.repeated("--layer")]
    for problem in too_large(layers, int(arguments.required("--size-limit"))):
        raise BentoError(problem)
    Path(arguments.required("--output")).write_text("", "utf-8")
