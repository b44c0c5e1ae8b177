"""Pushes images, indexes, and artifacts to repositories. Sends only missing blobs, in parallel, before manifests."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field, replace
from rules_bento.base.display import format_size
from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, terminal, transfers
from rules_bento.base.net.transfers import TRANSIENT, Progress, StoppedError, retry_after
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Literal, Sequence
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import BlobSource, BodyPart, Pushable
from rules_bento.images.registry.client import Registries, Reply, Repository, referrers_tag
from rules_bento.images.registry.descriptor import Descriptor, Manifest

if TYPE_CHECKING:
    from rules_bento.images.registry.push_records import Upload
    from rules_bento.images.registry.reference import Reference


BlobOutcome = Literal["mounted", "sent"]  # outcome of a blob: how the repository received it
# Larger blobs are sent as chunks: registries keep the received part of a chunk, but not always of a PUT.
_MAX_SINGLE_REQUEST = 4 << 20  # bytes
# Bytes of a chunk after the registry rejected a larger body with 413, or a larger range with 416 (GHCR accepts 4 MiB);
# halved down to _MIN_CHUNK.
_MAX_CHUNKS = {413: 32 << 20, 416: 4 << 20}
_MIN_CHUNK = 1 << 20
_MAX_DIGEST_ERRORS = 4  # attempts if the registry reports a wrong digest of a correct blob
_GONE = (404, 410)  # the upload or the repository no longer exists


def upload(
    repository: Repository,
    digest: str,
    size: int,
    source: BlobSource,
    counter: Progress,
    *,
    mount_from: Sequence[str] = (),
) -> BlobOutcome:
    """Mount a missing blob from a repository in `mount_from`, or upload the blob. Returns the outcome."""
    kept = repository.registry.interrupted.take(str(repository), digest) if size > _MAX_SINGLE_REQUEST else None
    started = repository.upload_status(kept) if kept else None
    for other in mount_from if started is None else ():
        try:
            unmounted = repository.mount_blob(digest, other)
        except RegistryError:  # missing, or not readable for this user: upload the blob
            continue
        if started:
            repository.cancel_upload(started)
        started = unmounted
        if started is None:
            return "mounted"
    _BlobUpload(repository, digest, size, source, counter).run(started)
    return "sent"


class _BlobUpload:
    def __init__(self, repository: Repository, digest: str, size: int, source: BlobSource, counter: Progress) -> None:
        self._repository = repository
        self._digest = digest
        self._size = size
        self._source = source
        self._count = counter.tally()
        self._retry = repository.registry.retry()
        self._in_chunks = size > _MAX_SINGLE_REQUEST
        self._interrupted = False
        self._lost = False  # whether all attempts to connect failed
        self._chunk_size = size  # bytes of a chunk
        self._max_offset = 0
        self._digest_errors = 0

    def run(self, current: Upload | None) -> None:
        """Upload the blob. If `current` is set, continues this unfinished upload.

        Keeps the address of a large upload that is interrupted, and cancels another upload that fails.
        """
        self._current = current
        self._interrupted = bool(current and current.offset)
        try:
            while not self._advance():
                pass
        except BaseException as error:
            interrupted = error.interrupted if isinstance(error, StoppedError) else not isinstance(error, Exception)
            if self._size <= _MAX_SINGLE_REQUEST or not (self._lost or interrupted) or not self._keep():
                self._cancel()
            raise
        self._count(self._size)

    def _advance(self) -> bool:
        """Send the rest of the blob, or a chunk. Returns whether the registry has the blob."""
        current = self._current = self._current or self._repository.start_upload()
        self._count(current.offset)
        reply = None
        try:
            reply = self._send_rest_or_chunk(current)
        except ConnectionLostError as cut:
            if not self._retry.again(cut.retry_after, timed_out=cut.timed_out):
                self._lost = True
                raise cut.error or self._repository.registry.connection_error(self._what, cut) from None
        if reply and reply.status == 201:
            return True
        if reply and reply.status == 202:
            self._current = self._after_chunk(current, reply)
            return False
        is_resumable = reply is None or self._can_resume(reply)
        self._in_chunks = self._interrupted = True
        if is_resumable:
            self._current = self._status(current)
        else:
            self._cancel()
        return self._current is None and self._repository.has_blob(self._digest, self._size)

    def _keep(self) -> bool:
        """Keep the upload for the next push. Returns False if the registry has no part of the blob."""
        current = self._current
        if current and not self._lost:
            current = self._repository.last_upload_status(current)
        return self._repository.registry.interrupted.keep(str(self._repository), self._digest, current)

    def _cancel(self) -> None:
        if self._current:
            self._repository.cancel_upload(self._current)
        self._current = None

    @property
    def _what(self) -> str:
        return f"{self._repository}: blob {self._digest}"

    def _send_rest_or_chunk(self, current: Upload) -> Reply:
        if self._in_chunks and current.offset < self._size:
            end = min(current.offset + max(self._chunk_size, current.smallest_chunk), self._size)
            # As other clients do, the first request streams the blob without a range. Some registries limit ranges.
            is_stream = end - current.offset == self._size and not self._interrupted
            part = BodyPart(self._source, current.offset, end, self._count)
            sending = self._repository.send_chunk(current, part, has_range=not is_stream)
        else:
            rest = BodyPart(self._source, current.offset, self._size, self._count)
            sending = self._repository.send_blob(current, self._digest, rest)
        with sending as response:
            return Reply.read(response)

    def _after_chunk(self, current: Upload, reply: Reply) -> Upload:
        upload = self._repository.after_chunk(current, reply)
        if not current.offset < upload.offset <= self._size and not self._retry.again():
            raise BentoError(f"the upload stopped at byte {upload.offset}", place=self._what, remedy="Try again later.")
        self._record_progress(upload)
        return upload if upload.offset <= self._size else current

    def _status(self, current: Upload) -> Upload | None:
        upload = self._repository.upload_status(current)
        if upload and upload.offset > self._size:
            self._cancel()
            return None
        if upload:
            self._record_progress(upload)
        return upload

    def _record_progress(self, upload: Upload) -> None:
        if upload.offset > self._max_offset:
            self._retry.progressed(upload.offset - self._max_offset)
            self._max_offset = upload.offset

    def _can_resume(self, reply: Reply) -> bool:
        """Return True to resume a failed upload, or False to restart it. Raises RegistryError for permanent errors."""
        largest = _MAX_CHUNKS.get(reply.status, 0)
        if largest and self._chunk_size > _MIN_CHUNK:
            self._chunk_size = largest if self._chunk_size > largest else max(_MIN_CHUNK, self._chunk_size // 2)
            return True
        # After an interruption the registry might have received the bytes in transit, and then the rest again.
        wrong_digest = reply.status == 400 and (b"DIGEST_INVALID" in reply.body or self._interrupted)
        if wrong_digest:
            self._source.check(self._digest, self._size)  # a correct blob was changed in transit
            self._digest_errors += 1
            self._max_offset = 0
        passing = wrong_digest or reply.status in (*TRANSIENT, *_GONE, 416)
        if not passing or self._digest_errors > _MAX_DIGEST_ERRORS or not self._retry.again(retry_after(reply.headers)):
            raise self._repository.registry.response_error(reply, self._what)
        return not wrong_digest and reply.status not in _GONE


# Error codes for missing blobs of a manifest (distribution specification, `Error Codes`).
_UNKNOWN_BLOBS = frozenset({"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"})
# Error codes for an existing manifest whose blobs are lost. zot reports such a manifest as invalid.
_LOST_BLOBS = _UNKNOWN_BLOBS | {"MANIFEST_INVALID"}

# Repositories from which a mount of a blob of earlier pushes is tried.
_MAX_MOUNTS = 3


class PushResult(NamedTuple):
    """The result of a push to one repository. `size` and `mounted_size` are bytes. The other numbers count blobs."""

    reference: Reference  # with digest
    tags: tuple[str, ...]  # created or updated
    blobs: int
    sent: int
    mounted: int
    size: int  # of sent blobs
    mounted_size: int = 0


def push(
    package: Pushable,
    targets: Iterable[Reference],
    registries: Registries,
    counter: Progress,
    *,
    jobs: int = transfers.JOBS,
    check_blobs: bool = False,
) -> list[PushResult]:
    """Push `package` to the tags or digests in `targets`, tags last. Returns one result for each repository."""
    [results] = push_all([(package, targets)], registries, counter, jobs=jobs, check_blobs=check_blobs)
    return results


def push_all(
    pushes: Iterable[tuple[Pushable, Iterable[Reference]]],
    registries: Registries,
    counter: Progress,
    *,
    jobs: int = transfers.JOBS,
    check_blobs: bool = False,
) -> list[list[PushResult]]:
    """Push several images or artifacts, each to its targets. Returns one list of results for each item in `pushes`.

    Sends each blob to one repository of each registry, and mounts the blob in the other repositories. Uploads all blobs
    before the manifests. If a repository already has all manifests of an item and reports no missing blobs, checks the
    blobs only if `check_blobs` is true.
    """
    all_pushes = [_repository_pushes(package, targets, registries, counter) for package, targets in pushes]
    every = [push for of_package in all_pushes for push in of_package]
    if not check_blobs:
        transfers.parallel_map(_RepositoryPush.check, every, jobs)
    try:
        _send_blobs([push for push in every if not push.is_complete], jobs)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(registries.interrupted.message()) from None
    transfers.parallel_map(_RepositoryPush.write_manifests, every, jobs)
    return [[push.result() for push in of_package] for of_package in all_pushes]


def _repository_pushes(
    package: Pushable, targets: Iterable[Reference], registries: Registries, counter: Progress
) -> list[_RepositoryPush]:
    tags: dict[Reference, dict[str, None]] = {}
    for target in targets:
        names = tags.setdefault(target.with_digest(package.root.descriptor.digest), {})
        names |= dict.fromkeys(filter(None, [target.tag]))
    blobs = package.blobs()
    return [
        _RepositoryPush(registries.repository(reference), reference, package, blobs, tuple(names), counter)
        for reference, names in tags.items()
    ]


def _send_blobs(pushes: Sequence[_RepositoryPush], jobs: int) -> None:
    """Send each missing blob to one repository in each registry, and mount the blob in the other repositories."""
    first: dict[tuple[str, str], tuple[_RepositoryPush, Descriptor]] = {}
    others: list[tuple[_RepositoryPush, Descriptor, str]] = []
    for push in pushes:
        for blob in push.blobs:
            owner, _ = first.setdefault((push.reference.registry, blob.digest), (push, blob))
            if owner is not push:
                others.append((push, blob, owner.reference.name))
    largest = sorted(first.values(), key=lambda item: -item[1].size)
    found = transfers.parallel_map(lambda item: item[0].has(item[1]), largest, jobs)
    missing = [item for item, exists in zip(largest, found, strict=True) if not exists]
    if missing:
        missing[0][0].counter.expect_all(sum(blob.size for _, blob in missing))
    transfers.parallel_map(lambda item: item[0].send_missing(item[1]), missing, jobs)
    transfers.parallel_map(lambda item: item[0].send_blob(item[1], item[2]), others, jobs)


@dataclass
class _RepositoryPush:
    repository: Repository
    reference: Reference  # with digest
    package: Pushable
    blobs: Sequence[Descriptor]
    tags: tuple[str, ...]
    counter: Progress
    outcomes: dict[str, BlobOutcome] = field(default_factory=dict)  # by digest; blobs that exist can be missing
    is_complete: bool = False

    def check(self) -> None:
        """Set `is_complete` if the registry contains all manifests and doesn't report missing blobs.

        Registries report missing blobs only when a manifest is uploaded. Therefore, if all manifests exist, this method
        uploads the manifests again.
        """
        manifests = self.package.manifests()
        if any(
            self.repository.manifest_digest(manifest.descriptor.digest) != manifest.descriptor.digest
            for manifest in reversed(manifests)
        ):
            return
        try:
            for manifest in manifests:
                self._write(manifest, manifest.descriptor.digest)
        except RegistryError as error:  # some registries never accept a manifest again
            self.is_complete = _LOST_BLOBS.isdisjoint(error.codes)
        else:
            self.is_complete = True

    def has(self, blob: Descriptor) -> bool:
        """Return whether the repository contains a blob."""
        return self.repository.has_blob(blob.digest, blob.size)

    def send_blob(self, blob: Descriptor, mount_from: str = "") -> None:
        """Send or mount a blob unless the repository contains it."""
        if not self.has(blob):
            self.send_missing(blob, mount_from)

    def send_missing(self, blob: Descriptor, mount_from: str = "") -> None:
        """Send or mount a blob that the repository doesn't contain."""
        mounts = self.package.mounts.get(blob.digest, ())[:_MAX_MOUNTS]
        names = [*filter(None, [mount_from]), *self.package.mount_from, *mounts]
        here = [name.partition("/")[2] for name in names if name.startswith(f"{self.reference.registry}/")]
        repositories = [name for name in dict.fromkeys(here) if name != self.reference.repository]
        source = self.package.sources[blob.digest]
        outcome = upload(self.repository, blob.digest, blob.size, source, self.counter, mount_from=repositories)
        self.outcomes[blob.digest] = outcome
        terminal.step(f"{self.repository}: {outcome} blob {blob.digest} ({format_size(blob.size)})")
        if outcome == "mounted" and not mount_from:  # otherwise, the total doesn't include the blob
            self.counter.advance(blob.size, is_moved=False)

    def write_manifests(self) -> None:
        """Upload missing manifests, and then tags. If the registry lacks a blob, sends all blobs and retries."""
        retry = self.repository.registry.retry()
        # Without tags, the root has only its digest.
        untagged = [] if self.is_complete else self.package.children if self.tags else self.package.manifests()
        while True:
            try:
                for manifest in untagged:
                    self._put(manifest, manifest.descriptor.digest)
                for tag in self.tags:
                    self._put(self.package.root, tag)
                return
            except RegistryError as error:
                # While another client commits a blob, docker's registry can report it as existing and as unknown.
                if _UNKNOWN_BLOBS.isdisjoint(error.codes) or not retry.again():
                    raise
            for blob in self.blobs:
                self.send_blob(blob)

    def _put(self, manifest: Manifest, target: str) -> None:
        """Upload a manifest as `target` (a tag or the digest), unless `target` already refers to the manifest."""
        # Some registries reject writing a tag again, even if it is unchanged.
        if self.repository.manifest_digest(target) == manifest.descriptor.digest:
            return
        self._write(manifest, target)

    def _write(self, manifest: Manifest, target: str) -> None:
        noted = self.repository.put_manifest(manifest, target)
        if manifest.subject and not noted:
            _add_to_referrers_tag(self.repository, manifest.subject.digest, manifest)

    def result(self) -> PushResult:
        """Return the result of this push."""
        mounted, sent = (
            [blob.size for blob in self.blobs if self.outcomes.get(blob.digest) == outcome]
            for outcome in ("mounted", "sent")
        )
        counts = len(self.blobs), len(sent), len(mounted), sum(sent), sum(mounted)
        return PushResult(self.reference, self.tags, *counts)


def _add_to_referrers_tag(repository: Repository, subject: str, manifest: Manifest) -> None:
    """Add a manifest to the index that has the referrers tag of `subject`. Concurrent calls can lose an entry."""
    listed = repository.referrers_tag(subject)
    if any(item.digest == manifest.descriptor.digest for item in listed):
        return
    artifact_type = manifest.descriptor.artifact_type or manifest.config.media_type
    listed.append(replace(manifest.descriptor, artifact_type=artifact_type))
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [item.to_json() for item in listed]}
    index = Manifest.read(oci.to_bytes(document), oci.INDEX, str(repository))
    repository.put_manifest(index, referrers_tag(subject))
