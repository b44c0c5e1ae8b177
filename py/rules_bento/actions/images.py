"""Subcommands that assemble images, and write image files."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import Layer, digest_of
from rules_bento.base.formats.workspace_status import read_status, substitute_all
from rules_bento.base.formats.yaml import read_mapping
from rules_bento.base.subcommand_arguments import JsonPairs, JsonStrings, Pairs, Request, Strings
from rules_bento.base.typing_lite import Any
from rules_bento.bentos.models.model import ModelDescription
from rules_bento.images import image_config, oci_image
from rules_bento.images.validation import all_checks
from rules_bento.images.validation.remedies import Remedies


class _ImageRequest(Request):
    annotation: JsonPairs
    base_config: str
    bento: str = ""  # directory of the Bento in the image
    bento_yaml: str = ""  # of a Bento's image; other images have a tag
    cmd: Strings
    compression: str = ""  # of all layers, including the layers of the base
    config: Path
    created: str
    digest: Path
    entrypoint: Strings
    env: JsonPairs
    environment: str  # directory of the virtual environment in the image
    home: str = ""
    index: str = ""  # with --soci
    label: JsonPairs
    layer: Strings
    manifest: Path
    model: Strings  # description of a model in the image, or that is mounted
    port: Strings
    provided: JsonStrings  # a command that the image doesn't need
    python_release: str = ""  # X.Y.Z, of the base
    soci: Path | None = None  # the SOCI index
    stamped_annotation: JsonPairs  # with {KEY} for values of the workspace status
    stamped_label: JsonPairs
    status: Strings  # Bazel's workspace status
    tag: str = ""  # file
    user: str
    working_dir: str = ""
    ztoc: Strings  # description of a layer's zTOC


def image(request: _ImageRequest) -> None:
    """Write the config, manifest, digest, and (with `--soci`) SOCI index of an image from its layer descriptions."""
    described = [Layer.loads(Path(path).read_text("utf-8")) for path in request.layer]
    layers = [layer for layer in described if layer.size]
    base = read_object(read_file(request.base_config), "the base's config")
    python = request.python_release or base.get("env", {}).get("PYTHON_VERSION", "")
    all_checks.check_layers(layers, request.compression, Remedies(), python)
    ztocs = [json.loads(Path(path).read_text("utf-8")) for path in request.ztoc] if request.soci else None
    written = image_config.documents(layers, _image_config(request, base, _read_bento_yaml(request)), ztocs)
    request.config.write_bytes(written.image.config)
    request.manifest.write_bytes(written.image.manifest)
    if request.soci:
        from rules_bento.images import soci

        request.soci.write_text(soci.dumps(written.soci), "utf-8")
        Path(request.index).write_bytes(written.listing)
    request.digest.write_text(f"{written.digest}\n", "utf-8")


def _read_bento_yaml(request: _ImageRequest) -> dict[str, Any]:
    """Return the parsed bento.yaml. If the image contains a program instead of a Bento, returns equivalent fields.

    Raises BentoError for a build step that `bento_image` doesn't support, unless `--provided` lists the step.
    """
    from rules_bento.images.validation.bento_requirements import reject_commands

    path = request.bento_yaml
    if not path:
        name, _, version = Path(request.tag).read_text("utf-8").strip().partition(":")
        return {"name": name, "version": version, "labels": {}, "envs": []}
    document = read_mapping(read_file(path), path)
    reject_commands(document, request.provided)
    return document


def _image_config(request: _ImageRequest, base: dict[str, Any], bento: dict[str, Any]) -> oci_image.ImageConfig:
    status = read_status(Path(path) for path in request.status)
    annotations = request.annotation | substitute_all(request.stamped_annotation, status, "annotations")
    labels = request.label | substitute_all(request.stamped_label, status, "labels")
    models = [ModelDescription.loads(read_file(path).decode()) for path in request.model]
    program = () if request.bento_yaml else request.entrypoint
    return image_config.image_config(
        base,
        bento,
        has_hub_cache=image_config.has_hub_cache(bento, models),
        created=request.created,
        directory=request.bento,
        environment=request.environment,
        home=request.home,
        env=request.env,
        labels=labels,
        annotations=annotations,
        entrypoint=request.entrypoint if request.bento_yaml else (),
        cmd=[*program, *request.cmd],
        user=request.user,
        working_dir=request.working_dir,
        ports=request.port,
    )


class _ImageFilesRequest(Request):
    config: Path
    elsewhere: Pairs  # description of a layer that isn't fetched, repository that has it
    form: str  # oci-layout or docker-archive
    layer: Pairs  # description, blob
    manifest: Path
    output: Path
    reference: str
    soci: Pairs  # OCI index, SOCI index
    ztoc: Pairs  # description, zTOC


def image_files(request: _ImageFilesRequest) -> None:
    """Write an image as an OCI layout or an archive for `docker load`. Raises BentoError if a layer wasn't fetched."""
    from rules_bento.images import image_archive

    for description, origin in request.elsewhere:
        layer = Layer.loads(Path(description).read_text("utf-8"))
        problem = (
            f"the output must contain this base layer ({layer.size / 1e6:.1f} MB), but the build doesn't fetch layers "
            f"from {origin}"
        )
        raise BentoError(problem, place=layer.name, remedy="Build with --@rules_bento//rules:base_layers=fetched.")
    image = oci_image.OciImage(request.config.read_bytes(), request.manifest.read_bytes())
    found = ((Layer.loads(Path(description).read_text("utf-8")), Path(blob)) for description, blob in request.layer)
    blobs = {layer.digest: blob for layer, blob in found if layer.size}
    if request.form == "docker-archive":
        with request.output.open("wb") as file:
            file.writelines(image_archive.docker_archive(image, blobs, request.reference))
        return
    index, contents = b"", []
    for index_path, soci_path in request.soci:
        from rules_bento.images import soci

        index, contents = Path(index_path).read_bytes(), soci.loads(Path(soci_path).read_bytes())
        ztocs = [(json.loads(Path(text).read_text("utf-8")), Path(blob)) for text, blob in request.ztoc]
        blobs |= {ztoc["digest"]: path for ztoc, path in ztocs if ztoc["size"]}
    image_archive.write_layout(request.output, image, blobs, request.reference, index, contents)


