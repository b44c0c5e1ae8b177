"""Packs the files of `data` into a layer, where a Bento in an image has them."""

from __future__ import annotations

from rules_bento import snapshot
from rules_bento.actions import data
from rules_bento.images import layer_description
from rules_bento.images.layer import Entry, write_files_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = (
    data.SELECTION
    | layer_description.FLAGS
    | {
        "--folder": 1,  # of the Bento, in the image
        "--user": 1,
    }
)


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    owner = layer_description.owner(arguments.one("--user"))
    folder = arguments.one("--folder").strip("/")
    kept = data.kept_data(arguments)
    entries = [layer_description.home(folder, owner)]
    for file, entry in zip(kept, snapshot.digest(kept).entries, strict=True):
        entries.append(Entry.file(f"{folder}/src/{file.path}", file.source, mode=entry.mode, size=entry.size, **owner))
    out, compression = layer_description.output(arguments)
    info = write_files_layer(out, entries, compression)
    layer_description.describe(arguments, info, "data")
