"""Base64, and JSON of which a signature is made."""

from __future__ import annotations

import base64
import binascii
import json

from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.signing.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping


def to_base64(content: bytes) -> str:
    """Return the standard alphabet's text, with its padding."""
    return base64.b64encode(content).decode("ascii")


def from_base64(text: Any, what: str) -> bytes:
    """Return the bytes of a text. Raises SignatureError, which begins with `what`, for any that is none."""
    try:
        if not isinstance(text, str):
            raise TypeError
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise SignatureError(f"{what} is no base64. Sign it again.") from None


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return JSON without spaces and with its keys sorted: the same bytes for the same document."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
