"""Writes down which shared libraries a base image has."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.images.layers.contents import library_names
from rules_bento.images.oci_image import Layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--layer": 2,  # description, blob; from the lowest up
    "--output": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write a JSON list of file names."""
    layers = [
        (Layer.loads(Path(description).read_text("utf-8")), Path(blob))
        for description, blob in arguments.records("--layer")
    ]
    names = library_names((blob, layer.media_type) for layer, blob in layers)
    Path(arguments.one("--output")).write_text(json.dumps(sorted(names), indent=0) + "\n", "utf-8")
