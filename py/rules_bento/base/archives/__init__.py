"""Reads and writes archives of Bentos and models."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike


def sha256_of(path: int | str | PathLike[str]) -> str:
    """Return the SHA-256 of a file, or of a descriptor, which it closes, as a hexadecimal string. Raises OSError."""
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - starts of actions do without pathlib
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
