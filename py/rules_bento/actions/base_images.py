"""Finds the images of a layout that Bentos can be built on; the repositories of `bento.base` start it."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.registry import base_images
from rules_bento.registry.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--layers": 0,  # they are there, and are held to the index as well
    "--layout": 1,
    "--output": 1,  # JSON: platform to digest, config, layers
    "--platform": 1,  # os/architecture
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write what the documents say, each held to its digest and size."""
    layout = Layout.open(Path(arguments.required("--layout")))
    images = base_images.find_images(layout, arguments.repeated("--platform"))
    if arguments.has("--layers"):
        base_images.check_layers(layout, list(images.values()))
    described = {platform: image.to_json() for platform, image in images.items()}
    Path(arguments.required("--output")).write_text(json.dumps(described, indent=1) + "\n", "utf-8")
