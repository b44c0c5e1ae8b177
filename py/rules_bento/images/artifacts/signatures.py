"""Reads and writes signatures and attestations in registries and OCI layouts.

Each signature or attestation is a sigstore bundle that refers to its subject, as in cosign 3. All data is untrusted
until the signature is verified. Anyone who can push to a repository can add referrers, so unreadable data is ignored.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import SBOM_TYPES
from rules_bento.base.net import limits
from rules_bento.base.net.transfers import Progress
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Iterable, Iterator, Sequence
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import BytesSource, Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.layout import MAX_REFERRER, Layout
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.signing import SignatureError, cosign

if TYPE_CHECKING:
    from rules_bento.images.registry.client import Registries
    from rules_bento.images.registry.reference import Reference
    from rules_bento.images.signing.keyless import Identity, IdentitySigner
    from rules_bento.images.signing.keys import PrivateKey, PublicKey

    Signing = PrivateKey | IdentitySigner

_BUNDLED = "dev.sigstore.bundle.content"  # annotations of a referrer
_BUNDLED_PREDICATE = "dev.sigstore.bundle.predicateType"
_MAX_REFERRERS = 10_000
_MAX_SIGNATURE = 128 << 10  # bytes of a bundle with a signature; an attestation can contain an SBOM
_MAX_BYTES = 256 << 20  # bytes that are read to find a signature
_MAX_SECONDS = 300  # to find a signature
_MOST_REASONS = 3  # reasons in a message


class InRegistry:
    """Reads and writes the signatures and attestations in the repository of the signed artifact."""

    def __init__(self, reference: Reference, registries: Registries) -> None:
        self.name = reference.name
        self._reference = reference
        self._registries = registries
        self._repository = registries.repository(reference)

    def referrers(self, digest: str, *kinds: str) -> Iterator[Callable[[], Manifest]]:
        """For each bundle that refers to `digest`, yield a function that reads the bundle's manifest.

        Skips bundles whose annotated predicate type isn't in `kinds`. Requests the list of referrers when the iteration
        starts.
        """
        # In a referrers tag, cosign lists the type of the config, and no annotations.
        types = (cosign.BUNDLE_TYPE, oci.EMPTY)
        entries = self._repository.referrers(digest)
        bundles = [entry for entry in entries if entry.artifact_type.startswith(types) and _has(entry, kinds)]
        for entry in bundles[:_MAX_REFERRERS]:
            if entry.size <= MAX_REFERRER:
                yield partial(self._repository.get_manifest, entry.digest)

    def has(self, digest: str, types: Collection[str]) -> bool:
        """Return whether an artifact of one of the types refers to `digest`."""
        return any(entry.artifact_type in types for entry in self._repository.referrers(digest))

    def read(self, blob: Descriptor) -> bytes:
        """Return the content of a small blob after verifying its digest."""
        return self._repository.read_blob(blob)

    def check(self, root: Manifest) -> None:
        """Do nothing: a registry has each manifest with its digest."""

    def put(self, package: Pushable) -> None:
        """Push `package` as a referrer."""
        named = self._reference.with_digest(package.root.descriptor.digest)
        push(package, [named], self._registries, Progress())


class InLayout:
    """Reads and writes the signatures and attestations in an OCI layout."""

    name = ""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def referrers(self, digest: str, *_kinds: str) -> Iterator[Callable[[], Manifest]]:
        """For each bundle that refers to `digest`, yield a function that returns the bundle's manifest."""
        for manifest in self._layout.referrers(digest, cosign.BUNDLE_TYPE):
            yield lambda manifest=manifest: manifest  # type: ignore[misc]

    def has(self, digest: str, types: Collection[str]) -> bool:
        """Return whether an artifact of one of the types refers to `digest`."""
        return any(any(self._layout.referrers(digest, kind)) for kind in types)

    def read(self, blob: Descriptor) -> bytes:
        """Return the content of a small blob after verifying its digest."""
        return self._layout.read(blob)

    def check(self, root: Manifest) -> None:
        """Raise BentoError if a blob of an image is missing or damaged."""
        self._layout.check(root)

    def put(self, package: Pushable) -> None:
        """Add `package` as a referrer."""
        with self._layout.lock():
            for source in package.sources.values():
                if isinstance(source, BytesSource):
                    self._layout.add(source.content)
            self._layout.attach(package.root)


Place = InRegistry | InLayout


def _has(bundle: Descriptor, kinds: Iterable[str]) -> bool:
    """Return whether the predicate type in a bundle's annotation is missing or is in `kinds`."""
    return bundle.annotations.get(_BUNDLED_PREDICATE, "") in ("", *kinds)


def sign(place: Place, name: str, subject: Descriptor, key: PrivateKey | IdentitySigner) -> bool:
    """Sign the manifest `subject` in the repository `name` (`registry/repository`). Keeps existing signatures.

    Returns whether the signature is new. Raises BentoError for a failed request.
    """
    return attest(place, name, subject, cosign.SIGNED, {}, key)


