"""Uploads to S3 in parts, which another run goes on with.

botocore asks, for obstore keeps the number of an upload to itself. It is noted beside the store, for the same bytes
only; which parts are there the server says, and each is held against its checksum before it counts.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from contextlib import contextmanager, suppress

from rules_bento.formats import FormatError, read_file
from rules_bento.formats.json import read_json
from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.net import ConnectionLostError, transfers
from rules_bento.net.transfers import TRANSIENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rules_bento.net.transfers import Counter
    from rules_bento.transports.remote import Remote
    from rules_bento.transports.source import Source

_FINAL = ("NoSuchUpload", "InvalidPart", "InvalidPartOrder")  # what an earlier run has begun is of no use any more


class _GoneError(Exception):
    """Reports that the server does not know the upload. Never reaches people."""


class Parts:
    """Uploads one source to one object in parts. `client` is botocore's, which tries nothing again."""

    def __init__(self, remote: Remote, client: Any, source: Source, size: int, remedy: str) -> None:
        self._remote = remote
        self._client = client
        self._source = source
        self._size = size
        self._remedy = remedy
        self._object = {"Bucket": remote.address.host, "Key": remote.address.path.lstrip("/")}
        self._about = {"sha256": source.sha256, "size": source.size, "part": size}
        self._upload = ""

    def run(self, notes: Path, counter: Counter, jobs: int) -> None:
        """Send what is not there, and make it an object. Raises BentoError."""
        name = f"{self._client.meta.endpoint_url} {self._remote.address}"
        note = notes / hashlib.sha256(name.encode()).hexdigest()[:32]
        taken_up = self._take_up(note)
        try:
            self._run(counter, jobs)
        except _GoneError:
            if not taken_up:
                raise self._remote.refused("the upload was given up", "Export it again.") from None
            counter.advance(-self._done)
            self._begin(note)
            self._run(counter, jobs)
        note.unlink(missing_ok=True)

    def _take_up(self, note: Path) -> bool:
        """Find what an earlier run has begun, or begin; whether it was found."""
        with suppress(OSError, FormatError, KeyError, TypeError):
            noted = read_json(read_file(note), str(note))
            if noted["about"] == self._about:
                self._upload = str(noted["upload"])
                return True
        self._begin(note)
        return False

    def _begin(self, note: Path) -> None:
        self._upload = self._ask(
            "create_multipart_upload",
            "UploadId",
            ChecksumAlgorithm="SHA256",
            ContentType="application/octet-stream",
            Metadata={"sha256": self._source.sha256},
        )["UploadId"]
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.write_text(json.dumps({"about": self._about, "upload": self._upload}))

    def _run(self, counter: Counter, jobs: int) -> None:
        self._done = 0
        there = self._there()
        numbers = range(1, max(1, -(-self._source.size // self._size)) + 1)

        def send(number: int, counter: Counter) -> dict[str, Any]:
            data = self._source.read((number - 1) * self._size, self._size)
            checksum = b64encode(hashlib.sha256(data).digest()).decode()
            tag = (
                self._tag(there.get(number, {}), data, checksum)
                or self._ask(
                    "upload_part", "ETag", PartNumber=number, Body=data, ChecksumSHA256=checksum, UploadId=self._upload
                )["ETag"]
            )
            counter.advance(len(data))
            self._done += len(data)
            return {"PartNumber": number, "ETag": tag, "ChecksumSHA256": checksum}

        parts = transfers.parallel_map(send, numbers, counter, jobs)
        try:
            self._ask("complete_multipart_upload", "ETag", UploadId=self._upload, MultipartUpload={"Parts": parts})
        except _GoneError:
            # Where the answer was lost, the object is there, and the upload is not.
            if self._remote.attempt(self._remote.stat).digests.get("sha256") != self._source.sha256:
                raise

    def _there(self) -> dict[int, dict[str, Any]]:
        """Return the parts that the server has of the upload, by number."""
        parts: dict[int, dict[str, Any]] = {}
        marker = 0
        while True:
            listed = self._ask("list_parts", "IsTruncated", UploadId=self._upload, PartNumberMarker=marker)
            parts |= {int(part["PartNumber"]): part for part in listed.get("Parts", [])}
            if not listed.get("IsTruncated"):
                return parts
            marker = int(listed["NextPartNumberMarker"])

    def _tag(self, part: dict[str, Any], data: bytes, checksum: str) -> str:
        """Return the entity tag of a part that is there and has our bytes; else nothing."""
        tag = str(part.get("ETag", ""))
        if part.get("Size") != len(data):
            return ""
        same = part.get("ChecksumSHA256") == checksum
        # A server without checksums has the MD5 in the tag, unless it encrypts: then the part is sent again.
        return tag if same or tag.strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest() else ""

    def _ask(self, verb: str, wanted: str = "", **words: Any) -> dict[str, Any]:
        """Return the answer to a request.

        One without the field that is wanted was cut off, which botocore does not notice.
        """

        def once() -> dict[str, Any]:
            with self._errors():
                answer: dict[str, Any] = getattr(self._client, verb)(**self._object, **words)
            if wanted and wanted not in answer:
                raise ConnectionLostError("the answer was cut off")
            return answer

        return self._remote.attempt(once)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from botocore import exceptions

        try:
            yield
        except exceptions.ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            error_of_server = error.response.get("Error", {})
            if error_of_server.get("Code") in _FINAL:
                raise _GoneError from None
            if status in TRANSIENT or status < 300:
                raise ConnectionLostError(f"the server answers {status} ({error_of_server.get('Code')})") from None
            if error_of_server.get("Code") == "NoSuchBucket":
                raise self._remote.refused(
                    f"there is no {self._remote.address.host!r}", "Look at the spelling, or make it."
                ) from None
            raise self._remote.refused(
                f"{error_of_server.get('Message')} ({error_of_server.get('Code')})", self._remedy
            ) from None
        except exceptions.NoCredentialsError:
            raise self._remote.refused("there are no credentials", self._remedy) from None
        except exceptions.HTTPClientError as error:
            raise ConnectionLostError(type(error).__name__) from None
