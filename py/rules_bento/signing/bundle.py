"""Sigstore's bundles, in which cosign 3 keeps signatures; made with a key they are read without a log."""

from __future__ import annotations

from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.signing import envelope
from rules_bento.signing.encoding import from_base64
from rules_bento.signing.errors import SignatureError

if TYPE_CHECKING:
    from rules_bento.signing.keys import PublicKey

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle"
"""What their media types begin with."""

SIGNED = "https://sigstore.dev/cosign/sign/v1"
"""The type of the statement that only says that something is signed."""


def statement(document: dict[str, Any], key: PublicKey) -> bytes:
    """Return the signed statement in a bundle. Raises SignatureError unless the key has signed it."""
    signed = _part(document, "dsseEnvelope")
    return envelope.opened(signed, key)


def signature(document: dict[str, Any]) -> bytes:
    """Return the signature of a file. Raises SignatureError for a bundle that has none."""
    return from_base64(_part(document, "messageSignature").get("signature"), "the signature of the bundle")


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    if not str(document.get("mediaType")).startswith(MEDIA_TYPE) or not isinstance(part, dict):
        raise SignatureError(f"is no bundle of sigstore's with a {name}")
    return part