def sign_in_registries(
    subject: Descriptor, targets: Iterable[Reference], signing: Signing | None, registries: Registries
) -> None:
    """Sign a manifest in each target's repository, unless `signing` is None. Raises BentoError for a failed request."""
    for reference in sorted({target.with_digest(subject.digest) for target in targets} if signing else (), key=str):
        assert signing
        sign(InRegistry(reference, registries), reference.name, subject, signing)


def attest(
    place: Place, name: str, subject: Descriptor, kind: str, predicate: dict[str, Any], key: PrivateKey | IdentitySigner
) -> bool:
    """Add an attestation of type `kind`. Returns whether the attestation is new. Raises BentoError if signing fails."""
    statement = cosign.make_statement(name, subject.digest, kind, predicate)
    for content in _bundles(place, subject.digest, [kind]):
        with suppress(BentoError):  # written by another tool, so don't change it
            if isinstance(content, bytes) and cosign.bundled_statement(content, key.public) == statement:
                return False
    content = cosign.bundle_statement(statement, key)
    added = Descriptor.from_content(content, cosign.BUNDLE)
    annotations = {_BUNDLED: "dsse-envelope", _BUNDLED_PREDICATE: kind}
    place.put(artifact.refer(subject, added, content, annotations))
    return True


def verify(place: Place, digest: str, key: PublicKey | Identity) -> str:
    """Verify that a signature of `digest` is valid, and return the image name in the signature.

    Doesn't verify the name. Raises SignatureError if no signature is valid.
    """
    return _find(place, digest, [cosign.SIGNED], "signature", key)[0]


def verify_attestation(
    place: Place,
    digest: str,
    kinds: Sequence[str],
    noun: str,
    key: PublicKey | Identity,
    check: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Return the predicate of a valid attestation with a type in `kinds`. Raises SignatureError if none is valid.

    `check` raises SignatureError for a predicate that isn't sufficient.
    """
    return _find(place, digest, kinds, noun, key, check)[1]


def _find(
    place: Place,
    digest: str,
    kinds: Sequence[str],
    noun: str,
    key: PublicKey | Identity,
    check: Callable[[dict[str, Any]], None] = lambda _: None,
) -> tuple[str, dict[str, Any]]:
    """Return the image name and the predicate of the first valid signature or attestation.

    Raises SignatureError if no signature or attestation is valid.
    """
    reasons: list[str] = []
    for content in _bundles(place, digest, kinds):
        try:
            if isinstance(content, BentoError):
                raise content
            name, kind, predicate = cosign.read_statement(cosign.bundled_statement(content, key), digest)
            if kind in kinds:
                check(predicate)
                return name, predicate
            reasons.append(f"expected {noun}, got a statement of type {kind[:100]}")
        except BentoError as error:
            reasons.append(str(error))
    if not reasons and noun == "SBOM" and place.has(digest, SBOM_TYPES.values()):
        remedy = "Run `bento sbom IMAGE > sbom.json`, and `bento sign --sbom sbom.json IMAGE`."
        raise SignatureError(f"the SBOM of {digest} isn't signed", remedy=remedy)
    if not reasons:
        commands = {"provenance": "Push with bento_push and --builder-id"}
        commands["verification summary"] = "Run `bento verify --rebuild --attest`"
        how = commands.get(noun, "Sign the digest with `bento sign`")
        remedy = f"{how}, or get the {noun} from the publisher."
        raise SignatureError(f"no {noun} of {digest} was found", remedy=remedy)
    shown = "; ".join([*dict.fromkeys(reasons)][:_MOST_REASONS]).rstrip(".")
    remedy = "Specify the signer's public key or identity, or sign the digest again. Problems found "
    remedy += f"({len(reasons)}): {shown}."
    raise SignatureError(f"no {noun} of {digest} matches {key}", remedy=remedy)


def _bundles(place: Place, digest: str, kinds: Sequence[str]) -> Iterator[bytes | BentoError]:
    """Yield bundles that might contain signatures of `digest`, and an error for each unreadable bundle.

    Skips missing manifests. Ends with an error after `_MAX_BYTES` or `_MAX_SECONDS`.
    """
    size, end = 0, time.monotonic() + _MAX_SECONDS
    limit = _MAX_SIGNATURE if cosign.SIGNED in kinds else limits.DOCUMENT
    for read in place.referrers(digest, *kinds):
        if size > _MAX_BYTES or time.monotonic() > end:
            yield SignatureError(f"the search ended after {size} bytes. Remove invalid signatures from the repository.")
            return
        try:
            manifest = read()
            size += len(manifest.content)
            if not _has(manifest.descriptor, kinds):
                continue
            [bundle] = manifest.layers()
            if not bundle.media_type.startswith(cosign.BUNDLE_TYPE):
                continue
            if bundle.size > limit:
                raise SignatureError(f"the bundle has {bundle.size} bytes, but the limit is {limit}")
            content = place.read(bundle)
            size += len(content)
            yield content
        except BentoError as error:
            if not (isinstance(error, RegistryError) and error.status == 404):  # the referrer is absent
                yield error
        except ValueError:
            yield SignatureError(f"{manifest.descriptor.digest}: expected one bundle, got {len(manifest.layers())}")
