"""Uploads the files of a Bento or model as a tar archive. The server selects one of three strategies.

- Proxy: a request to the server.
- Presigned URL: a request to an object store. The URL might expire during the upload.
- Multipart: parallel requests to an object store, with a presigned URL for each part of 100 MiB. A record of the
  uploaded parts stays in the store's `.rules_bento` directory, so that another run sends only the missing parts.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from contextlib import suppress
from itertools import repeat
from pathlib import Path

from rules_bento.base.archives import tarstream
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, read_file
from rules_bento.base.formats.json import read_json
from rules_bento.base.net import limits, transfers
from rules_bento.base.net.transfers import Progress, retriable
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator
from rules_bento.images.registry.blob_sources import BlobSource, BodyPart, BytesSource, FileSource

from bento_cli.sharing.cloud.client import ENDED, MAX_ADDRESSES, Cloud, CloudError, CloudPaths
from bento_cli.store import durable

if TYPE_CHECKING:
    from rules_bento.base.archives.tarstream import Member

    from bento_cli.store.home import Home

PART = 100 << 20  # bytes, as in BentoML's client

_OCTETS = {"Content-Type": "application/octet-stream"}


def upload(
    cloud: Cloud,
    home: Home,
    paths: CloudPaths,
    tarball: Tarball,
    remote: dict[str, Any],
    digest: str,
    counter: Progress,
    jobs: int,
) -> None:
    """Upload a tarball. The server's record `remote` can select the strategy. Raises BentoError if the upload fails."""
    strategy, address = remote.get("transmission_strategy"), ""
    if strategy is None:
        address = _presign(cloud, paths, "upload", {})
        strategy = "presigned_url" if address else "proxy"
    cloud.ask("PATCH", f"{paths.version}/start_upload", what=f"{paths}")
    whole = tarball.part(0, tarball.size, counter)
    if strategy == "proxy":
        _send(cloud, paths, whole, repeat(f"{paths.version}/upload"))
        return
    try:
        if address:
            _send(cloud, paths, whole, _addresses(cloud, paths, "upload", {}, address))
        else:
            _Parts(cloud, home, paths, tarball, digest).run(counter, jobs)
    except BentoError as error:
        # Records the reason for users of the web interface; if this fails, the first error is reported.
        with suppress(BentoError):
            _finish(cloud, paths, "failed", _reason(error))
        raise
    _finish(cloud, paths, "success", "")


def _finish(cloud: Cloud, paths: CloudPaths, status: str, reason: str) -> None:
    cloud.ask("PATCH", f"{paths.version}/finish_upload", {"status": status, "reason": reason}, what=f"{paths}")


def _reason(error: BentoError) -> str:
    """Describe a failed upload for the server. The description contains no paths or addresses of this machine."""
    return (
        f"the object store responded with {error.status}"
        if isinstance(error, CloudError)
        else "the client couldn't send the file"
    )


def _presign(cloud: Cloud, paths: CloudPaths, verb: str, document: dict[str, Any]) -> str:
    answer = cloud.ask("PATCH", f"{paths.version}/presign_{verb}_url", document or None, what=f"{paths}")
    address = str(answer.get("presigned_upload_url") or "")
    return cloud.check_signed(address, f"{paths}") if address else ""


def _addresses(cloud: Cloud, paths: CloudPaths, verb: str, document: dict[str, Any], first: str = "") -> Iterator[str]:
    """Yield presigned URLs for one upload. If `first` isn't empty, yields `first` before new URLs from the server."""
    if first:
        yield first
    while True:
        address = _presign(cloud, paths, verb, document)
        if not address:
            raise BentoError(f"{cloud} returned no upload URL", place=str(paths), remedy="Try again later.")
        yield address


def _send(cloud: Cloud, paths: CloudPaths, body: BodyPart, addresses: Iterator[str]) -> str:
    """Send a range of a tarball with retries. Returns the ETag of the response, or "" if the response has no ETag."""
    what = f"{paths}: the upload"
    where, left = next(addresses), MAX_ADDRESSES - 1

    def once() -> str:
        nonlocal where, left
        while True:
            headers = _OCTETS if where.startswith("/") else {}
            with cloud.open("PUT", where, headers, body) as response:
                status, answered, content = response.status, response.headers, response.read(limits.REFUSAL)
            if status == 200:
                body.count(body.end)
                return answered.get("ETag", "")
            if status not in ENDED or where.startswith("/") or not left:
                raise retriable(cloud.refusal(status, content, what), status, answered)
            where, left = next(addresses), left - 1

    return cloud.retry().run(once, lambda cut: cloud.unreachable(what, cut))


