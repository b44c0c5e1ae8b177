"""The API of a registry (OCI distribution specification 1.1), one method to an endpoint.

`Registries` knows each registry once, `Registry` sends requests to one, `Repository` knows what they mean.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from rules_bento.dataclasses_lite import NamedTuple, dataclass
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_object
from rules_bento.net import ConnectionLostError, SourceLostError, limits
from rules_bento.net.headers import next_link, parse_nonnegative_int
from rules_bento.net.host_settings import is_loopback
from rules_bento.net.transfers import TRANSIENT, Retry, asked_wait, pause
from rules_bento.net.transport import Bytes, Origin, Response, Transport, resolve
from rules_bento.registry import descriptor as oci
from rules_bento.registry.auth import Authorizer
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.errors import refusal
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from email.message import Message

    from rules_bento.net.transport import Body
    from rules_bento.registry.reference import Reference

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_LOGINS = 2  # to learn what is wanted, and again if a token has ended early
_AGENT = "rules_bento"
_PAGE = 1000
_UPLOADED = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")


class Reply(NamedTuple):
    """Holds a response that was read to its end."""

    status: int
    headers: Message
    body: bytes
    url: str


class Registries:
    """Keeps the registries of a run, each with connections and tokens, made when it is first needed.

    `insecure` are hosts (`host:port`) that may be reached without encryption; this machine always may. `patience` is
    in seconds, see `limits.PATIENCE`.
    """

    def __init__(
        self,
        insecure: Collection[str] = (),
        sleep: Callable[[float], object] = pause,
        patience: float = limits.PATIENCE,
    ) -> None:
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
        """Return the repository that the reference is of."""
        with self._lock:
            registry = self._known.get(reference.registry)
            if registry is None:
                insecure = reference.registry in self._insecure
                registry = Registry(reference, self._transport, insecure=insecure, sleep=self._sleep)
                self._known[reference.registry] = registry
        return Repository(registry, reference.repository)


class Registry:
    """Sends requests to one registry, authorized, and again where another try may help."""

    def __init__(
        self, reference: Reference, transport: Transport, *, insecure: bool, sleep: Callable[[float], object]
    ) -> None:
        self.host = reference.registry
        self._reference = reference
        self._transport = transport
        self._insecure = insecure
        self._sleep = sleep
        self._lock = threading.Lock()
        self._origin: Origin | None = None
        self._authorizer: Authorizer | None = None

    def retry(self) -> Retry:
        """Return a counter of attempts for something that takes more than one request."""
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
        most: int = limits.REFUSAL,
    ) -> Reply:
        """Send a small request; return its whole response, of `most` bytes, whose status is one of `expect`.

        Raises RegistryError for any other answer, BentoError, beginning with `what`, if there is none: both after
        several attempts where more than one makes sense.
        """
        retry = self.retry()
        while True:
            try:
                body = None if content is None else Bytes(content)
                with self.exchange(method, path, scopes, headers=headers or {}, body=body) as response:
                    reply = Reply(response.status, response.headers, response.read(most), response.url)
            except ConnectionLostError as cut:
                if not retry.again():
                    raise self.unreachable(what, cut) from None
                continue
            if reply.status in expect:
                return reply
            if reply.status not in TRANSIENT or not retry.again(asked_wait(reply.headers)):
                raise self.refusal(reply, what)

    @contextmanager
    def exchange(
        self, method: str, path: str, scopes: frozenset[str], *, headers: Mapping[str, str], body: Body | None = None
    ) -> Iterator[Response]:
        """Send one request and yield the response of any status; repeat it only to log in or to follow a redirect.

        `path` is one of this registry, or a URL that it gave (`locate`). Raises as `Transport.exchange` does.
        """
        origin, authorizer = self._connect()
        url = path if "://" in path else f"{origin}{path}"
        redirects = logins = 0
        while True:
            # What opens one server is not shown to another.
            ours = Origin.of(url) == origin
            authorization = authorizer.header(scopes) if ours else ""
            sent = {"User-Agent": _AGENT, **headers, **({"Authorization": authorization} if authorization else {})}
            with self._transport.exchange(method, url, sent, body) as response:
                if response.status == 401 and ours:
                    content = response.read(limits.REFUSAL)
                    logins += 1
                    challenges = response.headers.get_all("WWW-Authenticate", [])
                    if logins > _MOST_LOGINS or not authorizer.learn(challenges, scopes, authorization):
                        reply = Reply(response.status, response.headers, content, url)
                        raise self.refusal(reply, f"{self._reference.name}: {method}")
                elif response.status in _REDIRECTS and method in ("GET", "HEAD") and redirects < limits.REDIRECTS:
                    response.read(limits.REFUSAL)
                    redirects += 1
                    url = self.locate(response, origin)
                else:
                    yield response
                    return

    def locate(self, response: Response | Reply, origin: Origin | None = None) -> str:
        """Return the absolute URL of the `Location` of a response.

        Raises BentoError if there is none, or it is unsafe.
        """
        location = response.headers.get("Location")
        if not location:
            raise BentoError(f"{self.host}: answers {response.status} without a Location. That is not the protocol.")
        return self._ours(resolve(response.url, location), origin)

    def _ours(self, url: str, origin: Origin | None = None) -> str:
        """Return a URL that the registry gave, encrypted as the registry is.

        Raises BentoError if that is not its meaning.
        """
        here, there = origin or self._connect()[0], Origin.of(url)
        if here.scheme == "https" and there.scheme == "http":
            if there.host != here.host:
                raise BentoError(f"{self.host}: sends us on to {there.host} without encryption. Refused.")
            # A registry behind a proxy that ends the encryption does not know of it.
            return url.replace(str(there), str(here), 1) if str(there) in url else f"https{url[4:]}"
        return url

    def next_page(self, reply: Reply, link: str) -> str:
        """Return the absolute URL of a link to the next page. Raises BentoError for one of another server."""
        url = self._ours(resolve(reply.url, link))
        if Origin.of(url) != self._connect()[0]:
            raise BentoError(f"{self.host}: has the next page of a list on {Origin.of(url)}, another server. Refused.")
        return url

    def refusal(self, reply: Reply, what: str) -> BentoError:
        """Return the error for a refusal."""
        return refusal(reply.status, reply.body, what, self.host)

    def unreachable(self, what: str, cut: ConnectionLostError) -> BentoError:
        """Return the error for a registry that does not answer, or for bytes to be sent that were cut."""
        if isinstance(cut, SourceLostError):
            return BentoError(f"{what}: {cut}, in several attempts. Is it up?")
        return BentoError(
            f"{what}: no connection to {self.host} held ({cut}), in several attempts. Is the registry up, and "
            f"does the way to it need a proxy (HTTPS_PROXY)?"
        )

    def _connect(self) -> tuple[Origin, Authorizer]:
        """Return the address of the API, which is found out once."""
        with self._lock:
            if self._origin is None or self._authorizer is None:
                self._origin = self._find_origin()
                self._authorizer = Authorizer(self._reference, self._origin, self._transport)
            return self._origin, self._authorizer

    def _find_origin(self) -> Origin:
        secure = Origin.of(f"https://{self._reference.api_host}")
        if not self._insecure and not is_loopback(secure.host):
            return secure
        plain = Origin.of(f"http://{self._reference.api_host}")
        try:
            self._greet(secure)
        except ConnectionLostError as cut:
            # 400 is what a server that waits for encryption answers.
            if self._greet(plain) == 400:
                raise cut from None
            return plain
        return secure

    def _greet(self, origin: Origin) -> int:
        """Return the status of the API's root."""
        with self._transport.exchange("GET", f"{origin}/v2/", {"User-Agent": _AGENT}) as response:
            response.read(limits.DOCUMENT)
            return response.status


