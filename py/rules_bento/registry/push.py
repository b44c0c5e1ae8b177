"""Sends an image, index or artifact to repositories: only what they lack, several blobs at once, manifests last."""

from __future__ import annotations

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.net import transfers
from rules_bento.registry import referrers
from rules_bento.registry.errors import RegistryError
from rules_bento.registry.upload import upload
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Descriptor, Manifest
    from rules_bento.registry.pushable import Package
    from rules_bento.registry.reference import Reference
    from rules_bento.registry.upload import Outcome


# Error codes of a registry that lacks blobs of a manifest (distribution specification, `Error Codes`).
_UNKNOWN_BLOBS = frozenset({"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"})

# Repositories that are tried for a blob which earlier pushes have left there.
_MOST_MOUNTS = 3


class Pushed(NamedTuple):
    """Counts what a push took: `sent` and `mounted` of `blobs` in all; `size` is the bytes that were sent."""

    reference: Reference  # by digest
    blobs: int
    sent: int
    mounted: int
    size: int


def push(
    package: Package,
    targets: Iterable[Reference],
    registries: Registries,
    counter: Counter,
    *,
    jobs: int = transfers.JOBS,
    check_blobs: bool = False,
) -> list[Pushed]:
    """Push to repositories, each under its tags (or under the digest alone); one entry for each repository.

    A blob is sent once to each registry and mounted into its other repositories. Where the manifests are, their blobs
    are not asked for, but with `check_blobs`. A tag that stands for the manifest already is left alone. Raises
    BentoError and RegistryError; no tag is moved before all that it needs is there.
    """
    blobs = package.blobs()
    tags: dict[Reference, list[str]] = {}
    for target in targets:
        tags.setdefault(target.with_digest(package.root.descriptor.digest), []).extend(filter(None, [target.tag]))
    pushed: list[Pushed] = []
    for reference, names in tags.items():
        before = [*(earlier.reference.name for earlier in pushed), *package.mount_from]
        delivery = _Delivery(registries.repository(reference), reference, package, before, check_blobs)
        outcomes = delivery.deliver(blobs, names, counter, jobs)
        sent = [blob.size for blob, outcome in zip(blobs, outcomes, strict=True) if outcome == "sent"]
        pushed.append(Pushed(reference, len(blobs), len(sent), outcomes.count("mounted"), sum(sent)))
    return pushed


class _Delivery(NamedTuple):
    """Delivers a package to one repository."""

    repository: Repository
    reference: Reference
    package: Package
    mount_from: Sequence[str]
    check_blobs: bool  # whether each is asked for although the manifests are there

    def is_there(self) -> bool:
        """Return whether the registry has all manifests, and so all that they need: it took none without."""
        return all(
            self.repository.manifest_digest(manifest.descriptor.digest) == manifest.descriptor.digest
            for manifest in reversed(self.package.manifests())
        )

    def deliver(self, blobs: Sequence[Descriptor], names: Sequence[str], counter: Counter, jobs: int) -> list[Outcome]:
        """Send blobs, then manifests, then tags: what happened to each blob. Raises BentoError and RegistryError.

        While somebody else commits the same blob, a registry may take it for there and for unknown in turn (docker's
        writes the link to a blob again, and it is empty for a moment). So a manifest that is refused for its blobs is
        put again, after they were looked at once more.
        """
        retry = self.repository.registry.retry()
        outcomes: list[Outcome] = ["there"] * len(blobs)
        while True:
            try:
                if self.check_blobs or not self.is_there():
                    tried = transfers.parallel_map(self.blob, blobs, counter, jobs)
                    outcomes = [old if new == "there" else new for old, new in zip(outcomes, tried, strict=True)]
                    self.manifests(tagged=bool(names))
                for name in names:
                    self.manifest(self.package.root, name)
                return outcomes
            except RegistryError as error:
                if _UNKNOWN_BLOBS.isdisjoint(error.codes) or not retry.again():
                    raise

    def blob(self, blob: Descriptor, counter: Counter) -> Outcome:
        source = self.package.sources[blob.digest]
        names = [*self.mount_from, *self.package.mounts.get(blob.digest, ())[:_MOST_MOUNTS]]
        here = [name.partition("/")[2] for name in names if name.startswith(f"{self.reference.registry}/")]
        others = [name for name in dict.fromkeys(here) if name != self.reference.repository]
        return upload(self.repository, blob.digest, blob.size, source, counter, mount_from=others)

    def manifests(self, *, tagged: bool) -> None:
        """Put them there by their digests; the root by its tags alone, if it has some."""
        for manifest in self.package.children if tagged else self.package.manifests():
            self.manifest(manifest, manifest.descriptor.digest)

    def manifest(self, manifest: Manifest, target: str) -> None:
        """Put it there under a tag or its digest."""
        # Some registries refuse to write a tag again, even with what it has.
        if self.repository.manifest_digest(target) == manifest.descriptor.digest:
            return
        noted = self.repository.put_manifest(manifest, target)
        if manifest.subject and not noted:
            referrers.list_in_tag(self.repository, manifest.subject.digest, manifest)
