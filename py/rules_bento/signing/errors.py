"""Defines the error of a signature that does not verify."""

from __future__ import annotations

from rules_bento.errors import BentoError


class SignatureError(BentoError):
    """Reports something that the key did not sign, or a signature of something else."""
