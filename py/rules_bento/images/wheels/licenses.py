"""Reads the license that a wheel declares."""

from __future__ import annotations

from pathlib import Path

from rules_bento.audit.licenses import Stated
from rules_bento.images.wheels.wheel import Wheel


def stated_by(path: str | Path) -> tuple[str, Stated]:
    """Return the normalized package name and the declared license. Raises BentoError as `Wheel.read`."""
    wheel = Wheel.read(Path(path))
    metadata = wheel.metadata
    return wheel.distribution, Stated(metadata.license_expression, metadata.license, metadata.license_classifiers)
