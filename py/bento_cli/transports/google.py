"""Lets google-auth ask for tokens over our connections, so that it needs no HTTP client of its own."""

from __future__ import annotations

from google.auth import exceptions, transport
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.transport import BytesBody
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_bento.net.transport import Transport


class _Answer(transport.Response):  # type: ignore[misc]
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._status = status
        self._headers = headers
        self._data = data

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    def data(self) -> bytes:
        return self._data


class Asker(transport.Request):  # type: ignore[misc]
    """Implements google-auth's interface of an HTTP client."""

    def __init__(self, connections: Transport) -> None:
        self._connections = connections

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Answer:
        """Send one request. Raises `TransportError`."""
        data = None if body is None else BytesBody(body.encode() if isinstance(body, str) else body)
        try:
            with self._connections.exchange(method, url, dict(headers or {}), data) as response:
                return _Answer(response.status, dict(response.headers.items()), response.read(limits.DOCUMENT))
        except ConnectionLostError as cut:
            raise exceptions.TransportError(str(cut)) from cut