class _Parts:
    """Uploads a tarball in parts. Another run can resume the upload."""

    def __init__(self, cloud: Cloud, home: Home, paths: CloudPaths, tarball: Tarball, digest: str) -> None:
        self._cloud = cloud
        self._home = home
        self._paths = paths
        self._tarball = tarball
        self._digest = digest
        self._note = home.uploads / hashlib.sha256(f"{cloud}\0{paths.version}".encode()).hexdigest()
        self._upload_id = ""
        self._etags: dict[int, str] = {}

    def run(self, counter: Progress, jobs: int) -> None:
        """Upload the missing parts, and then complete the multipart upload."""
        is_resumed = self._resume()
        try:
            self._run(counter, jobs)
        except CloudError as error:
            # The server might have discarded the upload that an earlier run started.
            if not is_resumed or error.status >= 500:
                raise
            self._begin()
            self._run(counter, jobs)
        self._note.unlink(missing_ok=True)  # writes: digest, `_note` is one

    def _run(self, counter: Progress, jobs: int) -> None:
        numbers = range(1, max(1, -(-self._tarball.size // PART)) + 1)
        for number in self._etags:
            counter.advance(self._size(number), is_moved=False)
        try:
            missing = [number for number in numbers if number not in self._etags]
            transfers.parallel_map(lambda number: self._send(number, counter), missing, jobs)
        finally:
            self._write()
        parts = [{"part_number": number, "etag": self._etags[number]} for number in numbers]
        self._ask("complete_multipart_upload", {"parts": parts, "upload_id": self._upload_id})

    def _send(self, number: int, counter: Progress) -> None:
        fields = {"upload_id": self._upload_id, "part_number": number}
        addresses = _addresses(self._cloud, self._paths, "multipart_upload", fields)
        start = (number - 1) * PART
        body = self._tarball.part(start, start + self._size(number), counter)
        etag = _send(self._cloud, self._paths, body, addresses)
        if not etag:
            problem = f"the object store of {self._cloud} returned no ETag for an uploaded part"
            raise BentoError(problem, place=str(self._paths), remedy="Try again later.")
        self._etags[number] = etag
        self._write()

    def _size(self, number: int) -> int:
        return min(PART, self._tarball.size - (number - 1) * PART)

    def _ask(self, verb: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._cloud.ask("PATCH", f"{self._paths.version}/{verb}", document, what=f"{self._paths}")

    def _begin(self) -> None:
        self._etags = {}
        self._upload_id = str(self._ask("start_multipart_upload").get("upload_id") or "")
        if not self._upload_id:
            remedy = "Try again later."
            raise BentoError(f"{self._cloud} didn't start a multipart upload", place=str(self._paths), remedy=remedy)
        self._write()

    def _resume(self) -> bool:
        """Resume the upload of an earlier run, or begin a new upload. Returns whether an upload was resumed."""
        with suppress(OSError, FormatError, ValueError, KeyError, TypeError, AttributeError):
            note = read_json(read_file(self._note), str(self._note))
            if (note["digest"], note["size"], note["part"]) == (self._digest, self._tarball.size, PART):
                self._upload_id = str(note["upload_id"])
                self._etags = {int(number): str(etag) for number, etag in note["etags"].items()}
                return True
        self._begin()
        return False

    def _write(self) -> None:  # writes: digest, `_note` is one
        note = {"digest": self._digest, "size": self._tarball.size, "part": PART, "upload_id": self._upload_id}
        durable.write(self._home, self._note, json.dumps({**note, "etags": dict(self._etags)}).encode())


class Tarball:
    """Generates a tar archive while sending it. Raises BentoError for a member that the tar format doesn't support."""

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

    def part(self, start: int, end: int, counter: Progress) -> BodyPart:
        """Return a request body with the bytes from `start` to `end`. `counter` counts the sent bytes."""
        count = counter.tally()
        return BodyPart(self, start, end, lambda at: count(at - start))

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` to `end`."""
        at = bisect_right(self._starts, start) - 1
        while start < end:
            begin = self._starts[at]
            stop = self._starts[at + 1] if at + 1 < len(self._starts) else self.size
            upto = min(end, stop)
            yield from self._sources[at].pieces(start - begin, upto - begin)
            start = upto
            at += 1

    def check(self, digest: str, size: int) -> None:
        """Do nothing, because the server has no digest of the archive."""

    def _add(self, source: BlobSource, size: int) -> None:
        if size:
            self._starts.append(self.size)
            self._sources.append(source)
            self.size += size
