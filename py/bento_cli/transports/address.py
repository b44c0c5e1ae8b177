"""Parses the URLs that `bento import` and `bento export` support, and formats URLs without secrets."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from rules_bento.base.dataclasses_lite import dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.net import host_settings, secret_hosts

WEB = ("http", "https")
SERVERS = ("ftp", "ftps", "sftp", *WEB)
BUCKETS = ("s3", "gs", "az")

_SHORTEST_TOKEN = 8  # characters; a shorter user name isn't redacted, because it might be a part of other words
_LOCAL = ("file", "osfs", "tar", "zip")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
# `~/.ssh/config` can pass the host and the user to a shell, by `Match exec`.
_SHELL = re.compile(r"""^-|[\s'`"$;&<>|(){}]|\\$""")
_CANONICAL = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "ssh": "sftp"}
_PASSWORD = re.compile(r"[^/:@]*:([^/@]*)@")


class MissingError(BentoError):
    """Raised if the file at an address doesn't exist."""


class RefusedError(BentoError):
    """Raised if the server requires a login, or rejects it."""


@dataclass(frozen=True)
class Address:
    """The address of an archive. `str()` omits the password and the query. For HTTP, `str()` also omits the user.

    Only `SERVERS` and `BUCKETS` have a host. For other schemes, the path is everything after the scheme.
    """

    scheme: str
    host: str  # a server, a bucket, or a container; for Azure also `container@account`
    path: str = field(repr=False)  # still quoted as in the URL
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    query: str = field(default="", repr=False)  # only for http and https
    token: str = field(default="", repr=False)  # only for http and https, instead of a user and a password

    def __str__(self) -> str:
        place = self._place("" if self.scheme in WEB else self.user)
        path = self.path if self.host else self.path.replace(f":{self.password}@", "@", 1)
        return f"{self.scheme}://{place}{path}"

    @property
    def url(self) -> str:
        """The URL for requests, with the query. For a scheme with a host, omits the user and the password."""
        return f"{self.scheme}://{self._place('')}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]

    def with_name(self, name: str) -> Address:
        """Return an address with another last component of the path."""
        return replace(self, path=self.path[: len(self.path) - len(self.name)] + name)

    def login(self) -> tuple[str, str]:
        """Return the user and the password. If the address has no password, reads netrc. Missing values are "".

        For http, only a server on this machine gets a login of netrc. Raises BentoError if netrc can't be read.
        """
        if self.password:
            return self.user, self.password
        is_sendable = self.scheme != "http" or secret_hosts.accepts_secrets(self.scheme, self.host)
        return (is_sendable and host_settings.netrc_login(self.host, self.user)) or (self.user, "")

    def missing(self) -> MissingError:
        """Return the error for a file that doesn't exist."""
        return MissingError(f"{self}: not found. Check the URL and your permissions.")

    def failed(self, reason: object, remedy: str, kind: type[BentoError] = BentoError) -> BentoError:
        """Return the error for a failed transfer. Removes the secrets of this address from `reason`."""
        shown = str(reason).partition("\n")[0].strip().rstrip(".")
        token = self.user if self.scheme in WEB and len(self.user) >= _SHORTEST_TOKEN else ""
        for secret in filter(None, (self.query, self.password, self.token, token)):
            shown = shown.replace(secret, "***")
        return kind(f"the transfer failed ({shown or type(reason).__name__})", place=str(self), remedy=remedy)

    def _place(self, user: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{user}@" if user else "") + host + (f":{self.port}" if self.port else "")


def parse(text: str) -> Address | None:
    """Parse a URL. Returns None for a local path or a local URL. Raises BentoError for an invalid URL."""
    scheme, colon, rest = text.partition("://")
    scheme = _CANONICAL.get(scheme.lower(), scheme.lower())
    if not colon or "/" in scheme or scheme in _LOCAL:
        return None
    if not _SCHEME.fullmatch(scheme):
        raise BentoError("://: invalid or chained URL", remedy="Use a local path, or a URL such as s3://BUCKET/PATH.")
    if _CONTROL.search(text):
        remedy = "Remove the character."
        raise BentoError(f"{scheme}://…: the URL contains a newline or another control character", remedy=remedy)
    if scheme in WEB:
        try:
            parts = urlsplit(text)
        except ValueError:  # omit the URL, which might contain a password
            raise BentoError(f"{scheme}://…: invalid host", remedy=f"Use {scheme}://HOST[:PORT]/PATH.") from None
        return replace(_with_server(scheme, parts.netloc, parts.path or "/"), query=parts.query)
    # As in fsspec, everything after the host is the path: keys and names can contain `?`, `#` and `%`.
    host, slash, path = rest.partition("/")
    if scheme in SERVERS:
        return _with_server(scheme, host, slash + path)
    if scheme not in BUCKETS:
        secret = _PASSWORD.match(rest)
        return Address(scheme, "", rest, password=secret[1] if secret else "")
    if not host:
        raise BentoError(f"{scheme}:///{path}: the bucket is missing", remedy=f"Use {scheme}://BUCKET/PATH.")
    return Address(scheme, host, f"/{path}")


def _with_server(scheme: str, netloc: str, path: str) -> Address:
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        # Omit the rest of the URL, which might contain a password.
        remedy = f"Use {scheme}://HOST[:PORT]/PATH."
        raise BentoError(f"{scheme}://…{path}: the host is missing, or the port is invalid", remedy=remedy)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if _CONTROL.search(user + password):
        remedy = "Remove the character."
        raise BentoError(f"{scheme}://…{path}: the user name or password contains a control character", remedy=remedy)
    if scheme == "sftp" and (_SHELL.search(host) or "\\" in host or _SHELL.search(user)):
        problem = f"{scheme}://…{path}: the host or user name starts with '-' or contains a shell metacharacter"
        raise BentoError(problem, remedy="Remove the character.")
    return Address(scheme, host, path or "/", port, user, password)
