"""Client for HTTP and HTTPS downloads.

Credentials come from the URL or, if the URL contains none, from netrc. The client sends credentials only to the server
in the URL, not to other servers after a redirect.
"""

from __future__ import annotations

from contextlib import contextmanager

from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, limits
from rules_bento.base.net.download import Download
from rules_bento.base.net.host_settings import basic_authorization
from rules_bento.base.net.http_headers import parse_nonnegative_int
from rules_bento.base.net.transfers import TRANSIENT, Progress, Retry
from rules_bento.base.net.transport import Response, Transport
from rules_bento.base.net.urls import Origin, resolve
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterator, Mapping

from bento_cli.transports.address import RefusedError

if TYPE_CHECKING:
    from bento_cli.transports.address import Address

_REMEDIES = {
    401: "Add the user and password for the host to ~/.netrc.",
    403: "Request access. If the URL is signed and has expired, request a new URL.",
}


def download(
    address: Address, file: BinaryIO, counter: Progress, accept: Callable[[bytes], object] = bool, most: int = 0
) -> None:
    """Write the file at a URL to `file`. After an interruption, requests only the rest, if the server supports this."""
    transport, tag = Transport(), ""

    @contextmanager
    def request(at: int) -> Iterator[Response]:
        nonlocal tag
        headers = {"Range": f"bytes={at}-", "If-Range": tag} if at and tag else {}
        with _get(address, transport, headers) as response:
            found = response.headers.get("ETag", "").strip()
            tag = found if found.startswith('"') else ""  # a weak tag doesn't identify bytes
            yield response

    try:
        loading = Download(str(address), request, file, counter, Retry(), accept=accept, most=most)
        loading.run(lambda cut: address.failed(cut, "All attempts failed. Try again later."))
    finally:
        transport.close()


def size(address: Address) -> int:
    """Return the size of the file at a URL, or 0 if the server doesn't report the size. Doesn't download the file."""
    transport = Transport()
    try:
        with _get(address, transport, {}, "HEAD") as response:
            return parse_nonnegative_int(response.headers.get("Content-Length")) or 0
    except (BentoError, ConnectionLostError):  # a download describes the problem
        return 0
    finally:
        transport.close()


@contextmanager
def _get(address: Address, transport: Transport, headers: Mapping[str, str], method: str = "GET") -> Iterator[Response]:
    """Send a request, follow redirects, and yield the response. Sends credentials only to the server in the URL.

    Raises ConnectionLostError for a temporary error, and BentoError for a permanent error.
    """
    user, password = ("", "") if address.token else address.login()
    value = f"Bearer {address.token}" if address.token else user and basic_authorization(user, password)
    login = {"Authorization": value} if value else {}
    url = address.url
    first = Origin.from_url(url)
    for _ in range(limits.REDIRECTS):
        sent = {"User-Agent": "rules_bento", **headers, **(login if Origin.from_url(url) == first else {})}
        with transport.exchange(method, url, sent) as response:
            location = response.headers.get("Location", "")
            if response.status in (301, 302, 303, 307, 308) and location:
                url = resolve(url, location).partition("#")[0]
                if first.scheme == "https" and Origin.from_url(url).scheme != "https":
                    raise address.failed("a redirect leads from https to http", "Use an https URL.")
                continue
            _check(address, response)
            yield response
            return
    raise address.failed("too many redirects", "Use the final URL.")


def _check(address: Address, response: Response) -> None:
    status = response.status
    if status in (200, 206):
        if response.headers.get("Content-Encoding", "identity") != "identity":
            remedy = "Disable compression for this path on the server."
            raise address.failed("the server compresses the file", remedy)
        return
    if status in (404, 410):
        raise address.missing()
    if status in TRANSIENT:
        raise ConnectionLostError(f"the server responded with {status}")
    kind = RefusedError if status in _REMEDIES else BentoError
    raise address.failed(f"the server responded with {status}", _REMEDIES.get(status, "Check the URL."), kind)
