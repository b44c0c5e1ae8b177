"""Reads what layers of any builder hold, from their tars as streams."""

from __future__ import annotations

from rules_bento.archives import tarread
from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.sources.cpu_arch import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

REMOVED, EMPTIED = ".wh.", ".wh..wh..opq"
"""How a layer says what is gone of those below: OCI image layer specification, "Whiteouts"."""

_MOST_SIZE = 256 << 30  # bytes of a file: to pass over it is to read it
_MOST_NAMES = 64 << 20  # characters of the paths that are looked for, which are held in memory
_LARGEST_KEPT = 1 << 26
_MOST_KEPT = 1 << 28


def members(blob: Path, media_type: str) -> tarread.Members:
    """Yield the members of a layer's tar. Raises BentoError for a layer that cannot be read, or that is a bomb."""
    form = next((form for ending, form in (("+zstd", "zst"), ("+gzip", "gz")) if media_type.endswith(ending)), "tar")
    where = f"{blob.name}: a layer that cannot be read"
    with blob.open("rb") as file:
        for member, contents in tarread.packed_members(file, form, where):
            if member.size > _MOST_SIZE:
                raise BentoError(f"{where}: {member.name!r} declares {member.size} bytes. Fetch the image again.")
            yield member, contents


def read_files(
    layers: Iterable[tuple[Path, str]],
    found: Callable[[str, bytes], bool],
    kept: Callable[[str], bool] = lambda _path: False,
) -> dict[str, bytes]:
    """Find files of an image: those that `kept` tells with their contents, others with the first bytes (`HEAD`).

    `found` tells the others by path and first bytes, of which a link has none. A link is no file that can be kept.
    Raises BentoError for a layer that cannot be read, or a file to keep that is larger than any that belongs there.
    """
    files: dict[str, bytes] = {}
    for blob, media_type in layers:
        here: dict[str, bytes] = {}
        hidden: set[str] = set()  # of the layers below
        names = size = 0
        for path, data in _files(blob, media_type, kept):
            folder, _, name = path.rpartition("/")
            if name == EMPTIED:
                hidden.add(f"{folder}/" if folder else "")
            elif name.startswith(REMOVED):
                removed = f"{folder}/{name.removeprefix(REMOVED)}".lstrip("/")
                hidden |= {removed, f"{removed}/"}
            elif kept(path):
                files.pop(path, None)
                if data is not None:
                    here[path] = data
            elif found(path, data or b""):
                here[path] = data or b""
            else:
                files.pop(path, None)
                here.pop(path, None)
                continue
            names, size = names + len(path), size + len(data or b"")
            if names > _MOST_NAMES or size > _MOST_KEPT:
                raise BentoError(f"{blob.name}: has more files to look at than any system. Take another base image.")
        files = {path: data for path, data in files.items() if not _is_hidden(path, hidden)} | here
    return files


def _is_hidden(path: str, hidden: set[str]) -> bool:
    """Return whether a layer above has removed a file, or a folder that it is in."""
    if not hidden:
        return False
    places = (path[: at + 1] for at, character in enumerate(path) if character == "/")
    return path in hidden or "" in hidden or any(place in hidden for place in places)


def _files(blob: Path, media_type: str, kept: Callable[[str], bool]) -> Iterator[tuple[str, bytes | None]]:
    """Yield the path of everything but folders: with the contents of files to keep, with the first bytes of others."""
    for member, contents in members(blob, media_type):
        if member.kind == "folder":
            continue
        path = member.name.removeprefix("./").lstrip("/")
        wanted = member.kind in ("file", "sparse file") and kept(path)
        if wanted and (member.size > _LARGEST_KEPT or member.kind == "sparse file"):
            raise BentoError(f"{blob.name}: {path} has {member.size} bytes or gaps; no system has one of that size.")
        if member.kind != "file":
            yield path, None
        else:
            yield path, b"".join(contents) if wanted else _head(contents)


def _head(contents: Iterator[bytes | memoryview]) -> bytes:
    head = b""
    for piece in contents:
        head += piece[: HEAD - len(head)]
        if len(head) >= HEAD:
            break
    return head
