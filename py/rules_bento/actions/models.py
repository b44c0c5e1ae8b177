"""Subcommands that write models as archives, layers, and images."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.own_files import remove
from rules_bento.base.subcommand_arguments import (
    JsonPairs,
    LayerRequest,
    Pairs,
    Request,
    Strings,
    Triples,
    check_labels,
)
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import Any, Iterator, Mapping
from rules_bento.bentos.models import model_store
from rules_bento.bentos.models.model import ModelDescription, ModelEntry, make_entry, read_license
from rules_bento.bentos.models.model_store import StoredModel
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.tree_manifest import TreeManifest

# Fields of a fields file that aren't in model.yaml.
_ORIGINS = {
    "hugging_face": (re.compile(r"(?:(?:\w[\w.-]*/)?\w[\w.-]*@[0-9a-f]{40})?", re.ASCII), "organization/name@commit"),
    "origin": (
        re.compile(r"(?:https?://\S+|oci://[^\s@]+@sha256:[0-9a-f]{64})?"),
        "an http:// or https:// URL, or oci://REGISTRY/REPOSITORY@sha256:DIGEST",
    ),
}


class _FilesRequest(Request):
    package: str = ""
    source: Triples  # path to read, Bazel short path, label
    strip_prefix: str = ""


class _EntryRequest(_FilesRequest):
    archive: Pairs  # of an entry: path to read, name in messages
    creation_time: str = ""
    fields: Pairs  # JSON with further fields of model.yaml: path to read, name in messages
    label: JsonPairs
    module: str = ""
    scratch: str = ""  # a temporary directory for the files of the archive
    tag: str | None = None  # of a new entry; without it, the sources or the archive are an entry


class _ModelRequest(_EntryRequest):
    description: Path | None = None
    manifest: Path | None = None
    model_yaml: Path | None = None
    part: Path | None = None


def model(request: _ModelRequest) -> None:
    """Write each requested output of a model: archive part, description, manifest, or model.yaml."""
    from rules_bento.base.archives.archive import write_part
    from rules_bento.bentos.models.weights import check_weights

    with read_model(request) as stored:
        described = stored.entry.description
        weights = check_weights(stored.sources, described.tag)
        if request.part:
            write_part(request.part, stored.members())
        if request.description:
            described = replace(described, license=read_license(stored.sources), weights=weights)
            request.description.write_text(described.dumps(), "utf-8")
        if request.manifest:
            request.manifest.write_text(stored.entry.manifest.to_json(), "utf-8")
        if request.model_yaml:
            request.model_yaml.write_bytes(stored.entry.model_yaml)


@contextmanager
def read_model(request: _EntryRequest) -> Iterator[StoredModel]:
    """Yield the model that the flags describe. Temporary files of the model exist until the `with` block ends.

    Raises BentoError for files that a model can't contain.
    """
    if request.tag is not None:
        yield _new_model(request)
        return
    for path, name in request.archive:
        scratch = Path(request.scratch)
        remove(scratch, ignores_errors=True)
        try:
            files = model_store.unpack_model(Path(path), name, scratch)
            yield _with_origin(model_store.from_files(files, name), request)
        finally:
            remove(scratch, ignores_errors=True)
        return
    yield _with_origin(model_store.from_files(model_files(request, request.source), "srcs"), request)


def _new_model(request: _EntryRequest) -> StoredModel:
    tag = Tag.parse(request.tag or "", "tag")
    selection = snapshot.select(model_files(request, request.source))
    for file in selection.dropped:
        problem = f"{file.path} (from {file.origin}) can't be in a model: {selection.reason(file)}"
        raise BentoError(problem, remedy="Remove the file from srcs.")
    snapshot.check_followed(selection.kept)
    fields = _model_fields(request)
    origins = {name: fields.pop(name) for name in _ORIGINS}
    entry = make_entry(tag, fields, request.creation_time, snapshot.digest(selection.kept, is_model=True))
    for _, name in request.fields:
        from rules_bento.bentos.assembly import bento_yaml
        from rules_bento.bentos.assembly.kinds import MODEL

        bento_yaml.parse(MODEL, entry.model_yaml, f"{name}: model.yaml with the fields")
    described = replace(entry.description, **origins)
    return StoredModel(replace(entry, description=described), {file.path: file.source for file in selection.kept})


def _with_origin(stored: StoredModel, request: _EntryRequest) -> StoredModel:
    """Return an entry of a store with the origin in the fields file. Raises BentoError for other fields."""
    origins: dict[str, Any] = dict.fromkeys(_ORIGINS, "")
    for path, name in request.fields:
        origins |= _read_fields_file(path, name, origins, "The entry of the model store defines other fields. Set tag")
    described = replace(stored.entry.description, **origins)
    return replace(stored, entry=replace(stored.entry, description=described))


def model_files(request: _FilesRequest, sources: Triples) -> list[snapshot.DeclaredFile]:
    """Return the files in `sources`, with their paths in the model."""
    directory = "/".join(part for part in (request.package, request.strip_prefix.strip("/")) if part)
    files = []
    for source, short_path, label in sources:
        path = snapshot.place(short_path, build_ctx=directory, attribute="srcs", label=label)
        # Not a path in a build context: `.bentoignore` applies only to Bentos.
        files.append(snapshot.DeclaredFile(path, source, f"srcs {label}", context_path=path))
    return files


def _model_fields(request: _EntryRequest) -> dict[str, Any]:
    module = request.module
    # In the order of BentoML, which the model's version and every copy of model.yaml follow.
    fields: dict[str, Any] = {"options": {}, "metadata": {}, "context": {}, "signatures": {}, "api_version": "v1"}
    fields |= dict.fromkeys(_ORIGINS, "")
    for path, name in request.fields:
        fields |= _read_fields_file(path, name, fields, "Set other values in the target's attributes")
    return {
        "module": module,
        "labels": check_labels(request.label),
        **fields,
        "context": {"framework_name": module.rpartition(".")[2], "framework_versions": {}} | fields["context"],
    }


def _read_fields_file(path: str, name: str, known: Mapping[str, Any], remedy: str) -> dict[str, Any]:
    from rules_bento.base.net.urls import without_secrets

    fields = read_object(read_file(path), name)
    for field, value in fields.items():
        if field not in known:
            problem = f"unknown field {field!r}"
            raise BentoError(problem, place=name, remedy=f"Valid fields: {', '.join(sorted(known))}. {remedy}.")
        if type(value) is not type(known[field]):
            expected = "a string" if isinstance(known[field], str) else "a JSON object"
            raise BentoError(f"expected {expected}, got {json.dumps(value)[:80]}.", place=f"{name}: {field}")
        if field in _ORIGINS:
            fields[field] = without_secrets(value)
            pattern, expected = _ORIGINS[field]
            if not pattern.fullmatch(fields[field]):
                raise BentoError(f"expected {expected}, got {fields[field]!r}.", place=f"{name}: {field}")
    return fields


class _ExportModelRequest(_EntryRequest):
    output: Path


def export_model(request: _ExportModelRequest) -> None:
    """Write a model as a `.bentomodel` file, which `bentoml models import` accepts."""
    from rules_bento.base.archives.archive import write_archive

    with read_model(request) as stored:
        write_archive(request.output, stored.members_in(""))


class _LayerRequest(LayerRequest):
    directory: str = ""  # of the Bento, in the image
    root: str = ""  # directory of the model in the image, without links to weights; replaces the paths of Bentos
    user: str
    weights: str = ""  # directory of the weights, in the image


class _ModelLayerRequest(_EntryRequest, _LayerRequest):
    weights_file: Triples  # path (the file isn't read), Bazel short path, label
    written_description: str = ""  # of the model; with weights, these three files are read instead of the weights
    written_manifest: str = ""
    written_model_yaml: str = ""


def model_layer(request: _ModelLayerRequest) -> None:
    """Write a layer with the files of a model, and links to weights in other layers.

    The path of a weights file depends only on the file's digest and name, so versions of a model can share a layer of
    weights. `--root` sets the directory of the files. If `--root` is set, the layer contains no links to weights.
    """
    if request.written_manifest:
        weights = frozenset(file.path for file in model_files(request, request.weights_file))
        _write_model_layer(request, _model_without_weights(request), weights)
        return
    with read_model(request) as stored:
        _write_model_layer(request, stored, frozenset())


def _model_without_weights(request: _ModelLayerRequest) -> StoredModel:
    origin = request.written_manifest
    entry = ModelEntry(
        ModelDescription.loads(read_file(request.written_description).decode()),
        read_file(request.written_model_yaml),
        TreeManifest.from_json(read_file(origin).decode(), origin),
    )
    return StoredModel(entry, {file.path: file.source for file in model_files(request, request.source)})


def _write_model_layer(request: _ModelLayerRequest, stored: StoredModel, weights: frozenset[str]) -> None:
    from rules_bento.images.layers import description
    from rules_bento.images.layers.members import model_members

    owner = description.owner(request.user)
    if root := request.root:
        members = [Member.directory(root, **owner), *stored.members_in(f"{root}/", excluded=weights, **owner)]
    else:
        members = model_members(stored, request.directory, weights, request.weights, owner)
    # KServe's `oci+fetch` reads a layer with `root` as a stream.
    description.write_files(request, members, f"model {stored.entry.description.tag}", one_member=bool(root))


class _WeightsLayerRequest(_FilesRequest, _LayerRequest):
    pass


def weights_layer(request: _WeightsLayerRequest) -> None:
    """Write a layer of model weights. If `--root` isn't set, the path of a file depends only on its digest and name."""
    from rules_bento.images.layers import description
    from rules_bento.images.layers.members import weights_members

    owner = description.owner(request.user)
    files = model_files(request, request.source)
    members = weights_members(files, request.directory, request.weights, owner, request.root)
    name = f"weights {', '.join(file.path for file in files)}"
    description.write_files(request, members, name, one_member=bool(request.root))


