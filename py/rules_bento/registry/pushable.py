"""Content of a push: manifests of an image, index, or artifact, and the sources of their blobs."""

from __future__ import annotations

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rules_bento.registry.blob_sources import BlobSource
    from rules_bento.registry.descriptor import Descriptor, Manifest


@dataclass(frozen=True)
class Pushable:
    """Holds the content of a push: a manifest, its children if it is an index, and the source of each blob.

    `mount_from` are repositories (`registry/repository`) that might have some of the blobs; `mounts` are those that
    might have single blobs, by digest.
    """

    root: Manifest
    children: Sequence[Manifest] = ()
    sources: Mapping[str, BlobSource] = field(default_factory=dict)  # by digest
    mount_from: Sequence[str] = ()
    mounts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def manifests(self) -> list[Manifest]:
        """Return all manifests, children before their index."""
        return [*self.children, self.root]

    def blobs(self) -> list[Descriptor]:
        """Return each blob of the manifests once, largest first. Raises BentoError if a source or child is missing."""
        blobs = {blob.digest: blob for manifest in self.manifests() for blob in manifest.blobs()}
        known = {manifest.descriptor.digest for manifest in self.manifests()}
        listed = {child.digest for manifest in self.manifests() for child in manifest.children()}
        for digest in sorted((blobs.keys() - self.sources.keys()) | (listed - known)):
            raise BentoError(f"{self.root.descriptor.digest}: {digest} is missing. Build or copy it again.")
        return sorted(blobs.values(), key=lambda blob: -blob.size)
