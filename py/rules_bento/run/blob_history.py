"""Records the blobs that this user pushed to each repository, so that later pushes can mount the blobs.

The history is a JSON file in the user's cache. It maps `registry/repository` to digests of blobs, in the order of the
pushes. The history is only a hint: a push sends each blob that can't be mounted.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from rules_bento.archives.atomic import write_private
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json
from rules_bento.typing_lite import Iterable, Mapping

_MAX_REPOSITORIES = 64
_MAX_BYTES = 4 << 20  # of the file


def user_cache_directory() -> Path | None:
    """Return the directory for the current user's cached files, or None if the home directory is unknown."""
    cache, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    directory = Path(cache) if os.path.isabs(cache) else Path(home) / ".cache" if home else None  # noqa: PTH117
    return directory / "rules_bento" if directory else None


class BlobHistory:
    """The history of the blobs that the user pushed to each repository, stored in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._digests = _read(path) if path else {}

    @staticmethod
    def from_user_cache() -> BlobHistory:
        """Read the current user's history. If the home directory is unknown, the history is empty and isn't stored."""
        directory = user_cache_directory()
        return BlobHistory(directory / "pushed.json" if directory else None)

    def repositories(self) -> Mapping[str, list[str]]:
        """Return the repositories (`registry/name`) that contain each blob, by digest. The latest push is first."""
        repositories_of: dict[str, list[str]] = {}
        for name, digests in reversed(self._digests.items()):
            for digest in digests:
                repositories_of.setdefault(digest, []).append(name)
        return repositories_of

    def note(self, pushed: Iterable[str], digests: Iterable[str]) -> None:
        """Record `digests` as the current blobs of each repository in `pushed`. Ignores write errors."""
        if self._path is None:
            return
        names, listed = list(pushed), sorted(set(digests))
        known = {name: of for name, of in _read(self._path).items() if name not in names}
        known |= dict.fromkeys(names, listed)
        kept = dict(list(known.items())[-_MAX_REPOSITORIES:])
        try:
            write_private(self._path, json.dumps(kept, indent=0).encode())
        except OSError:
            return


def _read(path: Path) -> dict[str, list[str]]:
    """Return the contents of the history file, or an empty dict if the file is missing, invalid, or too large."""
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
