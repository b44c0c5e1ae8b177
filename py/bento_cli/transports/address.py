"""Parses URLs as `bentoml import` and `bentoml export` read them, and shows them without secrets."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from rules_bento.dataclasses_lite import dataclass, field, replace
from rules_bento.errors import BentoError
from rules_bento.net import host_settings

_WEB = ("http", "https")
_SHORTEST_TOKEN = 8  # characters; a shorter user is a name, which other words may have in them
_LOCAL = ("file", "osfs", "tar", "zip")
# What OpenSSH refuses from 9.6 on: older ones hand both to a shell where a user's `ProxyCommand` or `Match exec` asks.
_SHELL_IN_HOST = re.compile(r"""^-|[\s'`"$\\;&<>|(){}]""")
_SHELL_IN_USER = re.compile(r"""^-|[\s'`";&<>|(){}]|\\$""")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CANONICAL = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "ssh": "sftp"}

SCHEMES = ("s3", "gs", "az", "ftp", "ftps", "sftp", "http", "https", "dropbox")
"""What `open` of `remote.py` knows."""


@dataclass(frozen=True)
class Address:
    """Holds the address of one archive. Its text has no password, no query, and no user of http, who may be a token."""

    scheme: str
    host: str  # a server, a bucket, a container; of Azure perhaps `container@account`
    path: str  # with the slash at its beginning; as it was given, nothing is unquoted
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    query: str = field(default="", repr=False)  # of http and https

    def __str__(self) -> str:
        place = self._place("" if self.scheme in _WEB else self.user)
        return f"{self.scheme}://{place}{self.path if place else self.path.lstrip('/')}"

    @property
    def url(self) -> str:
        """Return what is asked for by HTTP: the query is part of it, user and password are not."""
        return f"{self.scheme}://{self._place('')}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition("/")[2]

    def with_path(self, path: str) -> Address:
        """Return the address with another path on the same server."""
        return replace(self, path=path if path.startswith("/") else f"/{path}")

    def login(self) -> tuple[str, str]:
        """Return user and password, of the address, else of netrc; empty texts for what neither says.

        Raises BentoError for a netrc that cannot be read.
        """
        if self.password:
            return self.user, self.password
        return host_settings.netrc_login(self.host, self.user) or (self.user, "")

    def redact(self, text: object) -> str:
        """Return the text of somebody else, without what is secret here."""
        shown = str(text)
        token = self.user if self.scheme in _WEB and len(self.user) >= _SHORTEST_TOKEN else ""
        for secret in filter(None, (self.query, self.password, token)):
            shown = shown.replace(secret, "***")
        return shown

    def _place(self, user: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{user}@" if user else "") + host + (f":{self.port}" if self.port else "")


def parse(text: str) -> Address | None:
    """Return the address that a text means; None for a path, or a URL, of this machine.

    Raises BentoError for a URL that no transport takes.
    """
    scheme, colon, rest = text.partition("://")
    if not colon or "/" in scheme or scheme.lower() in _LOCAL:
        return None
    scheme = _CANONICAL.get(scheme.lower(), scheme.lower())
    if scheme not in SCHEMES:
        raise BentoError(f"{scheme}://: is not known here. Known are {', '.join(SCHEMES)}, and paths of this machine.")
    if _CONTROL.search(text):
        raise BentoError(f"{scheme}://…: has a line's end, or another character that cannot be shown. Take it out.")
    if scheme in _WEB:
        return _of_web(scheme, text)
    # As for fsspec, the rest is a path to its end: keys and names may have `?`, `#` and `%`.
    netloc, slash, path = rest.partition("/")
    if scheme == "dropbox":  # it has no hosts
        return Address(scheme, "", "/" + (f"{netloc}/{path}" if slash else netloc).lstrip("/"))
    if scheme in ("ftp", "ftps", "sftp"):
        return _with_server(scheme, netloc, slash + path)
    if not netloc:
        raise BentoError(f"{scheme}:///{path}: names no bucket. Write {scheme}://BUCKET/PATH.")
    return Address(scheme, netloc, f"/{path}")


def _of_web(scheme: str, text: str) -> Address:
    try:
        parts = urlsplit(text)
    except ValueError:  # its brackets are no IPv6 address; there may be a password beside them
        raise BentoError(f"{scheme}://…: has no host that can be read. Write {scheme}://HOST[:PORT]/PATH.") from None
    server = _with_server(scheme, parts.netloc, parts.path or "/")
    return replace(server, query=parts.query)


def _with_server(scheme: str, netloc: str, path: str) -> Address:
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        # Not the text itself: there may be a password in it.
        raise BentoError(f"{scheme}://…{path}: has no host, or a wrong port. Write {scheme}://HOST[:PORT]/PATH.")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if _CONTROL.search(user + password):
        raise BentoError(
            f"{scheme}://…{path}: its user or password has a line's end, or such a character. Take it out."
        )
    if scheme == "sftp" and (_SHELL_IN_HOST.search(host) or _SHELL_IN_USER.search(user)):
        raise BentoError(f"{scheme}://…{path}: its host or user has a character of the shell, or begins with '-'.")
    return Address(scheme, host, path or "/", port, user, password)
