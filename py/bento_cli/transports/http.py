"""Client for HTTP and HTTPS downloads. Uses range requests (RFC 9110) if the server supports them.

Credentials come from the URL or, if the URL contains none, from netrc. The client sends credentials only to the server
in the URL, not to other servers after a redirect.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from contextlib import contextmanager

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.headers import content_range
from rules_bento.net.transfers import TRANSIENT
from rules_bento.net.transport import Origin, Transport, resolve
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

from bento_cli.transports.remote import ChangedError, Remote, Stat

if TYPE_CHECKING:
    from email.message import Message

    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Response

    from bento_cli.transports.address import Address
    from bento_cli.transports.source import Source

_REMEDIES = {
    401: "Add the user and password for the host to ~/.netrc.",
    403: "Request access. If the URL is signed and has expired, request a new URL.",
}


class Http(Remote):
    """Client for a file at an HTTP or HTTPS URL. Doesn't support uploads."""

    parallel = 4

    def __init__(self, address: Address, authorization: str = "") -> None:
        super().__init__(address)
        self._transport = Transport()
        user, password = address.login()
        if user and not authorization:
            authorization = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
        self._login = {"Authorization": authorization} if authorization else {}

    def stat(self) -> Stat:
        # HEAD isn't used, because servers reject it for URLs that are signed for GET.
        with self._get({"Range": "bytes=0-0"}) as response:
            headers = response.headers
            if response.status == 206:
                came = content_range(headers.get("Content-Range"))
                response.read(limits.REFUSAL)
                if came is None or came.size is None:
                    raise ConnectionLostError("the server doesn't report the size of the file")
                return Stat(came.size, _version(headers), _digests(headers))
            if response.status == 416:  # the file is empty
                return Stat(0, _version(headers))
            return Stat(response.length, _version(headers), _digests(headers), ranges=False)

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[memoryview]:
        headers = {}
        if end is not None:
            headers["Range"] = f"bytes={start}-{end - 1}"
            if stat.version:
                headers["If-Range"] = stat.version
        with self._get(headers) as response:
            if stat.version and _version(response.headers) not in ("", stat.version):
                raise ChangedError
            if end is not None:
                if response.status != 206:
                    raise ChangedError
                self._check_range(response, stat, start, end)
            yield from response.pieces()

    def write(self, source: Source, counter: Counter) -> None:
        raise BentoError(
            f"{self.address}: exports to {self.address.scheme} URLs aren't supported. Export to a file or an object "
            "store."
        )

    def close(self) -> None:
        self._transport.close()

    def _check_range(self, response: Response, stat: Stat, start: int, end: int) -> None:
        header = response.headers.get("Content-Range", "").strip()
        if header not in (f"bytes {start}-{end - 1}/{stat.size}", f"bytes {start}-{end - 1}/*"):
            raise ConnectionLostError(f"the server sent the range {header!r} instead of bytes {start} to {end - 1}")
        if response.length not in (None, end - start):
            raise ConnectionLostError(f"the server sent {response.length} bytes instead of {end - start}")

    @contextmanager
    def _get(self, headers: dict[str, str]) -> Iterator[Response]:
        """Send a GET request, follow redirects, and yield the response.

        Raises ConnectionLostError for a temporary error, and BentoError for a permanent error.
        """
        url = self.address.url
        first = Origin.from_url(url)
        for _ in range(limits.REDIRECTS):
            origin = Origin.from_url(url)
            login = self._login if origin == first else {}
            with self._transport.exchange(
                "GET", url, {"Accept-Encoding": "identity", "User-Agent": "rules_bento", **headers, **login}
            ) as response:
                location = response.headers.get("Location", "")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = resolve(url, location).partition("#")[0]
                    if first.scheme == "https" and Origin.from_url(url).scheme != "https":
                        raise self.refused("a redirect leads from https to http", "Use an https URL.")
                    continue
                self._check(response)
                yield response
                return
        raise self.refused("too many redirects", "Use the final URL.")

    def _check(self, response: Response) -> None:
        status = response.status
        if status in (200, 206, 416):
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise self.refused("the server compresses the file", "Disable compression for this path on the server.")
            return
        if status in (404, 410):
            raise self.missing()
        if status in TRANSIENT:
            raise ConnectionLostError(f"the server responded with {status}")
        raise self.refused(f"the server responded with {status}", _REMEDIES.get(status, "Check the URL."))


def _version(headers: Message) -> str:
    """Return the value of `If-Range`: a strong ETag, otherwise the `Last-Modified` date or an empty string."""
    tag: str = headers.get("ETag", "").strip()
    return tag if tag.startswith('"') else headers.get("Last-Modified", "").strip()


def _digests(headers: Message) -> dict[str, str]:
    """Return the digests of the complete file, by algorithm, from `Repr-Digest` (RFC 9530) and similar headers.

    Ignores invalid headers, as RFC 9530 requires.
    """
    digests: dict[str, str] = {}
    for name, value in re.findall(r"(sha-256|sha-512)=:([A-Za-z0-9+/=]+):", headers.get("Repr-Digest", "")):
        digests |= _decoded(name.replace("-", ""), value)
    for header in ("X-Checksum-Sha256", "X-Amz-Meta-Sha256", "X-Ms-Meta-Sha256", "X-Goog-Meta-Sha256"):
        value = headers.get(header, "").strip()
        if re.fullmatch("[0-9a-fA-F]{64}", value):
            digests["sha256"] = value
    goog = re.search(r"md5=([A-Za-z0-9+/=]+)", ",".join(headers.get_all("X-Goog-Hash", [])))
    return {**digests, **_decoded("md5", goog[1])} if goog else digests


def _decoded(name: str, value: str) -> dict[str, str]:
    """Decode a base64 digest. Returns `{name: hexadecimal digest}`, or an empty dict for an invalid digest."""
    try:
        digest = b64decode(value, validate=True)
    except ValueError:
        return {}
    return {name: digest.hex()} if len(digest) == {"md5": 16, "sha256": 32, "sha512": 64}[name] else {}
