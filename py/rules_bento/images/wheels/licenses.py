"""Reads the license that a wheel declares."""

from __future__ import annotations

from pathlib import Path

from rules_bento.audit.licenses import DeclaredLicense
from rules_bento.images.wheels.wheel import Wheel


def stated_by(path: str | Path) -> tuple[str, DeclaredLicense]:
    """Return the normalized package name and the declared license. Raises BentoError as `Wheel.read`."""
    wheel = Wheel.read(Path(path))
    fields = wheel.metadata
    return wheel.distribution, DeclaredLicense(fields.license_expression, fields.license, fields.license_classifiers)
