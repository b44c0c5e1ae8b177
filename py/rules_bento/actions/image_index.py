"""Writes the index over the images of several platforms."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.formats.oci import digest_of
from rules_bento.images import oci_image
from rules_bento.workspace_status import all_filled, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--annotation": 2,
    "--digest": 1,
    "--image": 2,  # config, manifest
    "--index": 1,
    "--stamped-annotation": 2,  # with {KEY} for values of the workspace status
    "--status": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write index and digest."""
    images: dict[str, tuple[bytes, dict[str, str]]] = {}
    for config_path, manifest_path in arguments.tuples("--image"):
        config = json.loads(Path(config_path).read_text("utf-8"))
        if "os" not in config:
            raise BentoError(
                'image: an artifact of a model is for no platform. Push it by itself, or set format = "image".'
            )
        platform = {key: config[key] for key in ("architecture", "os", "variant") if key in config}
        name = f"{platform['os']}/{platform['architecture']}"
        if name in images:
            raise BentoError(f"platforms: two of them are {name}. Name each platform once.")
        images[name] = (Path(manifest_path).read_bytes(), platform)
    status = read_status(map(Path, arguments.repeated("--status")))
    stamped = all_filled(arguments.pairs("--stamped-annotation"), status, "stamped_annotations")
    annotations = arguments.pairs("--annotation") | stamped
    index = oci_image.make_index([images[name] for name in sorted(images)], annotations)
    Path(arguments.required("--index")).write_bytes(index)
    Path(arguments.required("--digest")).write_text(f"{digest_of(index)}\n", "utf-8")
