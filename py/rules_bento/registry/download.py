"""Downloads one blob of a repository into a file: resumable, verified, and atomic.

OCI distribution specification 1.1, `Pulling blobs`. The bytes of an interrupted download stay in a hidden file next to
the target; the next run resumes from there.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.headers import content_range
from rules_bento.net.resumable_file import open_partial
from rules_bento.net.transfers import TRANSIENT, Tally, retry_after
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
    """Download the blob to `path`. Raises as `Registry.request` does, and BentoError for a wrong digest or size."""
    with open_partial(path) as file:
        if file:
            counter.expect(blob.size)
            _BlobDownload(repository, blob, file, Tally(counter)).run()


class _BlobDownload:
    """Downloads one blob, with retries."""

    def __init__(self, repository: Repository, blob: Descriptor, file: BinaryIO, tally: Tally) -> None:
        self._repository = repository
        self._blob = blob
        self._file = file
        self._tally = tally
        self._retry = repository.registry.retry()
        self._hash = oci.new_hash(blob.digest)
        self._offset = self._max_offset = 0

    def run(self) -> None:
        """Download until the file is complete."""
        self._resume_partial()
        while not self._complete():
            try:
                with self._repository.open_blob(self._blob.digest, self._offset) as response:
                    self._receive(response)
            except ConnectionLostError as cut:
                if not self._retry.again():
                    raise self._repository.registry.connection_error(self._what, cut) from None

    @property
    def _what(self) -> str:
        return f"{self._repository}: blob {self._blob.digest}"

    def _resume_partial(self) -> None:
        """Continue with the bytes of an earlier run."""
        self._file.seek(0)
        while piece := self._file.read(1 << 20):
            self._hash.update(piece)
            self._offset += len(piece)
        self._tally.move_to(self._offset)

    def _complete(self) -> bool:
        if self._offset < self._blob.size:
            return False
        if self._offset == self._blob.size and self._hash.hexdigest() == self._blob.digest.partition(":")[2]:
            return True
        self._restart()
        if not self._retry.again():
            raise BentoError(
                f"{self._what}: the content doesn't have this digest. Report this to the registry's owner."
            )
        return False

    def _restart(self) -> None:
        self._file.truncate(0)
        self._hash = oci.new_hash(self._blob.digest)
        self._offset = 0
        self._tally.move_to(0)

    def _receive(self, response: Response) -> None:
        if response.status not in (200, 206):
            self._handle_error(response)
            return
        if response.status == 200 and self._offset:
            self._restart()
        if response.status == 206 and not self._starts_at_offset(response):
            self._restart()
            raise ConnectionLostError("the response doesn't start at the requested byte")
        for piece in response.pieces():
            if self._offset + len(piece) > self._blob.size:
                self._offset += len(piece)  # too long: `_complete` handles it
                return
            self._file.write(piece)
            self._hash.update(piece)
            self._offset += len(piece)
            self._tally.advance(len(piece))
            if self._offset > self._max_offset:
                self._retry.progressed(self._offset - self._max_offset)
                self._max_offset = self._offset
        if self._offset < self._blob.size:
            raise ConnectionLostError(f"the response ended after {self._offset} of {self._blob.size} bytes")

    def _starts_at_offset(self, response: Response) -> bool:
        """Return whether a partial response starts where the file ends."""
        came = content_range(response.headers.get("Content-Range"))
        return came is not None and came.first == self._offset

    def _handle_error(self, response: Response) -> None:
        reply = Reply(response.status, response.headers, response.read(limits.REFUSAL), response.url)
        if reply.status == 416:
            self._restart()
        if (reply.status != 416 and reply.status not in TRANSIENT) or not self._retry.again(retry_after(reply.headers)):
            raise self._repository.registry.response_error(reply, self._what)
