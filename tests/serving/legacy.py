"""A service of before BentoML 1.2."""

import asyncio

import bentoml
from bentoml.io import JSON, Text

# BentoML's gRPC server takes the event loop of the thread, and Python 3.14 makes none by itself.
asyncio.set_event_loop(asyncio.new_event_loop())

svc = bentoml.legacy.Service("legacy")


@svc.api(input=JSON(), output=JSON())
def double(rows: list[float]) -> list[float]:
    """Each number twice."""
    return [2 * row for row in rows]


@svc.api(input=Text(), output=Text())
def shout(text: str) -> str:
    """The same, louder."""
    return text.upper()