@dataclass(frozen=True)
class Upload:
    """Describes an upload in progress: where the rest goes, and how many bytes the registry has."""

    url: str
    offset: int = 0
    smallest_chunk: int = 0  # bytes, of each chunk but the last


class Repository:
    """Sends the requests of the API for one repository.

    Methods raise as `Registry.request` does unless they say otherwise.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self.registry = registry
        self.name = name

    def __str__(self) -> str:
        return f"{self.registry.host}/{self.name}"

    @property
    def pull(self) -> frozenset[str]:
        """Return the scope of requests that read."""
        return frozenset({f"repository:{self.name}:pull"})

    @property
    def push(self) -> frozenset[str]:
        """Return the scope of requests that write."""
        return frozenset({f"repository:{self.name}:pull,push"})

    # Blobs

    def has_blob(self, digest: str, size: int) -> bool:
        """Return whether the blob is there, with that size; asked with the token that pushes, to need only one."""
        reply = self._ask("HEAD", f"blobs/{digest}", f"blob {digest}", {200, 404}, self.push)
        return reply.status == 200 and parse_nonnegative_int(reply.headers.get("Content-Length")) in (None, size)

    def mount_blob(self, digest: str, source: str) -> Upload | None:
        """Mount a blob of another repository; return the upload that has begun instead, where that did not work."""
        query = urlencode({"mount": digest, "from": source})
        scopes = self.push | {f"repository:{source}:pull"}
        reply = self._ask("POST", f"blobs/uploads/?{query}", f"mount of {digest}", {201, 202}, scopes)
        return None if reply.status == 201 else self._upload(reply)

    def start_upload(self) -> Upload:
        """Begin the upload of a blob."""
        return self._upload(self._ask("POST", "blobs/uploads/", "an upload", {202}, self.push))

    def upload_status(self, upload: Upload) -> Upload | None:
        """Return how many bytes of an upload the registry has; None if it does not know it any more."""
        # A server may say 404 or 400 of an upload that has ended, well or not.
        reply = self._ask("GET", upload.url, "an upload", {204, 200, 202, 404, 400, 410, 405}, self.push)
        if reply.status >= 400:
            return None
        last = _UPLOADED.fullmatch(reply.headers.get("Range", ""))
        # Of an upload without a byte, registries say 0-0, which also means one byte: none is the safe reading.
        offset = int(last[1]) + 1 if last and last[1] != "0" else 0
        url = self.registry.locate(reply) if "Location" in reply.headers else upload.url
        return Upload(url, offset, upload.smallest_chunk)

    def continued(self, upload: Upload, reply: Reply) -> Upload:
        """Return the upload after a chunk was taken (202).

        Raises BentoError for an answer that does not say how far it has come.
        """
        last = _UPLOADED.fullmatch(reply.headers.get("Range", ""))
        if last is None:
            raise BentoError(f"{self}: took a chunk without saying how far it has come. That is not the protocol.")
        url = self.registry.locate(reply) if "Location" in reply.headers else upload.url
        return Upload(url, int(last[1]) + 1, upload.smallest_chunk)

    @contextmanager
    def send_blob(self, upload: Upload, digest: str, body: Body) -> Iterator[Response]:
        """Send all of a blob, or the rest, and end the upload, whatever the status. Raises ConnectionLostError."""
        url = upload.url + ("&" if "?" in upload.url else "?") + urlencode({"digest": digest})
        headers = {"Content-Type": "application/octet-stream"}
        with self.registry.exchange("PUT", url, self.push, headers=headers, body=body) as response:
            yield response

    @contextmanager
    def send_chunk(self, upload: Upload, body: Body) -> Iterator[Response]:
        """Send the next bytes of a blob. Raises ConnectionLostError; the status is the caller's to judge."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{upload.offset}-{upload.offset + body.size - 1}",
        }
        with self.registry.exchange("PATCH", upload.url, self.push, headers=headers, body=body) as response:
            yield response

    @contextmanager
    def open_blob(self, digest: str, offset: int = 0) -> Iterator[Response]:
        """Yield a blob, from a byte on if the registry does that (206). Raises ConnectionLostError."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self.registry.exchange("GET", self._path(f"blobs/{digest}"), self.pull, headers=headers) as response:
            yield response

    def read_blob(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, verified. Raises BentoError for one of more than `limits.DOCUMENT` bytes, too."""
        what = f"blob {descriptor.digest}"
        if descriptor.size > limits.DOCUMENT:
            raise BentoError(f"{self}: {what}: has {descriptor.size} bytes; {limits.DOCUMENT} are read of such a one.")
        reply = self._ask("GET", f"blobs/{descriptor.digest}", what, {200}, self.pull, most=limits.DOCUMENT)
        return oci.verify(reply.body, descriptor.digest, str(self))

    # Manifests

    def manifest_digest(self, target: str) -> str:
        """Return the digest of what a tag or digest stands for; asked with the token that pushes.

        Empty if there is nothing, or the registry does not say.
        """
        headers = {"Accept": ", ".join(oci.MANIFESTS)}
        reply = self._ask("HEAD", f"manifests/{target}", f"manifest {target}", {200, 404}, self.push, headers=headers)
        return reply.headers.get("Docker-Content-Digest", "") if reply.status == 200 else ""

    def get_manifest(self, target: str) -> Manifest:
        """Return the manifest that a tag or digest stands for. Raises BentoError if it has not the digest."""
        reply = self._get_manifest(target, oci.MANIFESTS, f"manifest {target}", {200})
        origin = f"{self}: manifest {target}"
        stated = target if oci.is_digest(target) else reply.headers.get("Docker-Content-Digest", "")
        if oci.is_digest(stated):
            oci.verify(reply.body, stated, origin)
        return Manifest.read(reply.body, reply.headers.get("Content-Type", "").partition(";")[0].strip(), origin)

    def put_manifest(self, manifest: Manifest, target: str) -> bool:
        """Put a manifest under a tag or its digest; return whether the registry noted its subject, if it has one.

        Raises RegistryError for a refusal, BentoError where another digest was taken.
        """
        reply = self._ask(
            "PUT",
            f"manifests/{target}",
            f"manifest {target}",
            {201},
            self.push,
            headers={"Content-Type": manifest.descriptor.media_type},
            content=manifest.content,
        )
        stated = reply.headers.get("Docker-Content-Digest", manifest.descriptor.digest)
        if stated.partition(":")[0] == "sha256" and stated != manifest.descriptor.digest:
            raise BentoError(
                f"{self}: took the manifest {manifest.descriptor.digest} for {stated}. Something between us and the "
                f"registry changes what is sent."
            )
        return bool(reply.headers.get("OCI-Subject"))

    def tags(self) -> list[str]:
        """Return all tags, in the registry's order.

        Raises RegistryError for a refusal, BentoError for too many of them.
        """
        names: list[str] = []
        for reply in self._pages(f"tags/list?n={_PAGE}", "tags", {200}):
            names += map(str, self._listed(reply, "tags", "tags", len(names)))
        return names

    def referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """Return what refers to a manifest, or only what is of one type.

        Where the registry has no such API, the referrers tag is read. Raises RegistryError for a refusal, BentoError
        for too many of them.
        """
        descriptors: list[Descriptor] = []
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        for reply in self._pages(f"referrers/{digest}{query}", f"referrers of {digest}", {200, 404}):
            if reply.status == 404:
                descriptors = self.referrers_tag(digest)
                break
            listed = self._listed(reply, "manifests", "referrers", len(descriptors))
            descriptors += [Descriptor.from_json(item, str(self)) for item in listed]
        return [item for item in descriptors if not artifact_type or item.artifact_type == artifact_type]

    def referrers_tag(self, digest: str) -> list[Descriptor]:
        """Return what the referrers tag lists (distribution specification, `Referrers Tag Schema`)."""
        target = referrers_tag(digest)
        reply = self._get_manifest(target, (oci.INDEX,), f"referrers of {digest}", {200, 404})
        if reply.status == 404:
            return []
        return Manifest.read(reply.body, oci.INDEX, f"{self}: manifest {target}").children()

    def _get_manifest(self, target: str, types: Collection[str], what: str, expect: Collection[int]) -> Reply:
        headers = {"Accept": ", ".join(types)}
        return self._ask("GET", f"manifests/{target}", what, expect, self.pull, headers=headers, most=limits.MANIFEST)

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        expect: Collection[int],
        scopes: frozenset[str],
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        most: int = limits.REFUSAL,
    ) -> Reply:
        whole = path if "://" in path or path.startswith("/") else self._path(path)
        return self.registry.request(
            method, whole, scopes, expect=expect, what=f"{self}: {what}", headers=headers, content=content, most=most
        )

    def _path(self, path: str) -> str:
        return f"/v2/{self.name}/{quote(path, safe='/:?=&%+')}"

    def _upload(self, reply: Reply) -> Upload:
        return Upload(
            self.registry.locate(reply), 0, parse_nonnegative_int(reply.headers.get("OCI-Chunk-Min-Length")) or 0
        )

    def _json(self, reply: Reply, what: str) -> dict[str, Any]:
        try:
            return read_object(reply.body, str(self))
        except FormatError as error:
            raise BentoError(f"{error} It came where {what} are asked for.") from None

    def _listed(self, reply: Reply, key: str, what: str, before: int) -> list[Any]:
        """Return what one page lists. Raises BentoError for what is no list, and if all pages together are too long."""
        listed = self._json(reply, what).get(key) or []
        if not isinstance(listed, list) or before + len(listed) > limits.NAMES:
            raise BentoError(f"{self}: its {what} are no list, or one of more than {limits.NAMES}. Refused.")
        return listed

    def _pages(self, path: str, what: str, expect: Collection[int]) -> Iterator[Reply]:
        """Yield the pages of a list, one request to each (RFC 8288).

        Raises BentoError if they lead elsewhere, or back.
        """
        seen: set[str] = set()
        size = 0
        following: str | None = path
        while following is not None:
            if following in seen:
                raise BentoError(f"{self}: its {what} have a next page that was there before. Ask its owner.")
            seen.add(following)
            reply = self._ask("GET", following, what, expect, self.pull, most=limits.DOCUMENT)
            size += len(reply.body)
            if len(seen) > limits.PAGES or size > limits.LISTING:
                raise BentoError(f"{self}: its {what} have more than {limits.PAGES} pages, or {limits.LISTING} bytes.")
            yield reply
            link = next_link(reply.headers.get("Link"))
            following = None if link is None else self.registry.next_page(reply, link)


def referrers_tag(digest: str) -> str:
    """Return what the referrers tag lists (distribution specification, `Referrers Tag Schema`)."""
    return digest.replace(":", "-", 1)[:128]
