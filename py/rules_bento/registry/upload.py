"""Uploads one blob to a repository: mounted, or sent in one request or in chunks, and resumed after an interruption.

OCI distribution specification 1.1, `Pushing blobs`. A small blob is sent with one PUT after the POST that starts the
upload; a larger blob as a chunk, and an empty PUT ends the upload. After an interruption the upload resumes at the
registry's offset, or restarts if the registry has dropped it (docker's registry before version 3). The registry
verifies the digest at the end.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.transfers import TRANSIENT, Tally, retry_after
from rules_bento.registry.blob_sources import BodyPart
from rules_bento.registry.client import Reply, Upload
from rules_bento.registry.errors import RegistryError
from rules_bento.typing_lite import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.blob_sources import BlobSource
    from rules_bento.registry.client import Repository

BlobOutcome = Literal["exists", "mounted", "sent"]
"""How a blob got into a repository."""

# Larger blobs are sent as chunks: registries keep the received part of a chunk, but not always of a PUT.
_MAX_SINGLE_REQUEST = 4 << 20  # bytes
_MAX_CHUNK = 32 << 20  # bytes of a chunk if the server rejects larger bodies; halved down to _MIN_CHUNK
_MIN_CHUNK = 1 << 20
_MAX_DIGEST_ERRORS = 4  # attempts if the registry reports a wrong digest of a correct blob
_GONE = (404, 410)  # the upload or the repository no longer exists


def upload(
    repository: Repository,
    digest: str,
    size: int,
    source: BlobSource,
    counter: Counter,
    *,
    mount_from: Sequence[str] = (),
) -> BlobOutcome:
    """Upload a blob unless it exists in the repository or can be mounted.

    `mount_from` are repositories of the same registry that might have it. Raises as `Registry.request` does, and
    BentoError if the source doesn't have the digest.
    """
    if repository.has_blob(digest, size):
        return "exists"
    started = None
    for other in mount_from:
        try:
            started = repository.mount_blob(digest, other)
        except RegistryError:  # missing, or not readable for this user: upload the blob
            continue
        if started is None:
            return "mounted"
    counter.expect(size)
    _BlobUpload(repository, digest, size, source, counter).run(started)
    return "sent"


class _BlobUpload:
    """Uploads one blob, with retries."""

    def __init__(self, repository: Repository, digest: str, size: int, source: BlobSource, counter: Counter) -> None:
        self._repository = repository
        self._digest = digest
        self._size = size
        self._source = source
        self._tally = Tally(counter)
        self._retry = repository.registry.retry()
        self._in_chunks = size > _MAX_SINGLE_REQUEST
        self._interrupted = False
        self._chunk_size = size  # bytes of a chunk
        self._max_offset = 0
        self._digest_errors = 0

    def run(self, current: Upload | None) -> None:
        """Send until the registry has the blob."""
        while True:
            current = current or self._repository.start_upload()
            self._tally.move_to(current.offset)
            reply = None
            try:
                reply = self._send_rest_or_chunk(current)
            except ConnectionLostError as cut:
                if not self._retry.again():
                    raise self._repository.registry.connection_error(self._what, cut) from None
            if reply and reply.status == 201:
                self._tally.move_to(self._size)
                return
            if reply and reply.status == 202:
                current = self._after_chunk(current, reply)
                continue
            resumable = reply is None or self._can_resume(reply)
            self._in_chunks = self._interrupted = True
            current = self._status(current) if resumable else None
            if current is None and self._repository.has_blob(self._digest, self._size):
                self._tally.move_to(self._size)
                return

    @property
    def _what(self) -> str:
        return f"{self._repository}: blob {self._digest}"

    def _send_rest_or_chunk(self, current: Upload) -> Reply:
        """Send the complete rest of the blob, or the next chunk, or the end of the upload."""
        if self._in_chunks and current.offset < self._size:
            end = min(current.offset + max(self._chunk_size, current.smallest_chunk), self._size)
            sending = self._repository.send_chunk(current, BodyPart(self._source, current.offset, end, self._tally))
        else:
            rest = BodyPart(self._source, current.offset, self._size, self._tally)
            sending = self._repository.send_blob(current, self._digest, rest)
        with sending as response:
            return Reply(response.status, response.headers, response.read(limits.REFUSAL), response.url)

    def _after_chunk(self, current: Upload, reply: Reply) -> Upload:
        upload = self._repository.after_chunk(current, reply)
        if not current.offset < upload.offset <= self._size and not self._retry.again():
            raise BentoError(f"{self._what}: the upload stalled at byte {upload.offset}. Try again later.")
        self._record_progress(upload)
        return upload if upload.offset <= self._size else current

    def _status(self, current: Upload) -> Upload | None:
        """Return the upload's state in the registry after a failure; None to restart it."""
        upload = self._repository.upload_status(current)
        if upload is None or upload.offset > self._size:
            return None
        self._record_progress(upload)
        return upload

    def _record_progress(self, upload: Upload) -> None:
        if upload.offset > self._max_offset:
            self._retry.progressed(upload.offset - self._max_offset)
            self._max_offset = upload.offset

    def _can_resume(self, reply: Reply) -> bool:
        """Return whether to resume (True) or restart (False) after an error response.

        Raises an error if neither helps.
        """
        if reply.status == 413 and self._chunk_size > _MIN_CHUNK:
            self._chunk_size = _MAX_CHUNK if self._chunk_size > _MAX_CHUNK else max(_MIN_CHUNK, self._chunk_size // 2)
            return True
        # After an interruption the registry might have received the bytes in transit, and then the rest again.
        wrong_digest = reply.status == 400 and (b"DIGEST_INVALID" in reply.body or self._interrupted)
        if wrong_digest:
            self._source.check(self._digest, self._size)  # a correct blob was changed in transit
            self._digest_errors += 1
            self._max_offset = 0
        passing = wrong_digest or reply.status in (*TRANSIENT, *_GONE, 416)
        if not passing or self._digest_errors > _MAX_DIGEST_ERRORS or not self._retry.again(retry_after(reply.headers)):
            raise self._repository.registry.response_error(reply, self._what)
        return not wrong_digest and reply.status not in _GONE
