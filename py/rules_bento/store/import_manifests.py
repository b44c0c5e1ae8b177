"""Keeps the manifest of each imported entry, beside the pool and never in the entry itself.

A file per entry. BentoML knows nothing of it, so an entry that it deleted leaves its record behind, and one that it
then made anew under the same tag has a record that is not its own. That shows: its descriptor is another one, and none
of its files has the time that follows from its digest (`pool.digest_time`), as all files have that are written here.
"""

from __future__ import annotations

from contextlib import suppress

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.sources.manifest import Manifest
from rules_bento.store import durable
from rules_bento.store.pool import digest_time
from rules_bento.tag import Tag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rules_bento.store.home import Home, Kind


def write(home: Home, kind: Kind, tag: Tag, manifest: Manifest) -> None:
    """Note what the entry is."""
    place = _place(home, kind, tag)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.write(home, place, manifest.to_json().encode())


def read(home: Home, kind: Kind, tag: Tag, folder: Path) -> Manifest | None:
    """Return the manifest that the entry in `folder` had when it came; None if there is none, or of another entry.

    Raises BentoError for a record that cannot be read.
    """
    place = _place(home, kind, tag)
    try:
        manifest = Manifest.from_json(place.read_text("utf-8"), str(place))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, BentoError) as error:
        raise BentoError(
            f"{place}: what was imported as {tag} cannot be read ({error}). Remove the file; the {kind.noun} can then "
            f"no longer be verified."
        ) from None
    return manifest if _is_of(manifest, kind, folder) else None


class ManifestCache:
    """Reads the records of a store's entries, each once however often it is asked for."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: dict[Path, Manifest | None] = {}

    def of(self, kind: Kind, tag: Tag, folder: Path) -> Manifest | None:
        """Return what `read` does. Raises as it does."""
        if folder not in self._known:
            self._known[folder] = read(self._home, kind, tag, folder)
        return self._known[folder]


def _is_of(manifest: Manifest, kind: Kind, folder: Path) -> bool:
    from blake3 import blake3

    files = {entry.path: entry.blake3 for entry in manifest.entries if entry.blake3 is not None}
    for path in sorted(files, key=lambda path: path != kind.descriptor):
        with suppress(OSError):
            if (folder / path).lstat().st_mtime_ns == digest_time(files[path]):
                return True
    with suppress(OSError):  # a copy of the entry, perhaps without its times
        return blake3((folder / kind.descriptor).read_bytes()).hexdigest() == files.get(kind.descriptor)
    return False


def remove(home: Home, kind: Kind, tag: Tag) -> None:
    """Remove the record of an entry."""
    place = _place(home, kind, tag)
    place.unlink(missing_ok=True)
    try:
        place.parent.rmdir()
    except OSError:
        return  # other versions


def tags(home: Home, kind: Kind) -> Iterator[Tag]:
    """Yield all that is noted, whether the entry is still there or not."""
    for place in home.records(kind).glob("*/*"):
        yield Tag(place.parent.name, place.name)


def _place(home: Home, kind: Kind, tag: Tag) -> Path:
    return home.records(kind) / tag.name / tag.version
