"""Sends requests to the API of registries (OCI distribution specification 1.1).

`Registries` caches `Registry` objects, `Registry` sends requests to one registry, and `Repository` has a method for
each endpoint of a repository.
"""

from __future__ import annotations

import re
import threading
from contextlib import AbstractContextManager, contextmanager, suppress
from urllib.parse import quote, urlencode

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError
from rules_bento.base.formats.json import read_object
from rules_bento.base.net import ConnectionLostError, SourceLostError, limits
from rules_bento.base.net.http_headers import next_link, parse_nonnegative_int
from rules_bento.base.net.secret_hosts import is_loopback
from rules_bento.base.net.transfers import Retry, pause, retriable, uninterruptible
from rules_bento.base.net.transport import Body, Response, Transport
from rules_bento.base.net.urls import Origin, resolve
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Iterator, Mapping
from rules_bento.images.registry import RegistryError, response_error
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.auth import Authorizer, Credentials
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.push_records import InterruptedUploads, Upload

if TYPE_CHECKING:
    from rules_bento.images.registry.reference import Reference

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_LOGINS = 2  # the first challenge, and one for a token that expired early
_CANCEL_PATIENCE = 5.0  # seconds to cancel an upload, or to ask for its last status
_AGENT = "rules_bento"
_UPLOADED_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")


