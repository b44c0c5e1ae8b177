"""Reads the image that is proven: from a registry, or from an OCI layout. Verifies all digests."""

from __future__ import annotations

from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator
from rules_bento.images.registry.blob_sources import FileSource, RemoteSource, verified_pieces
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.reference import SCHEME, Reference
from rules_bento.images.soci import ARTIFACT_TYPE

from bento_cli.sharing.image_options import LAYOUT

if TYPE_CHECKING:
    from rules_bento.images.registry.blob_sources import BlobSource
    from rules_bento.images.registry.client import Registries
    from rules_bento.images.registry.descriptor import Descriptor, Manifest

_MAX_REFERRERS = 50
_SBOM = "application/vnd.cyclonedx+json"
_REMEDY = "Name an image of `bento image`, python_image, or bento_image."


class ImageSource(NamedTuple):
    """One image for one platform."""

    manifest: Manifest
    config: dict[str, Any]
    blob: Callable[[Descriptor], BlobSource]
    sboms: Callable[[], list[dict[str, Any]]]  # those in CycloneDX that refer to the image

    @property
    def platform(self) -> str:
        """`OS/ARCHITECTURE`, as the config states."""
        return f"{self.config.get('os')}/{self.config.get('architecture')}"

    def pieces(self, layer: Descriptor) -> Iterator[bytes | memoryview]:
        """Yield a layer. Raises BentoError at the end if the content doesn't match the digest."""
        return verified_pieces(self.blob(layer), layer.digest, layer.size, "the content doesn't match the digest")


def read_images(target: str, registries: Callable[[], Registries]) -> list[ImageSource]:
    """Return the images of `target`, a reference or `oci:DIR`. Raises BentoError for another kind of artifact."""
    if target.startswith(LAYOUT) or (Path(target) / "oci-layout").is_file():
        layout = Layout.open(Path(target.removeprefix(LAYOUT)))
        root = layout.find()
        get: Callable[[str], Manifest] = layout.manifest
        read: Callable[[Descriptor], bytes] = layout.read

        def blob(layer: Descriptor) -> BlobSource:
            return FileSource(layout.source(layer).path)

        def referrers(digest: str) -> Iterator[Manifest]:
            yield from layout.referrers(digest, _SBOM)
    else:
        reference = Reference.from_url(target.removeprefix(SCHEME))
        repository = registries().repository(reference)
        root = repository.get_manifest(reference.target)
        get, read = repository.get_manifest, repository.read_blob

        def blob(layer: Descriptor) -> BlobSource:
            return RemoteSource(repository, layer.digest)

        def referrers(digest: str) -> Iterator[Manifest]:
            for entry in repository.referrers(digest)[:_MAX_REFERRERS]:
                yield repository.get_manifest(entry.digest)

    def sboms(digest: str) -> list[dict[str, Any]]:
        blobs = [each for manifest in referrers(digest) for each in manifest.layers() if each.media_type == _SBOM]
        return [read_object(read(each), f"{target}: SBOM", is_large=True) for each in blobs]

    listed = [(get(each.digest), each.platform) for each in root.children()] if root.is_index else [(root, None)]
    found = []
    for manifest, platform in listed:
        if manifest.is_index:
            raise BentoError("the index lists another index", place=target, remedy=_REMEDY)
        config = read_object(read(manifest.config), f"{target}: config")
        if platform is not None and manifest.config.media_type == ARTIFACT_TYPE and not config:
            continue  # no program can run it, and the annotation of the image isn't proven
        # A program can select an entry by either, and by the config if the entry has no platform.
        if platform is not None and any(platform.get(key) != config.get(key) for key in ("os", "architecture")):
            problem = f"the index has an image for {config.get('os')}/{config.get('architecture')} as {dict(platform)}"
            raise BentoError(problem, place=target, remedy=_REMEDY)
        digest = manifest.descriptor.digest
        found.append(ImageSource(manifest, config, blob, lambda digest=digest: sboms(digest)))  # type: ignore[misc]
    if not found:
        raise BentoError("the index lists no image", place=target, remedy=_REMEDY)
    return found
