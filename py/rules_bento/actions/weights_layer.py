"""Packs weights of a model into a layer of their own, at places that depend on nothing else of the model."""

from __future__ import annotations

from rules_bento.actions import model
from rules_bento.images.layers import description, weights
from rules_bento.images.layers.layer import LayerEntry, write_files_layer
from rules_bento.sources import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = description.FLAGS | {
    "--folder": 1,  # of the Bento, in the image
    "--package": 1,
    "--source": 3,  # path to read, Bazel short path, label
    "--strip-prefix": 1,
    "--user": 1,
    "--weights": 1,  # folder of them, in the image
}


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    owner = description.owner(arguments.required("--user"))
    folder = arguments.required("--weights")
    files = model.sources(arguments)
    entries = {}
    for file, entry in zip(files, (snapshot.digest([file]).entries[0] for file in files), strict=True):
        path = weights.place(folder, entry)  # which equal files of one name share
        entries[path] = LayerEntry.file(path, file.source, mode=entry.mode, size=entry.size, **owner)
    out, compression = description.output(arguments)
    home = description.home_directory(arguments.required("--folder").strip("/"), owner)
    info = write_files_layer(out, [home, *entries.values()], compression)
    description.describe(arguments, info, f"weights {', '.join(file.path for file in files)}")
