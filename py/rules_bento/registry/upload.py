"""Uploads one blob to a repository: mounted or sent, in one piece or in chunks, resumed after a cut.

OCI distribution specification 1.1, `Pushing blobs`. A small blob goes in one PUT after the POST that begins the
upload; a larger one as a chunk, and an empty PUT ends the upload. After a cut the registry is asked how much it has,
and the rest goes as a chunk. Some give up the upload (docker-registry before version 3), then all goes again. The
registry compares the digest at the end; what does not have it is never kept.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.transfers import TRANSIENT, Tally, asked_wait
from rules_bento.registry.blob_sources import Part
from rules_bento.registry.client import Reply, Upload
from rules_bento.registry.errors import RegistryError
from rules_bento.typing_lite import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.blob_sources import Source
    from rules_bento.registry.client import Repository

Outcome = Literal["there", "mounted", "sent"]
"""What it took to have a blob in a repository."""

# From this size on a blob goes as a chunk: of one that was cut, registries keep what came; of a cut PUT, not all do.
_SAFE = 4 << 20  # bytes
_FIRST_LIMIT = 32 << 20  # bytes of a chunk, where a server takes no blob as a whole; then half of it, and so on
_LAST_LIMIT = 1 << 20
_MOST_WRONG = 4  # times that the right bytes arrive as others
_GONE = (404, 410)  # the upload, or with it the repository


def upload(
    repository: Repository,
    digest: str,
    size: int,
    source: Source,
    counter: Counter,
    *,
    mount_from: Sequence[str] = (),
) -> Outcome:
    """Have a blob in a repository, with as few bytes sent as possible.

    `mount_from` are repositories of the same registry that may have it. Raises as `Registry.request` does, and
    BentoError if the source is not what the digest says.
    """
    if repository.has_blob(digest, size):
        return "there"
    started = None
    for other in mount_from:
        try:
            started = repository.mount_blob(digest, other)
        except RegistryError:  # one that is gone, or that this user may not read: then it is sent
            continue
        if started is None:
            return "mounted"
    counter.expect(size)
    _Sending(repository, digest, size, source, counter).run(started)
    return "sent"


class _Sending:
    """Uploads one blob in as many attempts as are worthwhile."""

    def __init__(self, repository: Repository, digest: str, size: int, source: Source, counter: Counter) -> None:
        self._repository = repository
        self._digest = digest
        self._size = size
        self._source = source
        self._tally = Tally(counter)
        self._retry = repository.registry.retry()
        self._in_chunks = size > _SAFE
        self._disturbed = False
        self._limit = size  # bytes of a chunk
        self._furthest = 0
        self._wrong = 0

    def run(self, current: Upload | None) -> None:
        """Send until the registry has it."""
        while True:
            current = current or self._repository.start_upload()
            self._tally.move_to(current.offset)
            reply = None
            try:
                reply = self._send_next(current)
            except ConnectionLostError as cut:
                if not self._retry.again():
                    raise self._repository.registry.unreachable(self._what, cut) from None
            if reply and reply.status == 201:
                self._tally.move_to(self._size)
                return
            if reply and reply.status == 202:
                current = self._after_chunk(current, reply)
                continue
            resumable = reply is None or self._resumable(reply)
            self._in_chunks = self._disturbed = True
            current = self._status(current) if resumable else None
            if current is None and self._repository.has_blob(self._digest, self._size):
                self._tally.move_to(self._size)
                return

    @property
    def _what(self) -> str:
        return f"{self._repository}: blob {self._digest}"

    def _send_next(self, current: Upload) -> Reply:
        """Return all of the blob, or the next chunk, or the end."""
        if self._in_chunks and current.offset < self._size:
            end = min(current.offset + max(self._limit, current.smallest_chunk), self._size)
            sending = self._repository.send_chunk(current, Part(self._source, current.offset, end, self._tally))
        else:
            rest = Part(self._source, current.offset, self._size, self._tally)
            sending = self._repository.send_blob(current, self._digest, rest)
        with sending as response:
            return Reply(response.status, response.headers, response.read(limits.REFUSAL), response.url)

    def _after_chunk(self, current: Upload, reply: Reply) -> Upload:
        upload = self._repository.continued(current, reply)
        if not current.offset < upload.offset <= self._size and not self._retry.again():
            raise BentoError(f"{self._what}: the registry takes nothing more of it, from byte {upload.offset} on.")
        self._note(upload)
        return upload if upload.offset <= self._size else current

    def _status(self, current: Upload) -> Upload | None:
        """Return the upload as the registry has it after something went wrong."""
        upload = self._repository.upload_status(current)
        if upload is None or upload.offset > self._size:
            return None
        self._note(upload)
        return upload

    def _note(self, upload: Upload) -> None:
        if upload.offset > self._furthest:
            self._retry.progressed(upload.offset - self._furthest)
            self._furthest = upload.offset

    def _resumable(self, reply: Reply) -> bool:
        """Return whether to go on after an answer that was not wanted, or (False) begin again.

        Raises if neither helps.
        """
        if reply.status == 413 and self._limit > _LAST_LIMIT:
            self._limit = _FIRST_LIMIT if self._limit > _FIRST_LIMIT else max(_LAST_LIMIT, self._limit // 2)
            return True
        # After a cut the registry may still have taken what was on its way, and the rest behind it.
        wrong_digest = reply.status == 400 and (b"DIGEST_INVALID" in reply.body or self._disturbed)
        if wrong_digest:
            self._source.check(self._digest, self._size)  # it is right: then the bytes were changed on their way
            self._wrong += 1
            self._furthest = 0
        passing = wrong_digest or reply.status in (*TRANSIENT, *_GONE, 416)
        if not passing or self._wrong > _MOST_WRONG or not self._retry.again(asked_wait(reply.headers)):
            raise self._repository.registry.refusal(reply, self._what)
        return not wrong_digest and reply.status not in _GONE
