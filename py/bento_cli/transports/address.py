"""Parses the URLs that `bentoml import` and `bentoml export` support, and formats URLs without secrets."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from rules_bento.dataclasses_lite import dataclass, field, replace
from rules_bento.errors import BentoError
from rules_bento.net import host_settings

_WEB = ("http", "https")
_SHORTEST_TOKEN = 8  # characters; a shorter user name isn't redacted, because it might be a part of other words
_LOCAL = ("file", "osfs", "tar", "zip")
# OpenSSH rejects these since 9.6. Older versions can pass both to a shell, by `ProxyCommand` or `Match exec`.
_SHELL_IN_HOST = re.compile(r"""^-|[\s'`"$\\;&<>|(){}]""")
_SHELL_IN_USER = re.compile(r"""^-|[\s'`";&<>|(){}]|\\$""")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CANONICAL = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "ssh": "sftp"}

SCHEMES = ("s3", "gs", "az", "ftp", "ftps", "sftp", "http", "https", "dropbox")


@dataclass(frozen=True)
class Address:
    """The address of an archive. `str()` omits the password and the query. For HTTP, `str()` also omits the user."""

    scheme: str
    host: str  # a server, a bucket, or a container; for Azure also `container@account`
    path: str  # begins with a slash; still quoted as in the URL
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    query: str = field(default="", repr=False)  # only for http and https

    def __str__(self) -> str:
        place = self._place("" if self.scheme in _WEB else self.user)
        return f"{self.scheme}://{place}{self.path if place else self.path.lstrip('/')}"

    @property
    def url(self) -> str:
        """The URL for HTTP requests, with the query but without the user and the password."""
        return f"{self.scheme}://{self._place('')}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]

    def with_path(self, path: str) -> Address:
        """Return an address with another path on the same server."""
        return replace(self, path=path if path.startswith("/") else f"/{path}")

    def login(self) -> tuple[str, str]:
        """Return the user and the password. If the address has no password, reads netrc. Missing values are "".

        Raises BentoError if netrc can't be read.
        """
        if self.password:
            return self.user, self.password
        return host_settings.netrc_login(self.host, self.user) or (self.user, "")

    def redact(self, text: object) -> str:
        """Replace the secrets of this address in `text`, such as the output of another program, with `***`."""
        shown = str(text)
        token = self.user if self.scheme in _WEB and len(self.user) >= _SHORTEST_TOKEN else ""
        for secret in filter(None, (self.query, self.password, token)):
            shown = shown.replace(secret, "***")
        return shown

    def _place(self, user: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{user}@" if user else "") + host + (f":{self.port}" if self.port else "")


def parse(text: str) -> Address | None:
    """Parse a URL. Returns None for a local path or a local URL.

    Raises BentoError for an unsupported or invalid URL.
    """
    scheme, colon, rest = text.partition("://")
    if not colon or "/" in scheme or scheme.lower() in _LOCAL:
        return None
    scheme = _CANONICAL.get(scheme.lower(), scheme.lower())
    if scheme not in SCHEMES:
        raise BentoError(
            f"{scheme}://: unsupported URL scheme. Use a local path, or one of these schemes: {', '.join(SCHEMES)}."
        )
    if _CONTROL.search(text):
        raise BentoError(
            f"{scheme}://…: the URL contains a newline or another control character. Remove the character."
        )
    if scheme in _WEB:
        try:
            parts = urlsplit(text)
        except ValueError:  # omit the URL, which might contain a password
            raise BentoError(f"{scheme}://…: invalid host. Use {scheme}://HOST[:PORT]/PATH.") from None
        server = _with_server(scheme, parts.netloc, parts.path or "/")
        return replace(server, query=parts.query)
    # As in fsspec, everything after the host is the path: keys and names can contain `?`, `#` and `%`.
    netloc, slash, path = rest.partition("/")
    if scheme == "dropbox":  # Dropbox URLs have no host
        return Address(scheme, "", "/" + (f"{netloc}/{path}" if slash else netloc).lstrip("/"))
    if scheme in ("ftp", "ftps", "sftp"):
        return _with_server(scheme, netloc, slash + path)
    if not netloc:
        raise BentoError(f"{scheme}:///{path}: the bucket is missing. Use {scheme}://BUCKET/PATH.")
    return Address(scheme, netloc, f"/{path}")


def _with_server(scheme: str, netloc: str, path: str) -> Address:
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        # Omit the rest of the URL, which might contain a password.
        raise BentoError(
            f"{scheme}://…{path}: the host is missing, or the port is invalid. Use {scheme}://HOST[:PORT]/PATH."
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if _CONTROL.search(user + password):
        raise BentoError(
            f"{scheme}://…{path}: the user name or password contains a control character. Remove the character."
        )
    if scheme == "sftp" and (_SHELL_IN_HOST.search(host) or _SHELL_IN_USER.search(user)):
        raise BentoError(
            f"{scheme}://…{path}: the host or user name starts with '-' or contains a shell metacharacter. Remove "
            "the character."
        )
    return Address(scheme, host, path or "/", port, user, password)
