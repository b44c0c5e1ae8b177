"""Pulls images and artifacts into a layout. Shallow pulls omit the layers, which `fetch_blobs` can fetch later."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, transfers
from rules_bento.net.headers import content_range
from rules_bento.net.transfers import TRANSIENT, Tally, open_partial, retry_after
from rules_bento.registry import descriptor as oci
from rules_bento.registry.client import Reply
from rules_bento.typing_lite import (
    TYPE_CHECKING,
    Any,
    BinaryIO,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
    TypeVar,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.net.transfers import Counter
    from rules_bento.net.transport import Response
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Descriptor, Manifest
    from rules_bento.registry.layout import Layout
    from rules_bento.registry.reference import Reference

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def find_manifest(references: Sequence[Reference], registries: Registries) -> tuple[Repository, Manifest]:
    """Return the first available reference's repository and manifest. If none is available, raises the last error."""

    def find(reference: Reference) -> tuple[Repository, Manifest]:
        repository = registries.repository(reference)
        return repository, repository.get_manifest(reference.target)

    return _first(find, references)


def _first(attempt: Callable[[_Item], _Result], items: Sequence[_Item]) -> _Result:
    for item in items[:-1]:
        try:
            return attempt(item)
        except BentoError:
            continue  # a mirror can lack it or be down
    return attempt(items[-1])


def pull(
    references: Sequence[Reference],
    layout: Layout,
    registries: Registries,
    counter: Counter,
    *,
    platforms: Collection[str] = (),
    lenient: bool = False,
    shallow: bool = False,
    name: str = "",
) -> Manifest:
    """Pull an image or index into a layout as `name`. Returns the manifest.

    Tries `references` in order. The last reference is the origin, and other references are mirrors. `platforms`
    (`os/architecture[/variant]`; default: all) selects images in an index. If `lenient` is true, skips missing
    platforms, and fails only if all platforms are missing. If `shallow` is true, omits the layers. Raises BentoError,
    or RegistryError (a subclass) for an error response.
    """
    repository, root = find_manifest(references, registries)
    chosen = select_platforms(root, platforms, str(references[-1]), lenient=lenient)
    manifests = [*oci.collect_manifests(chosen, lambda entry: repository.get_manifest(entry.digest)), root]
    for manifest in manifests:
        layout.add(manifest.content)
    blobs = [blob for manifest in manifests for blob in manifest.blobs()]
    configs = {manifest.config.digest for manifest in manifests if not manifest.is_index}
    wanted = [blob for blob in blobs if not shallow or blob.digest in configs]
    fetch_blobs(wanted, [repository, *map(registries.repository, references)], layout, counter)
    with layout.lock():
        layout.add_manifest(root, name)
    return root


def fetch_blobs(
    blobs: Iterable[Descriptor],
    repositories: Sequence[Repository],
    layout: Layout,
    counter: Counter,
    *,
    jobs: int = transfers.JOBS,
) -> None:
    """Download each missing blob from the first repository that contains it. Raises the same errors as `pull`."""

    def one(blob: Descriptor, counter: Counter) -> None:
        _first(lambda repository: download(repository, blob, layout.blob(blob.digest), counter), repositories)

    missing = {blob.digest: blob for blob in blobs if not layout.has(blob)}
    transfers.parallel_map(one, sorted(missing.values(), key=lambda blob: -blob.size), counter, jobs)


def select_platforms(
    root: Manifest, platforms: Collection[str], origin: str, *, lenient: bool = False
) -> list[Descriptor]:
    """Return the index entries for `platforms` (default: all).

    Raises BentoError for a missing platform. If `lenient` is true, raises BentoError only if all platforms are missing.
    """
    entries = root.children()
    if not platforms or not root.is_index:
        return entries
    by_platform = {
        platform: [entry for entry in entries if _matches(entry.platform, platform)] for platform in platforms
    }
    lacking = [platform for platform, entries in by_platform.items() if not entries]
    if lacking and not (lenient and len(lacking) < len(by_platform)):
        there = ", ".join(sorted({_name(entry.platform) for entry in entries})) or "none"
        raise BentoError(f"{origin}: no image for {' or '.join(lacking)}. Valid platforms: {there}.")
    return [entry for entries in by_platform.values() for entry in entries[:1]]


def _matches(platform: Mapping[str, Any], wanted: str) -> bool:
    parts = wanted.split("/")
    offered = [platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", "")]
    return offered[: len(parts)] == parts


def _name(platform: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (platform.get(key, "") for key in ("os", "architecture", "variant"))))


def download(repository: Repository, blob: Descriptor, path: Path, counter: Counter) -> None:
    """Download a blob to `path`. Raises the same errors as `Registry.request`, and BentoError for invalid content."""
    with open_partial(path) as file:
        if file:
            counter.expect(blob.size)
            _BlobDownload(repository, blob, file, Tally(counter)).run()


class _BlobDownload:
    def __init__(self, repository: Repository, blob: Descriptor, file: BinaryIO, tally: Tally) -> None:
        self._repository = repository
        self._blob = blob
        self._file = file
        self._tally = tally
        self._retry = repository.registry.retry()
        self._hash = oci.new_hash(blob.digest)
        self._offset = self._max_offset = 0

    def run(self) -> None:
        """Download the missing part of the blob. Resumes after lost connections."""
        self._resume_partial()
        while not self._complete():
            try:
                with self._repository.open_blob(self._blob.digest, self._offset) as response:
                    self._receive(response)
            except ConnectionLostError as cut:
                if not self._retry.again():
                    raise self._repository.registry.connection_error(self._what, cut) from None

    @property
    def _what(self) -> str:
        return f"{self._repository}: blob {self._blob.digest}"

    def _resume_partial(self) -> None:
        self._file.seek(0)
        while piece := self._file.read(1 << 20):
            self._hash.update(piece)
            self._offset += len(piece)
        self._tally.move_to(self._offset)

    def _complete(self) -> bool:
        if self._offset < self._blob.size:
            return False
        if self._offset == self._blob.size and self._hash.hexdigest() == self._blob.digest.partition(":")[2]:
            return True
        self._restart()
        if not self._retry.again():
            raise BentoError(
                f"{self._what}: the content doesn't match the digest. Report the error to the registry operator."
            )
        return False

    def _restart(self) -> None:
        self._file.truncate(0)
        self._hash = oci.new_hash(self._blob.digest)
        self._offset = 0
        self._tally.move_to(0)

    def _receive(self, response: Response) -> None:
        if response.status not in (200, 206):
            self._handle_error(response)
            return
        if response.status == 200 and self._offset:
            self._restart()
        came = content_range(response.headers.get("Content-Range"))
        if response.status == 206 and (came is None or came.first != self._offset):
            self._restart()
            raise ConnectionLostError("the response doesn't start at the requested byte")
        for piece in response.pieces():
            if self._offset + len(piece) > self._blob.size:
                self._offset += len(piece)  # too long: `_complete` handles it
                return
            self._file.write(piece)
            self._hash.update(piece)
            self._offset += len(piece)
            self._tally.advance(len(piece))
            if self._offset > self._max_offset:
                self._retry.progressed(self._offset - self._max_offset)
                self._max_offset = self._offset
        if self._offset < self._blob.size:
            raise ConnectionLostError(f"the response ended after {self._offset} of {self._blob.size} bytes")

    def _handle_error(self, response: Response) -> None:
        reply = Reply.read(response)
        if reply.status == 416:
            self._restart()
        if (reply.status != 416 and reply.status not in TRANSIENT) or not self._retry.again(retry_after(reply.headers)):
            raise self._repository.registry.response_error(reply, self._what)
