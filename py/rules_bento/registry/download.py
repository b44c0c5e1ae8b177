"""Fetches one blob of a repository into a file: resumed after a cut, there only when it is whole and verified.

OCI distribution specification 1.1, `Pulling blobs`. What came before a cut stays in a hidden file beside the target,
from where another run goes on, too.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.headers import content_range
from rules_bento.net.resumable_file import open_partial
from rules_bento.net.transfers import TRANSIENT, Tally, asked_wait
from rules_bento.registry import descriptor as oci
from rules_bento.registry.client import Reply
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Response
    from rules_bento.registry.client import Repository
    from rules_bento.registry.descriptor import Descriptor


def download(repository: Repository, blob: Descriptor, path: Path, counter: Counter) -> None:
    """Download the blob to `path`. Raises as `Registry.request` does, and BentoError for another digest or size."""
    with open_partial(path) as file:
        if file:
            counter.expect(blob.size)
            _Receiving(repository, blob, file, Tally(counter)).run()


class _Receiving:
    """Downloads one blob in as many attempts as are worthwhile."""

    def __init__(self, repository: Repository, blob: Descriptor, file: BinaryIO, tally: Tally) -> None:
        self._repository = repository
        self._blob = blob
        self._file = file
        self._tally = tally
        self._retry = repository.registry.retry()
        self._hash = oci.new_hash(blob.digest)
        self._at = self._furthest = 0

    def run(self) -> None:
        """Receive until the file holds the blob."""
        self._take_up()
        while not self._complete():
            try:
                with self._repository.open_blob(self._blob.digest, self._at) as response:
                    self._receive(response)
            except ConnectionLostError as cut:
                if not self._retry.again():
                    raise self._repository.registry.unreachable(self._what, cut) from None

    @property
    def _what(self) -> str:
        return f"{self._repository}: blob {self._blob.digest}"

    def _take_up(self) -> None:
        """Go on with what an earlier run has left."""
        self._file.seek(0)
        while piece := self._file.read(1 << 20):
            self._hash.update(piece)
            self._at += len(piece)
        self._tally.move_to(self._at)

    def _complete(self) -> bool:
        if self._at < self._blob.size:
            return False
        if self._at == self._blob.size and self._hash.hexdigest() == self._blob.digest.partition(":")[2]:
            return True
        self._begin_again()
        if not self._retry.again():
            raise BentoError(
                f"{self._what}: what comes has not this digest. Nothing of it was kept; ask the registry's owner."
            )
        return False

    def _begin_again(self) -> None:
        self._file.truncate(0)
        self._hash = oci.new_hash(self._blob.digest)
        self._at = 0
        self._tally.move_to(0)

    def _receive(self, response: Response) -> None:
        if response.status not in (200, 206):
            self._refuse(response)
            return
        if response.status == 200 and self._at:
            self._begin_again()
        if response.status == 206 and not self._continues(response):
            self._begin_again()
            raise ConnectionLostError("the answer begins at another byte than was asked for")
        for piece in response.pieces():
            if self._at + len(piece) > self._blob.size:
                self._at += len(piece)  # too long: `_complete` judges
                return
            self._file.write(piece)
            self._hash.update(piece)
            self._at += len(piece)
            self._tally.advance(len(piece))
            if self._at > self._furthest:
                self._retry.progressed(self._at - self._furthest)
                self._furthest = self._at
        if self._at < self._blob.size:
            raise ConnectionLostError(f"the answer ended after {self._at} of {self._blob.size} bytes")

    def _continues(self, response: Response) -> bool:
        """Return whether a partial answer begins where the file ends."""
        came = content_range(response.headers.get("Content-Range"))
        return came is not None and came.first == self._at

    def _refuse(self, response: Response) -> None:
        reply = Reply(response.status, response.headers, response.read(limits.REFUSAL), response.url)
        if reply.status == 416:
            self._begin_again()
        if (reply.status != 416 and reply.status not in TRANSIENT) or not self._retry.again(asked_wait(reply.headers)):
            raise self._repository.registry.refusal(reply, self._what)
