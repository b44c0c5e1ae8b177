"""Assembles an image of a model alone, or an artifact of CNCF ModelPack, from the descriptions of its layers."""

from __future__ import annotations

from pathlib import Path

from rules_bento.formats import read_file
from rules_bento.formats.oci import ANNOTATION
from rules_bento.images import modelpack, oci_image
from rules_bento.models.model import ModelDescription
from rules_bento.tag import Tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--annotation": 2,
    "--config": 1,
    "--created": 1,
    "--digest": 1,
    "--folder": 1,  # of a Bento, in images
    "--format": 1,  # image or modelpack
    "--layer": 1,  # of the model; an artifact has one
    "--manifest": 1,
    "--model": 1,  # description
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write config, manifest and digest."""
    model = ModelDescription.loads(read_file(arguments.required("--model")).decode())
    tag = Tag.parse(model.tag, "tag")
    created = arguments.required("--created")
    standard = {"created": created, "title": tag.name, "version": tag.version}
    annotations = {f"{ANNOTATION}{key}": value for key, value in standard.items()} | arguments.pairs("--annotation")
    layers = [oci_image.Layer.loads(read_file(path).decode()) for path in arguments.repeated("--layer")]
    if arguments.required("--format") == "modelpack":
        folder = f"{arguments.required('--folder').strip('/')}/models/{tag.name}/{tag.version}"
        [layer] = layers
        image = modelpack.make_artifact(tag, created, modelpack.ModelLayer(layer, folder), annotations)
    else:
        image = oci_image.make_image(layers, _settings(created, annotations))
    Path(arguments.required("--config")).write_bytes(image.config)
    Path(arguments.required("--manifest")).write_bytes(image.manifest)
    Path(arguments.required("--digest")).write_text(f"{image.digest}\n", "utf-8")


def _settings(created: str, annotations: dict[str, str]) -> oci_image.ImageConfig:
    """Return the config's settings: a platform, because an image must name one, and nothing that runs."""
    standard = {key: value for key, value in annotations.items() if key.startswith(ANNOTATION)}
    return oci_image.ImageConfig(
        architecture="amd64",
        os="linux",
        created=created,
        env={},
        entrypoint=[],
        cmd=[],
        user="",
        working_dir="",
        ports=[],
        labels=standard,
        annotations=annotations,
        stop_signal="",
        healthcheck=[],
    )
