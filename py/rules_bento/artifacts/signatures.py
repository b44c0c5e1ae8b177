"""Reads and writes signatures and attestations in cosign's formats, in registries and OCI layouts.

By default, each signature or attestation is a sigstore bundle that refers to its subject, as in cosign 3. In the legacy
form, the layers of the manifest `sha256-<hex>.sig` are signed documents, and the layers of the manifest
`sha256-<hex>.att` are attestation envelopes. OCI layouts mark these manifests in the same way as `cosign save`. All
data is untrusted until the signature is verified. Unreadable data is ignored, so that it can't hide other signatures.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import chain

from rules_bento.artifacts import artifact
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.registry import descriptor as oci
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.errors import RegistryError
from rules_bento.registry.push import push
from rules_bento.registry.pushable import BytesSource, FileSource, Pushable, RemoteSource
from rules_bento.signing import SignatureError, cosign, from_base64, to_base64, to_json
from rules_bento.signing.keyless import IdentitySigner
from rules_bento.signing.keys import sha256_digest
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Sequence

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries
    from rules_bento.registry.layout import Layout
    from rules_bento.registry.pushable import BlobSource
    from rules_bento.registry.reference import Reference
    from rules_bento.signing.keyless import Identity
    from rules_bento.signing.keys import PrivateKey, PublicKey

    Signing = tuple[PrivateKey | IdentitySigner, str]  # a key or identity, and one of FORMS

FORMS = BUNDLE, LEGACY = ("bundle", "legacy")
SIGNATURES = "sig"
ATTESTATIONS = "att"

_SIGNATURE = "dev.cosignproject.cosign/signature"  # annotation of a layer
_PREDICATE = "predicateType"  # annotation of a layer
_BUNDLED = "dev.sigstore.bundle.content"  # annotations of a referrer
_BUNDLED_PREDICATE = "dev.sigstore.bundle.predicateType"
_MOST_LAYERS = 1000  # layers of one manifest, as in cosign
_MOST_BYTES = 16 << 20  # bytes that are read to find a signature
_MOST_REASONS = 3  # reasons in a message


class InRegistry:
    """Reads and writes the signatures and attestations in the repository of the signed artifact."""

    def __init__(self, reference: Reference, registries: Registries, counter: Counter) -> None:
        self._reference = reference
        self._registries = registries
        self._counter = counter
        self._repository = registries.repository(reference)

    def attached_manifests(self, kind: str, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Yield one function that reads the manifest with the legacy tag (`tag_of`). The manifest might not exist."""
        yield partial(self._repository.get_manifest, tag_of(kind, digest))

    def referrers(self, digest: str, *kinds: str) -> Iterator[Callable[[], Manifest]]:
        """For each bundle that refers to `digest`, yield a function that reads the bundle's manifest.

        Skips bundles whose annotated predicate type isn't in `kinds`. Requests the list of referrers when the iteration
        starts.
        """
        # In a referrers tag, cosign lists the type of the config, and no annotations.
        types = (cosign.BUNDLE_TYPE, oci.EMPTY)
        entries = self._repository.referrers(digest)
        bundles = [entry for entry in entries if entry.artifact_type.startswith(types) and _has(entry, kinds)]
        for entry in bundles[:_MOST_LAYERS]:
            yield partial(self._repository.get_manifest, entry.digest)

    def read(self, blob: Descriptor) -> bytes:
        """Return the content of a small blob after verifying its digest."""
        return self._repository.read_blob(blob)

    def source(self, blob: Descriptor) -> BlobSource:
        """Return a source that reads the blob from the repository."""
        return RemoteSource(self._repository, blob.digest)

    def put(self, package: Pushable, digest: str, kind: str = "") -> None:
        """Push `package` as a referrer. If `kind` is `sig` or `att`, uses the legacy tag for `digest` instead."""
        named = self._reference.with_digest(package.root.descriptor.digest)
        push(package, [named.with_tag(tag_of(kind, digest)) if kind else named], self._registries, self._counter)


