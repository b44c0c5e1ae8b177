"""Remembers which blobs this user pushed to which repositories, so that others mount them: a file in the user's cache.

A JSON object: `registry/repository` to the digests of its blobs, the repository of the last push last. It is a hint and
nothing more: what is not there any more is sent, and without the file, or with another one in its place, all is.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json
from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_REPOSITORIES = 64
_MAX_BYTES = 4 << 20  # bytes of the file


class BlobHistory:
    """Holds the file's contents as they were read."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._digests = _read(path) if path else {}

    @staticmethod
    def from_user_cache() -> BlobHistory:
        """Return the file of whoever runs this; nothing is kept for one without a home."""
        cache, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
        folder = Path(cache) if os.path.isabs(cache) else Path(home) / ".cache" if home else None  # noqa: PTH117
        return BlobHistory(folder / "rules_bento/pushed.json" if folder else None)

    def repositories(self) -> Mapping[str, list[str]]:
        """Return the repositories (`registry/name`) that had each digest, the last one first."""
        repositories_of: dict[str, list[str]] = {}
        for name, digests in reversed(self._digests.items()):
            for digest in digests:
                repositories_of.setdefault(digest, []).append(name)
        return repositories_of

    def note(self, pushed: Iterable[str], digests: Iterable[str]) -> None:
        """Remember what repositories have now. Nothing is raised where that cannot be written."""
        if self._path is None:
            return
        names, listed = list(pushed), sorted(set(digests))
        known = {name: of for name, of in _read(self._path).items() if name not in names}
        known |= dict.fromkeys(names, listed)
        kept = dict(list(known.items())[-_MAX_REPOSITORIES:])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, prefix=".pushed", delete=False) as file:
                json.dump(kept, file, indent=0)
            Path(file.name).replace(self._path)
        except OSError:
            return


def _read(path: Path) -> dict[str, list[str]]:
    """Return what the file says; nothing of one that is none."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        document = read_json(path.read_bytes(), str(path))
    except (OSError, FormatError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {
        name: [digest for digest in digests if isinstance(digest, str)]
        for name, digests in document.items()
        if isinstance(digests, list)
    }
