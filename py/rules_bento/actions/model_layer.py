"""Packs an entry of the model store into a layer, where a Bento in an image has it."""

from __future__ import annotations

from rules_bento import layer_description
from rules_bento.actions import model
from rules_bento.layer import Entry, write_files_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = (
    model.FLAGS
    | layer_description.FLAGS
    | {
        "--folder": 1,  # of the Bento, in the image
        "--user": 1,
    }
)


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    entry, sources = model.read_model(arguments)
    owner = layer_description.owner(arguments.one("--user"))
    folder = f"{arguments.one('--folder').strip('/')}/models/{entry.description.tag.replace(':', '/')}"
    entries = [
        Entry.inline(f"{folder}/{file.path}", entry.model_yaml, mode=file.mode, **owner)
        if file.path not in sources
        else Entry.file(f"{folder}/{file.path}", sources[file.path], mode=file.mode, size=file.size, **owner)
        for file in entry.manifest.entries
    ]
    out, compression = layer_description.output(arguments)
    info = write_files_layer(out, entries, compression)
    layer_description.describe(arguments, info, f"model {entry.description.tag}")