class _ImageIndexRequest(Request):
    annotation: JsonPairs
    digest: Path
    image: Pairs  # config, manifest
    index: Path
    soci: Pairs  # manifest of an image, SOCI index
    stamped_annotation: JsonPairs  # with {KEY} for values of the workspace status
    status: Strings


def image_index(request: _ImageIndexRequest) -> None:
    """Write an image index and its digest. Raises BentoError for a duplicate platform or a model artifact."""
    soci_files = dict(request.soci)
    images: dict[str, tuple[bytes, dict[str, str]]] = {}
    others: dict[str, dict[str, Any]] = {}
    for config_path, manifest_path in request.image:
        config = json.loads(Path(config_path).read_text("utf-8"))
        if "os" not in config:
            remedy = 'Push the artifact separately, or set format = "image" on the bento_model_image.'
            raise BentoError("an index can't contain a model artifact", place="image", remedy=remedy)
        platform = {key: config[key] for key in ("architecture", "os", "variant") if key in config}
        name = f"{platform['os']}/{platform['architecture']}"
        if name in images:
            raise BentoError(f"duplicate platform {name}", place="platforms", remedy="Specify each platform only once.")
        images[name] = (Path(manifest_path).read_bytes(), platform)
        if manifest_path in soci_files:
            from rules_bento.images import soci

            manifest = soci.loads(Path(soci_files[manifest_path]).read_bytes())[0]
            others[name] = soci.index_entry(manifest, *images[name])
    status = read_status(map(Path, request.status))
    annotations = request.annotation | substitute_all(request.stamped_annotation, status, "annotations")
    sorted_others = [others[name] for name in sorted(others)]
    index = oci_image.make_index([images[name] for name in sorted(images)], annotations, sorted_others)
    request.index.write_bytes(index)
    request.digest.write_text(f"{digest_of(index)}\n", "utf-8")