class _ModelFileLayerRequest(_FilesRequest):
    description: Path
    output: Path


def model_file_layer(request: _ModelFileLayerRequest) -> None:
    """Copy a file of a model, which is a layer of a CNCF ModelPack artifact, and write the layer's description."""
    from rules_bento.base.archives import sha256_of
    from rules_bento.images.oci_image import modelpack_layer

    [file] = model_files(request, request.source)
    shutil.copyfile(file.source, request.output)
    layer = modelpack_layer(file.path, f"sha256:{sha256_of(request.output)}", request.output.stat().st_size)
    request.description.write_text(layer.dumps(), "utf-8")


class _ModelImageRequest(Request):
    annotation: JsonPairs
    base: Path | None = None  # output, JSON of an image base: see BentoBaseInfo.config
    base_config: Strings  # the program that copies or links the files; without it, the image has no program
    config: Path
    created: str
    digest: Path
    format: str  # image, kserve, or modelpack
    layer: Strings  # of the base and the models
    manifest: Path
    model: Strings  # description


def model_image(request: _ModelImageRequest) -> None:
    """Write the config, manifest, and digest of an image that contains models, or of a CNCF ModelPack artifact."""
    from rules_bento.base.formats.oci import Layer
    from rules_bento.images import oci_image

    described = [ModelDescription.loads(read_file(path).decode()) for path in request.model]
    tags = [Tag.parse(model.tag, "tag") for model in described]
    created = request.created
    annotations = oci_image.standard_annotations(created, tags) | request.annotation
    layers = [Layer.loads(read_file(path).decode()) for path in request.layer]
    if request.format == "modelpack":
        image = oci_image.make_modelpack(tags[0], created, layers, annotations)
    else:
        bases = [read_object(read_file(path), "the base's config") for path in request.base_config]
        oci_image.check_layers(layers)
        image = oci_image.make_image(layers, oci_image.data_config(created, annotations, bases[0] if bases else {}))
        if request.base:
            request.base.write_text(json.dumps(bases[0] | {"digest": image.digest, "origin": ""}) + "\n", "utf-8")
    request.config.write_bytes(image.config)
    request.manifest.write_bytes(image.manifest)
    request.digest.write_text(f"{image.digest}\n", "utf-8")
