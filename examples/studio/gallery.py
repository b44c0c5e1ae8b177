"""Serves pages next to the API: any ASGI application can be mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_PAGE = "<!doctype html><title>Digits</title><p>Draw a {digit}, and POST it to /read."


async def page(request: Request) -> HTMLResponse:
    """Return the page of a digit."""
    return HTMLResponse(_PAGE.format(digit=request.path_params["digit"]))


gallery = Starlette(routes=[Route("/{digit:int}", page)])
