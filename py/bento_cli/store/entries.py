"""Entries of the store: a directory for each version."""

from __future__ import annotations

import os
from contextlib import suppress

from rules_bento.bento import descriptors
from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from rules_bento.bento.kinds import Kind
    from rules_bento.tag import Tag

    from bento_cli.store.summaries import Summary


class NotFoundError(BentoError):
    """Reports that the store has no entry with the tag."""


@dataclass(frozen=True)
class Entry:
    """Gives access to a Bento or model in the store until it is deleted."""

    kind: Kind
    path: Path
    summary: Summary
    _description: descriptors.Description | None = field(default=None, repr=False, compare=False)

    @property
    def tag(self) -> Tag:
        """The tag: name and version."""
        return self.summary.tag

    @property
    def creation_time(self) -> dt.datetime:
        """The creation time in the descriptor; without a time zone if the descriptor has none."""
        return self.summary.creation_time

    def size(self) -> int:
        """Count the bytes of all files as BentoML does: including links to files, without directories."""
        return tree_size(self.path)

    def describe(self) -> descriptors.Description:
        """Return the contents of the descriptor. Raises BentoError if BentoML couldn't load it."""
        return self._description or descriptors.of_folder(self.kind, self.path)


def tree_size(folder: Path) -> int:
    """Count the bytes of all files in a directory tree. Links to directories aren't followed."""
    total = 0
    pending = [str(folder)]
    while pending:
        with suppress(FileNotFoundError), os.scandir(pending.pop()) as scan:  # another process can delete it
            for entry in scan:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file():
                    total += entry.stat().st_size
    return total
