"""Creates and verifies signatures and provenance in cosign's formats: keys, payloads, envelopes, bundles, signed files.

Only processes that push or sign have the key. Actions import only `provenance`, which requires no key.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from pathlib import Path


class SignatureError(BentoError):
    """Reports that a signature is missing, is invalid, or signs a different object."""


def read_named(path: Path, name: str, most: int, remedy: str) -> bytes:
    """Return the content of a file of at most `most` bytes. Raises a BentoError that begins with `name`."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except ValueError:
        raise BentoError(f"{name!r}: the path contains a NUL character. Remove the character.") from None
    except OSError as error:
        raise BentoError(f"{name}: cannot read the file: {error.strerror}. Check the path.") from None
    if len(content) > most:
        raise BentoError(f"{name}: the file exceeds {most} bytes. {remedy}")
    return content


def to_base64(content: bytes) -> str:
    """Return the base64 encoding in the standard alphabet, with padding."""
    import base64

    return base64.b64encode(content).decode("ascii")


def from_base64(text: Any, what: str, remedy: str = "Sign the artifact again.") -> bytes:
    """Decode base64. Raises a SignatureError that begins with `what` for invalid base64."""
    import base64

    try:
        if not isinstance(text, str):
            raise TypeError
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise SignatureError(f"{what}: invalid base64. {remedy}") from None


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return JSON without spaces and with sorted keys, so that equal documents have equal bytes."""
    import json

    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
