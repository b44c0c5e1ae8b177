"""A part of an archive that is never written: made from the files of an entry when it is sent.

For what does not compress, which is most of what is large: making it is as fast as reading, and a disk would be asked
for as much space again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from rules_bento.archives import tarstream, xz
from rules_bento.archives.archive import PartInfo
from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from rules_bento.archives.tarstream import Member
    from rules_bento.net.transfers import Tally

LARGE = 64 << 20
"""Bytes of files below which a part is better written: it is sent at once, and may be needed twice."""


def fits(members: Sequence[Member]) -> bool:
    """Return whether a part of these is large, and does not compress as far as its largest file tells."""
    files = [member for member in members if member.source is not None]
    if sum(member.size for member in files) < LARGE:
        return False
    largest = max(files, key=lambda member: member.size)
    with Path(str(largest.source)).open("rb") as file:
        return not xz.compressible(file.read(xz.BLOCK))


class StreamedPart:
    """Makes the bytes that `write_part` would write, as the source of a blob."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    def measure(self) -> PartInfo:
        """Return what `write_part` would say of the members, without writing them."""
        digest = hashlib.sha256()
        size = 0
        for piece in self._pieces():
            digest.update(piece)
            size += len(piece)
        return PartInfo(digest.hexdigest(), size)

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end`; what is before them is made, and left out.

        Raises BentoError for a file that became shorter.
        """
        at = 0
        for piece in self._pieces():
            wanted = memoryview(piece)[max(0, start - at) : max(0, end - at)]
            at += len(piece)
            connection.sendall(wanted)
            tally.advance(len(wanted))
            if at >= end:
                return
        raise BentoError("A model became shorter while it was sent. Push it again.")

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the bytes are not those of the digest."""
        measured = self.measure()
        if (f"sha256:{measured.sha256}", measured.size) != (digest, size):
            raise BentoError("A model has changed while it was sent. Push it again.")

    def _pieces(self) -> Iterator[bytes]:
        return xz.stream(tarstream.stream(self._members))
