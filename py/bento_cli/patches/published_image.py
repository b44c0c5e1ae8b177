"""Reads images of registries. Layers and SBOMs are read when they are needed. Verifies all digests."""

from __future__ import annotations

from contextlib import suppress

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import SBOM_TYPES
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator
from rules_bento.images.registry.blob_sources import ResumedSource, verified_pieces

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.own_files import OwnDirectory
    from rules_bento.images.registry.client import Registries, Repository
    from rules_bento.images.registry.descriptor import Manifest
    from rules_bento.images.registry.reference import Reference

_REMEDY = "Name an image that `bento image` built."
_MAX_ATTACHED = 1000


class PublishedImage(NamedTuple):
    """One image for one platform."""

    repository: Repository
    manifest: Manifest
    config: dict[str, Any]
    root: str  # digest of the index that lists the image, or of the image

    @property
    def platform(self) -> str:
        """`OS/ARCHITECTURE`, as the config states."""
        return f"{self.config.get('os')}/{self.config.get('architecture')}"

    def blob(self, digest: str) -> ResumedSource:
        """Return a layer in the registry."""
        return ResumedSource(self.repository, digest)

    def save(self, digest: str, directory: OwnDirectory) -> Path:
        """Write a layer to a file. Raises BentoError if the content doesn't match the digest."""
        size = next(each.size for each in self.manifest.layers() if each.digest == digest)
        path = directory / "layer"
        with path.open("wb") as file:
            file.writelines(
                verified_pieces(self.blob(digest), digest, size, f"{digest}: the registry has another blob")
            )
        return path

    def sboms(self) -> Iterator[dict[str, Any]]:
        """Yield the CycloneDX documents that are attached to the image, or to the index that lists it."""
        kind = SBOM_TYPES["cyclonedx"]
        for digest in dict.fromkeys([self.manifest.descriptor.digest, self.root]):
            for listed in self.repository.referrers(digest)[:_MAX_ATTACHED]:
                documents = []
                with suppress(BentoError):  # anyone who can push can attach anything
                    blobs = self.repository.get_manifest(listed.digest).blobs() if listed.artifact_type == kind else ()
                    documents = [read_object(self.repository.read_blob(blob), kind, is_large=True) for blob in blobs]
                yield from documents


def read_images(reference: Reference, registries: Registries) -> list[PublishedImage]:
    """Return the images of all platforms. Raises BentoError for another kind of artifact."""
    repository = registries.repository(reference)
    root = repository.get_manifest(reference.target)
    found = []
    for listed in root.children() if root.is_index else [root.descriptor]:
        manifest = repository.get_manifest(listed.digest) if root.is_index else root
        if manifest.is_index:
            raise BentoError("the index lists another index", place=str(reference), remedy=_REMEDY)
        config = read_object(repository.read_blob(manifest.config), f"{reference}: config")
        found.append(PublishedImage(repository, manifest, config, root.descriptor.digest))
    if not found:
        raise BentoError("the index lists no image", place=str(reference), remedy=_REMEDY)
    return found
