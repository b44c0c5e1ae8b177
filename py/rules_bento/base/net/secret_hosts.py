"""Determines to which servers uv and others can send secrets of the user.

toolchains/programs/locate.py loads this file in repository rules. Therefore, the module requires only the standard
library of any Python 3.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_SECRET_VARIABLE = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")
_NAMED = re.compile(r"[A-Za-z0-9_.-]+=(?=\w[\w+.-]*:|/)")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address (without a port) refers to this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def accepts_secrets(scheme: str, host: str, *, is_verified: bool = True) -> bool:
    """Return whether secrets of the user can be sent to a server: over https to a verified host, or to this machine.

    private/repositories/fetch.bzl has the same function.
    """
    return is_loopback(host) or (scheme == "https" and is_verified)


def is_safe(address: str, trusted_hosts: Collection[str] = ()) -> bool:
    """Return whether the address of an index is a path, or a URL whose server accepts secrets.

    Clients read more than one spelling as a URL, such as `http:/host` and ` http://host`: only `scheme://host` is safe.
    """
    if not re.match(r"\w[\w+.-]*:", address):
        return "\\" not in address and not is_odd(address)
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    is_plain = re.match(r"(https?|file)://[!-~]+$", address) and not set(address) & {"$", "\\"}
    if not is_plain or (parts.scheme == "file" and not host):
        return bool(is_plain)
    is_verified = host not in [each.partition(":")[0] for each in trusted_hosts]
    return bool(host) and accepts_secrets(parts.scheme, host, is_verified=is_verified)


def is_odd(address: str) -> bool:
    """Return whether clients can read an address, which they trim, as another kind: a URL as a path."""
    return ":" in address and not re.fullmatch("[!-~]*", address)


def are_safe(addresses: Iterable[str], trusted_hosts: Collection[str]) -> bool:
    """Return whether all indexes (`URL` or `NAME=URL`) of a project accept secrets."""
    return all(is_safe(_NAMED.sub("", address, count=1), trusted_hosts) for address in addresses)


def variables_for_addresses(
    addresses: Iterable[str], trusted_hosts: Collection[str], variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment variables for uv and indexes (`URL` or `NAME=URL`) of a project.

    If an index doesn't accept secrets, uv must find no credentials but those in addresses of the user's indexes,
    because uv would send them to each index.
    """
    if are_safe(addresses, trusted_hosts):
        return dict(variables)
    kept = {name: value for name, value in variables.items() if not _SECRET_VARIABLE.fullmatch(name)}
    return {**kept, "NETRC": os.devnull, "UV_KEYRING_PROVIDER": "disabled"}
