"""Determines the connection settings for a host: the proxy, the trusted certificates, and the netrc login.

The proxy settings come from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, and `NO_PROXY`, as in curl and Go. The
certificates come from the system, and from the `certs.d` directories of docker and podman.
"""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.net.http_headers import parse_nonnegative_int
from rules_bento.base.net.secret_hosts import is_loopback
from rules_bento.base.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_HOST = re.compile(r"[\w.:%-]+")
_DIRECTORIES = ("/etc/docker/certs.d", "/etc/containers/certs.d")
_USER_DIRECTORIES = ("docker/certs.d", "containers/certs.d")  # below the user's configuration directory
# For an interpreter whose OpenSSL was built on another system, and looks for certificates there.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class Proxy(NamedTuple):
    """The address of a proxy, and the value of the `Proxy-Authorization` header ("" without credentials)."""

    host: str
    port: int
    authorization: str

    @property
    def url(self) -> str:
        """The URL of the proxy, without credentials."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def proxy_for(scheme: str, host: str, port: int) -> Proxy | None:
    """Return the proxy for a server, or None for a direct connection. Raises BentoError for an unsupported proxy."""
    # A CGI client can set the uppercase HTTP_PROXY; most build machines use it, and this isn't a CGI program.
    name, url = next(((name, url) for name in (f"{scheme}_proxy", "all_proxy") if (url := _variable(name))), ("", ""))
    if not url or is_loopback(host) or _excluded(host, port):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        number = 80 if parts.port is None else parts.port
        proxy = (parts.hostname or "").encode("idna").decode()
        if parts.scheme == "http" and (not number or not _HOST.fullmatch(proxy)):
            raise ValueError
    except ValueError:  # includes UnicodeError
        raise BentoError("invalid proxy URL", place=name, remedy="Use `http://host:port`.") from None
    if parts.scheme != "http":
        raise BentoError(f"unsupported proxy scheme {parts.scheme!r}", place=name, remedy="Use `http://host:port`.")
    return Proxy(proxy, number, url_authorization(parts))


def basic_authorization(user: str, password: str) -> str:
    """Return the `Authorization` header for a user and a password."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def url_authorization(parts: SplitResult) -> str:
    """Return the `Authorization` header for the user and password in a URL, or "" if the URL contains no user."""
    user, password = parts.username, parts.password
    return "" if user is None else basic_authorization(unquote(user), unquote(password or ""))


def _variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.upper()) or ""


def _excluded(host: str, port: int) -> bool:
    """Return whether an entry in NO_PROXY (`*`, a domain, an address, or a network) matches the host and port."""
    address = _address(host)
    for entry in filter(None, (word.strip().lower() for word in _variable("no_proxy").split(","))):
        if entry == "*":
            return True
        with suppress(ValueError):  # the entry isn't a network
            if address and address in ipaddress.ip_network(entry, strict=False):
                return True
        name, colon, number = entry.rpartition(":")
        if colon and (declared := parse_nonnegative_int(number)) is not None:
            if declared != port:
                continue
            entry = name
        name = entry.strip("[]").removeprefix("*").lstrip(".")
        if host.lower() == name or host.lower().endswith(f".{name}"):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def tls_context(host: str) -> ssl.SSLContext:
    """Return the TLS settings for `host` (`HOST` or `HOST:PORT`).

    Trusts the authorities in `SSL_CERT_FILE` and `SSL_CERT_DIR` (default: the system's authorities), and in the `*.crt`
    files in `certs.d/<host>/`. A `*.cert` file and a `*.key` file with the same name contain a client certificate and
    its key. Raises BentoError for an invalid file in `certs.d/<host>/`.
    """
    import ssl

    context = ssl.create_default_context()
    # Python 3.13 rejects most private authorities, which docker, curl, and browsers accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not context.cert_store_stats()["x509_ca"] and "SSL_CERT_FILE" not in os.environ:
        for bundle in filter(os.path.exists, _BUNDLES):
            context.load_verify_locations(bundle)
            break
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    for parent in (*map(Path, _DIRECTORIES), *(configuration / name for name in _USER_DIRECTORIES)):
        directory = parent / host
        for file in sorted(directory.glob("*.c*rt")):
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                else:
                    context.load_cert_chain(file, file.with_suffix(".key"))
            except OSError as error:  # includes ssl.SSLError
                remedy = "Replace or remove the file."
                raise BentoError(f"cannot load the certificate: {error}", place=str(file), remedy=remedy) from None
    return context


def netrc_login(host: str, user: str = "") -> tuple[str, str] | None:
    """Find the login for `host` in netrc. Returns None if no entry matches. Raises BentoError for an invalid file."""
    import netrc

    path = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    if not path.is_file():
        return None
    try:
        entry = netrc.netrc(path).authenticators(host)
    except netrc.NetrcParseError as error:  # the message for the line can contain a password
        remedy = "Write `machine HOST login USER password PASSWORD`."
        raise BentoError(f"{path}:{error.lineno or 1}: invalid entry", remedy=remedy) from None
    except (OSError, UnicodeDecodeError):
        problem = "cannot read the file as text"
        raise BentoError(problem, place=str(path), remedy="Check the file's permissions and encoding.") from None
    if entry is None or (user and entry[0] != user):
        return None
    return entry[0], entry[2] or ""
