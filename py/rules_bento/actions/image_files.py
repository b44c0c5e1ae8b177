"""Writes an image as files: an OCI layout, or an archive that `docker load` takes."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.images import oci_image, oci_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--config": 1,
    "--elsewhere": 2,  # description of a layer that is not here, repository that has it
    "--form": 1,  # oci-layout or docker-archive
    "--layer": 2,  # description, blob
    "--manifest": 1,
    "--output": 1,
    "--reference": 1,
    "--target": 1,
}

_FORMS = {"docker-archive": oci_layout.write_docker_archive, "oci-layout": oci_layout.write_layout}


def run(arguments: Arguments) -> None:
    """Copy the layers and write what names them."""
    for description, origin in arguments.tuples("--elsewhere"):
        layer = oci_image.Layer.loads(Path(description).read_text("utf-8"))
        raise BentoError(
            f"{layer.name} ({layer.size / 1e6:.1f} MB) is in {origin} and was not fetched: a push does not need it. "
            f"To have it here, build with --@rules_bento//rules:base_layers=fetched."
        )
    image = oci_image.Image(
        Path(arguments.required("--config")).read_bytes(), Path(arguments.required("--manifest")).read_bytes()
    )
    blobs = {
        oci_image.Layer.loads(Path(description).read_text("utf-8")).digest: Path(blob)
        for description, blob in arguments.tuples("--layer")
    }
    write = _FORMS[arguments.required("--form")]
    write(Path(arguments.required("--output")), image, blobs, arguments.required("--reference"))
