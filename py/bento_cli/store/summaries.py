"""Caches the fields of descriptors that listings show, so that a listing doesn't parse thousands of descriptors.

Each kind has a file of JSON lines. Lines are only appended. The last line of an entry is valid while its descriptor is
the same file (inode, size, modification time). The file can be removed without loss.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from rules_bento.bento import descriptors
from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json
from rules_bento.formats.times import parse_time, to_local
from rules_bento.tag import Tag
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.store import durable

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from pathlib import Path

    from rules_bento.bento.kinds import Kind

    from bento_cli.store.home import Home

_FORMAT = 1  # the first field of each line; lines with other values are ignored
_FIELDS = 9  # the number of fields of a line without models


@dataclass(frozen=True)
class Summary:
    """Holds the fields of an entry that listings show."""

    tag: Tag
    creation_time: dt.datetime
    module: str  # of a model
    models: tuple[str, ...]  # tags of models that a Bento gets from the store

    @property
    def moment(self) -> dt.datetime:
        """The creation time for comparisons; without a time zone, the time zone of this machine is assumed."""
        return to_local(self.creation_time)


class Summaries:
    """Caches the summaries of one kind."""

    def __init__(self, home: Home, kind: Kind) -> None:
        self._home = home
        self._kind = kind
        self._known: dict[str, list[object]] | None = None
        self._lines = 0
        self._damaged = False
        self._new: dict[str, list[object]] = {}

    def of(self, folder: Path) -> Summary:
        """Return the summary of the entry in `folder`. Raises BentoError if its descriptor cannot be read."""
        path = folder / self._kind.descriptor
        key = f"{folder.parent.name}/{folder.name}"
        try:
            stamp = _stamp(path.stat())
        except OSError:
            stamp = []  # parsing the descriptor reports the problem
        line = self._read().get(key)
        if stamp and line and line[2:5] == stamp:
            with suppress(BentoError, ValueError):  # damaged: it is written again
                return _from_line(line)
        description = descriptors.of_folder(self._kind, folder)
        summary = of_description(description)
        if "creation_time" in description.stated:  # the default is the current time, which must not be cached
            self._new[key] = _to_line(key, stamp, summary)
        return summary

    def save(self) -> None:
        """Write new summaries, if the store is writable."""
        if not self._new:
            return
        path = self._home.summaries(self._kind)
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._damaged or self._lines > 2 * len(self._read()) + 100:
                durable.write(self._home, path, _encode((self._read() | self._new).values()))
            else:
                append(self._home, self._kind, _encode(self._new.values()))
        self._new = {}

    def _read(self) -> dict[str, list[object]]:
        if self._known is None:
            self._known = {}
            with suppress(OSError):
                for text in self._home.summaries(self._kind).read_bytes().splitlines():
                    self._lines += 1
                    line = _decode(text)
                    if line:
                        self._known[str(line[1])] = line
                    else:
                        self._damaged = True
        return self._known


def of_description(description: descriptors.Description) -> Summary:
    """Create the summary of a descriptor."""
    models = tuple(model.tag for model in description.models if model.registry != "huggingface")
    return Summary(description.tag, description.creation_time, description.module, models)


def note(home: Home, kind: Kind, folder: Path, summary: Summary) -> None:
    """Append the summary of a new entry."""
    key = f"{folder.parent.name}/{folder.name}"
    with suppress(OSError):
        stamp = _stamp((folder / kind.descriptor).stat())
        home.summaries(kind).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        append(home, kind, _encode([_to_line(key, stamp, summary)]))


def append(home: Home, kind: Kind, lines: bytes) -> None:
    """Append complete lines, also if other processes append at the same time."""
    file = os.open(home.summaries(kind), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, lines)
    finally:
        os.close(file)


def _stamp(status: os.stat_result) -> list[object]:
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _to_line(key: str, stamp: list[object], summary: Summary) -> list[object]:
    return [_FORMAT, key, *stamp, *summary.tag, summary.creation_time.isoformat(), summary.module, *summary.models]


def _from_line(line: list[object]) -> Summary:
    name, version, created, module, *models = map(str, line[5:])
    tag = Tag.parse(f"{name}:{version}", "")
    return Summary(tag, parse_time(created), module, tuple(models))


def _decode(text: bytes) -> list[object] | None:
    try:
        line = read_json(text, "")
    except FormatError:  # an interrupted write, or a full disk
        return None
    whole = isinstance(line, list) and len(line) >= _FIELDS and line[0] == _FORMAT
    return line if whole and all(isinstance(word, str) for word in line[5:]) else None


def _encode(lines: Iterable[list[object]]) -> bytes:
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
