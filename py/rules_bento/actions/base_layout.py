"""Describes the image of an OCI layout that Bentos are built on; the layout is what another rule made."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.registry import base_images
from rules_bento.registry.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--config": 1,  # output, JSON: see BentoBaseInfo.config
    "--description": 1,  # output, of a layer; from the lowest up
    "--layout": 1,
    "--platform": 1,  # os/architecture
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write config and descriptions. Raises BentoError for a layout that does not hold, or has more or fewer layers."""
    target, platform = arguments.required("--target"), arguments.required("--platform")
    descriptions = arguments.repeated("--description")
    layout = Layout.open(Path(arguments.required("--layout")))
    [image] = base_images.find_images(layout, arguments.repeated("--platform")).values()
    if len(image.layers) != len(descriptions):
        raise BentoError(
            f"layer_count: is {len(descriptions)}, but the image for {platform} in {layout.directory} "
            f"has {len(image.layers)} layers. Set layer_count = {len(image.layers)}."
        )
    base_images.check_layers(layout, [image])
    described = image.to_json()
    for number, (layer, path) in enumerate(zip(described["layers"], descriptions, strict=True)):
        # Not known: a manifest does not say it, and the layer is not read here.
        fields = layer | {"uncompressed_size": None, "name": f"base {target}, layer {number}"}
        _write(path, fields)
    _write(arguments.required("--config"), described["config"] | {"digest": image.digest, "origin": ""})


def _write(path: str, document: dict[str, object]) -> None:
    Path(path).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
