"""Reads the image that is proven: from a registry, or from an OCI layout. Verifies all digests."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import digest_of
from rules_bento.base.net import ConnectionLostError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator
from rules_bento.images.registry.blob_sources import FileSource, RemoteSource, verified_pieces
from rules_bento.images.registry.descriptor import collect_manifests
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.reference import SCHEME, Reference
from rules_bento.images.signing.cosign import BUNDLE_TYPE, SIGNED, unverified_statement
from rules_bento.images.signing.provenance import PREDICATE
from rules_bento.images.soci import ARTIFACT_TYPE

from bento_cli.proofs.expected import Finding
from bento_cli.sharing.image_options import LAYOUT

if TYPE_CHECKING:
    from rules_bento.images.registry.blob_sources import BlobSource
    from rules_bento.images.registry.client import Registries
    from rules_bento.images.registry.descriptor import Descriptor, Manifest

_EMPTY = digest_of(b"{}")
_REMEDY = "Name an image of `bento image`, python_image, or bento_image."


class Attached(NamedTuple):
    """What is attached to an image, apart from signatures and provenance, which a key must verify."""

    kind: str  # media type, or type of a signed statement
    document: dict[str, Any]  # empty for other forms than JSON
    size: int

    @classmethod
    def read(cls, blob: Descriptor, content: bytes, digest: str) -> Attached | None:
        """Return attached content. Returns None for a signature or provenance of the manifest `digest`."""
        kind, document = blob.media_type, dict[str, Any]()
        with suppress(BentoError):
            if kind.startswith(BUNDLE_TYPE):
                kind, document = unverified_statement(content, digest)
                if kind in (SIGNED, PREDICATE):
                    return None
            elif not any(_findings("", content, blob)):
                document = read_object(content, kind, is_large=True)
        return cls(kind, document, len(content))


class ImageSource(NamedTuple):
    """One image for one platform."""

    manifest: Manifest
    config: dict[str, Any]
    blob: Callable[[Descriptor], BlobSource]
    attached: Callable[[], Iterator[Attached]]  # to the image, or to the index that lists it
    findings: list[Finding]

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
        entry = next(each for each in layout.index() if each.digest == root.descriptor.digest)
        get: Callable[[str], Manifest] = layout.manifest
        read: Callable[[Descriptor], bytes] = layout.read

        def blob(layer: Descriptor) -> BlobSource:
            return FileSource(layout.source(layer).path)

        def referrers(digest: str) -> Iterable[Manifest]:
            return layout.referrers(digest, "")
    else:
        reference = Reference.from_url(target.removeprefix(SCHEME))
        repository = registries().repository(reference)
        root = repository.get_manifest(reference.target)
        entry = root.descriptor
        get, read = repository.get_manifest, repository.read_blob

        def blob(layer: Descriptor) -> BlobSource:
            return _ResumedSource(repository, layer.digest)

        def referrers(digest: str) -> Iterable[Manifest]:
            return collect_manifests(repository.referrers(digest), lambda each: repository.get_manifest(each.digest))

    def attached(*digests: str) -> Iterator[Attached]:
        pairs = ((digest, manifest) for digest in dict.fromkeys(digests) for manifest in referrers(digest))
        blobs = ((digest, blob) for digest, manifest in pairs for blob in manifest.blobs() if blob.digest != _EMPTY)
        yield from filter(None, (Attached.read(blob, read(blob), digest) for digest, blob in blobs))

    found, findings = [], [*_findings("index", root.content, entry)] if root.is_index else []
    for listed in root.children() if root.is_index else [entry]:
        manifest, platform = (get(listed.digest), listed.platform) if root.is_index else (root, None)
        if manifest.is_index:
            raise BentoError("the index lists another index", place=target, remedy=_REMEDY)
        content = read(manifest.config)
        config = read_object(content, f"{target}: config")
        if platform is not None and manifest.config.media_type == ARTIFACT_TYPE and not config:
            continue  # no program can run it, and the annotation of the image isn't proven
        # A program can select an entry by either, and by the config if the entry has no platform.
        if platform is not None and any(platform.get(key) != config.get(key) for key in ("os", "architecture")):
            problem = f"the index has an image for {config.get('os')}/{config.get('architecture')} as {dict(platform)}"
            raise BentoError(problem, place=target, remedy=_REMEDY)
        digests = manifest.descriptor.digest, root.descriptor.digest
        own = [*_findings("manifest", manifest.content, listed), *_findings("config", content, manifest.config)]
        found.append(ImageSource(manifest, config, blob, partial(attached, *digests), findings + own))
    if not found:
        raise BentoError("the index lists no image", place=target, remedy=_REMEDY)
    return found


class _ResumedSource(RemoteSource):
    """A blob in a registry, whose interrupted download is resumed."""

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from `start` to `end`. Raises BentoError after several failures."""
        registry, retry = self.repository.registry, self.repository.registry.retry()
        while start < end:
            try:
                for piece in super().pieces(start, end):
                    start += len(piece)
                    retry.progressed(len(piece))
                    yield piece
            except ConnectionLostError as cut:
                if not retry.again(cut.retry_after, timed_out=cut.timed_out):
                    raise cut.error or registry.connection_error(f"{self.repository}: {self.digest}", cut) from None


def _findings(name: str, content: bytes, descriptor: Descriptor) -> Iterator[Finding]:
    if len(content) != descriptor.size:
        yield Finding(None, name, f"has {len(content)} bytes instead of {descriptor.size}, which its descriptor states")
    if not content.startswith(b"{"):  # such as a byte order mark
        yield Finding(None, name, "doesn't begin with {, so that other programs can't read it")