class Reply(NamedTuple):
    """A response with its complete body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @classmethod
    def read(cls, response: Response, most: int = limits.REFUSAL) -> Reply:
        """Read a response with a body of at most `most` bytes. Raises the same errors as `Response.read`."""
        return cls(response.status, response.headers, response.read(most), response.url)


class Registries:
    """Cache of registries, connections, and tokens. Registries in `insecure` (`host:port`) can use plain HTTP.

    >>> with Registries() as registries:  # doctest: +SKIP
    ...     manifest = registries.repository(Reference.parse("registry.example.com/acme/iris:v1")).get_manifest("v1")
    """

    def __init__(
        self,
        insecure: Collection[str] = (),
        sleep: Callable[[float], object] = pause,
        patience: float = limits.PATIENCE,
        interrupted: InterruptedUploads | None = None,
    ) -> None:
        self.interrupted = interrupted or InterruptedUploads()
        self._insecure = frozenset(insecure)
        self._sleep = sleep
        self._transport = Transport(patience)
        self._known: dict[str, Registry] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Registries:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def repository(self, reference: Reference) -> Repository:
        """Return a client for the repository in a reference."""
        with self._lock:
            registry = self._known.get(reference.registry)
            if registry is None:
                insecure = reference.registry in self._insecure
                registry = Registry(
                    reference, self._transport, interrupted=self.interrupted, insecure=insecure, sleep=self._sleep
                )
                self._known[reference.registry] = registry
        return Repository(registry, reference.repository)


class Registry:
    """Client that sends authorized requests to one registry."""

    def __init__(
        self,
        reference: Reference,
        transport: Transport,
        *,
        interrupted: InterruptedUploads,
        insecure: bool,
        sleep: Callable[[float], object],
    ) -> None:
        self.host = reference.registry
        self.login: Credentials | None = None  # replaces stored credentials
        self.interrupted = interrupted
        self._reference = reference
        self._transport = transport
        self._insecure = insecure
        self._sleep = sleep
        self._lock = threading.Lock()
        self._origin: Origin | None = None
        self._authorizer: Authorizer | None = None

    def retry(self) -> Retry:
        """Return a new retry policy for an operation that consists of several requests."""
        return Retry(self._sleep)

    def request(
        self,
        method: str,
        path: str,
        scopes: frozenset[str],
        *,
        expect: Collection[int],
        what: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        max_bytes: int = limits.REFUSAL,
    ) -> Reply:
        """Send a request with retries. For a status not in `expect`, raises BentoError with `what` in the message."""

        def once() -> Reply:
            with self.exchange(method, path, scopes, headers=headers or {}, body=content) as response:
                reply = Reply.read(response, max_bytes)
            if reply.status not in expect:
                raise self.failure(reply, what)
            return reply

        return self.retry().run(once, lambda cut: self.connection_error(what, cut))

    @contextmanager
    def exchange(
        self,
        method: str,
        path: str,
        scopes: frozenset[str],
        *,
        headers: Mapping[str, str],
        body: bytes | Body | None = None,
        patience: float | None = None,
    ) -> Iterator[Response]:
        """Send a request to a path or URL, and yield the response. Logs in and follows redirects, but doesn't retry."""
        origin, authorizer = self._connect()
        url = path if "://" in path else f"{origin}{path}"
        redirects = logins = 0
        while True:
            # Credentials are sent only to the registry itself, not to a redirect's host.
            ours = Origin.from_url(url) == origin
            authorization = authorizer.header(scopes) if ours else ""
            sent = {"User-Agent": _AGENT, **headers, **({"Authorization": authorization} if authorization else {})}
            with self._transport.exchange(method, url, sent, body, patience) as response:
                if response.status == 401 and ours:
                    reply = Reply.read(response)
                    logins += 1
                    challenges = response.headers.getlist("WWW-Authenticate")
                    if logins > _MAX_LOGINS or not authorizer.accept_challenge(challenges, scopes, authorization):
                        raise self.response_error(reply, f"{self._reference.name}: {method}")
                elif response.status in _REDIRECTS and method in ("GET", "HEAD") and redirects < limits.REDIRECTS:
                    response.read(limits.REFUSAL)
                    redirects += 1
                    url = self.location(response)
                else:
                    yield response
                    return

    def location(self, response: Response | Reply) -> str:
        """Return the absolute URL in a `Location` header. Raises BentoError for a missing header or an unsafe URL."""
        location = response.headers.get("Location")
        if not location:
            problem = f"the {response.status} response has no Location header"
            raise BentoError(problem, place=self.host, remedy="Report the error to the registry operator.")
        return self._secure_url(resolve(response.url, location))

    def _secure_url(self, url: str) -> str:
        """For an https registry, replace http with https in `url`. Raises BentoError for http on another host."""
        here, there = self._connect()[0], Origin.from_url(url)
        if here.scheme == "https" and there.scheme == "http":
            if there.host != here.host:
                problem = f"the registry redirects to {there.host} without HTTPS"
                raise BentoError(problem, place=self.host, remedy="Ask the registry operator to enable HTTPS.")
            # A registry behind a proxy that terminates TLS returns http URLs of its own host.
            return url.replace(str(there), str(here), 1) if str(there) in url else f"https{url[4:]}"
        return url

    def next_page(self, reply: Reply, link: str) -> str:
        """Return the absolute URL of the next page of a list. Raises BentoError if the page is on another server."""
        url = self._secure_url(resolve(reply.url, link))
        if Origin.from_url(url) != self._connect()[0]:
            problem = "the registry's link to the next page of results leads to a page on another server, "
            problem += f"{Origin.from_url(url)}"
            raise BentoError(problem, place=self.host, remedy="Report the error to the registry operator.")
        return url

    def response_error(self, reply: Reply, what: str) -> BentoError:
        """Return the error for an unexpected response to a request for `what`."""
        return response_error(reply.status, reply.body, what, self.host)

    def failure(self, reply: Reply, what: str) -> Exception:
        """Return the same error as `response_error`, or ConnectionLostError if a retry can help."""
        return retriable(self.response_error(reply, what), reply.status, reply.headers)

    def connection_error(self, what: str, cut: ConnectionLostError) -> BentoError:
        """Return the error for `cut`, which ended the last attempt of a request. The message begins with `what`."""
        if isinstance(cut, SourceLostError):
            return BentoError(f"all attempts failed: {cut}", place=what, remedy="Try again later.")
        remedy = "Check that the registry is running. If this machine requires a proxy, set HTTPS_PROXY."
        if cut.without_tls:
            remedy = f"If you trust the network to the registry, add --insecure {self.host}."
        return BentoError(f"all attempts to connect to {self.host} failed ({cut})", place=what, remedy=remedy)

    def _connect(self) -> tuple[Origin, Authorizer]:
        """Return the origin of the API, and its authorizer. The first call determines both."""
        with self._lock:
            if self._origin is None or self._authorizer is None:
                self._origin = self._find_origin()
                self._authorizer = Authorizer(self._reference, self._origin, self._transport, self.login)
            return self._origin, self._authorizer

    def _find_origin(self) -> Origin:
        secure = Origin.from_url(f"https://{self._reference.api_host}")
        if not self._insecure and not is_loopback(secure.host):
            return secure
        plain = Origin.from_url(f"http://{self._reference.api_host}")
        try:
            self._ping(secure)
        except ConnectionLostError as cut:
            # A TLS server answers a plain HTTP request with 400.
            if self._ping(plain) == 400:
                raise cut from None
            return plain
        return secure

    def _ping(self, origin: Origin) -> int:
        with self._transport.exchange("GET", f"{origin}/v2/", {"User-Agent": _AGENT}) as response:
            response.read(limits.DOCUMENT)
            return response.status


