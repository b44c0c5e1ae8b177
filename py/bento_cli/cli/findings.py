"""What `bento doctor` says of one thing that it has looked at."""

from __future__ import annotations

from rules_bento.dataclasses_lite import dataclass

FINE, HINT, MISSING = "fine", "hint", "missing"


@dataclass(frozen=True)
class Finding:
    """Tells what was checked, its state, and what to do unless it is fine."""

    about: str
    state: str
    text: str
    remedy: str = ""