class InLayout:
    """Reads and writes the signatures and attestations in an OCI layout, in the format of `cosign save`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def attached_manifests(self, kind: str, digest: str) -> Iterator[Callable[[], Manifest]]:
        """Return functions that read the manifests of `kind`. Skips manifests with the legacy tag of another digest."""
        return self._layout.attached_manifests(kind, tag_of(kind, digest))

    def referrers(self, digest: str, *_kinds: str) -> Iterator[Callable[[], Manifest]]:
        """For each bundle that refers to `digest`, yield a function that returns the bundle's manifest."""
        for manifest in self._layout.referrers(digest, cosign.BUNDLE_TYPE):
            yield lambda manifest=manifest: manifest  # type: ignore[misc]

    def read(self, blob: Descriptor) -> bytes:
        """Return the content of a small blob after verifying its digest."""
        return self._layout.read(blob)

    def source(self, blob: Descriptor) -> BlobSource:
        """Return a source that reads the blob from the layout."""
        return FileSource(self._layout.blob(blob.digest))

    def put(self, package: Pushable, digest: str, kind: str = "") -> None:
        """Add `package` as a referrer. If `kind` is `sig` or `att`, uses the legacy tag for `digest` instead."""
        for source in package.sources.values():
            if isinstance(source, BytesSource):
                self._layout.add(source.content)
        self._layout.attach(package.root, digest, kind, tag_of(kind, digest))


Place = InRegistry | InLayout


def tag_of(kind: str, digest: str) -> str:
    """Return the legacy tag for the signatures (`kind` is `sig`) or attestations (`att`) of a digest."""
    return f"{digest.replace(':', '-', 1)}.{kind}"


def _has(bundle: Descriptor, kinds: Iterable[str]) -> bool:
    """Return whether the predicate type in a bundle's annotation is missing or is in `kinds`."""
    return bundle.annotations.get(_BUNDLED_PREDICATE, "") in ("", *kinds)


def sign(place: Place, name: str, subject: Descriptor, key: PrivateKey | IdentitySigner, form: str = BUNDLE) -> bool:
    """Sign the manifest `subject` in the repository `name` (`registry/repository`). Keeps existing signatures.

    Returns whether the signature is new. Raises BentoError for a failed request, or too many legacy signatures.
    """
    if form == BUNDLE:
        return attest(place, name, subject, cosign.SIGNED, {}, key)
    assert not isinstance(key, IdentitySigner), "a certificate requires a bundle"
    document = cosign.make_payload(name, subject.digest)
    before = _listed(place, SIGNATURES, subject.digest)
    if _holds(place, (layer for layer in before if layer.digest == oci.digest_of(document)), key, document):
        return False
    annotations = {_SIGNATURE: to_base64(key.sign(sha256_digest(document)))}
    added = Descriptor.from_content(document, cosign.PAYLOAD_TYPE, annotations=annotations)
    _put(place, SIGNATURES, subject.digest, before, [(added, BytesSource(document))])
    return True


def sign_in_registries(
    subject: Descriptor, targets: Iterable[Reference], signing: Signing | None, registries: Registries, counter: Counter
) -> None:
    """Sign a manifest in each target's repository, unless `signing` is None. Raises BentoError for a failed request."""
    for reference in sorted({target.with_digest(subject.digest) for target in targets} if signing else (), key=str):
        assert signing
        sign(InRegistry(reference, registries, counter), reference.name, subject, *signing)


