"""Signatures and attestations beside what they are about, in cosign's form: in registries and in layouts.

`sha256-<hex>.sig` is a manifest whose layers are signed documents, `sha256-<hex>.att` one whose layers are envelopes of
attestations; a layout has the same, marked as `cosign save` marks them. What cosign 3 writes is read, too: bundles of
sigstore's that refer to the manifest. All of it is hostile until its signature holds: a part that is not understood is
no signature, and keeps no other from being found.
"""

from __future__ import annotations

from functools import partial

from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.hints import TYPE_CHECKING, Protocol, TypeVar
from rules_bento.records import NamedTuple
from rules_bento.registry import descriptor as oci
from rules_bento.registry.content import BytesSource, FileSource, RemoteSource
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.errors import RegistryError
from rules_bento.registry.package import Package
from rules_bento.registry.push import push
from rules_bento.signing import SignatureError, cosign, from_base64, provenance, to_base64, to_json
from rules_bento.signing.keys import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries
    from rules_bento.registry.content import Source
    from rules_bento.registry.layout import Layout
    from rules_bento.registry.reference import Reference
    from rules_bento.signing.keys import PrivateKey, PublicKey

_Found = TypeVar("_Found")

SIGNATURES = "sig"
ATTESTATIONS = "att"

_SIGNATURE = "dev.cosignproject.cosign/signature"  # annotation of a layer
_PREDICATE = "predicateType"  # likewise
_MOST_LAYERS = 1000  # of one manifest, as cosign has it
_MOST_BYTES = 16 << 20  # of all that is read to find a signature
_MOST_REASONS = 3  # that a message has


class Signed(NamedTuple):
    """Describes a signature that verifies."""

    name: str  # that the image had when it was signed, which is not held against anything; empty for none


