"""A part of an archive that is never written to the disk: it is generated from the files of an entry when it is sent.

Used for incompressible data, which most large files are: generating the part is as fast as reading it, and needs no
disk space.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from rules_bento.archives import tarstream, xz
from rules_bento.archives.archive import PartInfo
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from rules_bento.archives.tarstream import Member
    from rules_bento.net.transfers import Tally

LARGE = 64 << 20
"""Bytes of files. A smaller part is written, because it is sent in one request and might be needed twice."""


def fits(members: Sequence[Member]) -> bool:
    """Check whether a part with these members is large and, judging by its largest file, incompressible."""
    files = [member for member in members if member.source is not None]
    if sum(member.size for member in files) < LARGE:
        return False
    largest = max(files, key=lambda member: member.size)
    with Path(str(largest.source)).open("rb") as file:
        return not xz.compressible(file.read(xz.BLOCK))


class StreamedPart:
    """Generates the bytes of a part, as `write_part` writes them, as the source of a blob."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    def measure(self) -> PartInfo:
        """Return the properties that `write_part` would return for the members, without writing them."""
        digest = hashlib.sha256()
        size = 0
        for piece in self._pieces():
            digest.update(piece)
            size += len(piece)
        return PartInfo(digest.hexdigest(), size)

    def send(self, connection: socket.socket, start: int, end: int, tally: Tally) -> None:
        """Write the bytes from `start` to `end`; earlier bytes are generated and skipped.

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
        raise BentoError("A file of the model was truncated during the push. Push the model again.")

    def check(self, digest: str, size: int) -> None:
        """Raise BentoError if the bytes don't match the digest."""
        measured = self.measure()
        if (f"sha256:{measured.sha256}", measured.size) != (digest, size):
            raise BentoError("A file of the model changed during the push. Push the model again.")

    def _pieces(self) -> Iterator[bytes]:
        return xz.stream(tarstream.stream(self._members))
