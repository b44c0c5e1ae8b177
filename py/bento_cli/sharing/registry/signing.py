"""Signs pushed manifests."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING, Iterable

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries
    from rules_bento.registry.descriptor import Descriptor
    from rules_bento.registry.reference import Reference
    from rules_bento.signing.keyless import IdentitySigner
    from rules_bento.signing.keys import PrivateKey

    Signing = tuple[PrivateKey | IdentitySigner, str]
    """A key or identity, and the format of signatures."""


def sign_in_registries(
    subject: Descriptor,
    targets: Iterable[Reference],
    signing: Signing | None,
    registries: Registries,
    counter: Counter,
) -> None:
    """Sign the manifest in each repository if `signing` is set."""
    if signing is None:
        return
    from rules_bento.artifacts import signatures

    for reference in sorted({target.with_digest(subject.digest) for target in targets}, key=str):
        place = signatures.InRegistry(reference, registries, counter)
        signatures.sign(place, reference.name, subject, *signing)
