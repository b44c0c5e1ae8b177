"""Client for HTTP and HTTPS downloads.

Credentials come from the URL or, if the URL contains none, from netrc. The client sends credentials only to the server
in the URL, not to other servers after a redirect.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import contextmanager

from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.headers import content_range
from rules_bento.net.transfers import TRANSIENT, Retry
from rules_bento.net.transport import Origin, Transport, resolve
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterator, Mapping, TypeVar

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Response

    from bento_cli.transports.address import Address

_Result = TypeVar("_Result")

_REMEDIES = {
    401: "Add the user and password for the host to ~/.netrc.",
    403: "Request access. If the URL is signed and has expired, request a new URL.",
}


class Http:
    """Client for a file at an HTTP or HTTPS URL. Doesn't support uploads."""

    def __init__(self, address: Address, authorization: str = "") -> None:
        self._address = address
        user, password = address.login()
        if user and not authorization:
            authorization = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
        self._login = {"Authorization": authorization} if authorization else {}
        self._transport = Transport()

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def read(self, consume: Callable[[Iterator[memoryview]], _Result]) -> _Result:
        """Return the result of calling `consume` with the pieces of the file. Starts again after interruptions."""

        def once(_: Retry) -> _Result:
            with self._get({}) as response:
                return consume(response.pieces_from(0))

        return self._attempt(once)

    def download(self, file: BinaryIO, counter: Counter) -> None:
        """Write the file to `file`. After an interruption, requests only the rest, if the server supports this."""
        tag = ""
        furthest = 0

        def once(retry: Retry) -> None:
            nonlocal tag, furthest
            at = file.tell()
            headers = {"Range": f"bytes={at}-", "If-Range": tag} if at and tag else {}
            with self._get(headers) as response:
                if response.status == 206:
                    part = content_range(response.headers.get("Content-Range"))
                    if part is None or part.first != at or part.size not in (None, part.last + 1):
                        tag = ""
                        raise ConnectionLostError("the server sent another range than the requested one")
                else:
                    file.seek(0)
                    file.truncate()
                    counter.advance(-at)
                    counter.expect(response.length or 0 if not at else 0)
                    at = 0
                if at + (response.length or 0) > limits.BODY:
                    raise self._too_large()
                found = response.headers.get("ETag", "").strip()
                tag = found if found.startswith('"') else ""  # a weak tag doesn't identify bytes
                for piece in response.pieces_from(at):
                    at += len(piece)
                    if at > limits.BODY:
                        raise self._too_large()
                    file.write(piece)
                    counter.advance(len(piece))
                    retry.progressed(max(0, at - furthest))
                    furthest = max(at, furthest)

        self._attempt(once)

    def _too_large(self) -> Exception:
        return self._address.failed(f"the file exceeds the limit of {limits.BODY} bytes", "Use a smaller file.")

    def _attempt(self, step: Callable[[Retry], _Result]) -> _Result:
        retry = Retry()
        while True:
            try:
                return step(retry)
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self._address.failed(cut, "All attempts failed. Try again later.") from None

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
            sent = {"Accept-Encoding": "identity", "User-Agent": "rules_bento", **headers, **login}
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
