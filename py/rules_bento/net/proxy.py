"""Finds the proxy for a host in `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as curl and Go do."""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from rules_bento.errors import BentoError
from rules_bento.net.headers import natural
from rules_bento.records import NamedTuple

_HOST = re.compile(r"[\w.:%-]+")


class Proxy(NamedTuple):
    """Describes a proxy: its address, and the header that it asks for (empty for none)."""

    host: str
    port: int
    authorization: str


def proxy_for(scheme: str, host: str, port: int) -> Proxy | None:
    """Return the proxy for a server, if any: there is none for this machine.

    Raises BentoError for one we cannot use.
    """
    # HTTP_PROXY in capitals may come from a CGI client; it is what the brief of most build machines sets, and we are
    # no CGI program.
    url = _variable(f"{scheme}_proxy") or _variable("all_proxy")
    if not url or is_loopback(host) or _excluded(host, port):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        number = 80 if parts.port is None else parts.port
        name = (parts.hostname or "").encode("idna").decode()
        if not number or (name and not _HOST.fullmatch(name)):
            raise ValueError
    except ValueError:  # UnicodeError is one
        raise BentoError(f"{scheme}_proxy: cannot be read. A proxy is reached as `http://host:port`.") from None
    if parts.scheme != "http" or not name:
        raise BentoError(f"{scheme}_proxy: a proxy is reached as `http://host:port`, not by {parts.scheme!r}.")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode()
    return Proxy(name, number, authorization)


def is_loopback(host: str) -> bool:
    """Return whether the host (without a port) is this machine by its name."""
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or bool(address and address.is_loopback)


def _variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.upper()) or ""


def _excluded(host: str, port: int) -> bool:
    """Return whether `NO_PROXY` names a host.

    It lists `*`, domains with all below them, addresses and networks, each perhaps with a port.
    """
    address = _address(host)
    for entry in filter(None, (word.strip().lower() for word in _variable("no_proxy").split(","))):
        if entry == "*":
            return True
        if address and _in_network(address, entry):
            return True
        name, colon, number = entry.rpartition(":")
        if colon and (stated := natural(number)) is not None:
            if stated != port:
                continue
            entry = name
        name = entry.strip("[]").removeprefix("*").lstrip(".")
        if host.lower() == name or host.lower().endswith(f".{name}"):
            return True
    return False


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, entry: str) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
