"""Entries of the store: what is in one folder of a version."""

from __future__ import annotations

import os
from contextlib import suppress

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.records import dataclass, field
from rules_bento.store import descriptors

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from rules_bento.store.home import Kind
    from rules_bento.store.summaries import Summary
    from rules_bento.tag import Tag


class NotFoundError(BentoError):
    """Reports that nothing in the store has the tag."""


@dataclass(frozen=True)
class Entry:
    """Gives access to a Bento or model in the store, as long as nobody deletes it."""

    kind: Kind
    path: Path
    summary: Summary
    _description: descriptors.Description | None = field(default=None, repr=False, compare=False)

    @property
    def tag(self) -> Tag:
        """Return the tag of name and version."""
        return self.summary.tag

    @property
    def creation_time(self) -> dt.datetime:
        """Return when the entry was made, as its descriptor says; without a zone if that gives none."""
        return self.summary.creation_time

    def size(self) -> int:
        """Return bytes of all files, as BentoML counts them: links to files count, too, folders do not."""
        return tree_size(self.path)

    def describe(self) -> descriptors.Description:
        """Return all that its descriptor says, read again only where the summary came from elsewhere.

        Raises BentoError for a descriptor that BentoML could not load.
        """
        return self._description or descriptors.of_folder(self.kind, self.path)


def tree_size(folder: Path) -> int:
    """Return bytes of all files below a folder. Links to folders are not followed."""
    total = 0
    pending = [str(folder)]
    while pending:
        with suppress(FileNotFoundError), os.scandir(pending.pop()) as scan:  # it may be deleted meanwhile
            for entry in scan:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file():
                    total += entry.stat().st_size
    return total
