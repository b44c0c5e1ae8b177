"""Names the paths of weights with layers of their own."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.sources.manifest import TreeEntry


def place(folder: str, file: TreeEntry) -> str:
    """Return a weights file's path in the image, by digest and name: the same for all versions of a model."""
    return f"{folder.strip('/')}/{file.blake3}/{file.path.rpartition('/')[2]}"