class Repository:
    """Client for one repository.

    All methods raise the same errors as `Registry.request`. Methods that yield a response can also raise
    ConnectionLostError.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self.registry = registry
        self.name = name
        self.pull_scope = frozenset({f"repository:{name}:pull"})
        self.push_scope = frozenset({f"repository:{name}:pull,push"})

    def __str__(self) -> str:
        return f"{self.registry.host}/{self.name}"

    # Blobs

    def has_blob(self, digest: str, size: int, scope: frozenset[str] = frozenset()) -> bool:
        """Return whether a blob with this size exists. Requests push access, so that a push needs only one token.

        `scope` replaces the access for callers that only pull.
        """
        reply = self._request("HEAD", f"blobs/{digest}", f"blob {digest}", {200, 404}, scope or self.push_scope)
        return reply.status == 200 and parse_nonnegative_int(reply.headers.get("Content-Length")) in (None, size)

    def mount_blob(self, digest: str, source: str) -> Upload | None:
        """Mount a blob from the repository `source`. Returns None on success, otherwise a new upload of the blob."""
        query = urlencode({"mount": digest, "from": source})
        scopes = self.push_scope | {f"repository:{source}:pull"}
        reply = self._request("POST", f"blobs/uploads/?{query}", f"mount of {digest}", {201, 202}, scopes)
        return None if reply.status == 201 else self._upload(reply)

    def start_upload(self) -> Upload:
        """Start the upload of a blob, and return the upload."""
        return self._upload(self._request("POST", "blobs/uploads/", "upload", {202}, self.push_scope))

    def cancel_upload(self, upload: Upload) -> None:
        """Cancel an unfinished upload, so that the registry can remove its bytes. Ignores errors."""
        scopes = frozenset({f"repository:{self.name}:delete"})
        with (
            suppress(BentoError, ConnectionLostError),
            uninterruptible(),
            self.registry.exchange("DELETE", upload.url, scopes, headers={}, patience=_CANCEL_PATIENCE),
        ):
            pass

    def upload_status(self, upload: Upload) -> Upload | None:
        """Return the upload with its current offset, or None if the upload no longer exists."""
        # A server can return 404 or 400 for an upload that has ended, completed or failed.
        reply = self._request("GET", upload.url, "upload", {204, 200, 202, 404, 400, 410, 405}, self.push_scope)
        return self._with_offset(upload, reply)

    def last_upload_status(self, upload: Upload) -> Upload | None:
        """Return an interrupted upload with its offset, without retries, or None if the registry has no bytes."""
        with suppress(BentoError, ConnectionLostError), uninterruptible():
            patience = _CANCEL_PATIENCE
            with self.registry.exchange("GET", upload.url, self.push_scope, headers={}, patience=patience) as response:
                last = self._with_offset(upload, Reply.read(response))
                return last if last and last.offset else None
        return None

    def _with_offset(self, upload: Upload, reply: Reply) -> Upload | None:
        if reply.status >= 400:
            return None
        last = _UPLOADED_RANGE.fullmatch(reply.headers.get("Range", ""))
        # Registries return 0-0 for an upload of 0 or 1 bytes: 0 is the safe interpretation.
        offset = int(last[1]) + 1 if last and last[1] != "0" else 0
        url = self.registry.location(reply) if "Location" in reply.headers else upload.url
        return Upload(url, offset, upload.smallest_chunk)

    def after_chunk(self, upload: Upload, reply: Reply) -> Upload:
        """Return the updated upload after an accepted chunk. Raises BentoError if the reply has no valid `Range`."""
        last = _UPLOADED_RANGE.fullmatch(reply.headers.get("Range", ""))
        if last is None:
            problem = "the response to an uploaded chunk has no valid Range header"
            raise BentoError(problem, place=str(self), remedy="Report the error to the registry operator.")
        url = self.registry.location(reply) if "Location" in reply.headers else upload.url
        return Upload(url, int(last[1]) + 1, upload.smallest_chunk)

    def send_blob(self, upload: Upload, digest: str, body: Body) -> AbstractContextManager[Response]:
        """Send the rest of a blob, complete the upload, and yield the response."""
        url = upload.url + ("&" if "?" in upload.url else "?") + urlencode({"digest": digest})
        headers = {"Content-Type": "application/octet-stream"}
        return self.registry.exchange("PUT", url, self.push_scope, headers=headers, body=body)

    def send_chunk(self, upload: Upload, body: Body, *, has_range: bool) -> AbstractContextManager[Response]:
        """Send the next chunk of a blob, and yield the response. Without a range, the registry appends the chunk."""
        headers = {"Content-Type": "application/octet-stream"}
        if has_range:
            headers["Content-Range"] = f"{upload.offset}-{upload.offset + body.size - 1}"
        return self.registry.exchange("PATCH", upload.url, self.push_scope, headers=headers, body=body)

    @contextmanager
    def open_blob(self, digest: str, offset: int = 0) -> Iterator[Response]:
        """Request a blob from byte `offset`, and yield the response: 206, 416, or 200 with the complete blob."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        path = self._path(f"blobs/{digest}")
        with self.registry.exchange("GET", path, self.pull_scope, headers=headers) as response:
            if response.status not in (200, 206, 416):
                raise self.registry.failure(Reply.read(response), f"{self}: blob {digest}")
            yield response

    def read_blob(self, descriptor: Descriptor) -> bytes:
        """Return the verified content of a blob. Raises BentoError if the blob exceeds `limits.DOCUMENT` bytes."""
        what = f"blob {descriptor.digest}"
        if descriptor.size > limits.DOCUMENT:
            problem = f"{what} has {descriptor.size} bytes, but the limit is {limits.DOCUMENT}"
            raise BentoError(problem, place=str(self), remedy="Report the error to the artifact's publisher.")
        path = f"blobs/{descriptor.digest}"
        reply = self._request("GET", path, what, {200}, self.pull_scope, max_bytes=limits.DOCUMENT)
        return oci.verify(reply.body, descriptor.digest, str(self))

    # Manifests

    def manifest_digest(self, target: str) -> str:
        """Return the digest of the manifest at `target`, or "" if the manifest doesn't exist. Requests push access."""
        headers, what = {"Accept": ", ".join(oci.MANIFESTS)}, f"manifest {target}"
        reply = self._request("HEAD", f"manifests/{target}", what, {200, 404}, self.push_scope, headers=headers)
        return reply.headers.get("Docker-Content-Digest", "") if reply.status == 200 else ""

    def get_manifest(self, target: str) -> Manifest:
        """Return the manifest for a tag or digest. Raises BentoError if the content doesn't match the digest."""
        reply = self._get_manifest(target, oci.MANIFESTS, f"manifest {target}", {200})
        origin = f"{self}: manifest {target}"
        declared = target if oci.is_digest(target) else reply.headers.get("Docker-Content-Digest", "")
        if oci.is_digest(declared):
            oci.verify(reply.body, declared, origin)
        return Manifest.read(reply.body, reply.headers.get("Content-Type", "").partition(";")[0].strip(), origin)

    def put_manifest(self, manifest: Manifest, target: str) -> bool:
        """Upload a manifest to a tag or digest. Returns whether the registry recorded the manifest as a referrer."""
        headers, what = {"Content-Type": manifest.descriptor.media_type}, f"manifest {target}"
        options: dict[str, Any] = {"headers": headers, "content": manifest.content}
        try:
            reply = self._request("PUT", f"manifests/{target}", what, {201}, self.push_scope, **options)
        except RegistryError as error:
            raise _naming_type(error, manifest) from None
        declared = reply.headers.get("Docker-Content-Digest", manifest.descriptor.digest)
        if declared.partition(":")[0] == "sha256" and declared != manifest.descriptor.digest:
            problem = f"the registry stored the manifest {manifest.descriptor.digest} as {declared}"
            raise BentoError(problem, place=str(self), remedy="Check for a proxy that modifies requests.")
        return bool(reply.headers.get("OCI-Subject"))

    def referrers(self, digest: str) -> list[Descriptor]:
        """Return the referrers of a manifest. Uses the referrers tag if the registry has no referrers API."""
        descriptors: list[Descriptor] = []
        for reply in self._pages(f"referrers/{digest}", f"referrers of {digest}"):
            if reply.status == 404:
                return self.referrers_tag(digest)
            listed = read_object(reply.body, f"{self}: referrers").get("manifests") or []
            if not isinstance(listed, list):
                problem = "in the response, manifests isn't a list"
                raise BentoError(problem, place=str(self), remedy="Report the error to the registry operator.")
            descriptors += [Descriptor.from_json(item, str(self)) for item in listed]
            if len(descriptors) > limits.NAMES:
                problem = f"the registry lists more than {limits.NAMES} referrers"
                raise BentoError(problem, place=str(self), remedy="Report the error to the registry operator.")
        return descriptors

    def referrers_tag(self, digest: str) -> list[Descriptor]:
        """Return the entries of the index that has the referrers tag of `digest`, or [] if the index doesn't exist."""
        target = referrers_tag(digest)
        reply = self._get_manifest(target, (oci.INDEX,), f"referrers of {digest}", {200, 404})
        if reply.status == 404:
            return []
        return Manifest.read(reply.body, oci.INDEX, f"{self}: manifest {target}").children()

    def tags(self) -> list[str]:
        """Return the sorted tags of the repository. Raises BentoError if the repository doesn't exist."""
        found: set[str] = set()
        for reply in self._pages("tags/list", "tags"):
            if reply.status == 404:
                raise self.registry.response_error(reply, f"{self}: tags")
            listed = read_object(reply.body, f"{self}: tags").get("tags") or []
            if not isinstance(listed, list) or not all(isinstance(tag, str) for tag in listed):
                remedy = "Report the error."
                raise BentoError("in the response, tags isn't a list of strings", place=str(self), remedy=remedy)
            found.update(listed)
        return sorted(found)

    def created(self, target: str) -> tuple[str, str]:
        """Return the digest of a manifest, and the creation time (ISO 8601) in its annotations or config, if any."""
        manifest = self.get_manifest(target)
        moment = (manifest.document.get("annotations") or {}).get("org.opencontainers.image.created")
        if not moment and not manifest.is_index and manifest.config.size <= limits.DOCUMENT:
            with suppress(FormatError):  # the config of another kind of artifact
                config = read_object(self.read_blob(manifest.config), str(self))
                moment = config.get("created") or config.get("creation_time")
        return manifest.descriptor.digest, moment if isinstance(moment, str) else ""

    def _get_manifest(self, target: str, types: Collection[str], what: str, expect: Collection[int]) -> Reply:
        options: dict[str, Any] = {"headers": {"Accept": ", ".join(types)}, "max_bytes": limits.MANIFEST}
        return self._request("GET", f"manifests/{target}", what, expect, self.pull_scope, **options)

    def _request(
        self, method: str, path: str, what: str, expect: Collection[int], scopes: frozenset[str], **options: Any
    ) -> Reply:
        whole = path if "://" in path or path.startswith("/") else self._path(path)
        return self.registry.request(method, whole, scopes, expect=expect, what=f"{self}: {what}", **options)

    def _path(self, path: str) -> str:
        return f"/v2/{self.name}/{quote(path, safe='/:?=&%+')}"

    def _upload(self, reply: Reply) -> Upload:
        smallest = parse_nonnegative_int(reply.headers.get("OCI-Chunk-Min-Length")) or 0
        return Upload(self.registry.location(reply), 0, smallest)

    def _pages(self, path: str, what: str) -> Iterator[Reply]:
        """Yield the pages of a list. Raises BentoError for a link to another server, a cycle, or too many pages."""
        seen: set[str] = set()
        size = 0
        following: str | None = path
        while following is not None:
            if following in seen:
                problem = f"{what}: the list's pages form a cycle"
                raise BentoError(problem, place=str(self), remedy="Report the error to the registry operator.")
            seen.add(following)
            reply = self._request("GET", following, what, {200, 404}, self.pull_scope, max_bytes=limits.DOCUMENT)
            size += len(reply.body)
            if len(seen) > limits.PAGES or size > limits.LISTING:
                problem = f"{what}: the list exceeds {limits.PAGES} pages or {limits.LISTING} bytes"
                raise BentoError(problem, place=str(self), remedy="Report the error to the registry operator.")
            yield reply
            link = next_link(reply.headers.get("Link"))
            following = None if link is None else self.registry.next_page(reply, link)


def _naming_type(error: RegistryError, manifest: Manifest) -> RegistryError:
    """Return an error with a remedy that names the type of the manifest, if the registry might reject the type."""
    artifact_type = manifest.descriptor.artifact_type
    if error.status == 415:
        kind = f"artifacts of the type {artifact_type}" if artifact_type else manifest.descriptor.media_type
        return error.with_remedy(f"The registry doesn't support {kind}. Use a registry that supports OCI artifacts.")
    if error.status == 403 and artifact_type:
        return error.with_remedy(
            f"Check that the registry accepts artifacts of the type {artifact_type}, and that you have access to the "
            "repository."
        )
    return error


def referrers_tag(digest: str) -> str:
    """Return the tag of the index that lists a manifest's referrers (`Referrers Tag Schema` of the specification)."""
    return digest.replace(":", "-", 1)[:128]
