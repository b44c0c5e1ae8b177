"""Keeps interrupted uploads and the history of pushed blobs, so that the next push sends only missing bytes.

The URL of an upload can contain a secret of the registry, so only the user can read the files. A file is only a hint:
the registry reports how many bytes it received, and verifies the digest of the complete blob. The history maps
`registry/repository` to digests of blobs, in the order of the pushes. A push sends each blob that can't be mounted.
"""

from __future__ import annotations

import json
from hashlib import sha256

from rules_bento.base.archives.atomic import write_private
from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.display import format_size
from rules_bento.base.formats import FormatError
from rules_bento.base.formats.json import read_json, read_object
from rules_bento.base.own_files import user_cache_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Mapping

if TYPE_CHECKING:
    from pathlib import Path

_MAX_UPLOADS = 64
_MAX_BYTES = 16 << 10  # of a file


@dataclass(frozen=True)
class Upload:
    """An unfinished upload of a blob. `offset` is the number of bytes that the registry has received."""

    url: str
    offset: int = 0
    smallest_chunk: int = 0  # bytes, of every chunk except the last


class InterruptedUploads:
    """The interrupted uploads in the directory `uploads` of the user's cache, a file for each blob of a repository.

    Without a cache, keeps nothing.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._directory = cache / "uploads" if cache else None
        self._kept = 0  # bytes of kept uploads that registries have received
        self._discarded = 0  # uploads that weren't kept

    def keep(self, repository: str, digest: str, upload: Upload | None) -> bool:
        """Keep an upload to `repository`, and return whether this succeeded. Removes the oldest uploads above a limit.

        `upload` is None if the registry has no part of the blob.
        """
        if upload is None or not self._write(_name(repository, digest), upload):
            self._discarded += 1
            return False
        self._kept += upload.offset
        return True

    def _write(self, name: str, upload: Upload) -> bool:  # writes: own, names are digests of names
        if self._directory is None:
            return False
        content = json.dumps({"url": upload.url, "smallest_chunk": upload.smallest_chunk})
        try:
            write_private(self._directory / name, content.encode())
            for path in sorted(self._directory.iterdir(), key=lambda path: path.lstat().st_mtime)[:-_MAX_UPLOADS]:
                path.unlink()
        except OSError:
            return False
        return True

    def take(self, repository: str, digest: str) -> Upload | None:  # writes: own, names are digests of names
        """Remove and return the upload of a blob, if any. The offset is 0, because only the registry has it."""
        if self._directory is None:
            return None
        path = self._directory / _name(repository, digest)
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES)
            path.unlink()  # another push can't continue the same upload
            document = read_object(content, str(path))
        except (OSError, FormatError):
            return None
        url, smallest = document.get("url"), document.get("smallest_chunk")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")) or not isinstance(smallest, int):
            return None
        return Upload(url, 0, smallest)

    def message(self) -> str:
        """Return a message for an interrupted push: what the next push sends."""
        if self._kept:
            return f"interrupted. The registry keeps {format_size(self._kept)}, and the next push sends the rest."
        if self._discarded:
            return "interrupted. The registry keeps no unfinished files. The next push sends them from the beginning."
        return "interrupted"


def _name(repository: str, digest: str) -> str:
    return sha256(f"{repository} {digest}".encode()).hexdigest()[:40]


_MAX_REPOSITORIES = 64
_MAX_HISTORY = 4 << 20  # of the file


class BlobHistory:
    """The history of the blobs that the user pushed to each repository, stored in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._digests = _read_history(path) if path else {}

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
        known = {name: of for name, of in _read_history(self._path).items() if name not in names}
        known |= dict.fromkeys(names, listed)
        kept = dict(list(known.items())[-_MAX_REPOSITORIES:])
        try:
            write_private(self._path, json.dumps(kept, indent=0).encode())  # writes: own, a constant name
        except OSError:
            return


def _read_history(path: Path) -> dict[str, list[str]]:
    """Return the contents of the history file, or an empty dict if the file is missing, invalid, or too large."""
    try:
        if path.stat().st_size > _MAX_HISTORY:
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
