"""Subcommands that write models as archives, layers, and images."""

from __future__ import annotations

import json
import posixpath
import re
from contextlib import contextmanager
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand, check_labels
from rules_bento.dataclasses_lite import replace
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.models.model import ModelDescription, ModelEntry, hub_cache, make_entry
from rules_bento.sources.manifest import TreeManifest
from rules_bento.tag import Tag
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator, Mapping

if TYPE_CHECKING:
    from rules_bento.archives.tarstream import Member
    from rules_bento.models.model_store import StoredModel
    from rules_bento.sources import snapshot


_HUGGING_FACE = re.compile(r"(?:(?:\w[\w.-]*/)?\w[\w.-]*@[0-9a-f]{40})?", re.ASCII)
MODEL_FLAGS = {
    "--archive": 2,  # of an entry: path to read, name in messages
    "--creation-time": 1,
    "--description": 1,
    "--fields": 2,  # JSON with further fields of model.yaml: path to read, name in messages
    "--label": 2,
    "--manifest": 1,
    "--model-yaml": 1,  # to write
    "--module": 1,
    "--package": 1,
    "--part": 1,
    "--scratch": 1,  # a temporary directory for the files of the archive
    "--source": 3,  # path to read, Bazel short path, label
    "--strip-prefix": 1,
    "--tag": 1,  # of a new entry; without it, the sources or the archive are an entry
}


# Literal, because the import of `description` would slow down the other subcommands.
_LAYER_FLAGS = {
    "--compression": 1,
    "--description": 1,
    "--directory": 1,  # of the Bento, in the image
    "--output": 1,
    "--root": 1,  # directory of the model in the image, without links to weights; replaces the paths of Bentos
    "--user": 1,
}


@Subcommand(MODEL_FLAGS)
def model(arguments: Arguments) -> None:
    """Write each requested output of a model: archive part, description, manifest, or model.yaml."""
    from rules_bento.archives.archive import write_part
    from rules_bento.models.weights import check_weights

    with read_model(arguments) as stored:
        check_weights(stored.sources, stored.entry.description.tag)
        for path in arguments.repeated("--part"):
            write_part(Path(path), stored.members())
        for path in arguments.repeated("--description"):
            Path(path).write_text(stored.entry.description.dumps(), "utf-8")
        for path in arguments.repeated("--manifest"):
            Path(path).write_text(stored.entry.manifest.to_json(), "utf-8")
        for path in arguments.repeated("--model-yaml"):
            Path(path).write_bytes(stored.entry.model_yaml)


