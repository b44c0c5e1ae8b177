"""Where weights lie that have layers of their own."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.sources.manifest import Entry


def place(folder: str, file: Entry) -> str:
    """The path in the image of a file of weights: by its content, for any version of a model, and by its own name."""
    return f"{folder.strip('/')}/{file.blake3}/{file.path.rpartition('/')[2]}"
