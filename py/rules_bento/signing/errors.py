"""The error of a signature that is wrong."""

from __future__ import annotations

from rules_bento.errors import BentoError


class SignatureError(BentoError):
    """Something is not signed by the key, or what is signed is another thing."""