def attest(
    place: Place,
    name: str,
    subject: Descriptor,
    kind: str,
    predicate: dict[str, Any],
    key: PrivateKey | IdentitySigner,
    form: str = BUNDLE,
) -> bool:
    """Add an attestation of type `kind`. Returns whether the attestation is new. Raises BentoError if signing fails."""
    statement = cosign.make_statement(name, subject.digest, kind, predicate)
    if form == BUNDLE:
        if _holds(place, _layers(place.referrers(subject.digest, kind), subject.digest, [kind]), key, statement):
            return False
        content = cosign.bundle_statement(statement, key)
        added = Descriptor.from_content(content, cosign.BUNDLE)
        annotations = {_BUNDLED: "dsse-envelope", _BUNDLED_PREDICATE: kind}
        place.put(artifact.refer(subject, added, content, annotations), subject.digest)
        return True
    assert not isinstance(key, IdentitySigner), "a certificate requires a bundle"
    before = _listed(place, ATTESTATIONS, subject.digest)
    if _holds(place, (layer for layer in before if layer.annotations.get(_PREDICATE) == kind), key, statement):
        return False
    content = to_json(cosign.sign_statement(statement, key))
    annotations = {_SIGNATURE: "", _PREDICATE: kind}
    added = Descriptor.from_content(content, cosign.ENVELOPE_TYPE, annotations=annotations)
    _put(place, ATTESTATIONS, subject.digest, before, [(added, BytesSource(content))])
    return True


def verify(place: Place, digest: str, key: PublicKey | Identity) -> str:
    """Verify that a signature of `digest` is valid, and return the image name in the signature.

    Doesn't verify the name. Raises SignatureError if no signature is valid.
    """
    return _find(place, digest, [cosign.SIGNED], "signature", key)[0]


def verify_attestation(
    place: Place, digest: str, kinds: Sequence[str], noun: str, key: PublicKey | Identity
) -> dict[str, Any]:
    """Return the predicate of a valid attestation with a type in `kinds`. Raises SignatureError if none is valid."""
    return _find(place, digest, kinds, noun, key)[1]


def _find(
    place: Place, digest: str, kinds: Sequence[str], noun: str, key: PublicKey | Identity
) -> tuple[str, dict[str, Any]]:
    """Return the image name and the predicate of the first valid signature or attestation.

    For a legacy signature, the predicate is empty. Raises SignatureError if no signature or attestation is valid.
    """
    is_signature = cosign.SIGNED in kinds
    attached = place.attached_manifests(SIGNATURES if is_signature else ATTESTATIONS, digest)
    legacy = cosign.PAYLOAD_TYPE if is_signature else cosign.ENVELOPE_TYPE
    reasons: list[str] = []
    for layer in _layers(chain(attached, place.referrers(digest, *kinds)), digest, kinds, legacy):
        try:
            if isinstance(layer, BentoError):
                raise layer
            document = _signed(place, layer, key)
            if layer.media_type == cosign.PAYLOAD_TYPE:
                return cosign.read_payload(document, digest), {}
            name, kind, predicate = cosign.read_statement(document, digest)
            if kind in kinds:
                return name, predicate
            reasons.append(f"expected {noun}, got a statement of type {kind[:100]}")
        except BentoError as error:
            reasons.append(str(error))
    if not reasons:
        raise SignatureError(
            f"no {noun} of {digest} was found. Sign the digest (for example, with `bento sign`), or get the {noun} "
            "from the publisher."
        )
    shown = "; ".join([*dict.fromkeys(reasons)][:_MOST_REASONS]).rstrip(".")
    raise SignatureError(
        f"no {noun} of {digest} matches {key}. Specify the signer's public key or identity, or sign the digest again. "
        f"Problems found ({len(reasons)}): {shown}."
    )


def _holds(
    place: Place, layers: Iterable[Descriptor | BentoError], key: PrivateKey | IdentitySigner, document: bytes
) -> bool:
    """Return whether a layer contains `document` with a valid signature by the key or identity."""
    for layer in layers:
        with suppress(BentoError):  # written by another tool, so don't change it
            if isinstance(layer, Descriptor) and _signed(place, layer, key.public) == document:
                return True
    return False


