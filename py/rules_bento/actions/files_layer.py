"""Packs files, and what is in folders, into a layer, at the places that their target names."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.images.layers import description
from rules_bento.images.layers.layer import LayerEntry, write_files_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments

FLAGS = description.FLAGS | {
    "--file": 2,  # path to read, absolute path in the image as JSON; one that ends in a slash is a folder's contents'
    "--mode": 1,  # octal
    "--owner": 1,  # uid or uid:gid
    "--symlink": 2,  # absolute path in the image, target
}
_OWNER = re.compile(r"[0-9]{1,9}(:[0-9]{1,9})?")


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    if not _OWNER.fullmatch(whose := arguments.required("--owner")):
        raise BentoError(f"owner is {whose!r}. Write numbers, uid or uid:gid: an image's names are not known here.")
    owner = description.owner(whose)
    mode = int(arguments.required("--mode"), 8)
    links = arguments.pairs("--symlink")
    placed = [pair for source, place in arguments.tuples("--file") for pair in _files(source, json.loads(place))]
    entries = [LayerEntry.file(path.removeprefix("/"), source, mode=mode, **owner) for source, path in placed]
    entries += [LayerEntry.symlink(path.removeprefix("/"), target, **owner) for path, target in links.items()]
    out, compression = description.output(arguments)
    # Folders that are there stay as they are: /tmp is everyone's, and a home its user's.
    info = write_files_layer(out, entries, compression, folders=False)
    description.describe(arguments, info, f"files of {arguments.required('--target')}")


def _files(source: str, place: str) -> Iterator[tuple[str, str]]:
    """Yield a file, or those of a folder, each with its place. Raises BentoError for a folder at a file's place."""
    if not Path(source).is_dir():
        yield source, place
        return
    if not place.endswith("/"):
        raise BentoError(
            f"{place}: is the place of a file, and {source} is a folder. Write {place}/ for what is in it."
        )
    # In a sandbox, files are links to files, and folders may be.
    for folder, _, names in os.walk(source, followlinks=True):
        for name in names:
            path = Path(folder, name)
            yield str(path), f"{place}{path.relative_to(source).as_posix()}"