@contextmanager
def read_model(arguments: Arguments) -> Iterator[StoredModel]:
    """Yield the model that the flags describe. Temporary files of the model exist until the `with` block ends.

    Raises BentoError for files that a model can't contain.
    """
    import shutil

    from rules_bento.models import model_store

    if arguments.repeated("--tag"):
        yield _new_model(arguments)
        return
    for path, name in arguments.tuples("--archive"):
        scratch = Path(arguments.required("--scratch"))
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield model_store.from_files(model_store.unpack_model(Path(path), name, scratch), name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return
    yield model_store.from_files(model_files(arguments), "srcs")


def _new_model(arguments: Arguments) -> StoredModel:
    from rules_bento.models.model_store import StoredModel
    from rules_bento.sources import snapshot

    tag = Tag.parse(arguments.required("--tag"), "tag")
    selection = snapshot.select(model_files(arguments))
    for file in selection.dropped:
        raise BentoError(
            f"{file.path} (from {file.origin}) can't be in a model: {selection.reason(file)}. Remove the file from "
            "srcs."
        )
    snapshot.check_followed(selection.kept)
    fields = _model_fields(arguments)
    origin = fields.pop("hugging_face")
    entry = make_entry(tag, fields, arguments.required("--creation-time"), snapshot.digest(selection.kept))
    for _, name in arguments.tuples("--fields"):
        from rules_bento.bento import descriptors
        from rules_bento.bento.kinds import MODEL

        descriptors.parse(MODEL, entry.model_yaml, f"{name}: model.yaml with the fields")
    described = replace(entry.description, hugging_face=origin)
    return StoredModel(replace(entry, description=described), {file.path: file.source for file in selection.kept})


def model_files(arguments: Arguments, flag: str = "--source") -> list[snapshot.DeclaredFile]:
    """Return the files passed with `flag`, with their paths in the model."""
    from rules_bento.sources import snapshot

    directory = "/".join(
        part for part in (arguments.required("--package"), arguments.required("--strip-prefix").strip("/")) if part
    )
    files = []
    for source, short_path, label in arguments.tuples(flag):
        path = snapshot.place(short_path, build_ctx=directory, attribute="srcs", label=label).path
        # Not filtered: `.bentoignore` applies only to Bentos.
        files.append(snapshot.DeclaredFile(path, source, f"srcs {label}", filtered=False))
    return files


def _model_fields(arguments: Arguments) -> dict[str, Any]:
    module = arguments.required("--module")
    # In the order of BentoML, which the model's version and every copy of model.yaml follow.
    fields: dict[str, Any] = {"options": {}, "metadata": {}, "context": {}, "signatures": {}, "api_version": "v1"}
    fields["hugging_face"] = ""  # not in model.yaml
    for path, name in arguments.tuples("--fields"):
        fields |= _read_fields_file(path, name, fields)
        if not _HUGGING_FACE.fullmatch(fields["hugging_face"]):
            raise BentoError(
                f"{name}: hugging_face: expected organization/name@commit, got {fields['hugging_face']!r}."
            )
    return {
        "module": module,
        "labels": check_labels(arguments.pairs("--label")),
        **fields,
        "context": {"framework_name": module.rpartition(".")[2], "framework_versions": {}} | fields["context"],
    }


def _read_fields_file(path: str, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    from rules_bento.formats.json import read_object

    fields = read_object(read_file(path), name)
    for field, value in fields.items():
        if field not in known:
            raise BentoError(
                f"{name}: unknown field {field!r}. Valid fields: {', '.join(sorted(known))}. "
                "Set other values in the target's attributes."
            )
        if type(value) is not type(known[field]):
            expected = "a string" if isinstance(known[field], str) else "a JSON object"
            raise BentoError(f"{name}: {field}: expected {expected}, got {json.dumps(value)[:80]}.")
    return fields


@Subcommand(MODEL_FLAGS | {"--output": 1})
def export_model(arguments: Arguments) -> None:
    """Write a model as a `.bentomodel` file, which `bentoml models import` accepts."""
    from rules_bento.archives.archive import write_archive

    with read_model(arguments) as stored:
        write_archive(Path(arguments.required("--output")), stored.members_in(""))


@Subcommand(
    MODEL_FLAGS
    | _LAYER_FLAGS
    | {
        "--weights": 1,  # directory of the layers of weights, in the image
        "--weights-file": 3,  # path (the file isn't read), Bazel short path, label
        "--written-description": 1,  # of the model; with weights, these three files are read instead of the weights
        "--written-manifest": 1,
        "--written-model-yaml": 1,
    }
)
def model_layer(arguments: Arguments) -> None:
    """Write a layer with the files of a model, and links to weights in other layers.

    The path of a weights file depends only on the file's digest and name, so versions of a model can share a layer of
    weights. `--root` sets the directory of the files. If `--root` is set, the layer contains no links to weights.
    """
    if arguments.has("--written-manifest"):
        weights = frozenset(file.path for file in model_files(arguments, "--weights-file"))
        _write_model_layer(arguments, _model_without_weights(arguments), weights)
        return
    with read_model(arguments) as stored:
        _write_model_layer(arguments, stored, frozenset())


def _model_without_weights(arguments: Arguments) -> StoredModel:
    from rules_bento.models.model_store import StoredModel

    origin = arguments.required("--written-manifest")
    entry = ModelEntry(
        ModelDescription.loads(read_file(arguments.required("--written-description")).decode()),
        read_file(arguments.required("--written-model-yaml")),
        TreeManifest.from_json(read_file(origin).decode(), origin),
    )
    return StoredModel(entry, {file.path: file.source for file in model_files(arguments)})


def _write_model_layer(arguments: Arguments, stored: StoredModel, weights: frozenset[str]) -> None:
    from rules_bento.archives.tarstream import Member
    from rules_bento.images.layers import description

    owner = description.owner(arguments.required("--user"))
    if root := arguments.optional("--root"):
        members = [Member.directory(root, **owner), *stored.members_in(f"{root}/", excluded=weights, **owner)]
    else:
        bento, directory = arguments.required("--directory"), arguments.optional("--weights")
        members = model_members(stored, bento, weights, directory, owner)
    description.write_files(arguments, members, f"model {stored.entry.description.tag}")


def model_members(
    stored: StoredModel, bento: str, weights: frozenset[str], weights_directory: str, owner: dict[str, int]
) -> list[Member]:
    """Return the files of a model in the Bento in the directory `bento`, and links to the files in `weights`."""
    from rules_bento.archives.tarstream import Member
    from rules_bento.images.layers import description

    bento = bento.strip("/")
    directory = f"{bento}/models/{stored.entry.description.tag.replace(':', '/')}"
    members = [description.home_directory(bento, owner)]
    members += stored.members_in(f"{directory}/", excluded=weights, **owner)
    for file in stored.entry.manifest.entries:
        if file.path in weights:
            path, place = f"{directory}/{file.path}", description.place(weights_directory, file)
            members.append(Member.symlink(path, posixpath.relpath(place, posixpath.dirname(path)), **owner))
    for path, link, data in hub_cache(bento, stored.entry.description):
        members.append(Member.symlink(path, link, **owner) if link else Member.inline(path, data, **owner))
    return members


@Subcommand(
    _LAYER_FLAGS
    | {
        "--package": 1,
        "--source": 3,  # path to read, Bazel short path, label
        "--strip-prefix": 1,
        "--weights": 1,  # directory of the weights, in the image
    }
)
def weights_layer(arguments: Arguments) -> None:
    """Write a layer of model weights. If `--root` isn't set, the path of a file depends only on its digest and name."""
    from rules_bento.images.layers import description

    owner = description.owner(arguments.required("--user"))
    files = model_files(arguments)
    bento, weights = arguments.optional("--directory"), arguments.optional("--weights")
    members = weights_members(files, bento, weights, owner, arguments.optional("--root"))
    description.write_files(arguments, members, f"weights {', '.join(file.path for file in files)}")


def weights_members(
    files: list[snapshot.DeclaredFile], bento: str, weights: str, owner: dict[str, int], root: str = ""
) -> list[Member]:
    """Return the weights of a Bento in the directory `bento`.

    The weights are in the directory `weights`, where a path depends on digest and name, or in `root` if it is set.
    """
    from rules_bento.archives.tarstream import Member
    from rules_bento.images.layers import description
    from rules_bento.sources import snapshot

    top = Member.directory(root, **owner) if root else description.home_directory(bento.strip("/"), owner)
    members = {top.path: top}
    for file in files:
        entry = snapshot.digest([file]).entries[0]
        path = f"{root}/{file.path}" if root else description.place(weights, entry)
        members[path] = Member.file(path, file.source, mode=entry.mode, size=entry.size, **owner)
    return [*members.values()]


@Subcommand(
    {
        "--description": 1,
        "--output": 1,
        "--package": 1,
        "--source": 3,  # path to read, Bazel short path, label
        "--strip-prefix": 1,
    }
)
def model_file_layer(arguments: Arguments) -> None:
    """Copy a file of a model, which is a layer of a CNCF ModelPack artifact, and write the layer's description."""
    import hashlib
    import shutil

    from rules_bento.images.modelpack import file_layer

    [file] = model_files(arguments)
    output = Path(arguments.required("--output"))
    shutil.copyfile(file.source, output)
    digest = hashlib.sha256()
    with output.open("rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    layer = file_layer(file.path, f"sha256:{digest.hexdigest()}", output.stat().st_size)
    text = json.dumps({**layer._asdict(), "uncompressed_size": layer.size}, indent=1)
    Path(arguments.required("--description")).write_text(f"{text}\n", "utf-8")


@Subcommand(
    {
        "--annotation": 2,
        "--base-config": 1,  # the program that copies or links the files; without it, the image has no program
        "--config": 1,
        "--created": 1,
        "--digest": 1,
        "--format": 1,  # image, kserve, or modelpack
        "--layer": 1,  # of the base and the models
        "--manifest": 1,
        "--model": 1,  # description
    }
)
def model_image(arguments: Arguments) -> None:
    """Write the config, manifest, and digest of an image that contains models, or of a CNCF ModelPack artifact."""
    from rules_bento.formats.json import read_object
    from rules_bento.images import modelpack, oci_image

    described = [ModelDescription.loads(read_file(path).decode()) for path in arguments.repeated("--model")]
    tags = [Tag.parse(model.tag, "tag") for model in described]
    created = arguments.required("--created")
    annotations = oci_image.standard_annotations(created, tags) | arguments.pairs("--annotation")
    layers = [oci_image.Layer.loads(read_file(path).decode()) for path in arguments.repeated("--layer")]
    if arguments.required("--format") == "modelpack":
        image = modelpack.make_artifact(tags[0], created, layers, annotations)
    else:
        bases = [read_object(read_file(path), "the base's config") for path in arguments.repeated("--base-config")]
        oci_image.check_layers(layers)
        image = oci_image.make_image(layers, oci_image.data_config(created, annotations, bases[0] if bases else {}))
    Path(arguments.required("--config")).write_bytes(image.config)
    Path(arguments.required("--manifest")).write_bytes(image.manifest)
    Path(arguments.required("--digest")).write_text(f"{image.digest}\n", "utf-8")