def carry(source: Place, target: Place, digest: str) -> None:
    """Copy all legacy documents (signatures and attestations) of `digest`. Keeps the documents that `target` has."""
    for kind in (SIGNATURES, ATTESTATIONS):
        before = _listed(target, kind, digest)
        missing = [layer for layer in _listed(source, kind, digest) if layer not in before]
        if missing:
            _put(target, kind, digest, before, [(layer, source.source(layer)) for layer in missing])


def carry_all(source: Reference, targets: Iterable[Reference], registries: Registries, counter: Counter) -> None:
    """Copy all legacy documents of `source` to each target. For an index, also copies the documents of its images."""
    root = registries.repository(source).get_manifest(source.target)
    place = InRegistry(source, registries, counter)
    others = {target.name: target for target in targets if target.name != source.name}
    for digest in (root.descriptor.digest, *(child.digest for child in root.children())):
        for target in others.values():
            carry(place, InRegistry(target, registries, counter), digest)


def _listed(place: Place, kind: str, digest: str) -> list[Descriptor]:
    for read in place.attached_manifests(kind, digest):
        try:
            return read().layers()
        except RegistryError as error:
            if error.status != 404:
                raise
    return []


def _put(
    place: Place, kind: str, digest: str, before: Sequence[Descriptor], new: Sequence[tuple[Descriptor, BlobSource]]
) -> None:
    """Write a manifest with the layers in `before`, then the layers in `new`. Raises BentoError for too many layers."""
    layers = [*((layer, place.source(layer)) for layer in before), *new]
    if len(layers) > _MOST_LAYERS:
        raise BentoError(
            f"{tag_of(kind, digest)}: the manifest has {len(before)} signatures, the maximum that cosign supports. "
            "Remove some signatures."
        )
    # Registries require the config of an image, which no tool reads.
    rootfs = {"type": "layers", "diff_ids": [layer.digest for layer, _ in layers]}
    config = to_json({"architecture": "", "config": {}, "os": "", "rootfs": rootfs})
    place.put(artifact.pack("", oci.CONFIG, config, layers, {}), digest, kind)


def _layers(
    manifests: Iterable[Callable[[], Manifest]], digest: str, kinds: Sequence[str], media_type: str = cosign.BUNDLE
) -> Iterator[Descriptor | BentoError]:
    """Yield layers that might contain signatures of `digest`, and an error for each unreadable manifest.

    Skips missing manifests. Raises SignatureError if the signatures exceed the size limit.
    """
    size = 0
    for read in manifests:
        try:
            manifest = read()
            layers = manifest.layers()
            if len(layers) > _MOST_LAYERS:
                raise SignatureError(
                    f"{manifest.descriptor.digest}: the manifest has more than {_MOST_LAYERS} signatures. Remove "
                    "some signatures."
                )
        except BentoError as error:
            if not (isinstance(error, RegistryError) and error.status == 404):  # the tag, or a referrer, is absent
                yield error
            continue
        size += manifest.descriptor.size
        for layer in layers if _has(manifest.descriptor, kinds) else ():
            if layer.media_type == media_type or layer.media_type.startswith(cosign.BUNDLE_TYPE):
                size += layer.size
                if size <= _MOST_BYTES:
                    yield layer
        if size > _MOST_BYTES:
            raise SignatureError(f"{digest}: the signatures exceed {_MOST_BYTES} bytes. Remove some signatures.")


def _signed(place: Place, layer: Descriptor, key: PublicKey | Identity) -> bytes:
    """Return the content of a layer. Raises SignatureError if the key or identity didn't sign the content."""
    content = place.read(layer)
    if layer.media_type.startswith(cosign.BUNDLE_TYPE):
        return cosign.bundled_statement(content, key)
    if layer.media_type == cosign.ENVELOPE_TYPE:
        return cosign.open_envelope(read_object(content, "its JSON"), key)
    signature = from_base64(layer.annotations.get(_SIGNATURE), "the signature")
    if not key.verifies(signature, sha256_digest(content)):
        raise SignatureError("the signature was created with a different key")
    return content
