"""Packs a Bento without its models into a layer: the one that a changed source line changes."""

from __future__ import annotations

import tarfile
from pathlib import Path

from rules_bento.images import layer_description
from rules_bento.images.layer import Entry, write_files_layer
from rules_bento.models.model import ModelDescription, latest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.actions.arguments import Arguments

FLAGS = layer_description.FLAGS | {
    "--folder": 1,  # of the Bento, in the image
    "--model": 1,  # description
    "--part": 1,
    "--user": 1,
}


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    folder = arguments.one("--folder").strip("/")
    owner = layer_description.owner(arguments.one("--user"))
    models = [ModelDescription.loads(Path(path).read_text("utf-8")) for path in arguments.many("--model")]
    entries = [Entry.folder(folder, **owner)]
    for part in arguments.many("--part"):
        entries += _entries(part, folder, owner)
    entries += [
        Entry.inline(f"{folder}/models/{name}/latest", version.encode(), **owner)
        for name, version in latest(models).items()
    ]
    out, compression = layer_description.output(arguments)
    info = write_files_layer(out, entries, compression)
    layer_description.describe(arguments, info, "Bento")


def _entries(part: str, folder: str, owner: dict[str, int]) -> Iterator[Entry]:
    """The members of a part; sources and metadata are small, so they are held in memory."""
    with tarfile.open(part, "r:xz") as archive:
        for member in archive:
            path = f"{folder}/{member.name.removeprefix('./')}"
            if member.issym():
                yield Entry.symlink(path, member.linkname, **owner)
            else:
                data = archive.extractfile(member)
                yield Entry.inline(path, data.read() if data else b"", mode=member.mode, **owner)
