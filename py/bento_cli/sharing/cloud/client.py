"""Client for the REST API of BentoCloud and Yatai: authenticated requests, JSON responses, and retries."""

from __future__ import annotations

import json
from contextlib import contextmanager
from urllib.parse import quote

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError
from rules_bento.base.formats.json import read_json
from rules_bento.base.net import ConnectionLostError, limits
from rules_bento.base.net.transfers import Retry, pause, retriable
from rules_bento.base.net.transport import Body, Response, Transport
from rules_bento.base.net.urls import Origin, display_url
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping
from rules_bento.bentos.assembly.kinds import BENTO, BENTOML_VERSION, Kind

if TYPE_CHECKING:
    from rules_bento.base.tag import Tag

    from bento_cli.sharing.cloud.contexts import Context

_AGENT = "rules_bento"
ENDED = (401, 403)  # error codes of object stores for an expired address
MAX_ADDRESSES = 4  # of one transfer
_REMEDIES = {
    401: "Log in again with `bento cloud login`.",
    403: "Request access, or log in as another user.",
    404: "Check the tag, and the context with `bento cloud current-context`.",
}


class CloudError(BentoError):
    """Raised for an error response. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Cloud:
    """Client that sends requests to one server with a user's token.

    Methods raise CloudError for an error response, and BentoError if the server doesn't respond.
    """

    def __init__(
        self, context: Context, sleep: Callable[[float], object] = pause, patience: float = limits.PATIENCE
    ) -> None:
        self._context = context
        self._sleep = sleep
        self._transport = Transport(patience)

    def __enter__(self) -> Cloud:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def __str__(self) -> str:
        return self._context.address

    def retry(self) -> Retry:
        """Return a new retry policy for an operation that consists of several requests."""
        return Retry(self._sleep)

    def ask(self, method: str, path: str, document: object = None, *, what: str) -> dict[str, Any]:
        """Send a request with retries, and return the JSON object in the response. Error messages begin with `what`."""
        answer = self._ask(method, path, document, what)
        if answer is None:
            raise self.refusal(404, b"", what)
        return answer

    def find(self, path: str, *, what: str) -> dict[str, Any] | None:
        """Return the document at `path` on the server, or None if the document doesn't exist."""
        return self._ask("GET", path, None, what)

    def create(self, collection: str, path: str, document: object, *, what: str) -> dict[str, Any]:
        """Create a document in a collection, and return the document. If `path` exists, returns its document."""
        try:
            return self.ask("POST", collection, document, what=what)
        except CloudError:
            existing = self.find(path, what=what)
            if existing is None:
                raise
            return existing

    def check_signed(self, address: str, what: str) -> str:
        """Return the presigned URL `address` unchanged. Raises BentoError for an http URL if the server uses https."""
        origin = Origin.from_url(address)
        if origin.scheme == "http" and Origin.from_url(self._context.endpoint).scheme == "https":
            remedy = "Report the error to the server's operator."
            raise BentoError(f"{self} returned the unencrypted URL {display_url(address)}", place=what, remedy=remedy)
        return address

    @contextmanager
    def open(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | Body | None = None
    ) -> Iterator[Response]:
        """Yield the response to a request. Raises ConnectionLostError if the connection fails.

        Sends the token only if `path` is a path on the server, not a URL.
        """
        url, sent = path, {"User-Agent": _AGENT, **(headers or {})}
        if path.startswith("/"):
            url = f"{self._context.endpoint}{path}"
            sent |= {"X-YATAI-API-TOKEN": self._context.api_token, "X-Bentoml-Version": BENTOML_VERSION}
        with self._transport.exchange(method, url, sent, body) as response:
            yield response

    def refusal(self, status: int, body: bytes, what: str) -> CloudError:
        """Return the exception for an error response. The message begins with `what`."""
        words = self._words(body)
        remedy = "Several attempts failed. Try again later." if status >= 500 else _REMEDIES.get(status, "")
        reason = f" ({words})" if words else ""
        return CloudError(f"{what}: {self} responded with {status}{reason}. {remedy}".rstrip(), status)

    def unreachable(self, what: str, cut: ConnectionLostError) -> BentoError:
        """Return the exception for a server that doesn't respond. The message begins with `what`."""
        remedy = "Check the endpoint. If this machine requires a proxy, set HTTPS_PROXY."
        return BentoError(f"requests to {self} failed repeatedly: {cut}", place=what, remedy=remedy)

    def _ask(self, method: str, path: str, document: object, what: str) -> dict[str, Any] | None:
        body = None if document is None else json.dumps(document, ensure_ascii=False).encode()
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})

        def once() -> dict[str, Any] | None:
            with self.open(method, path, headers, body) as response:
                status, content = response.status, response.read(limits.DOCUMENT)
            if status == 200:
                return self._json(content, what)
            # Older servers respond with 400 if a document doesn't exist.
            if status == 404 or (status == 400 and b"record not found" in content):
                return None
            raise retriable(self.refusal(status, content, what), status, response.headers)

        return self.retry().run(once, lambda cut: self.unreachable(what, cut))

    def _json(self, content: bytes, what: str) -> dict[str, Any]:
        try:
            parsed = read_json(content or b"{}", what) or {}  # some responses are empty or null
        except FormatError:
            parsed = None
        if not isinstance(parsed, dict):
            remedy = "Check the endpoint with `bento cloud current-context`."
            raise BentoError(f"the response from {self} isn't valid JSON", place=what, remedy=remedy)
        return parsed

    def _words(self, body: bytes) -> str:
        """Return the message in an error response, with the token redacted, or an empty string for an HTML response."""
        text = body.decode("utf-8", "replace")
        try:
            answer = read_json(body, "the answer")
            text = str(answer.get("error") or answer.get("message") or "") if isinstance(answer, dict) else text
        except FormatError:
            if text.lstrip().startswith("<"):
                return ""
        text = " ".join(text.split()).replace(self._context.api_token, "***")
        return "".join(char for char in text[:300] if char.isprintable())


def quoted(word: str) -> str:
    """Quote a name or version as one component of a URL path."""
    return quote(word, safe="")


class CloudPaths(NamedTuple):
    """The API paths for a Bento or model."""

    kind: Kind
    tag: Tag

    @property
    def repositories(self) -> str:
        """The API path that lists the repositories for this kind of entry."""
        return "/api/v1/bento_repositories" if self.kind is BENTO else "/api/v1/model_repositories"

    @property
    def repository(self) -> str:
        """The API path of the entry's repository."""
        return f"{self.repositories}/{quoted(self.tag.name)}"

    @property
    def versions(self) -> str:
        """The API path that lists the versions in the repository."""
        return f"{self.repository}/{self.kind.directory}"

    @property
    def version(self) -> str:
        """The API path of the entry's version."""
        return f"{self.versions}/{quoted(self.tag.version)}"

    def __str__(self) -> str:
        return f"{self.kind.noun} {self.tag}"
