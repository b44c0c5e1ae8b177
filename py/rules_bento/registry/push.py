"""Pushes an image, index, or artifact to repositories: only missing blobs, in parallel, and manifests last."""

from __future__ import annotations

from rules_bento.dataclasses_lite import NamedTuple, replace
from rules_bento.net import transfers
from rules_bento.registry import descriptor as oci
from rules_bento.registry.client import referrers_tag
from rules_bento.registry.descriptor import Manifest
from rules_bento.registry.errors import RegistryError
from rules_bento.registry.upload import upload
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Descriptor
    from rules_bento.registry.pushable import Pushable
    from rules_bento.registry.reference import Reference
    from rules_bento.registry.upload import BlobOutcome


# Error codes for missing blobs of a manifest (distribution specification, `Error Codes`).
_UNKNOWN_BLOBS = frozenset({"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"})

# Repositories from which a mount of a blob of earlier pushes is tried.
_MAX_MOUNTS = 3


class PushResult(NamedTuple):
    """Counts the blobs of a push: `sent` and `mounted` of `blobs` in total; `size` is the number of sent bytes."""

    reference: Reference  # with digest
    blobs: int
    sent: int
    mounted: int
    size: int


def push(
    package: Pushable,
    targets: Iterable[Reference],
    registries: Registries,
    counter: Counter,
    *,
    jobs: int = transfers.JOBS,
    check_blobs: bool = False,
) -> list[PushResult]:
    """Push to repositories, with their tags or only by digest; return one result for each repository.

    A blob is sent once to each registry and mounted into its other repositories. If the manifests exist, their blobs
    are checked only with `check_blobs`. An unchanged tag isn't written again. Raises BentoError and RegistryError; a
    tag is written only after all of its blobs and manifests.
    """
    blobs = package.blobs()
    tags: dict[Reference, list[str]] = {}
    for target in targets:
        tags.setdefault(target.with_digest(package.root.descriptor.digest), []).extend(filter(None, [target.tag]))
    pushed: list[PushResult] = []
    for reference, names in tags.items():
        before = [*(earlier.reference.name for earlier in pushed), *package.mount_from]
        repository_push = _RepositoryPush(registries.repository(reference), reference, package, before, check_blobs)
        outcomes = repository_push.push(blobs, names, counter, jobs)
        sent = [blob.size for blob, outcome in zip(blobs, outcomes, strict=True) if outcome == "sent"]
        pushed.append(PushResult(reference, len(blobs), len(sent), outcomes.count("mounted"), sum(sent)))
    return pushed


class _RepositoryPush(NamedTuple):
    """Pushes to one repository."""

    repository: Repository
    reference: Reference
    package: Pushable
    mount_from: Sequence[str]
    check_blobs: bool  # check each blob even if the manifests exist

    def has_manifests(self) -> bool:
        """Return whether the registry has all manifests, and therefore all of their blobs."""
        return all(
            self.repository.manifest_digest(manifest.descriptor.digest) == manifest.descriptor.digest
            for manifest in reversed(self.package.manifests())
        )

    def push(self, blobs: Sequence[Descriptor], names: Sequence[str], counter: Counter, jobs: int) -> list[BlobOutcome]:
        """Send blobs, then manifests, then tags; return each blob's outcome. Raises BentoError and RegistryError.

        While another client commits the same blob, a registry can report it as existing and as unknown alternately
        (docker's registry empties the link for a moment). So a manifest that is rejected for missing blobs is put
        again, after another check of the blobs.
        """
        retry = self.repository.registry.retry()
        outcomes: list[BlobOutcome] = ["exists"] * len(blobs)
        while True:
            try:
                if self.check_blobs or not self.has_manifests():
                    tried = transfers.parallel_map(self.blob, blobs, counter, jobs)
                    outcomes = [old if new == "exists" else new for old, new in zip(outcomes, tried, strict=True)]
                    self.manifests(tagged=bool(names))
                for name in names:
                    self.manifest(self.package.root, name)
                return outcomes
            except RegistryError as error:
                if _UNKNOWN_BLOBS.isdisjoint(error.codes) or not retry.again():
                    raise

    def blob(self, blob: Descriptor, counter: Counter) -> BlobOutcome:
        source = self.package.sources[blob.digest]
        names = [*self.mount_from, *self.package.mounts.get(blob.digest, ())[:_MAX_MOUNTS]]
        here = [name.partition("/")[2] for name in names if name.startswith(f"{self.reference.registry}/")]
        others = [name for name in dict.fromkeys(here) if name != self.reference.repository]
        return upload(self.repository, blob.digest, blob.size, source, counter, mount_from=others)

    def manifests(self, *, tagged: bool) -> None:
        """Put the manifests by digest; the root only by its tags, if it has any."""
        for manifest in self.package.children if tagged else self.package.manifests():
            self.manifest(manifest, manifest.descriptor.digest)

    def manifest(self, manifest: Manifest, target: str) -> None:
        """Put a manifest under a tag or its digest."""
        # Some registries reject writing a tag again, even if it is unchanged.
        if self.repository.manifest_digest(target) == manifest.descriptor.digest:
            return
        noted = self.repository.put_manifest(manifest, target)
        if manifest.subject and not noted:
            _add_to_referrers_tag(self.repository, manifest.subject.digest, manifest)


def _add_to_referrers_tag(repository: Repository, subject: str, manifest: Manifest) -> None:
    """Add a manifest to the index under the referrers tag of the digest `subject`.

    Concurrent calls can lose an entry: the specification has no remedy. Raises as `Repository` does.
    """
    listed = repository.referrers_tag(subject)
    if any(item.digest == manifest.descriptor.digest for item in listed):
        return
    artifact_type = manifest.descriptor.artifact_type or manifest.config.media_type
    listed.append(replace(manifest.descriptor, artifact_type=artifact_type))
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [item.to_json() for item in listed]}
    index = Manifest.read(oci.to_bytes(document), oci.INDEX, str(repository))
    repository.put_manifest(index, referrers_tag(subject))
