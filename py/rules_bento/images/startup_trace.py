"""Reads and writes startup traces: committed lists of the files that a container reads at startup."""

from __future__ import annotations

import json

from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.typing_lite import Iterable


def dumps(files: Iterable[str]) -> str:
    """Return a startup trace as JSON. `files` contains paths in the image without a leading slash."""
    fields = {"files": [f"/{file}" for file in sorted(files)]}
    return json.dumps(fields, ensure_ascii=False, indent=1) + "\n"


def loads(data: bytes, where: str) -> frozenset[str]:
    """Parse a startup trace. Returns paths without a leading slash. Raises BentoError for an invalid trace."""
    document = read_object(data, where)
    files = document.get("files")
    if document.keys() != {"files"} or not isinstance(files, list):
        raise BentoError(
            f'{where}: expected a startup trace with only the key "files", whose value is a list of paths. Run the '
            "bento_startup_trace target again."
        )
    for file in files:
        if not isinstance(file, str) or not file.startswith("/") or {"", ".", ".."}.intersection(file[1:].split("/")):
            raise BentoError(
                f"{where}: {file!r} isn't an absolute, normalized path. Run the bento_startup_trace target again."
            )
    return frozenset(file[1:] for file in files)
