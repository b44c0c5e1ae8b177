"""Describes unfinished uploads, and keeps interrupted ones, so that the next push sends only the rest of the blobs.

The URL of an upload can contain a secret of the registry, so only the user can read the files. A file is only a hint:
the registry reports how many bytes it received, and verifies the digest of the complete blob.
"""

from __future__ import annotations

import json
from hashlib import sha256

from rules_bento.archives.atomic import write_private
from rules_bento.dataclasses_lite import dataclass
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_object
from rules_bento.typing_lite import TYPE_CHECKING

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

    def _write(self, name: str, upload: Upload) -> bool:
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

    def take(self, repository: str, digest: str) -> Upload | None:
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
            return f"interrupted. The registry keeps {self._kept / 1_000_000:.1f} MB, and the next push sends the rest."
        if self._discarded:
            return "interrupted. The registry keeps no unfinished files. The next push sends them from the beginning."
        return "interrupted"


def _name(repository: str, digest: str) -> str:
    return sha256(f"{repository} {digest}".encode()).hexdigest()[:40]
