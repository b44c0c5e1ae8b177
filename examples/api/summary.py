"""Summarizes numbers with Starlette: a library that a server of a package imports."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request


async def ready(_request: Request) -> PlainTextResponse:
    """Report that the server can answer."""
    return PlainTextResponse("ready")


async def summarize(request: Request) -> JSONResponse:
    """Return mean and median of the numbers in the body, a JSON array."""
    numbers = await request.json()
    return JSONResponse({"mean": statistics.fmean(numbers), "median": statistics.median(numbers)})


app = Starlette(routes=[Route("/readyz", ready), Route("/summarize", summarize, methods=["POST"])])
