"""Signatures and provenance in cosign's forms: keys, payloads, envelopes, bundles and detached signatures of files.

Whoever pushes or signs has the key, and it goes no further than their process: actions import `provenance` alone, which
knows of none.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class SignatureError(BentoError):
    """Reports something that the key did not sign, or a signature of something else."""


def to_base64(content: bytes) -> str:
    """Return the standard alphabet's text, with its padding."""
    import base64

    return base64.b64encode(content).decode("ascii")


def from_base64(text: Any, what: str) -> bytes:
    """Return the bytes of a text. Raises SignatureError, which begins with `what`, for any that is none."""
    import base64

    try:
        if not isinstance(text, str):
            raise TypeError
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise SignatureError(f"{what} is no base64. Sign it again.") from None


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return JSON without spaces and with its keys sorted: the same bytes for the same document."""
    import json

    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
