"""Caches the descriptor fields that listings show, so that a listing doesn't parse thousands of descriptors.

Each kind has one JSON file. The fields of an entry are valid if its descriptor is unchanged (inode, size, and
modification time). The JSON file can be removed without loss.
"""

from __future__ import annotations

import json
from contextlib import suppress

from rules_bento.bento import descriptors
from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.formats.times import parse_time
from rules_bento.tag import Tag
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.store import durable

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from rules_bento.bento.kinds import Kind

    from bento_cli.store.home import Home


@dataclass(frozen=True)
class Summary:
    """The entry fields that listings show."""

    tag: Tag
    creation_time: dt.datetime  # without a time zone if the descriptor has none
    module: str  # only for models
    models: tuple[str, ...]  # tags of the models that a Bento gets from the store

    @classmethod
    def of(cls, description: descriptors.Description) -> Summary:
        """Create the summary of an entry from its descriptor."""
        models = tuple(model.tag for model in description.models if model.registry != "huggingface")
        return cls(description.tag, description.creation_time, description.module, models)


class Summaries:
    """Cache of the summaries of all entries of one kind. Parses only descriptors that are new or changed."""

    def __init__(self, home: Home, kind: Kind) -> None:
        self._home, self._kind = home, kind
        self._path = home.summaries(kind)
        self._cached: dict[str, Any] = {}
        self._changed = False
        with suppress(OSError, BentoError):
            self._cached = read_object(self._path.read_bytes(), str(self._path))

    def of(self, directory: Path) -> Summary:
        """Return the summary of the entry in a directory. Raises BentoError if its descriptor is invalid."""
        key = f"{directory.parent.name}/{directory.name}"
        try:
            status = (directory / self._kind.descriptor).stat()
            stamp = [status.st_ino, status.st_size, status.st_mtime_ns]
        except OSError:
            stamp = []  # parsing the descriptor reports the problem
        with suppress(BentoError, ValueError, TypeError, AttributeError, KeyError):  # a damaged file is replaced
            before, tag, created, module, models = self._cached[key]
            if before == stamp:
                return Summary(Tag.parse(tag, ""), parse_time(created), str(module), tuple(map(str, models)))
        description = descriptors.of_directory(self._kind, directory)
        summary = Summary.of(description)
        if "creation_time" in description.declared:  # the default is the current time, which must not be cached
            created = summary.creation_time.isoformat()
            self._cached[key] = [stamp, str(summary.tag), created, summary.module, summary.models]
            self._changed = True
        return summary

    def save(self) -> None:
        """Write the cache if a summary is new or changed. Omits deleted entries, and ignores write errors."""
        if self._changed:
            root = self._home.entries_dir(self._kind)
            kept = {key: value for key, value in self._cached.items() if (root / key).exists()}
            with suppress(OSError, ValueError):
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                durable.write(self._home, self._path, json.dumps(kept, separators=(",", ":")).encode())
