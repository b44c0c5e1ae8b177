"""Takes a layer out of an OCI layout."""

from __future__ import annotations

import shutil
from pathlib import Path

from rules_bento.images.oci_image import Layer
from rules_bento.registry.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--description": 1,  # what base_layout wrote, which has held the layer to it
    "--layout": 1,
    "--output": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Copy the layer."""
    layer = Layer.loads(Path(arguments.required("--description")).read_text("utf-8"))
    shutil.copyfile(Layout(Path(arguments.required("--layout"))).blob(layer.digest), arguments.required("--output"))
