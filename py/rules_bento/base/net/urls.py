"""Parses, resolves, and displays URLs of servers."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSENDABLE = re.compile(r"[^\x21-\x7e]+")


class Origin(NamedTuple):
    """The scheme (`http` or `https`), host, and port of a server."""

    scheme: str
    host: str
    port: int

    @staticmethod
    def from_url(url: str) -> Origin:
        """Return the origin of an absolute URL. Raises BentoError for an invalid URL or an unsupported scheme."""
        try:
            parts = urlsplit(url)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode()
        except ValueError:  # includes UnicodeError
            raise _invalid_url(url) from None
        if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or _CONTROL.search(url):
            raise _invalid_url(url)
        return Origin(parts.scheme, host, port or _PORTS[parts.scheme])

    @property
    def netloc(self) -> str:
        """The host and port, or only the host if the port is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def resolve(base: str, reference: str) -> str:
    """Resolve the URL reference in a header such as `Location` against `base`. Raises BentoError for an invalid URL."""
    try:
        url = urljoin(base, percent_encode(reference.strip(), "latin-1"))
    except ValueError:
        raise _invalid_url(reference) from None
    Origin.from_url(url)
    return url


def percent_encode(text: str, encoding: str = "utf-8") -> str:
    """Replace spaces and non-ASCII characters in a URL with `%XX`. Use `latin-1` for URLs from response headers."""
    return _UNSENDABLE.sub(lambda match: quote(match[0].encode(encoding, "surrogateescape")), text)


def display_url(url: str) -> str:
    """Return a URL for messages. Omits the credentials and the query, because they might be secret."""
    text = re.sub(r"^([^/]{0,20}//|)[^/]*@", r"\1", url.partition("?")[0])
    return "".join(character if character.isprintable() else "?" for character in text[:200])


def without_secrets(url: str) -> str:
    """Return a URL without credentials, query, and fragment, as ASCII."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
    return percent_encode(f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}")


def _invalid_url(url: str) -> BentoError:
    remedy = "Use an http:// or https:// URL with a host and a path."
    return BentoError("invalid URL", place=f"{display_url(url)!r}", remedy=remedy)
