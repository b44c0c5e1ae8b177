"""Client for Dropbox's HTTP API (version 2). The addresses have the form `dropbox://PATH`.

The credentials are DROPBOX_ACCESS_TOKEN, or DROPBOX_REFRESH_TOKEN and DROPBOX_APP_KEY (optionally with
DROPBOX_APP_SECRET). A refresh token is exchanged for an access token. DROPBOX_ENDPOINT replaces the URL of the
server in all requests. Uploads and downloads are verified with the API's `content_hash`.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from urllib.parse import urlencode

from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.transfers import MIN_PROGRESS, TRANSIENT, Retry
from rules_bento.net.transport import BytesBody, Transport
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator, Mapping

from bento_cli.transports.remote import ChangedError, Remote, Stat, json_of, understood
from bento_cli.transports.source import DROPBOX, hash_of

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Response

    from bento_cli.transports.address import Address
    from bento_cli.transports.source import Source

_CHUNK = 16 << 20  # at most 150 MB, in blocks of 4 MiB
_API = "https://api.dropboxapi.com"
_CONTENT = "https://content.dropboxapi.com"
_REMEDY = "Set DROPBOX_ACCESS_TOKEN, or DROPBOX_REFRESH_TOKEN and DROPBOX_APP_KEY; the app needs files.content access."


class Dropbox(Remote):
    """Client for a file in Dropbox."""

    parallel = 4

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._transport = Transport()
        endpoint = os.environ.get("DROPBOX_ENDPOINT", "").rstrip("/")
        self._api = endpoint or _API
        self._content = endpoint or _CONTENT
        self._token = os.environ.get("DROPBOX_ACCESS_TOKEN", "")

    def stat(self) -> Stat:
        metadata = self._call("files/get_metadata", {"path": self.address.path})
        if metadata.get(".tag", "file") != "file":
            raise self.missing()
        digests = {DROPBOX: str(metadata["content_hash"])} if "content_hash" in metadata else {}
        with understood():
            return Stat(int(metadata["size"]), str(metadata["rev"]), digests)

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[memoryview]:
        last = (end if end is not None else stat.size or 0) - 1
        about = {"path": f"rev:{stat.version}"}
        with self._ask("files/download", about, {"Range": f"bytes={start}-{last}"}) as response:
            if response.status == 409:
                raise ChangedError
            self._check(response, (206, 200) if start == 0 else (206,))
            yield from response.pieces()

    def write(self, source: Source, counter: Counter) -> None:
        session = str(self.attempt(lambda: self._post("upload_session/start", {"close": False}, b"")).get("session_id"))
        at = 0
        retry = Retry()
        while at < source.size:
            chunk = source.read(at, _CHUNK)
            try:
                reached = self._append(session, chunk, at)
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self.unreachable(cut) from None
                continue  # the server reports the correct offset for a chunk that it already has
            retry.progressed(reached - at)
            if reached - at < min(len(chunk), MIN_PROGRESS) and not retry.again():
                raise self.unreachable(ConnectionLostError("the server stopped accepting data"))
            counter.advance(reached - at)
            at = reached
        digest = source.digest(DROPBOX)
        try:
            created = self.attempt(lambda: self._finish(session, source.size))
        except BentoError:
            # If the response to the last request was lost, the session doesn't exist anymore.
            created = self._call("files/get_metadata", {"path": self.address.path})
            if created.get("content_hash") != digest:
                raise
        if created.get("size") != source.size or created.get("content_hash") != digest:
            raise BentoError(f"{self.address}: the uploaded file doesn't match the sent data. Run the export again.")

    def close(self) -> None:
        self._transport.close()

    def _append(self, session: str, chunk: bytes, at: int) -> int:
        """Upload a chunk at offset `at`. Returns the number of bytes that the server has received in total."""
        about = {"cursor": {"session_id": session, "offset": at}, "content_hash": hash_of(DROPBOX, chunk)}
        with self._ask("files/upload_session/append_v2", about, body=chunk) as response:
            if response.status != 409:
                self._check(response, (200,))
                response.read(limits.REFUSAL)
                return at + len(chunk)
            error = _error(response.read(limits.REFUSAL))
        if "correct_offset" in error:
            with understood():
                return int(error["correct_offset"])
        if error.get(".tag") == "content_hash_mismatch":
            raise ConnectionLostError("a chunk was damaged in transit")
        raise self.refused(str(error.get(".tag", "409")), "Run the export again.")

    def _finish(self, session: str, size: int) -> dict[str, Any]:
        commit = {"path": self.address.path, "mode": "overwrite", "mute": True}
        return self._post(
            "upload_session/finish", {"cursor": {"session_id": session, "offset": size}, "commit": commit}
        )

    def _post(self, verb: str, about: Mapping[str, Any], body: bytes = b"") -> dict[str, Any]:
        with self._ask(f"files/{verb}", about, body=body) as response:
            self._check(response, (200,))
            return json_of(response)

    def _call(self, verb: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request with its arguments in the body, and return the JSON object in the response."""
        headers = {"Content-Type": "application/json", **self._authorization()}
        body = BytesBody(json.dumps(about).encode())
        with self._transport.exchange("POST", f"{self._api}/2/{verb}", headers, body) as response:
            self._check(response, (200,))
            return json_of(response)

    @contextmanager
    def _ask(
        self, verb: str, about: Mapping[str, Any], headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Iterator[Response]:
        """Send a request with its arguments in a header, and yield the response."""
        everything = {
            "Dropbox-API-Arg": json.dumps(about).replace("\x7f", "\\u007f"),
            **({} if body is None else {"Content-Type": "application/octet-stream"}),
            **(headers or {}),
            **self._authorization(),
        }
        data = BytesBody(body or b"")
        with self._transport.exchange("POST", f"{self._content}/2/{verb}", everything, data) as response:
            yield response

    def _authorization(self) -> dict[str, str]:
        if not self._token:
            self._token = self._new_token()
        return {"Authorization": f"Bearer {self._token}"}

    def _new_token(self) -> str:
        names = {"refresh_token": "REFRESH_TOKEN", "client_id": "APP_KEY", "client_secret": "APP_SECRET"}
        settings = {field: os.environ.get(f"DROPBOX_{name}", "") for field, name in names.items()}
        if not settings["refresh_token"] or not settings["client_id"]:
            raise self.refused("no credentials", _REMEDY)
        form = urlencode({"grant_type": "refresh_token", **{name: value for name, value in settings.items() if value}})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self._api}/oauth2/token"
        with self._transport.exchange("POST", url, headers, BytesBody(form.encode())) as response:
            self._check(response, (200,))
            with understood():
                return str(json_of(response)["access_token"])

    def _check(self, response: Response, wanted: tuple[int, ...]) -> None:
        status = response.status
        if status in wanted:
            return
        if status in TRANSIENT:
            raise ConnectionLostError(f"the server responded with {status}")
        body = response.read(limits.REFUSAL)
        if status == 409:
            error = _error(body)
            with understood():
                missing = error.get(".tag") == "path" and error.get("path", {}).get(".tag") == "not_found"
            if missing:
                raise self.missing()
            raise self.refused(json.dumps(error)[:300], "Check the path, and the permissions of the app.")
        raise self.refused(f"the server responded with {status}", _REMEDY)


def _error(body: bytes) -> dict[str, Any]:
    try:
        error = read_json(body, "the answer")["error"]
    except (FormatError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}
