"""Packs an entry of the model store into a layer, where a Bento in an image has it."""

from __future__ import annotations

from rules_bento.actions import model
from rules_bento.images.layers import description
from rules_bento.images.layers.layer import Entry, write_files_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = (
    model.FLAGS
    | description.FLAGS
    | {
        "--folder": 1,  # of the Bento, in the image
        "--user": 1,
    }
)


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    owner = description.owner(arguments.one("--user"))
    with model.read_model(arguments) as stored:
        tag = stored.entry.description.tag
        bento = arguments.one("--folder").strip("/")
        folder = f"{bento}/models/{tag.replace(':', '/')}"
        entries = [description.home(bento, owner)]
        for file in stored.entry.manifest.entries:
            path = f"{folder}/{file.path}"
            if file.link is not None:
                entries.append(Entry.symlink(path, file.link, **owner))
            elif file.path in stored.sources:
                source = stored.sources[file.path]
                entries.append(Entry.file(path, source, mode=file.mode, size=file.size, **owner))
            else:
                entries.append(Entry.inline(path, stored.entry.model_yaml, mode=file.mode, **owner))
        out, compression = description.output(arguments)
        info = write_files_layer(out, entries, compression)
    description.describe(arguments, info, f"model {tag}")
