"""A service of before BentoML 1.2."""

from __future__ import annotations

import bentoml
from bentoml.io import JSON, Text

svc = bentoml.legacy.Service("legacy")


@svc.api(input=JSON(), output=JSON())
def double(rows: list[float]) -> list[float]:
    """Each number twice."""
    return [2 * row for row in rows]


@svc.api(input=Text(), output=Text())
def shout(text: str) -> str:
    """The same, louder."""
    return text.upper()
