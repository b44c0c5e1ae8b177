"""Streams the tar of an entry to an upload: headers from memory, files from the disk."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from rules_bento.archives import tarstream
from rules_bento.registry.pushable import BodyPart, BytesSource, FileSource
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from rules_bento.archives.tarstream import Member
    from rules_bento.net.transfers import Tally
    from rules_bento.registry.pushable import BlobSource


class Tarball:
    """Streams a tar in the order of its members. Raises BentoError for a member that a tar can't contain."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.size = 0
        self._starts: list[int] = []
        self._sources: list[BlobSource] = []
        pending = b""
        for member in tarstream.checked_members(members):
            pending += tarstream.header(member) + (member.data or b"")
            if member.source is not None and member.size:
                self._add(BytesSource(pending), len(pending))
                self._add(FileSource(Path(member.source)), member.size)
                pending = b""
            pending += bytes(-member.size % tarstream.RECORD)
        pending += tarstream.END
        self._add(BytesSource(pending), len(pending))

    def part(self, start: int, end: int, tally: Tally) -> BodyPart:
        """Return the bytes from `start` to `end`, as the body of a request; the tally counts from `start`."""
        return BodyPart(self, start, end, tally, counted_from=start)

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end`."""
        at = bisect_right(self._starts, start) - 1
        while start < end:
            begin = self._starts[at]
            stop = self._starts[at + 1] if at + 1 < len(self._starts) else self.size
            upto = min(end, stop)
            self._sources[at].send(connection, start - begin, upto - begin, tally)
            start = upto
            at += 1

    def _add(self, source: BlobSource, size: int) -> None:
        if size:
            self._starts.append(self.size)
            self._sources.append(source)
            self.size += size
