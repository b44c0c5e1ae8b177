"""Subcommands that read base images and their layers, and convert image archives to OCI layouts."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import Layer
from rules_bento.base.subcommand_arguments import Pairs, Request, Strings
from rules_bento.images.registry.base_images import check_layers, find_images
from rules_bento.images.registry.blob_sources import FileSource
from rules_bento.images.registry.layout import Layout


class _BaseContentsRequest(Request):
    layer: Pairs  # description, blob or OCI layout that contains the blob; the lowest layer first
    libraries: Path  # output, a JSON list of file names
    machines: Path | None = None  # output, the machine of each file with machine code, a JSON object by paths
    system: Path  # output, the result of SystemFiles.dumps


def base_contents(request: _BaseContentsRequest) -> None:
    """List the libraries, programs, and system packages in layers. With `--machines`, also lists machine types."""
    from rules_bento.bentos.sources.cpu_arch import machine_of
    from rules_bento.images.layers.contents import read_files
    from rules_bento.images.system_packages import SystemFiles
    from rules_bento.images.validation.package_needs import is_provided

    layers = [_read_layer(description, Path(place)) for description, place in request.layer]
    is_wanted = _is_code if request.machines else is_provided
    files = read_files(((blob, layer.media_type, layer.diff_id) for layer, blob in layers), is_wanted, SystemFiles.has)
    names = {path.rpartition("/")[2] for path in files if is_provided(path)}
    request.libraries.write_text(json.dumps(sorted(names), indent=0) + "\n", "utf-8")
    kept = {path: data for path, data in files.items() if SystemFiles.has(path)}
    request.system.write_text(SystemFiles.from_files(kept).dumps(), "utf-8")
    if request.machines:
        machines = {path: machine for path, data in sorted(files.items()) if (machine := machine_of(data))}
        request.machines.write_text(json.dumps(machines, indent=0) + "\n", "utf-8")


def _read_layer(description: str, place: Path) -> tuple[Layer, Path]:
    layer = Layer.loads(Path(description).read_text("utf-8"))
    if not place.is_dir():
        return layer, place
    return layer, Layout(place).blob(layer.digest)


def _is_code(path: str, head: bytes | None) -> bool:
    from rules_bento.bentos.sources.cpu_arch import machine_of
    from rules_bento.images.validation.package_needs import is_provided

    return is_provided(path) or bool(machine_of(head or b""))


class _BaseImagesRequest(Request):
    layers: bool = False  # the layers exist, and are verified against the index also
    layout: Path
    output: str  # JSON: platform to digest, config, layers
    platform: Strings  # os/architecture


def base_images(request: _BaseImagesRequest) -> None:
    """Find the images for `--platform` in an OCI layout, and write their configs and layer descriptions as JSON.

    With `--layers`, also verifies the layers. The repository rules of `bento_files.base` run this subcommand.
    """
    layout = Layout.open(request.layout, follows_links=True)
    images = find_images(layout, request.platform)
    if request.layers:
        check_layers(layout, list(images.values()))
    described = {platform: image.to_json() for platform, image in images.items()}
    Path(request.output).write_text(json.dumps(described, indent=1) + "\n", "utf-8")


class _BaseLayerRequest(Request):
    description: Path  # output of base_layout, which verified the layer
    layout: Path
    output: str


def base_layer(request: _BaseLayerRequest) -> None:
    """Copy a layer from an OCI layout. The subcommand `base_layout` has already verified the layer."""
    import shutil

    layer = Layer.loads(request.description.read_text("utf-8"))
    shutil.copyfile(Layout(request.layout).blob(layer.digest), request.output)


class _BaseLayoutRequest(Request):
    config: str  # output, JSON: see BentoBaseInfo.config
    description: Strings  # output, of a layer; the lowest layer first
    layout: Path
    platform: str  # os/architecture


def base_layout(request: _BaseLayoutRequest) -> None:  # writes: output that follows links, of the action
    """Read an image from another rule's OCI layout, and write the config and the layer descriptions of the image.

    Raises BentoError if the layout is invalid, or if the image doesn't have one layer for each `--description`.
    """
    descriptions = request.description
    layout = Layout.open(request.layout, follows_links=True)
    [image] = find_images(layout, [request.platform]).values()
    if len(image.layers) != len(descriptions):
        problem = (
            f"got {len(descriptions)}, but the {request.platform} image in {layout.directory} has {len(image.layers)} "
            "layers"
        )
        raise BentoError(problem, place="layer_count", remedy=f"Set layer_count = {len(image.layers)}.")
    check_layers(layout, [image])
    for layer, path in zip(image.layers, descriptions, strict=True):
        Path(path).write_text(layer.dumps(), "utf-8")
    config = image.config | {"digest": image.digest, "origin": ""}
    Path(request.config).write_text(json.dumps(config, indent=1) + "\n", "utf-8")


class _UnpackImageRequest(Request):
    archive: Path
    layout: Path  # output directory


def unpack_image(request: _UnpackImageRequest) -> None:
    """Convert an OCI archive or an archive from `docker save` to an OCI layout. Verifies the digest of each blob."""
    from rules_bento.images.registry import docker_archive

    package = docker_archive.read(request.archive)
    layout = Layout.create(request.layout)
    for manifest in package.children:
        layout.add(manifest.content)
    for blob in package.blobs():
        source = package.sources[blob.digest]
        source.check(blob.digest, blob.size)
        if not isinstance(source, FileSource):
            raise AssertionError
        layout.write(blob.digest, source.pieces(0, blob.size))
    layout.add_manifest(package.root)
