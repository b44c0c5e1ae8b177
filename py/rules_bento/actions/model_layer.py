"""Packs an entry of the model store into a layer, where a Bento in an image has it.

Weights that have layers of their own (`weights_layer`) are links to these: their place depends on nothing but the
weights, where that of the entry has its version, and so all that is in it.
"""

from __future__ import annotations

import posixpath

from rules_bento.actions import model
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.formats import read_file
from rules_bento.images.layers import description, weights
from rules_bento.images.layers.layer import LayerEntry, write_files_layer
from rules_bento.models.model import MODEL_YAML, ModelDescription
from rules_bento.sources.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = (
    model.FLAGS
    | description.FLAGS
    | {
        "--folder": 1,  # of the Bento, in the image
        "--user": 1,
        "--weights": 1,  # folder of the layers of weights, in the image
        "--weights-file": 3,  # path, which is not read, Bazel short path, label
        "--written-description": 1,  # of the model; with weights, the three are read in place of them
        "--written-manifest": 1,
        "--written-model-yaml": 1,
    }
)


class _Model(NamedTuple):
    tag: str
    manifest: Manifest
    model_yaml: bytes
    sources: dict[str, str]  # where to read each file but model.yaml and weights
    weights: frozenset[str]  # those that have layers of their own


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    if arguments.has("--weights-file"):
        _write(arguments, _without_weights(arguments))
        return
    with model.read_model(arguments) as stored:
        entry = stored.entry
        whole = _Model(entry.description.tag, entry.manifest, entry.model_yaml, stored.sources, frozenset())
        _write(arguments, whole)


def _without_weights(arguments: Arguments) -> _Model:
    origin = arguments.required("--written-manifest")
    written = arguments.required("--written-description")
    return _Model(
        ModelDescription.loads(read_file(written).decode()).tag,
        Manifest.from_json(read_file(origin).decode(), origin),
        read_file(arguments.required("--written-model-yaml")),
        {file.path: file.source for file in model.sources(arguments)},
        frozenset(file.path for file in model.sources(arguments, "--weights-file")),
    )


def _write(arguments: Arguments, stored: _Model) -> None:
    owner = description.owner(arguments.required("--user"))
    bento = arguments.required("--folder").strip("/")
    folder = f"{bento}/models/{stored.tag.replace(':', '/')}"
    entries = [description.home_directory(bento, owner)]
    for file in stored.manifest.entries:
        path = f"{folder}/{file.path}"
        if file.link is not None:
            entries.append(LayerEntry.symlink(path, file.link, **owner))
        elif file.path == MODEL_YAML:
            entries.append(LayerEntry.inline(path, stored.model_yaml, mode=file.mode, **owner))
        elif file.path in stored.weights:
            place = weights.place(arguments.required("--weights"), file)
            entries.append(LayerEntry.symlink(path, posixpath.relpath(place, posixpath.dirname(path)), **owner))
        else:
            entries.append(LayerEntry.file(path, stored.sources[file.path], mode=file.mode, size=file.size, **owner))
    out, compression = description.output(arguments)
    info = write_files_layer(out, entries, compression)
    description.describe(arguments, info, f"model {stored.tag}")
