"""Describes what is pushed: manifests of an image, an index or an artifact, and the sources of their blobs."""

from __future__ import annotations

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rules_bento.registry.blob_sources import Source
    from rules_bento.registry.descriptor import Descriptor, Manifest


@dataclass(frozen=True)
class Package:
    """Holds what is pushed: a manifest, those that it lists (if it is an index), and the source of each blob.

    `mount_from` are names (`registry/repository`) where the blobs, or some of them, may be already; `mounts` are those
    where single ones may be, by digest.
    """

    root: Manifest
    children: Sequence[Manifest] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)  # by digest
    mount_from: Sequence[str] = ()
    mounts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def manifests(self) -> list[Manifest]:
        """Return all manifests, those that are listed before those that list them."""
        return [*self.children, self.root]

    def blobs(self) -> list[Descriptor]:
        """Return each blob of the manifests once, the largest first. Raises BentoError if one has no source."""
        blobs = {blob.digest: blob for manifest in self.manifests() for blob in manifest.blobs()}
        known = {manifest.descriptor.digest for manifest in self.manifests()}
        listed = {child.digest for manifest in self.manifests() for child in manifest.children()}
        for digest in sorted((blobs.keys() - self.sources.keys()) | (listed - known)):
            raise BentoError(
                f"{self.root.descriptor.digest}: {digest} is part of it, but was not given. Build it again."
            )
        return sorted(blobs.values(), key=lambda blob: -blob.size)