class Place(Protocol):
    """Tells where signatures are kept beside what they sign."""

    def beside(self, kind: str, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Return readers of the manifests with signatures or attestations of a digest."""

    def referrers(self, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Return readers of the manifests that refer to a digest and hold bundles of sigstore's."""

    def read(self, blob: Descriptor) -> bytes:
        """Return a small blob, verified."""

    def source(self, blob: Descriptor) -> Source:
        """Return the file with the signature."""

    def put(self, kind: str, digest: str, package: Package) -> None:
        """Have a manifest, and its blobs, beside a digest, in the place of the one that is there."""


class InRegistry:
    """Keeps signatures in the repository of what they sign."""

    def __init__(self, reference: Reference, registries: Registries, counter: Counter) -> None:
        self._reference = reference
        self._registries = registries
        self._counter = counter
        self._repository = registries.repository(reference)

    def beside(self, kind: str, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Yield a reader of the manifest under the tag."""
        yield partial(self._repository.get_manifest, tag_of(kind, digest))

    def referrers(self, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Return readers of the manifests of the referrers that are bundles."""
        entries = self._repository.referrers(digest)
        bundles = [entry for entry in entries if entry.artifact_type.startswith(cosign.BUNDLE_TYPE)]
        return (partial(self._repository.get_manifest, entry.digest) for entry in bundles[:_MOST_LAYERS])

    def read(self, blob: Descriptor) -> bytes:
        """Return a small blob, verified."""
        return self._repository.read_blob(blob)

    def source(self, blob: Descriptor) -> Source:
        """Return the file with the signature."""
        return RemoteSource(self._repository, blob.digest)

    def put(self, kind: str, digest: str, package: Package) -> None:
        """Push it under its tag."""
        push(package, [self._reference.with_tag(tag_of(kind, digest))], self._registries, self._counter)


class InLayout:
    """Keeps signatures in a layout, as `cosign save` writes it and `cosign verify --local-image` takes it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def beside(self, kind: str, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Return readers of what is marked as signatures, or attestations, of the digest or, for an index, of any."""
        return self._layout.beside(kind, tag_of(kind, digest))

    def referrers(self, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Yield those among the blobs: no index lists them."""
        for manifest in self._layout.referrers(digest, cosign.BUNDLE_TYPE):
            yield partial(_same, manifest)

    def read(self, blob: Descriptor) -> bytes:
        """Return a small blob, verified."""
        return self._layout.read(blob)

    def source(self, blob: Descriptor) -> Source:
        """Return the file with the signature."""
        return FileSource(self._layout.blob(blob.digest))

    def put(self, kind: str, digest: str, package: Package) -> None:
        """Add the blobs, and list the manifest."""
        for source in package.sources.values():
            if isinstance(source, BytesSource):
                self._layout.add(source.content)
        self._layout.record_beside(package.root, kind, tag_of(kind, digest), digest)


def tag_of(kind: str, digest: str) -> str:
    """Return the tag under which signatures, or attestations, of a digest are."""
    return f"{digest.replace(':', '-', 1)}.{kind}"


def sign(place: Place, name: str, digest: str, key: PrivateKey) -> bool:
    """Sign a digest, that of `name` (`registry/repository`); return whether that was not done before.

    Signatures that are there stay. Raises BentoError for what is there and cannot be read, and as `push` does.
    """
    document = cosign.make_payload(name, digest)
    known = key.public

    def is_same(layer: Descriptor) -> bool:
        if layer.digest != oci.digest_of(document):
            return False
        signature = from_base64(layer.annotations.get(_SIGNATURE, ""), "its signature")
        return known.verifies(signature, digest_of(document))

    signature = to_base64(key.sign(digest_of(document)))
    added = Descriptor.of(document, cosign.PAYLOAD_TYPE, annotations={_SIGNATURE: signature})
    return _add(place, SIGNATURES, digest, (added, document), is_same)


def attest_provenance(place: Place, name: str, digest: str, predicate: dict[str, Any], key: PrivateKey) -> bool:
    """Attach signed provenance of a digest; return whether that was not done before. Raises as `sign` does."""
    statement = cosign.make_statement(name, digest, provenance.PREDICATE, predicate)
    known = key.public

    def is_same(layer: Descriptor) -> bool:
        return (
            layer.annotations.get(_PREDICATE) == provenance.PREDICATE and _statement(place, layer, known) == statement
        )

    content = cosign.sign_statement(statement, key)
    annotations = {_SIGNATURE: "", _PREDICATE: provenance.PREDICATE}
    added = Descriptor.of(content, cosign.ENVELOPE_TYPE, annotations=annotations)
    return _add(place, ATTESTATIONS, digest, (added, content), is_same)


def verify(place: Place, digest: str, key: PublicKey) -> Signed:
    """Return a signature of a digest by the key. Raises SignatureError if there is none, saying what was there."""

    def read(layer: Descriptor) -> Signed:
        if layer.media_type.startswith(cosign.BUNDLE_TYPE):
            kind, _ = cosign.read_statement(cosign.bundled_statement(_object(place, layer), key), digest)
            if kind != cosign.SIGNED:
                raise SignatureError(f"is a statement of {kind[:100]}, and no signature")
            return Signed("")
        signature = from_base64(layer.annotations.get(_SIGNATURE), "its signature")
        document = place.read(layer)
        if not key.verifies(signature, digest_of(document)):
            raise SignatureError("another key has signed it")
        return Signed(cosign.read_payload(document, digest))

    return _first(_layers(place, SIGNATURES, digest, cosign.PAYLOAD_TYPE), read, f"no signature of {digest}", key)


def verify_provenance(place: Place, digest: str, key: PublicKey) -> dict[str, Any]:
    """Return SLSA's provenance of a digest, signed with the key. Raises SignatureError if there is none."""

    def read(layer: Descriptor) -> dict[str, Any]:
        kind, predicate = cosign.read_statement(_statement(place, layer, key), digest)
        if kind != provenance.PREDICATE:
            raise SignatureError(f"is a statement of {kind[:100]}, and no provenance")
        return predicate

    layers = _layers(place, ATTESTATIONS, digest, cosign.ENVELOPE_TYPE)
    return _first(layers, read, f"no provenance of {digest}", key)


def _add(
    place: Place, kind: str, digest: str, new: tuple[Descriptor, bytes], is_same: Callable[[Descriptor], bool]
) -> bool:
    """Add a layer to those beside a digest, unless one of them is the same."""
    before = _listed(place, kind, digest)
    for layer in before:
        try:
            if is_same(layer):
                return False
        except BentoError:  # somebody else's: it stays what it is
            continue
    described, content = new
    _put(place, kind, digest, before, [(described, BytesSource(content))])
    return True


def carry(source: Place, target: Place, digest: str) -> None:
    """Copy the signatures and attestations of a digest; those that the target has stay. Raises as `sign` does."""
    for kind in (SIGNATURES, ATTESTATIONS):
        before = _listed(target, kind, digest)
        there = {to_json(layer.to_json()) for layer in before}
        missing = [layer for layer in _listed(source, kind, digest) if to_json(layer.to_json()) not in there]
        if missing:
            _put(target, kind, digest, before, [(layer, source.source(layer)) for layer in missing])


def carry_all(source: Reference, targets: Iterable[Reference], registries: Registries, counter: Counter) -> None:
    """Copy what is beside an image, an index and its images, or an artifact. Raises as `carry` does."""
    root = registries.repository(source).get_manifest(source.target)
    place = InRegistry(source, registries, counter)
    others = {target.name: target for target in targets if target.name != source.name}
    for digest in (root.descriptor.digest, *(child.digest for child in root.children())):
        for target in others.values():
            carry(place, InRegistry(target, registries, counter), digest)


def _listed(place: Place, kind: str, digest: str) -> list[Descriptor]:
    for read in place.beside(kind, digest):
        try:
            return read().layers()
        except RegistryError as error:
            if error.status != 404:
                raise
    return []


def _put(
    place: Place, kind: str, digest: str, before: Sequence[Descriptor], new: Sequence[tuple[Descriptor, Source]]
) -> None:
    """Have these layers beside a digest: those that are there, and new ones. Raises BentoError for too many."""
    layers = [*before, *(layer for layer, _ in new)]
    if len(layers) > _MOST_LAYERS:
        raise BentoError(f"{tag_of(kind, digest)}: has {len(before)} entries, the most that cosign reads. Remove some.")
    config = _config(layers)
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": Descriptor.of(config, oci.CONFIG).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    sources: dict[str, Source] = {layer.digest: place.source(layer) for layer in before}
    sources |= {layer.digest: source for layer, source in new}
    sources[oci.digest_of(config)] = BytesSource(config)
    root = Manifest.read(oci.to_bytes(document), oci.MANIFEST, tag_of(kind, digest))
    place.put(kind, digest, Package(root, (), sources))


def _config(layers: Iterable[Descriptor]) -> bytes:
    """Return the config of an image with these layers, which registries ask for and nobody reads."""
    rootfs = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    return to_json({"architecture": "", "config": {}, "os": "", "rootfs": rootfs})


def _layers(place: Place, kind: str, digest: str, media_type: str) -> Iterator[Descriptor | BentoError]:
    """Yield possible signatures of the digest, and the error of each manifest that can't be read, within bounds.

    Raises BentoError beyond the bounds, and if the referrers can't be listed.
    """
    size = 0
    for read in _manifests(place, kind, digest):
        try:
            manifest = read()
            layers = manifest.layers()
            if len(layers) > _MOST_LAYERS:
                raise SignatureError(f"{manifest.descriptor.digest}: has more than {_MOST_LAYERS} signatures. Refused.")
        except BentoError as error:
            if not (isinstance(error, RegistryError) and error.status == 404):  # the tag, or a referrer, is absent
                yield error
            continue
        size += manifest.descriptor.size
        for layer in layers:
            if layer.media_type == media_type or layer.media_type.startswith(cosign.BUNDLE_TYPE):
                size += layer.size
                _check_size(size, digest)
                yield layer
        _check_size(size, digest)


def _same(manifest: Manifest) -> Manifest:
    return manifest


def _check_size(size: int, digest: str) -> None:
    if size > _MOST_BYTES:
        raise SignatureError(f"{digest}: has more than {_MOST_BYTES} bytes of signatures. Refused.")


def _manifests(place: Place, kind: str, digest: str) -> Iterator[Callable[[], Manifest]]:
    yield from place.beside(kind, digest)
    yield from place.referrers(digest)  # asked for only where the others have none that fits


def _first(
    layers: Iterator[Descriptor | BentoError], read: Callable[[Descriptor], _Found], nothing: str, key: PublicKey
) -> _Found:
    """Return what the first layer gives that is signed as it should be. Raises SignatureError if none is."""
    reasons: dict[str, None] = {}
    count = 0
    for layer in layers:
        count += 1
        try:
            if isinstance(layer, BentoError):
                raise layer
            return read(layer)
        except BentoError as error:
            reasons.setdefault(str(error))
    if not count:
        raise SignatureError(f"{nothing} is there. Sign it, or ask who made it.")
    shown = "; ".join([*reasons][:_MOST_REASONS])
    raise SignatureError(
        f"{nothing} is by {key.origin}; of {count} that {'is' if count == 1 else 'are'} there: {shown}."
    )


def _statement(place: Place, layer: Descriptor, key: PublicKey) -> bytes:
    document = _object(place, layer)
    if layer.media_type.startswith(cosign.BUNDLE_TYPE):
        return cosign.bundled_statement(document, key)
    return cosign.open_envelope(document, key)


def _object(place: Place, layer: Descriptor) -> dict[str, Any]:
    return read_object(place.read(layer), "its JSON")
