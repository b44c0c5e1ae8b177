"""What a host is reached by: its proxy, the certificates to trust, and the login that netrc has for it.

Proxies are those of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as for curl and Go. Certificates are the
host's, and for registries those of docker's and podman's `certs.d`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.net.headers import parse_nonnegative_int
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

_HOST = re.compile(r"[\w.:%-]+")
_FOLDERS = ("/etc/docker/certs.d", "/etc/containers/certs.d")
_USER_FOLDERS = ("docker/certs.d", "containers/certs.d")  # below the user's configuration
# For an interpreter whose OpenSSL was built elsewhere, and looks for certificates there.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


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
        if colon and (stated := parse_nonnegative_int(number)) is not None:
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


def tls_context(host: str) -> ssl.SSLContext:
    """Return the settings for a host, given as `host` or `host:port`.

    Authorities are those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else of the system; `certs.d/<host>/` adds its `*.crt`,
    and a `*.cert` with its `*.key` there is what we show of ourselves.

    Raises BentoError for a file there that cannot be used.
    """
    import ssl

    context = ssl.create_default_context()
    # Python 3.13 asks more of authorities than docker, curl and browsers do, and than most private ones have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not context.cert_store_stats()["x509_ca"] and "SSL_CERT_FILE" not in os.environ:
        for bundle in filter(os.path.exists, _BUNDLES):
            context.load_verify_locations(bundle)
            break
    for folder in _folders(host):
        for file in sorted(folder.glob("*.c*rt")):
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                else:
                    context.load_cert_chain(file, file.with_suffix(".key"))
            except OSError as error:  # ssl.SSLError is one, too
                raise BentoError(f"{file}: cannot be used as a certificate: {error}. Repair or remove it.") from None
    return context


def _folders(host: str) -> Iterator[Path]:
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    for parent in (*map(Path, _FOLDERS), *(configuration / name for name in _USER_FOLDERS)):
        folder = parent / host
        if folder.is_dir():
            yield folder


def netrc_login(host: str, user: str = "") -> tuple[str, str] | None:
    """Return user and password for a host, of its entry or else of `default`; None without one, or for another user.

    Raises BentoError for a file that cannot be read.
    """
    import netrc

    path = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    if not path.is_file():
        return None
    try:
        entry = netrc.netrc(path).authenticators(host)
    except netrc.NetrcParseError as error:  # what it says of the line may be a password
        raise BentoError(f"{path}:{error.lineno or 1}: cannot be read as netrc. Repair it.") from None
    except (OSError, UnicodeDecodeError):
        raise BentoError(f"{path}: cannot be read. Let it be a text that you may read.") from None
    if entry is None or (user and entry[0] != user):
        return None
    return entry[0], entry[2] or ""
