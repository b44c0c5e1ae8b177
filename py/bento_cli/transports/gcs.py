"""Client for Google Cloud Storage's JSON API. The addresses have the form `gs://BUCKET/OBJECT`.

Uploads can be resumed: the server reports the number of received bytes, so that an interruption loses only the current
chunk. The server verifies the upload with an MD5 digest. google-auth finds the application default credentials. Without
credentials, only public objects can be read. If STORAGE_EMULATOR_HOST is set, the client sends requests to this
emulator, and doesn't use credentials.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64decode, b64encode
from contextlib import contextmanager
from http.client import responses
from types import SimpleNamespace
from urllib.parse import quote

from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.headers import content_range
from rules_bento.net.transfers import MIN_PROGRESS, TRANSIENT, Retry
from rules_bento.net.transport import BytesBody, Origin, Transport, resolve
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping

from bento_cli.transports.remote import ChangedError, Remote, Stat, json_of, needs, understood
from bento_cli.transports.source import Slice

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Body, Response

    from bento_cli.transports.address import Address
    from bento_cli.transports.source import Source

_CHUNK = 64 << 20  # a multiple of 256 KiB; an interruption loses at most this
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_HOST = "https://storage.googleapis.com"
_REMEDY = "Log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."


class Gcs(Remote):
    """Client for an object in Google Cloud Storage."""

    parallel = 4

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._transport = Transport()
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
        self._host = (emulator if "://" in emulator else f"http://{emulator}") if emulator else _HOST
        self._authorization: Callable[[], dict[str, str]] = dict if emulator else _login(self._transport)
        self._name = address.path.lstrip("/")
        bucket = quote(address.host, safe="")
        self._object = f"{self._host}/storage/v1/b/{bucket}/o/{quote(self._name, safe='')}"
        self._uploads = (
            f"{self._host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&name={quote(self._name, safe='')}"
        )

    def stat(self) -> Stat:
        metadata = self._json("GET", self._object)
        with understood():
            sha256 = (metadata.get("metadata") or {}).get("sha256")
            digests = {"sha256": str(sha256)} if sha256 else {}
            if metadata.get("md5Hash") and not sha256:
                digests["md5"] = b64decode(metadata["md5Hash"]).hex()
            return Stat(int(metadata["size"]), str(metadata.get("generation", "")), digests)

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[memoryview]:
        url = f"{self._object}?alt=media" + (f"&generation={stat.version}" if stat.version else "")
        last = (end if end is not None else stat.size or 0) - 1
        with self._ask("GET", url, {"Range": f"bytes={start}-{last}"}) as response:
            if response.status == 404:
                raise ChangedError
            self._check(response, (206, 200) if start == 0 else (206,))
            header = response.headers.get("Content-Range")
            committed = content_range(header)
            if header and (committed is None or (committed.first, committed.last) != (start, last)):
                raise ConnectionLostError(f"the server sent the range {header!r} instead of bytes {start} to {last}")
            yield from response.pieces()

    def write(self, source: Source, counter: Counter) -> None:
        digests = source.digests("md5", "sha256")
        about = {
            "name": self._name,
            "contentType": "application/octet-stream",
            "md5Hash": b64encode(bytes.fromhex(digests["md5"])).decode(),
            "metadata": {"sha256": digests["sha256"]},
        }
        session = self.attempt(lambda: self._begin(about, source.size))
        at = 0
        retry = Retry()
        created: dict[str, Any] | None = None
        while created is None:
            chunk = Slice(source, at, min(at + _CHUNK, source.size))
            try:
                reached, created = self._send(session, chunk, source.size)
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self.unreachable(cut) from None
                reached, created = self.attempt(lambda: self._send(session, None, source.size))
            retry.progressed(reached - at)
            if created is None and reached - at < min(chunk.size, MIN_PROGRESS) and not retry.again():
                raise self.unreachable(ConnectionLostError("the server stopped accepting data"))
            counter.advance(reached - at)
            at = reached
        if str(created.get("size")) != str(source.size) or created.get("md5Hash", about["md5Hash"]) != about["md5Hash"]:
            raise BentoError(f"{self.address}: the uploaded object doesn't match the sent data. Run the export again.")

    def close(self) -> None:
        self._transport.close()

    def _begin(self, about: Mapping[str, Any], size: int) -> str:
        """Start an upload session, and return its URL."""
        headers = {"Content-Type": "application/json; charset=UTF-8", "X-Upload-Content-Length": str(size)}
        with self._ask("POST", self._uploads, headers, BytesBody(json.dumps(about).encode())) as response:
            self._check(response, (200, 201))
            response.read(limits.DOCUMENT)
            location: str = response.headers.get("Location", "")
            if not location:
                raise ConnectionLostError("the server didn't start an upload session")
            return resolve(response.url, location)

    def _send(self, session: str, chunk: Slice | None, size: int) -> tuple[int, dict[str, Any] | None]:
        """Send a chunk, or request the upload status if `chunk` is None.

        Returns the number of uploaded bytes, and the new object, which is None if the upload isn't complete.
        """
        content_range = f"bytes {chunk.start}-{chunk.end - 1}/{size}" if chunk and chunk.size else f"bytes */{size}"
        with self._ask("PUT", session, {"Content-Range": content_range}, chunk or BytesBody(b"")) as response:
            if response.status == 308:
                response.read(limits.REFUSAL)
                match = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", response.headers.get("Range", ""))
                return (int(match[1]) + 1 if match else 0), None
            if response.status in (404, 410):
                raise BentoError(f"{self.address}: the server aborted the upload. Run the export again.")
            self._check(response, (200, 201))
            return size, json_of(response)

    def _json(self, method: str, url: str) -> dict[str, Any]:
        with self._ask(method, url) as response:
            if response.status == 404:
                response.read(limits.REFUSAL)
                raise self.missing()
            self._check(response, (200,))
            return json_of(response)

    @contextmanager
    def _ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> Iterator[Response]:
        # Only the API itself gets the token: the URL of a session needs no credentials, and can be on another host.
        ours = Origin.from_url(url) == Origin.from_url(self._host)
        everything = {**(headers or {}), **(self._authorization() if ours else {})}
        with self._transport.exchange(method, url, everything, body) as response:
            yield response

    def _check(self, response: Response, wanted: tuple[int, ...]) -> None:
        status = response.status
        if status in wanted:
            return
        if status in TRANSIENT:
            raise ConnectionLostError(f"the server responded with {status}")
        reason = _error_message(response.read(limits.REFUSAL)) or responses.get(status, "")
        raise self.refused(f"{status}: {reason}", _REMEDY if status in (401, 403) else "Check the bucket and the name.")


def _login(transport: Transport) -> Callable[[], dict[str, str]]:
    """Return a function that creates authentication headers. Raises BentoError if google-auth isn't installed."""
    try:
        from google import auth
        from google.auth import exceptions
    except ImportError:
        raise needs("google-auth", "gs") from None
    try:
        credentials, _ = auth.default(scopes=[_SCOPE])
    except exceptions.DefaultCredentialsError:
        return dict

    def request(url: str, method: str = "GET", body: Any = None, headers: Any = None, **_: Any) -> Any:
        """Send a request for google-auth with this package's HTTP client."""
        data = None if body is None else BytesBody(body.encode() if isinstance(body, str) else body)
        try:
            with transport.exchange(method, url, dict(headers or {}), data) as response:
                answered, content = dict(response.headers.items()), response.read(limits.DOCUMENT)
                return SimpleNamespace(status=response.status, headers=answered, data=content)
        except ConnectionLostError as cut:
            raise exceptions.TransportError(str(cut)) from cut

    def authorization() -> dict[str, str]:
        try:
            if not credentials.valid:
                credentials.refresh(request)
        except exceptions.GoogleAuthError as error:
            reason = str(error.args[0] if error.args else error).partition("\n")[0]
            raise BentoError(f"gs://: cannot get credentials: {reason}. {_REMEDY}") from None
        return {"Authorization": f"Bearer {credentials.token}"}

    return authorization


def _error_message(body: bytes) -> str:
    try:
        return str(read_json(body, "the answer")["error"]["message"])[:300]
    except (FormatError, KeyError, TypeError):
        return ""
