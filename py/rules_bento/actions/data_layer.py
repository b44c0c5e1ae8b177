"""Packs the files of `data` into a layer, where a Bento in an image has them."""

from __future__ import annotations

from rules_bento.actions import data
from rules_bento.images.layers import description
from rules_bento.images.layers.layer import LayerEntry, write_files_layer
from rules_bento.sources import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = (
    data.SELECTION
    | description.FLAGS
    | {
        "--folder": 1,  # of the Bento, in the image
        "--user": 1,
    }
)


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    owner = description.owner(arguments.required("--user"))
    folder = arguments.required("--folder").strip("/")
    kept = data.kept_data(arguments)
    entries = [description.home_directory(folder, owner)]
    for file, entry in zip(kept, snapshot.digest(kept).entries, strict=True):
        entries.append(
            LayerEntry.file(f"{folder}/src/{file.path}", file.source, mode=entry.mode, size=entry.size, **owner)
        )
    out, compression = description.output(arguments)
    info = write_files_layer(out, entries, compression)
    description.describe(arguments, info, "data")
