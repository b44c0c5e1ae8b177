"""Signatures of files: beside the file, as `cosign sign-blob` writes them and `cosign verify-blob` takes them."""

from __future__ import annotations

from rules_bento.archives.digests import sha256_of
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_object
from rules_bento.hints import TYPE_CHECKING
from rules_bento.signing import bundle
from rules_bento.signing.encoding import from_base64, to_base64
from rules_bento.signing.errors import SignatureError

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.signing.keys import PrivateKey, PublicKey

SUFFIX = ".sig"

MOST_BYTES = 1 << 20
"""Of a file with a signature."""


def beside(path: Path) -> Path:
    """Return where the signature of a file is."""
    return path.with_name(path.name + SUFFIX)


def sign(path: Path, key: PrivateKey) -> bytes:
    """Return the text of a signature: base64. Raises BentoError for a file that cannot be read."""
    return to_base64(key.sign(_digest(path))).encode() + b"\n"


def verify(path: Path, signed: Path, key: PublicKey) -> None:
    """Raise SignatureError unless the key has signed the file, and BentoError for one that cannot be read."""
    try:
        with signed.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SignatureError(
            f"{signed}: no signature can be read there: {error.strerror}. `bento sign` writes one."
        ) from None
    if len(content) > MOST_BYTES:
        raise SignatureError(f"{signed}: is larger than a signature is.")
    if not key.verifies(_signature(content, signed), _digest(path)):
        raise SignatureError(
            f"{path}: was not signed with {key.origin}, or changed since: {signed} is no signature of it."
        )


def _signature(content: bytes, path: Path) -> bytes:
    """Return the signature in a file: as base64 or, since cosign 3, in a bundle of sigstore's."""
    text = content.decode("ascii", "replace").strip()
    try:
        if text.startswith("{"):
            return bundle.signature(read_object(content, str(path)))
        return from_base64(text, "the signature")
    except (FormatError, SignatureError) as error:
        raise SignatureError(f"{path}: cannot be read as a signature: {error}") from None


def _digest(path: Path) -> bytes:
    try:
        return bytes.fromhex(sha256_of(path))
    except OSError as error:
        raise BentoError(f"{path}: cannot be read: {error.strerror}.") from None
