"""Client for HTTP and HTTPS downloads.

Credentials come from the URL or, if the URL contains none, from netrc. The client sends credentials only to the server
in the URL, not to other servers after a redirect.
"""

from __future__ import annotations

from contextlib import contextmanager

from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.download import Download
from rules_bento.net.host_settings import basic_authorization
from rules_bento.net.transfers import TRANSIENT, Progress, Retry
from rules_bento.net.transport import Response, Transport
from rules_bento.net.urls import Origin, resolve
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Iterator, Mapping

if TYPE_CHECKING:
    from rules_bento.errors import BentoError

    from bento_cli.transports.address import Address

_REMEDIES = {
    401: "Add the user and password for the host to ~/.netrc.",
    403: "Request access. If the URL is signed and has expired, request a new URL.",
}


class Http:
    """Client for a file at an HTTP or HTTPS URL. Doesn't support uploads."""

    def __init__(self, address: Address) -> None:
        self._address = address
        user, password = address.login()
        self._login = {"Authorization": basic_authorization(user, password)} if user else {}
        self._transport = Transport()

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def download(self, file: BinaryIO, counter: Progress) -> None:
        """Write the file to `file`. After an interruption, requests only the rest, if the server supports this."""
        tag = ""

        @contextmanager
        def request(at: int) -> Iterator[Response]:
            nonlocal tag
            with self._get({"Range": f"bytes={at}-", "If-Range": tag} if at and tag else {}) as response:
                found = response.headers.get("ETag", "").strip()
                tag = found if found.startswith('"') else ""  # a weak tag doesn't identify bytes
                yield response

        Download(str(self._address), request, file, counter, Retry()).run(self._describe)

    def _describe(self, cut: ConnectionLostError) -> BentoError:
        return self._address.failed(cut, "All attempts failed. Try again later.")

    @contextmanager
    def _get(self, headers: Mapping[str, str]) -> Iterator[Response]:
        """Send a GET request, follow redirects, and yield the response.

        Raises ConnectionLostError for a temporary error, and BentoError for a permanent error.
        """
        url = self._address.url
        first = Origin.from_url(url)
        for _ in range(limits.REDIRECTS):
            origin = Origin.from_url(url)
            login = self._login if origin == first else {}
            sent = {"User-Agent": "rules_bento", **headers, **login}
            with self._transport.exchange("GET", url, sent) as response:
                location = response.headers.get("Location", "")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = resolve(url, location).partition("#")[0]
                    if first.scheme == "https" and Origin.from_url(url).scheme != "https":
                        raise self._address.failed("a redirect leads from https to http", "Use an https URL.")
                    continue
                self._check(response)
                yield response
                return
        raise self._address.failed("too many redirects", "Use the final URL.")

    def _check(self, response: Response) -> None:
        status = response.status
        if status in (200, 206):
            if response.headers.get("Content-Encoding", "identity") != "identity":
                remedy = "Disable compression for this path on the server."
                raise self._address.failed("the server compresses the file", remedy)
            return
        if status in (404, 410):
            raise self._address.missing()
        if status in TRANSIENT:
            raise ConnectionLostError(f"the server responded with {status}")
        remedy = _REMEDIES.get(status, "Check the URL.")
        raise self._address.failed(f"the server responded with {status}", remedy)
